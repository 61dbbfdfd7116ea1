"""The audit across frames: labels that no population of one molecule in one electronic state would contain.

:mod:`asteroid.labelling.audit` judges a label by itself; this module sees all labels of a molecule at a level, and
those of the same frames at the cheap level. What stands far outside is withdrawn: a ``rejected`` row with the figure
that condemned it follows the label in the store, and the frame has no label any more.

Deviations are measured from the median in robust standard deviations (1.4826 times the median absolute deviation), so
that the bad labels do not hide themselves. The limits are wide: sampling makes hot frames on purpose, and a good label
thrown away is worse than a hot one kept.
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
"""Labels that make a population; fewer are not judged by their likeness."""

ENERGY_ABOVE: Final = 60.0
ENERGY_BELOW: Final = 12.0
"""Robust deviations. 3601 and 4001 formaldehydes sampled at up to 2000 K reach 6.9 and 16.9 above their median, 1150
acetylacetones at 300 K 4.2. Below, the potential has a bottom: they reach 2.6. A harmonic molecule's bottom lies
sqrt((3N - 6)/2) standard deviations below its mean energy; twice as much is believed where it is more than this."""

FORCE_ABOVE: Final = 30.0
"""Robust deviations of the largest force. The same sets reach 10.3."""

BIAS_AWAY: Final = 8.0
BIAS_GROWTH: Final = 0.25
"""Robust deviations of accurate minus cheap energy, and how much wider they become with each robust deviation of the
cheap energy: the bias of a cheap method grows with distortion. The same sets, with GFN2, MP2 and B3LYP as the cheap
level, reach 5.3, and 200 random choices of 20 of their labels 7.7. Among 200 labels a shift of 1 eV is found in all
formaldehydes and in four of five acetylacetones, whose bias varies more; among 20 in about half of the latter."""

DISAGREEMENT_ABOVE: Final = 6.0
DISAGREEMENT_GROWTH: Final = 0.1
"""Robust deviations of the force disagreement, as a fraction of what is to be expected: the median disagreement and a
tenth of the forces. The same sets reach 2.6; forces of the wrong sign give more in 70 % (formaldehyde, GFN2 as the
cheap level) to all frames (MP2 as the cheap level; acetylacetone). The others hardly have forces."""

SMALLEST_ENERGY: Final = 0.01
SMALLEST_BIAS: Final = 0.002
SMALLEST_FORCE: Final = 0.05
SMALLEST_FRACTION: Final = 0.02
"""eV, eV, eV/Å and 1: no robust deviation is taken to be smaller, or frames that all but coincide condemn others."""


@dataclasses.dataclass(frozen=True)
class Withdrawn:
    """A label that is believed no more."""

    frame_id: str
    reason: str


def review(store: Store, molecule: str, level: LevelOfTheory, *, cheap: LevelOfTheory | None = None) -> list[Withdrawn]:
    """Withdraw the outliers among the labels of a molecule at a level; done again, it withdraws nothing more.

    Args:
        cheap: compare with the labels at this level, too.
    """
    table = store.label_table(molecule, level)
    # Those that judge a model (a minimum, displacements about it) are no sample of the molecule's geometries: many of
    # them would make all others outliers.
    judging = store.frame_table(molecule, split="certificate")["frame_id"].combine_chunks()
    table = table.filter(pc.invert(pc.is_in(table["frame_id"], value_set=judging)))
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
        log.warning("%s: %d labels at %s withdrawn as outliers", molecule, len(reasons), level)
    return [Withdrawn(table["frame_id"][row].as_py(), reason) for row, reason in sorted(reasons.items())]


def withdraw(store: Store, molecule: str, level: LevelOfTheory, labels: pa.Table, reasons: dict[int, str]) -> None:
    """Append a rejected row of no cost for each of these rows of a label table, with the reason."""
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
    """Rows of a label table that stand far outside the others, with the figure that condemns each.

    The rest is judged again without them until nothing more stands out, which makes the verdict its own fixed point.

    Args:
        labels: of one molecule at one level, as :meth:`~asteroid.store.Store.label_table` returns them.
        cheap: of the same molecule at the level to compare with.
        atoms: of the molecule; a large one's sampled energies lie far above its minimum.
    """
    below = max(ENERGY_BELOW, 2 * max(1.5 * atoms - 3, 0.0) ** 0.5)
    reasons: dict[int, str] = {}
    energy, largest = _numbers(labels, "energy"), _largest_force(labels["forces"])
    pairs = _pairs(labels, cheap) if cheap is not None else None
    while True:
        kept = np.ones(labels.num_rows, dtype=bool)
        kept[list(reasons)] = False
        found = dict(_verdicts(energy, largest, pairs, kept, below))
        if not found:
            return reasons
        reasons |= found


@dataclasses.dataclass(frozen=True)
class _Pairs:
    """Frames with a label at both levels.

    Args:
        rows: (M,) of the label table.
        bias: (M,) eV, accurate minus cheap energy.
        cheap: (M,) eV, cheap energy.
        difference: (M,) eV/Å, root mean square of accurate minus cheap forces; NaN where one of them is not known.
        size: (M,) eV/Å, mean of the root mean squares of accurate and of cheap forces; NaN likewise.
    """

    rows: npt.NDArray[np.int64]
    bias: Floats
    cheap: Floats
    difference: Floats
    size: Floats


def _verdicts(
    energy: Floats, largest: Floats, pairs: _Pairs | None, kept: npt.NDArray[np.bool_], below: float
) -> Iterator[tuple[int, str]]:
    """Rows that stand out among those that are kept."""
    rows = np.flatnonzero(kept)
    excess, score = _scores(energy[rows], SMALLEST_ENERGY)
    for i in np.flatnonzero((score > ENERGY_ABOVE) | (score < -below)):
        limits = f"-{below:.3g} to {ENERGY_ABOVE:g}"
        yield int(rows[i]), f"energy {excess[i]:+.3g} eV from the median, {_believed(score[i], limits)}"
    rows = np.flatnonzero(kept & np.isfinite(largest))
    _, score = _scores(largest[rows], SMALLEST_FORCE)
    for i in np.flatnonzero(score > FORCE_ABOVE):
        reason = f"largest force {largest[rows[i]]:.3g} eV/Å, {_believed(score[i], f'{FORCE_ABOVE:g}')}"
        yield int(rows[i]), reason
    if pairs is None:
        return
    among = np.flatnonzero(kept[pairs.rows])
    _, excitation = _scores(pairs.cheap[among], SMALLEST_ENERGY)
    bias, _ = _scores(pairs.bias[among], SMALLEST_ENERGY)
    _, score = _scores(bias / (1 + BIAS_GROWTH * np.abs(excitation)), SMALLEST_BIAS)
    for i in np.flatnonzero(np.abs(score) > BIAS_AWAY):
        reason = (
            f"energy {bias[i]:+.3g} eV from where the cheap level puts it, {_believed(score[i], f'±{BIAS_AWAY:g}')}"
        )
        yield int(pairs.rows[among[i]]), reason
    among = among[np.isfinite(pairs.difference[among])]
    difference = pairs.difference[among]
    usual = max(float(np.median(difference)), SMALLEST_FORCE / 10) if len(among) else 1.0
    _, score = _scores(difference / (usual + DISAGREEMENT_GROWTH * pairs.size[among]), SMALLEST_FRACTION)
    for i in np.flatnonzero(score > DISAGREEMENT_ABOVE):
        figure = f"forces {difference[i]:.3g} eV/Å from those of the cheap level, usually {usual:.3g}"
        yield int(pairs.rows[among[i]]), f"{figure}, {_believed(score[i], f'{DISAGREEMENT_ABOVE:g}')}"


def _believed(score: float, limit: str) -> str:
    return f"{score:+.0f} robust deviations, {limit} are believed"


def _scores(values: Floats, smallest: float) -> tuple[Floats, Floats]:
    """Distances from the median, in their unit and in robust deviations; zeros where there are too few to judge by."""
    if len(values) < FEWEST:
        return np.zeros(len(values)), np.zeros(len(values))
    away = values - np.median(values)
    # A deviation estimated from few labels is itself uncertain.
    caution = 1 + FEWEST / (2 * len(values))
    return away, away / max(_deviation(values), smallest) / caution


def _deviation(values: Floats) -> float:
    """Robust standard deviation: what it is called in a normal distribution, and hardly touched by outliers."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0


def _numbers(table: pa.Table, column: str) -> Floats:
    return np.asarray(table[column].to_numpy(), dtype=float)


def _largest_force(forces: pa.ChunkedArray) -> Floats:
    """(M,) eV/Å, the largest component of each row; NaN without forces."""
    known = forces.is_valid().to_numpy()
    largest = np.full(len(forces), np.nan)
    if known.any():
        largest[known] = np.abs(_matrix(forces.drop_null())).max(axis=1)
    return largest


def _matrix(forces: pa.ChunkedArray) -> Floats:
    """(M, 3N) eV/Å: a molecule has the same atoms in each row."""
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
    cheap_energy = _numbers(theirs, "energy")
    return _Pairs(rows, _numbers(ours, "energy") - cheap_energy, cheap_energy, difference, size)


def _root_mean_square(matrix: Floats) -> Floats:
    return np.asarray(np.sqrt(np.mean(matrix**2, axis=1)))
