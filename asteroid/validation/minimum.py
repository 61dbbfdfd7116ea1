"""The model's minimum, its vibrations, and how far the accurate minimum lies from it.

The accurate minimum is reached with a handful of accurate labels instead of an optimisation: label the model's minimum,
step to where the model's curvature and the accurate forces say the minimum is, label again. The labelling is done by
the stage that calls this module; here are the pure functions between two labels. What they find is judged in
:mod:`asteroid.validation.certificate`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from asteroid.chemistry.bonds import bonded
from asteroid.chemistry.vibrations import hessian, internal_modes, normal_modes
from asteroid.configuration import Configuration
from asteroid.store.records import Floats

Labelled = tuple[Configuration, Floats]
"""A configuration and its accurate forces, (N, 3) eV/Å."""

CONVERGED = 0.01
"""eV/Å: an accurate geometry whose largest force component is below it counts as the accurate minimum."""
SOFTEST = 0.1
"""eV/Å²: curvature below it is taken as this, so that a floppy torsion does not ask for a huge step."""


@dataclass(frozen=True)
class InternalCoordinate:
    """A bond length in Å or a bond angle in degrees, at the model's minimum and at the accurate one."""

    kind: Literal["bond", "angle"]
    atoms: str
    model: float
    accurate: float


@dataclass(frozen=True, eq=False)
class ModelMinimum:
    """The model's minimum alone, where there are no accurate forces to compare it with.

    Args:
        frequencies: (3N−6,) cm⁻¹ of the model at its own minimum, imaginary ones negative.
    """

    frequencies: Floats


@dataclass(frozen=True, eq=False)
class MinimumComparison:
    """The model's minimum against the accurate one.

    Args:
        residual_force: eV/Å, largest accurate force component at the model's minimum.
        accurate_force: eV/Å, largest accurate force component left at the geometry taken as the accurate minimum.
        rmsd: Å over all atoms, after alignment.
        coordinates: bonds and angles of both.
        frequencies: (3N−6,) cm⁻¹ of the model at its own minimum, imaginary ones negative.
        converged: whether ``accurate_force`` is below :data:`CONVERGED`; if not, ``rmsd`` is only an estimate.
        labels: accurate labels used.
        model_frame, accurate_frame: ids of the two frames.
    """

    residual_force: float
    accurate_force: float
    rmsd: float
    coordinates: tuple[InternalCoordinate, ...]
    frequencies: Floats
    converged: bool
    labels: int
    model_frame: str
    accurate_frame: str


def find_minimum(
    calculator: Any, start: Configuration, *, fmax: float = 0.002, max_steps: int = 500
) -> tuple[Configuration, bool]:
    """Optimise to where every atom's force is below ``fmax``; also tell whether that was reached.

    Args:
        calculator: an ASE calculator.
        fmax: eV/Å.
    """
    from ase.optimize import BFGS

    atoms: Any = start.to_atoms()
    atoms.calc = calculator
    optimiser: Any = BFGS(atoms, logfile=None)
    converged = bool(optimiser.run(fmax=fmax, steps=max_steps))
    return start.with_positions(atoms.positions), converged


def model_hessian(calculator: Any, configuration: Configuration) -> Floats:
    """The model's second derivatives of the energy, (3N, 3N) eV/Å².

    Args:
        calculator: an ASE calculator.
    """
    atoms: Any = configuration.to_atoms()
    atoms.calc = calculator

    def forces(displaced: Configuration) -> Floats:
        atoms.positions = displaced.positions
        return np.asarray(atoms.get_forces())

    return hessian(forces, configuration)


def newton_step(
    second: Floats, accurate_forces: npt.ArrayLike, configuration: Configuration, *, max_step: float = 0.15
) -> Configuration:
    """The configuration where the accurate minimum should be, by the model's curvature.

    Translations and rotations are projected out, a mode that curves downwards is followed downhill, and no atom moves
    further than ``max_step``.

    Args:
        second: (3N, 3N) eV/Å², the model's.
        accurate_forces: (N, 3) eV/Å at ``configuration``.
        max_step: Å.
    """
    inside = internal_modes(configuration.positions, np.ones(len(configuration.numbers)))
    curvatures, modes = np.linalg.eigh(inside.T @ second @ inside)
    vectors = inside @ modes
    forces = np.asarray(accurate_forces, dtype=np.float64).ravel()
    move = (vectors @ ((vectors.T @ forces) / np.maximum(np.abs(curvatures), SOFTEST))).reshape(-1, 3)
    longest = float(np.linalg.norm(move, axis=1).max())
    return configuration.with_positions(configuration.positions + move * min(1.0, max_step / max(longest, 1e-12)))


