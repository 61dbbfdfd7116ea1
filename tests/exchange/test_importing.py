"""Labels from elsewhere: levels meet on one frame, nothing is added twice, what is inconsistent is refused whole."""

import json
from pathlib import Path

import ase.io
import ase.units
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asteroid.errors import InputError
from asteroid.exchange import Conventions
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings, SamplingSettings
from asteroid.sampling.select import NEAR, near_copies, sorted_distances
from asteroid.stages import sample, select
from asteroid.store import Store
from tests.cli import Finished, cli
from tests.exchange.files import CHEAP, FOREIGN, NUMBERS, contents, load, problems, springs, write_npz

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the published data sets are not in {DATA}")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_two_levels_meet_on_one_frame_and_importing_again_adds_nothing(store: Store, tmp_path: Path) -> None:
    arrays = springs(40)
    cheap = write_npz(tmp_path / "a.npz", arrays)
    # Rounded as a text file has it, and in another order.
    order = np.random.default_rng(1).permutation(40)
    other = springs(40, stiffness=21.0)
    accurate = write_npz(
        tmp_path / "b.npz", other, R=np.round(other["R"][order], 5), E=other["E"][order], F=other["F"][order]
    )
    (first,) = load(store, cheap)
    assert (first.frames, first.labels, sum(first.new_frames.values())) == (40, 40, 40)
    (second,) = load(store, accurate, level=FOREIGN)
    assert (second.labels, sum(second.new_frames.values())) == (40, 0)

    frames = {frame.frame_id: frame.configuration for frame in store.frames("m")}
    at_cheap, at_accurate = store.labels("m", CHEAP), store.labels("m", FOREIGN)
    assert frames.keys() == at_cheap.keys() == at_accurate.keys()
    row = {tuple(position.ravel()): index for index, position in enumerate(arrays["R"])}
    for frame_id, configuration in frames.items():
        index = row[tuple(configuration.positions.ravel())]
        assert at_cheap[frame_id].energy == arrays["E"][index]
        assert at_accurate[frame_id].energy == other["E"][index]
        assert np.array_equal(at_accurate[frame_id].forces, other["F"][index])
    assert store.levels("m") == [FOREIGN, CHEAP]
    assert store.pending("m", CHEAP) == []
    assert {(r["frames"], r["ok"]) for r in store.status()} == {(40, 40)}

    before = contents(store)
    assert [one.known for one in (*load(store, cheap), *load(store, accurate, level=FOREIGN))] == [40, 40]
    assert contents(store) == before


def test_an_import_that_was_killed_is_completed_by_the_next(store: Store, tmp_path: Path) -> None:
    file = write_npz(tmp_path / "a.npz", springs(30))
    load(store, file)
    folder = store.local
    assert folder is not None
    for kind in ("selections", "labels"):
        for path in (folder / kind).rglob("*.parquet"):
            path.unlink()
        (again,) = load(store, file)
        assert not again.new_frames
        assert len(store.labels("m", CHEAP)) == len(store.selected("m", CHEAP)) == 30


def test_units_and_signs_are_converted(store: Store, tmp_path: Path) -> None:
    arrays = springs(25)
    load(store, write_npz(tmp_path / "a.npz", arrays))
    hartree = write_npz(
        tmp_path / "b.npz",
        arrays,
        R=arrays["R"] / ase.units.Bohr,
        E=arrays["E"] / ase.units.Hartree,
        F=-arrays["F"] / (ase.units.Hartree / ase.units.Bohr),
    )
    atomic = Conventions(energy_unit="hartree", length_unit="bohr", gradients=True)
    assert load(store, hartree, conventions=atomic)[0].known == 25
    for unit in ("kcal", "kJ"):
        factor = getattr(ase.units, unit) / ase.units.mol
        file = write_npz(tmp_path / "c.npz", arrays, E=arrays["E"] / factor, F=arrays["F"] / factor)
        assert load(store, file, conventions=Conventions(energy_unit=f"{unit}/mol"))[0].known == 25


