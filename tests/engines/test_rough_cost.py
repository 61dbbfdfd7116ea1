"""Rough costs are right to the order of magnitude: compared with labels that were timed on one core."""

import pytest
from ase.build import molecule

from asteroid.configuration import Configuration
from asteroid.engines.rough_cost import rough_cost
from asteroid.levels import LevelOfTheory


@pytest.mark.parametrize(
    ("name", "level", "timed"),
    [
        ("CH3OH", "ccsd(t)/cc-pvdz", 4.5),
        ("HCOOH", "ccsd(t)/cc-pvdz", 9.0),
        ("CH3CH2OH", "ccsd(t)/6-31g*", 8.0),
        ("CH3CH2OH", "ccsd/cc-pvdz", 25.0),
        ("CH3OH", "mp2/cc-pvtz", 20.0),
        ("CH3CH2OH", "wb97m-d3bj/def2-tzvp", 38.0),
        ("CH3CH2OH", "hf/def2-svp", 2.0),
        ("C6H6", "df-hf/def2-svp", 3.2),
        ("C6H6", "df-pbe/def2-svp", 10.4),
        ("C6H6", "df-b3lyp/def2-tzvp", 25.5),
        ("C6H6", "df-mp2/def2-svp", 6.3),
        ("CH3CH2OH", "coarse-df-b3lyp-d3bj/def2-tzvp", 3.9),
        ("CH3CH2OH", "gfn2-xtb", 0.0015),
    ],
)
def test_core_seconds_are_within_a_factor_of_four_of_those_timed(name: str, level: str, timed: float) -> None:
    """``timed`` is core-seconds of energy and forces, measured with asteroid and PySCF."""
    cost = rough_cost(LevelOfTheory.parse(level), Configuration.from_atoms(molecule(name)), forces=True)
    assert timed / 4 < cost.core_seconds < 4 * timed


def test_coupled_cluster_grows_as_its_equations_say() -> None:
    """Two molecules far apart have twice the occupied and virtual orbitals: 2**7 times the triples."""
    one = Configuration.from_atoms(molecule("C6H6"))
    two = Configuration([*one.numbers] * 2, [*one.positions] * 2)
    level = LevelOfTheory.parse("ccsd(t)/cc-pvdz")
    ratio = rough_cost(level, two, forces=True).core_seconds / rough_cost(level, one, forces=True).core_seconds
    assert 2**6 < ratio < 2**7
