"""Levels of theory: what is written is what is meant, and what cannot be computed is refused with a way out."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteroid.engines import check_supported
from asteroid.errors import InputError
from asteroid.levels import METHODS, LevelOfTheory


@pytest.mark.parametrize(
    ("text", "method", "dispersion", "basis"),
    [
        ("gfn2-xtb", "gfn2-xtb", None, None),
        ("GFN-FF", "gfn-ff", None, None),
        ("mp2/cc-pVTZ", "mp2", None, "cc-pvtz"),
        ("CCSD(T)/cc-pVDZ", "ccsd(t)", None, "cc-pvdz"),
        ("wB97M-D3BJ/def2-TZVPPD", "wb97m", "d3bj", "def2-tzvppd"),
        ("b3lyp-d3bj/6-31g*", "b3lyp", "d3bj", "6-31g*"),
        ("wb97x/6-31g*", "wb97x", None, "6-31g*"),
        ("DF-PBE-D3BJ/def2-SVP", "df-pbe", "d3bj", "def2-svp"),
        ("df-mp2/cc-pVDZ", "df-mp2", None, "cc-pvdz"),
        ("Coarse-DF-PBE-D3BJ/def2-SVP", "coarse-df-pbe", "d3bj", "def2-svp"),
    ],
)
def test_a_level_is_method_dispersion_and_basis(
    text: str, method: str, dispersion: str | None, basis: str | None
) -> None:
    level = LevelOfTheory.parse(text)
    assert (level.method, level.dispersion, level.basis) == (method, dispersion, basis)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("gfn2xtb", "did you mean 'gfn2-xtb'"),
        ("cssd(t)/cc-pvdz", "did you mean 'ccsd\\(t\\)/cc-pvdz'"),
        ("mp2", "needs a basis set"),
        ("gfn2-xtb/cc-pvdz", "brings its own basis set; write gfn2-xtb"),
        ("b3lyp-d4/def2-svp", "'-d4' is not offered; write b3lyp-d3bj/def2-svp"),
        ("mp2-d3bj/cc-pvdz", "has no parameters for d3bj; write mp2/cc-pvdz"),
        ("wb97m/def2-svp", "write wb97m-d3bj/def2-svp"),
        ("ri-mp2/cc-pvdz", "density fitting is written df-mp2; write df-mp2/cc-pvdz"),
        ("ri-pbe-d3bj/def2-svp", "write df-pbe-d3bj/def2-svp"),
        ("df-ccsd(t)/cc-pvdz", "density fitting is not offered for ccsd\\(t\\); write ccsd\\(t\\)/cc-pvdz"),
        ("ri-ccsd/cc-pvdz", "write ccsd/cc-pvdz"),
        ("df-gfn2-xtb", "write gfn2-xtb"),
        ("coarse-pbe/def2-svp", "did you mean 'coarse-df-pbe/def2-svp'"),
        ("", "unknown method ''"),
    ],
)
def test_a_level_that_does_not_exist_comes_with_advice(text: str, advice: str) -> None:
    with pytest.raises(InputError, match=advice):
        LevelOfTheory.parse(text)


@given(st.sampled_from(sorted(METHODS)), st.booleans(), st.from_regex(r"[a-z0-9][a-z0-9*+()-]{0,11}", fullmatch=True))
def test_what_a_level_prints_it_reads(method: str, dispersed: bool, basis: str) -> None:
    definition = METHODS[method]
    dispersion = "d3bj" if "d3bj" in definition.dispersions and (dispersed or definition.dispersion_required) else None
    level = LevelOfTheory(method, dispersion, None if definition.family == "semiempirical" else basis)
    assert LevelOfTheory.parse(str(level)) == level


@given(st.text(max_size=30))
def test_any_text_is_a_level_or_bad_input(text: str) -> None:
    try:
        level = LevelOfTheory.parse(text)
    except InputError:
        return
    assert level.method in METHODS or level.engine or level.parts


def test_bases_are_checked_element_by_element() -> None:
    LevelOfTheory.parse("mp2/cc-pvdz").check_elements([6, 1, 8])
    with pytest.raises(InputError, match="did you mean 'cc-pvdz'"):
        LevelOfTheory.parse("mp2/cc-pvddz").check_elements([6, 1])
    with pytest.raises(InputError, match="has no functions for K"):
        LevelOfTheory.parse("hf/cc-pvdz").check_elements([19, 1])


def test_elements_with_a_core_potential_are_refused_except_where_it_is_proved() -> None:
    LevelOfTheory.parse("mp2/def2-svp").check_elements([53, 1])
    LevelOfTheory.parse("gfn2-xtb").check_elements([53, 1])
    with pytest.raises(InputError, match=r"I needs relativity .* write a def2 basis set \(def2-svp\) or a GFN method"):
        LevelOfTheory.parse("mp2/cc-pvdz").check_elements([53, 1])
    # Palladium and gold are in the def2 basis sets, but nothing of theirs has been proved.
    for metal in (46, 79):
        with pytest.raises(InputError, match=r"needs relativity .* write a GFN method"):
            LevelOfTheory.parse("mp2/def2-svp").check_elements([metal, 1])


@pytest.mark.parametrize("text", ["ccsd(t)-f12/cc-pvdz-f12", "wb97x-d4/def2-tzvpp", "b3lyp-d3/def2-svp", "ani-1ccx"])
def test_levels_of_other_programs_are_for_imports_alone(text: str) -> None:
    level = LevelOfTheory.parse(text.upper(), imported=True)
    assert (str(level), level.family) == (text, "imported")
    with pytest.raises(InputError):
        LevelOfTheory.parse(text)


def test_an_import_at_a_level_that_asteroid_computes_meets_its_labels() -> None:
    for text in ("mp2/cc-pvdz", "b3lyp-d3bj/def2-svp", "gfn2-xtb", "wb97m-d3bj/def2-svp"):
        assert LevelOfTheory.parse(text, imported=True) == LevelOfTheory.parse(text)
    for text in ("mp2", "gfn2-xtb/cc-pvdz", "", "no level", "../x", "a/b/c"):
        with pytest.raises(InputError):
            LevelOfTheory.parse(text, imported=True)


@pytest.mark.parametrize(
    "text",
    [
        "wb97m-v", "wb97m-v/def2-tzvp", "wb97m", "wb97x-d3/def2-svp", "wb97x-d3bj", "b3lyp-d3", "b3lyp-d4/cc-pvdz",
        "gfn2/def2-svp", "gfn2xtb", "gfn2-xtb-d3bj", "gfn2-xtb/cc-pvdz", "mp2", "mp2-d3bj", "cssd(t)/cc-pvdz",
        "ccsd-t/cc-pvdz", "r2scan-3c", "pbe-d3/def2-svp", "pbeo/6-31g*", "revpbe", "df-wb97m/def2-svp", "ri-wb97m",
        "dfmp2/cc-pvdz", "df-ccsd(t)", "df-ccsd-d3bj/cc-pvdz", "df-b3lyp-d4/def2-svp",
    ],
)  # fmt: skip
def test_what_is_suggested_in_place_of_a_level_is_offered(text: str) -> None:
    with pytest.raises(InputError) as refused:
        LevelOfTheory.parse(text)
    suggested = re.search(r"(?:did you mean '|write (?:for example )?)(?!one of)([^\s'?]+)", str(refused.value))
    assert suggested, refused.value
    level = LevelOfTheory.parse(suggested[1])
    level.check_elements([1, 6])
    check_supported(level, charge=0, multiplicity=1)


def test_a_method_like_no_other_gets_the_list_of_those_offered() -> None:
    with pytest.raises(InputError, match=r"write one of: gfn1-xtb, gfn2-xtb, .*, wb97m-d3bj$") as refused:
        LevelOfTheory.parse("zzzz/cc-pvdz")
    assert "wb97m," not in str(refused.value)


def test_a_basis_set_that_lacks_an_element_is_not_suggested() -> None:
    with pytest.raises(InputError) as refused:
        LevelOfTheory.parse("mp2/cc-pcvdx").check_elements([19])
    assert "cc-pcvdz" not in str(refused.value)
