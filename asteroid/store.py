"""The store: frames, labels, selections, models and reports in a local folder or an object store.

Everything asteroid knows is here, as immutable Parquet and JSON files that appear whole; every stage asks the store
what is missing and computes only that. Prefect's database can be thrown away at any moment, the store is the truth.

Layout (Hive partitions, values percent-encoded as Hive does)::

    frames/molecule=…/<batch>.parquet                       one file a sampling batch
    hessians/molecule=…/<hash>.json                         of conformers at the cheap level, eV/Å²
    selections/level=…/molecule=…/<name>.parquet            which frames were chosen for a label, when and why
    labels/level=…/molecule=…/<unique>.parquet              one row an attempt
    models/<molecule>/<model id>/model.model, card.json     a card is written last: with it the model is complete
    checkpoints/<molecule>/<model id>/…                     of trainings that have not finished
    reports/<molecule>/…                                    certificate.json, report.html

Below it lies :mod:`asteroid.records`, which knows the columns.
"""

import datetime as dt
import io
import json
import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from asteroid.configuration import Frame, Split, check_name
from asteroid.errors import InputError, StoreError
from asteroid.levels import LevelOfTheory
from asteroid.records import (
    FRAME_SCHEMA,
    LABEL_SCHEMA,
    SELECTION_SCHEMA,
    Attempt,
    attempts_to_table,
    frames_to_table,
    table_to_attempts,
    table_to_frames,
)


