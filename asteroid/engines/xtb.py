"""GFN1-xTB, GFN2-xTB and GFN-FF through xtb-python, with the numerical settings of :mod:`asteroid.engines.tblite`."""

import contextlib
import importlib.util
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

from asteroid.configuration import Configuration
from asteroid.engines import Capabilities, Engine, Labeller, Result, package_version, require, settings_hash
from asteroid.engines.tblite import (
    ACCURACY,
    ELECTRONIC_TEMPERATURE,
    MAX_ITERATIONS,
    NUMERICAL,
    from_atomic_units,
    semiempirical_capabilities,
)
from asteroid.errors import AsteroidError, LabelFailed
from asteroid.levels import LevelOfTheory
from asteroid.units import BOHR

GENERIC_ROTATION: Final = np.array([[2.0, 3.0, 6.0], [3.0, -6.0, 2.0], [6.0, 2.0, -3.0]]) / 7.0
"""Rotation of all molecules. xtb's gradient is wrong where two atoms share a Cartesian coordinate exactly, by 0.2 eV/Å
for ASE's methanol (grimme-lab/xtb issues 492 and 986); after this rotation hardly any two do."""

FIRST_WITHOUT: Final = (3, 12)
"""The first version of Python without a package of xtb."""

_SETTINGS: Final = settings_hash(NUMERICAL)


@dataclass(frozen=True)
class XtbLabeller:
    """GFN1-xTB, GFN2-xTB and GFN-FF with xtb-python.

    GFN-FF derives its topology and topology charges from the geometry. Forces are exact for that topology, but the
    energy jumps by about 1e-4 eV where the rounding of a charge changes, and by more where a bond breaks. A calculation
    temporarily changes the working directory: never run two in threads.
    """

    level: LevelOfTheory
    program: str = "xtb"

    @property
    def version(self) -> str:
        return package_version("xtb")

    @property
    def settings(self) -> str:
        return _SETTINGS

    def load(self) -> None:
        import xtb.interface  # noqa: F401

    def compute(self, configuration: Configuration, *, forces: bool = True) -> Result:
        """One label.

        Raises:
            LabelFailed: when the charges do not converge, or atoms coincide.
        """
        from xtb.interface import Param, XTBException

        parameters = {"gfn1-xtb": Param.GFN1xTB, "gfn2-xtb": Param.GFN2xTB, "gfn-ff": Param.GFNFF}
        # GFN-FF writes ``gfnff_topo`` into the working directory, and silently reads its topology from such a file,
        # even if it is of another molecule.
        with tempfile.TemporaryDirectory(prefix="asteroid-xtb-") as scratch, contextlib.chdir(scratch):
            try:
                calculator = _quiet_xtb()(
                    parameters[self.level.method],
                    configuration.numbers,
                    configuration.positions @ GENERIC_ROTATION.T / BOHR,
                    float(configuration.charge),
                    configuration.multiplicity - 1,
                )
            except (XTBException, ValueError) as error:
                raise LabelFailed(f"xtb: {' '.join(str(error).split())}") from None
            try:
                calculator.set_accuracy(ACCURACY)
                calculator.set_max_iterations(MAX_ITERATIONS)
                calculator.set_electronic_temperature(ELECTRONIC_TEMPERATURE)
                result = calculator.singlepoint()
                gradient = result.get_gradient() @ GENERIC_ROTATION
                dipole = result.get_dipole() @ GENERIC_ROTATION
                return from_atomic_units(configuration, result.get_energy(), gradient, dipole, forces)
            except XTBException as error:
                raise LabelFailed(f"xtb: {' '.join(str(error).split())}") from None
            finally:
                calculator.release_output()


@cache
def _quiet_xtb() -> type[Any]:
    """xtb-python's calculator; the output of GFN-FF's setup goes to a file in the scratch directory."""
    from xtb.interface import Calculator

    class QuietCalculator(Calculator):  # type: ignore[misc]
        def _load(self, param: Any) -> None:
            # Not /dev/null: xtb refuses a file that it has already open.
            self.set_output("xtb.out")
            self.set_verbosity("muted")
            super()._load(param)

    return QuietCalculator


class XtbEngine(Engine):
    name = "xtb"

    def computes(self, level: LevelOfTheory) -> bool:
        return level.is_semiempirical

    def capabilities(self, level: LevelOfTheory) -> Capabilities:
        return semiempirical_capabilities(level)

    def make(self, level: LevelOfTheory) -> Labeller:
        if sys.version_info >= FIRST_WITHOUT and importlib.util.find_spec("xtb") is None:
            running = ".".join(map(str, sys.version_info[:2]))
            raise AsteroidError(
                f"the package xtb does not exist for Python {running}; use Python 3.11 for {level} with engine xtb"
            )
        require("xtb")
        return XtbLabeller(level)


ENGINE: Final = XtbEngine()
