"""The model's minimum, its vibrations, and its distance from the accurate minimum.

The accurate minimum takes a few accurate labels instead of an optimisation: label the model's minimum, take a Newton
step with the model's Hessian and the accurate forces, label again. :mod:`asteroid.stages.minima` does the labelling;
:mod:`asteroid.validation.certificate` has the thresholds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from asteroid.chemistry.bonds import bonded
from asteroid.chemistry.vibrations import hessian, normal_modes, rigid_and_internal_modes
from asteroid.configuration import Configuration
from asteroid.store.records import Floats
from asteroid.validation.distributions import Kind, bonds_and_angles, internal_coordinate

Labelled = tuple[Configuration, Floats]
"""A configuration and its accurate forces, (N, 3) eV/Å."""

CONVERGED = 0.01
"""eV/Å, largest force component at the accurate minimum."""
SOFTEST = 0.1
"""eV/Å², smallest curvature for a Newton step: a floppy torsion must not lead to a huge step."""


@dataclass(frozen=True)
class InternalCoordinate:
    """A bond length in Å or a bond angle in degrees, at the model's minimum and at the accurate one."""

    kind: Kind
    atoms: str
    model: float
    accurate: float


@dataclass(frozen=True, eq=False)
class ModelMinimum:
    """The model's minimum without accurate forces.

    Args:
        frequencies: (3N−6,) cm⁻¹ of the model at its minimum; imaginary ones are negative.
    """

    frequencies: Floats


@dataclass(frozen=True, eq=False)
class MinimumComparison:
    """The model's minimum compared with the accurate one.

    Args:
        residual_force: eV/Å, largest accurate force component at the model's minimum.
        accurate_force: eV/Å, largest accurate force component at the accurate minimum.
        rmsd: Å over all atoms, after alignment.
        coordinates: bonds and angles of both.
        frequencies: (3N−6,) cm⁻¹ of the model at its minimum; imaginary ones are negative.
        converged: whether ``accurate_force`` is below :data:`CONVERGED`; otherwise ``rmsd`` is only an estimate.
        labels: number of accurate labels.
        model_frame, accurate_frame: frame ids of both geometries.
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
    """Geometry optimisation with BFGS; returns the last geometry and whether it converged.

    Args:
        calculator: an ASE calculator.
        fmax: eV/Å, largest force on an atom.
    """
    from ase.optimize import BFGS

    atoms: Any = start.to_atoms()
    atoms.calc = calculator
    optimiser: Any = BFGS(atoms, logfile=None)
    converged = bool(optimiser.run(fmax=fmax, steps=max_steps))
    return start.with_positions(atoms.positions), converged


def model_hessian(calculator: Any, configuration: Configuration) -> Floats:
    """Hessian of the model's energy, (3N, 3N) eV/Å².

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
    """Newton step towards the accurate minimum, with the model's Hessian and the accurate forces.

    Translations and rotations are projected out; modes with negative curvature are followed downhill.

    Args:
        second: (3N, 3N) eV/Å², the Hessian.
        accurate_forces: (N, 3) eV/Å at ``configuration``.
        max_step: Å, longest displacement of an atom.
    """
    _, inside = rigid_and_internal_modes(configuration.positions, np.ones(len(configuration.numbers)))
    curvatures, modes = np.linalg.eigh(inside.T @ second @ inside)
    vectors = inside @ modes
    forces = np.asarray(accurate_forces, dtype=np.float64).ravel()
    move = (vectors @ ((vectors.T @ forces) / np.maximum(np.abs(curvatures), SOFTEST))).reshape(-1, 3)
    longest = float(np.linalg.norm(move, axis=1).max())
    return configuration.with_positions(configuration.positions + move * min(1.0, max_step / max(longest, 1e-12)))


def next_geometry(second: Floats, labelled: Sequence[Labelled]) -> Configuration:
    """The next geometry to label: a Newton step from the label with the smallest force.

    BFGS updates (Nocedal and Wright, Numerical Optimization, eq. 6.19) correct the model's Hessian with the accurate
    labels. Equal arguments give the same geometry, so a repeated stage finds its stored label.

    Args:
        second: (3N, 3N) eV/Å², the model's Hessian at its minimum.
        labelled: configurations and their accurate forces, oldest first; the first is the model's minimum.
    """
    refined = second
    for (before, old), (after, new) in pairwise(labelled):
        move = (after.positions - before.positions).ravel()
        change = (np.asarray(old) - np.asarray(new)).ravel()
        # The update keeps the matrix positive definite only for positive curvature along the step.
        if move @ change > 1e-8 and move @ refined @ move > 1e-8:
            pushed = refined @ move
            refined = refined + np.outer(change, change) / (change @ move) - np.outer(pushed, pushed) / (move @ pushed)
    best, forces = min(labelled, key=_largest)
    return newton_step(refined, forces, best)


def compare_minima(second: Floats, labelled: Sequence[Labelled]) -> MinimumComparison:
    """Compare the model's minimum with the labelled geometry with the smallest accurate force.

    Args:
        second: (3N, 3N) eV/Å², the model's Hessian at its minimum.
        labelled: configurations and their accurate forces; the first is the model's minimum.
    """
    model = labelled[0][0]
    accurate, forces = min(labelled, key=_largest)
    left = _largest((accurate, forces))
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
    """RMSD in Å after the best rotation; atom i of one is atom i of the other."""
    a, b = _centred(first), _centred(second)
    return float(np.sqrt(((a @ rotation_onto(first, second) - b) ** 2).sum(axis=1).mean()))


def rotation_onto(first: Configuration, second: Configuration) -> Floats:
    """(3, 3), the rotation R that minimises |first R − second| (Kabsch, doi:10.1107/S0567739476001873)."""
    u, _, vt = np.linalg.svd(_centred(first).T @ _centred(second))
    # No reflection, which would make mirror images equal.
    u[:, -1] *= np.sign(np.linalg.det(u @ vt))
    return np.asarray(u @ vt)


def compare_coordinates(model: Configuration, accurate: Configuration) -> tuple[InternalCoordinate, ...]:
    """All bond lengths and bond angles of the accurate geometry, at both geometries."""
    names = [f"{symbol}{index}" for index, symbol in enumerate(accurate.symbols)]
    both = np.stack([model.positions, accurate.positions])
    return tuple(
        InternalCoordinate(kind, "–".join(names[atom] for atom in atoms), *internal_coordinate(both, atoms).tolist())
        for kind, atoms in bonds_and_angles(bonded(accurate))
    )


def _centred(configuration: Configuration) -> Floats:
    centred: Floats = configuration.positions - configuration.positions.mean(axis=0)
    return centred


def _largest(labelled: Labelled) -> float:
    """Largest force component, eV/Å."""
    return float(np.abs(labelled[1]).max())
