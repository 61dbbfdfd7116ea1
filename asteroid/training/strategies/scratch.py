"""``scratch``: accurate labels alone, the baseline of every other strategy and the teacher of ``weighted``."""

from asteroid.training.session import Session
from asteroid.training.strategies.problem import Problem, Trained


def scratch(problem: Problem, session: Session) -> Trained:
    """Accurate labels alone, with as many steps as pretraining and fine-tuning have together: tried as hard."""
    settings = problem.settings
    model = session.new_model(problem.accurate_train)
    session.fit(
        "scratch",
        model,
        problem.accurate_train,
        steps=settings.steps_alone,
        batch_size=settings.finetune_batch_size,
        learning_rate=settings.learning_rate,
        accurate=True,
    )
    return Trained(model)
