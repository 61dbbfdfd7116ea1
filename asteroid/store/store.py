"""The store: frames, labels, selections, models and reports in a local folder or an object store.

All results are here, as immutable Parquet and JSON files that are written atomically; every stage computes only what
the store lacks. Prefect's database holds nothing that is needed.

:mod:`asteroid.store.paths` has the layout, :mod:`asteroid.store.rows` the columns, :mod:`asteroid.store.ledger` the
rules for labels, and :mod:`asteroid.store.tables` keeps rows in files. Of a composite level only the selections are
stored; its labels are sums of those of its parts (:mod:`asteroid.store.sums`).
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asteroid.configuration import Frame, Split, check_name
from asteroid.errors import InputError, StoreError
from asteroid.levels import LevelOfTheory
from asteroid.store import compaction, ledger, paths, records, sums, tables
from asteroid.store.files import Files
from asteroid.store.ids import Words, absent, shard_of, to_ids, to_words
from asteroid.store.records import FreeAtom
from asteroid.store.rows import (
    FRAME_SCHEMA,
    LABEL_SCHEMA,
    SELECTION_SCHEMA,
    Attempt,
    attempts_to_table,
    frames_to_table,
    table_to_attempts,
    table_to_frames,
)

ENERGIES_ALONE = "energies alone"
"""Criterion of selections whose frames need only energies at a level with forces."""


class Store(Files):
    """One store, by its URL: a folder, ``file://…`` or ``s3://bucket/prefix``.

    Every method raises :class:`~asteroid.errors.StoreError`, with one line, where the store cannot be reached, read or
    written, or where a file is damaged or not asteroid's.

    Raises:
        InputError: when the URL cannot be understood.
    """

    # -- frames --------------------------------------------------------------------------------------------------------

    def molecules(self) -> list[str]:
        """Names of all molecules that have frames."""
        return sorted(paths.partition_value(name) for name in self.names("frames") if name.startswith("molecule="))

    def has_frame_batch(self, molecule: str, batch: str) -> bool:
        """Whether the store has a sampling batch."""
        return tables.has_member(self, paths.frames(molecule), f"{batch}{tables.SUFFIX}")

    def frame_batches(self, molecule: str) -> list[str]:
        return [name.removesuffix(tables.SUFFIX) for name in tables.members(self, paths.frames(molecule))]

    def add_frames(self, molecule: str, frames: Sequence[Frame], *, batch: str) -> None:
        """Add one sampling batch; a batch that exists is not written again.

        An empty batch is stored, too: it records that the sampler found nothing.
        """
        if not self.has_frame_batch(molecule, batch):
            tables.write(self, f"{paths.frames(molecule)}/{batch}{tables.SUFFIX}", frames_to_table(frames))

    def frames(self, molecule: str, *, split: Split | None = None, ids: Iterable[str] | None = None) -> list[Frame]:
        """Frames of a molecule in the order of batches, each geometry once."""
        return table_to_frames(self.frame_table(molecule, split=split, ids=ids))

    def frame_table(self, molecule: str, *, split: Split | None = None, ids: Iterable[str] | None = None) -> pa.Table:
        """Frames as in :meth:`frames`, as an Arrow table of :data:`~asteroid.store.rows.FRAME_SCHEMA`."""
        wanted = None if ids is None else frozenset(ids)

        def keep(table: pa.Table) -> pa.Table:
            if split is not None:
                table = table.filter(pc.equal(table["split"], split))
            if wanted is not None:
                table = table.filter(pa.array([i in wanted for i in table["frame_id"].to_pylist()], pa.bool_()))
            return table

        table = tables.read(self, paths.frames(molecule), FRAME_SCHEMA, keep=keep)
        first = ledger.first_rows(table["frame_id"])
        return table if len(first) == table.num_rows else table.take(first)

    def elements(self, molecule: str) -> list[int]:
        """Atomic numbers in the frames of a molecule, ascending."""
        table = tables.read(self, paths.frames(molecule), FRAME_SCHEMA, columns=["numbers"])
        return sorted(pc.unique(pc.list_flatten(table["numbers"])).to_pylist())

    # -- free atoms ----------------------------------------------------------------------------------------------------

    def atoms(self, level: LevelOfTheory) -> dict[str, FreeAtom]:
        """Free atoms at a level, by element."""
        if level.parts:
            return sums.summed_atoms(level.parts, [self.atoms(part) for part in level.computed])
        folder = paths.atoms(level)
        found = (records.read(self, FreeAtom, f"{folder}/{name}") for name in self.sizes(folder, ".json"))
        return {atom.element: atom for atom in found}

    def add_atom(self, level: LevelOfTheory, atom: FreeAtom) -> None:
        """Store one free atom, unless there is one."""
        path = f"{paths.atoms(level)}/{atom.element}.json"
        if not self.exists(path):
            records.write(self, path, atom)

    # -- selections: which frames are to be labelled at a level --------------------------------------------------------

    def select(
        self,
        molecule: str,
        level: LevelOfTheory,
        frame_ids: Sequence[str],
        *,
        name: str,
        criterion: str,
        round: int = 0,
    ) -> None:
        """Select frames for labelling; a selection that exists is not written again."""
        folder, file = _selections(molecule, level), f"{name}{tables.SUFFIX}"
        if not tables.has_member(self, folder, file):
            # A number, because clocks of different hosts may differ: it is larger than those of earlier selections.
            there = tables.read(self, folder, SELECTION_SCHEMA, columns=["sequence"])["sequence"]
            common = {
                "round": round,
                "criterion": criterion,
                "time": dt.datetime.now(dt.UTC),
                "sequence": (pc.max(there).as_py() or 0) + 1,
            }
            rows = [{"frame_id": i, **common} for i in frame_ids]
            tables.write(self, f"{folder}/{file}", pa.Table.from_pylist(rows, schema=SELECTION_SCHEMA))

    def selections(self, molecule: str, level: LevelOfTheory) -> list[str]:
        """Names of all selections at a level."""
        found = tables.members(self, _selections(molecule, level))
        return [name.removesuffix(tables.SUFFIX) for name in found]

    def selected(self, molecule: str, level: LevelOfTheory, *, name: str | None = None) -> list[str]:
        """Ids of the selected frames, each once, in the order of selection.

        Selections that two hosts made at the same time are in the order of their names.
        """
        only = None if name is None else f"{name}{tables.SUFFIX}"
        ids: list[str] = self._selected(molecule, level, only).to_pylist()
        return ids

    def chosen(self, molecule: str, level: LevelOfTheory) -> list[str]:
        """Ids of the frames selected at a level, or at composite levels that it is a part of."""
        others = [other for other in self.levels(molecule) if other != level and level in other.computed]
        return list(dict.fromkeys(i for each in (level, *others) for i in self.selected(molecule, each)))

    def energies_alone(self, molecule: str, level: LevelOfTheory) -> pa.Array:
        """Ids of frames selected for energies only (:data:`ENERGIES_ALONE`)."""

        def chosen_so(table: pa.Table) -> pa.Table:
            return table.filter(pc.equal(table["criterion"], ENERGIES_ALONE))

        folder, columns = _selections(molecule, level), ["frame_id", "criterion"]
        return pc.unique(tables.read(self, folder, SELECTION_SCHEMA, columns=columns, keep=chosen_so)["frame_id"])

    def _selected(self, molecule: str, level: LevelOfTheory, only: str | None = None) -> pa.Array:
        return pc.unique(_in_order(self._selection_rows(molecule, level, only=only))["frame_id"])

    def _selection_rows(self, molecule: str, level: LevelOfTheory, **options: Any) -> pa.Table:
        columns = ["frame_id", "time", "sequence"]
        return tables.read(self, _selections(molecule, level), SELECTION_SCHEMA, columns=columns, **options)

    # -- labels --------------------------------------------------------------------------------------------------------

    def levels(self, molecule: str) -> list[LevelOfTheory]:
        """Levels at which this molecule has labels or selections."""
        found = set()
        for kind in ("labels", "selections"):
            for name in self.names(kind):
                folder = f"{kind}/{name}/molecule={check_name(molecule)}"
                if name.startswith("level=") and self.names(folder):
                    try:
                        level = LevelOfTheory.parse(paths.partition_value(name), imported=True)
                    except InputError:
                        raise StoreError(f"{self.location(folder)} names no level of theory; move it away") from None
                    if level.parts and kind == "labels":
                        # Imported by a version that had no composite levels.
                        raise StoreError(
                            f"{self.location(folder)} has labels of a composite level, which are sums of those of "
                            "its parts; move it away"
                        )
                    found.add(level)
        return sorted(found, key=str)

    def add_attempts(
        self, molecule: str, level: LevelOfTheory, attempts: Sequence[Attempt] | pa.Table, *, name: str | None = None
    ) -> None:
        """Append attempts, in a new file.

        A rejected attempt without ``withdraws`` withdraws all attempts at its frame that are in the store.

        Args:
            attempts: as objects, or as a table of :data:`~asteroid.store.rows.LABEL_SCHEMA`.
            name: of the file, from :func:`asteroid.store.tables.unique_name`, for a writer that may repeat a failed
                write.

        Raises:
            InputError: for a composite level.
        """
        if level.parts:
            each = ", ".join(map(str, level.computed))
            raise InputError(f"'{level}': its labels are sums of those of its parts; add labels at {each}")
        if len(attempts):
            table = attempts if isinstance(attempts, pa.Table) else attempts_to_table(attempts)
            table = self._naming_withdrawn(molecule, level, table.cast(LABEL_SCHEMA))
            tables.write(self, f"{_labels(molecule, level)}/{name or tables.unique_name()}", table)

    def _naming_withdrawn(self, molecule: str, level: LevelOfTheory, table: pa.Table) -> pa.Table:
        """Fill in the attempts that each rejected one withdraws: those in the store and earlier in the table."""
        unnamed = pc.and_(pc.equal(table["status"], "rejected"), pc.is_null(table["withdraws"]))
        frames = pc.unique(table["frame_id"].filter(unnamed))
        if not len(frames):
            return table

        def valid(attempts: pa.Table) -> pa.Table:
            at_frames = pc.is_in(attempts["frame_id"], value_set=frames)
            return attempts.filter(pc.and_(pc.equal(attempts["status"], "ok"), at_frames))

        columns = ["frame_id", "status", "time"]
        known = tables.read(self, _labels(molecule, level), LABEL_SCHEMA, columns=columns, keep=valid)
        times: dict[str, list[dt.datetime]] = {frame_id: [] for frame_id in frames.to_pylist()}
        for row in known.to_pylist():
            times[row["frame_id"]].append(row["time"])
        named = []
        for row, fill in zip(table.select([*columns, "withdraws"]).to_pylist(), unnamed.to_pylist(), strict=True):
            if row["status"] == "ok" and row["frame_id"] in times:
                times[row["frame_id"]].append(row["time"])
            named.append(list(times[row["frame_id"]]) if fill else row["withdraws"])
        place = table.schema.get_field_index("withdraws")
        field = table.schema.field(place)
        return table.set_column(place, field, pa.array(named, field.type))

    def attempts(self, molecule: str, level: LevelOfTheory) -> pa.Table:
        """Every attempt as an Arrow table of :data:`~asteroid.store.rows.LABEL_SCHEMA`, oldest first.

        At a composite level: its labels, and its selected frames whose label failed or was rejected at a part.
        """
        if level.parts:
            tried = [self.attempts(molecule, part) for part in level.computed]
            labels = [self.label_table(molecule, part) for part in level.computed]
            return sums.summed_attempts(level.parts, tried, labels, self.selected(molecule, level))
        return tables.read(self, _labels(molecule, level), LABEL_SCHEMA).sort_by("time")

    def labels(self, molecule: str, level: LevelOfTheory) -> dict[str, Attempt]:
        """The label of each frame that has one, by frame id; see :func:`asteroid.store.ledger.accepted_rows`."""
        return {label.frame_id: label for label in table_to_attempts(self.label_table(molecule, level))}

    def label_table(self, molecule: str, level: LevelOfTheory) -> pa.Table:
        """Labels as in :meth:`labels`, as an Arrow table of :data:`~asteroid.store.rows.LABEL_SCHEMA`, oldest first."""
        if level.parts:
            return sums.summed_labels(level.parts, [self.label_table(molecule, part) for part in level.computed])

        def not_failed(table: pa.Table) -> pa.Table:
            return table.filter(pc.not_equal(table["status"], "failed"))

        table = tables.read(self, _labels(molecule, level), LABEL_SCHEMA, presence_of="forces", keep=not_failed)
        order = pc.sort_indices(table, [("time", "ascending")])
        brief = table.select(["frame_id", "status", "time", "withdraws", "has_forces"]).take(order)
        return table.select(LABEL_SCHEMA.names).take(order.take(pa.array(ledger.accepted_rows(brief))))

    def attempts_once(self, molecule: str, levels: Sequence[LevelOfTheory]) -> dict[LevelOfTheory, pa.Table]:
        """The attempts at several levels, none of them twice: what they cost may be added up.

        An attempt at a part of a composite level belongs to the composite level if that has selected the frame.
        """
        found, taken = {}, dict[LevelOfTheory, pa.Array]()
        for level in sorted(dict.fromkeys(levels), key=lambda level: not level.parts):
            each = []
            for part in level.computed:
                table = self.attempts(molecule, part)
                if level.parts:
                    table = table.filter(pc.is_in(table["frame_id"], value_set=self._selected(molecule, level)))
                if part in taken:
                    table = table.filter(pc.invert(pc.is_in(table["frame_id"], value_set=taken[part])))
                ids = table["frame_id"].combine_chunks()
                taken[part] = pa.concat_arrays([taken[part], ids]) if part in taken else ids
                each.append(table)
            found[level] = pa.concat_tables(each)
        return found

    def pending(
        self,
        molecule: str,
        level: LevelOfTheory,
        *,
        selected_at: LevelOfTheory | None = None,
        forces: bool = True,
        shard: int = 0,
        shards: int = 1,
    ) -> list[str]:
        """Ids of selected frames of a shard without an attempt.

        At a composite level: without an attempt at one of its parts, unless the label failed at another one.
        The shard of a frame follows from its id alone, so shards are always disjoint.

        Args:
            selected_at: the level whose selections count, which may be a composite one with this part; this level when
                None.
            forces: whether frames with an energy but no forces are pending, unless selected for energies only.
        """
        options: dict[str, Any] = {"forces": forces, "shard": shard, "shards": shards}
        selected_at = selected_at or level
        if level.parts:
            missing = {i for part in level.computed for i in self.pending(molecule, part, selected_at=level, **options)}
            return [i for i in self._selected(molecule, selected_at).to_pylist() if i in missing]
        content = self.energies_alone(molecule, selected_at) if forces else None

        def in_shard(table: pa.Table) -> pa.Table:
            words = to_words(table["frame_id"])
            rest = table.drop_columns("frame_id")
            if shards > 1:
                inside = shard_of(words, shards) == shard
                words, rest = words[inside], rest.filter(pa.array(inside))
            return rest.append_column("first", pa.array(words[:, 0])).append_column("second", pa.array(words[:, 1]))

        def tried(table: pa.Table) -> pa.Table:
            if content is not None:
                # An energy-only label may be completed by forces; a failed attempt would fail again.
                enough = pc.or_(table["has_forces"], pc.is_in(table["frame_id"], value_set=content))
                table = table.filter(pc.or_(enough, pc.not_equal(table["status"], "ok")))
            return in_shard(table.select(["frame_id"]))

        folder, presence = _labels(molecule, level), "forces" if forces else None
        columns = ["frame_id", "status"] if forces else ["frame_id"]
        try:
            selected = _in_order(self._selection_rows(molecule, selected_at, keep=in_shard))
            labelled = tables.read(self, folder, LABEL_SCHEMA, columns=columns, presence_of=presence, keep=tried)
        except ValueError as error:
            raise StoreError(f"labels or selections of {molecule} at {level} in {self.location('')}: {error}") from None
        words = _words(selected)
        words = words[absent(words, _words(labelled))]
        if selected_at.parts:
            words = words[absent(words, to_words(self._lost(molecule, selected_at)))]
        return to_ids(words) if len(np.unique(words[:, 0])) == len(words) else list(dict.fromkeys(to_ids(words)))

    def _lost(self, molecule: str, level: LevelOfTheory) -> pa.Array:
        """Ids of the frames that can have no label at a composite level: at a part, all attempts failed or were
        rejected."""
        lost = []
        for part in level.computed:
            columns = ["frame_id", "status", "time", "withdraws"]
            table = tables.read(self, _labels(molecule, part), LABEL_SCHEMA, columns=columns, presence_of="forces")
            table = table.sort_by("time")
            labelled = table["frame_id"].take(pa.array(ledger.accepted_rows(table))).combine_chunks()
            ids = table["frame_id"].combine_chunks()
            lost.append(ids.filter(pc.invert(pc.is_in(ids, value_set=labelled))))
        return pa.concat_arrays(lost)

    def status(self, only: str | None = None) -> list[dict[str, Any]]:
        """Per molecule and level: number of chosen frames, of those to do, and :func:`asteroid.store.ledger.summarise`.

        Frames and cost of a composite level are also in the rows of its parts.

        Args:
            only: read only this molecule.
        """
        rows = []
        for molecule in self.molecules() if only is None else [only]:
            for level in self.levels(molecule):
                if level.parts:
                    attempts = self.attempts(molecule, level)
                    table = attempts.append_column("has_forces", attempts["forces"].is_valid())
                else:
                    table = tables.read(
                        self, _labels(molecule, level), LABEL_SCHEMA, columns=ledger.COLUMNS, presence_of="forces"
                    )
                frames, found = len(self.chosen(molecule, level)), ledger.summarise(table.sort_by("time"))
                to_do = max(0, frames - found["ok"] - found["failed"] - found["rejected"])
                rows.append({"molecule": molecule, "level": str(level), "frames": frames, "to_do": to_do, **found})
        return rows

    # -- upkeep --------------------------------------------------------------------------------------------------------

    def compact(self, molecule: str) -> None:
        """Copy the small files of frames, selections and labels into few large ones, which are read in their place.

        It may be killed, and may run while others read, write and compact.
        """
        compaction.compact(self, paths.frames(molecule), FRAME_SCHEMA)
        for level in self.levels(molecule):
            compaction.compact(self, _selections(molecule, level), SELECTION_SCHEMA)
            compaction.compact(self, _labels(molecule, level), LABEL_SCHEMA)

    def table_files(self, molecule: str) -> int:
        """Number of files that are opened to read all tables of a molecule."""
        folders = [paths.frames(molecule)]
        for level in self.levels(molecule):
            folders += [_selections(molecule, level), _labels(molecule, level)]
        return sum(tables.count_files(self, folder) for folder in folders)


def _labels(molecule: str, level: LevelOfTheory) -> str:
    return paths.level_folder("labels", molecule, level)


def _selections(molecule: str, level: LevelOfTheory) -> str:
    return paths.level_folder("selections", molecule, level)


def _in_order(selections: pa.Table) -> pa.Table:
    """Rows of selections in the order in which they were made."""
    # Selections of version 0.1 have no number: they come first, by time. Rows are already in the order of names.
    number = pc.fill_null(selections["sequence"], 0).to_numpy()
    time = np.where(number == 0, selections["time"].cast(pa.int64()).to_numpy(), 0)
    later = (number[1:] > number[:-1]) | ((number[1:] == number[:-1]) & (time[1:] >= time[:-1]))
    return selections if later.all() else selections.take(np.lexsort((time, number)))


def _words(table: pa.Table) -> Words:
    return np.stack([table["first"].to_numpy(), table["second"].to_numpy()], axis=1)
