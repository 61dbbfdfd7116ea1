"""Distributions of bonds, angles, dihedrals and fragment distances in a model's MD, compared with a reference ensemble.

Both have the same temperature. Small errors can add up to a wrong ensemble, and a false minimum appears as a peak that
the reference does not have. The measure is the first Wasserstein distance, in Å or degrees; for dihedrals that on a
circle (Delon, Salomon and Sobolevski 2010, doi:10.1137/090772708). The reference is a trajectory; frames from another
energy surface are reweighted. Its noise is the distance of an ensemble from its own bootstrap samples; distributions
with too much noise are not checked. Called by :mod:`asteroid.stages.own_md`, thresholds are in
:mod:`asteroid.validation.evidence`.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from asteroid.chemistry.bonds import bonded
from asteroid.chemistry.fragments import fragments
from asteroid.configuration import Configuration, hill_formula
from asteroid.store.records import Floats, Upper
from asteroid.units import BOLTZMANN

Kind = Literal["bond", "angle", "dihedral", "fragments"]

RESAMPLES = 200
"""Bootstrap samples of trajectories: five values lie beyond each end of a 95% interval, ten beyond each bound."""
FEWEST = 30.0
"""Smallest effective number of frames of a reference."""
BINS = 60
"""Bins of the stored histograms."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Geometries of one ensemble.

    Args:
        positions: (M, N, 3) Å.
        groups: (M,) index of the trajectory; its frames are correlated.
        weights: (M,) relative weight of each frame.
    """

    positions: Floats
    groups: npt.NDArray[np.int64]
    weights: Floats

    @property
    def effective(self) -> float:
        """Effective sample size (Σw)²/Σw²."""
        return float(self.weights.sum() ** 2 / (self.weights**2).sum()) if len(self.weights) else 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Distance:
    """Wasserstein distance of the distributions of one internal coordinate.

    Args:
        name: atoms of the coordinate, or formulas of two fragments; equivalent coordinates are pooled.
        atoms: (C, 2 to 4) atoms of each pooled coordinate; N + index for a fragment.
        value, low, high: Å or degrees, with the 95% bootstrap interval over trajectories of both.
        bounds: Å or degrees, lower and upper bound with 95% one-sided confidence. Resampling increases a distance: the
            upper bound is conservative, and the lower bound is corrected. Not in certificates of version 0.1.
        noise: Å or degrees, root of the summed squares of the distances of both ensembles from their own resamples.
        centres: (BINS,) Å or degrees, of the bins.
        model, reference: (BINS,) densities.
    """

    kind: Kind
    name: str
    atoms: tuple[tuple[int, ...], ...]
    value: float
    low: float
    high: float
    bounds: tuple[float, Upper] = (0.0, math.inf)
    noise: float
    centres: Floats
    model: Floats
    reference: Floats


@dataclass(frozen=True, eq=False)
class Distributions:
    """Distances of all internal coordinates between a model's MD and a reference.

    Args:
        temperature: K, of both.
        source: description of the reference.
        frames, reference_frames: number of frames of each.
        effective: effective number of frames of the weighted reference.
        distances: empty if ``effective`` is below :data:`FEWEST`.
    """

    temperature: float
    source: str
    frames: int
    reference_frames: int
    effective: float
    distances: tuple[Distance, ...]


def boltzmann_weights(energies: npt.ArrayLike, sampled: npt.ArrayLike, temperature: float) -> Floats:
    """(M,) weights with mean 1 that reweight frames from one energy surface to another.

    Args:
        energies: (M,) eV on the target surface.
        sampled: (M,) eV on the sampled surface.
        temperature: K.

    >>> boltzmann_weights([0.1, 0.2], [0.0, 0.1], 300).tolist()
    [1.0, 1.0]
    """
    exponents = -(np.asarray(energies, dtype=np.float64) - np.asarray(sampled)) / (BOLTZMANN * temperature)
    weights = np.exp(exponents - exponents.max())
    return np.asarray(weights * len(weights) / weights.sum())


def compare_distributions(
    rest: Configuration, model: Samples, reference: Samples, *, temperature: float, source: str, seed: int
) -> Distributions:
    """Distances for each class of equivalent bonds, angles, dihedrals, and pairs of fragments.

    The distance of two fragments is that of the centres of their heavy atoms: O–O for two waters.

    Args:
        rest: geometry that defines the bonds, usually the minimum.
        temperature: K.
        source: description of the reference.
        seed: of the bootstrap.
    """
    distances: tuple[Distance, ...] = ()
    if reference.effective >= FEWEST and len(model.positions):
        random = np.random.default_rng(seed)
        mirrored = not _chiral(rest)
        model, reference = _with_centres(rest, model), _with_centres(rest, reference)
        distances = tuple(
            _distance(kind, name, atoms, model, reference, mirrored=mirrored, random=random)
            for (kind, name), atoms in (*_coordinates(rest), *_separations(rest))
        )
    counts = len(model.positions), len(reference.positions)
    return Distributions(temperature, source, *counts, reference.effective, distances)


def wasserstein(
    first: Floats, first_weights: Floats, second: Floats, second_weights: Floats, *, period: float | None = None
) -> float:
    """First Wasserstein distance of two weighted samples, on a line or on a circle.

    Args:
        first, second: (M,), (K,) values; within one period for a circle.
        period: of the circle.

    >>> one = np.ones(1)
    >>> wasserstein(np.array([1.0]), one, np.array([3.0]), one)
    2.0
    >>> wasserstein(np.array([175.0]), one, np.array([-175.0]), one, period=360.0)
    10.0
    """
    values = np.concatenate([first, second])
    steps = np.concatenate([first_weights / first_weights.sum(), -second_weights / second_weights.sum()])
    order = np.argsort(values)
    gaps, excess = np.diff(values[order]), np.cumsum(steps[order])[:-1]
    if period is None:
        return float((np.abs(excess) * gaps).sum())
    # On a circle, probability may also flow across the cut; the optimal constant flow is the weighted median.
    excess, gaps = np.append(excess, 0.0), np.append(gaps, period - gaps.sum())
    ranked = np.argsort(excess)
    middle = np.searchsorted(np.cumsum(gaps[ranked]), gaps.sum() / 2)
    return float((np.abs(excess - excess[ranked][middle]) * gaps).sum())


def internal_coordinate(positions: Floats, atoms: Sequence[int]) -> Floats:
    """(M,) distances in Å for two atoms, angles in degrees for three, signed dihedrals in degrees for four.

    Args:
        positions: (M, N, 3) Å.
    """
    places = [positions[:, atom] for atom in atoms]
    if len(places) == 2:
        return np.asarray(np.linalg.norm(places[0] - places[1], axis=1))
    if len(places) == 3:
        a, b = places[0] - places[1], places[2] - places[1]
        sine, cosine = np.linalg.norm(np.cross(a, b), axis=1), (a * b).sum(axis=1)
        return np.asarray(np.degrees(np.arctan2(sine, cosine)))
    a, axis, b = places[1] - places[0], places[2] - places[1], places[3] - places[2]
    left, right = np.cross(a, axis), np.cross(axis, b)
    sine = (np.cross(left, right) * axis).sum(axis=1) / np.linalg.norm(axis, axis=1)
    return np.asarray(np.degrees(np.arctan2(sine, (left * right).sum(axis=1))))


def _distance(
    kind: Kind,
    name: str,
    atoms: tuple[tuple[int, ...], ...],
    model: Samples,
    reference: Samples,
    *,
    mirrored: bool,
    random: np.random.Generator,
) -> Distance:
    period = 360.0 if kind == "dihedral" else None
    both = [_pooled(samples, atoms, mirrored=mirrored and kind == "dihedral") for samples in (model, reference)]
    (ours, our_weights, our_groups), (theirs, their_weights, their_groups) = both

    def distance(first: Floats, second: Floats) -> float:
        return wasserstein(ours, first, theirs, second, period=period)

    spread, noise = [], []
    for _ in range(RESAMPLES):
        mine, other = our_weights * _times(our_groups, random), their_weights * _times(their_groups, random)
        spread.append(distance(mine, other))
        own = wasserstein(ours, mine, ours, our_weights, period=period)
        reference_own = wasserstein(theirs, other, theirs, their_weights, period=period)
        noise.append(_unbiased(own**2, our_groups) + _unbiased(reference_own**2, their_groups))
    low, high, lower, upper = (float(end) for end in np.percentile(spread, [2.5, 97.5, 5, 95]))
    mean_noise = float(np.mean(noise)) ** 0.5
    value = distance(our_weights, their_weights)
    limits = (-180.0, 180.0) if period else (float(min(ours.min(), theirs.min())), float(max(ours.max(), theirs.max())))
    edges = np.linspace(*limits, BINS + 1)
    densities = [
        np.histogram(v, edges, weights=w, density=True)[0] for v, w in ((ours, our_weights), (theirs, their_weights))
    ]
    centres = (edges[1:] + edges[:-1]) / 2
    model_density, reference_density = densities
    return Distance(
        kind=kind,
        name=name,
        atoms=atoms,
        value=value,
        low=min(low, value),
        high=max(high, value),
        # The distance contains the noise once, its resampling adds it again.
        bounds=(min(value, max(0.0, lower - 2**0.5 * mean_noise)), max(upper, value)),
        noise=mean_noise,
        centres=centres,
        model=model_density,
        reference=reference_density,
    )


def _pooled(
    samples: Samples, atoms: tuple[tuple[int, ...], ...], *, mirrored: bool
) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Values of all coordinates of a class, with weights and groups.

    Args:
        mirrored: add the mirror image, which has the same energy but may not be reached in a short trajectory.
    """
    values = [internal_coordinate(samples.positions, coordinate) for coordinate in atoms]
    if mirrored:
        values += [-one for one in values]
    return np.concatenate(values), np.tile(samples.weights, len(values)), np.tile(samples.groups, len(values))


