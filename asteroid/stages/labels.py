"""From a manifest to labels: check, sample, select, label.

Quantum chemistry runs in worker processes; nothing here needs torch. :mod:`asteroid.stages.models` trains on the
labels.
"""

import operator
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asteroid.configuration import Configuration
from asteroid.engines import capabilities, check_supported, engine_for, programs_for
from asteroid.errors import InputError
from asteroid.levels import LevelOfTheory
from asteroid.manifest import Manifest, MoleculeSettings, load_manifest
from asteroid.processes import Progress
from asteroid.stages.atoms import compute_atoms, lacks_atoms
from asteroid.stages.common import counted, waiting
from asteroid.stages.imported import check_imported
from asteroid.stages.level_checks import check_level
from asteroid.store import Store, paths, records
from asteroid.store.locks import lock
from asteroid.store.records import Identity
from asteroid.store.rows import core_seconds

if TYPE_CHECKING:
    from asteroid.labelling.campaign import CampaignSummary
    from asteroid.sampling import SamplingSummary


def load_checked(manifest: str | Path) -> Manifest:
    """Load a manifest and check that the engines can compute its levels for its molecules.

    Raises:
        InputError: with every problem, one line each.
    """
    loaded = load_manifest(manifest)
    problems = []
    for index, molecule in enumerate(loaded.molecules):
        between = [("training.ladder", level) for level in molecule.ladder if level.family != "imported"]
        for key, level in (("cheap", molecule.cheap), ("accurate", molecule.accurate), *between):
            try:
                # Sampling needs cheap forces, even where labels are energies alone.
                forces = key == "cheap" or molecule.label_settings(level).forces
                check_supported(level, charge=molecule.charge, multiplicity=molecule.multiplicity, forces=forces)
            except InputError as error:
                problems.append(f"{manifest}: molecules[{index}] ({molecule.name}): {key}: {error}")
    if problems:
        raise InputError(problems)
    return loaded


def lacks_frames(store: Store, molecule: MoleculeSettings) -> bool:
    """Whether batches of frames are missing.

    Raises:
        InputError: when the store has another molecule of this name.
    """
    from asteroid.sampling.plan import missing_groups

    _check_identity(store, molecule)
    return bool(missing_groups(store, molecule))


def sample(
    store: Store, molecule: MoleculeSettings, *, workers: int, on_progress: Progress | None = None
) -> "SamplingSummary":
    """Sample the batches of frames that the store lacks.

    Raises:
        InputError: when the store has another molecule of this name.
    """
    from asteroid import sampling
    from asteroid.sampling.conformers import starting_configuration
    from asteroid.sampling.plan import identity

    missing, path = lacks_frames(store, molecule), paths.identity(molecule.name)
    if not store.exists(path):
        records.write(store, path, identity(molecule))
    if not missing:
        # No lock file, because a finished store may be read-only.
        return sampling.SamplingSummary(0, 0, 0, {})
    check_level(store, molecule, molecule.cheap, lambda: starting_configuration(molecule))
    with lock(store, f"sampling {molecule.name}", on_wait=waiting(on_progress)):
        return sampling.sample(store, molecule, workers=workers, on_progress=counted(on_progress))


def _check_identity(store: Store, molecule: MoleculeSettings) -> None:
    from asteroid.exchange import check_names, check_same_atoms
    from asteroid.sampling.plan import identity

    check_names(store, [molecule.name])
    check_same_atoms(store, molecule)
    path, this = paths.identity(molecule.name), identity(molecule)
    if store.exists(path) and (there := records.read(store, Identity, path)) != this:
        now = vars(this)
        changed = [(key, value) for key, value in vars(there).items() if value not in (None, now[key])]
        different = ", ".join(f"{key} {value} (now {now[key]})" for key, value in changed)
        raise InputError(
            f"{molecule.name}: the store has another molecule of this name, with {different}; write another name"
        )


