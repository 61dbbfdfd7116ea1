"""The one training loop: a model, graphs to learn from, held-out graphs that say when to stop.

Every strategy is a sequence of calls of :func:`fit`. Its state after an evaluation is plain tensors and numbers; a
training that continues from it takes the very steps that the uninterrupted one would have taken.
:mod:`asteroid.training.session` keeps that state in the store.
"""

import argparse
import dataclasses
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mace.modules import WeightedEnergyForcesLoss
from mace.tools.scripts_utils import get_params_options
from mace.tools.torch_geometric.batch import Batch
from torch_ema import ExponentialMovingAverage

from asteroid.errors import TrainingError
from asteroid.training.dataset import Graph, batches, collate, default_dtype, shuffled
from asteroid.training.held_out import HeldOut

logger = logging.getLogger(__name__)

State = dict[str, Any]
"""Everything that a training needs to continue exactly: tensors, numbers, lists and dicts of them."""

Progress = Callable[[str, int, int, HeldOut | None], None]
"""Called with the stage, its step, its number of steps and the held-out errors (None before the first)."""

EVALUATION_BATCH = 100
"""Held-out graphs in one batch: larger ones gain nothing on a CPU."""

WARM_UP = 0.05
"""Part of the steps over which the learning rate rises: Adam's second moments are noise at first."""

FINAL_LEARNING_RATE = 0.01
"""Part of the learning rate that the cosine ends with."""

WEIGHT_DECAY = 5e-7
"""As in MACE's training script, and for the parameters that it chooses."""


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """One stage of a training.

    Args:
        learning_rate: the largest one, after the warm-up.
        clip: largest norm of the gradient.
        keep_best: stop early and end with the weights that were best on the held-out frames. False for stages on cheap
            labels: their held-out error is mostly the bias between the levels, and its smallest value an accident.
        patience: evaluations without improvement after which the stage ends early.
        evaluate_every: steps between evaluations, each of which is also a checkpoint.
        seed: of the order of the graphs.
    """

    name: str
    steps: int
    batch_size: int
    learning_rate: float
    energy_weight: float
    forces_weight: float
    ema_decay: float
    clip: float
    keep_best: bool
    patience: int
    evaluate_every: int
    seed: int


@dataclass(frozen=True)
class Evaluation:
    """One line of the history; errors are on the held-out frames, of the averaged weights.

    Args:
        loss: mean over the steps since the last evaluation.
        valid_force_mae, valid_energy_mae: see :class:`~asteroid.training.held_out.HeldOut`.
    """

    stage: str
    step: int
    learning_rate: float
    loss: float
    valid_force_mae: float | None
    valid_energy_mae: float


@dataclass(frozen=True)
class FitResult:
    """What a stage came to.

    Args:
        held_out: errors of the weights that the model was left with.
        seconds: wall time, over all restarts.
    """

    history: list[Evaluation]
    held_out: HeldOut
    seconds: float


def learning_rate(step: int, stage: StageSettings) -> float:
    """Linear warm-up, then a cosine down to :data:`FINAL_LEARNING_RATE` of the largest."""
    warm_up = min(1.0, (step + 1) / max(1.0, WARM_UP * stage.steps))
    cosine = 0.5 * (1 + math.cos(math.pi * step / stage.steps))
    return stage.learning_rate * warm_up * (FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * cosine)


def evaluate(model: torch.nn.Module, held_out: Sequence[Batch], *, same_level: bool = True) -> HeldOut:
    """Measure a model on batches that are on its device.

    Args:
        same_level: False for a model of another level, which differs by a constant: the mean energy error is then
            taken off first.
    """
    force_error, components = 0.0, 0
    energy_errors = []
    for batch in held_out:
        output = model(batch.to_dict(), training=False)
        atoms = batch.ptr[1:] - batch.ptr[:-1]
        has_forces = torch.repeat_interleave(batch.forces_weight > 0, atoms)
        force_error += float((output["forces"] - batch.forces)[has_forces].abs().sum())
        components += 3 * int(has_forces.sum())
        energy_errors.append((output["energy"].detach() - batch.energy) / atoms)
    errors = torch.cat(energy_errors)
    if not same_level:
        errors = errors - errors.mean()
    return HeldOut(force_error / components if components else None, float(errors.abs().mean()))


def _compute_alike_from_the_first_pass() -> None:
    """Switch off TorchScript's profiling, for this process.

    It computes the first passes of a new model otherwise than later ones. The last bits differ, and a training that is
    resumed in a new process drifts away from the uninterrupted one. Without it a step takes as long as with it (MACE of
    16x0e+16x1o on the CPU: 17.1 and 17.4 s against 17.8 and 18.3 s for 600 steps, start-up included, in one run).
    """
    torch._C._jit_set_profiling_executor(False)
    torch._C._jit_set_profiling_mode(False)


