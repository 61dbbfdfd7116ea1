"""Errors of a model on held-out accurate frames, with confidence intervals over frames.

A constant energy offset is not removed: reference energies are fitted on accurate labels, so an offset that is left is
an error of the model. Frames are resampled whole, because the components of one frame's forces are not independent.
Accurate labels may lack forces; what is said about forces is then about the frames that have them, or None.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
"""Bootstrap samples: the ends of a 95% interval then move by about 1% of their value from seed to seed."""


@dataclass(frozen=True)
class Estimate:
    """A value and its 95% confidence interval (percentile bootstrap over frames)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors of one model on M frames, and the numbers they were made from.

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
        seed: of the bootstrap.
    """

    frame_ids: tuple[str, ...]
    atoms: npt.NDArray[np.int64]
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
    seed: int

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
    seed: int = 0,
) -> Errors:
    """Mean absolute, root mean square and worst errors of energies and forces.

    Args:
        frame_ids: M ids, in the order of the other arguments.
        reference_energies, predicted_energies: (M,) eV, total.
        reference_forces, predicted_forces: M arrays (N, 3) eV/Å; a reference is None for an energy-only label.
        seed: of the bootstrap.

    Raises:
        ValueError: without frames, or for arrays that do not fit together.
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

    atoms = np.array([len(p) for p in predictions])
    energy = np.abs(predicted - energies)
    per_atom = energy / atoms
    force = [np.abs(p - f).ravel() for p, f in pairs]
    picks, ones = _resample(count, seed), np.ones(count)
    return Errors(
        frame_ids=tuple(frame_ids),
        atoms=atoms,
        reference_energies=energies,
        predicted_energies=predicted,
        reference_forces=forces,
        predicted_forces=predictions,
        energy_mae=_mean(per_atom, ones, picks),
        energy_rmse=_root(_mean(per_atom**2, ones, picks)),
        energy_worst=float(per_atom.max()),
        total_energy_mae=_mean(energy, ones, picks),
        force_mae=_over_components(force, seed) if force else None,
        force_rmse=_root(_over_components([d**2 for d in force], seed)) if force else None,
        force_worst=float(max(d.max() for d in force)) if force else None,
        seed=seed,
    )


def improvement(model: Errors, baseline: Errors) -> Estimate:
    """How many times larger the baseline's force MAE is, or its energy MAE (per atom) where no label has forces.

    Above 1, the model is better. Both are resampled together, frame by frame, so that frames which are hard for both
    widen the interval of neither.

    Raises:
        ValueError: unless both were measured on the same frames.
    """
    if model.frame_ids != baseline.frame_ids:
        raise ValueError("a ratio of errors needs both models measured on the same frames in the same order")
    ours, theirs = (absolute_errors(errors) for errors in (model, baseline))
    # A model that is exact (it never is, outside a test) would divide by zero.
    tiny = np.finfo(np.float64).tiny
    picks = _resample(len(ours), model.seed)
    ratios = theirs[picks].sum(axis=1) / np.maximum(ours[picks].sum(axis=1), tiny)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Estimate(float(theirs.sum() / max(ours.sum(), tiny)), float(low), float(high))


def absolute_errors(errors: Errors) -> Floats:
    """Summed over the forces of each frame that has them, eV/Å; of every frame's energy, eV/atom, when none has."""
    pairs = zip(errors.predicted_forces, errors.reference_forces, strict=True)
    forces = [np.abs(p - f).sum() for p, f in pairs if f is not None]
    energies: Floats = np.abs(errors.predicted_energies - errors.reference_energies) / errors.atoms
    return np.array(forces) if forces else energies


def _over_components(errors: Sequence[Floats], seed: int) -> Estimate:
    """Mean over all components of frames, each an array of its components' errors."""
    sums, counts = np.array([d.sum() for d in errors]), np.array([d.size for d in errors])
    return _mean(sums, counts, _resample(len(errors), seed))


def _resample(count: int, seed: int) -> npt.NDArray[np.int64]:
    """(RESAMPLES, count) indices of frames, drawn with replacement."""
    return np.random.default_rng(seed).integers(0, count, size=(RESAMPLES, count))


def _mean(sums: Floats, counts: npt.NDArray[np.float64 | np.int64], picks: npt.NDArray[np.int64]) -> Estimate:
    """Mean of a quantity whose sum and count over each frame are given."""
    means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(sums.sum() / counts.sum()), float(low), float(high))


def _root(estimate: Estimate) -> Estimate:
    return Estimate(estimate.value**0.5, estimate.low**0.5, estimate.high**0.5)
