"""Dipole model beside a MACE model: linear in its node features, fitted in closed form.

.. math:: \\mu = \\sum_i q_i (r_i - \\bar r) + \\sum_i v_i

:math:`q_i` is linear in the scalar features (l = 0) of atom i and :math:`v_i` in its vector features (l = 1), with
weights for each element; the centre :math:`\\bar r` makes the charges sum to zero. So the dipole turns with the
molecule and does not change when a neutral one is moved. Atomic charges and dipoles for infrared spectra: Gastegger,
Behler and Marquetand, doi:10.1039/C7SC02267K; Veit, Wilkins, Yang, DiStasio and Ceriotti, doi:10.1063/5.0009106.

A few accurate dipoles do not determine all weights. Those of the many cheap dipoles are fitted first, and the accurate
ones correct them if that has the smaller leave-one-out error. :mod:`asteroid.stages.infrared` fits the model,
:mod:`asteroid.training.calculator` uses it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from asteroid.configuration import SYMBOLS, Configuration
from asteroid.errors import InputError, TrainingError
from asteroid.store.records import DipoleModel
from asteroid.training.predict import SCALAR, irreps, node_features

Floats = npt.NDArray[np.float64]

RIDGES: Final = tuple(10.0**exponent for exponent in range(-10, 2))
"""Candidate penalties, relative to the mean square of the columns."""

MOST_CHEAP: Final = 500
"""Largest number of cheap dipoles; more do not change the fit."""

FEWEST: Final = 5
"""Smallest number of accurate dipoles, as for a model."""

BATCH: Final = 1000
"""Frames whose features are kept at once."""


@dataclass(frozen=True, eq=False)
class Dipoles:
    """Configurations of neutral molecules with their dipoles, (M, 3) e·Å."""

    configurations: Sequence[Configuration]
    values: Floats

    def __len__(self) -> int:
        return len(self.configurations)


def fit_dipoles(
    module: torch.nn.Module, accurate: Dipoles, cheap: Dipoles | None, *, model_id: str, level: str
) -> DipoleModel:
    """Fit a dipole model by ridge regression, whose penalty is chosen by the leave-one-out error.

    Args:
        module: the MACE model.
        accurate: at least :data:`FEWEST`.
        cheap: None to use the accurate dipoles alone.
        model_id, level: see :class:`~asteroid.store.records.DipoleModel`.

    Raises:
        TrainingError: for too few accurate dipoles.
    """
    if len(accurate) < FEWEST:
        raise TrainingError(f"{len(accurate)} accurate dipoles are too few for a dipole model; it takes {FEWEST}")
    elements = _elements(accurate)
    columns = _columns(module, accurate.configurations, elements)
    weights, error = _ridge(columns, accurate.values)
    used = 0
    if cheap is not None:
        every = -(-len(cheap) // MOST_CHEAP)
        thinned = Dipoles(cheap.configurations[::every], cheap.values[::every])
        prior, _ = _ridge(_columns(module, thinned.configurations, elements), thinned.values)
        change, corrected_error = _ridge(columns, accurate.values - columns @ prior)
        if corrected_error < error:
            weights, used = prior + change, len(thinned)
    charges, vectors = _by_element(weights, len(elements), _scalars(module))
    return DipoleModel(
        model_id=model_id,
        level=level,
        elements=elements,
        charges=charges,
        vectors=vectors,
        labels=len(accurate),
        cheap_labels=used,
    )


def predict_dipoles(module: torch.nn.Module, dipoles: DipoleModel, configurations: Sequence[Configuration]) -> Floats:
    """Dipoles of neutral molecules, (M, 3) e·Å.

    Args:
        module: the MACE model that the dipole model belongs to.

    Raises:
        InputError: for elements that the dipole model does not know.
    """
    unknown = {int(z) for c in configurations for z in c.numbers} - set(dipoles.elements)
    if unknown:
        raise InputError(
            f"the dipole model of {dipoles.model_id} knows {_symbols(dipoles.elements)} and not {_symbols(unknown)}; "
            "train a model of that molecule"
        )
    weights = np.concatenate([dipoles.charges.ravel(), dipoles.vectors.ravel()])
    parts = [
        _columns(module, configurations[start : start + BATCH], dipoles.elements) @ weights
        for start in range(0, len(configurations), BATCH)
    ]
    return np.concatenate(parts) if parts else np.empty((0, 3))


def constant_charge_dipoles(fitted: Dipoles, configurations: Sequence[Configuration]) -> Floats:
    """Dipoles (M, 3) e·Å of one charge for each element, fitted to these dipoles: the simplest model."""
    elements = _elements(fitted)

    def columns(of: Sequence[Configuration]) -> Floats:
        return np.array([_of_charges(c, elements, np.ones((len(c.numbers), 1))) for c in of])

    weights, _ = _ridge(columns(fitted.configurations), fitted.values)
    return np.asarray(columns(configurations) @ weights)


def _symbols(elements: Iterable[int]) -> str:
    return ", ".join(SYMBOLS[z] for z in sorted(elements))


def _elements(dipoles: Dipoles) -> tuple[int, ...]:
    return tuple(sorted({int(z) for c in dipoles.configurations for z in c.numbers}))


def _ridge(columns: Floats, targets: Floats) -> tuple[Floats, float]:
    """Weights (P,) with the smallest leave-one-out error, and that error.

    Args:
        columns: (M, 3, P); each is scaled to a mean square of 1.
        targets: (M, 3).
    """
    rows, values = columns.reshape(-1, columns.shape[-1]), targets.ravel()
    sizes = np.sqrt(np.square(rows).mean(axis=0))
    sizes[sizes == 0] = 1.0
    left, singular, right = np.linalg.svd(rows / sizes, full_matrices=False)
    projected, of_frames = left.T @ values, left.reshape(len(targets), 3, -1)
    found = []
    for ridge in RIDGES:
        kept = singular**2 / (singular**2 + ridge * len(rows))
        residuals = targets - of_frames @ (kept * projected)
        # All three components of a frame are left out together (Allen's PRESS in blocks).
        hats = np.einsum("mak,k,mbk->mab", of_frames, kept, of_frames)
        errors = np.linalg.solve(np.eye(3) - hats, residuals[..., None])
        found.append((float(np.abs(errors).mean()), ridge))
    error, ridge = min(found)
    shrunk = singular * projected / (singular**2 + ridge * len(rows))
    return right.T @ shrunk / sizes, error


def _columns(module: torch.nn.Module, configurations: Sequence[Configuration], elements: Sequence[int]) -> Floats:
    """(M, 3, P): the dipoles of unit weights, those of :func:`_by_element`, in its order."""
    found = []
    for configuration, (scalars, vectors) in zip(configurations, node_features(module, configurations), strict=True):
        ones = np.ones((len(scalars), 1))
        of_charges = _of_charges(configuration, elements, np.concatenate([ones, scalars], axis=1))
        is_element = configuration.numbers[:, None] == np.array(elements)
        of_vectors = np.einsum("nz,nvx->xzv", is_element, vectors).reshape(3, -1)
        found.append(np.concatenate([of_charges, of_vectors], axis=1))
    return np.array(found)


def _of_charges(configuration: Configuration, elements: Sequence[int], scalars: Floats) -> Floats:
    """(3, Z·S): dipoles of charges that are equal to one scalar feature, on the atoms of one element."""
    is_element = configuration.numbers[:, None] == np.array(elements)
    centred = configuration.positions - configuration.positions.mean(axis=0)
    return np.asarray(np.einsum("nz,ns,nx->xzs", is_element, scalars, centred).reshape(3, -1))


def _by_element(weights: Floats, elements: int, scalars: int) -> tuple[Floats, Floats]:
    """Weights (P,) as those of charges, (Z, 1 + S), and of vectors, (Z, V)."""
    charges = elements * (1 + scalars)
    return weights[:charges].reshape(elements, -1), weights[charges:].reshape(elements, -1)


def _scalars(module: torch.nn.Module) -> int:
    return sum(count for count, irrep in irreps(module) if str(irrep) == SCALAR)
