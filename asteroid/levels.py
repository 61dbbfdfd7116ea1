"""Levels of theory: ``[[coarse-]df-]method[-dispersion][/basis]``, what each means and which elements it can treat.

One registry says which methods exist; the manifest, the store and the labellers all speak of a :class:`LevelOfTheory`
and never of a program's own keywords. ``engine:name`` is a level of an engine's own, such as ``potential:so3lr``: here
it is only read, :func:`asteroid.engines.resolve` asks the engine about it. A composite level is a weighted sum of other
levels (:mod:`asteroid.composite`).
"""

import importlib.util
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final, Literal, Self
from urllib.parse import quote

from asteroid.composite import EXAMPLE, Weights, combine, expand, is_extrapolated, is_sum, read_terms, spell
from asteroid.configuration import SYMBOLS
from asteroid.errors import InputError, MissingDependencyError, nearest, suggest

Family = Literal["semiempirical", "hf", "dft", "mp2", "ccsd", "ccsd(t)", "engine", "imported", "composite"]
"""``engine``: a level of an engine's own. ``imported``: labels come from elsewhere, asteroid computes none.
``composite``: a sum of levels."""
Dispersion = Literal["d3bj"]


@dataclass(frozen=True)
class Method:
    """What a method's name stands for.

    Args:
        family: decides which labeller computes it.
        functional: the exchange-correlation functional in PySCF's words, for ``dft``.
        dispersions: corrections for which damping parameters exist.
        dispersion_required: the functional was fitted together with its dispersion and is not offered without.
        max_number: the largest atomic number that the method has parameters for.
        fitted: with density fitting (:mod:`asteroid.engines.pyscf.density_fitting`).
        coarse: on a coarse grid (:data:`asteroid.engines.pyscf.mean_field.COARSE_GRID`), for ``dft``.
    """

    family: Family
    functional: str | None = None
    dispersions: tuple[Dispersion, ...] = ()
    dispersion_required: bool = False
    max_number: int = 86
    fitted: bool = False
    coarse: bool = False


_EXACT: dict[str, Method] = {
    "gfn1-xtb": Method("semiempirical"),
    "gfn2-xtb": Method("semiempirical"),
    "gfn-ff": Method("semiempirical"),
    "hf": Method("hf", dispersions=("d3bj",)),
    "pbe": Method("dft", "pbe", ("d3bj",)),
    "blyp": Method("dft", "blyp", ("d3bj",)),
    "tpss": Method("dft", "tpss", ("d3bj",)),
    "r2scan": Method("dft", "r2scan", ("d3bj",)),
    "pbe0": Method("dft", "pbe0", ("d3bj",)),
    # PySCF's b3lyp is Gaussian's (VWN3); b3lyp5 is ORCA's and Turbomole's (VWN5). Both are offered under PySCF's names.
    "b3lyp": Method("dft", "b3lyp", ("d3bj",)),
    "b3lyp5": Method("dft", "b3lyp5", ("d3bj",)),
    "wb97x": Method("dft", "wb97x", ()),
    "wb97m": Method("dft", "wb97m-d3bj", ("d3bj",), dispersion_required=True),
    "mp2": Method("mp2"),
    "ccsd": Method("ccsd"),
    "ccsd(t)": Method("ccsd(t)"),
}

FITTED: Final = "df-"
"""Prefix of a method with density fitting, whose energies and forces are not those of the exact integrals."""


COARSE: Final = "coarse-"
"""Prefix of a functional with density fitting on a coarse grid, as a level below the same one on the usual grid: of
ethanol, it takes 0.36 (PBE/def2-SVP) and 0.47 times as long (B3LYP-D3BJ/def2-TZVP), and forces differ by 1.9 and
1.6 meV/Å."""


def _with_fitted() -> Iterator[tuple[str, Method]]:
    """Each method, followed by itself with density fitting, and on a coarse grid.

    Gradients of fitted coupled cluster have been wrong.
    """
    for name, method in _EXACT.items():
        yield name, method
        if method.family in ("hf", "dft", "mp2"):
            yield FITTED + name, replace(method, fitted=True)
        if method.family == "dft":
            yield COARSE + FITTED + name, replace(method, fitted=True, coarse=True)


METHODS: dict[str, Method] = dict(_with_fitted())
"""Every method that asteroid offers, by the name that manifests, stores and reports use."""

CORRELATED: Final = tuple(name for name, method in METHODS.items() if method.family in ("mp2", "ccsd", "ccsd(t)"))
"""Methods whose correlation energy can be extrapolated."""

