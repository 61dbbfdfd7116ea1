"""The gradient of a stage: traced, lean and by MACE itself."""

import logging

import numpy as np
import pytest
import torch

from asteroid.configuration import Configuration
from asteroid.training import passes
from asteroid.training.dataset import Graph, to_graph
from asteroid.training.objectives import (
    DenoisingScoreMatching,
    LabelLoss,
    Objective,
    SlicedScoreMatching,
)
from asteroid.training.passes import Collated, Gradient, prepare, schedule
from asteroid.training.stacked import Stacked

from .conftest import Labels
from .test_fit import tiny_model, to_graphs, untrained


def gradient(graphs: list[Graph], objective: Objective, *, traced: bool, repeats: int = 1) -> torch.Tensor:
    """The loss and all parameter gradients of one batch as one vector."""
    model = tiny_model()
    ((group,),) = prepare(model, graphs, displaced=objective.needs_noise)
    differentiate = Gradient(model, group.forward, objective, traced=traced)
    frames = group.frames
    batch = dict(frames.batch(np.arange(len(graphs))))
    noise = np.random.default_rng(0).standard_normal((len(graphs), 3, 3))
    if isinstance(frames, Stacked):  # which sorts atoms: each gets the noise that it gets from MACE
        noise = np.take_along_axis(noise, frames.order[..., None], axis=1)
    batch["noise"] = torch.from_numpy(noise).view(-1, 3)
    batch["temperature"] = torch.full((len(graphs),), 300.0, dtype=torch.float64)
    for _ in range(repeats):
        loss = differentiate(batch)
    found = [p.grad for p in model.parameters() if p.grad is not None]
    return torch.cat([loss.ravel(), *(g.ravel() for g in found)])


@pytest.mark.parametrize(
    "objective",
    [
        LabelLoss(1.0, 100.0),
        pytest.param(SlicedScoreMatching(1.0), marks=pytest.mark.long),
        pytest.param(DenoisingScoreMatching(1.0, 0.05), marks=pytest.mark.long),
    ],
    ids=lambda objective: type(objective).__name__,
)
def test_a_traced_gradient_is_the_gradient_of_mace(
    water: Labels, objective: Objective, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = to_graphs(water.accurate[:4])
    traced = gradient(graphs, objective, traced=True, repeats=2)
    lean = gradient(graphs, objective, traced=False)
    monkeypatch.setattr(passes, "LeanMACE", _refuse)
    # Rounding in double precision.
    torch.testing.assert_close(traced, lean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(lean, gradient(graphs, objective, traced=False), rtol=1e-9, atol=1e-9)


def _refuse(*_: object) -> None:
    raise passes.Unsupported("this test")


def test_what_cannot_be_traced_is_computed_and_said(
    water: Labels, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    graphs = to_graphs(water.accurate[:4])
    expected = gradient(graphs, LabelLoss(1.0, 100.0), traced=False)

    def fail(*_: object) -> None:
        raise RuntimeError("no tracer today")

    monkeypatch.setattr(passes, "trace", fail)
    with caplog.at_level(logging.INFO, logger=passes.__name__):
        assert torch.equal(gradient(graphs, LabelLoss(1.0, 100.0), traced=True), expected)
    assert "no tracer today" in caplog.text


def test_energies_and_forces_of_several_compositions_are_those_of_mace(water: Labels) -> None:
    hydroxide = Configuration([8, 1], [[0, 0, 0], [0, 0, 0.97]], charge=-1)
    other = to_graph(hydroxide, numbers=[1, 8], r_max=3.0, dtype=torch.float64)
    graphs = [*to_graphs(water.accurate[:2]), other, *to_graphs(water.accurate[2:3])]
    model = untrained("float64")
    (groups,) = prepare(model, graphs)
    whole = Collated(graphs, torch.device("cpu")).batch(np.arange(4))
    expected = model(dict(whole), training=False)["energy"]
    for group, members in zip(groups, ([0, 1, 3], [2]), strict=True):
        (batch,) = group.batches(10)
        found = group.forward(dict(model.named_parameters()), batch, training=False)["energy"]
        # Rounding in double precision.
        torch.testing.assert_close(found, expected[members], rtol=1e-12, atol=1e-9)


def test_a_model_that_is_not_known_computes_all_compositions_together(
    water: Labels, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(passes, "LeanMACE", _refuse)
    with caplog.at_level(logging.INFO, logger=passes.__name__):
        ((group,),) = prepare(untrained("float64"), to_graphs(water.accurate[:2]))
    assert not group.traceable
    assert isinstance(group.frames, Collated)
    assert "MACE's own forward pass" in caplog.text


def test_an_epoch_takes_each_full_batch_of_each_group_once() -> None:
    sizes, batch = [7, 3, 12], 3
    for epoch in range(3):
        steps = [schedule(sizes, batch, 7 * epoch + step, seed=5) for step in range(7)]
        for group, size in enumerate(sizes):
            taken = np.concatenate([chosen for number, chosen in steps if number == group])
            assert len(set(taken.tolist())) == len(taken) == size // batch * batch
    orders = [[schedule(sizes, batch, 7 * epoch + step, seed=5)[0] for step in range(7)] for epoch in range(3)]
    assert orders[0] != orders[1] or orders[1] != orders[2]


def test_a_batch_holds_each_frame_with_its_own_labels_in_whatever_order_its_atoms_come(water: Labels) -> None:
    first, second = to_graphs(water.accurate[:2])
    configuration = water.accurate[1].configuration
    turned = Configuration(configuration.numbers[[1, 0, 2]], configuration.positions[[1, 0, 2]])
    forces = np.array(water.accurate[1].forces)[[1, 0, 2]]
    other = to_graph(turned, float(second.energy), forces, numbers=[1, 8], r_max=3.0, dtype=torch.float64)
    stacked = Stacked.of_graphs([first, second, other], torch.device("cpu"), 3.0)
    assert stacked.species == [0, 0, 1]
    batch = stacked.batch([2, 1])
    for key in ("positions", "forces"):
        one, same = batch[key].view(2, 3, 3)
        # Hydrogens come in the order in which each frame has them.
        torch.testing.assert_close(one, same)
    assert batch["energy"].tolist() == [float(second.energy)] * 2
