"""Engines: the programs and pretrained potentials that compute levels of theory.

An :class:`Engine` says what it can do at a level (:class:`Capabilities`) and makes its :class:`Labeller`, which turns a
configuration into a :class:`Result`. Built in are tblite, xtb and pyscf for the levels of :mod:`asteroid.levels`, and
``potential`` and ``qcengine``, whose levels are written ``engine:name``; other packages add engines through the
entry-point group ``asteroid.engines``. Importing this package is cheap and never imports torch: an engine is loaded
with its first level, its program with the first label.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from asteroid.configuration import SYMBOLS, Configuration
from asteroid.engines.proofs import find_proof, nearest_proved
from asteroid.errors import AsteroidError, InputError, MissingDependencyError, suggest
from asteroid.levels import LevelOfTheory

Property = Literal["energy", "forces", "dipole"]

ProcessKind = Literal["plain", "torch"]
"""Kind of an engine's worker processes: quantum chemistry without torch (``plain``), or torch without it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """What a program computed for one configuration.

    Args:
        energy: eV, total.
        forces: (N, 3) eV/Å, −dE/dR; None when only the energy was asked for.
        dipole: (3,) e·Å, where it costs nothing: with xTB, HF and DFT, and with forces of closed-shell MP2 and coupled
            cluster. None for ions, whose dipole depends on the origin.
        spin_square: ⟨S²⟩ in ħ², of an unrestricted reference; None for a restricted one.
        retry_steps: in the order tried; the last gave the result.
        check_error: eV/Å, largest difference of these forces from those of a second, plainer computation of the same
            label; None where there was none.
        positions: (N, 3) Å, the geometry that the program reports; None where it reports none.
    """

    energy: float
    forces: npt.NDArray[np.float64] | None = None
    dipole: npt.NDArray[np.float64] | None = None
    spin_square: float | None = None
    retry_steps: tuple[str, ...] = ("default",)
    check_error: float | None = None
    positions: npt.NDArray[np.float64] | None = None


class Labeller(Protocol):
    """Computes one level of theory with one program."""

    @property
    def level(self) -> LevelOfTheory: ...

    @property
    def program(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def settings(self) -> str:
        """Hash of everything numerical that the level's name does not say."""
        ...

    def load(self) -> None:
        """Import the program; a worker does this once, before its memory is limited.

        Raises:
            ImportError, OSError: when it cannot be loaded on this machine.
        """
        ...

    def compute(self, configuration: Configuration, *, forces: bool = True) -> Result:
        """One label.

        Raises:
            LabelFailed: when the calculation does not converge.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What an engine can do at one level.

    Args:
        properties: of its results.
        elements: atomic numbers with parameters; None where only the calculation can tell.
        charges: supported charges of a molecule, e; None for any.
        multiplicities: supported 2S + 1; None for any.
        seconds: core-seconds of one label by number of atoms, to the order of magnitude.
        process: kind of process in which the program runs.
        proof: source of the published values in the tests. Where None, forces are compared with finite differences of
            the energy for each molecule before its first labels.
    """

    properties: frozenset[Property] = frozenset({"energy", "forces"})
    elements: frozenset[int] | None = None
    charges: frozenset[int] | None = None
    multiplicities: frozenset[int] | None = None
    seconds: Callable[[int], float]
    process: ProcessKind = "plain"
    proof: str | None = None


class Engine(ABC):
    """A program or a potential that computes levels of theory."""

    name: ClassVar[str]
    """Prefix of its own levels (``name:``), and value of ``engine:`` in a manifest."""

    def computes(self, level: LevelOfTheory) -> bool:
        """Whether it computes this level of :mod:`asteroid.levels`."""
        return False

    def read(self, level: LevelOfTheory, folder: Path) -> LevelOfTheory:
        """Return a level of its own, ``engine:name``, in canonical spelling.

        Args:
            folder: base of relative paths.

        Raises:
            InputError: when the level does not exist.
        """
        raise InputError(f"{self.name} has no levels of its own; write the level alone, and engine: {self.name}")

    @abstractmethod
    def capabilities(self, level: LevelOfTheory) -> Capabilities:
        """Capabilities at a level; loads no program."""

    @abstractmethod
    def make(self, level: LevelOfTheory) -> Labeller:
        """The labeller of a level; loads no program before its first label.

        Raises:
            MissingDependencyError: when the program is not installed.
        """


