"""The loop of rounds as the report shows it: each round's record, and the figures of all.

The records are those that :mod:`asteroid.stages.rounds` leaves in the store, one JSON a round;
:mod:`asteroid.report.rounds_plots` draws them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from asteroid.report.words import count
from asteroid.store import Store, paths, records
from asteroid.store.round_records import (
    CalibrationRecord,
    ErrorInterval,
    ExplorationSummary,
    LabelChoice,
    PickedFrame,
    RoundRecord,
)


@dataclass(frozen=True)
class RoundRow:
    """One round in words.

    Args:
        label_count: accurate labels of its model, those of earlier rounds among them.
        held_out: after the round's training, on the held-out frames of the last round: the same for all rounds,
            whatever there were at the time.
        fresh: the same on the labels that the round bought, before they trained anything; None where none were.
        picked: what was picked, and from where.
        why: what the picks had that others had not; empty where there is nothing to say.
        explored: what the exploring MD did; empty without it.
        core_hours: of the round.
        reason: why the loop went on, or stopped.
    """

    number: int
    label_count: int
    held_out: ErrorInterval
    fresh: ErrorInterval | None
    picked: str
    why: str
    explored: str
    core_hours: float
    reason: str


@dataclass(frozen=True, eq=False)
class RoundsContext:
    """What the page shows of the rounds; figures are PNG by the names that the template uses.

    Args:
        calibration: the last one; None where no round had one.
        bounds_held: for how many picked frames the bound held, in words; empty where none was judged.
    """

    criterion: str | None
    rows: Sequence[RoundRow]
    calibration: CalibrationRecord | None
    bounds_held: str
    figures: Mapping[str, bytes]


def collect_rounds(store: Store, model: str, molecule: str, model_id: str) -> list[RoundRecord]:
    """A molecule's records of the rounds that led to a model, the first first; none where no round trained it.

    Args:
        model: its name.
    """
    for loop in store.names(paths.loops(model)):
        folder = paths.loop_molecule(model, loop, molecule)
        names = sorted(name for name in store.names(folder) if name.startswith("round-"))
        rounds = [records.read(store, RoundRecord, f"{folder}/{name}") for name in names if name.endswith(".json")]
        last = max((i for i, found in enumerate(rounds) if found.model_id == model_id), default=None)
        if last is not None:
            return rounds[: last + 1]
    return []


def rounds_context(rounds: Sequence[RoundRecord]) -> RoundsContext | None:
    """Rows and figures; None without a round."""
    if not rounds:
        return None
    calibrations = [found.calibration for found in rounds if found.calibration]
    return RoundsContext(
        criterion=rounds[-1].criterion,
        rows=[_row(found, held_out) for found, held_out in zip(rounds, rounds[-1].curve, strict=True)],
        calibration=calibrations[-1] if calibrations else None,
        bounds_held=_bounds_held(judged_bounds(rounds)),
        figures=_figures(rounds, calibrations),
    )


def judged_bounds(rounds: Sequence[RoundRecord]) -> list[tuple[float, float]]:
    """The bound of each picked frame and its true error, eV/Å, once it was labelled and before it trained anything."""
    return [
        (frame.bound, frame.error)
        for found in rounds
        for frame in found.picked
        if frame.bound is not None and frame.error is not None
    ]


def _row(found: RoundRecord, held_out: ErrorInterval) -> RoundRow:
    return RoundRow(
        number=found.round,
        label_count=found.accurate_labels,
        held_out=held_out,
        fresh=found.fresh_error,
        picked=_picked(found.picked),
        why=_why(found.picked, found.because, found.bought, found.share),
        explored=_explored(found.explored),
        core_hours=found.core_seconds.total / 3600,
        reason=found.decision.reason,
    )


def _bounds_held(judged: Sequence[tuple[float, float]]) -> str:
    held = sum(error <= bound for bound, error in judged)
    return f"{held} of {count(len(judged), 'picked frame')}" if judged else ""


def _picked(picked: Sequence[PickedFrame]) -> str:
    if not picked:
        return "nothing"
    sources = Counter(frame.source for frame in picked)
    return ", ".join(f"{number} from {source}" for source, number in sources.most_common())


def _why(picked: Sequence[PickedFrame], because: Sequence[str], bought: LabelChoice | None, share: str) -> str:
    """The range of what the criterion looked at, of the frames that train; held-out ones are drawn at random.

    Args:
        because: requirements that the model before had failed.
        bought: the kind of label, with the reason; None where there was no choice.
        share: why these were so many; "" for a model of one molecule.
    """
    trains = [frame for frame in picked if frame.split == "train"]
    said = [share] if share else []
    said += [f"the certificate before had failed in: {', '.join(because)}"] if because else []
    if bought and bought.options:
        said.append(f"{'labels with forces' if bought.kind == 'forces' else 'energies alone'}: {bought.reason}")
    ranges = {"error expected below": [f.bound for f in trains], "expected bias": [f.bias for f in trains]}
    for words, found in ranges.items():
        if values := [value for value in found if value is not None]:
            said.append(f"{words} {1000 * min(values):.3g} to {1000 * max(values):.3g} meV/Å")
    return "; ".join(said)


def _explored(explored: ExplorationSummary | None) -> str:
    if not explored or not explored.replicas:
        return ""
    replicas = explored.replicas
    stopped = Counter(replica.reason for replica in replicas if replica.reason)
    picoseconds = sum(replica.ps for replica in replicas)
    text = f"{count(len(replicas), 'trajectory').replace('trajectorys', 'trajectories')}, {picoseconds:.3g} ps"
    if stopped:
        text += f"; stopped: {', '.join(f'{number} × {reason}' for reason, number in stopped.most_common(3))}"
    text += f"; {count(explored.frames, 'frame')} kept"
    if dropped := explored.dropped:
        text += f", dropped: {', '.join(f'{number} {reason}' for reason, number in dropped.items())}"
    return text


def _figures(rounds: Sequence[RoundRecord], calibrations: Sequence[CalibrationRecord]) -> dict[str, bytes]:
    # Not above: it loads matplotlib, which the index of reports needs not.
    from asteroid.report import rounds_plots

    labels = [found.accurate_labels for found in rounds]
    hours = [seconds / 3600 for seconds in accumulate(found.core_seconds.total for found in rounds)]
    held_out, fresh = rounds[-1].curve, [found.fresh_error for found in rounds]
    figures = {
        "rounds_labels": rounds_plots.error_curve(labels, held_out, fresh, xlabel="accurate labels"),
        "rounds_hours": rounds_plots.error_curve(hours, held_out, fresh, xlabel="core-hours so far"),
        "rounds_cost": rounds_plots.cost_of_rounds(rounds),
    }
    if judged := judged_bounds(rounds):
        figures["rounds_picked"] = rounds_plots.bounds_against_errors(judged)
    if calibrations:
        figures["calibration"] = rounds_plots.calibration_plot(calibrations[-1])
    return figures
