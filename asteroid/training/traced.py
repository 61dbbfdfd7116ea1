"""Trace a function of tensors, so that it runs without Python and autograd.

A training step of a small molecule has thousands of tiny operations, whose overhead costs more than their arithmetic.
Tracing takes seconds, where a C++ compiler takes minutes, and is valid for the traced shapes.
:mod:`asteroid.training.passes` traces the gradient of a loss.
"""

from collections.abc import Callable

import torch
from torch._functorch.compile_utils import fx_graph_cse
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

Function = Callable[..., list[torch.Tensor]]


def trace(function: Function, *example: torch.Tensor) -> Function:
    """The traced function, for tensors of the same shapes; it may call ``torch.autograd.grad``.

    >>> slope = trace(lambda x: [torch.autograd.grad((x**3).sum(), x)[0]], torch.ones(2, requires_grad=True))
    >>> slope(torch.tensor([1.0, 2.0]))[0].tolist()
    [3.0, 12.0]
    """
    traced = make_fx(function)(*example)
    for node in list(traced.graph.nodes):
        if node.target is torch.ops.aten.detach.default:
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
    graph = fx_graph_cse(traced.graph)
    graph.eliminate_dead_code()
    plain = [tensor.detach() for tensor in example]
    with torch.no_grad():
        compiled: Function = torch.jit.trace(  # type: ignore[no-untyped-call]
            _AsTuple(GraphModule(traced, graph)), tuple(plain), check_trace=False
        )

    def run(*tensors: torch.Tensor) -> list[torch.Tensor]:
        with torch.no_grad():
            return list(compiled(*tensors))

    return run


class _AsTuple(torch.nn.Module):
    """Module that returns a tuple, as TorchScript needs."""

    def __init__(self, function: torch.nn.Module) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.function(*tensors))
