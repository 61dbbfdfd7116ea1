"""What a training strategy is, where to find each one, and what a manifest may ask of it.

Each strategy is one file in :mod:`asteroid.training.strategies`, named as it is, which holds one definition and its
recipe. Such a file imports torch only inside functions, so that manifest, plan and report read definitions on machines
without torch. They are loaded by name, which keeps this module below them: label workers import it, and never a recipe.
"""

import functools
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from asteroid.errors import InputError, suggest
from asteroid.levels import LevelOfTheory
from asteroid.settings import SamplingSettings, Strategy, TrainingSettings

BASELINE: Final = "scratch"
"""Accurate labels alone: what every other strategy is compared with, and the teacher of those that need one."""

BASELINES: Final = (BASELINE, "unweighted")
"""Strategies that a comparison compares the others with: no cheap labels, and cheap labels with equal weights."""

CHEAP_LABELS, CHEAP_METHOD, CONFIGURATIONS = "the cheap labels", "the cheap method", "the sampled configurations"
"""Values of :attr:`StrategyDefinition.aid`."""


@dataclass(frozen=True)
class Phase:
    """One phase of a training: ``asteroid plan`` counts it, :meth:`asteroid.training.session.Session.fit` runs it.

    Args:
        steps: at most.
        accurate: whether its labels are of the accurate level, computed or corrected: the held-out frames choose the
            weights then, and may end it early.
        optional: whether the recipe may leave it out.
    """

    name: str
    steps: int
    batch_size: int
    accurate: bool = False
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class StrategyDefinition:
    """A recipe, what it needs, and how to speak of it.

    Args:
        name: as a manifest has it.
        how: what it does, after "A MACE model": ``{labels}`` and ``{configurations}`` are their numbers, ``{cheap}`` is
            the cheap level.
        aid: what it has that the baseline has not, as in "without the cheap labels"; empty for the baseline itself.
        recipe: from a :class:`~asteroid.training.problem.Problem` and a :class:`~asteroid.training.session.Session` to
            what was :class:`~asteroid.training.problem.Trained`.
        phases: those of its recipe in order, the first teacher's left out.
        kernels: how many Gaussian processes it fits to the accurate labels of each molecule.
        needs_cheap: cheap labels of training configurations.
        needs_cheap_forces: what it does with the cheap forces, after "which"; empty where it can do without them.
        needs_teacher: models trained on accurate labels alone.
        needs_paired: cheap labels of the accurate configurations, see ``paired_cheap`` of
            :class:`~asteroid.training.problem.Problem`.
        needs_configurations: training configurations of a known temperature; their labels are not read.
        learns_difference: learns accurate − cheap: the accurate labels of its problem, the held-out ones too, are
            already differences, and its model works together with the cheap method only.
        starts_from: ``random`` weights always; ``either`` these or a model of the user's, when there is one; or only
            that model, the ``foundation``.
        heads: of the model while it is trained; the first is of the accurate level.
        reads: names of the training settings that change its model while other strategies do without them.
        alone: the strategy whose recipe it follows where the cheap labels do not help.
    """

    name: str
    how: str
    aid: str
    recipe: Callable[[Any, Any], Any]
    phases: Callable[[TrainingSettings], Sequence[Phase]]
    kernels: Callable[[TrainingSettings], int] = lambda settings: 0
    needs_cheap: bool = False
    needs_cheap_forces: str = ""
    needs_teacher: bool = False
    needs_paired: bool = False
    needs_configurations: bool = False
    learns_difference: bool = False
    starts_from: Literal["random", "either", "foundation"] = "random"
    heads: int = 1
    reads: frozenset[str] = frozenset()
    alone: Strategy | None = None

    @property
    def is_baseline(self) -> bool:
        """Whether it is what all others are compared with."""
        return self.name == BASELINE

    @property
    def reads_cheap_labels(self) -> bool:
        """Whether cheap labels are a part of the model, and of its cost."""
        return self.aid in (CHEAP_LABELS, CHEAP_METHOD)

    @property
    def goes_on(self) -> bool:
        """Whether later rounds go on from the model of the round before.

        Two heads cannot start from one; a teacher is asked anew in each round, and is the baseline; and the baseline
        must not know what earlier rounds have learnt.
        """
        return self.heads == 1 and not self.needs_teacher and not self.is_baseline


@functools.cache
def strategy_named(name: str) -> StrategyDefinition:
    """The definition of a strategy.

    Raises:
        InputError: for an unknown name.

    >>> strategy_named("scratch").how
    'trained on accurate labels alone'
    """
    known = get_args(Strategy)
    if name not in known:
        raise InputError(f"unknown strategy '{name}'; {suggest(name, known)}")
    module = importlib.import_module(f"asteroid.training.strategies.{name.replace('-', '_')}")
    definition: StrategyDefinition = module.STRATEGY
    return definition


def all_strategies() -> tuple[StrategyDefinition, ...]:
    """Every strategy, in the order of their names in :data:`asteroid.settings.Strategy`."""
    return tuple(strategy_named(name) for name in get_args(Strategy))


def check_strategy(training: TrainingSettings, sampling: SamplingSettings, *, cheap_forces: bool) -> list[str]:
    """Whether a strategy can do with the labels and the model that it will be given."""
    strategy = strategy_named(training.strategy)
    problems = []
    if strategy.learns_difference:
        # Minimum, MD and test errors of a certificate take a MACE model that stands for itself.
        problems.append(
            f"training.strategy: found {strategy.name}, whose model needs the cheap method at run time and gets no "
            f"certificate; write another one here, and try {strategy.name} with asteroid compare"
        )
    if strategy.needs_cheap_forces and not cheap_forces:
        problems.append(
            f"labelling.cheap.forces: found false with the strategy {strategy.name}, which "
            f"{strategy.needs_cheap_forces}; write true, or training.strategy: unweighted"
        )
    if strategy.starts_from == "foundation" and training.foundation is None:
        problems.append(
            f"training.foundation: found nothing with the strategy {strategy.name}, which fine-tunes it; "
            "write the path of a MACE model"
        )
    if strategy.starts_from == "random" and training.foundation is not None:
        problems.append(
            f"training.foundation: found a model with the strategy {strategy.name}, which starts from random weights; "
            "remove it, or write training.strategy: foundation"
        )
    if strategy.needs_configurations and "md" not in sampling.methods:
        problems.append(
            f"sampling.methods: found {', '.join(sampling.methods)} with the strategy {strategy.name}, which learns "
            "from configurations of a known temperature; write md among them"
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
    if training.ladder and "ladder" not in strategy_named(training.strategy).reads:
        users = " or ".join(strategy.name for strategy in all_strategies() if "ladder" in strategy.reads)
        problems.append(
            f"training.ladder: found levels with the strategy {training.strategy}, which does not use them; "
            f"remove them, or write training.strategy: {users}"
        )
    return problems
