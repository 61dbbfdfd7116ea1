"""Frames of one composition as stacked tensors on the device; a batch is a selection, without collation.

Atoms are sorted by element, and neighbours are listed once. Made from graphs of :mod:`asteroid.training.dataset`, for
:mod:`asteroid.training.lean`, which documents the index tensors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch

from asteroid.training.dataset import Graph
from asteroid.training.lean import Unsupported

Tensor = torch.Tensor
Integers = npt.NDArray[np.int64]

WORTH_LISTING = 0.7
"""Neighbours are listed if the longest list has less than this fraction of all other atoms. Otherwise all atoms are
neighbours of each other, and all frames share one list; atoms beyond the cutoff contribute exactly zero."""

PART = 500
"""Frames whose neighbours are listed at once, which needs several N × N tables per frame."""

_PER_ATOM = ("positions", "forces", "atom_weight")
_PER_GRAPH = ("energy", "weight", "energy_weight", "forces_weight", "temperature")


class Stacked:
    """Frames of one composition.

    Args:
        species: (frames, N) index of each atom's element in the model.
        values: by name, (frames, N, …) in the order of the species, or (frames,); including ``positions`` in Å.
        r_max: Å, largest distance of neighbours.

    Attributes:
        species: of the sorted atoms.
        order: (frames, N) original index of each sorted atom.

    Raises:
        Unsupported: for several compositions, or single atoms.
    """

    def __init__(self, species: npt.ArrayLike, values: Mapping[str, Tensor], r_max: float) -> None:
        found = np.asarray(species)
        self.order: Integers = np.argsort(found, axis=1, kind="stable")
        ordered = np.take_along_axis(found, self.order, axis=1)
        if found.shape[1] < 2:
            raise Unsupported("single atoms")
        if (ordered != ordered[0]).any():
            raise Unsupported("molecules of several compositions")
        self.species: list[int] = ordered[0].tolist()
        positions = values["positions"]
        order = torch.from_numpy(self.order).to(positions.device)
        rows = torch.arange(len(order), device=order.device).unsqueeze(1)
        self._values = {k: v[rows, order] if v.shape[:2] == order.shape else v for k, v in values.items()}
        self._lists = _Lists.of(self._values["positions"].double().cpu().numpy(), r_max).to(positions.device)
        self._shared: dict[int, dict[str, Tensor]] = {}

    @classmethod
    def of_graphs(cls, graphs: Sequence[Graph], device: torch.device, r_max: float) -> "Stacked":
        """Frames from graphs, with labels and weights.

        Raises:
            Unsupported: for several compositions, or single atoms.
        """
        atoms = {int(graph.num_nodes) for graph in graphs}
        if len(atoms) > 1:
            raise Unsupported("molecules of several compositions")
        present = [key for key in (*_PER_ATOM, *_PER_GRAPH) if key in graphs[0]]
        values = {key: torch.stack([graph[key] for graph in graphs]).to(device) for key in present}
        values = {key: v.flatten() if key in _PER_GRAPH else v for key, v in values.items()}
        return cls(np.array([graph.node_attrs.argmax(1).numpy() for graph in graphs]), values, r_max)

    def __len__(self) -> int:
        return len(self.order)

    def batch(self, indices: npt.ArrayLike) -> dict[str, Tensor]:
        """A batch of these frames for :class:`~asteroid.training.lean.LeanMACE` and objectives."""
        device = self._values["positions"].device
        chosen = torch.as_tensor(np.asarray(indices), device=device)
        values = {k: v.index_select(0, chosen) for k, v in self._values.items()}
        values = {k: v.flatten(0, 1) if v.dim() > 1 else v for k, v in values.items()}
        return {**values, **self._structure(chosen)}

    def _structure(self, chosen: Tensor) -> dict[str, Tensor]:
        graphs, atoms = len(chosen), len(self.species)
        if graphs not in self._shared:
            numbers = torch.arange(graphs, device=chosen.device)
            ptr = torch.arange(graphs + 1, device=chosen.device) * atoms
            self._shared[graphs] = {"batch": numbers.repeat_interleave(atoms), "ptr": ptr}
            if self._lists.is_shared:
                self._shared[graphs].update(self._lists.batch(torch.zeros_like(chosen)))
        return self._shared[graphs] if self._lists.is_shared else {**self._shared[graphs], **self._lists.batch(chosen)}


@dataclass(frozen=True)
class _Lists:
    """Neighbours of each atom, the same number for each; see :class:`asteroid.training.lean.layer.Edges`.

    Edges are numbered atom × neighbours + neighbour.

    Args:
        is_shared: whether all frames share one list.
        sender, reverse, pair, is_edge: (frames, N, neighbours); fillers, which are not edges, have the last pair.
        pair_edges: (frames, pairs, 2); missing pairs of a frame consist of fillers.
    """

    is_shared: bool
    sender: Tensor
    reverse: Tensor
    pair: Tensor
    is_edge: Tensor
    pair_edges: Tensor

    @classmethod
    def of(cls, positions: npt.NDArray[np.float64], r_max: float) -> "_Lists":
        atoms = positions.shape[1]
        parts = np.array_split(positions, len(positions) // PART + 1)
        near = [_near(part, r_max) for part in parts]
        longest = max(int(part.sum(2).max(initial=0)) for part in near)
        if longest >= WORTH_LISTING * (atoms - 1):
            everyone = ~np.eye(atoms, dtype=bool)[None]
            return cls._of_neighbours(everyone, atoms - 1, atoms * (atoms - 1) // 2, is_shared=True)
        # One additional filler and pair, so that each frame has a pair of fillers.
        pairs = max(int(part.sum((1, 2)).max(initial=0)) for part in near) // 2 + 1
        lists = [cls._of_neighbours(part, longest + 1, pairs, is_shared=False) for part in near]
        tensors = zip(*(one.tensors for one in lists), strict=True)
        return cls(False, *(torch.cat(parts) for parts in tensors))

    @classmethod
    def _of_neighbours(cls, near: npt.NDArray[np.bool_], count: int, pairs: int, *, is_shared: bool) -> "_Lists":
        frames, atoms, _ = near.shape
        frame, atom = np.arange(frames)[:, None, None], np.arange(atoms)[None, :, None]
        sender = np.argsort(~near, axis=2, kind="stable")[:, :, :count]
        is_edge = np.take_along_axis(near, sender, axis=2)
        rank = np.cumsum(near, axis=2) - 1
        own = np.broadcast_to(atom * count + np.arange(count), sender.shape)
        reverse = np.where(is_edge, sender * count + rank[frame, sender, atom], own)
        sender = np.where(is_edge, sender, atom)

        upper = np.triu(near, 1)
        number = np.cumsum(upper.reshape(frames, -1), axis=1).reshape(near.shape) - 1
        number = np.where(upper, number, number.transpose(0, 2, 1))
        pair = np.where(is_edge, np.take_along_axis(number, sender, axis=2), pairs - 1)
        filler = np.argmin(is_edge.reshape(frames, -1), axis=1)
        pair_edges = np.broadcast_to(filler[:, None, None], (frames, pairs, 2)).copy()
        f, i, j = np.nonzero(upper)
        pair_edges[f, number[f, i, j]] = np.stack([i * count + rank[f, i, j], j * count + rank[f, j, i]], axis=1)
        short = (values.astype(np.int32) for values in (sender, reverse, pair, is_edge, pair_edges))
        return cls(is_shared, *map(torch.from_numpy, short))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.sender, self.reverse, self.pair, self.is_edge, self.pair_edges

    def to(self, device: torch.device) -> "_Lists":
        return _Lists(self.is_shared, *(tensor.to(device) for tensor in self.tensors))

    def batch(self, chosen: Tensor) -> dict[str, Tensor]:
        """Lists of a batch of frames, ordered by atom, then frame."""
        graphs, neighbours = len(chosen), self.sender.shape[2]
        graph = torch.arange(graphs, device=chosen.device).unsqueeze(1)

        def edges(values: Tensor) -> Tensor:
            return (values // neighbours * graphs + graph) * neighbours + values % neighbours

        def of(values: Tensor) -> Tensor:
            return values.index_select(0, chosen).long().transpose(0, 1)

        return {
            "sender": (of(self.sender) * graphs + graph).flatten(),
            "reverse": edges(of(self.reverse)).flatten(),
            "pair": (of(self.pair) * graphs + graph).flatten(),
            "is_edge": of(self.is_edge).bool().reshape(-1, 1),
            "pair_edges": edges(of(self.pair_edges)).flatten(0, 1),
        }


def _near(positions: npt.NDArray[np.float64], r_max: float) -> npt.NDArray[np.bool_]:
    squared = np.square(positions[:, :, None] - positions[:, None]).sum(-1)
    return cast(npt.NDArray[np.bool_], (squared < r_max**2) & ~np.eye(positions.shape[1], dtype=bool))
