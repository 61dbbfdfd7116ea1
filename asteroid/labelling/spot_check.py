"""Recompute labels: the energy must be reproducible and the stored forces must be its derivative.

Forces are checked along one random unit vector d: −F·d against the fourth-order central difference of energies. This
takes five energies per label, computed in worker processes.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from asteroid.configuration import Configuration
from asteroid.engines import engine_for
from asteroid.errors import AsteroidError
from asteroid.labelling.campaign import label_configurations
from asteroid.levels import LevelOfTheory
from asteroid.store.rows import Attempt

STEP: Final = 5e-3
"""Å. The truncation error is below 1e-6 eV/Å for covalent bonds, and energies converged to 1e-6 eV give 3e-4."""

FORCE_FIELD_STEP: Final = 2e-4
"""Å, for GFN-FF: its energy jumps by 1e-4 eV where the rounding of its topology charges changes, and is smooth
between."""

FORCE_TOLERANCE: Final = 1e-3
"""eV/Å along the direction; all wrong gradients found so far were off by at least 1e-2."""

FORCE_FIELD_TOLERANCE: Final = 0.1
"""eV/Å, for GFN-FF, whose energy may jump within the step."""

ENERGY_TOLERANCE: Final = 1e-4
"""eV, between two calculations of the same frame with the same program."""

_STENCIL: Final = {1: 8.0, -1: -8.0, 2: -1.0, -2: 1.0}
"""Fourth-order central difference, times 12 steps."""


@dataclass(frozen=True)
class Check:
    """Errors of one label, found by recomputing it.

    Args:
        energy_error: eV, of the stored energy; None when it could not be recomputed.
        force_error: eV/Å along a random direction; None for an energy-only label or when an energy is missing.
        reason: the failed check, None when the label passes.
    """

    frame_id: str
    energy_error: float | None
    force_error: float | None
    reason: str | None


def force_tolerance(level: LevelOfTheory) -> float:
    """Largest accepted difference of stored forces from the finite difference, eV/Å."""
    return FORCE_FIELD_TOLERANCE if level.method == "gfn-ff" else FORCE_TOLERANCE


def spot_check(
    labels: Sequence[tuple[Configuration, Attempt]],
    level: LevelOfTheory,
    *,
    seed: int = 0,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Check]:
    """Recompute labels, each with the program that made it.

    Args:
        labels: frames with their labels at this level.
        seed: of the directions.
        on_progress: called with (energies computed, all energies).
    """
    step = FORCE_FIELD_STEP if level.method == "gfn-ff" else STEP
    generator = np.random.default_rng(seed)
    directions, needed = {}, defaultdict[str | None, list[Configuration]](list)
    for configuration, label in labels:
        direction = generator.normal(size=configuration.positions.shape)
        directions[configuration.frame_id] = direction / np.linalg.norm(direction)
        moved = _displaced(configuration, directions[configuration.frame_id], step).values()
        needed[engine_for(level, label.program)] += [configuration, *(moved if label.forces is not None else ())]
    total = sum(len(configurations) for configurations in needed.values())
    energies: dict[str, float | None] = {}
    for engine, configurations in needed.items():
        for attempt in label_configurations(configurations, level, engine=engine, workers=workers, forces=False):
            energies[attempt.frame_id] = attempt.energy if attempt.status == "ok" else None
            if on_progress:
                on_progress(len(energies), total)
    return [_compare(c, label, directions[c.frame_id], energies, level, step) for c, label in labels]


def check_forces(configuration: Configuration, level: LevelOfTheory, *, engine: str | None = None) -> Check:
    """Compute forces and compare them with the finite difference of energies, in one worker process.

    Raises:
        AsteroidError: when a label fails.
    """
    step = FORCE_FIELD_STEP if level.method == "gfn-ff" else STEP
    direction = np.random.default_rng(0).normal(size=configuration.positions.shape)
    direction /= np.linalg.norm(direction)
    moved = _displaced(configuration, direction, step).values()
    found = {one.frame_id: one for one in label_configurations([configuration, *moved], level, engine=engine)}
    if failed := [one for one in found.values() if one.status != "ok"]:
        raise AsteroidError(f"'{level}' gives no label of {configuration.formula}: {failed[0].reason}")
    energies = {frame_id: one.energy for frame_id, one in found.items()}
    return _compare(configuration, found[configuration.frame_id], direction, energies, level, step)


def _displaced(configuration: Configuration, direction: np.ndarray, step: float) -> dict[int, Configuration]:
    return {n: configuration.with_positions(configuration.positions + n * step * direction) for n in _STENCIL}


def _compare(
    configuration: Configuration,
    label: Attempt,
    direction: np.ndarray,
    energies: dict[str, float | None],
    level: LevelOfTheory,
    step: float,
) -> Check:
    again = energies.get(configuration.frame_id)
    energy_error = None if again is None or label.energy is None else abs(label.energy - again)
    force_error = None
    if label.forces is not None:
        moved = {n: energies.get(c.frame_id) for n, c in _displaced(configuration, direction, step).items()}
        known = {n: energy for n, energy in moved.items() if energy is not None}
        if len(known) == len(_STENCIL):
            slope = sum(_STENCIL[n] * energy for n, energy in known.items()) / (12 * step)
            force_error = abs(slope + float((label.forces * direction).sum()))
    reason = None
    if energy_error is not None and energy_error > ENERGY_TOLERANCE:
        reason = f"energy is off by {energy_error:.3g} eV when computed again, at most {ENERGY_TOLERANCE:g} expected"
    elif force_error is not None and force_error > (limit := force_tolerance(level)):
        reason = (
            f"forces differ from the finite difference of energies by {force_error:.3g} eV/Å, "
            f"at most {limit:g} expected"
        )
    return Check(configuration.frame_id, energy_error, force_error, reason)
