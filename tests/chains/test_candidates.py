"""Levels that a pilot tries."""

import pytest

from asteroid.chains.candidates import MOST, candidates
from asteroid.configuration import Configuration
from asteroid.engines.rough_cost import rough_cost
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.sampling.conformers import starting_configuration

GFN2 = LevelOfTheory("gfn2-xtb")


@pytest.fixture(scope="module")
def ethanol() -> Configuration:
    return starting_configuration(MoleculeSettings(name="ethanol", smiles="CCO"))


@pytest.mark.parametrize(
    ("accurate", "among"),
    [
        ("ccsd(t)/6-31g*", {"df-mp2/6-31g*", "df-hf/6-31g*"}),
        ("ccsd(t)/cc-pvtz", {"df-mp2/cc-pvtz", "df-mp2/cc-pvdz"}),
        ("b3lyp-d3bj/def2-tzvp", {"coarse-df-b3lyp-d3bj/def2-tzvp", "coarse-df-b3lyp-d3bj/def2-svp"}),
        ("mp2/cc-pvtz", {"df-mp2/cc-pvtz", "df-mp2/cc-pvdz"}),
        ("df-mp2/cc-pvtz", {"df-mp2/cc-pvdz"}),
    ],
)
def test_candidates_are_cheaper_levels_of_like_kind(ethanol: Configuration, accurate: str, among: set[str]) -> None:
    level = LevelOfTheory.parse(accurate)
    found = candidates(GFN2, level, ethanol)
    assert among <= {str(each) for each in found}
    assert 0 < len(found) <= MOST
    assert level not in found
    prices = [rough_cost(each, ethanol, forces=True).core_seconds for each in found]
    assert prices == sorted(prices, reverse=True)
    assert prices[0] < 0.4 * rough_cost(level, ethanol, forces=True).core_seconds


@pytest.mark.parametrize("accurate", ["ccsd(t)/cc-pvtz", "pbe/def2-tzvp", "mp2/cc-pvtz"])
def test_a_level_is_a_candidate_with_or_without_density_fitting_whichever_is_cheaper(
    ethanol: Configuration, accurate: str
) -> None:
    found = candidates(GFN2, LevelOfTheory.parse(accurate), ethanol)
    for level in found:
        for other in (level.fitted, level.coarse):
            if other not in (None, level):
                assert other not in found
                assert price(level, ethanol) <= price(other, ethanol)


def test_below_a_fitted_functional_comes_the_same_on_a_coarse_grid(ethanol: Configuration) -> None:
    found = candidates(GFN2, LevelOfTheory.parse("df-pbe-d3bj/def2-svp"), ethanol)
    assert str(found[0]) == "coarse-df-pbe-d3bj/def2-svp"
    assert all(not str(level).startswith("df-pbe") for level in found)


def price(level: LevelOfTheory, molecule: Configuration) -> float:
    return rough_cost(level, molecule, forces=True).core_seconds


@pytest.mark.parametrize("accurate", ["gfn1-xtb", "potential:so3lr", "ccsd(t)-f12/cc-pvtz"])
def test_below_a_level_without_a_basis_set_or_of_elsewhere_there_is_none(ethanol: Configuration, accurate: str) -> None:
    assert candidates(GFN2, LevelOfTheory.parse(accurate, imported=True), ethanol) == []


def test_parts_of_a_composite_level_come_first_the_positive_ones_before_the_others(ethanol: Configuration) -> None:
    accurate = LevelOfTheory.parse("mp2/cc-pvtz + ccsd(t)/cc-pvdz - mp2/cc-pvdz")
    found = [str(level) for level in candidates(GFN2, accurate, ethanol)]
    assert set(found[:2]) == {"mp2/cc-pvtz", "ccsd(t)/cc-pvdz"}
    assert found[2] == "mp2/cc-pvdz"
    assert len(found) == MOST
    assert found[3].removeprefix("df-").startswith("hf/")
