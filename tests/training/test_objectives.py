"""Score matching on potentials whose forces are known, and against a second way to compute the same."""

import copy
import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch

from asteroid.manifest import ModelSettings
from asteroid.training.dataset import collate, to_graph
from asteroid.training.model import build_model
from asteroid.training.objectives import (
    DenoisingScoreMatching,
    ExactScoreMatching,
    Model,
    Objective,
    SlicedScoreMatching,
    Tensors,
)
from asteroid.training.strategies.score_matching_denoising import WIDTH
from asteroid.units import BOLTZMANN
from tests.marks import mostly_long

from .conftest import Labels

Energy = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Positions (atoms, 3) and parameters to the energy of all of them together."""

FORMS = ["exact", "sliced", "denoising"]


def objective(form: str, *, atoms: int = 1, width: float = 0.005) -> Objective:
    forms: dict[str, Objective] = {
        "exact": ExactScoreMatching(1.0, atoms),
        "sliced": SlicedScoreMatching(1.0),
        "denoising": DenoisingScoreMatching(1.0, width),
    }
    return forms[form]


def model_of(energy: Energy, parameters: torch.Tensor) -> Model:
    def model(batch: Tensors) -> dict[str, torch.Tensor]:
        positions = batch["positions"]
        if not positions.requires_grad:
            positions = positions.clone().requires_grad_(True)
        total = energy(positions, parameters)
        return {"energy": total, "forces": -torch.autograd.grad(total, positions, create_graph=True)[0]}

    return model


def batch_of(geometries: np.ndarray, temperatures: np.ndarray) -> dict[str, torch.Tensor]:
    """Graphs of equally many atoms, (graphs, atoms, 3) Å, each with its temperature in K."""
    graphs, atoms, _ = geometries.shape
    return {
        "positions": torch.tensor(geometries.reshape(-1, 3)),
        "batch": torch.arange(graphs).repeat_interleave(atoms),
        "ptr": torch.arange(graphs + 1) * atoms,
        "weight": torch.ones(graphs, dtype=torch.float64),
        "temperature": torch.tensor(temperatures, dtype=torch.float64),
    }


def learn(
    energy: Energy, start: list[float], batch: dict[str, torch.Tensor], objective: Objective, steps: int = 200
) -> list[float]:
    """Parameters that minimise the objective, with new noise at each step, averaged over the second half of them."""
    parameters = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([parameters], lr=0.1)
    random = torch.Generator().manual_seed(5)
    mean = torch.zeros_like(parameters)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 0.1 * (1 - step / steps)
        noise = torch.randn(batch["positions"].shape, generator=random, dtype=torch.float64)
        optimiser.zero_grad()
        objective(model_of(energy, parameters), {**batch, "noise": noise}).backward()
        optimiser.step()
        if step >= steps // 2:
            mean += parameters.detach() / (steps - steps // 2)
    return mean.tolist()


def oscillator(positions: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """½ exp(κ) |x|²: a force constant that is positive whatever the step."""
    return 0.5 * parameters[0].exp() * (positions**2).sum()


FORCE_CONSTANT = 4.0
"""eV/Å²"""


def oscillators(count: int, temperatures: tuple[float, ...]) -> dict[str, torch.Tensor]:
    """Exact samples of particles in a harmonic well, at these temperatures in turn."""
    kelvin = np.resize(temperatures, count)
    widths = np.sqrt(BOLTZMANN * kelvin / FORCE_CONSTANT)
    return batch_of(widths[:, None, None] * np.random.default_rng(2).standard_normal((count, 1, 3)), kelvin)


@pytest.mark.parametrize("form", FORMS)
def test_the_force_constant_of_a_harmonic_oscillator_is_learnt_without_labels(form: str) -> None:
    (kappa,) = learn(oscillator, [0.0], oscillators(8000, (300.0,)), objective(form))
    # 24 000 coordinates tell a variance to 1 %. The thermal width is 0.08 Å; the noise of denoising is 0.005 Å.
    assert np.exp(kappa) == pytest.approx(FORCE_CONSTANT, rel=0.05)


@pytest.mark.parametrize("form", FORMS)
def test_configurations_of_several_temperatures_agree_on_one_force_constant(form: str) -> None:
    (kappa,) = learn(oscillator, [0.0], oscillators(8000, (200.0, 1200.0)), objective(form))
    assert np.exp(kappa) == pytest.approx(FORCE_CONSTANT, rel=0.05)


def test_denoising_learns_the_force_constant_of_the_blurred_distribution() -> None:
    thermal = BOLTZMANN * 300.0
    width = 0.7 * np.sqrt(thermal / FORCE_CONSTANT)
    (kappa,) = learn(oscillator, [0.0], oscillators(8000, (300.0,)), objective("denoising", width=width))
    # A third softer: far more than the tolerance, which is that of the tests above.
    assert np.exp(kappa) == pytest.approx(thermal / (thermal / FORCE_CONSTANT + width**2), rel=0.05)


def diatomic(positions: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """½ exp(κ) (r − r₀)² of each pair of atoms."""
    pairs = positions.reshape(-1, 2, 3)
    distances = (pairs[:, 0] - pairs[:, 1]).norm(dim=-1)
    return 0.5 * parameters[0].exp() * ((distances - parameters[1]) ** 2).sum()


@pytest.mark.parametrize("form", mostly_long(FORMS, quick=["denoising"]))
def test_a_diatomic_that_rotates_freely_gives_its_force_constant_and_its_bond_length(form: str) -> None:
    k, length, kelvin = 5.0, 1.0, 1000.0
    grid = np.linspace(0.3, 2.0, 20001)
    density = grid**2 * np.exp(-0.5 * k * (grid - length) ** 2 / (BOLTZMANN * kelvin))
    random = np.random.default_rng(4)
    distances = np.interp(random.random(8000), np.cumsum(density) / density.sum(), grid)
    axes = random.standard_normal((8000, 3))
    axes *= (distances / np.linalg.norm(axes, axis=1))[:, None]
    batch = batch_of(np.stack([axes, 0 * axes], axis=1), np.full(8000, kelvin))
    kappa, found = learn(diatomic, [1.0, 0.8], batch, objective(form, atoms=2))
    assert np.exp(kappa) == pytest.approx(k, rel=0.05)
    # The most frequent distance is 0.034 Å longer: of a divergence without its rotations one would learn that.
    assert found == pytest.approx(length, abs=0.008)


def double_well(positions: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """a x⁴ − b x² along each axis."""
    return (parameters[0] * positions**4 - parameters[1] * positions**2).sum()


@pytest.mark.parametrize("form", FORMS)
def test_both_terms_of_a_double_well_are_learnt(form: str) -> None:
    a, b, kelvin = 1.0, 0.5, 600.0
    grid = np.linspace(-1.5, 1.5, 20001)
    density = np.exp(-(a * grid**4 - b * grid**2) / (BOLTZMANN * kelvin))
    uniform = np.random.default_rng(6).random((8000, 1, 3))
    geometries = np.interp(uniform, np.cumsum(density) / density.sum(), grid)
    learnt = learn(double_well, [0.3, 0.0], batch_of(geometries, np.full(8000, kelvin)), objective(form))
    assert learnt == pytest.approx([a, b], rel=0.05)


WATER_TEMPERATURE = 500.0


@pytest.fixture(scope="module")
def mace() -> torch.nn.Module:
    settings = ModelSettings(channels=4, max_l=1, max_ell=1, correlation=2, radial=4, r_max=3.0)
    return build_model([1, 8], settings, scale=1.0, avg_num_neighbors=2.0, seed=0, dtype=torch.float64)


def waters(labels: Labels, which: list[int]) -> dict[str, torch.Tensor]:
    """A batch of the water of these numbers, as MACE takes it."""
    graphs = [to_graph(labels.accurate[i].configuration, numbers=[1, 8], r_max=3.0, dtype=torch.float64) for i in which]
    batch: dict[str, torch.Tensor] = collate(graphs).to_dict()
    return {**batch, "temperature": torch.full((len(which),), WATER_TEMPERATURE, dtype=torch.float64)}


def as_model(module: torch.nn.Module) -> Model:
    return lambda batch: module(dict(batch), training=True)


def gradient(module: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
    parts = torch.autograd.grad(loss, list(module.parameters()), allow_unused=True)
    return torch.cat([part.ravel() for part in parts if part is not None])


def test_the_exact_form_is_the_trace_that_finite_differences_give(mace: torch.nn.Module, water: Labels) -> None:
    batch, step = waters(water, [0, 1]), 1e-4
    trace = 0.0
    for coordinate in range(18):
        shift = torch.zeros(18, dtype=torch.float64)
        shift[coordinate] = step
        shift = shift.reshape(6, 3)
        ahead, behind = (
            as_model(mace)({**batch, "positions": batch["positions"] + sign * shift})["forces"] for sign in (1, -1)
        )
        trace += float((ahead - behind).ravel()[coordinate].detach()) / (2 * step)
    squares = float((as_model(mace)(batch)["forces"].detach() ** 2).sum())
    expected = (squares + 2 * BOLTZMANN * WATER_TEMPERATURE * trace) / 18
    # Central differences: an error of order step² times a third derivative of about 100 eV/Å³.
    found = ExactScoreMatching(1.0, 3)(as_model(mace), batch)
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_graphs_of_different_sizes_have_the_mean_of_their_own_traces() -> None:
    random = np.random.default_rng(0)
    parts = [batch_of(random.standard_normal((1, atoms, 3)), np.array([400.0])) for atoms in (2, 3)]
    together = {
        "positions": torch.cat([part["positions"] for part in parts]),
        "batch": torch.tensor([0, 0, 1, 1, 1]),
        "ptr": torch.tensor([0, 2, 5]),
        "weight": torch.ones(2, dtype=torch.float64),
        "temperature": torch.tensor([400.0, 400.0], dtype=torch.float64),
    }
    model = model_of(double_well, torch.tensor([1.0, 0.5], dtype=torch.float64))
    exact = ExactScoreMatching(1.0, 3)
    two, three = (exact(model, part).item() for part in parts)
    assert exact(model, together).item() == pytest.approx((2 * two + 3 * three) / 5, rel=1e-12)


def test_the_sliced_gradient_is_on_average_the_exact_one(mace: torch.nn.Module, water: Labels) -> None:
    # All 2⁹ directions there are, each for one copy of the same water: no chance is left in the average.
    directions = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=9)), dtype=torch.float64)
    batch = {**waters(water, [0] * 512), "noise": directions.reshape(-1, 3)}
    sliced = gradient(mace, SlicedScoreMatching(1.0)(as_model(mace), batch))
    exact = gradient(mace, ExactScoreMatching(1.0, 3)(as_model(mace), waters(water, [0])))
    torch.testing.assert_close(sliced, exact, rtol=1e-8, atol=1e-10)


def test_denoising_becomes_the_sliced_form_as_the_noise_shrinks(mace: torch.nn.Module, water: Labels) -> None:
    random = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (12, 3), generator=random, dtype=torch.float64) * 2 - 1
    batch = {**waters(water, [0, 1, 2, 3]), "noise": signs}
    sliced = gradient(mace, SlicedScoreMatching(1.0)(as_model(mace), batch))
    denoising = gradient(mace, DenoisingScoreMatching(1.0, 1e-4)(as_model(mace), batch))
    # They differ by order σ².
    torch.testing.assert_close(denoising, sliced, rtol=1e-4, atol=1e-5)


def without_rigid_motion(positions: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Forces on one molecule, (N, 3), without their net force and torque."""
    centred = positions - positions.mean(dim=0)
    axes = torch.eye(3, dtype=torch.float64)
    rigid = [axis.expand_as(centred) for axis in axes]
    rigid += [torch.linalg.cross(axis.expand_as(centred), centred) for axis in axes]
    basis, _ = torch.linalg.qr(torch.stack([motion.ravel() for motion in rigid], dim=1))
    return target - (basis @ (basis.T @ target.ravel())).reshape(-1, 3)


