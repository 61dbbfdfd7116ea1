"""Outliers among all labels of a molecule at one level, such as labels of another electronic state.

:mod:`asteroid.labelling.audit` checks each label by itself; this module compares the labels with each other, and with
those of the same frames at the cheap level. For an outlier, a ``rejected`` attempt with the failed check is added to
the store, and the frame no longer has a label.

Deviations from the median are in robust standard deviations (1.4826 times the median absolute deviation), which
outliers hardly change. The limits are wide, because sampling makes hot frames on purpose, and losing a good label is
worse than keeping a hot one.
"""

import dataclasses
import datetime as dt
import logging
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from asteroid.labelling.attempt import host
from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from asteroid.version import __version__

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]

FEWEST: Final = 20
"""Smallest number of labels in which outliers are searched."""

ENERGY_ABOVE: Final = 60.0
ENERGY_BELOW: Final = 12.0
"""Robust deviations. 3601 and 4001 frames of formaldehyde sampled at up to 2000 K reach 6.9 and 16.9 above their
median, 1150 of acetylacetone at 300 K 4.2; below it they reach 2.6. The minimum of a harmonic molecule lies sqrt((3N -
6)/2) standard deviations below the mean energy; the lower limit is at least twice that."""

FORCE_ABOVE: Final = 30.0
"""Robust deviations of the largest force. The same sets reach 10.3."""

BIAS_AWAY: Final = 8.0
BIAS_GROWTH: Final = 0.25
"""Robust deviations of accurate minus cheap energy, and how much wider they become with each robust deviation of the
cheap energy: the bias of a cheap method grows with distortion. The same sets, with GFN2, MP2 and B3LYP as the cheap
level, reach 5.3, and 200 random subsets of 20 labels 7.7. Among 200 labels, a shift of 1 eV is detected in all frames
of formaldehyde and in 80 % of those of acetylacetone, whose bias varies more; among 20 labels in about half of the
latter."""

DISAGREEMENT_ABOVE: Final = 6.0
DISAGREEMENT_GROWTH: Final = 0.1
"""Robust deviations of the force difference, relative to the median difference plus a tenth of the forces. The same
sets reach 2.6. Forces of the wrong sign exceed the limit in 70 % (formaldehyde, GFN2 as the cheap level) to 100 % of
the frames (MP2 as the cheap level; acetylacetone); the others have very small forces."""

SMALLEST_ENERGY: Final = 0.01
SMALLEST_BIAS: Final = 0.002
SMALLEST_FORCE: Final = 0.05
SMALLEST_FRACTION: Final = 0.02
"""eV, eV, eV/Å and 1: lower bounds of the robust deviations, for sets of nearly identical frames."""


@dataclasses.dataclass(frozen=True)
class Withdrawn:
    """A rejected label."""

    frame_id: str
    reason: str


def review(store: Store, molecule: str, level: LevelOfTheory, *, cheap: LevelOfTheory | None = None) -> list[Withdrawn]:
    """Reject the outliers among the labels of a molecule at a level; a second call rejects nothing more.

    Args:
        cheap: level to compare with.
    """
    table = store.label_table(molecule, level)
    # Frames of a certificate (a minimum, displacements about it) are no sample of geometries: many of them would make
    # all others outliers.
    certificate = store.frame_table(molecule, split="certificate")["frame_id"].combine_chunks()
    table = table.filter(pc.invert(pc.is_in(table["frame_id"], value_set=certificate)))
    other = None
    if cheap is not None and cheap != level and table.num_rows >= FEWEST:
        other = store.label_table(molecule, cheap)
    atoms = 0
    if table.num_rows:
        (frame,) = store.frame_table(molecule, ids=table["frame_id"][:1].to_pylist())["numbers"].to_pylist() or [[]]
        atoms = len(frame)
    reasons = outliers(table, other, atoms=atoms)
    withdraw(store, molecule, level, table, reasons)
    if reasons:
        log.warning("%s: %d labels at %s rejected as outliers", molecule, len(reasons), level)
    return [Withdrawn(table["frame_id"][row].as_py(), reason) for row, reason in sorted(reasons.items())]


