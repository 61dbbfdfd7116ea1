"""Whatever a file holds, an import either adds it or refuses it in plain lines, and then leaves nothing behind."""

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from asteroid.errors import InputError
from asteroid.exchange import Conventions, export_labels
from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from tests.exchange.files import CHEAP, contents, load, springs, write_npz

FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def import_or_refuse(name: str, data: bytes, **options: Any) -> None:
    """Nothing but an InputError of short lines may come out, and a refusal leaves no trace."""
    with tempfile.TemporaryDirectory() as folder:
        file, store = Path(folder) / name, Store(f"{folder}/store")
        file.write_bytes(data)
        problems: tuple[str, ...] | None = None
        try:
            load(store, file, **options)
        except InputError as error:
            problems = error.problems
        if problems is not None:
            assert not contents(store)
            assert 1 <= len(problems) <= 6
            assert all(p.isprintable() and len(p) < 600 for p in problems), problems
            return
        # What was taken can be used: it is read, given away, and known when it comes again.
        labels = store.labels("m", CHEAP)
        assert labels.keys() <= {frame.frame_id for frame in store.frames("m")} == set(store.selected("m", CHEAP))
        before = contents(store)
        load(store, file, **options)
        assert contents(store) == before
        if labels:
            (done,) = export_labels(store, "m", CHEAP, format="parquet", out=Path(folder) / "out.parquet")
            other = Store(f"{folder}/other")
            load(other, done.file)
            assert other.labels("m", CHEAP).keys() == labels.keys()


def valid_files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        file = write_npz(Path(folder) / "a.npz", springs(3))
        load(store, file)
        export_labels(store, "m", CHEAP, format="extxyz", out=Path(folder) / "a.xyz")
        export_labels(store, "m", CHEAP, format="parquet", out=Path(folder) / "a.parquet")
        return {name: (Path(folder) / name).read_bytes() for name in ("a.npz", "a.xyz", "a.parquet")}


VALID = valid_files()
NAMES = st.sampled_from(sorted(VALID))


@FUZZ
@given(NAMES, st.binary(max_size=300))
@example("a.npz", b"PK\x05\x06" + b"\0" * 18)
@example("a.npz", b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,)}")
@example("a.npz", b"\x80\x04N.")
@example("a.xyz", b"")
@example("a.xyz", b"99999999999999\n\n")
@example("a.xyz", b"0\n\n")
@example("a.xyz", b"-1\nenergy=1\n")
@example("a.xyz", b"1\nenergy=1\nH 0 0 0\n1\nenergy=1\nH 0 0 nan\n")
@example("a.xyz", b"1\nProperties=species:S:1:pos:R:3 energy=1e400\nH 0 0 0\n")
@example("a.parquet", b"PAR1PAR1")
def test_any_bytes(name: str, data: bytes) -> None:
    import_or_refuse(name, data)


@FUZZ
@given(NAMES, st.data())
def test_valid_files_with_bytes_changed_removed_or_added(name: str, data: st.DataObject) -> None:
    content = bytearray(VALID[name])
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(content)))
        kind = data.draw(st.sampled_from(["change", "remove", "insert"]))
        length = data.draw(st.integers(1, 20)) if kind == "remove" else 0
        new = data.draw(st.binary(min_size=1, max_size=4)) if kind != "remove" else b""
        content[position : position + (len(new) if kind == "change" else length)] = new
    import_or_refuse(name, bytes(content), reject_bad=data.draw(st.booleans()))


TOKENS = ["energy=1.0", "energy=x", "forces=1", 'pbc="T F F"', "Lattice=1", 'Properties="', "Properties=species:S:1"]
COLUMNS = ["species:S:1:pos:R:3", "pos:R:3:species:S:1", "species:S:1:pos:R:3:forces:R:3", "Z:I:1:pos:R:3", "pos:R:2"]


