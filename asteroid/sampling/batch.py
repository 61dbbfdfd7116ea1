"""Sampling tasks of worker processes: a conformer search, a Hessian, or one batch of frames.

:mod:`asteroid.sampling.plan` plans the batches and stores the results.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from asteroid.chemistry.vibrations import normal_modes
from asteroid.chemistry.wall import Wall
from asteroid.configuration import Configuration, Frame, Origin
from asteroid.engines import Labeller, engine_for, make_labeller
from asteroid.errors import LabelFailed
from asteroid.groups import Group
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.sampling.conformers import find_conformers
from asteroid.sampling.dynamics import trajectory
from asteroid.sampling.normal_modes import compute_hessian, displace
from asteroid.sampling.screening import APART, Screen

PATIENCE = 3
"""Largest number of tries per wanted frame of a cluster."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """Everything that a worker needs for one group of frames.

    Args:
        name: of the file in the store.
        group_name: group of its frames.
        parameters: for the origin of the frames, plain values.
        hessian: (3N, 3N) eV/Å² of the conformer, for normal modes.
        wall: about a cluster, for MD; None for a single molecule.
    """

    name: str
    group: Group
    group_name: str
    seed: int
    conformer: Configuration
    parameters: Mapping[str, Any]
    level: LevelOfTheory
    engine: str | None
    hessian: npt.NDArray[np.float64] | None = None
    wall: Wall | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """Frames of one batch, and the number of dropped geometries by reason.

    Args:
        finished: False when the worker died; the batch is then not stored.
    """

    frames: list[Frame]
    dropped: Counter[str] = field(default_factory=Counter)
    finished: bool = True


def cheap_labeller(molecule: MoleculeSettings) -> Labeller:
    """The labeller of the molecule's cheap level."""
    return make_labeller(molecule.cheap, cheap_engine(molecule))


def cheap_engine(molecule: MoleculeSettings) -> str | None:
    """The manifest's engine for the cheap level, None where only one engine computes it."""
    return engine_for(molecule.cheap, molecule.engine)


def search_conformers(molecule: MoleculeSettings, group_name: str) -> list[Frame]:
    """The molecule's conformers as frames, lowest energy first."""
    labeller = cheap_labeller(molecule)
    return [
        Frame(
            minimum,
            Origin(
                "conformer",
                {
                    "index": index,
                    "energy": energy,
                    "smiles": molecule.smiles,
                    "geometry": None if molecule.geometry is None else molecule.geometry.name,
                    **_provenance(labeller),
                    "rdkit": version("rdkit"),
                },
                molecule.sampling.seed,
            ),
            group_name,
            "train",
        )
        for index, (minimum, energy) in enumerate(find_conformers(molecule, labeller))
    ]


def hessian_of(molecule: MoleculeSettings, configuration: Configuration) -> npt.NDArray[np.float64]:
    """The cheap level's Hessian, (3N, 3N) eV/Å²."""
    return compute_hessian(cheap_labeller(molecule), configuration)


def make_batch(batch: Batch) -> Outcome:
    """Sample one group. Geometries that are no longer the molecule are dropped, and end a trajectory.

    Fragments of a cluster that drift apart come back, so a cluster's trajectory continues, up to :data:`PATIENCE` times
    the wanted frames.
    """
    labeller = make_labeller(batch.level, batch.engine)
    screen = Screen.of(batch.conformer)
    origin = Origin(
        batch.group.method, {**batch.parameters, **_provenance(labeller)}, batch.seed, batch.conformer.frame_id
    )
    wanted = batch.group.frames
    tries = PATIENCE * wanted if batch.wall else wanted
    dropped: Counter[str] = Counter()
    kept: list[npt.NDArray[np.float64]] = []
    try:
        for positions in islice(_geometries(batch, labeller, tries), tries):
            reason = screen.reason_to_drop(positions)
            if reason is None:
                kept.append(positions)
                if len(kept) == wanted:
                    break
                continue
            dropped[reason] += 1
            if batch.group.method == "md" and reason != APART:
                dropped["after the molecule broke"] += wanted - len(kept) - 1
                break
    except LabelFailed as error:
        dropped[f"the cheap level failed: {error}"] += wanted - len(kept)
    frames = []
    for positions in kept:
        # Displacements along normal modes, and frames where a wall acts, are not Boltzmann distributed: their origin
        # has no temperature, only their parameters.
        drawn = batch.group.method == "md" and not (batch.wall and batch.wall.acts(positions))
        own = replace(origin, temperature=batch.group.temperature if drawn else None)
        frames.append(Frame(batch.conformer.with_positions(positions), own, batch.group_name, batch.group.split))
    return Outcome(frames, +dropped)


def _geometries(batch: Batch, labeller: Labeller, count: int) -> Iterable[npt.NDArray[np.float64]]:
    """At least ``count`` geometries."""
    if batch.group.method == "md":
        return trajectory(
            labeller,
            batch.conformer,
            temperature=batch.group.temperature,
            timestep=batch.parameters["timestep"],
            equilibration=batch.parameters["equilibration"],
            interval=batch.parameters["interval"],
            seed=batch.seed,
            wall=batch.wall,
        )
    assert batch.hessian is not None, "normal-mode batches have a Hessian"
    return displace(
        batch.conformer,
        normal_modes(batch.conformer, batch.hessian),
        temperature=batch.group.temperature,
        count=count,
        seed=batch.seed,
    )


def _provenance(labeller: Labeller) -> dict[str, Any]:
    return {
        "level": str(labeller.level),
        "program": labeller.program,
        "version": labeller.version,
        "ase": version("ase"),
    }