def fit(
    model: torch.nn.Module,
    train: Sequence[Graph],
    valid: Sequence[Graph],
    stage: StageSettings,
    *,
    resume: State | None = None,
    checkpoint: Callable[[State], None] | None = None,
    on_progress: Progress | None = None,
) -> FitResult:
    """Train ``model`` in place and leave it with averaged weights: the best on the held-out graphs, or the last.

    Args:
        model: on the device that is to train it, without reference energies (graphs carry none either).
        train: with weights of mean 1; MACE's loss divides by the count, not by their sum.
        resume: the state with which ``checkpoint`` was last called, of the same stage on the same graphs.
        checkpoint: called after each evaluation.

    Raises:
        TrainingError: when the loss is no longer a number.
    """
    _compute_alike_from_the_first_pass()
    device = next(model.parameters()).device
    held_out = [batch.to(device) for batch in batches(valid, EVALUATION_BATCH)]
    loop = _Loop(model, stage)
    if resume is not None:
        loop.load(resume)
    started = time.perf_counter() - loop.seconds
    losses = torch.zeros((), device=device)
    since = 0
    while loop.step < stage.steps and not loop.is_stale:
        indices = shuffled(len(train), stage.batch_size, loop.step, stage.seed)
        losses += loop.take_step(collate([train[i] for i in indices]).to(device))
        since += 1
        if loop.step % stage.evaluate_every and loop.step != stage.steps:
            continue
        loss = float(losses) / since
        if not math.isfinite(loss):
            raise TrainingError(
                f"stage {stage.name}: the loss is {loss} at step {loop.step}; "
                f"write a learning rate below {stage.learning_rate}"
            )
        losses.zero_()
        since = 0
        loop.evaluate(held_out, loss)
        loop.seconds = time.perf_counter() - started
        if checkpoint is not None:
            checkpoint(loop.state())
        if on_progress is not None:
            on_progress(stage.name, loop.step, stage.steps, loop.newest)
    loop.finish()
    logger.info(
        "stage %s: %d of %d steps on %d graphs, %s, %.0f s",
        *(stage.name, loop.step, stage.steps, len(train), loop.best, loop.seconds),
    )
    return FitResult(loop.history, loop.best, loop.seconds)


class _Loop:
    """The state of one stage, and the steps that change it."""

    def __init__(self, model: torch.nn.Module, stage: StageSettings) -> None:
        self.model = model
        self.stage = stage
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimiser = _optimiser(model, stage.learning_rate)
        self.average = ExponentialMovingAverage(self.parameters, decay=stage.ema_decay)
        with default_dtype(self.parameters[0].dtype):
            self.loss = WeightedEnergyForcesLoss(stage.energy_weight, stage.forces_weight).to(self.parameters[0].device)
        self.step = 0
        self.stale = 0
        self.seconds = 0.0
        self.newest = self.best = HeldOut(math.inf, math.inf)
        self.best_weights: list[torch.Tensor] = [p.detach().clone() for p in self.parameters]
        self.history: list[Evaluation] = []

    def take_step(self, batch: Batch) -> torch.Tensor:
        """One step of the optimiser; returns the loss without waiting for it."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, self.stage)
        self.optimiser.zero_grad(set_to_none=True)
        loss: torch.Tensor = self.loss(batch, self.model(batch.to_dict(), training=True))
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.parameters, self.stage.clip)
        self.optimiser.step()
        self.average.update()
        self.step += 1
        return loss.detach()

    def evaluate(self, held_out: Sequence[Batch], loss: float) -> None:
        """Measure the averaged weights, and keep them if they are the best so far."""
        with self.average.average_parameters():
            self.newest = evaluate(self.model, held_out, same_level=self.stage.keep_best)
        if self.newest.criterion < self.best.criterion or not self.stage.keep_best:
            self.best, self.stale = self.newest, 0
            self.best_weights = [p.clone() for p in self.average.shadow_params]
        else:
            self.stale += 1
        rate = learning_rate(self.step - 1, self.stage)
        errors = dataclasses.astuple(self.newest)
        self.history.append(Evaluation(self.stage.name, self.step, rate, loss, *errors))

    @property
    def is_stale(self) -> bool:
        return self.stale >= self.stage.patience

    def finish(self) -> None:
        with torch.no_grad():
            for parameter, best in zip(self.parameters, self.best_weights, strict=True):
                parameter.copy_(best)

    def state(self) -> State:
        return {
            "step": self.step,
            "stale": self.stale,
            "seconds": self.seconds,
            "best": dataclasses.asdict(self.best),
            "best_weights": self.best_weights,
            "history": [dataclasses.asdict(evaluation) for evaluation in self.history],
            "parameters": [p.detach() for p in self.parameters],
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.state_dict(),
        }

    def load(self, state: State) -> None:
        self.step, self.stale = state["step"], state["stale"]
        self.seconds, self.best = state["seconds"], HeldOut(**state["best"])
        self.history = [Evaluation(**evaluation) for evaluation in state["history"]]
        with torch.no_grad():
            for own, saved in ((self.parameters, state["parameters"]), (self.best_weights, state["best_weights"])):
                for tensor, value in zip(own, saved, strict=True):
                    tensor.copy_(value)
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.load_state_dict(state["average"])


def _optimiser(model: torch.nn.Module, rate: float) -> torch.optim.Adam:
    """Adam with MACE's own choice of which parameters decay."""
    arguments = argparse.Namespace(
        lr=rate, weight_decay=WEIGHT_DECAY, amsgrad=True, beta=0.9, freeze=None, lr_params_factors="{}"
    )
    return torch.optim.Adam(**get_params_options(arguments, model), fused=True)
