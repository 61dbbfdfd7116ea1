"""One layer of MACE: messages from neighbours, and the polynomial of the messages of each atom.

Features are (atoms, components, channels), the components of all irreps one after another.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from e3nn import o3

from asteroid.training.lean.algebra import collapse, gather, harmonics, join, matrices, products, silu, split

Tensor = torch.Tensor
Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Edges:
    """The neighbours of each atom, one atom after another.

    Args:
        radial: (pairs, functions), of each pair of atoms once.
        angular: (edges, monomials) of the direction from the neighbour.
        sender: (edges,) the neighbour.
        reverse: (atoms, neighbours) edges in which an atom is the neighbour.
        pair: (edges,) the pair.
        pair_edges: (pairs, 2) its two edges.
    """

    radial: Tensor
    angular: Tensor
    sender: Tensor
    reverse: Tensor
    pair: Tensor
    pair_edges: Tensor


@dataclass(frozen=True)
class _Path:
    """Features of irrep ``source`` with a harmonic to messages of irrep ``target``, of so many components each."""

    source: int
    target: int
    rows: int
    columns: int


class Layer:
    """An interaction block of MACE and the product block after it.

    Args:
        interaction, product: MACE's modules; buffers are read here, parameters are given at each call.
        index: which layer.
        elements: index of each element that occurs, with its number of atoms in the molecule; atoms are in this order.
        largest_degree: of the spherical harmonics.
    """

    def __init__(
        self,
        interaction: Any,
        product: Any,
        index: int,
        elements: Mapping[int, int],
        largest_degree: int,
    ) -> None:
        self._interaction, self._product = interaction, product
        self._interaction_name, self._product_name = f"interactions.{index}.", f"products.{index}."
        self._elements = elements
        self._present = torch.tensor(list(elements), device=product.linear.weight.device)
        self._sources = [ir.dim for _, ir in interaction.linear_up.irreps_out]
        self._targets = [ir.dim for _, ir in interaction.irreps_out]
        self._columns = [ir.dim for _, ir in product.linear.irreps_out]
        self._normalisation = 1 / float(interaction.avg_num_neighbors)
        like = interaction.linear.weight
        self._paths, couplings = _couplings(interaction.conv_tp, self._targets, largest_degree)
        self._couplings = couplings.to(like)
        contractions = product.symmetric_contractions.contractions
        self._degree = int(contractions[0].correlation)
        self._polynomials = [
            [
                collapse(c.U_tensors(nu).double().reshape(columns, *[sum(self._targets)] * nu, -1), nu).to(like)
                for nu in range(1, self._degree + 1)
            ]
            for c, columns in zip(contractions, self._columns, strict=True)
        ]

    def __call__(self, parameters: Parameters, features: Tensor, edges: Edges) -> Tensor:
        """New features from the old ones."""
        return self._products(parameters, self._messages(parameters, features, edges), features)

    def _messages(self, parameters: Parameters, features: Tensor, edges: Edges) -> Tensor:
        name, interaction = self._interaction_name, self._interaction
        atoms, _, channels = features.shape
        neighbours = edges.reverse.shape[1]
        ups = matrices(interaction.linear_up, parameters[name + "linear_up.weight"])
        up = join([part @ m for part, m in zip(split(features, self._sources, 1), ups, strict=True)], 1)
        sent = gather(up.flatten(1), edges.sender, edges.reverse).view(atoms, neighbours, -1, channels)
        sources = split(sent, self._sources, 2)
        weights = gather(self._path_weights(parameters, edges.radial), edges.pair, edges.pair_edges)
        path_weights = weights.view(atoms, neighbours, len(self._paths), 1, channels).unbind(2)
        couplings = split(edges.angular @ self._couplings, [path.rows * path.columns for path in self._paths], 1)
        messages: list[list[Tensor]] = [[] for _ in self._targets]
        for path, weight, coupling in zip(self._paths, path_weights, couplings, strict=True):
            values = (sources[path.source] * weight).view(atoms, neighbours * path.rows, channels)
            turned = coupling.reshape(atoms, neighbours * path.rows, path.columns).transpose(1, 2)
            messages[path.target].append(turned @ values)
        mixing = matrices(interaction.linear, parameters[name + "linear.weight"] * self._normalisation)
        return join([join(m, 2) @ matrix for m, matrix in zip(messages, mixing, strict=True)], 1)

    def _path_weights(self, parameters: Parameters, radial: Tensor) -> Tensor:
        """The network of the distance: (pairs, paths × channels)."""
        network = self._interaction.conv_tp_weights
        for index in range(len(network.hs) - 1):
            if index > 0:
                radial = silu(radial)
            weight = parameters[f"{self._interaction_name}conv_tp_weights.layer{index}.weight"]
            radial = radial @ (weight / math.sqrt(weight.shape[0]))
        return radial

    def _products(self, parameters: Parameters, messages: Tensor, features: Tensor) -> Tensor:
        """The polynomial of each atom's messages, mixed, with what its element makes of its old features."""
        atoms, components, channels = messages.shape
        x = messages.permute(1, 2, 0).contiguous()
        factors = [self._by_element(f, 2) for f in products(x, self._degree - 1)] if self._degree > 1 else []
        constants, *coefficients = self._coefficients(parameters)
        slopes = []
        for index, count in enumerate(self._counts(atoms)):
            slope = constants[index].squeeze(0).expand(-1, -1, count)
            for coefficient, factor in zip(coefficients, factors, strict=True):
                slope = torch.baddbmm(slope, coefficient[index].squeeze(0), factor[index].transpose(0, 1))
            slopes.append(slope)
        slope = join(slopes, 2).view(channels, -1, components, atoms)
        values = (slope * x.transpose(0, 1).unsqueeze(1)).sum(2).permute(2, 1, 0)
        mixing = matrices(self._product.linear, parameters[self._product_name + "linear.weight"])
        mixed = [part @ matrix for part, matrix in zip(split(values, self._columns, 1), mixing, strict=True)]
        return join(self._add_own(parameters, mixed, features), 1)

    def _coefficients(self, parameters: Parameters) -> list[tuple[Tensor, ...]]:
        """The polynomial as Σ_i x_i (constant_i + Σ_p coefficient_ip product_p + …), the constants and then the
        coefficients of the products of each degree, by element: (1, channels, columns × components, products)."""
        found: list[list[Tensor]] = [[] for _ in range(self._degree)]
        for index, (collapsed, columns) in enumerate(zip(self._polynomials, self._columns, strict=True)):
            name = f"{self._product_name}symmetric_contractions.contractions.{index}."
            names = [*(f"{name}weights.{i}" for i in reversed(range(self._degree - 1))), name + "weights_max"]
            for parts, coupling, weight in zip(found, collapsed, names, strict=True):
                values = parameters[weight].index_select(0, self._present).transpose(1, 2) @ coupling
                parts.append(values.view(*values.shape[:2], columns * sum(self._targets), -1))
        return [split(join(parts, 2), [1] * len(self._elements), 0) for parts in found]

    def _add_own(self, parameters: Parameters, new: list[Tensor], features: Tensor) -> list[Tensor]:
        module = self._interaction.skip_tp
        sizes = [math.prod(path.path_shape) for path in module.instructions]
        own = split(features, self._sources, 1)
        weights = split(parameters[self._interaction_name + "skip_tp.weight"], sizes, 0)
        for path, weight in zip(module.instructions, weights, strict=True):
            columns = self._columns[path.i_out]
            by_element = weight.view(path.path_shape) * (path.path_weight / math.sqrt(columns))
            blocks = zip(self._by_element(own[path.i_in1], 0), self._elements, strict=True)
            new[path.i_out] = new[path.i_out] + join([block @ by_element[:, z] for block, z in blocks], 0)
        return new

    def _counts(self, atoms: int) -> list[int]:
        """Number of atoms of each element in the batch."""
        graphs = atoms // sum(self._elements.values())
        return [count * graphs for count in self._elements.values()]

    def _by_element(self, values: Tensor, dim: int) -> tuple[Tensor, ...]:
        return split(values, self._counts(values.shape[dim]), dim)


def _couplings(convolution: o3.TensorProduct, targets: list[int], largest_degree: int) -> tuple[list[_Path], Tensor]:
    """The paths of a convolution, and what the monomials of a direction give each: (monomials, Σ rows × columns)."""
    starts = [0, *accumulate(harmonics(degree).shape[0] for degree in range(largest_degree + 1))]
    paths, couplings = [], []
    for instruction in convolution.instructions:
        feature, harmonic, message = (
            irreps[index].ir
            for irreps, index in (
                (convolution.irreps_in1, instruction.i_in1),
                (convolution.irreps_in2, instruction.i_in2),
                (convolution.irreps_out, instruction.i_out),
            )
        )
        paths.append(_Path(instruction.i_in1, targets.index(message.dim), feature.dim, message.dim))
        wigner = instruction.path_weight * o3.wigner_3j(feature.l, harmonic.l, message.l, dtype=torch.float64)
        block = torch.einsum("mj,ijk->mik", harmonics(harmonic.l), wigner).flatten(1)
        coupling = block.new_zeros(starts[-1], block.shape[1])
        coupling[starts[harmonic.l] : starts[harmonic.l + 1]] = block
        couplings.append(coupling)
    return paths, torch.cat(couplings, dim=1)
