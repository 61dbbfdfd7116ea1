"""Labelled frames, their reference energies, and the graphs and batches for MACE.

Graphs have energies *relative to the reference energies of their level*: a constant offset between levels is not in the
loss, and single precision suffices. Reads from :mod:`asteroid.store`; used by :mod:`asteroid.training.fit`.
"""

import contextlib
import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

# MACE must be imported before e3nn: it allows e3nn to load its constants.
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
"""Keys that models and loss read. MACE adds a dozen more (virials, dipoles, …), which would slow down collation."""


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """One configuration with its label at one level.

    Args:
        energy: eV, total.
        forces: (N, 3) eV/Å, None for an energy-only label.
        weight: in the loss, relative to other frames.
        atom_weights: (N,) additional weights of the forces on each atom; None for equal weights.
        head: readout that it trains, in a model with several; 0 is that of the accurate level.
        temperature: K, of the Boltzmann distribution of the configuration; None without one.
        molecule: name of the molecule.
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
    """Labels of a molecule at a level, in the order of ``ids`` or of the store, without unlabelled frames."""
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
    """Boltzmann-distributed configurations without labels (energy 0), in the order of ``ids``."""
    wanted = list(dict.fromkeys(ids))
    frames = {frame.frame_id: frame for frame in store.frames(molecule, ids=wanted)}
    return [
        LabelledFrame(frame.configuration, 0.0, temperature=frame.origin.temperature, molecule=molecule)
        for frame in (frames[frame_id] for frame_id in wanted if frame_id in frames)
        if frame.origin.temperature is not None
    ]


@dataclass(frozen=True)
class ReferenceEnergies:
    """Reference energy of a level: sum over atoms of element energy plus shift.

    Args:
        elements: eV by atomic number; of free atoms where known.
        shift: eV per atom, the mean interaction energy.
    """

    elements: Mapping[int, float]
    shift: float = 0.0

    def of(self, configuration: Configuration) -> float:
        """Reference energy of a configuration, eV."""
        numbers = configuration.numbers
        return float(sum(self.elements.get(int(z), 0.0) for z in numbers)) + self.shift * len(numbers)


def fit_reference_energies(
    frames: Sequence[LabelledFrame],
    predicted: npt.NDArray[np.float64] | None = None,
    *,
    atoms: Mapping[int, float] | None = None,
) -> ReferenceEnergies:
    """Fit reference energies to the mean energy, beyond free atoms and the predictions of a model.

    First a common shift per atom is fitted: binding energies per atom are similar in all molecules (3.3 eV in water,
    3.7 in methanol), so the model of one composition has a small error for another. With several compositions, element
    energies are then changed by the minimum-norm least-squares solution.

    Args:
        predicted: (number of frames,) eV, predictions of a model, which are subtracted first.
        atoms: energies of free atoms at the level of the frames, eV by atomic number; 0 where unknown.

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
    """Set torch's default precision, in which MACE builds models and graphs, and restore it afterwards."""
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
    """One MACE graph with its neighbour list; without forces, the weight of the forces is 0.

    Args:
        energy: eV, relative to the reference energies.
        forces: (N, 3) eV/Å.
        numbers: atomic numbers of the model, in its order.
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
    """A copy of a graph with a label; it shares everything else.

    Args:
        geometry: graph of the configuration, without a label.
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
    """Indices of the frames of each composition, in order of first appearance.

    Args:
        species: sorted elements of each frame.

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
    """Indices of the graphs in the batch of a step; each epoch is a new permutation of ``count`` graphs.

    Depends on the step alone, so that a resumed training has the same batches. An incomplete last batch is left out of
    its epoch.
    """
    size = min(batch_size, count)
    epoch, position = divmod(step, count // size)
    return np.random.default_rng((seed, epoch)).permutation(count)[position * size : (position + 1) * size]
