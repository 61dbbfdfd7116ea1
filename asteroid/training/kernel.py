"""Gaussian-process regression of energies and forces of one molecule.

Used as the correction of :mod:`asteroid.training.strategies.corrected`: smooth, trained in seconds, and with twenty
labels far more accurate than a network (gradient-domain learning: Chmiela et al., doi:10.1126/sciadv.1603015 and
10.1038/s41467-018-06169-2). The descriptor is the logarithms of interatomic distances; the kernel is averaged over
permutations of equal atoms (:mod:`asteroid.training.symmetry`). Logarithms are better than powers of the distance from
−2 to 1: the error is smaller than with inverse distances by a third for formaldehyde, and a tenth for acetylacetone.
Each logarithm is multiplied by a power of its mean distance, which says how much angles count compared with bonds. The
power is chosen with the other hyperparameters: the error of ethanol is smaller by 4 % for GFN2 to MP2 (60 pairs), by
13 % for methanol to CCSD(T) (26 pairs), that of the water dimer, where angles count less, by 24 % (30 pairs).

The kernel is that of the whole molecule, or a sum over the neighbourhoods of its atoms if the leave-one-out error is
smaller (local kernels: Bartók et al., doi:10.1103/PhysRevB.87.184115). Acetylacetone, GFN2 to PBE, 40 pairs: 11.9
instead of 14.8 meV/Å; ethanol, GFN2 to CCSD(T), 50 pairs: 27.4 instead of 39.2.

Far from the labels the predicted energy is extrapolated by up to an eV; :meth:`KernelModel.fade` limits it by its
predictive variance (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eq. 2.26).
"""

import contextlib
import dataclasses
import functools
import itertools
import logging
from collections.abc import Sequence

import numpy as np
import scipy.linalg

from asteroid.configuration import Configuration
from asteroid.errors import TrainingError
from asteroid.training.covariance import (
    OFFSET_VARIANCE,
    Floats,
    Hyperparameters,
    Indices,
    Kind,
    covariances,
    evaluate,
    expand,
    find_neighbourhoods,
    radial,
    scaled,
)
from asteroid.training.dataset import LabelledFrame
from asteroid.training.iterative import solve
from asteroid.training.predict import Prediction
from asteroid.training.symmetry import equivalent_permutations

logger = logging.getLogger(__name__)

DIRECT_NUMBERS = 9000
"""Largest number of energies and force components in a direct fit, whose time grows with its cube (a minute at 9000).
Of more labels, the rest is added by :mod:`asteroid.training.iterative`: the time grows with the square."""

MOST_NUMBERS = 30_000
"""Largest number of them in any fit; more need much memory. 490 instead of 147 pairs of paracetamol (GFN2 to PBE) lower
the error from 18.2 to 14.6 meV/Å."""

PRECONDITIONER_NUMBERS = 3000
"""Largest number of them in the preconditioner of an iterative fit."""

ITERATIVE_NOISE = 1e-7
"""Smallest noise of an iterative fit: 600 pairs of ethanol take 177 iterations, with 1e-8 419, with 1e-10 over 600.
Little is lost: 300 pairs, fitted directly, leave 7.75 meV/Å with 1e-7 and 7.67 with 1e-10."""

CHOICE_NUMBERS = (800, 1500)
"""Largest numbers of them for the choice of hyperparameters: in a comparison of all candidates, and of the best."""

FINALISTS = 24
"""Candidates that are compared again with more labels: of 20 atoms, the first comparison has only 13 frames."""

REACHES = (2.5, 2.8, None)
"""Candidate radii of a neighbourhood, Å; None is the whole molecule."""

LENGTHS = (2.0, 4.0, 8.0, 16.0)
"""Candidate length scales, in units of the median distance between two training frames."""

EXPONENTS = (0.5, 0.0, -1.0)
"""Candidate exponents of the mean distance in the weight of a logarithm."""

FEWEST_WEIGHTED = 24
"""Smallest number of frames for exponents other than 0: among more candidates, fewer frames choose by chance. With 12
pairs of MP2 and CCSD(T) the error of ethanol's chain was larger by 7 to 10 %."""

NOISES = (1e-10, 1e-8, 1e-6, 1e-5, 1e-4)
"""Candidate variances of the noise, relative to the prior variance of energies or forces."""

