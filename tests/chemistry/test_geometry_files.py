"""Geometry files are read whole and quickly, with the charge and multiplicity that they carry."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from asteroid.chemistry.geometry_checks import WIDE_GAP, reason_to_refuse, reasons_to_doubt
from asteroid.chemistry.geometry_files import MOST_BYTES, read_frames, read_structures
from asteroid.configuration import Configuration
from asteroid.errors import InputError

HYDROXYL = "2\n{}\nO 0 0 0\nH 0 0 {}\n"


def write(path: Path, *frames: tuple[str, float]) -> Path:
    path.write_text("".join(HYDROXYL.format(*frame) for frame in frames))
    return path


@pytest.mark.parametrize("charge_key", ["charge", "total_charge"])
@pytest.mark.parametrize("spin_key", ["spin", "multiplicity", "total_spin"])
def test_each_entry_that_programs_write_is_understood(tmp_path: Path, charge_key: str, spin_key: str) -> None:
    path = write(tmp_path / "ion.xyz", (f"{charge_key}=1 {spin_key}=3", 1.03))
    (found,) = read_structures(path)
    assert (found.charge, found.multiplicity) == (1, 3)


def test_a_configuration_written_by_ase_is_read_as_the_same_frame(tmp_path: Path) -> None:
    import ase.io

    ion = Configuration([8, 1], [[0, 0, 0], [0, 0, 1.03]], charge=1, multiplicity=3)
    ase.io.write(tmp_path / "ion.extxyz", ion.to_atoms())
    assert [found.frame_id for found in read_structures(tmp_path / "ion.extxyz")] == [ion.frame_id]


def test_charges_of_atoms_are_not_the_charge_of_the_molecule(tmp_path: Path) -> None:
    path = tmp_path / "oh.xyz"
    path.write_text("2\nProperties=species:S:1:pos:R:3:initial_charges:R:1\nO 0 0 0 -0.6\nH 0 0 1 1.6\n")
    assert read_structures(path)[0].charge == 0


def test_frames_of_one_molecule_are_all_its_structures(tmp_path: Path) -> None:
    found = read_structures(write(tmp_path / "scan.xyz", ("", 0.9), ("", 1.0), ("", 1.1)))
    assert [c.positions[1, 2] for c in found] == [0.9, 1.0, 1.1]


def test_more_frames_than_can_be_optimised_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which has 201 frames; write at most 200 structures"):
        read_structures(write(tmp_path / "md.xyz", *[("", 1.0)] * 201))


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xyz.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(MOST_BYTES // 2**20 + 1):
            stream.write(b" " * 2**20)
    with pytest.raises(InputError, match="larger than 100 MiB"):
        read_frames(path)


BENZENE_DIMER = np.array(
    [[1.39 * np.cos(a), 1.39 * np.sin(a), z] for z in (0.0, 3.8) for a in np.arange(6) * np.pi / 3]
)


def test_molecules_in_contact_are_neither_refused_nor_doubted() -> None:
    numbers = np.full(12, 6)
    assert reason_to_refuse(numbers, BENZENE_DIMER) is None
    assert reasons_to_doubt(numbers, BENZENE_DIMER) == []


def test_bohr_and_wide_gaps_are_doubted() -> None:
    water = np.array([[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
    numbers = np.array([8, 1, 1])
    assert reasons_to_doubt(numbers, water) == []
    (bohr,) = reasons_to_doubt(numbers, water / 0.529)
    assert "as in coordinates in bohr" in bohr
    two = np.concatenate([water, water + np.array([0, 0, WIDE_GAP + 0.1])])
    (gap,) = reasons_to_doubt(np.tile(numbers, 2), two)
    assert "two parts are 5.1 Å apart" in gap
