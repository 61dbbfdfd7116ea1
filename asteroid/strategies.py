"""Definitions of training strategies, and checks of the settings for them.

Each strategy is one file in :mod:`asteroid.training.strategies` with its definition and its recipe. The files import
torch only inside functions, so manifest, plan and report can read the definitions without torch. They are loaded by
name, so that label workers, which import this module, never import a recipe.
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
"""Training on accurate labels alone: the baseline for all other strategies, and the teacher of some."""

BASELINES: Final = (BASELINE, "unweighted")
"""Baselines of a comparison: no cheap labels, and cheap labels with equal weights."""

CHEAP_LABELS, CHEAP_METHOD, CONFIGURATIONS = "the cheap labels", "the cheap method", "the sampled configurations"
"""Values of :attr:`StrategyDefinition.aid`."""


@dataclass(frozen=True)
class Phase:
    """One phase of a training, for ``asteroid plan`` and :meth:`asteroid.training.session.Session.fit`.

    Args:
        steps: largest number of steps.
        accurate: whether the labels are of the accurate level, computed or corrected; then held-out frames choose the
            best weights and may stop it early.
        optional: whether the recipe may skip it.
    """

    name: str
    steps: int
    batch_size: int
    accurate: bool = False
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class StrategyDefinition:
    """A training strategy: its recipe, its requirements, and its description for reports.

    Args:
        name: as in the manifest.
        how: description after "A MACE model"; ``{labels}`` and ``{configurations}`` are their numbers, ``{cheap}`` the
            cheap level.
        aid: what it uses in addition to the baseline, as in "without the cheap labels"; empty for the baseline.
        recipe: function of a :class:`~asteroid.training.problem.Problem` and a
            :class:`~asteroid.training.session.Session` that returns :class:`~asteroid.training.problem.Trained`.
        phases: of the recipe in order, without those of the first teacher.
        kernels: number of Gaussian processes fitted to the accurate labels of each molecule.
        needs_cheap: cheap labels of training configurations.
        needs_cheap_forces: use of the cheap forces, after "which"; empty if it does not need them.
        needs_teacher: models trained on accurate labels alone.
        needs_paired: cheap labels of the accurate configurations, see ``paired_cheap`` of
            :class:`~asteroid.training.problem.Problem`.
        needs_configurations: training configurations of a known temperature, without labels.
        learns_difference: whether it learns accurate − cheap. All accurate labels of its problem are then differences,
            and its model needs the cheap method at run time.
        starts_from: ``random`` weights, a ``foundation`` model of the user, or ``either``.
        heads: number of heads during training; the first one is of the accurate level.
        reads: names of the training settings that only some strategies use.
        alone: strategy to follow if the cheap labels do not help.
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
        """Whether it is the baseline for all others."""
        return self.name == BASELINE

    @property
    def reads_cheap_labels(self) -> bool:
        """Whether it uses cheap labels, which are then part of its cost."""
        return self.aid in (CHEAP_LABELS, CHEAP_METHOD)

    @property
    def goes_on(self) -> bool:
        """Whether later rounds start from the model of the previous round.

        Not with two heads, with a teacher (which is trained anew in each round), and for the baseline, which must be
        independent of earlier rounds.
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
    """All strategies, in the order of :data:`asteroid.settings.Strategy`."""
    return tuple(strategy_named(name) for name in get_args(Strategy))


def check_strategy(training: TrainingSettings, sampling: SamplingSettings, *, cheap_forces: bool) -> list[str]:
    """Problems of a strategy with the labels and the model of the settings, one line each.

    Args:
        cheap_forces: whether cheap labels have forces.
    """
    strategy = strategy_named(training.strategy)
    problems = []
    if strategy.learns_difference:
        # A certificate needs a stand-alone MACE model.
        problems.append(
            f"training.strategy: found {strategy.name}, whose model needs the cheap method at run time and gets no "
            f"certificate; write another one here, or use {strategy.name} with asteroid compare"
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
    """Problems of the intermediate levels, one line each: unknown, repeated, or not used by the strategy.

    Args:
        ends: cheap and accurate level.
    """
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
