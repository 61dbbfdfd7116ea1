"""What a manifest may ask of a training strategy: its labels, the model that it starts from, the levels in between.

:mod:`asteroid.manifest` asks here before anything is spent; the strategies are in :mod:`asteroid.training.strategies`.
"""

from collections.abc import Sequence

from asteroid.errors import InputError
from asteroid.levels import LevelOfTheory
from asteroid.settings import SamplingSettings, Strategy, TrainingSettings

FROM_RANDOM_WEIGHTS: tuple[Strategy, ...] = ("scratch", "delta", "multihead", "corrected", "distilled")
"""Strategies that a model to start from is no use to; the registry, which is in torch's reach, agrees with this."""


def check_strategy(training: TrainingSettings, sampling: SamplingSettings, *, cheap_forces: bool) -> list[str]:
    """Whether a strategy can do with the labels and the model that it will be given."""
    strategy = training.strategy
    problems = []
    if strategy == "delta":
        # Minimum, MD and test errors of a certificate take a MACE model that stands for itself.
        problems.append(
            "training.strategy: found delta, whose model needs the cheap method at run time and gets no certificate; "
            "write another one here, and try delta with asteroid compare"
        )
    if strategy == "weighted" and not cheap_forces:
        problems.append(
            "labelling.cheap.forces: found false with the strategy weighted, which weighs labels by their forces; "
            "write true, or training.strategy: unweighted"
        )
    if strategy == "corrected" and not cheap_forces:
        problems.append(
            "labelling.cheap.forces: found false with the strategy corrected, which moves cheap forces to "
            "the accurate level; write true, or training.strategy: unweighted"
        )
    if strategy == "foundation" and training.foundation is None:
        problems.append(
            "training.foundation: found nothing with the strategy foundation, which fine-tunes it; "
            "write the path of a MACE model"
        )
    if strategy in FROM_RANDOM_WEIGHTS and training.foundation is not None:
        problems.append(
            f"training.foundation: found a model with the strategy {strategy}, which starts from random weights; "
            "remove it, or write training.strategy: foundation"
        )
    if strategy.startswith("score-matching") and "md" not in sampling.methods:
        problems.append(
            f"sampling.methods: found {', '.join(sampling.methods)} with the strategy {strategy}, which learns from "
            "configurations of a known temperature; write md among them"
        )
    return problems


def check_ladder(training: TrainingSettings, ends: Sequence[LevelOfTheory]) -> list[str]:
    """Whether the levels in between are levels, are in between, and are used."""
    problems = []
    seen = list(ends)
    for text in training.ladder:
        try:
            level = LevelOfTheory.parse(text, imported=True)
        except InputError as error:
            problems.append(f"training.ladder: found {error}")
            continue
        if level in seen:
            problems.append(
                f"training.ladder: found '{level}', which is there already; write levels between cheap and accurate, "
                "each once"
            )
        seen.append(level)
    if training.ladder and training.strategy != "corrected":
        problems.append(
            f"training.ladder: found levels with the strategy {training.strategy}, which does not use them; "
            "remove them, or write training.strategy: corrected"
        )
    return problems
