"""Label many frames on all cores, in worker processes.

:func:`run_campaign` labels the pending frames of the store; :func:`label_configurations` labels given configurations.
Quantum chemistry always runs in workers, because the caller may have loaded torch; a worker starts in half a second.

:mod:`asteroid.labelling.crew` sends rows to the workers, :mod:`asteroid.labelling.attempt` computes labels in them, and
:mod:`asteroid.store.locks` keeps a second campaign from the same frames. Workers are spawned without the caller's
``__main__`` (:class:`asteroid.processes.CleanContext`), so a calling script needs no ``if __name__ == "__main__"``
guard for them.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from asteroid.configuration import Configuration
from asteroid.engines import check_elements, check_supported, make_labeller
from asteroid.labelling.crew import label_frames
from asteroid.labelling.wire import configurations_to_table
from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from asteroid.store.locks import Lock, lock
from asteroid.store.rows import Attempt, core_seconds, table_to_attempts
from asteroid.store.tables import unique_name


@dataclass(frozen=True)
class CampaignSummary:
    """Outcomes and cost of one run of a campaign; frames labelled in earlier runs are not counted."""

    total: int
    ok: int
    failed: int
    rejected: int
    core_seconds: float
    wall_seconds: float

    def __add__(self, other: "CampaignSummary") -> "CampaignSummary":
        return CampaignSummary(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


def run_campaign(
    store: Store,
    molecule: str,
    level: LevelOfTheory,
    *,
    selected_at: LevelOfTheory | None = None,
    engine: str | None = None,
    forces: bool = True,
    shard: int = 0,
    shards: int = 1,
    workers: int = 1,
    time_limit: float | None = None,
    memory_limit: float | None = None,
    flush_seconds: float = 30.0,
    on_progress: Callable[[int, int], None] | None = None,
) -> CampaignSummary:
    """Label the selected frames that have no attempt yet.

    After a crash, run it again: it labels only the missing frames. A second campaign on the same frames, on any
    machine, waits for the first and then labels the rest.

    Args:
        selected_at: the level whose selected frames are labelled, where this one is a part of a composite level.
        forces: whether to compute forces; never for frames selected for energies only (:meth:`Store.energies_alone`).
        shard, shards: label the frames of one of several disjoint shards.
        time_limit: s per label, after which it has failed.
        memory_limit: MiB per worker; an equal share of the machine's memory when None.
        flush_seconds: finished attempts are written at least this often, and when the campaign is interrupted.
        on_progress: called with (attempts made, all attempts) at least once a second. When it raises, the campaign
            writes the finished attempts and ends.

    Raises:
        AsteroidError: when workers cannot be started or cannot go on on this machine, or when this run has lost its
            lock to another one.
        StoreError: when the store cannot be written; labels not yet written are lost.
    """
    start = time.perf_counter()
    counts: Counter[str] = Counter()
    used = 0.0
    selected_at = selected_at or level
    pending = partial(
        store.pending, molecule, level, selected_at=selected_at, forces=forces, shard=shard, shards=shards
    )
    total = len(pending())

    def follow() -> None:
        if on_progress:
            on_progress(total - len(pending()), total)

    if total:
        with lock(store, f"labels {molecule} {level}", shard=shard, shards=shards, on_wait=follow) as held:
            # Read again: another campaign may have labelled some while this one waited for the lock.
            frames = store.frame_table(molecule, ids=pending())
            before = total - frames.num_rows
            alone = pc.is_in(frames["frame_id"], value_set=store.energies_alone(molecule, selected_at))
            parts = [(frames.filter(alone), False), (frames.filter(pc.invert(alone)), forces)]
            with _Ledger(store, molecule, level, held, flush_seconds) as ledger:
                for part, with_forces in parts:
                    for finished in label_frames(
                        part,
                        partial(make_labeller, level, engine),
                        workers=workers,
                        forces=with_forces,
                        time_limit=time_limit,
                        memory_limit=memory_limit,
                    ):
                        ledger.add(finished)
                        counts.update(finished["status"].to_pylist())
                        used += float(core_seconds(finished).sum())
                        if on_progress:
                            on_progress(before + counts.total(), total)
    return CampaignSummary(
        total=counts.total(),
        ok=counts["ok"],
        failed=counts["failed"],
        rejected=counts["rejected"],
        core_seconds=used,
        wall_seconds=time.perf_counter() - start,
    )


class _Ledger:
    """Writes finished attempts to the store in batches; the rest is written when the context ends, also by an error."""

    def __init__(self, store: Store, molecule: str, level: LevelOfTheory, held: Lock, flush_seconds: float) -> None:
        self._store, self._molecule, self._level = store, molecule, level
        self._held = held
        self._flush_seconds = flush_seconds
        self._flushed = time.monotonic()
        self._tables: list[pa.Table] = []
        self._name = unique_name()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()

    def add(self, attempts: pa.Table) -> None:
        self._tables.append(attempts)
        if time.monotonic() - self._flushed >= self._flush_seconds:
            self._flush()

    def _flush(self) -> None:
        if self._tables:
            self._held.confirm()
            self._store.add_attempts(self._molecule, self._level, pa.concat_tables(self._tables), name=self._name)
        # Only after the write has succeeded: if it fails, it is tried again under the same name when the context ends.
        self._tables, self._name, self._flushed = [], unique_name(), time.monotonic()


def label_configurations(
    configurations: Sequence[Configuration],
    level: LevelOfTheory,
    *,
    engine: str | None = None,
    workers: int = 1,
    forces: bool = True,
    time_limit: float | None = None,
    memory_limit: float | None = None,
) -> Iterator[Attempt]:
    """Label configurations; the attempts come in the order in which they finish, see ``Attempt.frame_id``.

    Raises:
        AsteroidError: as :func:`run_campaign`.
    """
    for finished in label_frames(
        configurations_to_table(configurations),
        partial(make_labeller, level, engine),
        workers=workers,
        forces=forces,
        time_limit=time_limit,
        memory_limit=memory_limit,
    ):
        yield from table_to_attempts(finished)


def label_in_order(
    configurations: Sequence[Configuration],
    level: LevelOfTheory,
    *,
    engine: str | None = None,
    workers: int = 1,
    forces: bool = True,
    on_label: Callable[[], object] = lambda: None,
) -> list[Attempt]:
    """Label configurations and return the attempts in the same order; equal ones are computed once.

    Args:
        on_label: called after each label.

    Raises:
        InputError: when the level is not supported for one of them.
        AsteroidError: as :func:`run_campaign`.
    """
    for one in configurations:
        check_elements(level, one.numbers)
        check_supported(level, charge=one.charge, multiplicity=one.multiplicity, forces=forces)
    unique = list({one.frame_id: one for one in configurations}.values())
    found = {}
    for attempt in label_configurations(unique, level, engine=engine, workers=workers, forces=forces):
        found[attempt.frame_id] = attempt
        on_label()
    return [found[one.frame_id] for one in configurations]
