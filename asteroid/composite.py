"""Composite levels as text: signed, weighted sums of levels, and extrapolations to a complete basis set.

``mp2/cc-pvtz + ccsd(t)/cc-pvdz - mp2/cc-pvdz`` is CCSD(T) in the small basis set, corrected for the larger one by MP2.
``ccsd(t)/cbs(d,t)`` stands for the Hartree-Fock energy in cc-pVTZ plus the correlation energy extrapolated from cc-pVDZ
and cc-pVTZ: a sum of four levels with rational weights. Levels are spelled names here;
:class:`asteroid.levels.LevelOfTheory` reads and checks them.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from typing import Final

from asteroid.errors import InputError

Weights = Mapping[str, Fraction]
"""Weight of each level, by its name."""

CARDINALS: Final = {"d": 2, "t": 3, "q": 4, "5": 5}
"""X of the basis sets cc-pVXZ, by its letter."""

EXAMPLE: Final = "mp2/cc-pvtz + ccsd(t)/cc-pvdz - mp2/cc-pvdz"

_SIGN = re.compile(r"\s+([+-])\s+")
_WEIGHT = re.compile(r"(\d+(?:\.\d+)?(?:/\d+)?)\s*\*\s*")
_EXTRAPOLATED = re.compile(r"(?P<method>[^/]+)/(?P<basis>[^/]*)cbs\((?P<smaller>[^,]*),(?P<larger>[^,]*)\)")
_LARGER = re.compile(r"(?P<method>[^/]+)/(?P<basis>(?:aug-)?)cc-pv(?P<letter>[tq5])z")


def is_sum(text: str) -> bool:
    """Whether a text is a sum, or one level with a weight; signs within a sum have spaces around them.

    >>> is_sum("mp2/cc-pvtz + ccsd(t)/cc-pvdz - mp2/cc-pvdz"), is_sum("hf/6-31+g*")
    (True, False)
    """
    return bool(_SIGN.search(text) or _WEIGHT.match(text) or text.startswith(("-", "+")))


def is_extrapolated(name: str) -> bool:
    """Whether one level stands for an extrapolation."""
    return "cbs(" in name.partition("/")[2]


def read_terms(text: str) -> list[tuple[Fraction, str]]:
    """Weights and names of the terms of a sum, as written.

    Raises:
        InputError: for a term that is no weight and level.

    >>> read_terms("27/19*mp2/cc-pvtz - 8/19 * mp2/cc-pvdz")
    [(Fraction(27, 19), 'mp2/cc-pvtz'), (Fraction(-8, 19), 'mp2/cc-pvdz')]
    """
    text = re.sub(r"\s*,\s*", ",", text.strip())
    if text[:1] not in ("+", "-"):
        text = f"+ {text}"
    _, *parts = _SIGN.split(f" {text[0]} {text[1:].lstrip()}")
    terms = []
    for sign, term in zip(parts[::2], parts[1::2], strict=True):
        found = _WEIGHT.match(term)
        name = term[found.end() :] if found else term
        if not name or re.search(r"\s", name):
            raise InputError(f"'{text.removeprefix('+ ')}': '{term}' is not a level; write a sum such as {EXAMPLE}")
        try:
            weight = Fraction(1)
            for power, number in zip((1, -1), (found[1] if found else "1").split("/"), strict=False):
                weight *= Fraction(number) ** power
        except ZeroDivisionError:
            raise InputError(f"'{term}': a weight is divided by zero; write for example 1/2*{name}") from None
        terms.append((weight if sign == "+" else -weight, name))
    return terms


def expand(name: str, correlated: Collection[str]) -> dict[str, Fraction]:
    """The levels that one term of a sum stands for: itself, or those of an extrapolation.

    The correlation energy is extrapolated as ``E_corr = (X³ E_X - Y³ E_Y) / (X³ - Y³)`` (Helgaker et al.,
    doi:10.1063/1.473863); the Hartree-Fock energy is that of the larger basis set.

    Args:
        correlated: methods that have a correlation energy.

    Raises:
        InputError: for an extrapolation that does not exist.

    >>> {name: str(weight) for name, weight in expand("mp2/cbs(d,t)", ["mp2"]).items()}
    {'mp2/cc-pvtz': '27/19', 'mp2/cc-pvdz': '-8/19', 'hf/cc-pvtz': '-8/19', 'hf/cc-pvdz': '8/19'}
    """
    if not is_extrapolated(name):
        return {name: Fraction(1)}
    found = _EXTRAPOLATED.fullmatch(name)
    if found is None:
        method = name.partition("/")[0]
        raise InputError(f"'{name}' is no extrapolation; write {method}/cbs(d,t), in quotes within brackets of YAML")
    method, prefix = found["method"], found["basis"]
    if prefix not in ("", "aug-"):
        raise InputError(f"'{name}': only cc-pVXZ and aug-cc-pVXZ are extrapolated; write {method}/cbs(d,t)")
    pairs = list(zip(CARDINALS, list(CARDINALS)[1:], strict=False))
    pair = (found["smaller"], found["larger"])
    if pair not in pairs:
        near = pair[::-1] if pair[::-1] in pairs else ("d", "t")
        known = ", ".join(f"({x},{y})" for x, y in pairs)
        raise InputError(
            f"'{name}': basis sets are extrapolated from neighbours, the smaller first: {known}; "
            f"write {method}/{prefix}cbs({near[0]},{near[1]})"
        )
    if method not in correlated:
        known = " or ".join(f"{other}/{prefix}cbs({pair[0]},{pair[1]})" for other in correlated)
        raise InputError(f"'{name}': {method} has no correlation energy to extrapolate; write {known}")
    small, large = (CARDINALS[letter] ** 3 for letter in pair)
    up, down = Fraction(large, large - small), Fraction(small, large - small)
    below, above = (f"{prefix}cc-pv{letter}z" for letter in pair)
    # With density fitting, the reference of the correlation energy is fitted, too.
    reference = "df-hf" if method.startswith("df-") else "hf"
    return {
        f"{method}/{above}": up,
        f"{method}/{below}": -down,
        f"{reference}/{above}": 1 - up,
        f"{reference}/{below}": down,
    }


def spell(weights: Weights, methods: Sequence[str], correlated: Collection[str]) -> str:
    """The one spelling of a sum: extrapolations wherever they make it shorter, positive weights first.

    Args:
        methods: all methods, in the order in which levels of one sign are written.

    >>> spell(expand("mp2/cbs(d,t)", ["mp2"]), ["hf", "mp2"], ["mp2"])
    'mp2/cbs(d,t)'
    """
    terms = dict(weights)
    for name in sorted(weights):
        found = _LARGER.fullmatch(name)
        if found is None or found["method"] not in correlated:
            continue
        smaller = list(CARDINALS)[list(CARDINALS).index(found["letter"]) - 1]
        short = f"{found['method']}/{found['basis']}cbs({smaller},{found['letter']})"
        parts = expand(short, correlated)
        times = terms.get(name, Fraction(0)) / parts[name]
        rest = combine([(Fraction(1), terms), (-times, parts)])
        if len(rest) + 1 < len(terms):
            terms = {**rest, short: times}

    def place(name: str) -> tuple[bool, int, str]:
        method = name.partition("/")[0]
        return terms[name] < 0, methods.index(method) if method in methods else -1, name

    written = ""
    for name in sorted(terms, key=place):
        weight = terms[name]
        size = "" if abs(weight) == 1 else f"{abs(weight)}*"
        written += f" {'-' if weight < 0 else '+'} {size}{name}"
    return written.removeprefix(" + ")


def combine(sums: Sequence[tuple[Fraction, Weights]]) -> dict[str, Fraction]:
    """A weighted sum of sums, without levels that cancel."""
    total: dict[str, Fraction] = {}
    for times, weights in sums:
        for name, weight in weights.items():
            total[name] = total.get(name, Fraction(0)) + times * weight
    return {name: weight for name, weight in total.items() if weight}