def next_geometry(second: Floats, labelled: Sequence[Labelled]) -> Configuration:
    """Where to label next, from the model's curvature and every accurate label so far, oldest first.

    What the labels say about the accurate curvature is put into the model's by BFGS updates (Nocedal and Wright,
    Numerical Optimization, eq. 6.19); the step starts at the label with the smallest force. A function of its arguments
    alone, so a stage that is run again finds the same geometry and the label that is already stored.

    Args:
        second: (3N, 3N) eV/Å², the model's at its minimum.
        labelled: configurations and their accurate forces; the first is the model's minimum.
    """
    refined = second
    for (before, old), (after, new) in pairwise(labelled):
        move = (after.positions - before.positions).ravel()
        change = (np.asarray(old) - np.asarray(new)).ravel()
        # Without positive curvature along the step the update would not keep the matrix positive.
        if move @ change > 1e-8 and move @ refined @ move > 1e-8:
            pushed = refined @ move
            refined = refined + np.outer(change, change) / (change @ move) - np.outer(pushed, pushed) / (move @ pushed)
    best, forces = min(labelled, key=_largest)
    return newton_step(refined, forces, best)


def compare_minima(second: Floats, labelled: Sequence[Labelled]) -> MinimumComparison:
    """Compare the model's minimum with the geometry of the smallest accurate force among those labelled.

    Args:
        second: (3N, 3N) eV/Å², the model's at its minimum.
        labelled: configurations and their accurate forces, in order; the first is the model's minimum.
    """
    model = labelled[0][0]
    accurate, forces = min(labelled, key=_largest)
    left = float(np.abs(forces).max())
    return MinimumComparison(
        residual_force=_largest(labelled[0]),
        accurate_force=left,
        rmsd=aligned_rmsd(model, accurate),
        coordinates=compare_coordinates(model, accurate),
        frequencies=normal_modes(model, second).wavenumbers,
        converged=left < CONVERGED,
        labels=len(labelled),
        model_frame=model.frame_id,
        accurate_frame=accurate.frame_id,
    )


def aligned_rmsd(first: Configuration, second: Configuration) -> float:
    """RMSD in Å between equal atoms after the best rotation."""
    a = first.positions - first.positions.mean(axis=0)
    b = second.positions - second.positions.mean(axis=0)
    return float(np.sqrt(((a @ rotation_onto(first, second) - b) ** 2).sum(axis=1).mean()))


def rotation_onto(first: Configuration, second: Configuration) -> Floats:
    """(3, 3), the best rotation of rows of ``first`` onto ``second`` (Kabsch, doi 10.1107/S0567739476001873)."""
    a = first.positions - first.positions.mean(axis=0)
    b = second.positions - second.positions.mean(axis=0)
    u, _, vt = np.linalg.svd(a.T @ b)
    # A reflection would make mirror images equal.
    u[:, -1] *= np.sign(np.linalg.det(u @ vt))
    return np.asarray(u @ vt)


def compare_coordinates(model: Configuration, accurate: Configuration) -> tuple[InternalCoordinate, ...]:
    """Every bond length and bond angle of the accurate geometry, in both."""
    bonds = bonded(accurate)
    names = [f"{symbol}{index}" for index, symbol in enumerate(accurate.symbols)]
    rows = [
        InternalCoordinate("bond", f"{names[i]}–{names[j]}", _length(model, i, j), _length(accurate, i, j))
        for i, j in zip(*np.nonzero(np.triu(bonds)), strict=True)
    ]
    for centre in range(len(bonds)):
        ends = [int(end) for end in np.flatnonzero(bonds[centre])]
        for position, i in enumerate(ends):
            for k in ends[position + 1 :]:
                name = f"{names[i]}–{names[centre]}–{names[k]}"
                angles = (_angle(model, i, centre, k), _angle(accurate, i, centre, k))
                rows.append(InternalCoordinate("angle", name, *angles))
    return tuple(rows)


def _largest(labelled: Labelled) -> float:
    return float(np.abs(labelled[1]).max())


def _length(configuration: Configuration, i: int, j: int) -> float:
    return float(np.linalg.norm(configuration.positions[i] - configuration.positions[j]))


def _angle(configuration: Configuration, i: int, centre: int, k: int) -> float:
    a, b = configuration.positions[[i, k]] - configuration.positions[centre]
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))
