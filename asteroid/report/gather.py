"""Data of a report from the store: a summary of the labels at each level, and frames with labels of both levels."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from asteroid.store.models import Card
from asteroid.store.rows import core_seconds

MOST_REASONS = 8
"""Largest number of reasons shown for a level; the others are added up."""
MOST_FRAMES = 300
"""Largest number of frames in the plot of the bias."""


@dataclass(frozen=True)
class LevelSummary:
    """Labels of one molecule at one level.

    Args:
        parts: of a composite level; their labels and cost are also counted there.
        frames: number of frames to be labelled.
        ok, failed, rejected: number of attempts.
        energy_only: number of accepted labels without forces.
        core_seconds: of all attempts.
        reasons: of failed and rejected labels, with counts, the most frequent first.
        programs: with versions.
    """

    level: str
    frames: int
    ok: int
    failed: int
    rejected: int
    energy_only: int
    core_seconds: float
    reasons: tuple[tuple[str, int], ...]
    programs: tuple[str, ...]
    parts: tuple[str, ...] = ()

    @property
    def core_hours(self) -> float:
        return self.core_seconds / 3600


@dataclass(frozen=True, eq=False)
class Bias:
    """Cheap and accurate forces of the same frames, arrays (N, 3) eV/Å."""

    cheap: tuple[npt.NDArray[np.float64], ...]
    accurate: tuple[npt.NDArray[np.float64], ...]


def summarise_level(store: Store, molecule: str, level: LevelOfTheory) -> LevelSummary:
    """Counts, cost and reasons of all attempts at one level."""
    table = store.attempts(molecule, level)
    rows = table.select(["status", "reason", "program", "version"])
    attempts = rows.append_column("energy_only", table["forces"].is_null()).to_pylist()
    counts = Counter(row["status"] for row in attempts)
    reasons = Counter(f"{row['status']}: {row['reason']}" for row in attempts if row["status"] != "ok").most_common()
    shown = reasons[:MOST_REASONS]
    if rest := sum(number for _, number in reasons[MOST_REASONS:]):
        shown.append(("other reasons", rest))
    return LevelSummary(
        level=str(level),
        parts=tuple(str(part) for part in level.computed if level.parts),
        frames=len(store.chosen(molecule, level)),
        ok=counts["ok"],
        failed=counts["failed"],
        rejected=counts["rejected"],
        energy_only=sum(row["status"] == "ok" and row["energy_only"] for row in attempts),
        core_seconds=float(core_seconds(table).sum()),
        reasons=tuple(shown),
        programs=tuple(sorted({f"{row['program']} {row['version']}".strip() for row in attempts} - {""})),
    )


def collect_bias(store: Store, molecule: str, card: Card) -> Bias | None:
    """Cheap and accurate forces of frames that have both; None without such frames."""
    if not card.cheap:
        return None
    cheap = store.labels(molecule, LevelOfTheory.parse(card.cheap, imported=True))
    accurate = store.labels(molecule, LevelOfTheory.parse(card.accurate, imported=True))
    pairs = [(cheap[i].forces, label.forces) for i, label in accurate.items() if i in cheap]
    both = [(c, a) for c, a in pairs if c is not None and a is not None][:MOST_FRAMES]
    return Bias(tuple(c for c, _ in both), tuple(a for _, a in both)) if both else None
