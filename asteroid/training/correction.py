"""Correction of cheap labels to the accurate level, learnt from frames with both labels.

The difference of two levels is smoother than either, so a :class:`~asteroid.training.kernel.KernelModel` learns it from
few frames. A cheap label plus this difference has only the error of the difference. Each molecule has its own kernel; a
network for all molecules is blended with it (:mod:`asteroid.training.blend`), or replaces it for a molecule with too
few pairs. With levels in between, each step from one level to the next has its own kernel.

Far from all pairs a correction is worse than none: with 25 pairs of acetylacetone at 300 K, GFN2 to PBE, the energies
along the rotation of a C–C bond are off by 0.65 eV after the correction, and by 0.27 eV before. So corrections fade by
their own variance (:meth:`~asteroid.training.kernel.KernelModel.fade`), and uncertain labels weigh less.

The recipes are in :mod:`asteroid.training.strategies.corrected` and ``distilled``.
"""

import dataclasses
import itertools
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from asteroid.errors import TrainingError
from asteroid.store.models import CorrectionSummary
from asteroid.training.blend import Blend, Correction, Network, blend, train_network, wants_network
from asteroid.training.dataset import LabelledFrame
from asteroid.training.kernel import MOST_NUMBERS, KernelModel
from asteroid.training.problem import Problem
from asteroid.training.session import Session
from asteroid.training.strategies.delta import differences
from asteroid.training.symmetry import equivalent_permutations

logger = logging.getLogger(__name__)

Labels = Mapping[str, LabelledFrame]
"""Labels of one level, by frame id."""

LEAST_PAIRS = 2
"""Smallest number of pairs of labels for a kernel."""

BROKEN = 15.0
"""A corrected label that differs from the kernel by this many times the median is probably wrong: nearly all permuted
GFN2 labels of formaldehyde do, and one in 2200 correct labels of acetylacetone. For formaldehyde, correct labels differ
by up to 40 times the very small median, but less than GFN2 itself, which :func:`remove_outliers` also checks."""


class CorrectedLabels(NamedTuple):
    """Labels at the accurate level, the number of rejected ones, and that of labels whose correction was faded."""

    frames: list[LabelledFrame]
    broken: int
    faded: int


@dataclasses.dataclass
class MoleculeCorrection:
    """Labels of one molecule, from the lowest level to the accurate one, and the corrections between them.

    Args:
        held_out: accurate labels with a partner at the lowest level, in ``below``.
        kernels: from each level to the next; empty with too few frames that have both labels.
        alone: a kernel of the accurate labels only.
        fades: whether uncertain corrections fade to the level below; False if there is none.
    """

    levels: list[Labels]
    held_out: list[LabelledFrame]
    below: list[LabelledFrame]
    kernels: list[KernelModel]
    alone: KernelModel | None
    corrections: list[Correction] = dataclasses.field(default_factory=list)
    fades: bool = True

    @property
    def pairs(self) -> list[LabelledFrame]:
        """Differences of the last step."""
        return differences(list(self.levels[-1].values()), self.levels[-2])

    def labels(self) -> CorrectedLabels:
        """Labels of all frames at the accurate level, corrected or computed."""
        moved, faded = lift(self.levels, self.corrections or self.kernels, fade=self.fades)
        if faded:
            logger.warning("%d of %d corrections are uncertain and fade to the level below", faded, len(moved))
        if self.alone is None:
            return CorrectedLabels(moved, 0, faded)
        return CorrectedLabels(*remove_outliers(moved, self.levels[0], self.levels[-1], self.alone), faded)

    @property
    def ignores_cheap(self) -> bool:
        """Whether the leave-one-out error is smaller without the cheap labels.

        This happens with wrong cheap labels, or with many labels of a small molecule.
        """
        if self.alone is None or len(self.kernels) != 1:
            return False
        return self.alone.left_out_error < self.kernels[0].left_out_error


def correct_cheap(problem: Problem) -> MoleculeCorrection:
    """Learn the differences of the levels of one molecule."""
    known = {frame.frame_id for frame in problem.accurate_train}
    cheap = _by_id(problem.cheap) | {i: frame for i, frame in problem.paired_cheap.items() if i in known}
    levels: list[Labels] = [cheap, *problem.ladder, _by_id(problem.accurate_train)]
    held_out = [frame for frame in problem.accurate_valid if frame.frame_id in problem.paired_cheap]
    below = [problem.paired_cheap[frame.frame_id] for frame in held_out]
    kernels, alone = [], None
    if len(levels) > 2 or len(differences(list(levels[1].values()), levels[0])) >= LEAST_PAIRS:
        kernels = learn_steps(levels)
        alone = learn_alone(levels[-2], levels[-1])
    return MoleculeCorrection(levels, held_out, below, kernels, alone)