@pytest.mark.parametrize("projected", [False, True])
def test_denoising_has_the_gradient_of_plain_least_squares_with_or_without_rigid_motion(
    mace: torch.nn.Module, water: Labels, projected: bool
) -> None:
    width = 0.05
    batch = waters(water, [0])
    batch["noise"] = torch.randn((3, 3), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    squares = torch.zeros((), dtype=torch.float64)
    for sign in (1, -1):
        displacement = sign * width * batch["noise"]
        positions = batch["positions"] + displacement
        target = -BOLTZMANN * WATER_TEMPERATURE * displacement / width**2
        if projected:
            target = without_rigid_motion(positions, target)
        squares = squares + ((as_model(mace)({**batch, "positions": positions})["forces"] - target) ** 2).mean() / 2
    found = gradient(mace, DenoisingScoreMatching(1.0, width)(as_model(mace), batch))
    torch.testing.assert_close(found, gradient(mace, squares), rtol=1e-8, atol=1e-10)


def test_single_precision_is_enough_for_the_small_noise_of_denoising(mace: torch.nn.Module, water: Labels) -> None:
    batch = waters(water, [0, 1, 2, 3])
    batch["noise"] = torch.randn((12, 3), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    loss = DenoisingScoreMatching(1.0, WIDTH)
    double = gradient(mace, loss(as_model(mace), batch))
    single_batch = {key: value.float() if value.is_floating_point() else value for key, value in batch.items()}
    single_mace = copy.deepcopy(mace).float()
    single = gradient(single_mace, loss(as_model(single_mace), single_batch)).double()
    # What is lost is small beside the noise of one direction a step, which is of the order of the gradient itself.
    assert float((single - double).norm() / double.norm()) < 0.01


@pytest.mark.parametrize("form", FORMS)
def test_graphs_count_with_their_weight(mace: torch.nn.Module, water: Labels, form: str) -> None:
    loss, noise = objective(form, atoms=3), torch.ones((6, 3), dtype=torch.float64)
    both = {**waters(water, [0, 1]), "noise": noise}
    both["weight"] = torch.tensor([2.0, 0.0], dtype=torch.float64)
    alone = {**waters(water, [0]), "noise": noise[:3]}
    assert loss(as_model(mace), both).item() == pytest.approx(loss(as_model(mace), alone).item(), rel=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_the_weight_of_forces_scales_the_whole_objective(mace: torch.nn.Module, water: Labels, form: str) -> None:
    batch = {**waters(water, [0]), "noise": torch.ones((3, 3), dtype=torch.float64)}
    loss = objective(form, atoms=3)
    hundredfold = dataclasses.replace(loss, forces_weight=100.0)  # type: ignore[type-var]
    assert hundredfold(as_model(mace), batch).item() == pytest.approx(100 * loss(as_model(mace), batch).item())