BATCH = 200
"""Number of configurations that are predicted together; more need much memory."""


class KernelModel:
    """A Gaussian process over the energy of one molecule, conditioned on labels.

    Variances and the leave-one-out error are those of the first ``direct_labels``, see :data:`DIRECT_NUMBERS`.

    Args:
        frames: of one composition, with the same order of atoms; some may lack forces.
        permutations: of equal atoms; those of the frames when None.
        hyperparameters: those with the smallest leave-one-out error when None.

    Raises:
        TrainingError: for frames with different atoms, or when no kernel can be fitted.
    """

    def __init__(
        self,
        frames: Sequence[LabelledFrame],
        permutations: Sequence[tuple[int, ...]] | None = None,
        hyperparameters: Hyperparameters | None = None,
    ) -> None:
        self.labels = len(frames)
        self._numbers = frames[0].configuration.numbers
        self.permutations = list(permutations or equivalent_permutations([f.configuration for f in frames]))
        positions = np.array([frame.configuration.positions for frame in frames])
        between = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1).mean(axis=0)
        # Mean distances, averaged over the permutations.
        self._distances = np.mean([between[np.ix_(p, p)] for p in map(list, self.permutations)], axis=0)
        self.hyperparameters = hyperparameters or self._choose(frames)
        direct = frames[: max(2, DIRECT_NUMBERS // (1 + 3 * len(self._numbers)))]
        self.direct_labels = len(direct)
        self._condition(direct, self.hyperparameters, *self._priors(direct, [self.hyperparameters]))
        if len(direct) < len(frames):
            self._condition_iteratively(frames)

    @property
    def left_out_error(self) -> float:
        """Mean absolute leave-one-out error: of forces in eV/Å, or of energies in eV where no frame has forces.

        Of the first ``direct_labels``.
        """
        errors = [error for error, _ in self._left_out]
        errors = [error[1:] if len(error) > 1 else error for error in errors]
        most = max(map(len, errors))
        return float(np.mean(np.abs(np.concatenate([error for error in errors if len(error) == most]))))

    def predict(self, configurations: Sequence[Configuration]) -> Prediction:
        """Energies (number of configurations,) in eV and forces, (N, 3) eV/Å each."""
        energies, forces = [], []
        for start in range(0, len(configurations), BATCH):
            energy, force = evaluate(self._conditioned, *self._describe(configurations[start : start + BATCH]))
            energies.append(energy + self._constant)
            forces.append(force)
        return np.concatenate(energies), list(np.concatenate(forces))

    def fade(self, configurations: Sequence[Configuration], prediction: Prediction) -> tuple[Prediction, Floats]:
        """Limit the predictive variance σ² of each energy to s², the variance of the energies that were learnt.

        σ² is that of the energy's difference from the mean of the learnt geometries, as a constant does not matter.
        Without its geometry, an energy is known as the mean of those that were learnt, with variance s². Where σ² > s²,
        the kernel knows less. But σ² can be far too large: with 136 pairs of ethanol, GFN2 to PBE, the leave-one-out
        errors of energies are 2 meV, their predicted deviations 90 meV. So s² is raised to the largest leave-one-out
        variance of an energy that was predicted with an error below s.

        The difference from the mean is then multiplied by s²/σ², as if the mean had been a noisy label of this
        geometry, with the noise that lowers the variance to s². The forces change as by such a label: in proportion to
        their covariance with the energy. Those along bonds, known from other geometries, are kept.

        Acetylacetone, GFN2 to PBE, 25 pairs at 300 K, rotation of a C–C bond by 180°: the energies are off by 180 meV
        instead of 650 (GFN2: 270), the forces by 70 meV/Å instead of 77 (GFN2: 400).

        Args:
            prediction: energies and forces of this kernel or of its blend.

        Returns:
            The prediction, unchanged where σ² ≤ s², and σ²/s², (number of configurations,).
        """
        known = [self._scale * variance for error, variance in self._left_out if error[0] ** 2 < self._spread]
        limit = max(self._spread, *known, 1e-12)  # eV²; the spread is zero for copies of one geometry
        energies, forces, ratios = prediction[0].copy(), list(prediction[1]), []
        for start in range(0, len(configurations), BATCH):
            prior, shared = self._difference_covariances(configurations[start : start + BATCH])
            half = scipy.linalg.solve_triangular(self._factor[0], shared.T, lower=True)
            variances = self._scale * (prior - np.square(half).sum(0))
            for i in np.flatnonzero(variances > limit).tolist():
                solved = scipy.linalg.solve_triangular(self._factor[0], half[:, i], lower=True, trans=1)
                along = self._force_covariance(configurations[start + i], solved) / variances[i]
                excess = (1 - limit / variances[i]) * (energies[start + i] - self._mean)
                energies[start + i] -= excess
                forces[start + i] = forces[start + i] - excess * along
            ratios.append(np.maximum(variances, 0) / limit)
        return (energies, forces), np.concatenate(ratios)

    @functools.cached_property
    def _left_out(self) -> list[tuple[Floats, float]]:
        """Leave-one-out errors (energy, gradient) of each frame, and the predictive variance of its energy, whose unit
        is the scale."""
        inverse = scipy.linalg.lapack.dpotri(self._factor[0], lower=1)[0]
        found = []
        for rows in self._rows:
            block = inverse[np.ix_(rows, rows)]
            block = np.tril(block) + np.tril(block, -1).T
            first = np.zeros(len(rows))
            first[0] = 1
            solved = np.linalg.solve(block, np.column_stack([self._coefficients[rows], first]))
            found.append((solved[:, 0], float(solved[0, 1])))
        return found

    def _choose(self, frames: Sequence[LabelledFrame]) -> Hyperparameters:
        """Those with the smallest leave-one-out error."""
        few, more = (frames[: max(8, count // (1 + 3 * len(self._numbers)))] for count in CHOICE_NUMBERS)
        # A reach beyond the largest distance is the whole molecule.
        reaches = [r for r in REACHES if r is None or self._distances.max() > r]
        exponents = EXPONENTS if len(frames) >= FEWEST_WEIGHTED else (0.0,)
        pairs = itertools.product(reaches, exponents)
        grid = [shape for reach, exponent in pairs for shape in self._grid(few, reach, exponent)]
        scores = self._scores(few, [dataclasses.replace(shape, noise=noise) for shape in grid for noise in NOISES])
        if len(more) > len(few):
            scores = self._scores(more, [candidate for _, candidate in scores[:FINALISTS]])
        if not scores:
            raise TrainingError("no kernel can be fitted to these labels; use the strategy unweighted")
        return scores[0][1]

    def _grid(self, frames: Sequence[LabelledFrame], reach: float | None, exponent: float) -> list[Hyperparameters]:
        """All kinds and lengths, without noise."""
        self._weights = self._weights_for(exponent)
        x, _ = self._describe([frame.configuration for frame in frames])
        distances = np.linalg.norm(x[:, None] - x[None], axis=-1)
        # The median is zero for copies of one geometry.
        median = max(float(np.median(distances[np.triu_indices(len(x), 1)])), 1e-3)
        kinds: tuple[Kind, ...] = ("gaussian", "matern")
        return [Hyperparameters(kind, n * median, 0.0, reach, exponent) for kind in kinds for n in LENGTHS]

    def _scores(
        self, frames: Sequence[LabelledFrame], candidates: Sequence[Hyperparameters]
    ) -> list[tuple[float, Hyperparameters]]:
        """Leave-one-out errors of those that can be fitted, the smallest first."""
        groups: dict[tuple[float | None, float], dict[Hyperparameters, list[Hyperparameters]]] = {}
        for candidate in candidates:
            shapes = groups.setdefault((candidate.reach, candidate.exponent), {})
            shapes.setdefault(dataclasses.replace(candidate, noise=0.0), []).append(candidate)
        scores = []
        for shapes in groups.values():
            for prior, found in zip(self._priors(frames, list(shapes)), shapes.values(), strict=True):
                for candidate in found:
                    with contextlib.suppress(np.linalg.LinAlgError):
                        self._condition(frames, candidate, prior)
                        scores.append((self.left_out_error, candidate))
        return sorted(scores, key=lambda score: score[0])

    def _weights_for(self, exponent: float) -> Floats:
        """(pairs,) weights of the logarithms, whose mean square is 1."""
        weights: Floats = self._distances[np.triu_indices(len(self._numbers), 1)] ** exponent
        scaled: Floats = weights / np.sqrt(np.mean(weights**2))
        return scaled

    def _priors(self, frames: Sequence[LabelledFrame], shapes: Sequence[Hyperparameters]) -> Floats:
        """See :func:`asteroid.training.covariance.covariances`; all shapes have the same reach and exponent."""
        self._weights = self._weights_for(shapes[0].exponent)
        self._neighbourhoods = find_neighbourhoods(self._distances, shapes[0].reach, self.permutations)
        self._known = self._describe([frame.configuration for frame in frames])
        return covariances(self._neighbourhoods, shapes, self._known, self._known)

    def _condition(self, frames: Sequence[LabelledFrame], hyperparameters: Hyperparameters, prior: Floats) -> None:
        """Solve for the coefficients of the labels."""
        self.hyperparameters = hyperparameters
        self._kept, self._rows = self._places(frames)
        size, (self._mean, target) = 1 + 3 * len(self._numbers), _centred(frames)
        covariance = prior[np.ix_(self._kept, self._kept)]
        diagonal, is_energy = np.diag(covariance).copy(), self._kept % size == 0
        slopes = float(diagonal[~is_energy].mean()) if not is_energy.all() else 1.0
        # Variances of the noise of an energy and of a gradient.
        self._noise = np.array([1.0, *[slopes] * (size - 1)]) * hyperparameters.noise
        covariance[np.diag_indices_from(covariance)] += self._noise[self._kept % size]
        self._factor = scipy.linalg.cho_factor(covariance, lower=True)
        self._coefficients = scipy.linalg.cho_solve(self._factor, target)
        self.__dict__.pop("_left_out", None)  # of other hyperparameters
        # eV²: the prior variance with the largest marginal likelihood.
        self._scale = float(target @ self._coefficients) / len(target)
        self._spread = float(np.var([frame.energy for frame in frames], ddof=1 if len(frames) > 1 else 0))
        self._set_coefficients(self._mean, *self._known, self._whole(self._coefficients, self._kept, len(frames)))
        # Covariances of the mean energy of the geometries with all energies and gradients.
        self._mean_covariances = prior[::size].mean(0)

    def _condition_iteratively(self, frames: Sequence[LabelledFrame]) -> None:
        """Predict from all frames; those of the direct fit are the first, and keep their variances."""
        size = 1 + 3 * len(self._numbers)
        x, jacobian = self._describe([frame.configuration for frame in frames])
        kept, _ = self._places(frames)
        mean, target = _centred(frames)
        first = min(self.direct_labels, max(1, PRECONDITIONER_NUMBERS // size))
        part = kept[kept < first * size]
        (cross,) = covariances(
            self._neighbourhoods, [self.hyperparameters], (x, jacobian), (x[:first], jacobian[:first])
        )
        cross = cross[np.ix_(kept, part)]
        noise = max(1.0, ITERATIVE_NOISE / self.hyperparameters.noise) * self._noise[kept % size]

        def multiply(coefficients: Floats) -> Floats:
            whole = self._whole(coefficients, kept, len(frames))
            energies, forces = evaluate(
                expand(self._neighbourhoods, self.hyperparameters, x, jacobian, whole), x, jacobian
            )
            energies += OFFSET_VARIANCE * whole[:, 0].sum()
            products = np.column_stack([energies, -forces.reshape(len(frames), -1)]).ravel()[kept]
            return products + noise * coefficients

        factor = np.tril(self._factor[0][: len(part), : len(part)])
        found = solve(multiply, target, noise, factor, cross)
        if found is None:
            logger.warning(
                "only the first %d of %d pairs are used: the iterations did not converge",
                self.direct_labels,
                len(frames),
            )
        else:
            self._set_coefficients(mean, x, jacobian, self._whole(found, kept, len(frames)))

    def _places(self, frames: Sequence[LabelledFrame]) -> tuple[Indices, list[Indices]]:
        """Indices of the labels among (energy, gradient) of all frames, and for each frame those among the labels."""
        size = 1 + 3 * len(self._numbers)
        has = [size if frame.forces is not None else 1 for frame in frames]
        kept = np.concatenate([np.arange(i * size, i * size + count) for i, count in enumerate(has)])
        return kept, np.split(np.arange(len(kept)), np.cumsum(has)[:-1])

    def _whole(self, coefficients: Floats, kept: Indices, frames: int) -> Floats:
        """(frames, 1 + 3N), with zeros where there is no label."""
        whole = np.zeros((frames, 1 + 3 * len(self._numbers)))
        whole.ravel()[kept] = coefficients
        return whole

    def _set_coefficients(self, mean: float, x: Floats, jacobian: Floats, coefficients: Floats) -> None:
        """Predict from these geometries."""
        self._constant = mean + OFFSET_VARIANCE * float(coefficients[:, 0].sum())
        self._conditioned = expand(self._neighbourhoods, self.hyperparameters, x, jacobian, coefficients)

    def _difference_covariances(self, configurations: Sequence[Configuration]) -> tuple[Floats, Floats]:
        """Prior variances of the difference of each energy from the mean of the learnt geometries, and covariances of
        this difference with all labels; the unit is the scale."""
        x, (known, jacobian) = self._describe(configurations)[0], self._known
        prior = np.full(len(x), OFFSET_VARIANCE)
        shared = np.zeros((len(x), len(known), 1 + jacobian.shape[2]))
        shared[:, :, 0] = OFFSET_VARIANCE
        for near in self._neighbourhoods:
            shape, here = scaled(self.hyperparameters, near, x.shape[1]), x[:, near.pairs]
            for image in near.images:
                prior += image.part * radial(shape, np.square(here - x[:, image.pairs]).sum(1))[0]
                difference = here[:, None] - known[:, image.pairs]
                k, a, _ = radial(shape, np.square(difference).sum(-1))
                slopes = jacobian[:, image.pairs][:, :, image.coordinates]
                along = np.matmul(difference.transpose(1, 0, 2), slopes).transpose(1, 0, 2)
                shared[:, :, 0] += image.part * k
                shared[:, :, 1 + image.coordinates] += image.part * a[..., None] * along
        size = shared.shape[2]
        prior += self._mean_covariances[::size].mean() - 2 * shared[:, :, 0].mean(1)
        return prior, (shared.reshape(len(x), -1) - self._mean_covariances)[:, self._kept]

    def _force_covariance(self, configuration: Configuration, solved: Floats) -> Floats:
        """Predictive covariance of the forces of one configuration with its energy's difference from the mean of the
        learnt geometries, (N, 3) eV²/Å.

        As a function of the geometry of the forces, the covariance of the difference with the energy there is a sum of
        kernels, like a prediction.

        Args:
            solved: (labels,) inverse covariance of the labels times their covariances with the difference.
        """
        here = self._describe([configuration])
        size = 1 + here[1].shape[2]
        coefficients = np.zeros((1 + len(self._known[0])) * size)
        coefficients[0] = 1.0
        coefficients[size::size] = -1 / len(self._known[0])
        coefficients[size + self._kept] -= solved
        both = [np.concatenate(pair) for pair in zip(here, self._known, strict=True)]
        expansion = expand(self._neighbourhoods, self.hyperparameters, both[0], both[1], coefficients.reshape(-1, size))
        covariance: Floats = self._scale * evaluate(expansion, *here)[1][0]
        return covariance

    def _describe(self, configurations: Sequence[Configuration]) -> tuple[Floats, Floats]:
        """Weighted logarithms of the distances (n, pairs), and their derivatives (n, pairs, 3N) in 1/Å."""
        if any(not np.array_equal(configuration.numbers, self._numbers) for configuration in configurations):
            raise TrainingError("the frames list their atoms in different orders, which a kernel model cannot compare")
        positions = np.array([configuration.positions for configuration in configurations])
        i, j = np.triu_indices(len(self._numbers), 1)
        vectors = positions[:, i] - positions[:, j]
        squared = np.square(vectors).sum(-1)
        jacobian = np.zeros((len(positions), len(i), len(self._numbers), 3))
        pair = np.arange(len(i))
        slopes = vectors * (self._weights / squared)[..., None]
        jacobian[:, pair, i], jacobian[:, pair, j] = slopes, -slopes
        return 0.5 * self._weights * np.log(squared), jacobian.reshape(len(positions), len(i), -1)


def _centred(frames: Sequence[LabelledFrame]) -> tuple[float, Floats]:
    """Mean energy, and all labels: energy relative to the mean and gradient of each frame."""
    mean = float(np.mean([frame.energy for frame in frames]))
    labels = [[f.energy - mean, *(() if f.forces is None else -f.forces.ravel())] for f in frames]
    return mean, np.concatenate(labels)