def without_cheap(problem: Problem) -> MoleculeCorrection:
    """Learn the accurate labels of one molecule without cheap labels: a kernel labels the cheap configurations.

    The labels of the lowest level are zero, so that the differences are the accurate labels.
    """
    levels: list[Labels] = [_zeros([*problem.cheap, *problem.accurate_train]), _by_id(problem.accurate_train)]
    held_out = list(problem.accurate_valid)
    below = list(_zeros(held_out).values())
    return MoleculeCorrection(levels, held_out, below, learn_steps(levels), None, fades=False)


def add_network(session: Session, molecules: Mapping[str, MoleculeCorrection]) -> None:
    """Blend each kernel with a network of the differences of all molecules, unless all kernels are almost exact.

    Raises:
        TrainingError: where a molecule has too few pairs for a kernel, and no network can be trained.
    """
    pairs = [pair for molecule in molecules.values() for pair in molecule.pairs]
    held_out = {
        name: [pair for pair in differences(m.held_out, _by_id(m.below)) if pair.forces is not None]
        for name, m in molecules.items()
    }
    asked = any(wants_network(next(iter(m.kernels), None), m.pairs or pairs) for m in molecules.values())
    every = [pair for found in held_out.values() for pair in found]
    if asked and every and all(pair.forces is not None for pair in pairs):
        network = train_network(session, pairs, every)
        for name, molecule in molecules.items():
            if not molecule.kernels:
                molecule.corrections = [Network(network)]
            elif held_out[name]:
                blended = blend(molecule.kernels[0], network, held_out[name])
                logger.info("%s: correction: %.0f %% of a network, the rest of a kernel", name, 100 * blended.part)
                molecule.corrections = [blended]
    for name, molecule in molecules.items():
        if not (molecule.kernels or molecule.corrections):
            raise TrainingError(
                f"{name}: {len(molecule.pairs)} frames have labels at two neighbouring levels, whose difference "
                "corrected learns; label the accurate frames at every level below"
            )


def learn_alone(below: Labels, accurate: Labels) -> KernelModel:
    """A kernel of accurate labels without those of the level below, for the same frames as their difference.

    Forces are used only where the label below has them, too, as in the difference.
    """
    same = {
        i: frame if below[i].forces is not None else dataclasses.replace(frame, forces=None)
        for i, frame in accurate.items()
        if i in below
    }
    (alone,) = learn_steps([_zeros(same.values()), same])
    return alone


def learn_steps(levels: Sequence[Labels]) -> list[KernelModel]:
    """Kernels of the difference of each level from the one below, learnt from frames with both labels.

    Raises:
        TrainingError: when two neighbouring levels share fewer than two frames.
    """
    permutations = equivalent_permutations([frame.configuration for level in levels for frame in level.values()])
    corrections = []
    for below, above in itertools.pairwise(levels):
        pairs = differences(list(above.values()), below)
        if len(pairs) < 2:
            raise TrainingError(
                f"{len(pairs)} frames have labels at two neighbouring levels, whose difference corrected learns; "
                "label the accurate frames at every level below"
            )
        # Those with forces first.
        pairs.sort(key=lambda frame: frame.forces is None)
        most = MOST_NUMBERS // (1 + 3 * len(pairs[0].configuration.numbers))
        corrections.append(KernelModel(pairs[:most], permutations))
    return corrections


def lift(
    levels: Sequence[Labels], corrections: Sequence[Correction], *, fade: bool = True
) -> tuple[list[LabelledFrame], int]:
    """Labels of all frames at the highest level: the highest label of each frame plus the corrections above it.

    The weight of a corrected label is s²/(s² + σ²) per step. s² is the variance of the learnt energies, and σ² that of
    the correction, at most s². It is 1 near the pairs, and 0.5 for a faded correction.

    Args:
        fade: whether uncertain corrections fade.

    Returns:
        The labels, and the number of corrections that were faded.
    """
    labels, faded = dict(levels[0]), 0
    for correction, above in zip(corrections, levels[1:], strict=True):
        # A label without forces replaces only the energy.
        rest = [frame for i, frame in labels.items() if i not in above or above[i].forces is None]
        if rest:
            configurations = [frame.configuration for frame in rest]
            prediction, ratios = correction.predict(configurations), np.zeros(len(rest))
            if fade:
                prediction, ratios = correction.fade(configurations, prediction)
            faded += int((ratios > 1).sum())
            parts = (1 / (1 + np.minimum(ratios, 1))).tolist()
            for frame, energy, force, part in zip(rest, prediction[0].tolist(), prediction[1], parts, strict=True):
                labels[frame.frame_id] = dataclasses.replace(
                    frame,
                    energy=frame.energy + energy,
                    forces=None if frame.forces is None else frame.forces + force,
                    weight=frame.weight * part,
                )
        for i, frame in above.items():
            forces_below = labels[i].forces if i in labels and frame.forces is None else None
            labels[i] = frame if forces_below is None else dataclasses.replace(frame, forces=forces_below)
    return list(labels.values()), faded


