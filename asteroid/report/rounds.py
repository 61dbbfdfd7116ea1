"""The loop of rounds as the report shows it: each round's record, and the figures of all.

The records are those that :mod:`asteroid.stages.rounds` leaves in the store, one JSON a round;
:mod:`asteroid.report.rounds_plots` draws them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from asteroid.report.words import count
from asteroid.store import Store, paths

Round = Mapping[str, Any]
"""A record, with ``round``, ``model_id``, ``accurate_labels``, ``held_out``, ``picked``, ``decision``, ``core_seconds``
and more."""


@dataclass(frozen=True)
class RoundRow:
    """One round in words.

    Args:
        label_count: accurate labels of its model, those of earlier rounds among them.
        held_out: eV/Å, ``force_mae`` with ``low`` and ``high`` after the round's training, on the held-out frames of
            the last round: the same for all rounds, whatever there were at the time.
        fresh: the same on the labels that the round bought, before they trained anything; None where none were.
        picked: what was picked, and from where.
        why: what the picks had that others had not; empty where there is nothing to say.
        explored: what the exploring MD did; empty without it.
        core_hours: of the round.
        reason: why the loop went on, or stopped.
    """

    number: int
    label_count: int
    held_out: Mapping[str, float | None]
    fresh: Mapping[str, float | None] | None
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

    criterion: str
    rows: Sequence[RoundRow]
    calibration: Mapping[str, Any] | None
    bounds_held: str
    figures: Mapping[str, bytes]


def collect_rounds(store: Store, molecule: str, model_id: str) -> list[dict[str, Any]]:
    """The rounds that led to a model, the first first; none for a model that no round trained."""
    folder = paths.loops(molecule)
    for loop in store.names(folder):
        names = sorted(name for name in store.names(f"{folder}/{loop}") if name.startswith("round-"))
        rounds = [store.read_json(f"{folder}/{loop}/{name}") for name in names if name.endswith(".json")]
        last = max((i for i, found in enumerate(rounds) if found["model_id"] == model_id), default=None)
        if last is not None:
            return rounds[: last + 1]
    return []


def rounds_context(rounds: Sequence[Round]) -> RoundsContext | None:
    """Rows and figures; None without a round."""
    if not rounds:
        return None
    calibrations = [found["calibration"] for found in rounds if found["calibration"]]
    return RoundsContext(
        criterion=rounds[-1]["criterion"],
        rows=[_row(found, held_out) for found, held_out in zip(rounds, rounds[-1]["curve"], strict=True)],
        calibration=calibrations[-1] if calibrations else None,
        bounds_held=_bounds_held(judged_bounds(rounds)),
        figures=_figures(rounds, calibrations),
    )


def round_core_seconds(found: Round) -> float:
    """Core-seconds of one round: labels, training and exploration."""
    return float(sum(found["core_seconds"].values()))


def judged_bounds(rounds: Sequence[Round]) -> list[tuple[float, float]]:
    """The bound of each picked frame and its true error, eV/Å, once it was labelled and before it trained anything."""
    return [
        (frame["bound"], frame["error"])
        for found in rounds
        for frame in found["picked"]
        if frame["bound"] is not None and frame.get("error") is not None
    ]


def _row(found: Round, held_out: Mapping[str, float | None]) -> RoundRow:
    return RoundRow(
        number=found["round"],
        label_count=found["accurate_labels"],
        held_out=held_out,
        fresh=found["fresh_error"],
        picked=_picked(found["picked"]),
        why=_why(found["picked"], found.get("because", ()), found.get("bought")),
        explored=_explored(found["explored"]),
        core_hours=round_core_seconds(found) / 3600,
        reason=found["decision"]["reason"],
    )


def _bounds_held(judged: Sequence[tuple[float, float]]) -> str:
    held = sum(error <= bound for bound, error in judged)
    return f"{held} of {count(len(judged), 'picked frame')}" if judged else ""


def _picked(picked: Sequence[Mapping[str, Any]]) -> str:
    if not picked:
        return "nothing"
    sources = Counter(frame["source"] for frame in picked)
    return ", ".join(f"{number} from {source}" for source, number in sources.most_common())


def _why(picked: Sequence[Mapping[str, Any]], because: Sequence[str], bought: Mapping[str, Any] | None) -> str:
    """The range of what the criterion looked at, of the frames that train; held-out ones are drawn at random.

    Args:
        because: requirements that the model before had failed.
        bought: the kind of label, with the reason; None where there was no choice.
    """
    trains = [frame for frame in picked if frame["split"] == "train"]
    said = [f"the certificate before had failed in: {', '.join(because)}"] if because else []
    if bought and bought["options"]:
        said.append(f"{'labels with forces' if bought['kind'] == 'forces' else 'energies alone'}: {bought['reason']}")
    for key, words in (("bound", "error expected below"), ("bias", "expected bias")):
        values = [frame[key] for frame in trains if frame[key] is not None]
        if values:
            said.append(f"{words} {1000 * min(values):.3g} to {1000 * max(values):.3g} meV/Å")
    return "; ".join(said)


def _explored(explored: Mapping[str, Any] | None) -> str:
    if not explored or not explored["replicas"]:
        return ""
    replicas = explored["replicas"]
    stopped = Counter(replica["reason"] for replica in replicas if replica["reason"])
    picoseconds = sum(replica["ps"] for replica in replicas)
    text = f"{count(len(replicas), 'trajectory').replace('trajectorys', 'trajectories')}, {picoseconds:.3g} ps"
    if stopped:
        text += f"; stopped: {', '.join(f'{number} × {reason}' for reason, number in stopped.most_common(3))}"
    text += f"; {count(explored['frames'], 'frame')} kept"
    if dropped := explored["dropped"]:
        text += f", dropped: {', '.join(f'{number} {reason}' for reason, number in dropped.items())}"
    return text


def _figures(rounds: Sequence[Round], calibrations: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    # Not above: it loads matplotlib, which the index of reports needs not.
    from asteroid.report import rounds_plots

    labels = [found["accurate_labels"] for found in rounds]
    hours = [seconds / 3600 for seconds in accumulate(map(round_core_seconds, rounds))]
    held_out, fresh = rounds[-1]["curve"], [found["fresh_error"] for found in rounds]
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