def withdraw(store: Store, molecule: str, level: LevelOfTheory, labels: pa.Table, reasons: dict[int, str]) -> None:
    """Append a rejected attempt, at no cost, for each of these rows of a label table.

    Args:
        reasons: by row.
    """
    if not reasons:
        return
    rows = labels.take(pa.array(sorted(reasons)))
    now = dt.datetime.now(dt.UTC)
    columns: dict[str, Any] = {
        "status": "rejected", "wall_seconds": 0.0, "cpu_seconds": 0.0, "peak_memory": 0.0,
        "program": "asteroid", "version": __version__, "host": host(), "time": now,
    }  # fmt: skip
    for name, value in columns.items():
        field = rows.schema.field(name)
        rows = rows.set_column(rows.schema.get_field_index(name), field, pa.array([value] * len(rows), field.type))
    texts = pa.array([reasons[row] for row in sorted(reasons)], pa.string())
    rows = rows.set_column(rows.schema.get_field_index("reason"), rows.schema.field("reason"), texts)
    store.add_attempts(molecule, level, rows)


def outliers(labels: pa.Table, cheap: pa.Table | None = None, *, atoms: int = 0) -> dict[int, str]:
    """Outliers of a label table: the failed check by row.

    Repeated without the outliers found so far until there are no more, so that a second search finds none.

    Args:
        labels: of one molecule at one level, from :meth:`~asteroid.store.Store.label_table`.
        cheap: of the same molecule at the level to compare with.
        atoms: number of atoms; sets how far an energy may lie below the median.
    """
    below = max(ENERGY_BELOW, 2 * max(1.5 * atoms - 3, 0.0) ** 0.5)
    reasons: dict[int, str] = {}
    energy, largest = _energies(labels), _largest_force(labels["forces"])
    pairs = _pairs(labels, cheap) if cheap is not None else None
    while True:
        kept = np.ones(labels.num_rows, dtype=bool)
        kept[list(reasons)] = False
        found = dict(_find_outliers(energy, largest, pairs, kept, below))
        if not found:
            return reasons
        reasons |= found


@dataclasses.dataclass(frozen=True)
class _Pairs:
    """Frames with a label at both levels.

    Args:
        rows: (M,) in the label table.
        bias: (M,) eV, accurate minus cheap energy.
        cheap: (M,) eV, cheap energy.
        difference: (M,) eV/Å, root mean square of accurate minus cheap forces; NaN where either is missing.
        size: (M,) eV/Å, mean of the root mean squares of accurate and of cheap forces; NaN likewise.
    """

    rows: npt.NDArray[np.int64]
    bias: Floats
    cheap: Floats
    difference: Floats
    size: Floats


