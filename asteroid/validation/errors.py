"""Errors of a model on held-out accurate frames, with confidence intervals.

A constant energy offset counts as an error, because reference energies are fitted to accurate labels. The force
components of a frame are correlated, so a frame is one observation; frames of a trajectory may be correlated as well
(:mod:`asteroid.validation.intervals`). Force errors are those of the frames with accurate forces, None without any.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asteroid.store.records import Floats, Ints
from asteroid.validation.intervals import Estimate, estimate_mean, estimate_ratio


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors of one model on M frames, with labels and predictions.

    Args:
        frame_ids: M ids.
        atoms: (M,) atoms in each frame.
        reference_energies, predicted_energies: (M,) eV, total.
        reference_forces, predicted_forces: M arrays (N, 3) eV/Å; a reference is None for an energy-only label.
        energy_mae, energy_rmse: eV/atom.
        energy_worst: eV/atom, largest absolute error of a frame.
        total_energy_mae: eV.
        force_mae, force_rmse: eV/Å over components; None when no label has forces.
        force_worst: eV/Å, largest absolute error of a component; None likewise.
        groups: M names, equal for frames of one trajectory; empty in certificates of version 0.1.
    """

    frame_ids: tuple[str, ...]
    atoms: Ints
    reference_energies: Floats
    predicted_energies: Floats
    reference_forces: tuple[Floats | None, ...]
    predicted_forces: tuple[Floats, ...]
    energy_mae: Estimate
    energy_rmse: Estimate
    energy_worst: float
    total_energy_mae: Estimate
    force_mae: Estimate | None
    force_rmse: Estimate | None
    force_worst: float | None
    groups: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        return len(self.frame_ids)


def measure_errors(
    frame_ids: Sequence[str],
    *,
    reference_energies: npt.ArrayLike,
    predicted_energies: npt.ArrayLike,
    reference_forces: Sequence[npt.ArrayLike | None],
    predicted_forces: Sequence[npt.ArrayLike],
    groups: Sequence[str] | None = None,
) -> Errors:
    """Mean absolute, root mean square and worst errors of energies and forces.

    Args:
        frame_ids: M ids, in the order of the other arguments.
        reference_energies, predicted_energies: (M,) eV, total.
        reference_forces, predicted_forces: M arrays (N, 3) eV/Å; a reference is None for an energy-only label.
        groups: M names, equal for correlated frames; None if all frames are independent.

    Raises:
        ValueError: without frames, or for arrays of different lengths or shapes.
    """
    energies = np.asarray(reference_energies, dtype=np.float64)
    predicted = np.asarray(predicted_energies, dtype=np.float64)
    forces = tuple(None if f is None else np.asarray(f, dtype=np.float64) for f in reference_forces)
    predictions = tuple(np.asarray(f, dtype=np.float64) for f in predicted_forces)
    count = len(frame_ids)
    if count == 0:
        raise ValueError("no frames to measure errors on; label at least one test frame")
    if energies.shape != (count,) or predicted.shape != (count,) or not len(forces) == len(predictions) == count:
        raise ValueError(f"{count} frame ids need as many energies and force arrays, reference and predicted")
    pairs = [(p, f) for p, f in zip(predictions, forces, strict=True) if f is not None]
    if any(f.shape != p.shape or f.shape[1:] != (3,) for p, f in pairs):
        raise ValueError("reference and predicted forces differ in shape; both are (N, 3)")

    names = tuple(groups) if groups is not None else tuple(frame_ids)
    if len(names) != count:
        raise ValueError(f"{count} frame ids and {len(names)} groups; expected one group a frame")
    atoms = np.array([len(p) for p in predictions])
    energy = np.abs(predicted - energies)
    per_atom = energy / atoms
    force = [np.abs(p - f).ravel() for p, f in pairs]
    theirs = [name for name, f in zip(names, forces, strict=True) if f is not None]
    ones = np.ones(count)
    return Errors(
        frame_ids=tuple(frame_ids),
        atoms=atoms,
        reference_energies=energies,
        predicted_energies=predicted,
        reference_forces=forces,
        predicted_forces=predictions,
        energy_mae=estimate_mean(per_atom, ones, names),
        energy_rmse=estimate_mean(per_atom**2, ones, names).root(),
        energy_worst=float(per_atom.max()),
        total_energy_mae=estimate_mean(energy, ones, names),
        force_mae=_over_components(force, theirs) if force else None,
        force_rmse=_over_components([d**2 for d in force], theirs).root() if force else None,
        force_worst=float(max(d.max() for d in force)) if force else None,
        groups=names,
    )


def improvement(model: Errors, baseline: Errors) -> Estimate:
    """Force MAE of the baseline divided by that of the model; energy MAE per atom if no label has forces.

    Above 1, the model is better. Paired by frame, so frames that are difficult for both do not widen the interval.

    Raises:
        ValueError: unless both were measured on the same frames.
    """
    if model.frame_ids != baseline.frame_ids:
        raise ValueError("a ratio of errors needs both models measured on the same frames in the same order")
    groups = [name for name, forces in zip(model.groups, model.reference_forces, strict=True) if forces is not None]
    return estimate_ratio(absolute_errors(baseline), absolute_errors(model), groups or model.groups)


def absolute_errors(errors: Errors) -> Floats:
    """Sum of absolute force errors, eV/Å, for each frame with forces; without any, energy errors, eV/atom, of all."""
    pairs = zip(errors.predicted_forces, errors.reference_forces, strict=True)
    forces = [np.abs(p - f).sum() for p, f in pairs if f is not None]
    energies: Floats = np.abs(errors.predicted_energies - errors.reference_energies) / errors.atoms
    return np.array(forces) if forces else energies


def _over_components(errors: Sequence[Floats], groups: Sequence[str]) -> Estimate:
    """Mean over all force components; ``errors`` has one array for each frame."""
    return estimate_mean([d.sum() for d in errors], [d.size for d in errors], groups)
