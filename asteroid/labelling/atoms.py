"""Ground-state energies of free atoms, the zero of the models' energies.

An open-shell atom has several SCF solutions, and a single initial guess may end in an excited one (Mn in UHF: 4 eV
higher). The SCF therefore starts from several guesses, and the lowest energy is kept. :mod:`asteroid.stages.atoms`
stores the results, :mod:`asteroid.training.baseline` reads them.
"""

import contextlib
import datetime as dt
from typing import Any, Final

import numpy as np

from asteroid.configuration import SYMBOLS, Configuration
from asteroid.engines import check_supported, engines_for, make_labeller
from asteroid.engines.pyscf.ab_initio import PLAIN, SETTINGS, THRESHOLDS, plain_method
from asteroid.engines.pyscf.mean_field import SCF_CYCLES, make_mean_field, solve
from asteroid.engines.pyscf.plain import frozen_core
from asteroid.errors import AsteroidError, LabelFailed, MissingDependencyError
from asteroid.labelling.attempt import is_machine_fault, one_line
from asteroid.levels import LevelOfTheory
from asteroid.store.records import FreeAtom
from asteroid.units import HARTREE
from asteroid.usage import measure

GUESSES: Final = ("minao", "atom", "1e")
"""PySCF's initial guesses: two kinds of superposed atomic densities, and the core Hamiltonian."""

SCF_ENERGY, SCF_GRADIENT = 1e-9, 1e-5
"""hartree, and the norm of the orbital gradient; the energy error is of second order in it. With DFT, the energy of an
open p shell hardly depends on its orientation to the grid, and tighter gradients take minutes."""

GUESS_CYCLES: Final = 50

LANTHANIDES: Final = range(57, 72)


def can_compute_atoms(level: LevelOfTheory) -> bool:
    """Whether an engine computes this level and its program is installed."""
    try:
        return bool(engines_for(level)) and make_labeller(level) is not None
    except MissingDependencyError:
        return False


def ground_state_multiplicity(number: int, level: LevelOfTheory) -> int:
    """2S + 1 of the ground state of a neutral atom.

    GFN methods put the 4f electrons of a lanthanide into the core, which leaves one unpaired 5d electron.

    >>> [ground_state_multiplicity(z, LevelOfTheory.parse("hf/sto-3g")) for z in (1, 6, 7, 8, 9, 10)]
    [2, 3, 4, 3, 2, 1]
    """
    from ase.data import ground_state_magnetic_moments

    if level.is_semiempirical and number in LANTHANIDES:
        return 2
    return 1 + round(float(ground_state_magnetic_moments[number]))


def free_atom(level: LevelOfTheory, number: int, engine: str | None = None) -> FreeAtom:
    """Energy and cost of one free atom.

    Args:
        engine: program for a semiempirical level, as in :func:`~asteroid.engines.make_labeller`.
    """
    multiplicity = ground_state_multiplicity(number, level)
    atom = Configuration(np.array([number]), np.zeros((1, 3)), multiplicity=multiplicity)
    labeller = make_labeller(level, engine)
    energy, reason = None, None
    with measure() as used:
        try:
            energy = labeller.compute(atom, forces=False).energy if level.is_semiempirical else _ab_initio(level, atom)
        except AsteroidError as error:
            reason = str(error)
        except Exception as error:
            if is_machine_fault(error):
                raise
            # The programs raise anything, as for labels. Training has a fallback for a missing atom.
            reason = one_line(f"{type(error).__name__}: {error}")
    return FreeAtom(
        level=str(level),
        element=SYMBOLS[number],
        multiplicity=multiplicity,
        energy=energy,
        reason=reason,
        program=labeller.program,
        version=labeller.version,
        settings=labeller.settings,
        cpu_seconds=used.cpu,
        wall_seconds=used.wall,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    )


def _ab_initio(level: LevelOfTheory, atom: Configuration) -> float:
    """Energy in eV, on one thread.

    Raises:
        LabelFailed: when no SCF converges.
        InputError: for a method whose energies are not proved.
    """
    from pyscf import lib

    check_supported(level, charge=0, multiplicity=atom.multiplicity, forces=False)
    with lib.with_omp_threads(1):
        mean_field = _lowest(level, atom)
        if level.family in ("hf", "dft") or not _is_correlated(mean_field):
            return float(mean_field.e_tot) * HARTREE
        # Without an empty α orbital (nitrogen in a minimal basis) there are no triples, and PySCF divides by zero.
        no_triples = level.family == "ccsd(t)" and mean_field.mol.nelec[0] == mean_field.mol.nao
        method = PLAIN["ccsd"] if no_triples else plain_method(level)
        return method(mean_field, False, THRESHOLDS).energy * HARTREE


def _lowest(level: LevelOfTheory, atom: Configuration) -> Any:
    """The mean field of lowest energy from all guesses; retry steps are used only where none converges."""
    starts: list[Any] = [None] * len(GUESSES)
    if level.family == "dft":
        # DFT may oscillate between degenerate orbitals of an open shell; it converges from the Hartree-Fock density.
        starts = [_lowest(LevelOfTheory("hf", None, level.basis), atom).make_rdm1()]
    attempts = [_mean_field(level, atom, guess) for guess, _ in zip(GUESSES, starts, strict=False)]
    for attempt, start in zip(attempts, starts, strict=True):
        attempt.kernel(dm0=start)
    if not any(attempt.converged for attempt in attempts):
        for attempt in attempts:
            attempt.max_cycle = SCF_CYCLES
            with contextlib.suppress(LabelFailed):
                solve(attempt, plain=True)
    converged = [attempt for attempt in attempts if attempt.converged]
    if not converged:
        raise LabelFailed(f"SCF of the {atom.symbols[0]} atom not converged from any of: {', '.join(GUESSES)}")
    return min(converged, key=lambda attempt: float(attempt.e_tot))


def _mean_field(level: LevelOfTheory, atom: Configuration, guess: str) -> Any:
    mean_field = make_mean_field(level, atom, grid_level=SETTINGS["grid_level"])
    mean_field.conv_tol, mean_field.conv_tol_grad = SCF_ENERGY, SCF_GRADIENT
    mean_field.init_guess, mean_field.max_cycle = guess, GUESS_CYCLES
    return mean_field


def _is_correlated(mean_field: Any) -> bool:
    """Whether there are two valence electrons and an empty orbital.

    PySCF's coupled cluster fails for a hydrogen atom, whose correlation energy is zero.
    """
    molecule = mean_field.mol
    alpha, beta = molecule.nelec
    try:
        core = frozen_core(molecule)
    except LabelFailed:
        return False
    return bool(alpha + beta - 2 * core > 1 and molecule.nao > beta)
