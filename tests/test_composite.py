"""Composite levels: sums are read, spelled in one way, and refused where they are no total energy."""

import itertools
import re
from fractions import Fraction
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteroid.composite import expand
from asteroid.errors import InputError
from asteroid.levels import CORRELATED, LONGEST, METHODS, LevelOfTheory

USUAL = "mp2/cc-pvtz + ccsd(t)/cc-pvdz - mp2/cc-pvdz"


def parts(text: str) -> dict[str, Fraction]:
    return {str(part.level): part.weight for part in LevelOfTheory.parse(text).parts}


def test_the_order_and_case_of_a_sum_do_not_matter() -> None:
    terms = ["+ MP2/cc-pVTZ", "+ CCSD(T)/cc-pVDZ", "- mp2/cc-pvdz"]
    for order in itertools.permutations(terms):
        assert str(LevelOfTheory.parse(" ".join(order))) == USUAL
    assert parts(USUAL) == {"mp2/cc-pvtz": 1, "ccsd(t)/cc-pvdz": 1, "mp2/cc-pvdz": -1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # (X³ E_X - Y³ E_Y) / (X³ - Y³) for 2, 3 and 3, 4.
        ("ccsd(t)/cbs(d,t)", {"ccsd(t)/cc-pvtz": "27/19", "ccsd(t)/cc-pvdz": "-8/19"}),
        ("mp2/CBS(T, Q)", {"mp2/cc-pvqz": "64/37", "mp2/cc-pvtz": "-27/37"}),
        ("mp2/aug-cbs(d,t)", {"mp2/aug-cc-pvtz": "27/19", "mp2/aug-cc-pvdz": "-8/19"}),
    ],
)
def test_an_extrapolation_is_that_of_the_correlation_energy(text: str, expected: dict[str, str]) -> None:
    found = parts(text)
    assert {name: weight for name, weight in found.items() if not name.startswith("hf")} == {
        name: Fraction(weight) for name, weight in expected.items()
    }
    # As for the correlation energy, with the Hartree-Fock energy of the larger basis set in its place.
    for name, weight in expected.items():
        basis = name.partition("/")[2]
        assert found[f"hf/{basis}"] == (1 if Fraction(weight) > 0 else 0) - Fraction(weight)
    assert sum(found.values()) == 1
    assert str(LevelOfTheory.parse(text)) == text.lower().replace(" ", "")


def test_a_correlation_energy_with_density_fitting_is_that_beyond_a_fitted_reference() -> None:
    assert parts("df-mp2/cbs(d,t)").keys() == {
        f"df-{method}/{basis}" for method in ("mp2", "hf") for basis in ("cc-pvdz", "cc-pvtz")
    }
    text = "df-mp2/cbs(t,q) + ccsd(t)/cc-pvdz - df-mp2/cc-pvdz"
    assert str(LevelOfTheory.parse(text)) == text


def test_a_sum_with_an_extrapolation_has_the_parts_of_both() -> None:
    text = "mp2/cbs(d,t) + ccsd(t)/cc-pvdz - mp2/cc-pvdz"
    found = parts(text)
    assert found == {
        "hf/cc-pvdz": Fraction(8, 19),
        "hf/cc-pvtz": Fraction(-8, 19),
        "mp2/cc-pvdz": Fraction(-27, 19),
        "mp2/cc-pvtz": Fraction(27, 19),
        "ccsd(t)/cc-pvdz": 1,
    }
    written = " + ".join(f"{weight}*{name}" for name, weight in found.items()).replace("+ -", "- ")
    assert str(LevelOfTheory.parse(written)) == text


def test_levels_that_cancel_are_no_parts() -> None:
    assert LevelOfTheory.parse("mp2/cc-pvtz + hf/sto-3g - HF/STO-3G") == LevelOfTheory.parse("mp2/cc-pvtz")


NAMES = st.builds(
    "{}/{}".format,
    st.sampled_from(["hf", "mp2", "ccsd", "ccsd(t)", "pbe0"]),
    st.sampled_from(["cc-pvdz", "cc-pvtz", "aug-cc-pvdz", "aug-cc-pvtz", "6-31+g*"]),
)
WEIGHTS = st.one_of(st.integers(-2, 2).map(Fraction), st.fractions(-2, 2, max_denominator=19))
TERMS = st.one_of(NAMES, st.sampled_from(["mp2/cbs(d,t)", "ccsd(t)/cbs(d,t)", "mp2/aug-cbs(d,t)"]))


