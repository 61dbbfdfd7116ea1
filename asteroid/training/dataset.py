"""Labelled frames, their reference energies, and the graphs and batches that MACE trains on.

Graphs carry energies *relative to the reference energies of their level*, so that a constant offset between two levels
never reaches the loss, and single precision never has to hold thousands of eV. Before it lies :mod:`asteroid.store`,
after it :mod:`asteroid.training.fit`.
"""

import contextlib
import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

# MACE must come before e3nn: it sets the switch with which e3nn's constants load.
import mace.data as mace_data
import numpy as np
import numpy.typing as npt
import torch
from mace.tools import AtomicNumberTable
from mace.tools.torch_geometric.batch import Batch

from asteroid.configuration import Configuration
from asteroid.levels import LevelOfTheory
from asteroid.store import Store

Precision = Literal["float32", "float64"]
Graph: TypeAlias = mace_data.AtomicData

DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "float64": torch.float64}

_GRAPH_KEYS = frozenset(
    [
        *("edge_index", "positions", "shifts", "unit_shifts", "cell", "node_attrs", "head"),
        *("total_charge", "total_spin", "energy", "forces", "weight", "energy_weight", "forces_weight", "atom_weight"),
    ]
)
"""What models and loss read. MACE adds a dozen more (virials, dipoles, …) that would only be collated at each step."""


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """One configuration with its label at one level.

    Args:
        energy: eV, total.
        forces: (N, 3) eV/Å, None for an energy-only label.
        weight: how much this frame counts in the loss, relative to the others it is trained with.
        atom_weights: (N,) how much the force on each atom counts besides; None for all alike.
        head: which readout of a model with several it trains; 0 is the accurate level's.
        temperature: K, of the Boltzmann distribution that the configuration was drawn from; None where there is none.
        molecule: name of the molecule that the frame is of.
    """

    configuration: Configuration
    energy: float
    forces: npt.NDArray[np.float64] | None = None
    weight: float = 1.0
    atom_weights: npt.NDArray[np.float64] | None = None
    head: int = 0
    temperature: float | None = None
    molecule: str = ""

    @property
    def frame_id(self) -> str:
        return self.configuration.frame_id


def labelled_frames(
    store: Store, molecule: str, level: LevelOfTheory, ids: Iterable[str] | None = None
) -> list[LabelledFrame]:
    """The accepted labels of a molecule at a level, in the order of ``ids``, or else of the store.

    Frames that have no accepted label are left out.
    """
    wanted = None if ids is None else list(dict.fromkeys(ids))
    labels = store.labels(molecule, level)
    frames = {frame.frame_id: frame for frame in store.frames(molecule, ids=wanted)}
    found = []
    for frame_id in frames if wanted is None else wanted:
        label = labels.get(frame_id)
        if frame_id in frames and label is not None and label.energy is not None:
            found.append(LabelledFrame(frames[frame_id].configuration, label.energy, label.forces, molecule=molecule))
    return found


def sampled_frames(store: Store, molecule: str, ids: Iterable[str]) -> list[LabelledFrame]:
    """The configurations that were drawn from a Boltzmann distribution, in the order of ``ids`` and without labels.

    Their energy of 0 stands for none.
    """
    wanted = list(dict.fromkeys(ids))
    frames = {frame.frame_id: frame for frame in store.frames(molecule, ids=wanted)}
    return [
        LabelledFrame(frame.configuration, 0.0, temperature=frame.origin.temperature, molecule=molecule)
        for frame in (frames[frame_id] for frame_id in wanted if frame_id in frames)
        if frame.origin.temperature is not None
    ]


@dataclass(frozen=True)
class ReferenceEnergies:
    """What of a level's energies a model need not learn: the sum over atoms of the element's energy and the shift.

    Args:
        elements: eV by atomic number; of free atoms where these are known.
        shift: eV per atom, the mean interaction energy.
    """

    elements: Mapping[int, float]
    shift: float = 0.0

    def of(self, configuration: Configuration) -> float:
        """eV"""
        numbers = configuration.numbers
        return float(sum(self.elements.get(int(z), 0.0) for z in numbers)) + self.shift * len(numbers)


