"""The one training loop: a model, graphs to learn from, held-out graphs that say when to stop.

Every strategy is a sequence of calls of :func:`fit`. Its state after an evaluation is plain tensors and numbers; a
training that continues from it takes the very steps that the uninterrupted one would have taken.
:mod:`asteroid.training.session` keeps that state in the store.
"""

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from asteroid.errors import TrainingError
from asteroid.store.models import Evaluation
from asteroid.training.dataset import Graph
from asteroid.training.held_out import HeldOut
from asteroid.training.objectives import LabelLoss, Objective
from asteroid.training.optimiser import Soap
from asteroid.training.passes import TRACE_FROM, Batch, Forward, Gradient, Group, prepare, schedule

logger = logging.getLogger(__name__)

State = dict[str, Any]
"""Everything that a training needs to continue exactly: tensors, numbers, lists and dicts of them."""

Progress = Callable[[str, int, int, HeldOut | None], None]
"""Called with the stage, its step, its number of steps and the held-out errors (None before the first)."""

EVALUATION_BATCH = 100
"""Held-out graphs in one batch: larger ones gain nothing on a CPU."""

WARM_UP = 0.05
"""Part of the steps over which the learning rate rises: the second moments are noise at first."""

FINAL_LEARNING_RATE = 0.01
"""Part of the learning rate that the cosine ends with."""


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


def evaluate(model: torch.nn.Module, graphs: Sequence[Graph], *, same_level: bool = True) -> HeldOut:
    """Measure a model on graphs.

    Args:
        same_level: False for a model of another level, which differs by a constant: the mean energy error is then
            taken off first.
    """
    (groups,) = prepare(model, graphs)
    parameters = dict(model.named_parameters())
    return _measure(parameters, _in_batches(groups), same_level=same_level)


def _measure(
    parameters: Mapping[str, torch.Tensor], held_out: Sequence[tuple[Forward, Batch]], *, same_level: bool
) -> HeldOut:
    force_error, components = 0.0, 0
    energy_errors = []
    for forward, batch in held_out:
        output = forward(parameters, batch, training=False)
        atoms = batch["ptr"][1:] - batch["ptr"][:-1]
        has_forces = (batch["forces_weight"] > 0)[batch["batch"]]
        force_error += float((output["forces"] - batch["forces"])[has_forces].abs().sum())
        components += 3 * int(has_forces.sum())
        energy_errors.append((output["energy"].detach() - batch["energy"]) / atoms)
    errors = torch.cat(energy_errors)
    if not same_level:
        errors = errors - errors.mean()
    return HeldOut(force_error / components if components else None, float(errors.abs().mean()))