_DISPERSION = re.compile(r"^(?P<method>.+)-(?P<dispersion>d3bj)$")
_OWN = re.compile(r"(?P<engine>[a-zA-Z][a-zA-Z0-9_.-]*):(?P<name>[^\x00-\x1f\x7f]+)")
LONGEST: Final = 175
"""Characters of an engine's or a composite level, percent-encoded: names of files in the store, 255 at most, contain
it."""
_LOOKS_LIKE_DISPERSION = re.compile(r"-d[234]\w*$")
_LOOKS_FITTED = re.compile(r"^(df|ri)-?(?=[a-z])")
_IMPORTED = re.compile(r"[a-z0-9][a-z0-9()\[\]+*_.,=-]{0,63}(/[a-z0-9][a-z0-9()\[\]+*_.,=-]{0,63})?")


@dataclass(frozen=True)
class LevelOfTheory:
    """A method, its dispersion correction and its basis set; ``str(level)`` is what :meth:`parse` reads.

    Args:
        engine: of a level of an engine's own, whose name for it is then ``method``.
        parts: of a composite level, whose ``method`` is then the whole sum; their weights sum to one.

    >>> level = LevelOfTheory.parse("wB97M-D3BJ/def2-TZVP")
    >>> str(level), level.family
    ('wb97m-d3bj/def2-tzvp', 'dft')
    >>> LevelOfTheory.parse("potential:so3lr")
    LevelOfTheory(method='so3lr', dispersion=None, basis=None, engine='potential')
    >>> level = LevelOfTheory.parse("ccsd(t)/cc-pvdz - mp2/cc-pvdz + mp2/cc-pvtz")
    >>> str(level), [str(part.level) for part in level.parts]
    ('mp2/cc-pvtz + ccsd(t)/cc-pvdz - mp2/cc-pvdz', ['mp2/cc-pvdz', 'mp2/cc-pvtz', 'ccsd(t)/cc-pvdz'])
    """

    method: str
    dispersion: Dispersion | None = None
    basis: str | None = None
    engine: str | None = None
    parts: tuple["Part", ...] = field(default=(), compare=False, repr=False)

    def __str__(self) -> str:
        if self.engine is not None:
            return f"{self.engine}:{self.method}"
        dispersion = f"-{self.dispersion}" if self.dispersion else ""
        return f"{self.method}{dispersion}" + (f"/{self.basis}" if self.basis else "")

    @property
    def definition(self) -> Method:
        if self.engine is not None:
            return Method("engine", max_number=len(SYMBOLS))
        if self.parts:
            return Method("composite")
        return METHODS.get(self.method, Method("imported"))

    @property
    def family(self) -> Family:
        return self.definition.family

    @property
    def fitted(self) -> Self | None:
        """The same level with density fitting; None where there is none, or where this level has it already."""
        return replace(self, method=FITTED + self.method) if FITTED + self.method in METHODS else None

    @property
    def coarse(self) -> Self | None:
        """The same functional with density fitting on a coarse grid; None where there is none."""
        name = COARSE + FITTED + self.method.removeprefix(FITTED)
        return replace(self, method=name) if name in METHODS else None

    @property
    def is_semiempirical(self) -> bool:
        return self.family == "semiempirical"

    @property
    def computed(self) -> "tuple[LevelOfTheory, ...]":
        """The levels at which labels are computed: the parts of a composite level, or this one."""
        return tuple(part.level for part in self.parts) or (self,)

    @classmethod
    def parse(cls, text: str, *, imported: bool = False) -> Self:
        """Read ``[[coarse-]df-]method[-dispersion][/basis]``, in any case, or ``engine:name``, which the engine reads.

        Also a sum of levels, such as ``mp2/cc-pvtz + ccsd(t)/cc-pvdz - mp2/cc-pvdz`` or ``ccsd(t)/cbs(d,t)``.

        Args:
            imported: labels at this level may come from elsewhere, so that its method need not be one that asteroid
                computes.

        Raises:
            InputError: for an unknown method, a dispersion that the method has no parameters for, or a basis set
                that is missing or out of place; for a sum that is no total energy; for an engine's or a composite level
                that is too long for the store.
        """
        if own := _OWN.fullmatch(text.strip()):
            level = cls(own["name"].strip(), engine=own["engine"].lower())
            if not level.method or len(quote(str(level), safe="")) > LONGEST:
                raise InputError(f"'{text[:40]}…' is too long for the name of a folder; write a shorter name or path")
            return level
        name, slash, basis = text.strip().lower().partition("/")
        if is_sum(text.strip()) or (is_extrapolated(text.lower()) and not (imported and not _offered(name))):
            return cls._parse_sum(text)
        if imported and not _offered(name):
            if not _IMPORTED.fullmatch(name + slash + basis):
                raise InputError(f"{text!r} is not a level of theory; write method/basis, such as ccsd(t)-f12/cc-pvtz")
            return cls(name, None, basis or None)
        dispersion: Dispersion | None = None
        if name not in METHODS and (match := _DISPERSION.match(name)):
            name, dispersion = match["method"], "d3bj"
        if name not in METHODS:
            stem = _LOOKS_LIKE_DISPERSION.sub("", name)
            if stem in METHODS and stem != name:
                raise InputError(
                    f"'{text}': the dispersion correction '{name[len(stem) :]}' is not offered; "
                    f"write {_spelled(stem, basis, dispersed=True)}"
                )
            if (exact := _LOOKS_FITTED.sub("", name)) in _EXACT and exact != name:
                wanted = f"{exact}-{dispersion}" if dispersion in _EXACT[exact].dispersions else exact
                if FITTED + exact in METHODS:
                    fault, wanted = f"density fitting is written {FITTED}{exact}", FITTED + wanted
                else:
                    fault = f"density fitting is not offered for {exact}"
                raise InputError(f"'{text}': {fault}; write {_spelled(wanted, basis)}")
            names = _offered_names()
            near = nearest(name, names)
            exact_names = ", ".join(each for each in names if not each.startswith((FITTED, COARSE)))
            remedy = f"did you mean '{_spelled(near, basis)}'?" if near else f"write one of: {exact_names}"
            raise InputError(f"'{text}': unknown method '{name}'; {remedy}")
        method = METHODS[name]
        if dispersion and dispersion not in method.dispersions:
            raise InputError(f"'{text}': {name} has no parameters for {dispersion}; write {_spelled(name, basis)}")
        if method.dispersion_required and not dispersion:
            raise InputError(f"'{text}': {name} is defined together with its dispersion; write {_spelled(name, basis)}")
        if method.family == "semiempirical" and slash:
            raise InputError(f"'{text}': {name} brings its own basis set; write {name}")
        if method.family != "semiempirical" and not basis:
            raise InputError(f"'{text}': {name} needs a basis set; write for example {_spelled(name, '')}")
        if not imported and ("/" in basis or basis.endswith("cbs")):
            remedy = f"a sum with spaces around its signs, such as {EXAMPLE}" if "/" in basis else f"{name}/cbs(d,t)"
            raise InputError(f"'{text}': unknown basis set '{basis}'; write {remedy}")
        return cls(name, dispersion, basis or None)

    @classmethod
    def _parse_sum(cls, text: str) -> Self:
        """Read a sum of levels; one in which all but one level cancel is that level."""
        methods, levels = list(METHODS), dict[str, LevelOfTheory]()
        terms: list[tuple[Fraction, Weights]] = []
        for weight, term in read_terms(text.lower()):
            parts = {cls._parse_part(name): number for name, number in expand(term, CORRELATED).items()}
            levels |= {str(level): level for level in parts}
            terms.append((weight, {str(level): number for level, number in parts.items()}))
        weights = combine(terms)
        if (total := sum(weights.values())) != 1:
            # Often a sign is wrong.
            flips = [combine([*terms[:i], (-w, parts), *terms[i + 1 :]]) for i, (w, parts) in enumerate(terms)]
            right = next((flip for flip in reversed(flips) if sum(flip.values()) == 1), None)
            raise InputError(
                f"'{text}': the weights sum to {total} and must sum to 1, so that the sum is a total energy; "
                f"write for example {spell(right, methods, CORRELATED) if right else EXAMPLE}"
            )
        name = spell(weights, methods, CORRELATED)
        if len(weights) == 1:
            return cls.parse(name)
        if len(quote(name, safe="")) > LONGEST:
            raise InputError(f"'{name[:40]}…' is too long for the name of a folder; write fewer parts")
        # Cheap methods are labelled first: where their label fails, the others are not needed.
        ordered = sorted(
            (levels[part] for part in weights), key=lambda level: (methods.index(level.method), str(level))
        )
        return cls(name, parts=tuple(Part(weights[str(level)], level) for level in ordered))

    @classmethod
    def _parse_part(cls, name: str) -> "LevelOfTheory":
        """A level that can be part of a sum.

        Raises:
            InputError: for a level that is unknown, or has another zero of energy than ab initio levels.
        """
        level = cls.parse(name)
        if level.is_semiempirical or level.engine is not None:
            raise InputError(
                f"'{name}' cannot be part of a sum: its zero of energy is not that of ab initio levels; write hf, mp2, "
                "ccsd, ccsd(t) or a functional, in a basis set"
            )
        return level

    def check_elements(self, numbers: Iterable[int]) -> None:
        """Raise InputError when the method or its basis set does not cover one of these atomic numbers.

        Raises:
            InputError: which element is not covered, and what to write instead.
            MissingDependencyError: if PySCF, which knows the basis sets, is not installed.
        """
        if self.parts:
            numbers = list(numbers)
            for level in self.computed:
                level.check_elements(numbers)
            return
        elements = sorted({int(z) for z in numbers})
        if heavy := [SYMBOLS[z] for z in elements if z > self.definition.max_number]:
            raise InputError(f"'{self}': no parameters for {', '.join(heavy)}")
        if self.basis is None:
            return
        # PySCF takes a second to import: ask for it only when a basis set must be looked up.
        if importlib.util.find_spec("pyscf") is None:
            raise MissingDependencyError("pyscf", "label")
        beyond = {z for z in elements if z > MAX_ALL_ELECTRON}
        if beyond and not (self.basis.startswith("def2-") and beyond <= CORE_POTENTIAL):
            names = ", ".join(SYMBOLS[z] for z in sorted(beyond))
            remedy = "a def2 basis set (def2-svp) or a GFN method" if beyond <= CORE_POTENTIAL else "a GFN method"
            raise InputError(
                f"'{self}': {names} needs relativity or an effective core potential, which is not proved here; "
                f"write {remedy} for this molecule"
            )
        missing = [SYMBOLS[z] for z in elements if not _has_basis(self.basis, SYMBOLS[z])]
        if len(missing) == len(elements) and not _has_basis(self.basis, "C"):
            symbols = [SYMBOLS[z] for z in elements]
            valid = [name for name in _basis_names() if all(_has_basis(name, symbol) for symbol in symbols)]
            raise InputError(f"'{self}': unknown basis set '{self.basis}'; {suggest(self.basis, valid)}")
        if missing:
            raise InputError(f"'{self}': basis set '{self.basis}' has no functions for {', '.join(missing)}")


