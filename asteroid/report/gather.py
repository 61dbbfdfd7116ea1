"""What a report needs from the store: what each level's labels came to and cost, and frames that both levels label.

:mod:`asteroid.report.write` gathers it here and hands it to :mod:`asteroid.report.html`.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from asteroid.levels import LevelOfTheory
from asteroid.report.words import WORDS
from asteroid.store import Store

MOST_REASONS = 8
"""Reasons of failure shown for a level; the rest are counted."""
MOST_FRAMES = 300
"""Frames with both labels that the bias is drawn from: more do not change the picture visibly."""


@dataclass(frozen=True)
class LevelSummary:
    """The labels of one molecule at one level.

    Args:
        frames: chosen for a label.
        energy_only: accepted labels without forces.
        core_seconds: of all attempts.
        mean_seconds: wall seconds of an accepted label; None without one.
        reasons: why labels failed or were rejected, with counts, most frequent first.
        programs: every program and version that computed an attempt.
    """

    level: str
    frames: int
    ok: int
    failed: int
    rejected: int
    energy_only: int
    core_seconds: float
    mean_seconds: float | None
    reasons: tuple[tuple[str, int], ...]
    programs: tuple[str, ...]

    @property
    def core_hours(self) -> float:
        return self.core_seconds / 3600


@dataclass(frozen=True)
class Cost:
    """Core-seconds of one stage."""

    stage: str
    core_seconds: float

    @property
    def core_hours(self) -> float:
        return self.core_seconds / 3600


@dataclass(frozen=True, eq=False)
class Bias:
    """Force labels of the frames that have both a cheap and an accurate one: arrays (N, 3) eV/Å."""

    cheap: tuple[npt.NDArray[np.float64], ...]
    accurate: tuple[npt.NDArray[np.float64], ...]


def summarise_level(store: Store, molecule: str, level: LevelOfTheory) -> LevelSummary:
    """Counts, costs and reasons of every attempt at one level."""
    table = store.attempts(molecule, level)
    rows = table.select(["status", "reason", "wall_seconds", "cores", "program", "version"])
    attempts = rows.append_column("energy_only", table["forces"].is_null()).to_pylist()
    counts = Counter(row["status"] for row in attempts)
    accepted = [row["wall_seconds"] for row in attempts if row["status"] == "ok"]
    reasons = Counter(f"{row['status']}: {row['reason']}" for row in attempts if row["status"] != "ok").most_common()
    shown = reasons[:MOST_REASONS]
    if rest := sum(number for _, number in reasons[MOST_REASONS:]):
        shown.append(("other reasons", rest))
    return LevelSummary(
        level=str(level),
        frames=len(store.selected(molecule, level)),
        ok=counts["ok"],
        failed=counts["failed"],
        rejected=counts["rejected"],
        energy_only=sum(row["status"] == "ok" and row["energy_only"] for row in attempts),
        core_seconds=sum(row["wall_seconds"] * row["cores"] for row in attempts),
        mean_seconds=sum(accepted) / len(accepted) if accepted else None,
        reasons=tuple(shown),
        programs=tuple(sorted({f"{row['program']} {row['version']}".strip() for row in attempts} - {""})),
    )


def collect_costs(
    store: Store, molecule: str, card: Mapping[str, Any], scratch: Mapping[str, Any] | None
) -> list[Cost]:
    """Core-seconds of the labels and trainings that this model took, and of what only judged it.

    A teacher is part of the model's own cost; when it is also the model compared with, it is counted once. Sampling is
    not counted, and so a strategy that takes configurations without labels costs nothing at the cheap level.
    """
    costs = []
    if WORDS[card["strategy"]].reads_cheap_labels:
        cheap = store.attempts(molecule, LevelOfTheory.parse(card["cheap"], imported=True))
        if card.get("adds_to"):
            # Only the labels of the accurate frames are in the model, however many the store has.
            cheap = _of_frames(cheap, {*card["frames"]["accurate_train"], *card["frames"]["accurate_valid"]})
        costs.append(Cost(f"cheap labels{_kind(cheap)}", _core_seconds(cheap)))
    for level in card["settings"].get("ladder", ()) if card["strategy"] == "corrected" else ():
        between = store.attempts(molecule, LevelOfTheory.parse(level, imported=True))
        costs.append(Cost(f"labels of {level}{_kind(between)}", _core_seconds(between)))
    table = store.attempts(molecule, LevelOfTheory.parse(card["accurate"], imported=True))
    ids = set(table["frame_id"].to_pylist())
    # By split, not by the frames in the model: a label that failed has cost its time as well.
    judging = {f.frame_id for f in store.frames(molecule, ids=ids) if f.split in ("test", "certificate")}
    kind = _kind(table)
    costs.append(Cost(f"accurate labels{kind} that trained it", _core_seconds(_of_frames(table, ids - judging))))
    costs.append(Cost("training", card["core_seconds"]))
    teachers = [model_id for role, model_id in card["parents"].items() if role.startswith("teacher")]
    if teachers:
        seconds = [store.read_json(f"models/{molecule}/{teacher}/card.json")["core_seconds"] for teacher in teachers]
        name = "its teacher" if len(teachers) == 1 else f"its {len(teachers)} teachers"
        costs.append(Cost(f"training {name} (accurate labels alone)", sum(seconds)))
    if judging:
        costs.append(Cost(f"accurate labels{kind} that only judge it", _core_seconds(_of_frames(table, judging))))
    if scratch and scratch["model_id"] not in (*teachers, card["model_id"]):
        costs.append(Cost("training the model compared with", scratch["core_seconds"]))
    return costs


def collect_bias(store: Store, molecule: str, card: Mapping[str, Any]) -> Bias | None:
    """Cheap and accurate forces of frames that have both; None when there are none."""
    if not card["cheap"]:
        return None
    cheap = store.labels(molecule, LevelOfTheory.parse(card["cheap"], imported=True))
    accurate = store.labels(molecule, LevelOfTheory.parse(card["accurate"], imported=True))
    pairs = [(cheap[i].forces, label.forces) for i, label in accurate.items() if i in cheap]
    both = [(c, a) for c, a in pairs if c is not None and a is not None][:MOST_FRAMES]
    return Bias(tuple(c for c, _ in both), tuple(a for _, a in both)) if both else None


def _of_frames(attempts: pa.Table, ids: Collection[str]) -> pa.Table:
    return attempts.filter(pc.is_in(attempts["frame_id"], value_set=pa.array(sorted(ids), pa.string())))


def _kind(attempts: pa.Table) -> str:
    """Says so where labels are energies alone: their cost is not that of forces."""
    ok = attempts.filter(pc.equal(attempts["status"], "ok"))
    return " (energies only)" if ok.num_rows and ok["forces"].null_count == ok.num_rows else ""


def _core_seconds(table: pa.Table) -> float:
    seconds, cores = (np.asarray(table[name].to_numpy(), dtype=float) for name in ("wall_seconds", "cores"))
    return float(seconds @ cores)