def test_wrong_units_and_signs_are_found(store: Store, tmp_path: Path) -> None:
    # 400 frames: neighbours are then near enough for the trapezoidal rule.
    arrays = springs(400)
    gradients = write_npz(tmp_path / "a.npz", arrays, F=-arrays["F"])
    assert problems(store, gradients) == (f"{gradients}: the energy rises along the forces; write --gradients",)
    mixed = write_npz(tmp_path / "b.npz", arrays, E=arrays["E"] / ase.units.Hartree)
    (line,) = problems(store, mixed)
    assert "energies change by 0.0" in line
    assert line.endswith("write the --energy-unit and --length-unit of both")
    short = write_npz(tmp_path / "c.npz", arrays, F=None)
    assert "covalent bond" in problems(store, short, conventions=Conventions(length_unit="bohr"))[0]
    for unit in ("eV", "Å"):
        with pytest.raises(InputError, match="did you mean"):
            Conventions(**({"energy_unit": "hartre"} if unit == "eV" else {"length_unit": "borh"}))


def test_energies_alone_are_labels_and_forces_may_follow(store: Store, tmp_path: Path) -> None:
    arrays = springs(20)
    (first,) = load(store, write_npz(tmp_path / "e.npz", arrays, F=None))
    assert (first.labels, first.energy_only, first.keys) == (20, 20, "E")
    assert load(store, write_npz(tmp_path / "f.npz", arrays))[0].labels == 20
    assert all(label.forces is not None for label in store.labels("m", CHEAP).values())
    assert load(store, tmp_path / "e.npz")[0].known == 20


def test_another_label_for_the_same_frame_is_refused_with_both_figures(store: Store, tmp_path: Path) -> None:
    arrays = springs(20)
    load(store, write_npz(tmp_path / "a.npz", arrays))
    energies = arrays["E"].copy()
    energies[7] += 0.5
    (line,) = problems(store, write_npz(tmp_path / "b.npz", arrays, E=energies))
    assert line.startswith(f"{tmp_path / 'b.npz'}: frame 7: the store's label of frame ")
    assert line.endswith(f"energy {energies[7]:.6f} eV instead of {arrays['E'][7]:.6f} eV")
    # Within one file, and across two files of one command.
    twice = {key: np.concatenate([value, value[:1]]) for key, value in arrays.items() if key != "Z"} | {"Z": NUMBERS}
    twice["F"][-1] *= 1.1
    assert (
        "has the geometry of frame 0 but another label: a force differs by"
        in problems(store, write_npz(tmp_path / "c.npz", twice), level=FOREIGN)[0]
    )
    assert len(problems(store, tmp_path / "a.npz", tmp_path / "b.npz", level=FOREIGN)) == 1


