"""Checks of a molecule's labels: outliers among them, cheap labels of explored geometries, and the audit of a sample.

A label that fails is rejected and trains no model.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asteroid.configuration import EXPLORED
from asteroid.engines import programs_for
from asteroid.labelling.review import Withdrawn, review, withdraw
from asteroid.labelling.spot_check import Check, spot_check
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.stages.round_files import acquisition
from asteroid.store import Store
from asteroid.store.rows import table_to_attempts


def review_labels(store: Store, molecule: MoleculeSettings, level: LevelOfTheory) -> list[Withdrawn]:
    """Reject outliers among a molecule's labels at a level; of a composite one, at each part."""
    cheap = molecule.cheap if level == molecule.accurate else None
    return [one for part in level.computed for one in review(store, molecule.name, part, cheap=cheap)]


def review_explored(store: Store, molecule: MoleculeSettings) -> int:
    """Reject the cheap labels of explored geometries with an energy that MD never reaches; returns their number.

    An inaccurate model finds such geometries. Without a cheap label, they are neither candidates nor training frames.
    """
    from asteroid.sampling.screening import highest_energy

    explored = {f.frame_id: f for f in store.frames(molecule.name) if f.origin.method == EXPLORED}
    table = store.label_table(molecule.name, molecule.cheap)
    if not explored or not table.num_rows:
        return 0
    atoms = len(next(iter(explored.values())).configuration.numbers)
    energies = table["energy"].to_numpy()
    above = energies - energies.min()
    reasons = {
        row: f"explored geometry {above[row]:.2f} eV above the lowest"
        for row, frame_id in enumerate(table["frame_id"].to_pylist())
        if frame_id in explored and above[row] > highest_energy(atoms, max(acquisition(molecule).temperatures))
    }
    withdraw(store, molecule.name, molecule.cheap, table, reasons)
    return len(reasons)


@dataclass(frozen=True)
class Audit:
    """Result of an audit of a molecule's labels at one level.

    Args:
        labels: number accepted before the audit.
        outliers: labels rejected as outliers.
        foreign: number of labels from other programs, which are not recomputed.
        checks: recomputed labels.
    """

    molecule: str
    level: LevelOfTheory
    labels: int
    outliers: list[Withdrawn]
    foreign: int
    checks: list[Check]

    @property
    def energy_error(self) -> float | None:
        """eV, the largest; None if nothing was recomputed."""
        return max((c.energy_error for c in self.checks if c.energy_error is not None), default=None)

    @property
    def force_error(self) -> float | None:
        """eV/Å, the largest; None when no forces were checked."""
        return max((c.force_error for c in self.checks if c.force_error is not None), default=None)

    @property
    def withdrawn(self) -> list[Withdrawn]:
        """All rejected labels."""
        return self.outliers + [Withdrawn(c.frame_id, c.reason) for c in self.checks if c.reason]


def audit_labels(
    store: Store,
    molecule: str,
    level: LevelOfTheory,
    *,
    sample: int,
    seed: int = 0,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """Reject outliers among a molecule's labels, then recompute a random sample and reject those that differ.

    Args:
        level: not a composite one, whose labels are audited at its parts.
        sample: number of labels to recompute, limited by their number.
        seed: of the sample and of the directions along which forces are checked.
        on_progress: called with (recomputed energies, all energies).
    """
    labels = store.label_table(molecule, level).num_rows
    # Without a manifest, the semiempirical level counts as the cheap level.
    cheap = None if level.is_semiempirical else next((x for x in store.levels(molecule) if x.is_semiempirical), None)
    outliers = review(store, molecule, level, cheap=cheap)
    table = store.label_table(molecule, level)
    ours = table.filter(pc.is_in(table["program"], pa.array(programs_for(level), pa.string())))
    chosen = np.random.default_rng(seed).permutation(ours.num_rows)[:sample]
    drawn = ours.take(pa.array(np.sort(chosen)))
    frames = {f.frame_id: f.configuration for f in store.frames(molecule, ids=drawn["frame_id"].to_pylist())}
    pairs = [(frames[label.frame_id], label) for label in table_to_attempts(drawn) if label.frame_id in frames]
    checks = spot_check(pairs, level, seed=seed, workers=workers, on_progress=on_progress)
    withdraw(store, molecule, level, drawn, {row: c.reason for row, c in enumerate(checks) if c.reason})
    return Audit(molecule, level, labels, outliers, table.num_rows - ours.num_rows, checks)
