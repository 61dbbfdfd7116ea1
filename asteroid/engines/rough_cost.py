"""Rough cost of a label, from the size of a molecule and its basis set; nothing is computed.

``asteroid check`` uses it to warn of levels that are too expensive; ``asteroid plan`` (:mod:`asteroid.plan`) measures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from asteroid.configuration import Configuration
from asteroid.engines import ProcessKind, capabilities
from asteroid.engines.pyscf.density_fitting import MEMORY
from asteroid.engines.pyscf.plain import frozen_core
from asteroid.levels import Family, LevelOfTheory


@dataclass(frozen=True)
class RoughCost:
    """Cost of one label on one thread.

    Args:
        core_seconds: to within a factor of about three for molecules of 3 to 30 atoms.
        memory: MiB.
        basis_functions: None for methods with a built-in basis set.
    """

    core_seconds: float
    memory: float
    basis_functions: int | None


@dataclass(frozen=True)
class _Size:
    """Basis functions (n), the correlated occupied (o) and virtual (v) orbitals, and auxiliary functions (x)."""

    n: int
    o: int
    v: int
    x: int = 0


SMALLEST: Final = 0.3
"""s, of a PySCF label of the smallest molecules."""

_SECONDS: Final[dict[Family, Callable[[_Size], float]]] = {
    "hf": lambda s: 5e-6 * s.n**3,
    "dft": lambda s: 2e-5 * s.n**3,
    "mp2": lambda s: 2e-8 * s.o * s.n**4,
    "ccsd": lambda s: 2e-8 * s.o**2 * s.v**4,
    "ccsd(t)": lambda s: 2e-8 * s.o**2 * s.v**4 + 3e-9 * s.o**3 * s.v**4,
}
"""Core-seconds of energy and forces, restricted. The powers are those of the most expensive step; the factors
are fitted to methanol, formic acid and ethanol in 6-31G*, cc-pVDZ and cc-pVTZ."""

_FITTED_SECONDS: Final[dict[Family, Callable[[_Size], float]]] = {
    "hf": lambda s: 3e-7 * s.n**2 * s.x + 1e-8 * s.n**2 * s.o * s.x,
    "dft": lambda s: 1.3e-6 * s.n**2 * s.x,
    "mp2": lambda s: 6e-7 * s.n**2 * s.x + 1e-8 * s.n**2 * s.o * s.x + 4e-10 * s.o**2 * s.v**2 * s.x,
}
"""The same with density fitting, fitted to benzene and paracetamol in def2-SVP, DFT in def2-TZVP as well. DFT is nearly
all grid, which grows as x does."""

_NUMBERS: Final[dict[Family, Callable[[_Size], float]]] = {
    "hf": lambda s: 100 * s.n**2,
    "dft": lambda s: 100 * s.n**2,
    "mp2": lambda s: 2 * s.o * s.v * s.n**2,
    "ccsd": lambda s: s.n**4,
    "ccsd(t)": lambda s: max(s.n**4, 7 * s.o * s.v**3),
}
"""Eight-byte numbers in memory; with less, a label takes several times as long. Mean fields keep their integrals only
where there is memory."""

_FITTED_NUMBERS: Final[dict[Family, Callable[[_Size], float]]] = {
    "hf": lambda s: min(s.n**2 * s.x, MEMORY * 1e6 / 8),
    "dft": lambda s: min(s.n**2 * s.x, MEMORY * 1e6 / 8),
    "mp2": lambda s: min(s.n**2 * s.x, MEMORY * 1e6 / 8) + 4 * s.o * s.n * s.x,
}
"""With density fitting: twice the fitted integrals, while they are made, or the memory above which they are on disk."""

_MEMORY: Final[dict[ProcessKind, float]] = {"plain": 200.0, "torch": 1500.0}
"""MiB, by kind of process."""

_PROGRAM_MEMORY: Final = 200.0
"""MiB of PySCF itself."""

_COARSE: Final = 0.4
_ENERGY_ALONE: Final = 0.3
_UNRESTRICTED: Final = 3.0
"""Factors on the cost of energy and forces of a closed shell on the usual grid."""


def rough_cost(level: LevelOfTheory, configuration: Configuration, *, forces: bool) -> RoughCost:
    """Rough cost of one label of a molecule, independent of its geometry.

    Raises:
        LabelFailed: when there are no valence electrons to correlate.
        ImportError: when PySCF, which has the basis sets, is needed and not installed.

    >>> water = Configuration([8, 1, 1], [[0, 0, 0], [0, 0.76, 0.59], [0, -0.76, 0.59]])
    >>> rough_cost(LevelOfTheory.parse("ccsd(t)/cc-pvdz"), water, forces=True).basis_functions
    24
    """
    if level.parts:
        each = [rough_cost(part, configuration, forces=forces) for part in level.computed]
        return RoughCost(
            sum(one.core_seconds for one in each),
            max(one.memory for one in each),
            max((one.basis_functions for one in each if one.basis_functions is not None), default=None),
        )
    if level.is_semiempirical:
        # GFN2 of ethanol (26 electrons) takes 1.5 ms with tblite.
        return RoughCost(2e-3 * (configuration.electrons / 26) ** 2, 100.0, None)
    if level.engine is not None:
        able = capabilities(level)
        return RoughCost(able.seconds(len(configuration.numbers)), _MEMORY[able.process], None)
    from asteroid.engines.pyscf.mean_field import make_molecule

    # Far apart, so that the cost does not depend on the geometry.
    places = np.arange(len(configuration.numbers))[:, None] * np.array([[10.0, 0.0, 0.0]])
    molecule = make_molecule(level, configuration.with_positions(places))
    occupied = (molecule.nelectron + 1) // 2
    correlated = occupied - frozen_core(molecule) if level.family in ("mp2", "ccsd", "ccsd(t)") else occupied
    seconds_of, numbers_of, auxiliary = _SECONDS, _NUMBERS, 0
    if level.definition.fitted:
        from pyscf import df

        seconds_of, numbers_of = _FITTED_SECONDS, _FITTED_NUMBERS
        auxiliary = int(df.make_auxmol(molecule).nao)
    size = _Size(int(molecule.nao), correlated, max(1, int(molecule.nao) - occupied), auxiliary)
    seconds = SMALLEST + seconds_of[level.family](size) * (_COARSE if level.definition.coarse else 1.0)
    seconds *= _UNRESTRICTED if configuration.multiplicity > 1 else 1.0
    seconds *= 1.0 if forces else _ENERGY_ALONE
    return RoughCost(seconds, _PROGRAM_MEMORY + 8 * numbers_of[level.family](size) / 2**20, size.n)
