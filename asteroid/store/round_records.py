"""Records of rounds: exploration, picked frames, costs, decision, and requests for further rounds.

Each training molecule has its own records of each round; :func:`asteroid.store.records.read` reads them,
:mod:`asteroid.stages.rounds` has their paths. Errors and bounds are in eV/Å, times in core-seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from asteroid.configuration import Split


@dataclass(frozen=True)
class ErrorInterval:
    """A mean absolute force error with its 95 % interval.

    Args:
        high: None for a single frame.
    """

    force_mae: float
    low: float
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Upper bound on the error of a frame as a function of the committee's uncertainty.

    Args:
        uncertainty: (V,) eV/Å, of the held-out frames.
        error: (V,) eV/Å, of the same frames.
        scale: ratio of error bound to uncertainty.
        offset: eV/Å, added to each uncertainty first.
        coverage: part of new frames for which the bound should hold.
        guaranteed: part for which it holds on average over draws of held-out frames; below ``coverage`` with too few
            held-out frames.
        achieved: part of the held-out frames for which it holds by leave-one-out calibration; None with a single frame.
        shared: whether the frames were also used for early stopping, which makes the calibration approximate.
    """

    uncertainty: tuple[float, ...]
    error: tuple[float, ...]
    scale: float
    offset: float
    coverage: float
    guaranteed: float
    achieved: float | None
    shared: bool = False

    def bound(self, uncertainty: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Upper bound (M,) eV/Å on the error of a frame; it holds with the probability ``guaranteed``."""
        return self.scale * (np.asarray(uncertainty, dtype=float) + self.offset)


@dataclass(frozen=True)
class ExploringReplica:
    """One trajectory of the exploration.

    Args:
        temperature: K.
        ps: its length.
        reason: why it was stopped; None for a complete one.
    """

    temperature: float
    ps: float
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Explored:
    """Exploration of one molecule with the model of the previous round.

    Args:
        model_id: of the exploring model.
        because: failed lines of its certificate, from which half of the trajectories start.
        committee: model ids of the committee.
        limit: error bound at which trajectories are stopped.
        frames: number kept.
        dropped: number dropped, by reason.
    """

    round: int
    model_id: str
    because: tuple[str, ...] = ()
    committee: tuple[str, ...]
    calibration: Calibration
    limit: float
    replicas: tuple[ExploringReplica, ...]
    frames: int
    dropped: Mapping[str, int]
    core_seconds: float


@dataclass(frozen=True)
class Option:
    """Cost and gain of one kind of label.

    Args:
        core_seconds: per label.
        gain: relative fall of the error from the second half of the labels.
        gain_per_core_hour: fall of the logarithm of the error per core-hour of labels.
    """

    kind: Literal["forces", "energies"]
    core_seconds: float
    gain: float
    gain_per_core_hour: float


@dataclass(frozen=True)
class LabelChoice:
    """The chosen kind of label, and why.

    Args:
        reason: as shown to users.
        options: measurements for each kind; empty without measurements.
    """

    kind: Literal["forces", "energies"]
    reason: str
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PickedFrame:
    """A frame picked for labelling in a round.

    Args:
        uncertainty, bound: disagreement of the committee, and error bound from it; None in the first round.
        bias: mean difference of cheap forces and committee forces; None without a cheap label.
        source: origin of the frame, as shown to users.
        temperature: K, of the MD that found it.
        error: of the previous model on this frame; None before it is labelled.
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
        labels: accurate labels allowed so far, the batch included.
        ladder: labels at each intermediate level so far, where the rounds distribute them; else empty.
        share: reason for the molecule's number of labels in this round; "" for a model of one molecule.
    """

    round: int
    labels: int
    ladder: tuple[int, ...] = ()
    criterion: str
    bought: LabelChoice | None = None
    share: str = ""
    picked: tuple[PickedFrame, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    core_seconds: float


@dataclass(frozen=True)
class Decision:
    """Whether to stop, and why.

    Args:
        reason: as shown to users.
        expected_gain: relative fall of the error expected from the next core-hour, or from the next round if that costs
            more; None with too few rounds.
    """

    stop: bool
    reason: str
    expected_gain: float | None = None


@dataclass(frozen=True, kw_only=True)
class ExplorationSummary:
    """Summary of an exploration for the report; fields as in :class:`Explored`."""

    replicas: tuple[ExploringReplica, ...]
    frames: int
    limit: float | None = None
    dropped: Mapping[str, int]


@dataclass(frozen=True)
class RoundCost:
    """Core-seconds of a round.

    Args:
        labels, exploration: of one molecule.
        training: of the model, for all its molecules.
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
        model_id: of the model trained in this round.
        models: ids of all models trained in this round, teachers included.
        criterion: for picking the batch.
        settings: ``acquisition`` of the manifest.
        labels: accurate labels allowed so far.
        ladder: as in :class:`Picked`.
        accurate_labels: accurate labels obtained so far, for training and early stopping.
        held_out: error of the model on the held-out frames of the molecule.
        curve: errors of the models of all rounds so far on the present held-out frames.
        fresh_error: error of the previous model on the new labels; None in the first round.
    """

    round: int
    model_id: str
    models: tuple[str, ...] = ()
    criterion: str | None
    bought: LabelChoice | None = None
    share: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    labels: int
    ladder: tuple[int, ...] = ()
    accurate_labels: int
    held_out: ErrorInterval
    curve: tuple[ErrorInterval, ...]
    committee: tuple[str, ...] | None = None
    calibration: Calibration | None
    because: tuple[str, ...] = ()
    explored: ExplorationSummary | None
    picked: tuple[PickedFrame, ...]
    fresh_error: ErrorInterval | None
    core_seconds: RoundCost
    decision: Decision


@dataclass(frozen=True)
class Further:
    """Request for a further round after a failed certificate.

    Args:
        because: failed lines.
    """

    round: int
    model_id: str
    because: tuple[str, ...]
