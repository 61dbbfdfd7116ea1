"""The training loop, with early stopping on held-out graphs.

All strategies call :func:`fit`. Its state after an evaluation is plain tensors and numbers, and a training resumed from
it takes the same steps as an uninterrupted one. :mod:`asteroid.training.session` stores the state.
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
"""Complete state of a training: tensors, numbers, lists and dicts of them."""

Progress = Callable[[str, int, int, HeldOut | None], None]
"""Called with (stage, step, number of steps, held-out errors or None before the first evaluation)."""

EVALUATION_BATCH = 100
"""Held-out graphs per batch; larger batches are not faster on a CPU."""

WARM_UP = 0.05
"""Fraction of the steps over which the learning rate rises, because the second moments are noisy at first."""

FINAL_LEARNING_RATE = 0.01
"""Final learning rate of the cosine schedule, as a fraction of the largest."""


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """One stage of a training.

    Args:
        learning_rate: largest one, after the warm-up.
        clip: largest norm of the gradient.
        keep_best: stop early and restore the weights with the smallest held-out error. False for stages on cheap
            labels, whose held-out error is mostly the bias between the levels.
        patience: evaluations without improvement before early stopping.
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
    """Result of a stage.

    Args:
        held_out: errors of the final weights.
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


def _measure(
    parameters: Mapping[str, torch.Tensor], held_out: Sequence[tuple[Forward, Batch]], *, same_level: bool
) -> HeldOut:
    """Errors of a model on graphs.

    Args:
        same_level: False for a model of another level, whose energies differ by a constant: the mean energy error is
            then subtracted.
    """
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


def _switch_off_profiling() -> None:
    """Switch off TorchScript's profiling, for this process.

    With it, the first passes of a new model differ from later ones in the last bits, and a resumed training drifts away
    from an uninterrupted one. It does not make steps faster (MACE of 16x0e+16x1o on the CPU, 600 steps with start-up:
    17.1 and 17.4 s without, 17.8 and 18.3 s with it).
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
    """Train ``model`` in place; it ends with averaged weights, the best on the held-out graphs or the last.

    Args:
        model: on its device, without reference energies, as the graphs.
        train: with weights of mean 1; objectives divide by the number of graphs.
        objective: to minimise; :class:`~asteroid.training.objectives.LabelLoss` when None.
        traced: whether to trace the steps where possible, see :mod:`asteroid.training.traced`; when None, from
            :data:`~asteroid.training.passes.TRACE_FROM` steps on.
        resume: state of the last call of ``checkpoint``, of the same stage and graphs.
        checkpoint: called after each evaluation.

    Raises:
        TrainingError: when the loss is not finite.
    """
    _switch_off_profiling()
    device = next(model.parameters()).device
    objective = objective or LabelLoss(stage.energy_weight, stage.forces_weight)
    groups, held_out = prepare(model, train, valid, displaced=objective.needs_noise)
    # Depends on the number of steps alone, so that a resumed training computes the same.
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
    """State and steps of one stage."""

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
        """One step of the optimiser; returns the loss, without synchronisation with the device."""
        self.optimiser.learning_rate = learning_rate(self.step, self.stage)
        loss = gradient(batch)
        torch.nn.utils.clip_grad_norm_(self.parameters, self.stage.clip)
        self.optimiser.step()
        self.step += 1
        # A smaller decay in the first steps, as in torch_ema.
        decay = min(self.stage.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - decay)
        return loss

    def start(self) -> None:
        """Evaluate the initial model: if fine-tuning only makes it worse, its weights are restored."""
        parameters = dict(self.model.named_parameters())
        self.best = _measure(parameters, self.held_out, same_level=True)

    def evaluate(self, loss: float) -> None:
        """Evaluate the averaged weights, and keep them if they are the best so far."""
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
    """Standard normal numbers that depend on the step alone, so that a resumed training draws the same."""
    values = np.random.default_rng((seed, step)).standard_normal(tuple(like.shape))
    return torch.from_numpy(values).to(like)
