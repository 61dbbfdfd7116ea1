"""Records of rounds of labels: what a round explored, picked, cost and decided, and the order of a further round.

Each molecule that trains a model has its own records of each round; :func:`asteroid.store.records.read` reads them and
:mod:`asteroid.stages.rounds` knows their paths. Errors and bounds are in eV/Å, times in core-seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from asteroid.configuration import Split


@dataclass(frozen=True)
class ErrorInterval:
    """A mean absolute force error with its 95 % interval.

    Args:
        high: None for a single frame, which says nothing about others.
    """

    force_mae: float
    low: float
    high: float | None


@dataclass(frozen=True, kw_only=True)
class CalibrationRecord:
    """A :class:`asteroid.acquisition.calibration.Calibration`, whose fields these are.

    Args:
        shared: whether the frames also stopped trainings, which makes the calibration approximate.
    """

    uncertainty: tuple[float, ...]
    error: tuple[float, ...]
    scale: float
    offset: float
    coverage: float
    guaranteed: float
    achieved: float | None
    shared: bool = False


@dataclass(frozen=True)
class ExploringReplica:
    """One trajectory of the exploration.

    Args:
        temperature: K.
        ps: how long it lasted.
        reason: why it was stopped; None where it ran to its end.
    """

    temperature: float
    ps: float
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Explored:
    """What the model of the round before found of one molecule.

    Args:
        model_id: of the model that explored.
        because: lines of its certificate that failed, and where half of the trajectories start.
        committee: ids of the models whose disagreement is the uncertainty.
        limit: bound of the error at which a trajectory was stopped.
        frames: how many were kept.
        dropped: how many were not, by reason.
    """

    round: int
    model_id: str
    because: tuple[str, ...] = ()
    committee: tuple[str, ...]
    calibration: CalibrationRecord
    limit: float
    replicas: tuple[ExploringReplica, ...]
    frames: int
    dropped: Mapping[str, int]
    core_seconds: float


@dataclass(frozen=True)
class Option:
    """One kind of label that a round may buy.

    Args:
        core_seconds: of one label.
        gain: part of the error that the other half of the labels has taken off.
        gain_per_core_hour: fall of the logarithm of the error by the cost of these labels.
    """

    kind: Literal["forces", "energies"]
    core_seconds: float
    gain: float
    gain_per_core_hour: float


@dataclass(frozen=True)
class Purchase:
    """The kind of label that gains most, and why.

    Args:
        reason: a sentence for people.
        options: what was measured of each kind; empty where nothing was.
    """

    kind: Literal["forces", "energies"]
    reason: str
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PickedFrame:
    """A frame that a round labels.

    Args:
        uncertainty, bound: disagreement of the committee, and the bound of the error that follows; None in a first
            round, which no model has picked.
        bias: mean difference of the cheap forces from the committee's; None without a cheap label.
        source: where the frame comes from, in words.
        temperature: K, of the MD that found it.
        error: of the model before, once the label was there.
    """

    frame_id: str
    split: Split
    uncertainty: float | None = None
    bound: float | None = None
    bias: float | None = None
    source: str
    temperature: float | None = None
    error: float | None = None


@dataclass(frozen=True, kw_only=True)
class Picked:
    """The batch of one molecule in one round.

    Args:
        labels: accurate labels that may be bought so far, the batch included.
        share: why the molecule gets so many of the round's labels; "" where its model has no other molecule.
    """

    round: int
    labels: int
    criterion: str
    bought: Purchase | None = None
    share: str = ""
    picked: tuple[PickedFrame, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    core_seconds: float


@dataclass(frozen=True)
class Decision:
    """Whether to stop, and why.

    Args:
        reason: a sentence for people.
        expected_gain: part of the error that the next core-hour, or the next round where that costs more, is expected
            to take off; None where there are too few rounds to tell.
    """

    stop: bool
    reason: str
    expected_gain: float | None = None


@dataclass(frozen=True, kw_only=True)
class ExplorationSummary:
    """What the report shows of an exploration; fields as in :class:`Explored`."""

    replicas: tuple[ExploringReplica, ...]
    frames: int
    limit: float | None = None
    dropped: Mapping[str, int]


@dataclass(frozen=True)
class RoundCost:
    """Core-seconds of a round.

    Args:
        labels, exploration: of one molecule.
        training: of the model, whichever of its molecules the record is of.
    """

    labels: float
    training: float
    exploration: float

    @property
    def total(self) -> float:
        return self.labels + self.training + self.exploration


@dataclass(frozen=True, kw_only=True)
class RoundRecord:
    """One finished round of one molecule.

    Args:
        model_id: of the model that it trained.
        models: ids of all that it trained, teachers included.
        criterion: by which its batch was picked.
        settings: ``acquisition`` of the manifest.
        labels: accurate labels that were to be bought up to now.
        accurate_labels: those that came, and trained the model or stopped its training.
        held_out: of the model on the molecule's held-out frames.
        curve: of the models of all rounds so far, this one included, on the held-out frames of now.
        fresh_error: of the model before on the labels that the round bought; None in a first round.
    """

    round: int
    model_id: str
    models: tuple[str, ...] = ()
    criterion: str | None
    bought: Purchase | None = None
    share: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    labels: int
    accurate_labels: int
    held_out: ErrorInterval
    curve: tuple[ErrorInterval, ...]
    committee: tuple[str, ...] | None = None
    calibration: CalibrationRecord | None
    because: tuple[str, ...] = ()
    explored: ExplorationSummary | None
    picked: tuple[PickedFrame, ...]
    fresh_error: ErrorInterval | None
    core_seconds: RoundCost
    decision: Decision


@dataclass(frozen=True)
class Further:
    """The order of a round by a failed certificate.

    Args:
        because: lines that failed.
    """

    round: int
    model_id: str
    because: tuple[str, ...]