def _times(groups: npt.NDArray[np.int64], random: np.random.Generator) -> Floats:
    """(M,) number of copies of each frame in a bootstrap sample of groups."""
    names, index = np.unique(groups, return_inverse=True)
    drawn = np.bincount(random.integers(0, len(names), len(names)), minlength=len(names))
    return drawn[index].astype(np.float64)


def _unbiased(square: float, groups: npt.NDArray[np.int64]) -> float:
    """Correct a bootstrap variance over n groups by n/(n − 1); infinite for one group."""
    count = len(np.unique(groups))
    return square * count / (count - 1) if count > 1 else np.inf


def bonds_and_angles(bonds: npt.NDArray[np.bool_]) -> list[tuple[Kind, tuple[int, ...]]]:
    """Kind and atoms of all bonds and bond angles.

    Args:
        bonds: (N, N), which atoms are bonded.
    """
    found: list[tuple[Kind, tuple[int, ...]]] = [("bond", (i, j)) for i, j in np.argwhere(np.triu(bonds)).tolist()]
    for centre, row in enumerate(bonds):
        found += [("angle", (i, centre, k)) for i, k in combinations(np.flatnonzero(row).tolist(), 2)]
    return found


def _coordinates(rest: Configuration) -> list[tuple[tuple[Kind, str], tuple[tuple[int, ...], ...]]]:
    """Bonds, angles and dihedrals, grouped by equivalent atoms."""
    bonds = bonded(rest)
    kinds, symbols = _equivalence(rest.numbers, bonds), rest.symbols
    found = bonds_and_angles(bonds)
    for _, (j, k) in [one for one in found if one[0] == "bond"]:
        ends = itertools.product(*(np.flatnonzero(bonds[atom]).tolist() for atom in (j, k)))
        found += [("dihedral", (i, j, k, m)) for i, m in ends if len({i, j, k, m}) == 4]
    classes: dict[tuple[Kind, tuple[int, ...]], list[tuple[int, ...]]] = {}
    for kind, atoms in found:
        labels = tuple(kinds[a] for a in atoms)
        if labels[::-1] < labels:
            labels, atoms = labels[::-1], atoms[::-1]
        classes.setdefault((kind, labels), []).append(atoms)
    return [
        ((kind, "–".join(f"{symbols[a]}{a}" for a in atoms[0]) + (f" (×{len(atoms)})" if len(atoms) > 1 else "")),
         tuple(atoms))
        for (kind, _), atoms in classes.items()
    ]  # fmt: skip


