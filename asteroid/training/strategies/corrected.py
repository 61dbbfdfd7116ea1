"""``corrected``: training on cheap labels that are corrected to the accurate level.

The correction (:mod:`asteroid.training.correction`) is learnt from frames with both labels. The model needs no cheap
method at run time.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from asteroid.strategies import CHEAP_LABELS, StrategyDefinition
from asteroid.training.problem import Problem, Trained
from asteroid.training.steps import (
    READS_PRETRAINED,
    correcting,
    finetune,
    finetuning,
    pretrain,
    pretraining,
    restart,
    restarts,
)

if TYPE_CHECKING:
    from asteroid.training.session import Session

logger = logging.getLogger(__name__)

ADDED = 1.1
"""Held-out error of a model, relative to that of its corrected labels, up to which it is not pretrained further."""


def corrected(problem: Problem, session: Session) -> Trained:
    """Pretrain on corrected cheap labels and the accurate ones together, then fine-tune on the accurate ones.

    Where a kernel of the accurate labels alone has a smaller leave-one-out error, as with wrong cheap labels or many
    labels of a small molecule, the molecule is labelled as in ``distilled``.
    """
    from asteroid.training.correction import add_network, correct_cheap, describe, without_cheap

    started = time.perf_counter()
    parts = problem.by_molecule()
    molecules = {name: correct_cheap(part) for name, part in parts.items()}
    alone = [name for name, molecule in molecules.items() if molecule.ignores_cheap]
    for name in alone:
        logger.info("%s: cheap labels are not used: the error is smaller without them", name)
        molecules[name] = without_cheap(parts[name])
    seconds = time.perf_counter() - started
    # With levels in between, there are no held-out labels to choose between kernel and network.
    if not problem.ladder:
        add_network(session, {name: found for name, found in molecules.items() if name not in alone})
    found = [molecule.labels() for molecule in molecules.values()]
    broken, faded = (sum(getattr(one, count) for one in found) for count in ("broken", "faded"))
    summary = replace(describe(molecules, alone), seconds=seconds, broken=broken, faded=faded)
    frames = [frame for one in found for frame in one.frames]
    model = pretrain(problem, session, frames, accurate=True)
    if summary.valid_force_mae is not None and not session.starts_from_model:
        restart(problem, session, model, frames, above=ADDED * summary.valid_force_mae)
    finetune(problem, session, model)
    return Trained(model, correction=summary)


READS = READS_PRETRAINED - {"foundation"}

STRATEGY = StrategyDefinition(
    name="corrected",
    how="pretrained on {labels} of {cheap}, each corrected by what the frames with both labels teach",
    aid=CHEAP_LABELS,
    recipe=corrected,
    phases=lambda settings: [
        correcting(settings),
        pretraining(settings, accurate=True),
        *restarts(settings),
        finetuning(settings),
    ],
    # One per difference, and one of the accurate labels alone.
    kernels=lambda settings: len(settings.ladder) + 2,
    needs_cheap=True,
    needs_cheap_forces="moves cheap forces to the accurate level",
    needs_paired=True,
    reads=READS | {"ladder", "correction_steps", "warm_restarts"},
    alone="distilled",
)
