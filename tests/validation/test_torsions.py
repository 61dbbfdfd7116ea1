from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from asteroid.chemistry.bonds import bonded
from asteroid.configuration import Configuration
from asteroid.validation.minimum import find_minimum
from asteroid.validation.torsions import (
    FORCE,
    Profile,
    Torsion,
    compare_torsion,
    points_to_label,
    rotatable_bonds,
    scan,
)


def built(name: str) -> Configuration:
    from ase.build import molecule

    return Configuration.from_atoms(molecule(name))


@pytest.mark.parametrize(
    ("name", "smiles", "count"),
    [
        ("CH3OH", None, 1),
        ("CH3CH2OH", None, 2),
        ("C2H4", None, 0),
        ("C6H6", None, 0),
        ("H2CO", "C=O", 0),
        ("H2O2", "OO", 1),
        ("CH3CN", None, 0),
    ],
)
def test_bonds_that_turn_are_single_and_have_something_on_both_ends(name: str, smiles: str | None, count: int) -> None:
    structure = built("H2O2") if name == "H2O2" else built(name)
    assert len(rotatable_bonds(structure, smiles)) == count


def test_the_angle_is_told_by_the_heaviest_neighbours() -> None:
    names = {torsion.name for torsion in rotatable_bonds(built("CH3CH2OH"), None)}
    assert "C0–C1–O2–H3" in names


def test_atoms_that_form_no_molecule_are_refused() -> None:
    apart = Configuration([6, 8], [[0, 0, 0], [0, 0, 9.0]], multiplicity=3)
    with pytest.raises(ValueError, match=r"bond|charge|valence|Final"):
        rotatable_bonds(apart, None)


@pytest.fixture(scope="module")
def ethane() -> Profile:
    from tblite.ase import TBLite

    calculator: Any = TBLite(method="GFN2-xTB", verbosity=0)
    minimum, _ = find_minimum(calculator, built("C2H6"))
    (torsion,) = rotatable_bonds(minimum, None)
    return scan(calculator, minimum, torsion, bonded(minimum))


def test_ethane_has_the_threefold_barrier_that_it_is_known_for(ethane: Profile) -> None:
    assert ethane.turns[7::8].tolist() == [-60.0, 60.0, 180.0]
    assert ethane.turns[11] == 0.0
    np.testing.assert_allclose(ethane.energies[[3, 11, 19]], 0.0, atol=0.002)
    np.testing.assert_allclose(ethane.energies[7::8], ethane.energies[7], atol=0.003)
    # 2.9 kcal/mol by experiment (Hirota et al. 1979), 125 meV; GFN2 is some tens of meV lower.
    assert 0.08 < ethane.energies[7] < 0.14


def test_everything_but_the_angle_is_relaxed_at_each_point(ethane: Profile, gfn: Callable[[int], Any]) -> None:
    atoms: Any = ethane.geometries[7].to_atoms()
    atoms.calc = gfn(2)
    # At the top of the barrier symmetry leaves no force along the torsion either.
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 2 * FORCE
    eclipsed = abs(atoms.get_dihedral(*ethane.torsion.atoms) % 120)
    assert min(eclipsed, 120 - eclipsed) < 1.0


def a_profile(energies: np.ndarray) -> Profile:
    turns = np.arange(-165.0, 181.0, 15.0)
    return Profile(Torsion((0, 1, 2, 3), "x"), turns, energies, ())


def test_the_top_of_the_barrier_is_labelled_first_and_the_minimum_never() -> None:
    turns = np.arange(-165.0, 181.0, 15.0)
    points = points_to_label(a_profile(1 - np.cos(np.radians(turns))), 4)
    assert turns[points[0]] == 180.0
    assert 11 not in points
    assert {abs(turns[p]) for p in points[1:3]} == {90.0}
    assert len(set(points)) == 4
    assert len(points_to_label(a_profile(np.zeros(24)), 24)) <= 24


def test_the_error_is_the_largest_difference_of_heights_above_the_minimum() -> None:
    found = compare_torsion("x", [0.0, 15.0, 30.0], [0.0, 0.1, 0.2], -500.0, {1: -499.92, 2: -499.75}, asked=2)
    assert found.worst == pytest.approx(0.05)
    np.testing.assert_allclose(found.accurate, [0.08, 0.25])
    assert compare_torsion("x", [0.0], [0.0], 0.0, {}, asked=1).worst is None
