"""SOAP against its formulas, and on weights that lie flattened in one parameter."""

import mace  # noqa: F401 (before e3nn)
import torch
from e3nn import o3

from asteroid.training.optimiser import Soap


def test_an_ill_conditioned_problem_is_solved_in_fewer_steps_than_by_adam() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(12, 12, generator=generator, dtype=torch.float64)
    scales = torch.logspace(0, -2, 12, dtype=torch.float64)
    left, right = (torch.linalg.qr(torch.randn(12, 12, generator=generator, dtype=torch.float64))[0] for _ in "lr")
    bend = left * scales, right * scales

    def error_after(steps: int, soap: bool) -> float:
        layer = torch.nn.Linear(12, 12, bias=False, dtype=torch.float64)
        torch.nn.init.zeros_(layer.weight)
        parameters = list(layer.parameters())
        adam = torch.optim.Adam(parameters, lr=0.02)
        ours = Soap(layer, parameters, 0.02)
        for step in range(steps):
            rate = 0.02 * (1 - step / steps)
            layer.zero_grad()
            loss = (bend[0].mT @ (layer.weight - target) @ bend[1]).square().sum()
            torch.autograd.backward(loss)
            if soap:
                ours.learning_rate = rate
                ours.step()
            else:
                adam.param_groups[0]["lr"] = rate
                adam.step()
        return float(loss.detach())

    assert error_after(400, soap=True) < 0.1 * error_after(400, soap=False)


def test_a_matrix_that_lies_flattened_is_preconditioned_like_one_that_does_not() -> None:
    torch.manual_seed(0)
    flat = o3.Linear("4x0e + 4x1o", "4x0e + 4x1o")
    square = torch.nn.ParameterList([torch.nn.Parameter(part.view(4, 4).clone()) for part in flat.weight.split(16)])
    ours, theirs = Soap(flat, [flat.weight], 0.01), Soap(square, list(square), 0.01)
    for _ in range(25):
        gradients = torch.randn(2, 4, 4)
        flat.weight.grad = gradients.flatten()
        for part, gradient in zip(square, gradients, strict=True):
            part.grad = gradient.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(flat.weight.detach(), torch.cat([part.detach().flatten() for part in square]))


def test_the_first_step_only_looks_and_the_second_has_the_size_of_the_learning_rate() -> None:
    vector = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(3))])
    soap = Soap(vector, list(vector), 0.1)
    gradient = torch.tensor([1.0, -2.0, 3.0])
    vector[0].grad = gradient.clone()
    soap.step()
    assert not vector[0].detach().any()
    vector[0].grad = gradient.clone()
    soap.step()
    # A constant gradient: its mean and the root of its mean square are alike, up to sign.
    torch.testing.assert_close(vector[0].detach(), -0.1 * gradient.sign())


def test_going_on_from_a_state_takes_the_very_same_steps() -> None:
    torch.manual_seed(1)
    one, other = (torch.nn.Linear(6, 5) for _ in range(2))
    other.load_state_dict(one.state_dict())
    gradients = [[torch.randn_like(p) for p in one.parameters()] for _ in range(30)]

    def steps(layer: torch.nn.Linear, soap: Soap, some: list[list[torch.Tensor]]) -> None:
        for gradient in some:
            for parameter, value in zip(layer.parameters(), gradient, strict=True):
                parameter.grad = value.clone()
            soap.step()

    whole = Soap(one, list(one.parameters()), 0.01)
    steps(one, whole, gradients)
    first = Soap(other, list(other.parameters()), 0.01)
    steps(other, first, gradients[:17])
    second = Soap(other, list(other.parameters()), 0.01)
    second.load(first.state())
    steps(other, second, gradients[17:])
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_parameters_without_a_gradient_and_matrices_of_zeros_stay_numbers() -> None:
    layer = torch.nn.Linear(4, 4)
    soap = Soap(layer, list(layer.parameters()), 0.01)
    for _ in range(12):
        layer.weight.grad = torch.zeros(4, 4)
        soap.step()
    assert all(torch.isfinite(p).all() for p in layer.parameters())


def test_batches_of_molecules_with_different_elements_take_bounded_steps() -> None:
    # Rows stand for elements, of which each batch has half: water's has no gradient for carbon.
    layer = torch.nn.Linear(6, 6, bias=False)
    soap = Soap(layer, list(layer.parameters()), 0.01)
    generator = torch.Generator().manual_seed(0)
    for step in range(40):
        gradient = torch.randn(6, 6, generator=generator)
        gradient[:3] *= step % 2
        gradient[3:] *= 1 - step % 2
        before = layer.weight.detach().clone()
        layer.weight.grad = gradient
        soap.step()
        # Each of 36 turned elements moves by about the learning rate at most, and so does the norm by six times that.
        assert (layer.weight - before).norm() < 2 * 6 * 0.01
