"""``corrected``: cheap labels, moved to the accurate level by what the few frames with both labels teach.

The difference of two levels is smoother than either, so a :class:`~asteroid.training.kernel.KernelModel` learns it from
few frames; added to every cheap label, it leaves labels whose error is that of the correction alone. Levels in between
make a ladder, on which each step is corrected by its own kernel. A model trained on such labels needs no cheap method
at run time.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from asteroid.errors import TrainingError
from asteroid.strategies import CHEAP_LABELS, StrategyDefinition
from asteroid.training.problem import Problem, Trained
from asteroid.training.steps import READS_PRETRAINED, correcting, finetune, finetuning, pretrain, pretraining
from asteroid.training.strategies.delta import differences

if TYPE_CHECKING:
    import torch

    from asteroid.training.blend import Correction
    from asteroid.training.dataset import LabelledFrame
    from asteroid.training.kernel import KernelModel
    from asteroid.training.session import Session

logger = logging.getLogger(__name__)

Labels: TypeAlias = "Mapping[str, LabelledFrame]"
"""Of one level, by frame id."""

BROKEN = 15.0
"""A label that is off by so many times the usual is hardly one of its frame: of exchanged GFN2 labels of formaldehyde
nearly all are, of sound ones of acetylacetone one in 2200. On formaldehyde sound ones are off by up to 40 times the
tiny usual, but never by as much as GFN2 itself is, which :func:`set_aside_broken` asks as well."""


def corrected(problem: Problem, session: Session) -> Trained:
    """Pretrain on corrected cheap labels and the accurate ones together, then fine-tune on the accurate ones.

    Where a kernel of the accurate labels alone does better on the frames that are left out of it, as it does when cheap
    labels are broken or a molecule is as small as its labels are many, it follows the recipe of ``distilled``.
    """
    known = {frame.frame_id for frame in problem.accurate_train}
    cheap = _by_id(problem.cheap) | {i: frame for i, frame in problem.paired_cheap.items() if i in known}
    levels = [cheap, *problem.ladder, _by_id(problem.accurate_train)]
    started = time.perf_counter()
    corrections = learn_steps(levels)
    alone = learn_alone(levels[-2], levels[-1])
    if not problem.ladder and alone.left_out_error < corrections[0].left_out_error:
        logger.info("the accurate labels say more without the cheap ones: these are not used")
        return distil(problem, session, started)
    seconds = time.perf_counter() - started
    # Only at the ends of a ladder are there held-out labels that could choose between kernel and network.
    steps = corrections if problem.ladder else [_with_network(problem, session, levels, corrections[0])]
    labels, broken = set_aside_broken(lift(levels, steps), levels[0], levels[-1], alone)
    held_out = [frame for frame in problem.accurate_valid if frame.frame_id in problem.paired_cheap]
    below = [problem.paired_cheap[frame.frame_id] for frame in held_out]
    about = {"seconds": seconds, "broken": broken} | _describe(corrections, steps, below, held_out)
    return Trained(_train(problem, session, labels), correction=about)


def distil(problem: Problem, session: Session, started: float) -> Trained:
    """The same without any cheap label: a kernel that knows accurate labels alone labels the cheap configurations.

    Args:
        started: s, when the first kernel was begun: one that was tried in vain has its cost as well.
    """
    levels = [_zeros([*problem.cheap, *problem.accurate_train]), _by_id(problem.accurate_train)]
    corrections = learn_steps(levels)
    labels = lift(levels, corrections)
    seconds = time.perf_counter() - started
    held_out = list(problem.accurate_valid)
    below = list(_zeros(held_out).values())
    about = {"alone": True, "seconds": seconds} | _describe(corrections, corrections, below, held_out)
    return Trained(_train(problem, session, labels), correction=about)


def learn_alone(below: Labels, accurate: Labels) -> KernelModel:
    """What accurate labels say without those of the level below, of the same frames and kinds as their difference.

    Where a label below lacks forces, so does the difference.
    """
    same = {
        i: frame if below[i].forces is not None else dataclasses.replace(frame, forces=None)
        for i, frame in accurate.items()
        if i in below
    }
    (alone,) = learn_steps([_zeros(same.values()), same])
    return alone


def learn_steps(levels: Sequence[Labels]) -> list[KernelModel]:
    """The difference of each level from the one below, from the frames that have both.

    Raises:
        TrainingError: when two neighbouring levels share fewer than two frames.
    """
    from asteroid.training.kernel import MOST_NUMBERS, KernelModel
    from asteroid.training.symmetry import equivalent_permutations

    permutations = equivalent_permutations([frame.configuration for level in levels for frame in level.values()])
    corrections = []
    for below, above in itertools.pairwise(levels):
        pairs = differences(list(above.values()), below)
        if len(pairs) < 2:
            raise TrainingError(
                f"{len(pairs)} frames have labels at two neighbouring levels, whose difference corrected learns; "
                "label the accurate frames at every level below"
            )
        # As many as take a minute; those that have forces first.
        pairs.sort(key=lambda frame: frame.forces is None)
        most = MOST_NUMBERS // (1 + 3 * len(pairs[0].configuration.numbers))
        corrections.append(KernelModel(pairs[:most], permutations))
    return corrections


def lift(levels: Sequence[Labels], corrections: Sequence[Correction]) -> list[LabelledFrame]:
    """Each frame's label at the highest level it has, with the corrections of the steps above it added."""
    labels = dict(levels[0])
    for correction, above in zip(corrections, levels[1:], strict=True):
        # A label without forces takes the place of the energy alone.
        rest = [frame for i, frame in labels.items() if i not in above or above[i].forces is None]
        if rest:
            energies, forces = correction.predict([frame.configuration for frame in rest])
            for frame, energy, force in zip(rest, energies.tolist(), forces, strict=True):
                labels[frame.frame_id] = dataclasses.replace(
                    frame, energy=frame.energy + energy, forces=None if frame.forces is None else frame.forces + force
                )
        for i, frame in above.items():
            forces_below = labels[i].forces if i in labels and frame.forces is None else None
            labels[i] = frame if forces_below is None else dataclasses.replace(frame, forces=forces_below)
    return list(labels.values())


