"""Frames and attempts as Arrow tables, for sending them between processes.

A cheap label takes half a millisecond, and conversion to Python objects would add a good part of that. Used by
:mod:`asteroid.labelling.campaign` and :mod:`asteroid.labelling.worker`.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa

from asteroid.configuration import Configuration
from asteroid.store.rows import FRAME_SCHEMA

CONFIGURATION_SCHEMA: Final = pa.schema(
    [FRAME_SCHEMA.field(name) for name in ("frame_id", "numbers", "positions", "charge", "multiplicity")]
)
"""The columns of a frame that a label depends on."""


def configurations_to_table(configurations: Sequence[Configuration]) -> pa.Table:
    """Configurations as rows of :data:`CONFIGURATION_SCHEMA`."""
    columns = [
        [one.frame_id for one in configurations],
        [one.numbers for one in configurations],
        [one.positions.ravel() for one in configurations],
        [one.charge for one in configurations],
        [one.multiplicity for one in configurations],
    ]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, CONFIGURATION_SCHEMA, strict=True)]
    return pa.table(arrays, schema=CONFIGURATION_SCHEMA)


def table_to_configurations(table: pa.Table) -> Iterator[Configuration]:
    """The inverse of :func:`configurations_to_table`."""
    for batch in table.to_batches():
        offsets = batch["numbers"].offsets.to_numpy()
        starts = offsets - offsets[0]
        numbers = batch["numbers"].flatten().to_numpy()
        positions = batch["positions"].flatten().to_numpy().reshape(-1, 3)
        others = zip(batch["charge"].to_pylist(), batch["multiplicity"].to_pylist(), strict=True)
        for start, stop, (charge, multiplicity) in zip(starts[:-1], starts[1:], others, strict=True):
            yield Configuration(numbers[start:stop], positions[start:stop], charge, multiplicity)


def pack(table: pa.Table) -> bytes:
    """A table as bytes; of a slice, only its own rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def unpack(data: bytes) -> pa.Table:
    """The inverse of :func:`pack`."""
    return pa.ipc.open_stream(data).read_all()
