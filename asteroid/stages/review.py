"""Labels judged together, and some of them computed again: what fails is withdrawn before it can train a model."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asteroid.engines import programs_for
from asteroid.labelling.review import Withdrawn, review, withdraw
from asteroid.labelling.spot_check import Check, spot_check
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.store import Store
from asteroid.store.rows import table_to_attempts


def review_labels(store: Store, molecule: MoleculeSettings, level: LevelOfTheory) -> list[Withdrawn]:
    """Withdraw outliers among a molecule's labels at one of its levels; of a composite one, at each part."""
    cheap = molecule.cheap if level == molecule.accurate else None
    return [one for part in level.computed for one in review(store, molecule.name, part, cheap=cheap)]


@dataclass(frozen=True)
class Audit:
    """What the audit of a molecule's labels at one level found.

    Args:
        labels: accepted before the audit.
        outliers: withdrawn for their unlikeness to the others.
        foreign: labels that other programs made, which are not computed again.
        checks: of the labels that were.
    """

    molecule: str
    level: LevelOfTheory
    labels: int
    outliers: list[Withdrawn]
    foreign: int
    checks: list[Check]

    @property
    def energy_error(self) -> float | None:
        """eV, the largest; None when nothing was computed again."""
        return max((c.energy_error for c in self.checks if c.energy_error is not None), default=None)

    @property
    def force_error(self) -> float | None:
        """eV/Å, the largest; None when no forces were checked."""
        return max((c.force_error for c in self.checks if c.force_error is not None), default=None)

    @property
    def withdrawn(self) -> list[Withdrawn]:
        """All that the audit withdrew."""
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
    """Judge a molecule's labels at a level together, then recompute a random sample of them; withdraw what fails.

    Args:
        level: not a composite one, whose labels are audited at its parts.
        sample: labels to recompute, at most all there are.
        seed: of the sample and of the directions along which forces are checked.
        on_progress: called with (energies recomputed, energies in all).
    """
    labels = store.label_table(molecule, level).num_rows
    # Without a manifest, the semiempirical level is what the others are compared with.
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
