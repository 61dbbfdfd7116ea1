"""``weighted``: ASTEROID, which trusts each cheap label by its estimated bias (:mod:`asteroid.training.bias`)."""

from asteroid.errors import TrainingError
from asteroid.training.bias import TRIAL_STEPS, Floats, choose_weights, frame_disagreement
from asteroid.training.predict import predict
from asteroid.training.session import Session
from asteroid.training.strategies.problem import Problem, Trained
from asteroid.training.strategies.steps import finetune, pretrain, with_weights


def weighted(problem: Problem, session: Session) -> Trained:
    """Pretrain on cheap labels, each weighted by how little it disagrees with the teacher, then fine-tune."""
    if problem.teacher is None:
        raise ValueError("the strategy weighted needs a teacher")
    cheap = [frame for frame in problem.cheap if frame.forces is not None]
    if not cheap:
        raise TrainingError("no cheap label has forces, so their bias cannot be estimated; use the strategy unweighted")
    settings = problem.settings

    def trial(index: int, values: Floats) -> float:
        result = session.fit(
            f"gamma-{index + 1}",
            session.new_model(cheap),
            with_weights(cheap, values),
            steps=max(1, round(TRIAL_STEPS * settings.pretrain_steps)),
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            accurate=False,
            keep=False,
        )
        return result.held_out.criterion

    _, teacher_forces = predict(problem.teacher, [frame.configuration for frame in cheap])
    disagreement = frame_disagreement([f.forces for f in cheap if f.forces is not None], teacher_forces)
    weighting = choose_weights(disagreement, None if settings.gamma == "auto" else settings.gamma, trial)
    model = pretrain(problem, session, with_weights(cheap, weighting.values))
    finetune(problem, session, model)
    return Trained(model, weighting)