def select(store: Store, molecule: MoleculeSettings) -> None:
    """Select the frames for labels at the cheap, accurate and intermediate levels."""
    from asteroid.sampling.choose import choose_accurate, choose_cheap, choose_ladder

    choose_cheap(store, molecule)
    choose_accurate(store, molecule)
    choose_ladder(store, molecule)


def lacks_labels(
    store: Store, molecule: MoleculeSettings, level: LevelOfTheory, *, shard: int = 0, shards: int = 1
) -> bool:
    """Whether selected frames of this shard have not been tried; for the first shard, also whether free atoms are
    missing."""
    forces = molecule.label_settings(level).forces
    if store.pending(molecule.name, level, forces=forces, shard=shard, shards=shards):
        return True
    return shard == 0 and lacks_atoms(store, molecule, level)


def label(
    store: Store,
    molecule: MoleculeSettings,
    level: LevelOfTheory,
    *,
    shard: int = 0,
    shards: int = 1,
    workers: int,
    on_progress: Progress | None = None,
) -> "CampaignSummary":
    """Label the selected frames of a shard that have not been tried; the first shard also computes the free atoms.

    At a composite level, each part is a campaign of its own.

    Raises:
        AsteroidError: when imported labels at this level differ from those computed here, when the forces of the level
            are wrong, or when workers cannot be started.
    """
    from asteroid.labelling.campaign import run_campaign

    check_imported(store, molecule, level)
    if not level.parts:
        check_level(store, molecule, level, lambda: _first_pending(store, molecule, level))
    if shard == 0 and lacks_atoms(store, molecule, level):
        compute_atoms(store, molecule.name, level, engine=molecule.engine, on_progress=on_progress)
    settings = molecule.label_settings(level)
    campaigns = [
        run_campaign(
            store,
            molecule.name,
            part,
            selected_at=level,
            engine=engine_for(part, molecule.engine),
            shard=shard,
            shards=shards,
            workers=workers,
            forces=settings.forces,
            time_limit=settings.time_limit,
            memory_limit=settings.memory_limit,
            on_progress=counted(on_progress, str(part) if level.parts else ""),
        )
        for part in level.computed
    ]
    return reduce(operator.add, campaigns)


def _first_pending(store: Store, molecule: MoleculeSettings, level: LevelOfTheory) -> Configuration | None:
    ids = store.pending(molecule.name, level, forces=molecule.label_settings(level).forces)
    return next((frame.configuration for frame in store.frames(molecule.name, ids=ids[:1])), None)


def certificate_frames(store: Store, molecule: MoleculeSettings) -> pa.Array:
    """Ids of the frames for a certificate, whose cost must not change the rounds."""
    return store.frame_table(molecule.name, split="certificate")["frame_id"].combine_chunks()


def expected_label_seconds(store: Store, molecule: MoleculeSettings, level: LevelOfTheory) -> float:
    """Core-seconds per label: the mean for this molecule, or an estimate from the method before the first label.

    Labels with and without forces are not mixed: with forces, a coupled-cluster label costs several times as much.
    Labels for a certificate do not count, so that they never change the decisions of the rounds.
    """
    forces = molecule.label_settings(level).forces
    return sum(_expected_seconds(store, molecule, part, forces) for part in level.computed)


def _expected_seconds(store: Store, molecule: MoleculeSettings, level: LevelOfTheory, forces: bool) -> float:
    table = store.attempts(molecule.name, level)
    table = table.filter(pc.invert(pc.is_in(table["frame_id"], value_set=certificate_frames(store, molecule))))
    # Imported labels cost nothing here.
    table = table.filter(pc.is_in(table["program"], pa.array(programs_for(level), pa.string())))
    table = table.filter((pc.field("status") == "ok") & (pc.field("forces").is_valid() == forces))
    if table.num_rows:
        return float(np.mean(core_seconds(table)))
    (frame,) = store.frame_table(molecule.name, split="train")["numbers"][:1].to_pylist() or [[]]
    return capabilities(level).seconds(len(frame))
