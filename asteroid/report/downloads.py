"""Files that a report has inside: its structures as extended xyz, and accurate and predicted values as Parquet."""

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from asteroid.report.structures import Judged

_ARRAY = pa.list_(pa.float64())
_SCHEMA = pa.schema(
    [
        pa.field("frame_id", pa.string()),
        pa.field("source", pa.string()),
        pa.field("numbers", pa.list_(pa.int16())),
        *(
            pa.field(name, kind, metadata={"unit": unit})
            for name, kind, unit in (
                ("positions", _ARRAY, "Å, x y z of one atom after another"),
                ("accurate_energy", pa.float64(), "eV"),
                ("predicted_energy", pa.float64(), "eV"),
                ("accurate_forces", _ARRAY, "eV/Å"),
                ("predicted_forces", _ARRAY, "eV/Å"),
            )
        ),
    ]
)


def frames_as_xyz(judged: Sequence[Judged]) -> bytes:
    """Frames that have a structure, as extended xyz: ``REF_`` is accurate, ``MACE_`` predicted; eV, eV/Å."""
    import ase.io

    images = []
    for one in judged:
        if one.configuration is None:
            continue
        atoms = one.configuration.to_atoms()
        atoms.info |= {"source": one.source, "frame_id": one.frame_id}
        atoms.info |= {"REF_energy": one.accurate_energy, "MACE_energy": one.predicted_energy}
        if one.accurate_forces is not None:
            atoms.arrays["REF_forces"] = one.accurate_forces
        atoms.arrays["MACE_forces"] = one.predicted_forces
        images.append(atoms)
    text = io.StringIO()
    ase.io.write(text, images, format="extxyz")
    return text.getvalue().encode()


def values_as_parquet(judged: Sequence[Judged]) -> bytes:
    """A row for each frame, units in the metadata of the columns."""
    rows = [
        {
            "frame_id": one.frame_id,
            "source": one.source,
            "numbers": one.configuration.numbers if one.configuration else None,
            "positions": one.configuration.positions.ravel() if one.configuration else None,
            "accurate_energy": one.accurate_energy,
            "predicted_energy": one.predicted_energy,
            "accurate_forces": None if one.accurate_forces is None else one.accurate_forces.ravel(),
            "predicted_forces": one.predicted_forces.ravel(),
        }
        for one in judged
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), buffer, compression="zstd")
    return buffer.getvalue()
