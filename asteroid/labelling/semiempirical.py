"""The cheap levels: GFN1-xTB and GFN2-xTB through tblite or xtb-python, GFN-FF through xtb-python.

A label takes about a millisecond, so every call builds its calculator anew: the label then depends on the frame alone,
never on the frames before it. Atomic units end here. On many small molecules these programs are an order of magnitude
slower with several threads than with one: set ``OMP_NUM_THREADS=1``, or call them through a worker process.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from asteroid.configuration import Configuration
from asteroid.errors import LabelFailed
from asteroid.labelling import Result, package_version, settings_hash
from asteroid.levels import LevelOfTheory
from asteroid.units import BOHR, HARTREE, HARTREE_PER_BOHR

ACCURACY: Final = 0.01
"""Factor on the default convergence thresholds: forces to 1e-7 eV/Å for 20 % more time than the default."""

MAX_ITERATIONS: Final = 250
ELECTRONIC_TEMPERATURE: Final = 300.0
"""K, the default of both programs"""

LADDER: Final = {"default": (0.4, MAX_ITERATIONS), "damped": (0.1, 2 * MAX_ITERATIONS)}
"""Rungs of the retry ladder: damping of tblite's Broyden mixer, and iterations, of which a slower mixer needs more.

The damped rung converges a third of the distorted molecules and ions that the default does not, nine of nine to the
energy of xtb; doubly charged fragments may end in another state. The mixer keeps all its history: 500 iterations take
seconds, 1000 already half a minute, whatever the molecule.
"""

GENERIC_ROTATION: Final = np.array([[2.0, 3.0, 6.0], [3.0, -6.0, 2.0], [6.0, 2.0, -3.0]]) / 7.0
"""Rotation that xtb sees molecules in. Its gradient is wrong, by 0.2 eV/Å for ASE's methanol, where two atoms share a
Cartesian coordinate exactly (grimme-lab/xtb issues 492 and 986); after this rotation hardly any two do."""

_NUMERICAL: Final = {"accuracy": ACCURACY, "iterations": MAX_ITERATIONS, "temperature": ELECTRONIC_TEMPERATURE}
_TBLITE_SETTINGS: Final = settings_hash(_NUMERICAL | {"ladder": LADDER})
_XTB_SETTINGS: Final = settings_hash(_NUMERICAL)


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
        return _TBLITE_SETTINGS

    def compute(self, configuration: Configuration, *, forces: bool = True) -> Result:
        """One label; the gradient costs less than the energy, so only what is kept depends on ``forces``.

        Raises:
            LabelFailed: when the charges do not converge on any rung, or atoms lie on each other.
        """
        from tblite.exceptions import TBLiteRuntimeError
        from tblite.interface import Calculator

        # "GFN2-xTB" is tblite's spelling of gfn2-xtb.
        method = self.level.method.replace("gfn", "GFN").replace("xtb", "xTB")
        error: Exception | None = None
        tried: tuple[str, ...] = ()
        for rung, (damping, iterations) in LADDER.items():
            tried += (rung,)
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
                if rung != "default":
                    calculator.set("mixer-damping", damping)
                calculator.set("max-iter", iterations)
                result = calculator.singlepoint()
                return _result(
                    configuration, result.get("energy"), result.get("gradient"), result.get("dipole"), forces, tried
                )
            except TBLiteRuntimeError as failure:
                error = failure
        raise LabelFailed(f"tblite: {error}", rungs=tried)


@dataclass(frozen=True)
class XtbLabeller:
    """GFN1-xTB, GFN2-xTB and GFN-FF with xtb-python.

    GFN-FF derives its topology and topology charges from the geometry itself: forces are exact for that topology, but
    the energy jumps, by 1e-4 eV or so where a charge is rounded otherwise and by more where a bond breaks. A
    computation changes the working directory for a moment (see :func:`_scratch_directory`): never run two in threads.
    """

    level: LevelOfTheory
    program: str = "xtb"

    @property
    def version(self) -> str:
        return package_version("xtb")

    @property
    def settings(self) -> str:
        return _XTB_SETTINGS

    def compute(self, configuration: Configuration, *, forces: bool = True) -> Result:
        """One label.

        Raises:
            LabelFailed: when the charges do not converge, or atoms lie on each other.
        """
        from xtb.interface import Param, XTBException

        parameters = {"gfn1-xtb": Param.GFN1xTB, "gfn2-xtb": Param.GFN2xTB, "gfn-ff": Param.GFNFF}
        with _scratch_directory():
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
                return _result(configuration, result.get_energy(), gradient, dipole, forces)
            except XTBException as error:
                raise LabelFailed(f"xtb: {' '.join(str(error).split())}") from None
            finally:
                calculator.release_output()


@cache
def _quiet_xtb() -> type[Any]:
    """xtb-python's calculator, with what GFN-FF prints while it is set up sent to a file of the scratch directory."""
    from xtb.interface import Calculator

    class QuietCalculator(Calculator):  # type: ignore[misc]
        def _load(self, param: Any) -> None:
            # Not /dev/null: xtb refuses a file that another of its units has open.
            self.set_output("xtb.out")
            self.set_verbosity("muted")
            super()._load(param)

    return QuietCalculator


@contextlib.contextmanager
def _scratch_directory() -> Iterator[None]:
    """Work in an empty directory for a moment.

    GFN-FF writes ``gfnff_topo`` into the working directory and silently takes its topology from a file of that name
    when it finds one, whatever molecule that was for.
    """
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="asteroid-xtb-") as scratch:
        os.chdir(scratch)
        try:
            yield
        finally:
            os.chdir(before)


def _result(
    configuration: Configuration,
    energy: Any,
    gradient: Any,
    dipole: Any,
    forces: bool,
    rungs: tuple[str, ...] = ("default",),
) -> Result:
    """From atomic units; ``gradient`` (N, 3) hartree/bohr, ``dipole`` (3,) e·bohr."""
    return Result(
        energy=float(energy) * HARTREE,
        forces=-np.array(gradient, dtype=np.float64) * HARTREE_PER_BOHR if forces else None,
        dipole=np.array(dipole, dtype=np.float64) * BOHR if configuration.charge == 0 else None,
        rungs=rungs,
    )