def test_geometries_that_could_be_two_frames_are_refused(store: Store, tmp_path: Path) -> None:
    arrays = springs(3)
    near = arrays["R"][0] + np.array([5e-5, 0, 0])
    load(store, write_npz(tmp_path / "a.npz", {"Z": NUMBERS, "R": np.array([arrays["R"][0], near]), "E": np.zeros(2)}))
    assert len(store.frames("m")) == 2
    between = write_npz(tmp_path / "b.npz", {"Z": NUMBERS, "R": (arrays["R"][0] + near)[None] / 2, "E": np.zeros(1)})
    assert "two stored frames" in problems(store, between, level=FOREIGN)[0]
    assert load(store, between, level=FOREIGN, tolerance=1e-6)[0].labels == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"F": lambda a: a["F"] + 0.1}, "net force"),
        ({"F": lambda a: a["F"][:, :, [1, 0, 2]]}, "net torque"),
        ({"F": lambda a: a["F"] * 1e6}, "are the units right?"),
        ({"E": lambda a: np.where(np.arange(30) == 3, np.nan, a["E"])}, "frame 3: energy is nan"),
        ({"R": lambda a: np.where(np.arange(30)[:, None, None] == 4, np.inf, a["R"])}, "positions are not finite"),
        # The square of a larger one is infinite.
        ({"R": lambda a: np.where(np.arange(30)[:, None, None] == 4, 1e154 * a["R"], a["R"])}, "at most 1e+06"),
        ({"R": lambda a: a["R"] * 0.1}, "at least 0.3 expected; is --length-unit right?"),
        ({"R": lambda a: a["R"][:, :3]}, "Z has shape (4,); write (30, 3)"),
        ({"R": lambda a: a["R"][..., :2]}, "write (30, atoms, 3)"),
        ({"F": lambda a: a["F"][:5]}, "F has shape (5, 4, 3), R has (30, 4, 3)"),
        ({"Z": lambda _: np.array([6, 8, 1, 120])}, "atomic numbers must be"),
        ({"Z": lambda _: np.array([6, 8, 1, 0.5])}, "not whole numbers"),
        ({"N": lambda _: np.full(30, 3)}, "N says 3 atoms where Z is"),
        ({"Q": lambda _: np.arange(30)}, "charge: found 0, 1, 2; write one file for each charge"),
        ({"Q": lambda _: np.full(30, 0.1)}, "charge: found 0.1; write --charge with one whole number"),
        ({"Q": lambda _: np.full(30, 20)}, "write a smaller charge"),
        ({"E": lambda a: a["E"].astype(str)}, "E is of type"),
        ({"E": lambda a: a["E"].astype(object)}, "not an npz archive of plain arrays"),
        ({"E": lambda _: None}, "no E among its keys"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_npz_is_said(changes: dict, message: str, store: Store, tmp_path: Path) -> None:
    arrays = springs(30)
    file = write_npz(tmp_path / "a.npz", arrays, **{key: change(arrays) for key, change in changes.items()})
    found = problems(store, file)
    assert len(found) <= 6
    assert all(line.startswith(f"{file}: ") or line.startswith("and ") for line in found)
    assert message in found[0]


def test_a_charge_that_contradicts_the_file_is_refused(store: Store, tmp_path: Path) -> None:
    file = write_npz(tmp_path / "a.npz", springs(5), Q=np.full(5, 1))
    (found,) = problems(store, file, conventions=Conventions(charge=0))
    assert found == f"{file}: --charge: found 0, but the file says 1; write 1, or correct the file"
    assert load(store, file, conventions=Conventions(charge=1, multiplicity=2))[0].labels == 5
    # A sum of partial charges says nothing that an option could contradict.
    load(
        Store(str(tmp_path / "other")),
        write_npz(file, springs(5), Q=np.full(5, 0.1)),
        conventions=Conventions(charge=0),
    )


def test_bad_labels_are_stored_as_rejected_when_asked_for_and_stay_so(store: Store, tmp_path: Path) -> None:
    arrays = springs(30)
    arrays["F"][2] += 1.0
    arrays["E"][5] = np.nan
    arrays["R"][9] *= 0.01
    file = write_npz(tmp_path / "a.npz", arrays)
    assert len(problems(store, file)) == 3
    (done,) = load(store, file, reject_bad=True)
    assert (done.labels, done.rejected, done.left_out, done.known) == (27, 2, 1, 0)
    (row,) = store.status()
    assert (row["frames"], row["ok"], row["rejected"]) == (29, 27, 2)
    before = contents(store)
    (again,) = load(store, file, reject_bad=True)
    assert (again.labels, again.rejected, again.known) == (0, 0, 29)
    assert contents(store) == before


def test_splits_keep_blocks_and_near_copies_together(store: Store, tmp_path: Path) -> None:
    arrays = springs(400)
    # Every tenth frame again, turned and with its hydrogens exchanged: another geometry, but the same to a model.
    turned = arrays["R"][::10][:, [0, 1, 3, 2]] @ np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    file = write_npz(
        tmp_path / "a.npz",
        {"Z": NUMBERS, "R": np.concatenate([arrays["R"], turned]), "E": np.append(arrays["E"], arrays["E"][::10])},
    )
    (done,) = load(store, file, frames_per_group=5, temperature=300.0)
    # 7 : 1 : 2 before copies of held-out frames join them.
    assert set(done.new_frames) == {"train", "valid", "test"}
    assert done.new_frames["train"] > 250
    frames = store.frames("m")
    groups: dict[str, set[str]] = {}
    for frame in frames:
        groups.setdefault(frame.group, set()).add(frame.split)
        assert frame.origin.temperature == 300.0
        assert frame.origin.parameters["file"] == "a.npz"
    assert all(len(splits) == 1 for splits in groups.values())
    points = {
        s: sorted_distances([f.configuration for f in frames if f.split == s]) for s in ("train", "valid", "test")
    }
    for one in points:
        assert not any(near_copies(points[one], points[other], NEAR).any() for other in points if other != one)
    # A second level keeps the splits; asking for another one is answered.
    (again,) = load(store, file, level=FOREIGN, split="test")
    assert "keep their split" in again.notes[0]
    assert {f.frame_id: f.split for f in store.frames("m")} == {f.frame_id: f.split for f in frames}


def test_atoms_in_another_order_are_refused(store: Store, tmp_path: Path) -> None:
    arrays = springs(20)
    load(store, write_npz(tmp_path / "a.npz", arrays))
    order = [1, 0, 2, 3]
    other = write_npz(tmp_path / "b.npz", arrays, Z=NUMBERS[order], R=arrays["R"][:, order], F=arrays["F"][:, order])
    (line,) = problems(store, other)
    assert "is O C H H of charge 0 and multiplicity 1, but the store has C O H H of charge 0" in line
    assert (
        "is C O H H of charge 1 and multiplicity 2"
        in problems(store, tmp_path / "a.npz", conventions=Conventions(charge=1))[0]
    )


def test_padded_arrays_are_cut_to_their_atoms(store: Store, tmp_path: Path) -> None:
    arrays = springs(10)
    padded = {key: np.pad(arrays[key], ((0, 0), (0, 2), (0, 0))) for key in "RF"}
    z = np.tile(np.append(NUMBERS, [0, 0]), (10, 1))
    load(store, write_npz(tmp_path / "a.npz", arrays))
    for extra in ({"N": np.full(10, 4)}, {}):
        assert load(store, write_npz(tmp_path / "b.npz", arrays | padded, Z=z, **extra))[0].known == 10


def test_extxyz_takes_one_pair_of_keys_and_says_which(store: Store, tmp_path: Path) -> None:
    arrays = springs(20)
    frames = []
    for index in range(20):
        atoms = ase.Atoms(numbers=NUMBERS, positions=arrays["R"][index])
        atoms.info |= {"REF_energy": arrays["E"][index], "dft": 1.0, "charge": 0}
        atoms.arrays["REF_forces"] = arrays["F"][index]
        frames.append(atoms)
    file = tmp_path / "a.xyz"
    ase.io.write(file, frames, format="extxyz")
    (done,) = load(store, file)
    assert (done.keys, done.labels, done.energy_only) == ("REF_energy and REF_forces", 20, 0)
    (done,) = load(store, file, level=FOREIGN, conventions=Conventions(energy_key="dft"))
    assert (done.keys, done.labels) == ("dft and REF_forces", 20)
    missing = problems(store, file, conventions=Conventions(energy_key="none"))
    assert missing[0] == f"{file}: frame 0 (line 1): has no number as 'none'; write --energy-key with the one it has"
    assert missing[1].startswith(f"{file}: frame 1 (line 7): ")
    # No forces of another pair: they may be of another level.
    for atoms in frames:
        atoms.arrays["forces"] = atoms.arrays.pop("REF_forces")
    ase.io.write(file, frames, format="extxyz")
    assert load(store, file, level=LevelOfTheory.parse("hf/cc-pvdz"))[0].energy_only == 20
    frames[3].pbc = True
    ase.io.write(file, frames, format="extxyz")
    assert problems(store, file)[0].startswith(f"{file}: frame 3 (line 19): is periodic")


def test_any_table_with_the_right_columns_is_read(store: Store, tmp_path: Path) -> None:
    arrays = springs(20)
    columns = {
        "numbers": [NUMBERS.tolist()] * 20,
        "positions": arrays["R"].tolist(),
        "energy": arrays["E"],
        "forces": [f.ravel().tolist() if i % 2 else None for i, f in enumerate(arrays["F"])],
    }
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), file)
    (done,) = load(store, file)
    assert (done.labels, done.energy_only) == (20, 10)
    assert {f.frame_id for f in store.frames("m")} == set(store.labels("m", CHEAP))
    pq.write_table(pa.table(columns | {"level": ["hf/cc-pvdz"] * 20}), file)
    assert problems(store, file) == (
        f"{file}: holds labels at 'hf/cc-pvdz', not at 'mp2/cc-pvdz'; write --level 'hf/cc-pvdz'",
    )
    pq.write_table(pa.table(columns | {"positions": [[1.0, 2.0]] * 20}), file)
    assert "frame 0: positions have shape (2,), expected (4, 3)" in problems(store, file)[0]