def set_aside_broken(
    labels: Sequence[LabelledFrame], cheap: Labels, accurate: Labels, alone: KernelModel
) -> tuple[list[LabelledFrame], int]:
    """The labels without those that stand apart from all others, and how many of these there were.

    A correction moves a cheap label by what labels of such geometries are off; one that is off by far more (another
    electronic state, a unit, another geometry's) stays as wrong as it was, and no pair may have said so. A kernel that
    knows accurate labels alone is rough, but alike for all: a label is set aside where the two differ :data:`BROKEN`
    times as much as they usually do, and more than cheap labels are off at all.

    Args:
        labels: of all frames, corrected and accurate.
        cheap, accurate: labels of the lowest and of the highest level, by frame id.
        alone: knows accurate labels and no others.
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
        logger.warning(
            "%d of %d corrected labels stand apart from all others and are not used", len(broken), len(doubted)
        )
    return [frame for frame in labels if frame.frame_id not in broken], len(broken)


def _with_network(problem: Problem, session: Session, levels: Sequence[Labels], kernel: KernelModel) -> Correction:
    """The kernel, or where that leaves much its blend with a network."""
    from asteroid.training.blend import blend, wants_network

    pairs = differences(list(levels[1].values()), levels[0])
    held_out = [pair for pair in differences(problem.accurate_valid, problem.paired_cheap) if pair.forces is not None]
    if not held_out or not wants_network(kernel, pairs):
        return kernel
    blended = blend(session, kernel, pairs, held_out)
    logger.info("correction: %.0f %% of a network, the rest of a kernel", 100 * blended.part)
    return blended


def _train(problem: Problem, session: Session, labels: Sequence[LabelledFrame]) -> torch.nn.Module:
    model = pretrain(problem, session, labels, accurate=True)
    finetune(problem, session, model)
    return model


def _by_id(frames: Sequence[LabelledFrame]) -> dict[str, LabelledFrame]:
    return {frame.frame_id: frame for frame in frames}


def _zeros(frames: Collection[LabelledFrame]) -> dict[str, LabelledFrame]:
    """Labels that say nothing: the difference of an accurate label from them is the label itself."""
    nothing = {frame.frame_id: np.zeros_like(frame.configuration.positions) for frame in frames}
    return {f.frame_id: dataclasses.replace(f, energy=0.0, forces=nothing[f.frame_id]) for f in frames}


def _force_mae(found: Sequence[LabelledFrame], truth: Sequence[LabelledFrame]) -> float | None:
    """Mean absolute difference of forces, eV/Å, of frames in the same order; None where no two have forces."""
    pairs = [(f.forces, t.forces) for f, t in zip(found, truth, strict=True)]
    errors = [np.abs(f - t).mean() for f, t in pairs if f is not None and t is not None]
    return float(np.mean(errors)) if errors else None


def _describe(
    kernels: Sequence[KernelModel],
    corrections: Sequence[Correction],
    below: Sequence[LabelledFrame],
    held_out: Sequence[LabelledFrame],
) -> dict[str, Any]:
    """What the card says of the kernels; ``labels`` is the count of the last step, that to the accurate level.

    Args:
        corrections: with which labels are moved: the kernels, or what blends them with networks.
        below: labels at the lowest level of ``held_out``, whose accurate labels judge.
    """
    from asteroid.training.blend import Blend

    above = lift([_by_id(below), *[{} for _ in corrections]], corrections)
    steps = [
        {
            "labels": kernel.labels,
            "left_out_error": kernel.left_out_error,
            "permutations": len(kernel.permutations),
            "network": correction.part if isinstance(correction, Blend) else 0.0,
            **dataclasses.asdict(kernel.hyperparameters),
        }
        for kernel, correction in zip(kernels, corrections, strict=True)
    ]
    return {
        "raw_force_mae": _force_mae(below, held_out),
        "valid_force_mae": _force_mae(above, held_out),
        "labels": kernels[-1].labels,
        "steps": steps,
    }


READS = READS_PRETRAINED - {"foundation"}

STRATEGY = StrategyDefinition(
    name="corrected",
    how="pretrained on {labels} of {cheap}, each corrected by what the frames with both labels teach",
    aid=CHEAP_LABELS,
    recipe=corrected,
    phases=lambda settings: [correcting(settings), pretraining(settings, accurate=True), finetuning(settings)],
    needs_cheap=True,
    needs_cheap_forces="moves cheap forces to the accurate level",
    needs_paired=True,
    reads=READS | {"ladder", "correction_steps"},
    alone="distilled",
)