class Store:
    """One store, by its URL: a folder, ``file://…`` or ``s3://bucket/prefix``.

    Raises:
        InputError: when the URL cannot be understood.
    """

    def __init__(self, url: str | Path) -> None:
        self.url = str(url)
        self._local: Path | None = None
        try:
            if "://" in self.url:
                self._fs, self._root = fs.FileSystem.from_uri(self.url)
            else:
                self._fs, self._root = fs.LocalFileSystem(), str(Path(self.url).expanduser().resolve())
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            raise InputError(
                f"store '{self.url}' cannot be opened ({error}); write a folder or s3://bucket/prefix"
            ) from None
        if not self._root.strip("/") or not self.url.strip():
            raise InputError(f"store '{self.url}' has no place in it; write a folder or s3://bucket/prefix")
        if isinstance(self._fs, fs.LocalFileSystem):
            self._local = Path(self._root)

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    # -- files ---------------------------------------------------------------------------------------------------------

    def local_path(self, path: str) -> Path | None:
        """Where a file lies on this machine; None in an object store."""
        return self._local / path if self._local else None

    def location(self, path: str) -> str:
        """What to tell a person: an absolute path, or a URL."""
        return str(self._local / path) if self._local else f"{self.url.partition('?')[0].rstrip('/')}/{path}"

    def write(self, path: str, data: bytes) -> None:
        """Put a file that appears whole or not at all, and survives a power cut once this returns.

        Raises:
            StoreError: when the store cannot be written (full, read-only, not reachable).
        """
        try:
            if self._local:
                _write_local(self._local / path, data)
            else:
                # An object appears when its upload is completed, never before.
                with self._fs.open_output_stream(f"{self._root}/{path}") as stream:
                    stream.write(data)
        except OSError as error:
            raise StoreError(f"cannot write {self.location(path)}: {error}") from error

    def read(self, path: str) -> bytes:
        """Raises FileNotFoundError when there is no such file."""
        with self._fs.open_input_stream(f"{self._root}/{path}") as stream:
            return bytes(stream.read())

    def exists(self, path: str) -> bool:
        return bool(self._fs.get_file_info(f"{self._root}/{path}").type == fs.FileType.File)

    def modified(self, path: str) -> float:
        """When a file was written: s since 1970 by the clock of the store. Raises FileNotFoundError without the file."""
        info = self._fs.get_file_info(f"{self._root}/{path}")
        if info.type != fs.FileType.File:
            raise FileNotFoundError(path)
        return float(info.mtime_ns) / 1e9

    def names(self, folder: str) -> list[str]:
        """Names directly below a folder, sorted; unfinished files (a leading dot) left out."""
        found = self._fs.get_file_info(fs.FileSelector(f"{self._root}/{folder}", allow_not_found=True))
        return sorted(info.base_name for info in found if not info.base_name.startswith("."))

    def remove(self, path: str) -> None:
        """Remove a file if it is there: only checkpoints of a finished training are ever removed."""
        if self.exists(path):
            self._fs.delete_file(f"{self._root}/{path}")

    def write_json(self, path: str, content: Any) -> None:
        self.write(path, (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())

    def read_json(self, path: str) -> Any:
        return json.loads(self.read(path))

    # -- frames --------------------------------------------------------------------------------------------------------

    def molecules(self) -> list[str]:
        """Names of all molecules that have frames."""
        return sorted(unquote(name.partition("=")[2]) for name in self.names("frames") if name.startswith("molecule="))

    def has_frame_batch(self, molecule: str, batch: str) -> bool:
        """Whether a sampling batch is already there."""
        return self.exists(f"frames/molecule={check_name(molecule)}/{batch}.parquet")

    def frame_batches(self, molecule: str) -> list[str]:
        names = self.names(f"frames/molecule={check_name(molecule)}")
        return [name.removesuffix(".parquet") for name in names if name.endswith(".parquet")]

    def add_frames(self, molecule: str, frames: Sequence[Frame], *, batch: str) -> None:
        """Add one sampling batch, under a name that says what it was made from; a batch is written once.

        An empty batch is kept too: it records that the sampler ran and found nothing.
        """
        if not self.has_frame_batch(molecule, batch):
            self._write_table(f"frames/molecule={check_name(molecule)}/{batch}.parquet", frames_to_table(frames))

    def frames(self, molecule: str, *, split: Split | None = None, ids: Iterable[str] | None = None) -> list[Frame]:
        """Frames of a molecule in order of their batch, each geometry once."""
        return table_to_frames(self.frame_table(molecule, split=split, ids=ids))

    def frame_table(self, molecule: str, *, split: Split | None = None, ids: Iterable[str] | None = None) -> pa.Table:
        """The same as an Arrow table of :data:`~asteroid.records.FRAME_SCHEMA`."""
        condition = None if split is None else ds.field("split") == split
        if ids is not None:
            wanted = ds.field("frame_id").isin(pa.array(list(ids), pa.string()))
            condition = wanted if condition is None else condition & wanted
        table = self._read_table(f"frames/molecule={check_name(molecule)}", FRAME_SCHEMA, condition)
        first: dict[str, int] = {}
        for row, frame_id in enumerate(table["frame_id"].to_pylist()):
            first.setdefault(frame_id, row)
        return table if len(first) == table.num_rows else table.take(list(first.values()))

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
        """Record that these frames are to be labelled; a selection of one name is made once."""
        path = f"selections/{_partition(molecule, level)}/{name}.parquet"
        if not self.exists(path):
            now = dt.datetime.now(dt.UTC)
            rows = [{"frame_id": i, "round": round, "criterion": criterion, "time": now} for i in frame_ids]
            self._write_table(path, pa.Table.from_pylist(rows, schema=SELECTION_SCHEMA))

    def selections(self, molecule: str, level: LevelOfTheory) -> list[str]:
        """Names of all selections at a level."""
        names = self.names(f"selections/{_partition(molecule, level)}")
        return [name.removesuffix(".parquet") for name in names if name.endswith(".parquet")]

    def selected(self, molecule: str, level: LevelOfTheory, *, name: str | None = None) -> list[str]:
        """Frame ids chosen for a label, each once, in the order in which they were chosen."""
        path = f"selections/{_partition(molecule, level)}"
        if name is not None:
            path += f"/{name}.parquet"
            if not self.exists(path):
                return []
        table = self._read_table(path, SELECTION_SCHEMA).sort_by("time")
        return list(dict.fromkeys(table["frame_id"].to_pylist()))

    # -- labels --------------------------------------------------------------------------------------------------------

    def levels(self, molecule: str) -> list[LevelOfTheory]:
        """Levels at which this molecule has been labelled or is to be."""
        found = set()
        for kind in ("labels", "selections"):
            for name in self.names(kind):
                if self.names(f"{kind}/{name}/molecule={check_name(molecule)}"):
                    found.add(unquote(name.partition("=")[2]))
        return sorted((LevelOfTheory.parse(text) for text in found), key=str)

    def add_attempts(self, molecule: str, level: LevelOfTheory, attempts: Sequence[Attempt] | pa.Table) -> None:
        """Append attempts in a file of their own: no two writers ever touch the same one.

        Args:
            attempts: as objects, or as a table of :data:`~asteroid.records.LABEL_SCHEMA`.
        """
        if len(attempts):
            table = attempts if isinstance(attempts, pa.Table) else attempts_to_table(attempts)
            stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S")
            name = f"{stamp}-{uuid.uuid4().hex[:12]}.parquet"
            self._write_table(f"labels/{_partition(molecule, level)}/{name}", table)

    def attempts(self, molecule: str, level: LevelOfTheory) -> pa.Table:
        """Every attempt as an Arrow table of :data:`~asteroid.records.LABEL_SCHEMA`, oldest first."""
        return self._read_table(f"labels/{_partition(molecule, level)}", LABEL_SCHEMA).sort_by("time")

    def labels(self, molecule: str, level: LevelOfTheory) -> dict[str, Attempt]:
        """The accepted label of each frame that has one.

        That is its first ``ok`` attempt after the last ``rejected`` one (an audit that sees more than the frame itself
        withdraws a label by a ``rejected`` row), and among these the first with forces, if any has them.
        """
        table = self._read_table(f"labels/{_partition(molecule, level)}", LABEL_SCHEMA, ds.field("status") != "failed")
        accepted: dict[str, Attempt] = {}
        for attempt in table_to_attempts(table.sort_by("time")):
            if attempt.status == "rejected":
                accepted.pop(attempt.frame_id, None)
            elif (
                attempt.frame_id not in accepted
                or (accepted[attempt.frame_id].forces is None
                and attempt.forces is not None)
            ):
                accepted[attempt.frame_id] = attempt
        return accepted

    def pending(
        self, molecule: str, level: LevelOfTheory, *, forces: bool = True, shard: int = 0, shards: int = 1
    ) -> list[str]:
        """Selected frames without any attempt, of one shard: those whose hash falls to it.

        A frame belongs to the same shard however many others have been labelled since, so two shards never meet.

        Args:
            forces: a frame whose energy alone was computed is pending, too.
        """
        # Without its forces an energy-only label tells nothing about them; a failed attempt would fail again.
        tried = ~(ds.field("status") == "ok") | ds.field("forces").is_valid() if forces else None
        attempted = set(
            self._read_table(f"labels/{_partition(molecule, level)}", LABEL_SCHEMA, tried, columns=["frame_id"])[
                "frame_id"
            ].to_pylist()
        )
        return [
            frame_id
            for frame_id in self.selected(molecule, level)
            if frame_id not in attempted and int(frame_id[:8], 16) % shards == shard
        ]

    def status(self) -> list[dict[str, Any]]:
        """Per molecule and level: frames chosen, ok, failed, rejected, and the core-hours spent."""
        rows = []
        for molecule in self.molecules():
            for level in self.levels(molecule):
                table = self.attempts(molecule, level)
                # Frames, not attempts: two pipelines on one store may have labelled the same frame.
                distinct = table.select(["frame_id", "status"]).group_by(["frame_id", "status"]).aggregate([])
                counts = {row["values"]: row["counts"] for row in pc.value_counts(distinct["status"]).to_pylist()}
                seconds = pc.sum(pc.multiply(table["wall_seconds"], pc.cast(table["cores"], pa.float64()))).as_py()
                rows.append(
                    {
                        "molecule": molecule,
                        "level": str(level),
                        "frames": len(self.selected(molecule, level)),
                        "ok": counts.get("ok", 0),
                        "failed": counts.get("failed", 0),
                        "rejected": counts.get("rejected", 0),
                        "core_hours": (seconds or 0.0) / 3600,
                    }
                )
        return rows

    # -- tables --------------------------------------------------------------------------------------------------------

    def _write_table(self, path: str, table: pa.Table) -> None:
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        self.write(path, buffer.getvalue())

    def _read_table(
        self,
        path: str,
        schema: pa.Schema,
        condition: ds.Expression | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """All rows below a folder, or of one file; no rows when it is not there."""
        full = f"{self._root}/{path}"
        if self._fs.get_file_info(full).type == fs.FileType.NotFound:
            return schema.empty_table().select(list(columns or schema.names))
        try:
            dataset = ds.dataset(full, schema=schema, filesystem=self._fs, format="parquet")
            return dataset.to_table(columns=list(columns or schema.names), filter=condition)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise StoreError(f"{self.location(path)} holds a file that asteroid did not write: {error}") from error


def _partition(molecule: str, level: LevelOfTheory) -> str:
    return f"level={quote(str(level), safe='')}/molecule={check_name(molecule)}"


def _write_local(final: Path, data: bytes) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The rename itself must reach the disk, too.
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
