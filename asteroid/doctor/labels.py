"""Check label workers: loaded libraries, and one label of each program against a published energy."""

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asteroid.configuration import Configuration
from asteroid.doctor.check import Check, skipped
from asteroid.errors import AsteroidError
from asteroid.levels import LevelOfTheory
from asteroid.processes import call_in_process
from asteroid.units import BOHR, HARTREE

HYDROGEN_FLUORIDE = Configuration(np.array([1, 9]), np.array([[0, 0, -1.64558411], [0, 0, 0.08729475]]) * BOHR)

TBLITE_EXAMPLE = Configuration(
    np.array([1, 1, 6, 5, 1, 15, 8, 17, 13, 15, 5, 1, 9, 15, 1, 15]),
    np.array(
        [
            [2.79274810283778, 3.82998228828316, -2.79287054959216],
            [-1.43447454186833, 0.43418729987882, 5.53854345129809],
            [-3.26268343665218, -2.50644032426151, -1.56631149351046],
            [2.14548759959147, -0.88798018953965, -2.24592534506187],
            [-4.30233097423181, -3.93631518670031, -0.48930754109119],
            [0.06107643564880, -3.82467931731366, -2.22333344469482],
            [0.41168550401858, 0.58105573172764, 5.56854609916143],
            [4.41363836635653, 3.92515871809283, 2.57961724984000],
            [1.33707758998700, 1.40194471661647, 1.97530004949523],
            [3.08342709834868, 1.72520024666801, -4.42666116106828],
            [-3.02346932078505, 0.04438199934191, -0.27636197425010],
            [1.11508390868455, -0.97617412809198, 6.25462847718180],
            [0.61938955433011, 2.17903547389232, -6.21279842416963],
            [-2.67491681346835, 3.00175899761859, 1.05038813614845],
            [-4.13181080289514, -2.34226739863660, -3.44356159392859],
            [2.85007173009739, -2.64884892757600, 0.71010806424206],
        ]
    )
    * BOHR,
)


@dataclass(frozen=True)
class Published:
    """A published energy.

    Args:
        energy: hartree.
        tolerance: hartree, from the convergence of both.
    """

    engine: str
    level: str
    configuration: Configuration
    energy: float
    tolerance: float
    source: str


_TBLITE = "the documentation of tblite"
_SUITE = "the QC standard suite (Cfour, Gaussian, Psi4; frozen core)"

PUBLISHED = (
    Published("tblite", "gfn2-xtb", TBLITE_EXAMPLE, -31.716159156026254, 1e-6, _TBLITE),
    # xtb converges its charges to another accuracy.
    Published("xtb", "gfn2-xtb", TBLITE_EXAMPLE, -31.716159156026254, 1e-5, _TBLITE),
    Published("pyscf", "hf/cc-pvdz", HYDROGEN_FLUORIDE, -100.0194112690227, 1e-7, _SUITE),
    Published("pyscf", "ccsd(t)/cc-pvdz", HYDROGEN_FLUORIDE, -100.22814697383868, 1e-7, _SUITE),
)


def check_engines() -> list[Check]:
    """Compute one label with each program, in a worker, and compare it with a published energy."""
    return [check_label(published) for published in PUBLISHED] + check_plug_ins()


def check_plug_ins() -> list[Check]:
    """Check that engines of other packages can be loaded; their levels are checked on their first molecule."""
    from asteroid.engines import BUILT_IN, engine_names, find_engine

    checks = []
    for name in sorted(set(engine_names()) - set(BUILT_IN)):
        try:
            found = f"{type(find_engine(name)).__module__}: a level's forces are checked before its first labels"
            checks.append(Check(f"engine: {name}", "ok", found))
        except AsteroidError as error:
            checks.append(Check(f"engine: {name}", "failed", str(error), "reinstall its package"))
    return checks


def check_label(published: Published) -> Check:
    """Label one configuration and compare its energy with the published one."""
    from asteroid.labelling.campaign import label_configurations

    name = f"label: {published.engine} {published.level}"
    if importlib.util.find_spec(published.engine) is None:
        return skipped(name, published.engine, "label")
    level = LevelOfTheory.parse(published.level)
    (attempt,) = label_configurations([published.configuration], level, engine=published.engine)
    if attempt.energy is None or attempt.status != "ok":
        return Check(name, "failed", f"{attempt.status}: {attempt.reason}", f"reinstall {published.engine}")
    off = attempt.energy / HARTREE - published.energy
    found = f"{published.configuration.formula}: {off:+.1e} hartree from {published.source}"
    if abs(off) > published.tolerance:
        advice = f"trust no label of it; reinstall {published.engine} as constraints.txt says"
        return Check(name, "failed", found, advice)
    return Check(name, "ok", f"{found}, {attempt.wall_seconds:.2f} s")


@dataclass(frozen=True)
class Worker:
    """What is loaded in a label worker after a label.

    Args:
        torch: modules of torch.
        blas: BLAS of NumPy.
        libraries: loaded BLAS and OpenMP libraries.
        threads: of PySCF; None without PySCF.
    """

    torch: list[str]
    blas: str
    libraries: list[str]
    threads: int | None


OPENMP = ("libgomp", "libiomp5", "libomp")
LIBRARIES = ("openblas", "mkl_rt", "blis", *OPENMP)
"""Parts of the file names of BLAS and OpenMP libraries."""


def check_workers() -> list[Check]:
    """Check that a label worker has not loaded torch and uses one thread."""
    engines = [e for e in ("tblite", "xtb", "pyscf") if importlib.util.find_spec(e)]
    if not engines:
        return [skipped("label workers", "no program that labels", "label")]
    worker = call_in_process(describe_worker, engines)
    checks = []
    if worker.torch:
        advice = "clashing OpenMP and BLAS give wrong energies: report this"
        checks.append(Check("label workers", "failed", f"torch is loaded: {', '.join(worker.torch[:3])}", advice))
    else:
        checks.append(Check("label workers", "ok", f"{', '.join(engines)} label without torch"))
    if worker.threads not in (None, 1):
        found = f"a worker uses {worker.threads} threads"
        checks.append(Check("BLAS", "failed", found, "unset what forces threads, e.g. in ~/.pyscf_conf.py"))
        return checks
    held = ", ".join(worker.libraries) or "none that is known"
    found = f"numpy's is {worker.blas}; a worker holds {held} and uses one thread"
    if len(set(OPENMP) & set(worker.libraries)) > 1:
        advice = "two OpenMP libraries in a process may clash; install all of asteroid-forcefields[label] from wheels"
        checks.append(Check("BLAS", "warning", found, advice))
    else:
        checks.append(Check("BLAS", "ok", found))
    return checks


def describe_worker(engines: list[str]) -> Worker:
    """Compute a label with each program in this process, and list what was loaded."""
    from asteroid.engines import make_labeller

    hydrogen = Configuration(np.array([1, 1]), np.array([[0, 0, 0], [0, 0, 0.74]]))
    for engine in engines:
        level = LevelOfTheory.parse("hf/sto-3g" if engine == "pyscf" else "gfn2-xtb")
        make_labeller(level, engine).compute(hydrogen)
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    mapped = {Path(line.split()[-1]).name for line in Path("/proc/self/maps").read_text().splitlines() if "/" in line}
    threads = None
    if "pyscf" in engines:
        from pyscf import lib

        threads = int(lib.num_threads())
    return Worker(
        torch=sorted(name for name in sys.modules if name.partition(".")[0] == "torch"),
        blas=f"{blas['name']} {blas['version']}",
        libraries=[known for known in LIBRARIES if any(known in name for name in mapped)],
        threads=threads,
    )
