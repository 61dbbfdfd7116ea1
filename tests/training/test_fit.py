import copy
import dataclasses
import functools
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from mace.modules import ScaleShiftMACE

from asteroid.errors import TrainingError
from asteroid.manifest import ModelSettings
from asteroid.processes import call_in_process
from asteroid.training.dataset import (
    DTYPES,
    Graph,
    LabelledFrame,
    Precision,
    fit_reference_energies,
    to_graph,
)
from asteroid.training.fit import FitResult, StageSettings, State, _in_batches, _measure, fit, learning_rate
from asteroid.training.held_out import HeldOut
from asteroid.training.model import build_model
from asteroid.training.objectives import LabelLoss
from asteroid.training.passes import Gradient, prepare
from tests.training import fresh_process

from .conftest import Labels

STAGE = StageSettings(
    name="test",
    steps=40,
    batch_size=8,
    learning_rate=0.01,
    energy_weight=1.0,
    forces_weight=100.0,
    ema_decay=0.9,
    clip=10.0,
    keep_best=True,
    patience=20,
    evaluate_every=10,
    seed=3,
)


class Killed(Exception):
    """Stands for the end of the process."""


@functools.cache
def untrained(precision: Precision) -> ScaleShiftMACE:
    """Building a model takes seconds on a busy machine: once for each precision."""
    settings = ModelSettings(channels=4, max_l=1, max_ell=1, correlation=2, radial=4, r_max=3.0)
    return build_model([1, 8], settings, scale=1.0, avg_num_neighbors=2.0, seed=0, dtype=DTYPES[precision])


def tiny_model(precision: Precision = "float64") -> ScaleShiftMACE:
    return copy.deepcopy(untrained(precision))


def to_graphs(frames: Sequence[LabelledFrame], precision: Precision = "float64") -> list[Graph]:
    references = fit_reference_energies(frames)
    return [
        to_graph(
            f.configuration,
            f.energy - references.of(f.configuration),
            f.forces,
            f.weight,
            numbers=[1, 8],
            r_max=3.0,
            dtype=DTYPES[precision],
        )
        for f in frames
    ]


def evaluate(model: ScaleShiftMACE, graphs: Sequence[Graph], *, same_level: bool = True) -> HeldOut:
    (groups,) = prepare(model, graphs)
    return _measure(dict(model.named_parameters()), _in_batches(groups), same_level=same_level)


def gradients(frames: Sequence[LabelledFrame]) -> torch.Tensor:
    """Gradient of our loss on one batch with respect to all parameters, as one vector, by the passes that train."""
    model = tiny_model()
    ((group,),) = prepare(model, to_graphs(frames))
    assert group.traceable
    Gradient(model, group.forward, LabelLoss(1.0, 100.0), traced=False)(group.frames.batch(range(len(frames))))
    return torch.cat([p.grad.ravel() for p in model.parameters() if p.grad is not None])


def weighted(frame: LabelledFrame, weight: float) -> LabelledFrame:
    return dataclasses.replace(frame, weight=weight)


def run(labels: Labels, precision: Precision = "float64", **options: Any) -> tuple[ScaleShiftMACE, FitResult]:
    model = tiny_model(precision)
    train, valid = to_graphs(labels.accurate[:20], precision), to_graphs(labels.accurate[20:30], precision)
    stage = options.pop("stage", STAGE)
    return model, fit(model, train, valid, stage, **options)


def test_a_frame_of_weight_zero_has_no_part_in_the_gradient(water: Labels) -> None:
    first, second, third = water.accurate[:3]
    # The third frame's label is changed; with weight zero nothing may change (its reference energy is kept the same).
    nonsense = dataclasses.replace(third, forces=np.full((3, 3), 9.0), weight=0.0)
    assert torch.equal(gradients([first, second, weighted(third, 0.0)]), gradients([first, second, nonsense]))
    assert not torch.allclose(gradients([first, second, third]), gradients([first, second, weighted(third, 0.0)]))


