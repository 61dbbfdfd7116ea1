"""GFN1-xTB and GFN2-xTB through tblite.

Every call makes a new calculator, so that a label never depends on earlier frames. Atomic units end here. For small
molecules the program is ten times slower with several threads: set ``OMP_NUM_THREADS=1``, or call it through a worker
process.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from asteroid.configuration import Configuration
from asteroid.engines import Capabilities, Engine, Labeller, Result, package_version, require, settings_hash
from asteroid.errors import LabelFailed
from asteroid.levels import LevelOfTheory
from asteroid.units import BOHR, HARTREE, HARTREE_PER_BOHR

ACCURACY: Final = 0.01
"""Factor on the default convergence thresholds; forces converge to 1e-7 eV/Å in 20 % more time."""

MAX_ITERATIONS: Final = 250
ELECTRONIC_TEMPERATURE: Final = 300.0
"""K, the default of tblite and of xtb"""

NUMERICAL: Final = {"accuracy": ACCURACY, "iterations": MAX_ITERATIONS, "temperature": ELECTRONIC_TEMPERATURE}

RETRY_STEPS: Final = {"default": (0.4, MAX_ITERATIONS), "damped": (0.1, 2 * MAX_ITERATIONS)}
"""Retry steps: damping of tblite's Broyden mixer, and the largest number of iterations.

The damped step converges a third of the distorted molecules and ions that the default does not, nine of nine to the
energy of xtb; doubly charged fragments may end in another state. The mixer keeps its whole history: 500 iterations take
seconds, 1000 half a minute, for any molecule.
"""

_SETTINGS: Final = settings_hash(NUMERICAL | {"ladder": RETRY_STEPS})


@dataclass(frozen=True)
class TbliteLabeller:
    """GFN1-xTB and GFN2-xTB with tblite."""

    level: LevelOfTheory
    program: str = "tblite"

    @property
    def version(self) -> str:
        return package_version("tblite")

    @property
    def settings(self) -> str:
        return _SETTINGS

    def load(self) -> None:
        import tblite.interface  # noqa: F401

    def compute(self, configuration: Configuration, *, forces: bool = True) -> Result:
        """One label; the gradient costs less than the energy and is dropped without ``forces``.

        Raises:
            LabelFailed: when the charges do not converge in any retry step, or atoms coincide.
        """
        from tblite.exceptions import TBLiteRuntimeError
        from tblite.interface import Calculator

        # "GFN2-xTB" is tblite's spelling of gfn2-xtb.
        method = self.level.method.replace("gfn", "GFN").replace("xtb", "xTB")
        error: Exception | None = None
        tried: tuple[str, ...] = ()
        for retry_step, (damping, iterations) in RETRY_STEPS.items():
            tried += (retry_step,)
            try:
                calculator = Calculator(
                    method,
                    configuration.numbers,
                    configuration.positions / BOHR,
                    float(configuration.charge),
                    configuration.multiplicity - 1,
                )
                calculator.set("verbosity", 0)
                calculator.set("accuracy", ACCURACY)
                if retry_step != "default":
                    calculator.set("mixer-damping", damping)
                calculator.set("max-iter", iterations)
                result = calculator.singlepoint()
                return from_atomic_units(
                    configuration, result.get("energy"), result.get("gradient"), result.get("dipole"), forces, tried
                )
            except TBLiteRuntimeError as failure:
                error = failure
        raise LabelFailed(f"tblite: {error}", retry_steps=tried)


def from_atomic_units(
    configuration: Configuration,
    energy: Any,
    gradient: Any,
    dipole: Any,
    forces: bool,
    retry_steps: tuple[str, ...] = ("default",),
) -> Result:
    """Convert a result from atomic units: ``energy`` hartree, ``gradient`` (N, 3) hartree/bohr, ``dipole`` (3,)
    e·bohr."""
    return Result(
        energy=float(energy) * HARTREE,
        forces=-np.array(gradient, dtype=np.float64) * HARTREE_PER_BOHR if forces else None,
        dipole=np.array(dipole, dtype=np.float64) * BOHR if configuration.charge == 0 else None,
        retry_steps=retry_steps,
    )


class TbliteEngine(Engine):
    name = "tblite"

    def computes(self, level: LevelOfTheory) -> bool:
        return level.method in ("gfn1-xtb", "gfn2-xtb")

    def capabilities(self, level: LevelOfTheory) -> Capabilities:
        return semiempirical_capabilities(level)

    def make(self, level: LevelOfTheory) -> Labeller:
        require("tblite")
        return TbliteLabeller(level)


def semiempirical_capabilities(level: LevelOfTheory) -> Capabilities:
    """Capabilities of a GFN method; :mod:`asteroid.engines.proofs` has the proved charges and multiplicities."""
    return Capabilities(
        properties=frozenset({"energy", "forces", "dipole"}),
        elements=frozenset(range(1, level.definition.max_number + 1)),
        # GFN2 of ethanol takes 1.5 ms.
        seconds=lambda atoms: 2e-3 * (atoms / 9) ** 2,
        proof="asteroid.engines.proofs",
    )


ENGINE: Final = TbliteEngine()