GROUP: Final = "asteroid.engines"
"""Entry-point group; its entries are instances of subclasses of :class:`Engine`."""

_SHARED: Final = ("tblite", "xtb", "pyscf")
"""Engines of the shared levels, the default first. tblite gives the same results as xtb-python several times faster;
only xtb-python has GFN-FF."""

BUILT_IN: Final = {name: f"asteroid.engines.{name}:ENGINE" for name in (*_SHARED, "potential", "qcengine")}
"""Entry points of the built-in engines; those in pyproject.toml may be of an older installation."""


@cache
def _entry_points() -> dict[str, EntryPoint]:
    found = {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}
    return found | {name: EntryPoint(name, value, GROUP) for name, value in BUILT_IN.items()}


def engine_names() -> list[str]:
    """Names of all installed engines, including the built-in ones."""
    return sorted(_entry_points())


@cache
def find_engine(name: str) -> Engine:
    """The engine of this name, or the one that runs a program of this name.

    Raises:
        InputError: when there is none.
        AsteroidError: when its package cannot be loaded.
    """
    point = EntryPoint(name, BUILT_IN[name], GROUP) if name in BUILT_IN else _entry_points().get(name)
    if point is None:
        from asteroid.engines.qcengine import ENGINE, program_names

        if name in program_names():
            return ENGINE
        hint = "" if program_names() else "; for programs of QCEngine: pip install 'asteroid-forcefields[engines]'"
        raise InputError(f"unknown engine '{name}'; {suggest(name, [*engine_names(), *program_names()])}{hint}")
    try:
        engine = point.load()
    except Exception as error:
        # Importing a foreign package may raise anything.
        raise AsteroidError(f"the engine '{name}' ({point.value}) cannot be loaded: {error}") from error
    if not isinstance(engine, Engine):
        raise AsteroidError(f"the engine '{name}' ({point.value}) is not an instance of a subclass of Engine")
    return engine


def engines_for(level: LevelOfTheory) -> tuple[str, ...]:
    """Engines that compute this level, the default first; none for an imported level.

    For a shared level, the program has the same name as its engine. A composite level is computed by the engines that
    compute all its parts.
    """
    if level.parts:
        first, *others = (engines_for(part) for part in level.computed)
        return tuple(name for name in first if all(name in other for other in others))
    if level.engine is not None:
        return (level.engine,)
    further = [name for name in _entry_points() if name not in BUILT_IN]
    return tuple(name for name in (*_SHARED, *further) if find_engine(name).computes(level))


def engine_for(level: LevelOfTheory, wanted: str | None) -> str | None:
    """The wanted engine, if it computes this level and is not the only one; else None, for the default."""
    if wanted is None or level.engine is not None:
        return None
    engines = engines_for(level)
    return wanted if wanted in engines and len(engines) > 1 else None


def programs_for(level: LevelOfTheory) -> tuple[str, ...]:
    """Programs, as named in the ledger, that compute this level; labels of other programs cannot be recomputed."""
    if level.engine is None:
        return engines_for(level)
    try:
        return (make_labeller(level).program,)
    except AsteroidError:
        return ()


def resolve(level: LevelOfTheory, folder: Path | None = None) -> LevelOfTheory:
    """A level in its engine's spelling; a shared level is returned unchanged.

    Args:
        folder: base of a relative path in the level; the working directory when None.

    Raises:
        InputError: for an unknown engine or level.
    """
    if level.engine is None:
        return level
    try:
        return LevelOfTheory.parse(str(find_engine(level.engine).read(level, folder or Path.cwd())))
    except InputError as error:
        raise InputError(f"'{level}': {error}") from None


