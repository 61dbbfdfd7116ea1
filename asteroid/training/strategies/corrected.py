"""``corrected``: cheap labels, moved to the accurate level by what the few frames with both labels teach.

The difference of two levels is smoother than either, so a :class:`~asteroid.training.kernel.KernelModel` learns it from
few frames; added to every cheap label, it leaves labels whose error is that of the correction alone. Levels in between
make a ladder, on which each step is corrected by its own kernel. A model trained on such labels needs no cheap method
at run time.
"""

import dataclasses
import itertools
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from asteroid.errors import TrainingError
from asteroid.training.dataset import LabelledFrame
from asteroid.training.kernel import MOST_NUMBERS, KernelModel
from asteroid.training.session import Session
from asteroid.training.strategies.delta import differences
from asteroid.training.strategies.problem import Problem, Trained
from asteroid.training.strategies.steps import finetune, pretrain
from asteroid.training.symmetry import equivalent_permutations

logger = logging.getLogger(__name__)

Labels = Mapping[str, LabelledFrame]
"""Of one level, by frame id."""


def corrected(problem: Problem, session: Session) -> Trained:
    """Pretrain on corrected cheap labels and the accurate ones together, then fine-tune on the accurate ones.

    Where a kernel of the accurate labels alone does better on the frames that are left out of it, as it does when cheap
    labels are broken or a molecule is as small as its labels are many, the recipe is :func:`distilled`.
    """
    known = {frame.frame_id for frame in problem.accurate_train}
    cheap = _by_id(problem.cheap) | {i: frame for i, frame in problem.paired_cheap.items() if i in known}
    levels = [cheap, *problem.ladder, _by_id(problem.accurate_train)]
    started = time.perf_counter()
    corrections = learn_steps(levels)
    if not problem.ladder and _is_better_alone(levels[0], levels[1], corrections[0]):
        logger.info("the accurate labels say more without the cheap ones: these are not used")
        return _distil(problem, session, started)
    labels = lift(levels, corrections)
    seconds = time.perf_counter() - started
    held_out = [frame for frame in problem.accurate_valid if frame.frame_id in problem.paired_cheap]
    below = [problem.paired_cheap[frame.frame_id] for frame in held_out]
    about = {"seconds": seconds} | _describe(corrections, below, held_out)
    return Trained(_train(problem, session, labels), correction=about)


def distilled(problem: Problem, session: Session) -> Trained:
    """The same without any cheap label: a kernel that knows accurate labels alone labels the cheap configurations."""
    return _distil(problem, session, time.perf_counter())


def _distil(problem: Problem, session: Session, started: float) -> Trained:
    """See :func:`distilled`.

    Args:
        started: s, when the first kernel was begun: one that was tried in vain has its cost as well.
    """
    levels = [_zeros([*problem.cheap, *problem.accurate_train]), _by_id(problem.accurate_train)]
    corrections = learn_steps(levels)
    labels = lift(levels, corrections)
    seconds = time.perf_counter() - started
    held_out = list(problem.accurate_valid)
    below = list(_zeros(held_out).values())
    about = {"alone": True, "seconds": seconds} | _describe(corrections, below, held_out)
    return Trained(_train(problem, session, labels), correction=about)


def _is_better_alone(cheap: Labels, accurate: Labels, correction: KernelModel) -> bool:
    """Whether the accurate labels predict those that are left out of them better than their difference from cheap ones.

    Of the same frames and the same kind of label: where a cheap label lacks forces, so does the difference.
    """
    same = {
        i: frame if cheap[i].forces is not None else dataclasses.replace(frame, forces=None)
        for i, frame in accurate.items()
        if i in cheap
    }
    (alone,) = learn_steps([_zeros(same.values()), same])
    return alone.left_out_error < correction.left_out_error


def learn_steps(levels: Sequence[Labels]) -> list[KernelModel]:
    """The difference of each level from the one below, from the frames that have both.

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
        # As many as take a minute; those that have forces first.
        pairs.sort(key=lambda frame: frame.forces is None)
        most = MOST_NUMBERS // (1 + 3 * len(pairs[0].configuration.numbers))
        corrections.append(KernelModel(pairs[:most], permutations))
    return corrections


def lift(levels: Sequence[Labels], corrections: Sequence[KernelModel]) -> list[LabelledFrame]:
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
    corrections: Sequence[KernelModel], below: Sequence[LabelledFrame], held_out: Sequence[LabelledFrame]
) -> dict[str, Any]:
    """What the card says of the kernels; ``labels`` is the count of the last step, that to the accurate level.

    Args:
        below: labels at the lowest level of ``held_out``, whose accurate labels judge.
    """
    above = lift([_by_id(below), *[{} for _ in corrections]], corrections)
    steps = [
        {
            "labels": correction.labels,
            "left_out_error": correction.left_out_error,
            "permutations": len(correction.permutations),
            **dataclasses.asdict(correction.hyperparameters),
        }
        for correction in corrections
    ]
    return {
        "raw_force_mae": _force_mae(below, held_out),
        "valid_force_mae": _force_mae(above, held_out),
        "labels": corrections[-1].labels,
        "steps": steps,
    }