def test_the_command_refuses_in_one_line_and_tells_what_it_did(tmp_path: Path) -> None:
    def run(*arguments: str) -> Finished:
        return cli("import", "--store", str(tmp_path / "s"), *arguments)

    file = str(write_npz(tmp_path / "a.npz", springs(20)))
    for arguments, message in (
        ((file, "--molecule", "m", "--level", "no level"), "--level: 'no level' is not a level of theory"),
        ((file, "--molecule", "m", "--level", "mp2"), "--level: 'mp2': mp2 needs a basis set"),
        ((file, "--molecule", "../m", "--level", "hf/x"), "--molecule: name '../m' cannot be a folder"),
        ((file, "--molecule", "m", "--level", "hf/x", "--split", "trian"), "--split: found 'trian'; did you mean"),
        (("none.npz", "--molecule", "m", "--level", "hf/x"), "none.npz: no such file"),
        ((__file__, "--molecule", "m", "--level", "hf/x"), f"{__file__}: files are known by their ending"),
    ):
        result = run(*arguments)
        assert (result.returncode, result.stdout) == (2, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith(message)
    assert not (tmp_path / "s").exists()
    result = run(file, "--molecule", "m", "--level", "wB97X-D4/def2-TZVPP", "--json")
    (row,) = json.loads(result.stdout)
    assert (row["file"], row["labels"], row["keys"]) == (file, 20, "E and F")
    assert (
        "asteroid does not compute wb97x-d4/def2-tzvpp"
        in run(file, "--molecule", "m", "--level", "wB97X-D4/def2-TZVPP").stdout
    )


@needs_data
def test_published_sets_import_whole_and_their_levels_meet(store: Store) -> None:
    h2co = DATA / "h2co_b3lyp_ccf12"
    # Coordinates of the two files agree to rounding, and forces of all 4001 frames pass the audit.
    (cheap,) = load(store, h2co / "h2co_B3LYP_cc-pVDZ_4001.npz")
    (accurate,) = load(store, h2co / "h2co_ccsdt_avtz_4001.npz", level=FOREIGN)
    assert (cheap.labels, accurate.labels, sum(accurate.new_frames.values())) == (4001, 4001, 0)
    one, two = store.labels("m", CHEAP), store.labels("m", FOREIGN)
    bias = np.mean([np.abs(one[i].forces - two[i].forces).mean() for i in one])
    # The sets' description says 0.226 eV/Å. Frames that met wrongly would give several times as much.
    assert bias == pytest.approx(0.226, abs=1e-3)


@needs_data
def test_a_published_trajectory_imports_with_its_lines(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    files = [DATA / "acetylacetone" / name for name in ("train_300K.xyz", "test_MD_300K.xyz")]
    assert [one.labels for one in load(store, *files)] == [500, 650]
    (line, *_) = problems(store, DATA / "acetylacetone" / "isolated_atoms.xyz")
    assert "frame 1 (line 4): has the atoms" in line


def test_a_manifest_goes_on_with_imported_frames_of_its_molecule_alone(store: Store, tmp_path: Path) -> None:
    load(store, write_npz(tmp_path / "a.npz", springs(30)), split="train")
    manifest = {"name": "m", "cheap": LevelOfTheory.parse("gfn2-xtb"), "accurate": CHEAP}
    sampling = SamplingSettings(frames=10, methods=("normal-modes",), conformers=1)
    for smiles in ("O", "O=C"):  # another molecule, and the same with its atoms in another order
        before = contents(store)
        with pytest.raises(InputError, match=r"^m: the store's imported frames are C O H H of charge 0 and mult"):
            sample(store, MoleculeSettings(**manifest, smiles=smiles), workers=1)
        assert contents(store) == before
    molecule = MoleculeSettings(**manifest, smiles="C=O", sampling=sampling)
    sample(store, molecule, workers=1)
    select(store, molecule)
    # Every frame gets a cheap label; the imported accurate ones are there.
    assert len(store.selected("m", molecule.cheap)) == len(store.frames("m")) > 30
    assert len(store.labels("m", CHEAP)) == 30
    load(store, tmp_path / "a.npz", level=FOREIGN)
    assert set(store.levels("m")) == {CHEAP, FOREIGN, molecule.cheap}


def test_labels_of_a_composite_level_are_imported_at_its_parts(store: Store, tmp_path: Path) -> None:
    level = LevelOfTheory.parse("mp2/cc-pvtz + ccsd(t)/cc-pvdz - mp2/cc-pvdz")
    (problem,) = problems(store, write_npz(tmp_path / "a.npz", springs(20)), level=level)
    assert problem.endswith("import the labels of its parts: mp2/cc-pvdz, mp2/cc-pvtz, ccsd(t)/cc-pvdz")
