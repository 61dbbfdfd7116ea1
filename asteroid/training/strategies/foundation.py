"""``foundation``: the user's own MACE model, fine-tuned on accurate labels alone."""

from asteroid.training.session import Session
from asteroid.training.strategies.problem import Problem, Trained
from asteroid.training.strategies.steps import ENERGY_ONLY_RATE


def foundation(problem: Problem, session: Session) -> Trained:
    """Fine-tune the user's model, with as many steps as ``scratch``: tried as hard."""
    settings = problem.settings
    model = session.new_model(problem.accurate_train)
    with_forces = all(frame.forces is not None for frame in problem.accurate_train)
    session.fit(
        "finetune",
        model,
        problem.accurate_train,
        steps=settings.steps_alone,
        batch_size=settings.finetune_batch_size,
        learning_rate=settings.finetune_learning_rate * (1.0 if with_forces else ENERGY_ONLY_RATE),
        accurate=True,
    )
    return Trained(model)
