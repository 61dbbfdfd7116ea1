"""Table and figures of the rounds in a report, from the records of :mod:`asteroid.stages.rounds`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from asteroid.report.words import count
from asteroid.store import Store, paths, records
from asteroid.store.round_records import (
    Calibration,
    ErrorInterval,
    ExplorationSummary,
    LabelChoice,
    PickedFrame,
    RoundRecord,
)


@dataclass(frozen=True)
class RoundRow:
    """One round in the table.

    Args:
        label_count: accurate labels of its model, including those of earlier rounds.
        held_out: error of its model on the held-out frames of the last round.
        fresh: error of the previous model on the new labels of this round; None without new labels.
        picked: numbers and sources of the picked frames.
        why: reasons for the picks; may be empty.
        explored: summary of the exploring MD; empty without it.
        reason: why the rounds continued or stopped.
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
    """Data of the rounds for the page.

    Args:
        calibration: the last one; None without any.
        bounds_held: number of picked frames with an error below the bound, as text; empty without such frames.
        figures: PNG by name in the template.
    """

    criterion: str | None
    rows: Sequence[RoundRow]
    calibration: Calibration | None
    bounds_held: str
    figures: Mapping[str, bytes]


def collect_rounds(store: Store, model: str, molecule: str, model_id: str) -> list[RoundRecord]:
    """Records of a molecule's rounds up to a model, in order; empty for a model without rounds.

    Args:
        model: name of the model.
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
    """Rows and figures; None without rounds."""
    if not rounds:
        return None
    calibrations = [found.calibration for found in rounds if found.calibration]
    return RoundsContext(
        criterion=rounds[-1].criterion,
        rows=[_row(found, held_out) for found, held_out in zip(rounds, rounds[-1].curve, strict=True)],
        calibration=calibrations[-1] if calibrations else None,
        bounds_held=_bounds_held(bounds_and_errors(rounds)),
        figures=_figures(rounds, calibrations),
    )


def bounds_and_errors(rounds: Sequence[RoundRecord]) -> list[tuple[float, float]]:
    """Error bound and true error, eV/Å, of each picked frame, with the model before its label was used."""
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


def _bounds_held(pairs: Sequence[tuple[float, float]]) -> str:
    held = sum(error <= bound for bound, error in pairs)
    return f"{held} of {count(len(pairs), 'picked frame')}" if pairs else ""


def _picked(picked: Sequence[PickedFrame]) -> str:
    if not picked:
        return "nothing"
    sources = Counter(frame.source for frame in picked)
    return ", ".join(f"{number} from {source}" for source, number in sources.most_common())


def _why(picked: Sequence[PickedFrame], because: Sequence[str], bought: LabelChoice | None, share: str) -> str:
    """Reasons for the picks, with the ranges of bound and bias of the training frames.

    Args:
        because: requirements that the previous model failed.
        bought: kind of label with its reason; None without a choice.
        share: reason for the number of labels; "" for a model of one molecule.
    """
    trains = [frame for frame in picked if frame.split == "train"]
    said = [share] if share else []
    said += [f"the previous certificate failed: {', '.join(because)}"] if because else []
    if bought and bought.options:
        said.append(f"{'labels with forces' if bought.kind == 'forces' else 'energies alone'}: {bought.reason}")
    ranges = {"error bound": [f.bound for f in trains], "estimated bias": [f.bias for f in trains]}
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
    text = f"{count(len(replicas), 'trajectory')}, {picoseconds:.3g} ps"
    if stopped:
        text += f"; stopped: {', '.join(f'{number} × {reason}' for reason, number in stopped.most_common(3))}"
    text += f"; {count(explored.frames, 'frame')} kept"
    if dropped := explored.dropped:
        text += f", dropped: {', '.join(f'{number} {reason}' for reason, number in dropped.items())}"
    return text


def _figures(rounds: Sequence[RoundRecord], calibrations: Sequence[Calibration]) -> dict[str, bytes]:
    # Imported here, because it loads matplotlib, which the index does not need.
    from asteroid.report import rounds_plots

    labels = [found.accurate_labels for found in rounds]
    hours = [seconds / 3600 for seconds in accumulate(found.core_seconds.total for found in rounds)]
    held_out, fresh = rounds[-1].curve, [found.fresh_error for found in rounds]
    figures = {
        "rounds_labels": rounds_plots.error_curve(labels, held_out, fresh, xlabel="accurate labels"),
        "rounds_hours": rounds_plots.error_curve(hours, held_out, fresh, xlabel="core-hours so far"),
        "rounds_cost": rounds_plots.cost_of_rounds(rounds),
    }
    if pairs := bounds_and_errors(rounds):
        figures["rounds_picked"] = rounds_plots.bounds_against_errors(pairs)
    if calibrations:
        figures["calibration"] = rounds_plots.calibration_plot(calibrations[-1])
    return figures