def test_a_doubled_weight_doubles_the_contribution_of_its_frame(water: Labels) -> None:
    first, second = water.accurate[:2]
    none, once, twice = (gradients([first, weighted(second, w)]) for w in (0.0, 1.0, 2.0))
    # Rounding of sums in double precision.
    torch.testing.assert_close(twice - none, 2 * (once - none), rtol=1e-9, atol=1e-9)


def test_an_energy_only_label_trains_on_its_energy_and_not_on_forces(water: Labels) -> None:
    frame = dataclasses.replace(water.accurate[0], forces=None)
    zero = dataclasses.replace(water.accurate[0], forces=np.zeros((3, 3)))
    shifted = dataclasses.replace(frame, energy=frame.energy + 1.0)
    other = water.accurate[1]
    assert not torch.allclose(gradients([frame, other]), gradients([zero, other]))
    assert not torch.allclose(gradients([frame, other]), gradients([shifted, other]))


def test_training_lowers_the_held_out_error(water: Labels) -> None:
    model, result = run(water, stage=dataclasses.replace(STAGE, steps=100, evaluate_every=25))
    maes = [line.valid_force_mae for line in result.history]
    assert maes[0] is not None
    assert maes[-1] is not None
    assert maes[-1] < 0.7 * maes[0]
    assert result.held_out.force_mae == min(m for m in maes if m is not None)
    held_out = to_graphs(water.accurate[20:30])
    # The model is left with the weights that gave its best evaluation; only summation order may differ.
    assert evaluate(model, held_out).force_mae == pytest.approx(result.held_out.force_mae, rel=1e-12)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_killed_training_continues_bit_for_bit(water: Labels, precision: Precision) -> None:
    whole, expected = run(water, precision)
    kept: list[bytes] = []

    def die_after_two(state: State) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        kept.append(buffer.getvalue())
        if len(kept) == 2:
            raise Killed

    with pytest.raises(Killed):
        run(water, precision, checkpoint=die_after_two)
    state = torch.load(io.BytesIO(kept[-1]), weights_only=True)
    continued, result = run(water, precision, resume=state)
    for one, other in zip(whole.parameters(), continued.parameters(), strict=True):
        assert torch.equal(one, other)
    assert result.history == expected.history


@pytest.mark.long
def test_a_traced_training_killed_in_one_process_continues_bit_for_bit_in_another(water: Labels) -> None:
    # TorchScript profiles its first passes and computes later ones otherwise, which a resumed training would notice.
    stage = dataclasses.replace(STAGE, steps=160, evaluate_every=40, batch_size=5)
    frames, held_out = water.accurate[:20], water.accurate[20:30]
    whole, checkpoints = call_in_process(fresh_process.train, frames, held_out, stage)
    # What a process leaves that is killed after its second checkpoint.
    continued, _ = call_in_process(fresh_process.train, frames, held_out, stage, resume=checkpoints[1])
    assert len(whole) == 4
    assert continued == whole


def test_a_stage_that_does_not_keep_its_best_runs_to_its_end_and_keeps_its_last_weights(water: Labels) -> None:
    # The held-out labels are those of another molecule, so to say: their error has nothing to teach.
    held_out = to_graphs(
        [dataclasses.replace(f, forces=-f.forces) for f in water.accurate[20:24] if f.forces is not None]
    )
    stage = dataclasses.replace(STAGE, keep_best=False, patience=1)
    model = tiny_model()
    result = fit(model, to_graphs(water.accurate[:20]), held_out, stage)
    assert result.history[-1].step == stage.steps
    assert result.held_out.force_mae == result.history[-1].valid_force_mae
    found = evaluate(model, held_out)
    assert found.force_mae == pytest.approx(result.held_out.force_mae, rel=1e-12)


