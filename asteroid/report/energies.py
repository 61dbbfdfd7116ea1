"""Conformer energies and torsion barriers of a certificate as rows of a table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asteroid.units import KILOCALORIE_PER_MOLE, KILOJOULE_PER_MOLE
from asteroid.validation.conformers import ConformerEnergy
from asteroid.validation.torsions import TorsionComparison

ALIKE = 0.002
"""eV, 0.05 kcal/mol: stationary points of one profile with the same energy are equivalent, as those of a methyl group;
a scan relaxes to about this."""


@dataclass(frozen=True)
class EnergyRow:
    """An energy above the model's minimum at each level, eV; None where it was not computed.

    Args:
        name: of a conformer, or of a torsion with its point.
    """

    name: str
    model: float | None
    cheap: float | None = None
    accurate: float | None = None


UNITS = (("kcal/mol", KILOCALORIE_PER_MOLE), ("kJ/mol", KILOJOULE_PER_MOLE))
"""Units of the table and their size in eV."""


@dataclass(frozen=True)
class EnergyTable:
    """The rows with a column for each level that has energies, in each unit.

    Args:
        heads: of the columns.
        rows: name and numbers as text.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def energy_table(rows: Sequence[EnergyRow], *, cheap: str) -> EnergyTable:
    """The table of these rows.

    Args:
        cheap: name of the cheap level.

    >>> table = energy_table([EnergyRow("barrier", 0.0434, accurate=0.05)], cheap="gfn2-xtb")
    >>> table.heads
    ('accurate (kcal/mol)', 'model (kcal/mol)', 'accurate (kJ/mol)', 'model (kJ/mol)')
    >>> table.rows
    (('barrier', ('1.15', '1.00', '4.82', '4.19')),)
    """
    levels = [
        (name, energies)
        for name, energies in (
            (cheap, [row.cheap for row in rows]),
            ("accurate", [row.accurate for row in rows]),
            ("model", [row.model for row in rows]),
        )
        if any(energy is not None for energy in energies)
    ]
    heads = tuple(f"{name} ({unit})" for unit, _ in UNITS for name, _ in levels)
    cells = [[_text(energies[k], size) for _, size in UNITS for _, energies in levels] for k in range(len(rows))]
    return EnergyTable(heads, tuple((row.name, tuple(texts)) for row, texts in zip(rows, cells, strict=True)))


def _text(energy: float | None, unit: float) -> str:
    return "–" if energy is None else f"{energy / unit:.2f}".replace("-", "−")


def conformer_rows(conformers: Sequence[ConformerEnergy]) -> list[EnergyRow]:
    """One row for each conformer, the lowest at the cheap level first."""
    return [
        EnergyRow(
            f"conformer {index + 1}" + (f" (relaxes to {c.same_as + 1})" if c.same_as is not None else ""),
            c.model,
            cheap=c.cheap,
        )
        for index, c in enumerate(conformers)
    ]


def torsion_rows(torsions: Sequence[TorsionComparison]) -> list[EnergyRow]:
    """Barriers and minima of each profile, and its other labelled points, each with an accurate energy if there is one.

    Equivalent points are shown once, and the starting minimum is left out.
    """
    return [row for torsion in torsions for row in _rows(torsion)]


def _rows(torsion: TorsionComparison) -> list[EnergyRow]:
    energies = torsion.energies
    accurate = dict(zip(torsion.points.tolist(), torsion.accurate.tolist(), strict=True))
    start = int(np.abs(torsion.turns).argmin())
    kinds: dict[int, str] = {}
    if len(energies) > 2:
        # The profile is periodic.
        before, after = np.roll(energies, 1), np.roll(energies, -1)
        kinds |= dict.fromkeys(np.flatnonzero((energies > before) & (energies >= after)).tolist(), "barrier")
        kinds |= dict.fromkeys(np.flatnonzero((energies < before) & (energies <= after)).tolist(), "minimum")
    shown: list[tuple[str, float]] = [("minimum", float(energies[start]))]
    rows = []
    # Labelled points first, so that of equivalent ones the labelled is shown.
    for point in sorted({*kinds, *accurate}, key=lambda p: (p not in accurate, p)):
        kind, energy = kinds.get(point, "point"), float(energies[point])
        alike = any(kind == other and abs(energy - height) < ALIKE for other, height in shown)
        if point == start or (alike and point not in accurate):
            continue
        shown.append((kind, energy))
        turn = f"{torsion.turns[point]:.0f}".replace("-", "−")
        rows.append((point, EnergyRow(f"{torsion.name}, {kind} at {turn}°", energy, accurate=accurate.get(point))))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]