@dataclass(frozen=True)
class Part:
    """One level of a composite level, with its weight."""

    weight: Fraction
    level: LevelOfTheory


def _offered_names() -> list[str]:
    """Every method with every dispersion that it is offered with."""
    plain = [name for name, method in METHODS.items() if not method.dispersion_required]
    return plain + [f"{name}-{each}" for name, method in METHODS.items() for each in method.dispersions]


def _spelled(name: str, basis: str, *, dispersed: bool = False) -> str:
    """A method, with its dispersion where it needs one or is to have one that exists, as a level that can be parsed.

    >>> _spelled("wb97m", "cc-pvdz"), _spelled("gfn2-xtb", "cc-pvdz"), _spelled("mp2", "")
    ('wb97m-d3bj/cc-pvdz', 'gfn2-xtb', 'mp2/def2-svp')
    """
    method = METHODS.get(name)
    if method and method.dispersions and (dispersed or method.dispersion_required):
        name = f"{name}-{method.dispersions[0]}"
    return name if method and method.family == "semiempirical" else f"{name}/{basis or 'def2-svp'}"


def _offered(name: str) -> bool:
    """Whether asteroid itself computes a method with this dispersion, or a method of this name alone."""
    if name in METHODS:
        return not METHODS[name].dispersion_required
    match = _DISPERSION.match(name)
    return bool(match and match["method"] in METHODS and METHODS[match["method"]].dispersions)