@pytest.mark.long
def test_training_stops_when_the_held_out_error_no_longer_improves(water: Labels) -> None:
    # With a rate this small rounding decides: two evaluations without improvement must come long before 2000 steps.
    stage = dataclasses.replace(STAGE, steps=2000, evaluate_every=2, patience=2, learning_rate=1e-16, ema_decay=0.5)
    _, result = run(water, stage=stage)
    assert result.history[-1].step < 2000


def test_a_loss_that_is_not_a_number_is_named(water: Labels) -> None:
    broken = [dataclasses.replace(f, energy=float("nan")) for f in water.accurate[:4]]
    graphs = [
        to_graph(f.configuration, f.energy, f.forces, numbers=[1, 8], r_max=3.0, dtype=torch.float64) for f in broken
    ]
    with pytest.raises(TrainingError, match="learning rate"):
        fit(tiny_model(), graphs, to_graphs(water.accurate[4:8]), STAGE)


def without_forces(frames: Sequence[LabelledFrame]) -> list[LabelledFrame]:
    return [dataclasses.replace(frame, forces=None) for frame in frames]


def test_what_force_labels_teach_does_not_depend_on_which_other_labels_of_the_batch_have_forces(water: Labels) -> None:
    first, second = water.accurate[:2]
    alone = dataclasses.replace(second, forces=None)
    none = without_forces([first])[0]
    # Loss = mean over frames of energy and force terms: the second frame's forces add to it what they add anywhere.
    torch.testing.assert_close(
        gradients([first, second]) - gradients([none, second]),
        gradients([first, alone]) - gradients([none, alone]),
        rtol=1e-9,
        atol=1e-9,
    )
    assert torch.isfinite(gradients([none, alone])).all()


@pytest.mark.long
def test_a_training_on_energies_alone_lowers_and_keeps_the_held_out_energy_error(water: Labels) -> None:
    train, valid = (to_graphs(without_forces(part)) for part in (water.accurate[:20], water.accurate[20:30]))
    model = tiny_model()
    result = fit(model, train, valid, dataclasses.replace(STAGE, steps=200, evaluate_every=20))
    energies = [line.valid_energy_mae for line in result.history]
    assert {line.valid_force_mae for line in result.history} == {None}
    assert result.held_out == HeldOut(None, min(energies))
    assert min(energies) < 0.7 * energies[0]
    assert evaluate(model, valid).energy_mae == pytest.approx(min(energies), rel=1e-12)


def test_held_out_forces_decide_where_some_frames_have_them(water: Labels) -> None:
    held_out = to_graphs([*without_forces(water.accurate[20:25]), *water.accurate[25:27]])
    found = evaluate(untrained("float64"), held_out)
    alone = evaluate(untrained("float64"), held_out[5:])
    # Rounding of sums in another order.
    assert found.force_mae == pytest.approx(alone.force_mae, rel=1e-12)
    assert found.criterion == found.force_mae
    assert HeldOut(None, 0.5).criterion == 0.5


def test_a_constant_between_levels_is_no_error_of_a_model_of_the_other_level(water: Labels) -> None:
    held_out = to_graphs(without_forces(water.accurate[:6]))
    shifted = copy.deepcopy(held_out)
    for graph in shifted:
        graph.energy = graph.energy + 12.0
    same, other = (
        [evaluate(untrained("float64"), graphs, same_level=level).energy_mae for graphs in (held_out, shifted)]
        for level in (True, False)
    )
    # 12 eV over three atoms; 1e-9 eV is rounding.
    assert same[1] == pytest.approx(4.0, abs=2 * same[0])
    assert other[1] == pytest.approx(other[0], abs=1e-9)


def test_the_learning_rate_warms_up_and_then_falls_to_one_hundredth() -> None:
    stage = dataclasses.replace(STAGE, steps=1000)
    rates = [learning_rate(step, stage) for step in range(1000)]
    peak = rates.index(max(rates))
    assert peak == pytest.approx(50, abs=1)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0.01 * stage.learning_rate, rel=1e-3)
