"""The lean energy against MACE's own forward pass: the same weights, other operations."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from e3nn import o3
from mace.modules import ScaleShiftMACE, WeightedEnergyForcesLoss
from mace.modules.blocks import RealAgnosticInteractionBlock

from asteroid.configuration import Configuration
from asteroid.manifest import ModelSettings
from asteroid.training.dataset import DTYPES, Graph, Precision, collate, default_dtype, to_graph
from asteroid.training.lean import LeanMACE, Unsupported
from asteroid.training.lean.algebra import collect, gather, harmonics, join, products, split
from asteroid.training.model import build_model, set_reference_energies
from asteroid.training.objectives import LabelLoss
from asteroid.training.stacked import Stacked

NUMBERS = [8, 1, 6, 1, 1, 1]
"""Methanol: elements in no order, two that occur once and one four times."""

R_MAX = 3.0


@functools.cache
def mace(precision: Precision, **sizes: Any) -> ScaleShiftMACE:
    settings = ModelSettings(**{"channels": 4, "radial": 4, "r_max": R_MAX, **sizes})
    energies = {1: -13.6, 6: -1029.0, 8: -2042.0}
    model = build_model([1, 6, 8], settings, scale=1.3, avg_num_neighbors=3.0, seed=1, dtype=DTYPES[precision])
    set_reference_energies(model, energies)
    return model


def graphs(precision: Precision, count: int = 3, spread: float = 1.0) -> list[Graph]:
    """Random clouds of atoms with random labels and weights; a wide spread leaves pairs beyond the cutoff."""
    random = np.random.default_rng(5)
    bent = np.array(
        [[0, 0, 0], [0.9, 0.3, 0], [-1.2, 0.5, 0.1], [-1.5, 1.4, 0.6], [-2.0, -0.2, -0.4], [-1.4, 0.1, 1.3]]
    )
    found = []
    for _ in range(count):
        configuration = Configuration(NUMBERS, spread * bent + random.normal(scale=0.15, size=(6, 3)))
        graph = to_graph(
            configuration,
            random.normal(),
            random.normal(size=(6, 3)),
            random.uniform(0.5, 2.0),
            numbers=[1, 6, 8],
            r_max=R_MAX,
            dtype=DTYPES[precision],
        )
        found.append(graph)
    return found


def original_order(stacked: Stacked, forces: torch.Tensor) -> torch.Tensor:
    ordered = forces.detach().view(len(stacked), -1, 3)
    order = torch.from_numpy(stacked.order).unsqueeze(-1).expand_as(ordered)
    return torch.zeros_like(ordered).scatter_(1, order, ordered).view(-1, 3)


def gradients(model: ScaleShiftMACE, loss: torch.Tensor) -> torch.Tensor:
    parameters = list(model.parameters())
    found = torch.autograd.grad(loss, [p for p in parameters if p.requires_grad], allow_unused=True)
    return torch.cat([torch.zeros(1).to(loss) if g is None else g.ravel() for g in found])


def compare(
    model: ScaleShiftMACE, frames: list[Graph], tolerance: float, *, reach: float = R_MAX
) -> Mapping[str, torch.Tensor]:
    """Energies, forces and the gradient of the loss by MACE with MACE's own loss, and by us; returns our batch."""
    batch = collate(frames)
    dtype = batch.positions.dtype
    with default_dtype(dtype):
        loss_function = WeightedEnergyForcesLoss(1.0, 100.0)
    expected = model(batch.to_dict(), training=True)
    stacked = Stacked.of_graphs(frames, torch.device("cpu"), reach)
    lean = LeanMACE(model, stacked.species)
    parameters, ours = dict(model.named_parameters()), stacked.batch(range(len(frames)))
    found = lean(parameters, ours, training=True)
    scale = float(expected["forces"].detach().abs().max())
    torch.testing.assert_close(found["energy"], expected["energy"], rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(
        original_order(stacked, found["forces"]), expected["forces"].detach(), rtol=0, atol=tolerance * scale
    )
    loss = LabelLoss(1.0, 100.0)(lambda inputs: lean(parameters, inputs, training=True), ours)
    theirs = gradients(model, loss_function(batch, expected))
    difference = (gradients(model, loss) - theirs).norm() / theirs.norm()
    assert float(difference) < tolerance, float(difference)
    return ours


@pytest.mark.parametrize(
    "sizes",
    [
        {"max_l": 0, "max_ell": 1, "correlation": 1, "interactions": 1},
        pytest.param(
            {"max_l": 0, "max_ell": 2, "correlation": 3, "interactions": 2}, marks=pytest.mark.long, id="0-2-3-2"
        ),
        pytest.param(
            {"max_l": 1, "max_ell": 1, "correlation": 2, "interactions": 2}, marks=pytest.mark.long, id="1-1-2-2"
        ),
        {"max_l": 1, "max_ell": 2, "correlation": 3, "interactions": 2},
        pytest.param(
            {"max_l": 2, "max_ell": 3, "correlation": 2, "interactions": 3}, marks=pytest.mark.long, id="2-3-2-3"
        ),
        {"max_l": 1, "max_ell": 1, "correlation": 4, "interactions": 2},
    ],
    ids=lambda sizes: "-".join(map(str, sizes.values())),
)
def test_energies_forces_and_gradients_are_those_of_mace(sizes: dict[str, int]) -> None:
    # Rounding in double precision; sums of thousands of terms are taken in another order.
    compare(mace("float64", **sizes), graphs("float64"), 1e-11)


def test_single_precision_agrees_to_single_precision() -> None:
    # Total energies of 3000 eV have a rounding error of 1e-4 eV. Sums of thousands of terms are taken in an order that
    # depends on the processor: forces were off by up to 1.2e-6 of the largest one, twenty roundings of a float.
    model = mace("float32", max_l=1, max_ell=2, correlation=3)
    compare(model, graphs("float32"), 5e-6)


def test_neighbours_that_fill_a_list_add_exactly_nothing() -> None:
    model = mace("float64", max_l=1, max_ell=2, correlation=2)
    near, far = graphs("float64", 3), graphs("float64", 2, spread=3.0)
    batch = compare(model, [*near, *far], 1e-11)
    assert batch["is_edge"].all(), "every atom is a neighbour of every other where most are within reach"
    listed = compare(model, far, 1e-11)
    assert not listed["is_edge"].all(), "this test is about fillers"
    alone = compare(model, graphs("float64", 2, spread=30.0), 1e-11)
    assert not alone["is_edge"].any()


def test_neighbours_listed_from_farther_away_add_exactly_nothing() -> None:
    compare(mace("float64", max_l=1, max_ell=2, correlation=2), graphs("float64", 2, spread=3.0), 1e-11, reach=3.8)


def test_a_model_of_another_architecture_is_refused_with_the_reason() -> None:
    sizes = {"max_l": 0, "max_ell": 1, "correlation": 2}
    two_heads = build_model(
        [1, 8],
        ModelSettings(channels=4, radial=4, **sizes),
        scale=[1.0, 1.0],
        avg_num_neighbors=2.0,
        seed=0,
        dtype=torch.float64,
    )
    with pytest.raises(Unsupported, match="several heads"):
        LeanMACE(two_heads, [0, 0, 1])
    other = build_model(
        [1, 8],
        ModelSettings(channels=4, radial=4, **sizes),
        scale=1.0,
        avg_num_neighbors=2.0,
        seed=0,
        dtype=torch.float64,
    )
    other.interactions[1].__class__ = RealAgnosticInteractionBlock
    with pytest.raises(Unsupported, match="RealAgnosticInteractionBlock"):
        LeanMACE(other, [0, 0, 1])


@pytest.mark.parametrize("rows", [3, 4, 5])
def test_products_hold_every_pair_and_every_triple(rows: int) -> None:
    primes = torch.tensor([2.0, 3.0, 5.0, 7.0, 11.0][:rows]).unsqueeze(1)
    _, pairs, triples = products(primes, 3)
    expected = {float(a * b) for a in primes for b in primes}
    assert set(pairs.flatten().tolist()) == expected
    assert set(triples.flatten().tolist()) == {float(p * a) for p in expected for a in primes}


@pytest.mark.parametrize("degree", range(5))
def test_harmonics_are_those_of_e3nn(degree: int) -> None:
    points = torch.nn.functional.normalize(torch.randn(20, 3, dtype=torch.float64), dim=1)
    expected = o3.spherical_harmonics(degree, points, normalize=True, normalization="component")
    factors = products(points.T, degree)[-1] if degree else torch.ones(1, 20, dtype=torch.float64)
    # Rounding in double precision.
    torch.testing.assert_close(factors.T @ harmonics(degree), expected, rtol=1e-11, atol=1e-11)


def test_harmonics_are_those_of_the_literature() -> None:
    x, y, z = point = torch.tensor([0.6, 0.48, 0.64], dtype=torch.float64)
    first = (products(point.unsqueeze(1), 1)[0].T @ harmonics(1))[0]
    torch.testing.assert_close(first, 3**0.5 * point, rtol=1e-12, atol=1e-12)
    # e3nn's order and "component" normalisation: the squares of the 2l+1 components sum to 2l+1.
    second = (products(point.unsqueeze(1), 2)[1].T @ harmonics(2))[0]
    root = 15**0.5
    expected = torch.stack([root * x * z, root * x * y, 5**0.5 * (y**2 - (x**2 + z**2) / 2), root * y * z])
    torch.testing.assert_close(second[:4], expected, rtol=1e-12, atol=1e-12)
    assert float(second.square().sum()) == pytest.approx(5.0, rel=1e-12)


def test_gathering_collecting_joining_and_splitting_have_the_derivatives_of_what_they_stand_for() -> None:
    index, found = torch.tensor([1, 0, 2, 0, 1, 2]), torch.tensor([[1, 3], [0, 4], [2, 5]])
    values = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.equal(gather(values, index, found), values[index])
    picked = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    summed = torch.zeros(3, 2, dtype=torch.float64).index_add(0, index, picked.detach())
    torch.testing.assert_close(collect(picked, index, found).detach(), summed)
    for function, argument in (
        (lambda x: gather(x, index, found) ** 3, values),
        (lambda x: collect(x, index, found) ** 3, picked),
        (lambda x: join(split(x**2, [1, 3, 2], 0)[::-1], 0) ** 2, picked),
    ):
        assert torch.autograd.gradcheck(function, argument)
        assert torch.autograd.gradgradcheck(function, argument)