def _in_batches(groups: Sequence[Group]) -> list[tuple[Forward, Batch]]:
    return [(group.forward, batch) for group in groups for batch in group.batches(EVALUATION_BATCH)]


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
    objective: Objective | None = None,
    traced: bool | None = None,
    resume: State | None = None,
    checkpoint: Callable[[State], None] | None = None,
    on_progress: Progress | None = None,
) -> FitResult:
    """Train ``model`` in place and leave it with averaged weights: the best on the held-out graphs, or the last.

    Args:
        model: on the device that is to train it, without reference energies (graphs carry none either).
        train: with weights of mean 1; objectives divide by the count, not by their sum.
        objective: what is minimised; the error of the labels when not given.
        traced: whether to trace the steps where that is possible, see :mod:`asteroid.training.traced`; when not given,
            from :data:`~asteroid.training.passes.TRACE_FROM` steps on.
        resume: the state with which ``checkpoint`` was last called, of the same stage on the same graphs.
        checkpoint: called after each evaluation.

    Raises:
        TrainingError: when the loss is no longer a number.
    """
    _compute_alike_from_the_first_pass()
    device = next(model.parameters()).device
    objective = objective or LabelLoss(stage.energy_weight, stage.forces_weight)
    groups, held_out = prepare(model, train, valid, displaced=objective.needs_noise)
    # Of the number of steps alone, so that a training that is resumed computes as the uninterrupted one would have.
    pays = stage.steps >= TRACE_FROM * len(groups) if traced is None else traced
    gradients = [Gradient(model, g.forward, objective, traced=g.traceable and pays) for g in groups]
    sizes = [len(group.frames) for group in groups]
    loop = _Loop(model, stage, _in_batches(held_out))
    if resume is not None:
        loop.load(resume)
    elif stage.keep_best:
        loop.start()
    started = time.perf_counter() - loop.seconds
    losses = torch.zeros((), device=device)
    since = 0
    while loop.step < stage.steps and not loop.is_stale:
        number, chosen = schedule(sizes, stage.batch_size, loop.step, stage.seed)
        batch = dict(groups[number].frames.batch(chosen))
        if objective.needs_noise:
            batch["noise"] = _noise(batch["positions"], stage.seed, loop.step)
        losses += loop.take_step(gradients[number], batch)
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
        loop.evaluate(loss)
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

    def __init__(
        self,
        model: torch.nn.Module,
        stage: StageSettings,
        held_out: Sequence[tuple[Forward, Batch]],
    ) -> None:
        self.model = model
        self.stage = stage
        self.held_out = held_out
        self.parameters: list[torch.Tensor] = [p for p in model.parameters() if p.requires_grad]
        self.optimiser = Soap(model, self.parameters, stage.learning_rate)
        self.average = [p.detach().clone() for p in self.parameters]
        self.step = 0
        self.stale = 0
        self.seconds = 0.0
        self.newest = self.best = HeldOut(math.inf, math.inf)
        self.best_weights: list[torch.Tensor] = [p.detach().clone() for p in self.parameters]
        self.history: list[Evaluation] = []

    def take_step(self, gradient: Gradient, batch: Batch) -> torch.Tensor:
        """One step of the optimiser; returns the loss without waiting for it."""
        self.optimiser.learning_rate = learning_rate(self.step, self.stage)
        loss = gradient(batch)
        torch.nn.utils.clip_grad_norm_(self.parameters, self.stage.clip)
        self.optimiser.step()
        self.step += 1
        # The first steps are forgotten sooner, as in torch_ema.
        decay = min(self.stage.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - decay)
        return loss

    def start(self) -> None:
        """Measure the model as it came: a fine-tuning that only spoils it ends where it began."""
        parameters = dict(self.model.named_parameters())
        self.best = _measure(parameters, self.held_out, same_level=True)

    def evaluate(self, loss: float) -> None:
        """Measure the averaged weights, and keep them if they are the best so far."""
        current = [p.detach().clone() for p in self.parameters]
        self._set(self.average)
        parameters = dict(self.model.named_parameters())
        self.newest = _measure(parameters, self.held_out, same_level=self.stage.keep_best)
        self._set(current)
        if self.newest.criterion < self.best.criterion or not self.stage.keep_best:
            self.best, self.stale = self.newest, 0
            self.best_weights = [p.clone() for p in self.average]
        else:
            self.stale += 1
        rate = learning_rate(self.step - 1, self.stage)
        errors = dataclasses.astuple(self.newest)
        self.history.append(Evaluation(self.stage.name, self.step, rate, loss, *errors))

    @property
    def is_stale(self) -> bool:
        return self.stale >= self.stage.patience

    def finish(self) -> None:
        self._set(self.best_weights)

    def _set(self, values: Sequence[torch.Tensor]) -> None:
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, list(values))

    def state(self) -> State:
        return {
            "step": self.step,
            "stale": self.stale,
            "seconds": self.seconds,
            "best": dataclasses.asdict(self.best),
            "best_weights": self.best_weights,
            "history": [dataclasses.asdict(evaluation) for evaluation in self.history],
            "parameters": [p.detach() for p in self.parameters],
            "optimiser": self.optimiser.state(),
            "average": self.average,
        }

    def load(self, state: State) -> None:
        self.step, self.stale = state["step"], state["stale"]
        self.seconds, self.best = state["seconds"], HeldOut(**state["best"])
        self.history = [Evaluation(**evaluation) for evaluation in state["history"]]
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, state["parameters"])
            torch._foreach_copy_(self.best_weights, state["best_weights"])
            torch._foreach_copy_(self.average, state["average"])
        self.optimiser.load(state["optimiser"])


def _noise(like: torch.Tensor, seed: int, step: int) -> torch.Tensor:
    """Standard normal numbers that are a function of the step alone, so that a resumed training draws the same."""
    values = np.random.default_rng((seed, step)).standard_normal(tuple(like.shape))
    return torch.from_numpy(values).to(like)
