"""Labels: energies and forces of configurations at a level of theory, from the programs that compute them.

:func:`make_labeller` turns a level into a :class:`Labeller`; :mod:`asteroid.labelling.attempt` measures and audits one
label, :mod:`asteroid.labelling.campaign` labels many on all cores. Importing this package is cheap and never imports
torch; the programs themselves are loaded with the first label.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from asteroid.configuration import Configuration
from asteroid.engines.proofs import find_proof, nearest_proved
from asteroid.errors import InputError, MissingDependencyError, suggest
from asteroid.levels import LevelOfTheory


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """What a program computed for one configuration.

    Args:
        energy: eV, total.
        forces: (N, 3) eV/Å, −dE/dR; None when only the energy was asked for.
        dipole: (3,) e·Å, where it comes free; None for ions, whose dipole depends on the origin.
        spin_square: ⟨S²⟩ in ħ², of an unrestricted reference; None for a restricted one.
        rungs: of the retry ladder, in the order in which they were tried; the last gave the result.
        check_error: eV/Å, largest difference of these forces from those of a second, plainer computation of the same
            label; None where there was none.
        positions: (N, 3) Å, where the program says for which geometry it computed this.
    """

    energy: float
    forces: npt.NDArray[np.float64] | None = None
    dipole: npt.NDArray[np.float64] | None = None
    spin_square: float | None = None
    rungs: tuple[str, ...] = ("default",)
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

    def compute(self, configuration: Configuration, *, forces: bool = True) -> Result:
        """One label.

        Raises:
            LabelFailed: when the calculation does not converge.
        """
        ...


@cache
def package_version(package: str) -> str:
    """Of an installed package; reading it takes a tenth of a cheap label's time, so it is kept."""
    return importlib.metadata.version(package)


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that change when any setting changes."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def _tblite(level: LevelOfTheory) -> Labeller:
    from asteroid.engines.tblite import TbliteLabeller

    return TbliteLabeller(level)


def _xtb(level: LevelOfTheory) -> Labeller:
    from asteroid.engines.xtb import XtbLabeller

    return XtbLabeller(level)


def _pyscf(level: LevelOfTheory) -> Labeller:
    from asteroid.engines.pyscf.ab_initio import PyscfLabeller

    return PyscfLabeller(level)


ENGINES: dict[str, Callable[[LevelOfTheory], Labeller]] = {"tblite": _tblite, "xtb": _xtb, "pyscf": _pyscf}
"""Every program that can label, by the name of its package."""


def engines_for(level: LevelOfTheory) -> tuple[str, ...]:
    """Programs that compute this level, the default first.

    tblite is several times faster than xtb-python at the same numbers; GFN-FF is in xtb-python alone.
    """
    if not level.is_semiempirical:
        return ("pyscf",)
    return ("xtb",) if level.method == "gfn-ff" else ("tblite", "xtb")


def make_labeller(level: LevelOfTheory, engine: str | None = None) -> Labeller:
    """The labeller of a level, by its default program or the one named.

    Raises:
        InputError: when the program does not compute this level.
        MissingDependencyError: when the program is not installed.

    >>> make_labeller(LevelOfTheory.parse("gfn2-xtb")).program
    'tblite'
    """
    engines = engines_for(level)
    engine = engine or engines[0]
    if engine not in engines:
        raise InputError(f"'{level}': the engine '{engine}' does not compute it; {suggest(engine, engines)}")
    needed = [engine, "pyscf.dispersion"] if engine == "pyscf" and level.dispersion else [engine]
    for package in needed:
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(package.replace(".", "-"), "label")
    return ENGINES[engine](level)


def check_supported(level: LevelOfTheory, *, charge: int, multiplicity: int, forces: bool = True) -> None:
    """Raise InputError for labels that have not been proved, naming the nearest proved ones.

    Restricted references are used for singlets, unrestricted ones for everything else.
    """
    asked = {"charge": charge, "multiplicity": multiplicity}
    if find_proof(level, **asked, forces=forces):
        return
    kind = "forces" if forces else "energies"
    remedy = f"write {nearest_proved(level, **asked, forces=forces)}"
    if forces and find_proof(level, **asked, forces=False):
        remedy += ", or ask for energies only"
    raise InputError(f"'{level}': {kind} at charge {charge} and multiplicity {multiplicity} are not proved; {remedy}")