MAX_ALL_ELECTRON = 36
"""Krypton: beyond it, basis sets come with effective core potentials."""

CORE_POTENTIAL = frozenset({37, 38, *range(49, 55)})
"""Main group of the fifth period (Rb, Sr, In to Xe), where the core potentials of the def2 basis sets are proved."""


def _has_basis(basis: str, symbol: str) -> bool:
    from pyscf import gto
    from pyscf.lib.exceptions import BasisNotFoundError

    try:
        with warnings.catch_warnings():
            # PySCF suggests another package for what it does not know; the user is told what to write instead.
            warnings.simplefilter("ignore")
            return bool(gto.basis.load(basis, symbol))
    except (BasisNotFoundError, KeyError, RuntimeError):
        return False


def _basis_names() -> list[str]:
    from pyscf.gto import basis

    # PySCF strips hyphens from its keys; these are the spellings people write.
    common = [
        "sto-3g", "3-21g", "6-31g", "6-31g*", "6-31g**", "6-31+g*", "6-311g**", "6-311++g**",
        "def2-svp", "def2-svpd", "def2-tzvp", "def2-tzvpd", "def2-tzvpp", "def2-tzvppd", "def2-qzvp", "def2-qzvpp",
        "cc-pvdz", "cc-pvtz", "cc-pvqz", "aug-cc-pvdz", "aug-cc-pvtz", "aug-cc-pvqz", "cc-pcvdz", "cc-pcvtz",
        "pc-1", "pc-2", "pc-3", "aug-pc-1", "aug-pc-2",
    ]  # fmt: skip
    return [name for name in common if name.replace("-", "") in {k.replace("-", "") for k in basis.ALIAS}] or common