@FUZZ
@given(
    st.lists(
        st.tuples(
            st.integers(-1, 4),
            st.sampled_from(COLUMNS),
            st.lists(st.sampled_from(TOKENS) | st.text(max_size=10), max_size=4),
            st.lists(st.sampled_from(["H 0 0 0", "C 0 0 1", "O 1 1 1 0 0 0", "H nan 0 0", "Xx 0 0 0", "8 0 0 0", ""])),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_extxyz_made_of_odd_parts(frames: list[tuple[int, str, list[str], list[str]]]) -> None:
    parts = []
    for count, columns, tokens, rows in frames:
        parts += [str(count), f"Properties={columns} energy=-1.5 " + " ".join(tokens), *rows]
    import_or_refuse("a.xyz", "\n".join(parts).encode("utf-8", "replace"))


DTYPES = st.sampled_from(["f8", "f4", "f2", "i8", "i1", "u8", "?", "c16", "U3", "S2", "M8[s]"])
SHAPES = st.sampled_from([(), (0,), (1,), (2,), (4,), (2, 4), (2, 4, 3), (2, 12), (0, 4, 3), (2, 4, 3, 1), (2, 0, 3)])


@FUZZ
@given(st.dictionaries(st.sampled_from("NZREFQ"), arrays.arrays(DTYPES, SHAPES), max_size=6))
def test_npz_of_any_shapes_and_types(changes: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **(springs(2) | changes))
    import_or_refuse("a.npz", buffer.getvalue(), reject_bad=True)


CELLS = st.none() | st.text(max_size=3) | st.floats() | st.lists(st.none() | st.floats(), max_size=12) | st.integers()


@FUZZ
@given(
    st.sampled_from(["numbers", "positions", "energy", "forces", "charge", "multiplicity", "split", "level", "ü\n"]),
    st.lists(CELLS, min_size=3, max_size=3),
)
def test_tables_with_an_odd_column(name: str, values: list[Any]) -> None:
    table = pq.read_table(pa.BufferReader(VALID["a.parquet"]))
    try:
        column = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return  # no table can hold this
    if name in table.column_names:
        table = table.drop_columns([name])
    buffer = io.BytesIO()
    pq.write_table(table.append_column(name, column), buffer)
    import_or_refuse("a.parquet", buffer.getvalue())


@FUZZ
@given(
    st.sampled_from(["ü.npz", "a b.npz", "%2F.npz", "'\".npz", "\n.npz", "a@1.npz", "-a.npz", "A.NPZ", "a", "a.zip"]),
    st.sampled_from(["eV", "hartree", "kcal/mol", "ev"]),
    st.sampled_from(["Å", "angstrom", "bohr", "nm"]),
    st.booleans(),
    st.none() | st.integers(-100, 100),
    st.none() | st.integers(-3, 100),
)
def test_any_name_and_conventions(
    name: str, energy: str, length: str, gradients: bool, charge: int | None, multiplicity: int | None
) -> None:
    try:
        conventions = Conventions(
            energy_unit=energy, length_unit=length, gradients=gradients, charge=charge, multiplicity=multiplicity
        )
    except InputError:
        return
    import_or_refuse(name, VALID["a.npz"], conventions=conventions)


@pytest.mark.long
@FUZZ
@given(
    arrays.arrays("f8", (5, 3, 3), elements=st.floats(-20, 20), unique=True),
    arrays.arrays("f8", 5, elements=st.floats(-1e6, 1e6)),
    st.sampled_from(["extxyz", "parquet"]),
)
def test_what_went_in_comes_out_to_the_last_bit(positions: Any, energies: Any, format: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, two = Store(f"{folder}/one"), Store(f"{folder}/two")
        file = write_npz(Path(folder) / "a.npz", {"Z": np.array([8, 1, 1]), "R": positions, "E": energies})
        try:
            load(one, file, reject_bad=True)
        except InputError:
            return
        labels = {i: a.energy for i, a in one.labels("m", CHEAP).items()}
        if labels:
            out = Path(folder) / ("a.xyz" if format == "extxyz" else "a.parquet")
            export_labels(one, "m", CHEAP, format=format, out=out)
            load(two, out)
            assert {i: a.energy for i, a in two.labels("m", CHEAP).items()} == labels


@FUZZ
@given(st.text(max_size=30) | st.from_regex(r"[a-z0-9()+*-]{1,12}(/[a-z0-9()+*-]{1,12})?", fullmatch=True))
def test_a_level_that_may_be_imported_reads_back_and_names_a_folder(text: str) -> None:
    try:
        level = LevelOfTheory.parse(text, imported=True)
    except InputError:
        return
    assert LevelOfTheory.parse(str(level), imported=True) == level
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.select("m", level, ["0" * 32], name="a", criterion="import")
        assert store.levels("m") == [level]
