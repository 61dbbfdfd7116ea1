"""A MACE model as a metatomic model: TorchScript that runs without MACE, in programs with an interface to metatomic.

Needs torch, MACE and metatomic-torch.
"""

import tempfile
import warnings
from pathlib import Path
from typing import Dict, List, Optional

import torch
from e3nn.util import jit
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import (
    AtomisticModel,
    ModelCapabilities,
    ModelMetadata,
    ModelOutput,
    NeighborListOptions,
    System,
)

from asteroid.training.model import model_cutoff, model_elements


class MetatomicMACE(torch.nn.Module):
    """Total energies (eV) of systems by a MACE model; metatomic differentiates them for the forces.

    Its methods are TorchScript, which has types of its own (hence ``List``) and no comprehensions over systems.
    """

    def __init__(self, mace: torch.nn.Module) -> None:
        super().__init__()
        self.cutoff = model_cutoff(mace)
        elements = model_elements(mace)
        index = torch.full((max(elements) + 1,), -1, dtype=torch.long)
        index[torch.tensor(elements)] = torch.arange(len(elements))
        self.register_buffer("index", index)
        self.elements = len(elements)
        self.mace = jit.compile(mace)

    def requested_neighbor_lists(self) -> List[NeighborListOptions]:
        return [NeighborListOptions(cutoff=self.cutoff, full_list=True, strict=True)]

    def forward(
        self,
        systems: List[System],
        outputs: Dict[str, ModelOutput],
        selected_atoms: Optional[Labels] = None,
    ) -> Dict[str, TensorMap]:
        if "energy" not in outputs:
            return {}
        energies: List[torch.Tensor] = []
        for system in systems:
            energies.append(self.energy(system))
        values = torch.stack(energies).reshape(-1, 1)
        device = values.device
        block = TensorBlock(
            values=values,
            samples=Labels(["system"], torch.arange(len(systems), device=device).reshape(-1, 1)),
            components=torch.jit.annotate(List[Labels], []),  # type: ignore[no-untyped-call]
            properties=Labels(["energy"], torch.zeros((1, 1), dtype=torch.int32, device=device)),
        )
        key = Labels(["_"], torch.zeros((1, 1), dtype=torch.int32, device=device))
        return {"energy": TensorMap(key, [block])}

    def energy(self, system: System) -> torch.Tensor:
        """Energy of one system."""
        options = NeighborListOptions(cutoff=self.cutoff, full_list=True, strict=True)
        samples = system.get_neighbor_list(options).samples.values.to(torch.long)
        positions, cell = system.positions, system.cell
        species = self.index[system.types.to(torch.long)]  # type: ignore[index]
        data = {
            "positions": positions,
            "cell": cell,
            "edge_index": samples[:, :2].t().contiguous(),
            "shifts": samples[:, 2:].to(positions.dtype) @ cell,
            "unit_shifts": samples[:, 2:].to(positions.dtype),
            "node_attrs": torch.nn.functional.one_hot(species, self.elements).to(positions.dtype),
            "batch": torch.zeros_like(species),
            "ptr": torch.tensor([0, len(species)], device=positions.device),
            "head": torch.zeros(1, dtype=torch.long, device=positions.device),
        }
        energy = self.mace(data, compute_force=False)["energy"]
        assert energy is not None
        return energy[0]  # type: ignore[no-any-return]


def to_metatomic(mace: torch.nn.Module, *, name: str, description: str) -> bytes:
    """The file of a metatomic model."""
    capabilities = ModelCapabilities(
        outputs={"energy": ModelOutput(unit="eV", sample_kind="system")},
        atomic_types=model_elements(mace),
        # Each interaction passes messages over one cutoff.
        interaction_range=model_cutoff(mace) * int(mace.num_interactions),  # type: ignore[arg-type]
        length_unit="Angstrom",
        supported_devices=["cpu", "cuda"],
        dtype="float64",
    )
    with tempfile.TemporaryDirectory(prefix="asteroid-export-") as folder, warnings.catch_warnings():
        # TorchScript warns of annotations in MACE.
        warnings.simplefilter("ignore")
        module = MetatomicMACE(mace.double()).eval()
        model = AtomisticModel(module, ModelMetadata(name=name, description=description), capabilities)
        file = Path(folder, "model.pt")
        model.save(str(file))
        return file.read_bytes()