def remove_outliers(
    labels: Sequence[LabelledFrame], cheap: Labels, accurate: Labels, alone: KernelModel
) -> tuple[list[LabelledFrame], int]:
    """Remove wrong labels; returns the others and the number of removed ones.

    A cheap label with an unusual error (another electronic state, unit or geometry) is still wrong after the
    correction, and no pair may show it. So corrected labels are compared with a kernel of the accurate labels alone. A
    label is removed where the two differ by :data:`BROKEN` times the median and by more than the median error of cheap
    labels.

    Args:
        labels: of all frames, corrected and accurate.
        cheap, accurate: labels of the lowest and the highest level, by frame id.
        alone: kernel of the accurate labels.
    """
    doubted = [(f, f.forces) for f in labels if f.forces is not None and f.frame_id not in accurate]
    off = [
        np.abs(pair.forces).mean() for pair in differences(list(accurate.values()), cheap) if pair.forces is not None
    ]
    if not doubted or not off:
        return list(labels), 0
    _, rough = alone.predict([frame.configuration for frame, _ in doubted])
    apart = np.array([np.abs(forces - others).mean() for (_, forces), others in zip(doubted, rough, strict=True)])
    limit = max(BROKEN * float(np.median(apart)), float(np.median(off)))
    broken = {frame.frame_id for (frame, _), distance in zip(doubted, apart, strict=True) if distance > limit}
    if broken:
        logger.warning("%d of %d corrected labels are outliers and are not used", len(broken), len(doubted))
    return [frame for frame in labels if frame.frame_id not in broken], len(broken)


def _by_id(frames: Sequence[LabelledFrame]) -> dict[str, LabelledFrame]:
    return {frame.frame_id: frame for frame in frames}


def _zeros(frames: Collection[LabelledFrame]) -> dict[str, LabelledFrame]:
    """Zero labels: the difference of an accurate label from them is the label itself."""
    nothing = {frame.frame_id: np.zeros_like(frame.configuration.positions) for frame in frames}
    return {f.frame_id: dataclasses.replace(f, energy=0.0, forces=nothing[f.frame_id]) for f in frames}


def _force_mae(found: Sequence[LabelledFrame], truth: Sequence[LabelledFrame]) -> float | None:
    """Mean absolute difference of forces, eV/Å, of frames in the same order; None where no pair has forces."""
    pairs = [(f.forces, t.forces) for f, t in zip(found, truth, strict=True)]
    errors = [np.abs(f - t).mean() for f, t in pairs if f is not None and t is not None]
    return float(np.mean(errors)) if errors else None


def describe(molecules: Mapping[str, MoleculeCorrection], without: Collection[str]) -> CorrectionSummary:
    """What the card says of the corrections: of the only molecule, or of all together and of each."""
    found = {name: _describe_one(molecule, name in without) for name, molecule in molecules.items()}
    if len(found) == 1:
        (only,) = found.values()
        return only
    every = list(molecules.values())
    moved = [label for m in every for label in _corrected_held_out(m)]
    held_out, below = ([frame for m in every for frame in getattr(m, part)] for part in ("held_out", "below"))
    return CorrectionSummary(
        alone=len(without) == len(found),
        raw_force_mae=_force_mae(below, held_out),
        valid_force_mae=_force_mae(moved, held_out),
        labels=sum(one.labels for one in found.values()),
        molecules=found,
    )


def _corrected_held_out(molecule: MoleculeCorrection) -> list[LabelledFrame]:
    corrections = molecule.corrections or molecule.kernels
    return lift([_by_id(molecule.below), *[{} for _ in corrections]], corrections, fade=molecule.fades)[0]


def _describe_one(molecule: MoleculeCorrection, alone: bool) -> CorrectionSummary:
    """Of one molecule; ``labels`` is the count of the last step, that to the accurate level."""
    steps: list[dict[str, Any]] = [
        {
            "labels": kernel.labels,
            "left_out_error": kernel.left_out_error,
            "left_out_labels": kernel.direct_labels,
            "permutations": len(kernel.permutations),
            "network": correction.part if isinstance(correction, Blend) else 0.0,
            **dataclasses.asdict(kernel.hyperparameters),
        }
        # A molecule without a kernel has only the network.
        for kernel, correction in zip(molecule.kernels, molecule.corrections or molecule.kernels, strict=False)
    ] or [{"labels": len(molecule.pairs), "network": 1.0}]
    return CorrectionSummary(
        alone=alone,
        raw_force_mae=_force_mae(molecule.below, molecule.held_out),
        valid_force_mae=_force_mae(_corrected_held_out(molecule), molecule.held_out),
        labels=steps[-1]["labels"],
        steps=tuple(steps),
    )
