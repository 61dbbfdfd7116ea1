"""Execute a sampling plan: batches in worker processes, each stored once.

The plan (:func:`asteroid.groups.plan_groups`) follows from the settings. The name of a batch is a hash of everything
its frames depend on, so a run after a kill, or with more frames, computes only missing batches. Held-out batches come
first: training frames that are near copies of their frames are dropped before they are stored.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from pebble import ProcessExpired, ProcessFuture, ProcessPool

from asteroid.chemistry.wall import Wall
from asteroid.configuration import Configuration, Frame, Split
from asteroid.errors import AsteroidError, InputError
from asteroid.groups import Group, plan_groups
from asteroid.manifest import MoleculeSettings
from asteroid.naming import digest
from asteroid.processes import CleanContext, describe_exit, die_with_parent, single_thread_environment
from asteroid.sampling.batch import Batch, Outcome, cheap_engine, hessian_of, make_batch, search_conformers
from asteroid.sampling.dynamics import FRICTION
from asteroid.sampling.normal_modes import SOFTEST
from asteroid.sampling.select import near_copies, sorted_distances
from asteroid.store import Store, paths, records
from asteroid.store.account import Entry, charge
from asteroid.store.records import ConformerHessian, Identity
from asteroid.usage import Usage, begin_process, measure

logger = logging.getLogger(__name__)

NEAR_COPY = "near copy of a frame in another split"


@dataclass(frozen=True)
class SamplingSummary:
    """Result of one call of :func:`sample`, without frames sampled before.

    Args:
        batches: number of new batches.
        frames: requested from them.
        kept: frames written to the store.
        dropped: number of dropped frames by reason.
    """

    batches: int
    frames: int
    kept: int
    dropped: Mapping[str, int]


def sample(
    store: Store,
    molecule: MoleculeSettings,
    *,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> SamplingSummary:
    """Sample the frames of a molecule that the store lacks.

    Args:
        workers: number of single-threaded processes.
        on_progress: called with (finished batches, all batches).

    Raises:
        AsteroidError: when no conformer is intact at the cheap level, or the store cannot be written.
    """
    groups = plan_groups(molecule.sampling)
    if on_progress:
        on_progress(0, len(groups))
    single_thread_environment()
    with (
        charge(store, molecule.name, "sampling", own=False) as entry,
        ProcessPool(max_workers=workers, initializer=_enter_worker, context=CleanContext()) as pool,
    ):
        try:
            conformers = _conformers(store, molecule, pool, entry)
            missing = list(_missing(store, molecule, groups, conformers))
            hessians = _hessians(store, molecule, pool, missing, conformers, entry)
            missing = [replace(batch, hessian=hessians.get(batch.conformer.frame_id)) for batch in missing]
            done = len(groups) - len(missing)
            if on_progress:
                on_progress(done, len(groups))
            apart = _Apart(store.frames(molecule.name) if missing else [])
            batches = kept = 0
            dropped: Counter[str] = Counter()
            # In the order of the plan, so that dropped near copies are reproducible.
            for batch, outcome in zip(missing, _outcomes(pool, missing, entry), strict=True):
                dropped += outcome.dropped
                frames = apart.admit(outcome.frames, batch.group.split)
                dropped[NEAR_COPY] += len(outcome.frames) - len(frames)
                if outcome.finished:
                    store.add_frames(molecule.name, frames, batch=batch.name)
                    batches, kept = batches + 1, kept + len(frames)
                done += 1
                entry.save_sometimes()
                if on_progress:
                    on_progress(done, len(groups))
        except BaseException:
            pool.stop()
            raise
    return SamplingSummary(batches, sum(batch.group.frames for batch in missing), kept, dict(+dropped))


def identity(molecule: MoleculeSettings) -> Identity:
    """Structure, charge and multiplicity of a molecule.

    Raises:
        InputError: when its geometry file cannot be read.
    """
    geometry = None
    if molecule.geometry is not None:
        try:
            geometry = hashlib.sha256(molecule.geometry.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(
                f"{molecule.name}: geometry: cannot read '{molecule.geometry}': {error.strerror}"
            ) from None
    return Identity(
        smiles=molecule.smiles, geometry=geometry, charge=molecule.charge, multiplicity=molecule.multiplicity
    )


def conformer_batch(molecule: MoleculeSettings) -> str:
    """Name of the batch of conformers with these settings."""
    return _conformer_batch(molecule, {} if _in_one_piece(molecule) else {"placed": "in contact"})


def _conformer_batch(molecule: MoleculeSettings, placed: Mapping[str, str]) -> str:
    return "conformers-" + digest(
        {
            **records.to_json(identity(molecule)),
            "conformers": molecule.sampling.conformers,
            "seed": molecule.sampling.seed,
            "level": str(molecule.cheap),
            "engine": cheap_engine(molecule),
            **placed,
        }
    )


def _in_one_piece(molecule: MoleculeSettings) -> bool:
    return molecule.smiles is None or "." not in molecule.smiles


def stored_conformers(store: Store, molecule: MoleculeSettings) -> list[Configuration]:
    """The conformers of these settings that the store has, the lowest in energy first."""
    name = conformer_batch(molecule)
    found = [frame for frame in store.frames(molecule.name, split="train") if frame.group == name]
    return [frame.configuration for frame in sorted(found, key=lambda frame: int(frame.origin.parameters["index"]))]


def missing_groups(store: Store, molecule: MoleculeSettings) -> list[Group]:
    """Groups of the plan whose frames the store lacks: all of them before there are conformers."""
    groups = plan_groups(molecule.sampling)
    conformers = stored_conformers(store, molecule)
    return [batch.group for batch in _missing(store, molecule, groups, conformers)] if conformers else groups


def _conformers(store: Store, molecule: MoleculeSettings, pool: ProcessPool, entry: Entry) -> list[Configuration]:
    """The molecule's conformers, searched for once.

    Raises:
        AsteroidError: when the store has conformers of an earlier version, which put fragments far apart.
    """
    name = conformer_batch(molecule)
    if not _in_one_piece(molecule) and store.has_frame_batch(molecule.name, _conformer_batch(molecule, {})):
        raise AsteroidError(
            f"{molecule.name}: its frames in the store are of an earlier version, which put the parts of a SMILES far "
            "apart; write another store or another name"
        )
    if not store.has_frame_batch(molecule.name, name):
        search = pool.schedule(_measured, args=(search_conformers, molecule, name))
        frames = _result(search, "conformer search", entry)
        store.add_frames(molecule.name, frames, batch=name)
    return stored_conformers(store, molecule)


def _missing(
    store: Store, molecule: MoleculeSettings, groups: Iterable[Group], conformers: list[Configuration]
) -> Iterator[Batch]:
    """Batches that the store lacks, held-out ones first."""
    wall = Wall.around(conformers)
    # The store may have a group with fewer or more frames than wanted.
    there: dict[str, int] = {}
    for name in store.frame_batches(molecule.name):
        group_name, _, frames = name.rpartition("-")
        if frames.isdecimal():
            there[group_name] = max(there.get(group_name, 0), int(frames))
    for group in sorted(groups, key=lambda group: group.split == "train"):
        batch = _batch(molecule, group, conformers, wall)
        if there.get(batch.group_name, 0) < group.frames:
            yield batch


def _batch(molecule: MoleculeSettings, group: Group, conformers: list[Configuration], wall: Wall | None) -> Batch:
    settings = molecule.sampling
    # The second term decorrelates conformers from splits, whose pattern repeats every ten turns.
    conformer_index = (group.turn + group.turn // 10) % len(conformers)
    conformer = conformers[conformer_index]
    seed = int(np.random.SeedSequence([settings.seed, group.index]).generate_state(1)[0])
    parameters: dict[str, Any] = {"temperature": group.temperature, "conformer": conformer_index}
    if group.method == "md":
        parameters |= {
            "timestep": settings.timestep,
            "equilibration": settings.equilibration,
            "interval": settings.interval,
            "friction": FRICTION,
            **({"wall": wall.radius} if wall else {}),
        }
    else:
        parameters |= {"softest": SOFTEST}
    # Without the number of frames: a longer group begins with the frames of a shorter one.
    identity = {
        **parameters,
        "conformer": conformer.frame_id,
        "seed": seed,
        "split": group.split,
        "level": str(molecule.cheap),
        "engine": cheap_engine(molecule),
    }
    group_name = f"{group.method}-{digest(identity)}"
    return Batch(
        name=f"{group_name}-{group.frames}",
        group=group,
        group_name=group_name,
        seed=seed,
        conformer=conformer,
        parameters=parameters,
        level=molecule.cheap,
        engine=cheap_engine(molecule),
        wall=wall,
    )


def _hessians(
    store: Store,
    molecule: MoleculeSettings,
    pool: ProcessPool,
    missing: list[Batch],
    conformers: list[Configuration],
    entry: Entry,
) -> dict[str, npt.NDArray[np.float64]]:
    """Hessians by frame id of the conformers of missing normal-mode batches; computed once and stored."""
    needed = {batch.conformer.frame_id for batch in missing if batch.group.method == "normal-modes"}
    level, engine = str(molecule.cheap), cheap_engine(molecule)
    found, running = {}, {}
    for conformer in conformers:
        frame_id = conformer.frame_id
        if frame_id not in needed:
            continue
        path = paths.conformer_hessian(molecule.name, digest({"frame_id": frame_id, "level": level, "engine": engine}))
        if store.exists(path):
            found[frame_id] = records.read(store, ConformerHessian, path).hessian
        else:
            running[frame_id] = path, pool.schedule(_measured, args=(hessian_of, molecule, conformer))
    for frame_id, (path, future) in running.items():
        found[frame_id] = hessian = _result(future, "Hessian", entry)
        records.write(store, path, ConformerHessian(frame_id=frame_id, level=level, engine=engine, hessian=hessian))
    return found


def _enter_worker() -> None:
    die_with_parent()
    begin_process()


def _measured(function: Callable[..., Any], *args: Any) -> tuple[Any, Usage]:
    """Run a function in a worker; returns its result and computing time."""
    with measure() as used:
        result = function(*args)
    return result, used


def _result(future: ProcessFuture, task: str, entry: Entry) -> Any:
    try:
        result, used = future.result()
        entry.add(used)
        return result
    except ProcessExpired as error:
        raise AsteroidError(f"the worker of the {task} {describe_exit(error.exitcode)}") from None


def _outcomes(pool: ProcessPool, batches: list[Batch], entry: Entry) -> Iterator[Outcome]:
    """Results in the order of the batches; the batch of a dead worker is not finished, and a later run tries it
    again."""
    if not batches:
        return
    results = pool.map(partial(_measured, make_batch), batches, chunksize=1).result()
    for batch in batches:
        try:
            outcome, used = next(results)
            entry.add(used)
            yield outcome
        except ProcessExpired as error:
            reason = f"the worker {describe_exit(error.exitcode)}"
            logger.warning("%s: %s", batch.name, reason)
            yield Outcome([], Counter({reason: batch.group.frames}), finished=False)


class _Apart:
    """Refuses near copies of stored frames of another split."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._known: dict[Split, list[npt.NDArray[np.float64]]] = {}
        by_split: dict[Split, list[Frame]] = {}
        for frame in frames:
            by_split.setdefault(frame.split, []).append(frame)
        for split, members in by_split.items():
            self._known[split] = [sorted_distances([frame.configuration for frame in members])]

    def admit(self, frames: list[Frame], split: Split) -> list[Frame]:
        """The frames that are no near copies of frames in another split; they are remembered."""
        # Two atoms have only one distance: with a few hundred frames all would be near copies.
        if not frames or len(frames[0].configuration.numbers) == 2:
            return frames
        points = sorted_distances([frame.configuration for frame in frames])
        refused = np.zeros(len(frames), dtype=bool)
        for other, blocks in self._known.items():
            if other != split:
                refused |= near_copies(points, np.concatenate(blocks))
        self._known.setdefault(split, []).append(points[~refused])
        return [frame for frame, refuse in zip(frames, refused, strict=True) if not refuse]
