"""What is probably a mistake in a manifest is said with its reason; what people really run is not."""

from pathlib import Path

import pytest

from asteroid.stages import likely_mistakes, load_checked
from asteroid.validation.intervals import ERROR, trials_needed

WATER = [("O", 0, 0, 0), ("H", 0.76, 0.59, 0), ("H", -0.76, 0.59, 0)]


def doubts(folder: Path, entry: str) -> list[str]:
    path = folder / "m.yaml"
    path.write_text(f"molecules:\n  - {{name: m, {entry}}}\n")
    start = f"{path}: molecules[0] (m): "
    found = likely_mistakes(load_checked(path))
    assert all(line.startswith(start) and "\n" not in line and "; " in line for line in found)
    return [line.removeprefix(start) for line in found]


def write_xyz(path: Path, atoms: list[tuple[str, float, float, float]], factor: float = 1.0) -> None:
    rows = [f"{symbol} {x * factor} {y * factor} {z * factor}" for symbol, x, y, z in atoms]
    path.write_text("\n".join([str(len(atoms)), "", *rows, ""]))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("smiles: O, sampling: {timestep: 100}", "sampling.timestep: found 100 fs, which is far from usual; write"),
        ("smiles: O, sampling: {temperatures: [300, 1e6]}", "sampling.temperatures: found 1e+06 K, which is far"),
        ("smiles: O, validation: {temperatures: [1e6]}", "validation.temperatures: found 1e+06 K"),
        ("smiles: O, training: {model: {r_max: 0.1}}", "training.model.r_max: found 0.1 Å"),
        ("smiles: O, training: {model: {r_max: 100}}", "training.model.r_max: found 100 Å"),
        ("smiles: O, validation: {replicas: 20}", "validation.replicas: found 20; that 0.9 of trajectories survive"),
        (
            "smiles: O, validation: {thresholds: {nvt_stable: 0.95}}",
            f"validation.replicas: found 30; that 0.95 of trajectories survive (thresholds.nvt_stable) is shown by "
            f"{trials_needed(0, 0.95, 1 - ERROR)} without a failure",
        ),
        ("smiles: O, validation: {nvt_ps: 0.1}", "validation.nvt_ps: found 0.1 ps, less than any certificate needs"),
        ("smiles: O, acquisition: {core_hours: 1e9}", "acquisition.core_hours: found 1e+09 core-hours"),
        ("smiles: O, labelling: {cheap: {memory_limit: 1e9}}", "labelling.cheap.memory_limit: found 1e+09 MiB"),
    ],
)  # fmt: skip
def test_settings_far_from_usual_are_doubted(tmp_path: Path, entry: str, expected: str) -> None:
    (found,) = doubts(tmp_path, entry)
    assert found.startswith(expected)


def test_levels_that_are_exchanged_are_doubted(tmp_path: Path) -> None:
    (found,) = doubts(tmp_path, "smiles: C=O, cheap: ccsd(t)/cc-pvdz, accurate: gfn2-xtb")
    assert found.startswith("cheap: found 'ccsd(t)/cc-pvdz', about ")
    assert found.endswith("times as costly a label as accurate: 'gfn2-xtb'; exchange them, or write a cheaper level")


def test_coupled_cluster_on_twenty_one_atoms_is_doubted_with_hours_and_memory(tmp_path: Path) -> None:
    (found,) = doubts(tmp_path, "smiles: 'CC(=O)Oc1ccccc1C(=O)O', accurate: ccsd(t)/cc-pvdz")
    assert "for 21 atoms and 222 basis functions takes about " in found
    assert " core-hours and 20 GB a label: " in found
    assert " core-hours for 70 labels" in found


def test_a_label_longer_than_its_time_limit_is_doubted(tmp_path: Path) -> None:
    (found,) = doubts(tmp_path, "smiles: C=O, labelling: {accurate: {time_limit: 1}}")
    assert "longer than time_limit, 1 s" in found


def test_bohr_gaps_and_isomers_in_geometry_files_are_doubted(tmp_path: Path) -> None:
    write_xyz(tmp_path / "bohr.xyz", WATER, 1 / 0.529)
    (found,) = doubts(tmp_path, "geometry: bohr.xyz")
    assert found.startswith(
        "geometry: atoms are 1.9 times a covalent bond from their neighbours, as in coordinates in bo"
    )
    write_xyz(tmp_path / "gap.xyz", [*WATER, *((s, x, y, z + 7) for s, x, y, z in WATER)])
    (found,) = doubts(tmp_path, "geometry: gap.xyz")
    assert found.startswith("geometry: two parts are 7.0 Å apart")
    hydroperoxyl = "3\n\nO 0 0 0\nO 0 0 1.33\nH 0.9 0 1.6\n3\n\nO 0 0 0\nO 0 0 1.33\nH 0.9 0 -0.3\n"
    (tmp_path / "isomers.xyz").write_text(hydroperoxyl)
    (found,) = doubts(tmp_path, "geometry: isomers.xyz, accurate: mp2/cc-pvdz")
    assert found.startswith("geometry: frame 1: other atoms are bonded than in frame 0")


@pytest.mark.parametrize(
    "entry",
    [
        "smiles: CCO, accurate: ccsd(t)/cc-pvdz",
        "smiles: 'CC(=O)Oc1ccccc1C(=O)O', accurate: wb97m-d3bj/def2-tzvp",
        "smiles: C=O, cheap: hf/sto-3g, accurate: mp2/cc-pvdz",
        "smiles: C=O, cheap: gfn2-xtb, accurate: gfn1-xtb",
        "geometry: water.xyz",
    ],
)
def test_what_people_run_is_not_doubted(tmp_path: Path, entry: str) -> None:
    write_xyz(tmp_path / "water.xyz", WATER)
    assert doubts(tmp_path, entry) == []