def _with_centres(rest: Configuration, samples: Samples) -> Samples:
    """Append to the positions the centre of each fragment's heavy atoms, or of all its atoms if none is heavy."""
    centres = []
    for atoms in _fragment_atoms(rest):
        heavy = atoms[rest.numbers[atoms] > 1]
        centres.append(samples.positions[:, heavy if len(heavy) else atoms].mean(axis=1))
    return replace(samples, positions=np.concatenate([samples.positions, np.stack(centres, axis=1)], axis=1))


def _separations(rest: Configuration) -> list[tuple[tuple[Kind, str], tuple[tuple[int, ...], ...]]]:
    """Pairs of fragments, grouped by equivalent fragments."""
    kinds = _equivalence(rest.numbers, bonded(rest))
    classes: dict[tuple[tuple[int, ...], ...], list[tuple[int, int]]] = {}
    parts = _fragment_atoms(rest)
    alike = [tuple(sorted(kinds[a] for a in atoms)) for atoms in parts]
    for i, j in combinations(range(len(parts)), 2):
        classes.setdefault(tuple(sorted((alike[i], alike[j]))), []).append((i, j))
    atoms = len(rest.numbers)
    found: list[tuple[tuple[Kind, str], tuple[tuple[int, ...], ...]]] = []
    for pairs in classes.values():
        name = " to ".join(hill_formula(rest.numbers[parts[k]]) for k in pairs[0]) + (
            f" (×{len(pairs)})" if len(pairs) > 1 else ""
        )
        found.append((("fragments", name), tuple((atoms + i, atoms + j) for i, j in pairs)))
    return found


def _fragment_atoms(rest: Configuration) -> list[npt.NDArray[np.intp]]:
    found = fragments(rest)
    return [np.flatnonzero(found == number) for number in range(int(found.max()) + 1)]


def _equivalence(numbers: npt.NDArray[np.int64], bonds: npt.NDArray[np.bool_]) -> list[int]:
    """A class for each atom, equal for equivalent atoms (Morgan's refinement)."""
    kinds = [int(z) for z in numbers]
    while True:
        seen = [(kinds[a], tuple(sorted(kinds[b] for b in np.flatnonzero(bonds[a])))) for a in range(len(kinds))]
        rank = {key: index for index, key in enumerate(sorted(set(seen)))}
        refined = [rank[key] for key in seen]
        if len(set(refined)) == len(set(kinds)):
            return refined
        kinds = refined


def _chiral(rest: Configuration) -> bool:
    """Whether an atom has four different neighbours; other kinds of chirality are ignored."""
    bonds = bonded(rest)
    kinds = _equivalence(rest.numbers, bonds)
    return any(len({kinds[b] for b in np.flatnonzero(row)}) == 4 == row.sum() for row in bonds)