@given(st.lists(st.tuples(WEIGHTS, TERMS), min_size=1, max_size=3), NAMES)
def test_what_a_sum_prints_it_reads_and_its_weights_are_those_written(
    terms: list[tuple[Fraction, str]], last: str
) -> None:
    terms = [*terms, (1 - sum(weight for weight, _ in terms), last)]
    expected: dict[str, Fraction] = {}
    for weight, term in terms:
        for name, number in expand(term, CORRELATED).items():
            expected[name] = expected.get(name, Fraction(0)) + weight * number
    expected = {name: weight for name, weight in expected.items() if weight}
    written = " ".join(f"{'-' if weight < 0 else '+'} {abs(weight)} * {name}" for weight, name in terms)
    try:
        level = LevelOfTheory.parse(written)
    except InputError as error:
        if "too long" not in str(error):
            raise
        return
    assert {str(one) for one in level.computed} == expected.keys()
    assert {str(part.level): part.weight for part in level.parts} in (expected, {})
    again = LevelOfTheory.parse(str(level), imported=True)
    assert (again, again.parts, str(again)) == (level, level.parts, str(level))
    assert len(quote(str(level), safe="")) <= LONGEST


@given(st.text(alphabet="mp2hf/cbs(dt,)+-* 13", max_size=30))
def test_any_text_is_a_level_or_bad_input(text: str) -> None:
    try:
        level = LevelOfTheory.parse(text)
    except InputError:
        return
    assert level.parts or level.method in METHODS


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("mp2/cc-pvtz + ccsd(t)/cc-pvdz", f"sum to 2 and must sum to 1, .* write for example {USUAL}"),
        ("mp2/cc-pvtz + ccsd(t)/cc-pvdz + mp2/cc-pvdz", f"sum to 3 .* write for example {USUAL}"),
        ("0.5*mp2/cc-pvtz", "sum to 1/2"),
        ("mp2/cc-pvtz + cssd(t)/cc-pvdz - mp2/cc-pvdz", "did you mean 'ccsd(t)/cc-pvdz'"),
        ("mp2/cc-pvtz+ccsd(t)/cc-pvdz-mp2/cc-pvdz", f"spaces around its signs, such as {USUAL}"),
        ("mp2/cbs(t,d)", "the smaller first: .*; write mp2/cbs(d,t)"),
        ("mp2/aug-cbs(q,t)", "write mp2/aug-cbs(t,q)"),
        ("mp2/cbs(d,q)", "neighbours, .*; write mp2/cbs(d,t)"),
        ("mp2/6-31cbs(d,t)", "only cc-pVXZ and aug-cc-pVXZ are extrapolated; write mp2/cbs(d,t)"),
        ("mp2/cbs", "write mp2/cbs(d,t)"),
        ("mp2/cbs(d", "write mp2/cbs(d,t), in quotes within brackets of YAML"),
        ("pbe/cbs(d,t)", "pbe has no correlation energy to extrapolate; write mp2/cbs(d,t) or "),
        ("gfn2-xtb + mp2/cc-pvtz - mp2/cc-pvdz", "'gfn2-xtb' cannot be part of a sum"),
        ("mp2/cc-pvtz + potential:so3lr - mp2/cc-pvdz", "'potential:so3lr' cannot be part of a sum"),
        ("mp2/cc-pvtz + ccsd(t)-f12/cc-pvdz - mp2/cc-pvdz", "unknown method"),
        ("1/0*mp2/cc-pvtz", "divided by zero"),
    ],
)
def test_what_is_no_composite_level_comes_with_advice(text: str, advice: str) -> None:
    escaped = re.escape(advice).replace(r"\.\*", ".*")
    with pytest.raises(InputError, match=escaped) as found:
        LevelOfTheory.parse(text)
    assert len(found.value.problems) == 1


def test_a_sum_whose_folder_would_have_too_long_a_name_is_refused() -> None:
    names = [f"{method}/{basis}" for method in ("hf", "mp2", "ccsd") for basis in ("cc-pvdz", "cc-pvtz", "cc-pvqz")]
    text = " + ".join(f"{weight + 3}/{2 * weight + 7}*{name}" for weight, name in enumerate(names))
    total = sum(Fraction(weight + 3, 2 * weight + 7) for weight in range(len(names)))
    with pytest.raises(InputError, match="too long"):
        LevelOfTheory.parse(f"{text} - {total - 1}*hf/sto-3g")


def test_imported_levels_may_still_be_called_complete() -> None:
    for text in ("ccsd(t)/cbs", "ccsd(t)*/cbs", "ccsd(t)-f12/cbs(d,t)"):
        assert LevelOfTheory.parse(text, imported=True).parts == ()


def test_every_part_is_asked_for_its_elements() -> None:
    LevelOfTheory.parse("ccsd(t)/cbs(d,t)").check_elements([6, 1])
    with pytest.raises(InputError, match=r"'hf/cc-pvdz': basis set .* has no functions for K"):
        LevelOfTheory.parse("hf/def2-svp + mp2/def2-svp - hf/cc-pvdz").check_elements([19])
    with pytest.raises(InputError, match="unknown basis set 'cc-pvddz'"):
        LevelOfTheory.parse("mp2/cc-pvtz + ccsd(t)/cc-pvddz - mp2/cc-pvddz").check_elements([1])
