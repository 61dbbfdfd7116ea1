"""What a report needs from the store: what each level's labels came to and cost, and how far the cheap level is off.

:mod:`asteroid.report.write` gathers it here and hands it to :mod:`asteroid.report.html`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from asteroid.levels import LevelOfTheory
from asteroid.store import Store

MOST_REASONS = 8
"""Reasons of failure shown for a level; the rest are counted."""
MOST_FRAMES = 300
"""Frames with both labels that the bias is drawn and measured from: more change neither picture nor mean visibly."""


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

    @property
    def force_mae(self) -> float:
        """eV/Å"""
        return float(
            np.mean(np.concatenate([np.abs(c - a).ravel() for c, a in zip(self.cheap, self.accurate, strict=True)]))
        )


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

    A teacher is part of the model's own cost; when it is also the model compared with, it is counted once.
    """
    costs = []
    if card["cheap"]:
        cheap = store.attempts(molecule, LevelOfTheory.parse(card["cheap"]))
        costs.append(Cost(f"cheap labels{_kind(cheap)}", _core_seconds(cheap)))
    table = store.attempts(molecule, LevelOfTheory.parse(card["accurate"]))
    ids = table["frame_id"].to_pylist()
    # By split, not by the frames in the model: a label that failed has cost its time as well.
    judging = {f.frame_id for f in store.frames(molecule, ids=set(ids)) if f.split in ("test", "certificate")}
    spent = {
        judged: _core_seconds(table.filter(pa.array([(i in judging) == judged for i in ids], pa.bool_())))
        for judged in (False, True)
    }
    kind = _kind(table)
    costs.append(Cost(f"accurate labels{kind} that trained it", spent[False]))
    costs.append(Cost("training", card["core_seconds"]))
    teacher = card["parents"].get("teacher")
    if teacher:
        path = f"models/{molecule}/{teacher}/card.json"
        costs.append(Cost("training its teacher (accurate labels alone)", store.read_json(path)["core_seconds"]))
    if judging:
        costs.append(Cost(f"accurate labels{kind} that only judge it", spent[True]))
    if scratch and scratch["model_id"] not in (teacher, card["model_id"]):
        costs.append(Cost("training the model compared with", scratch["core_seconds"]))
    return costs


def collect_bias(store: Store, molecule: str, card: Mapping[str, Any]) -> Bias | None:
    """Cheap and accurate forces of frames that have both; None when there are none."""
    if not card["cheap"]:
        return None
    cheap = store.labels(molecule, LevelOfTheory.parse(card["cheap"]))
    accurate = store.labels(molecule, LevelOfTheory.parse(card["accurate"]))
    pairs = [(cheap[i].forces, label.forces) for i, label in accurate.items() if i in cheap]
    both = [(c, a) for c, a in pairs if c is not None and a is not None][:MOST_FRAMES]
    return Bias(tuple(c for c, _ in both), tuple(a for _, a in both)) if both else None


def _kind(attempts: pa.Table) -> str:
    """Says so where labels are energies alone: their cost is not that of forces."""
    ok = attempts.filter(pc.equal(attempts["status"], "ok"))
    return " (energies only)" if ok.num_rows and ok["forces"].null_count == ok.num_rows else ""


def _core_seconds(table: pa.Table) -> float:
    seconds, cores = (np.asarray(table[name].to_numpy(), dtype=float) for name in ("wall_seconds", "cores"))
    return float(seconds @ cores)
