"""The energy and the node features of a MACE model, and the supported architectures."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mace.modules import ScaleShiftMACE
from mace.modules.blocks import LinearReadoutBlock, NonLinearReadoutBlock, RealAgnosticResidualInteractionBlock
from mace.modules.radial import BesselBasis

from asteroid.training.lean.algebra import collect, gather, join, matrices, products, silu
from asteroid.training.lean.layer import Edges, Layer, Parameters

Tensor = torch.Tensor


class Unsupported(Exception):
    """A MACE model of an unsupported architecture; its own forward pass must be used."""


class LeanMACE:
    """The energy of a MACE model for batches of one composition, whose atoms are sorted by element.

    Args:
        model: its buffers are read here, its parameters are given at each call.
        species: (N,) which of the model's elements each atom of the molecule is, rising.

    Raises:
        Unsupported: with the reason, for architectures beyond ``mace_run_train``'s default blocks.
    """

    def __init__(self, model: torch.nn.Module, species: Sequence[int]) -> None:
        mace = _known(model)
        self._model = mace
        self._species = torch.tensor(list(species), device=mace.node_embedding.linear.weight.device)
        self._atoms = len(species)
        elements = {z: list(species).count(z) for z in sorted(set(species))}
        self._r_max = float(mace.r_max)
        self._power = int(mace.radial_embedding.cutoff_fn.p)
        self._frequencies = mace.radial_embedding.bessel_fn.bessel_weights.detach().clone()
        self._scale = float(mace.scale_shift.scale)
        references = mace.atomic_energies_fn.atomic_energies.flatten()[self._species].double().sum()
        self._constant = float(references) + self._atoms * float(mace.scale_shift.shift)
        self._degree = max(ir.l for _, ir in mace.spherical_harmonics.irreps_out)
        blocks = zip(mace.interactions, mace.products, strict=True)
        self._layers = [Layer(i, p, index, elements, self._degree) for index, (i, p) in enumerate(blocks)]

    def energy(self, parameters: Parameters, batch: Mapping[str, Tensor]) -> Tensor:
        """Energies (graphs,) in eV, including reference energies.

        Args:
            parameters: of the model, by name.
            batch: of :class:`asteroid.training.stacked.Stacked`.
        """
        model = self._model
        found = [features[:, 0] for features in self.features(parameters, batch)]
        read = found if len(model.readouts) > 1 else found[-1:]
        parts = [self._read_out(parameters, index, scalars) for index, scalars in enumerate(read)]
        atomic = torch.stack(parts).sum(0).view(self._atoms, -1)
        return self._constant + self._scale * atomic.sum(0)

    def features(self, parameters: Parameters, batch: Mapping[str, Tensor]) -> list[Tensor]:
        """Node features after each layer, (atoms, components, channels), ordered by atom, then graph.

        Args:
            parameters, batch: as of :meth:`energy`.
        """
        model = self._model
        graphs = batch["ptr"].shape[0] - 1
        # Ordered by atom, then graph, so that atoms of one element are contiguous in memory.
        positions = batch["positions"].view(graphs, self._atoms, 3).transpose(0, 1).reshape(-1, 3)
        embedding = matrices(model.node_embedding.linear, parameters["node_embedding.linear.weight"])[0]
        features = embedding[self._species].unsqueeze(1).expand(-1, graphs, -1).reshape(len(positions), 1, -1)
        edges = self._edges(positions, batch)
        found = []
        for layer in self._layers:
            features = layer(parameters, features, edges)
            found.append(features)
        return found

    def __call__(self, parameters: Parameters, batch: Mapping[str, Tensor], *, training: bool) -> dict[str, Tensor]:
        """``energy`` (graphs,) and ``forces`` (atoms, 3); differentiable again when ``training``."""
        positions = batch["positions"]
        if not positions.requires_grad:
            positions = positions.detach().requires_grad_(True)
        with torch.enable_grad():
            energy = self.energy(parameters, {**batch, "positions": positions})
            (slope,) = torch.autograd.grad(energy.sum(), positions, create_graph=training)
        return {"energy": energy if training else energy.detach(), "forces": -slope}

    def _edges(self, positions: Tensor, batch: Mapping[str, Tensor]) -> Edges:
        sender, pair, pair_edges = batch["sender"], batch["pair"], batch["pair_edges"]
        reverse = batch["reverse"].view(len(positions), -1)
        receiver = positions.unsqueeze(1).expand(-1, reverse.shape[1], -1).reshape(-1, 3)
        vectors = receiver - gather(positions, sender, reverse)
        # Fillers are the atom itself, at a distance beyond the cutoff: they contribute exactly zero.
        vectors = torch.where(batch["is_edge"], vectors, 2 * self._r_max)
        lengths = vectors.square().sum(1, keepdim=True).sqrt()
        of_pairs = 0.5 * collect(lengths, pair, pair_edges)
        directions = (vectors / lengths).T
        angular = join([torch.ones_like(directions[:1]), *products(directions, self._degree)], 0).T
        return Edges(self._radial(of_pairs), angular, sender, reverse, pair, pair_edges)

    def _radial(self, lengths: Tensor) -> Tensor:
        """Bessel functions times the cutoff polynomial, (pairs, functions)."""
        p, x = self._power, lengths / self._r_max
        tail = (p + 1) * (p + 2) / 2 - x * (p * (p + 2) - x * (p * (p + 1) / 2))
        envelope = torch.where(x < 1, 1 - x**p * tail, 0.0)
        return torch.sin(self._frequencies * lengths) * (math.sqrt(2 / self._r_max) * envelope / lengths)

    def _read_out(self, parameters: Parameters, index: int, scalars: Tensor) -> Tensor:
        block, name = self._model.readouts[index], f"readouts.{index}."
        if isinstance(block, LinearReadoutBlock):
            return scalars @ matrices(block.linear, parameters[name + "linear.weight"])[0]
        hidden = scalars @ matrices(block.linear_1, parameters[name + "linear_1.weight"])[0]
        return silu(hidden) @ matrices(block.linear_2, parameters[name + "linear_2.weight"])[0]


def _known(model: Any) -> Any:
    """The model, if its architecture is supported."""
    try:
        return _checked(model)
    except AttributeError as error:
        raise Unsupported(f"a model of another MACE: {error}") from error


def _checked(model: Any) -> Any:
    def require(condition: bool, reason: str) -> None:
        if not condition:
            raise Unsupported(reason)

    require(type(model) is ScaleShiftMACE, f"a {type(model).__name__}")
    require(len(getattr(model, "heads", ["Default"])) == 1, "several heads")
    for part in ("pair_repulsion", "joint_embedding"):
        require(not hasattr(model, part), part)
    like = next(model.parameters())
    radial = model.radial_embedding
    require(isinstance(radial.bessel_fn, BesselBasis), f"radial functions {type(radial.bessel_fn).__name__}")
    require(not isinstance(radial.bessel_fn.bessel_weights, torch.nn.Parameter), "trainable Bessel functions")
    require(not hasattr(radial, "distance_transform"), "a transformed distance")
    require(getattr(radial, "apply_cutoff", True), "a cutoff outside the radial functions")
    for interaction, product in zip(model.interactions, model.products, strict=True):
        require(type(interaction) is RealAgnosticResidualInteractionBlock, f"blocks {type(interaction).__name__}")
        require(interaction.edge_irreps == interaction.node_feats_irreps, "edge irreps of their own")
        require(getattr(interaction, "cueq_config", None) is None, "cuEquivariance kernels")
        require(getattr(interaction, "oeq_config", None) is None, "OpenEquivariance kernels")
        require(product.use_sc and not product.use_agnostic_product, "another product")
        irreps = interaction.irreps_out + interaction.node_feats_irreps + product.linear.irreps_out
        require(len({mul for mul, _ in irreps}) == 1, "irreps of different multiplicities")
        require(all(ir.p == (-1) ** ir.l for _, ir in irreps), "pseudo-tensors")
        require(len({c.correlation for c in product.symmetric_contractions.contractions}) == 1, "mixed correlations")
        require(_is_silu(interaction.conv_tp_weights.layer0.act, like, 8), "another activation")
    for readout in model.readouts:
        require(isinstance(readout, LinearReadoutBlock | NonLinearReadoutBlock), f"a {type(readout).__name__}")
        if isinstance(readout, NonLinearReadoutBlock):
            hidden = readout.hidden_irreps
            require(hidden.lmax == 0 and len(hidden) == 1, "a readout of several irreps")
            require(_is_silu(readout.non_linearity, like, hidden.dim), "another activation")
    return model


def _is_silu(activation: torch.nn.Module, like: Tensor, channels: int) -> bool:
    """Whether an activation of e3nn is that of :func:`silu`."""
    points = torch.linspace(-2, 2, channels).to(like).unsqueeze(0)
    with torch.no_grad():
        return torch.allclose(activation(points), silu(points), atol=1e-5)