def make_labeller(level: LevelOfTheory, engine: str | None = None) -> Labeller:
    """The labeller of a level, of its default engine or the given one.

    Raises:
        InputError: when the engine does not compute this level.
        MissingDependencyError: when its program is not installed.

    >>> make_labeller(LevelOfTheory.parse("gfn2-xtb")).program
    'tblite'
    """
    engines = engines_for(level)
    name = engine or engines[0]
    if name not in engines:
        raise InputError(f"'{level}': the engine '{name}' does not compute it; {suggest(name, engines)}")
    if level.parts:
        from asteroid.engines.composite import CompositeLabeller

        return CompositeLabeller(level, tuple(make_labeller(part, name) for part in level.computed))
    return find_engine(name).make(level)


def require(package: str, extra: str = "label") -> None:
    """Raise MissingDependencyError, with the extra to install, when a package is not installed."""
    if importlib.util.find_spec(package) is None:
        raise MissingDependencyError(package.replace(".", "-"), extra)


def capabilities(level: LevelOfTheory, engine: str | None = None) -> Capabilities:
    """Capabilities at a level, of its default engine or the given one."""
    if level.parts:
        each = [capabilities(part, engine) for part in level.computed]
        return replace(
            each[0],
            properties=frozenset.intersection(*(one.properties for one in each)),
            seconds=lambda atoms: sum(one.seconds(atoms) for one in each),
        )
    return find_engine(engine or engines_for(level)[0]).capabilities(level)


def process_kind(level: LevelOfTheory) -> ProcessKind:
    """Kind of process in which a level is computed; it decides work pool and image."""
    return capabilities(level).process if level.engine is not None else "plain"


def check_elements(level: LevelOfTheory, numbers: Iterable[int]) -> None:
    """Raise InputError when a level has no parameters or basis functions for one of these atomic numbers."""
    if level.engine is None:
        level.check_elements(numbers)
        return
    known = capabilities(level).elements
    if known is not None and (unknown := {int(z) for z in numbers} - known):
        has = ", ".join(SYMBOLS[z] for z in sorted(known))
        missing = ", ".join(SYMBOLS[z] for z in sorted(unknown))
        raise InputError(f"'{level}': no parameters for {missing}; it has {has}: write another level")


def check_supported(level: LevelOfTheory, *, charge: int, multiplicity: int, forces: bool = True) -> None:
    """Raise InputError for labels that are not proved or that the engine does not support.

    Restricted references are used for singlets, unrestricted ones for everything else.
    """
    asked = {"charge": charge, "multiplicity": multiplicity}
    if level.parts:
        for part in level.computed:
            check_supported(part, **asked, forces=forces)
        return
    if level.engine is not None:
        _check_capabilities(level, capabilities(level), **asked, forces=forces)
        return
    if find_proof(level, **asked, forces=forces):
        return
    kind = "forces" if forces else "energies"
    remedy = f"write {nearest_proved(level, **asked, forces=forces)}"
    if forces and find_proof(level, **asked, forces=False):
        remedy += ", or ask for energies only"
    raise InputError(f"'{level}': {kind} at charge {charge} and multiplicity {multiplicity} are not proved; {remedy}")


def _check_capabilities(
    level: LevelOfTheory, able: Capabilities, *, charge: int, multiplicity: int, forces: bool
) -> None:
    if forces and "forces" not in able.properties:
        raise InputError(f"'{level}': it gives no forces; write forces: false, or another level")
    for name, value, valid in (
        ("charge", charge, able.charges),
        ("multiplicity", multiplicity, able.multiplicities),
    ):
        if valid is not None and value not in valid:
            takes = ", ".join(str(one) for one in sorted(valid))
            raise InputError(f"'{level}': {name} {value} is not supported ({takes} is); write another level")


@cache
def package_version(package: str) -> str:
    """Version of an installed package; cached, because reading it takes a tenth of the time of a cheap label."""
    return importlib.metadata.version(package)


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Hash of settings, 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
