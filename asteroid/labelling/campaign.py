"""Many labels on all cores: worker processes that may die, results that reach the store within seconds.

:func:`run_campaign` takes from the store what is pending and writes attempts back; :func:`label_configurations` does
the same for configurations at hand. Quantum chemistry always runs in workers, never in the caller's process, which may
hold torch: a worker is ready in about half a second.

This process moves tables and waits: :mod:`asteroid.labelling.crew` sends rows to worker processes, in which
:mod:`asteroid.labelling.attempt` computes, and :mod:`asteroid.store.locks` keeps a second campaign off the same frames.
Workers are spawned without the caller's ``__main__`` (:class:`asteroid.processes.CleanContext`), so a calling script
needs no ``if __name__ == "__main__"`` guard for them.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
    """What one run of a campaign did; frames labelled in earlier runs are not counted."""

    total: int
    ok: int
    failed: int
    rejected: int
    core_seconds: float
    wall_seconds: float


def run_campaign(
    store: Store,
    molecule: str,
    level: LevelOfTheory,
    *,
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
    """Label what is selected and has no attempt yet; run it again after a crash and it computes only what is missing.

    A second campaign on the same frames waits for the first, wherever it runs, and then labels what is left.

    Args:
        forces: or energies alone, as of frames that were chosen for these (:meth:`Store.energies_alone`).
        shard, shards: label the frames of one of several disjoint shards.
        time_limit: s a label may take before it counts as failed.
        memory_limit: MiB a label may take before it counts as failed; an equal share of the machine's when not given.
        flush_seconds: finished attempts reach the store at least this often, and when the campaign is interrupted.
        on_progress: called with (attempts made, attempts in all) at least once a second. When it raises, what is
            finished is flushed and the campaign ends.

    Raises:
        AsteroidError: when workers cannot be started, or have no room for temporary files, or when another run has
            taken over because this one was not heard of for a while.
        StoreError: when the store cannot be written; labels that it never took are then lost.
    """
    start = time.perf_counter()
    counts: Counter[str] = Counter()
    core_seconds = 0.0
    pending = partial(store.pending, molecule, level, forces=forces, shard=shard, shards=shards)
    total = len(pending())

    def follow() -> None:
        if on_progress:
            on_progress(total - len(pending()), total)

    if total:
        with lock(store, f"labels {molecule} {level}", shard=shard, shards=shards, on_wait=follow) as held:
            # What others have labelled meanwhile is theirs.
            frames = store.frame_table(molecule, ids=pending())
            before = total - frames.num_rows
            alone = pc.is_in(frames["frame_id"], value_set=store.energies_alone(molecule, level))
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
                        core_seconds += _core_seconds(finished)
                        if on_progress:
                            on_progress(before + counts.total(), total)
    return CampaignSummary(
        total=counts.total(),
        ok=counts["ok"],
        failed=counts["failed"],
        rejected=counts["rejected"],
        core_seconds=core_seconds,
        wall_seconds=time.perf_counter() - start,
    )


class _Ledger:
    """Finished attempts on their way into the store; what is left goes there when the context ends, however it ends."""

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
        # Only now: a store that could not be written gets another chance when the context ends, under the same name.
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
    """Attempts of these configurations, as they finish (not in their order: see ``Attempt.frame_id``).

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
    """An attempt for each configuration, in their order; equal ones are computed once.

    Args:
        on_label: called whenever one is finished.

    Raises:
        InputError: for a level that is not proved for one of them.
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


def _core_seconds(attempts: pa.Table) -> float:
    return float(core_seconds(attempts).sum())