def _find_outliers(
    energy: Floats, largest: Floats, pairs: _Pairs | None, kept: npt.NDArray[np.bool_], below: float
) -> Iterator[tuple[int, str]]:
    """Outliers among the kept rows, each with its failed check."""
    rows = np.flatnonzero(kept)
    excess, score = _scores(energy[rows], SMALLEST_ENERGY)
    for i in np.flatnonzero((score > ENERGY_ABOVE) | (score < -below)):
        limits = f"-{below:.3g} to {ENERGY_ABOVE:g}"
        yield int(rows[i]), f"energy {excess[i]:+.3g} eV from the median, {_limits(score[i], limits)}"
    rows = np.flatnonzero(kept & np.isfinite(largest))
    _, score = _scores(largest[rows], SMALLEST_FORCE)
    for i in np.flatnonzero(score > FORCE_ABOVE):
        reason = f"largest force {largest[rows[i]]:.3g} eV/Å, {_limits(score[i], f'{FORCE_ABOVE:g}')}"
        yield int(rows[i]), reason
    if pairs is None:
        return
    among = np.flatnonzero(kept[pairs.rows])
    _, excitation = _scores(pairs.cheap[among], SMALLEST_ENERGY)
    bias, _ = _scores(pairs.bias[among], SMALLEST_ENERGY)
    _, score = _scores(bias / (1 + BIAS_GROWTH * np.abs(excitation)), SMALLEST_BIAS)
    for i in np.flatnonzero(np.abs(score) > BIAS_AWAY):
        reason = (
            f"energy {bias[i]:+.3g} eV from that expected from the cheap level, {_limits(score[i], f'±{BIAS_AWAY:g}')}"
        )
        yield int(pairs.rows[among[i]]), reason
    among = among[np.isfinite(pairs.difference[among])]
    difference = pairs.difference[among]
    usual = max(float(np.median(difference)), SMALLEST_FORCE / 10) if len(among) else 1.0
    _, score = _scores(difference / (usual + DISAGREEMENT_GROWTH * pairs.size[among]), SMALLEST_FRACTION)
    for i in np.flatnonzero(score > DISAGREEMENT_ABOVE):
        figure = f"forces {difference[i]:.3g} eV/Å from those of the cheap level, usually {usual:.3g}"
        yield int(pairs.rows[among[i]]), f"{figure}, {_limits(score[i], f'{DISAGREEMENT_ABOVE:g}')}"


def _limits(score: float, limit: str) -> str:
    return f"{score:+.0f} robust deviations, {limit} allowed"


def _scores(values: Floats, smallest: float) -> tuple[Floats, Floats]:
    """Differences from the median, in their unit and in robust deviations; zeros for fewer than :data:`FEWEST`
    values."""
    if len(values) < FEWEST:
        return np.zeros(len(values)), np.zeros(len(values))
    away = values - np.median(values)
    # The deviation of few labels is uncertain.
    caution = 1 + FEWEST / (2 * len(values))
    deviation = 1.4826 * float(np.median(np.abs(away)))
    return away, away / max(deviation, smallest) / caution


def _energies(table: pa.Table) -> Floats:
    return np.asarray(table["energy"].to_numpy(), dtype=float)


def _largest_force(forces: pa.ChunkedArray) -> Floats:
    """(M,) eV/Å, the largest component of each row; NaN without forces."""
    known = forces.is_valid().to_numpy()
    largest = np.full(len(forces), np.nan)
    if known.any():
        largest[known] = np.abs(_matrix(forces.drop_null())).max(axis=1)
    return largest


def _matrix(forces: pa.ChunkedArray) -> Floats:
    """(M, 3N) eV/Å; all rows have the same atoms."""
    return np.asarray(forces.combine_chunks().flatten().to_numpy()).reshape(len(forces), -1)


def _pairs(labels: pa.Table, cheap: pa.Table) -> _Pairs:
    places = pc.index_in(labels["frame_id"], cheap["frame_id"].combine_chunks())
    rows = np.flatnonzero(places.is_valid().to_numpy())
    there = places.drop_null().to_numpy()
    ours, theirs = labels.take(pa.array(rows)), cheap.take(pa.array(there))
    difference, size = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    both = pc.and_(ours["forces"].is_valid(), theirs["forces"].is_valid()).to_numpy()
    if both.any():
        a, c = (_matrix(table["forces"].filter(pa.array(both))) for table in (ours, theirs))
        difference[both] = _root_mean_square(a - c)
        size[both] = (_root_mean_square(a) + _root_mean_square(c)) / 2
    cheap_energy = _energies(theirs)
    return _Pairs(rows, _energies(ours) - cheap_energy, cheap_energy, difference, size)


def _root_mean_square(matrix: Floats) -> Floats:
    return np.asarray(np.sqrt(np.mean(matrix**2, axis=1)))