def fit_reference_energies(
    frames: Sequence[LabelledFrame],
    predicted: npt.NDArray[np.float64] | None = None,
    *,
    atoms: Mapping[int, float] | None = None,
) -> ReferenceEnergies:
    """Fit only what free atoms and the model leave of the mean energy.

    The same amount for every atom comes first: binding energies per atom are alike in all molecules (3.3 eV in water,
    3.7 in methanol), so a model of one composition is off by little in another, and its elements stay free atoms.
    Several compositions can tell more; the elements then take up the rest, by the smallest change that fits.

    Args:
        predicted: (number of frames,) eV, what the model already accounts for; it is subtracted first.
        atoms: energies of free atoms at the level of the frames, eV by atomic number; 0 where none is known.

    >>> h2 = Configuration([1, 1], [[0, 0, 0], [0, 0, 0.74]])
    >>> fit_reference_energies([LabelledFrame(h2, -32.0)], atoms={1: -13.5})
    ReferenceEnergies(elements={1: -13.5}, shift=-2.5)
    """
    elements = sorted({int(z) for frame in frames for z in frame.configuration.numbers})
    counts = np.array([[np.sum(frame.configuration.numbers == z) for z in elements] for frame in frames], dtype=float)
    free = np.array([(atoms or {}).get(z, 0.0) for z in elements])
    energies = np.array([frame.energy for frame in frames]) - counts @ free
    if predicted is not None:
        energies = energies - predicted
    sizes = counts.sum(axis=1)
    shift = float(sizes @ energies / (sizes @ sizes))
    if len(np.unique(counts, axis=0)) > 1:
        free = free + np.linalg.lstsq(counts, energies - shift * sizes, rcond=None)[0]
    return ReferenceEnergies(dict(zip(elements, free.tolist(), strict=True)), shift)


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """MACE builds models and graphs in torch's default precision: set it here, and put it back."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def to_graph(
    configuration: Configuration,
    energy: float = 0.0,
    forces: npt.NDArray[np.float64] | None = None,
    weight: float = 1.0,
    *,
    numbers: Sequence[int],
    r_max: float,
    dtype: torch.dtype,
) -> Graph:
    """One MACE graph, its neighbour list included; without forces, the label has no part in the loss on forces.

    Args:
        energy: eV, relative to the reference energies.
        forces: (N, 3) eV/Å.
        numbers: atomic numbers that the model knows, in its order.
        r_max: Å.
    """
    labelled = mace_data.Configuration(
        atomic_numbers=configuration.numbers,
        positions=configuration.positions,
        properties={
            "energy": energy,
            "forces": forces,
            "total_charge": float(configuration.charge),
            "total_spin": float(configuration.multiplicity),
        },
        property_weights={"energy": 1.0, "forces": 0.0 if forces is None else 1.0},
        weight=weight,
    )
    with default_dtype(dtype):
        graph = Graph.from_config(labelled, z_table=AtomicNumberTable(list(numbers)), cutoff=r_max)
    graph.atom_weight = torch.ones(len(configuration.numbers), dtype=dtype)
    for key in set(graph.keys) - _GRAPH_KEYS:
        graph[key] = None
    return graph


def with_label(geometry: Graph, frame: LabelledFrame, energy: float, *, weight: float) -> Graph:
    """A copy of a graph that carries a label and shares everything else.

    Args:
        geometry: of the frame's configuration, without a label: what this label lacks, the copy lacks too.
        energy: eV, relative to the reference energies.
        weight: of the frame in the loss.
    """
    graph, dtype = copy.copy(geometry), geometry.positions.dtype
    graph.energy = torch.tensor(energy, dtype=dtype)
    if frame.forces is not None:
        graph.forces = torch.tensor(frame.forces, dtype=dtype)
        graph.forces_weight = torch.ones((), dtype=dtype)
    graph.weight = torch.tensor(weight, dtype=dtype)
    graph.head = torch.tensor(frame.head)
    if frame.atom_weights is not None:
        graph.atom_weight = torch.tensor(frame.atom_weights, dtype=dtype)
    if frame.temperature is not None:
        graph.temperature = torch.tensor([frame.temperature], dtype=dtype)
    return graph


def by_composition(species: Iterable[Sequence[int]]) -> list[npt.NDArray[np.int64]]:
    """The places of the frames of each composition, that of the first frame first.

    Args:
        species: what each frame consists of, sorted.

    >>> by_composition([(1, 1), (1, 8), (1, 1)])
    [array([0, 2]), array([1])]
    """
    places: dict[tuple[int, ...], list[int]] = {}
    for place, atoms in enumerate(species):
        places.setdefault(tuple(atoms), []).append(place)
    return [np.array(members) for members in places.values()]


def collate(graphs: Sequence[Graph]) -> Batch:
    """One batch of several graphs."""
    return Batch.from_data_list(list(graphs))


def batches(graphs: Sequence[Graph], size: int) -> list[Batch]:
    """All graphs in order, in batches of at most ``size``."""
    return [collate(graphs[start : start + size]) for start in range(0, len(graphs), size)]


def shuffled(count: int, batch_size: int, step: int, seed: int) -> npt.NDArray[np.int64]:
    """Which of ``count`` graphs make up the batch of a step; each epoch is a new permutation.

    A function of the step alone, so that a training that continues draws exactly what it would have drawn. The few
    graphs that do not fill a last batch are left out of that epoch.
    """
    size = min(batch_size, count)
    epoch, position = divmod(step, count // size)
    return np.random.default_rng((seed, epoch)).permutation(count)[position * size : (position + 1) * size]
