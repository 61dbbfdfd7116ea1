"""Forces of closed-shell MP2, CCSD and CCSD(T) from their density matrices.

The equations are those of ``pyscf.grad.mp2`` and ``pyscf.grad.ccsd`` (J. Chem. Phys. 95, 2639 (1991),
doi:10.1063/1.460916). Two things are faster here: each derivative integral is contracted only once, with the reference
and the relaxed correlated density together; and the atom with the most basis functions needs no derivative integrals,
because of translational invariance. Called by :mod:`asteroid.engines.pyscf.correlation`.
"""

import ctypes
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

BLOCK: Final = 2_000_000
"""Numbers in one block of the two-particle density; the derivative integrals take three times as much."""

RESPONSE_CYCLES: Final = 200
LINEAR_DEPENDENCE: Final = 1e-24
"""Squared norm below which a trial vector of the orbital response is dropped."""


def correlated_gradient(
    mean_field: Any,
    *,
    doo: Array,
    dvv: Array,
    lagrangian: Array,
    two_particle: Callable[[int, int], Array],
    response_tolerance: float,
) -> tuple[Array, Array]:
    """Gradient (N, 3) hartree/bohr of the energy with these densities and a frozen core, and dipole (3,) e·bohr.

    The dipole is that of the relaxed density, the derivative of the energy with respect to an electric field.

    Args:
        mean_field: converged RHF.
        doo, dvv: (o, o), (v, v) unrelaxed one-particle density of correlated occupied and of virtual orbitals, half of
            the symmetric one, as in PySCF.
        lagrangian: (n, n), −Σ (pr|st) Γ(qr,st) over all orbitals r, s, t, with PySCF's Γ.
        two_particle: rows first to last of Γ in the atomic basis, (last − first, n, n(n+1)/2), symmetric in each pair,
            the diagonal of the second pair halved.
        response_tolerance: of the orbital response.
    """
    from pyscf.grad import rhf

    molecule, orbitals, energies = mean_field.mol, mean_field.mo_coeff, mean_field.mo_energy
    occupied = int(np.count_nonzero(mean_field.mo_occ))
    core = occupied - len(doo)
    relaxed = np.zeros_like(lagrangian)
    relaxed[core:occupied, core:occupied] = doo + doo.T
    relaxed[occupied:, occupied:] = dvv + dvv.T
    rotation = lagrangian[:core, core:occupied] / (energies[:core, None] - energies[core:occupied])
    relaxed[:core, core:occupied] = rotation
    relaxed[core:occupied, :core] = rotation.T
    _relax(mean_field, relaxed, lagrangian, occupied, response_tolerance)

    weights = 0.5 * (energies[:, None] + energies)
    weights[occupied:, :occupied] = energies[:occupied]
    weights[:occupied, occupied:] = energies[:occupied, None]
    energy_weighted = orbitals @ (weights * relaxed) @ orbitals.T
    energy_weighted += rhf.make_rdm1e(energies, orbitals, mean_field.mo_occ)
    lagrangian = lagrangian.copy()
    lagrangian[occupied:, :occupied] = lagrangian[:occupied, occupied:].T
    correlation = orbitals @ relaxed @ orbitals.T
    projector = orbitals[:, :occupied] @ orbitals[:, :occupied].T
    overlap_force = orbitals @ lagrangian @ orbitals.T
    overlap_force = overlap_force + overlap_force.T - energy_weighted - energy_weighted.T
    overlap_force -= 2 * projector @ mean_field.get_veff(molecule, 2 * correlation) @ projector

    reference = mean_field.make_rdm1()
    total = reference + correlation
    method = mean_field.nuc_grad_method()
    core_hamiltonian, overlap = method.hcore_generator(molecule), method.get_ovlp(molecule)
    gradient = method.grad_nuc()
    for atom, (_, _, first, last) in enumerate(molecule.aoslice_by_atom()):
        gradient[atom] += np.einsum("xij,ij->x", core_hamiltonian(atom), total)
        gradient[atom] += np.einsum("xij,ij->x", overlap[:, first:last], overlap_force[first:last])
    gradient += _two_electron(molecule, two_particle, reference, reference + 2 * correlation)
    return np.asarray(gradient), np.asarray(mean_field.dip_moment(molecule, total, unit="AU", verbose=0))


def _relax(mean_field: Any, relaxed: Array, lagrangian: Array, occupied: int, tolerance: float) -> None:
    """Add the orbital response to the density in place."""
    from pyscf import lib

    orbitals = mean_field.mo_coeff
    occ, vir = orbitals[:, :occupied], orbitals[:, occupied:]
    gaps = mean_field.mo_energy[occupied:, None] - mean_field.mo_energy[:occupied]

    def potential(density: Array) -> Array:
        """(v, o) of twice the two-electron potential of a symmetric density, over the orbital gaps."""
        return np.asarray(2 * vir.T @ mean_field.get_veff(mean_field.mol, density) @ occ / gaps)

    def response(x: Array) -> Array:
        density = vir @ x.reshape(gaps.shape) @ occ.T
        return np.ravel(potential(density + density.T))

    source = -potential(orbitals @ relaxed @ orbitals.T)
    source -= (lagrangian[:occupied, occupied:].T - lagrangian[occupied:, :occupied]) / gaps
    # The solver stops when the squared norm of a trial vector falls below its limit for linear dependence, even above
    # the tolerance: with the default limit forces are off by up to 6e-5 eV/Å.
    rotation = lib.krylov(
        response, source.ravel(), tol=tolerance, max_cycle=RESPONSE_CYCLES, lindep=LINEAR_DEPENDENCE
    ).reshape(gaps.shape)
    relaxed[occupied:, :occupied] = rotation
    relaxed[:occupied, occupied:] = rotation.T


def _two_electron(molecule: Any, two_particle: Callable[[int, int], Array], reference: Array, relaxed: Array) -> Array:
    """(N, 3) derivative of the two-electron integrals with all densities."""
    n = len(reference)
    r, s = np.tril_indices(n)
    halved = np.where(r == s, 0.5, 1.0)
    # Twice the exchange part of Γ, symmetric in r and s: D(pr)P(qs) + D(ps)P(qr) and the same with D and P exchanged.
    by_column = [(x[:, r], y[:, s] * halved) for x, y in ((reference, relaxed), (relaxed, reference))]
    by_column += [(x[:, s], y[:, r] * halved) for x, y in ((reference, relaxed), (relaxed, reference))]
    coulomb = [(x, y[r, s] * halved) for x, y in ((reference, relaxed), (relaxed, reference))]

    slices = molecule.aoslice_by_atom()
    spared = int(np.argmax(slices[:, 3] - slices[:, 2]))
    gradient = np.zeros((len(slices), 3))
    for atom, (shell, last_shell, _, _) in enumerate(slices):
        if atom == spared:
            continue
        for start, end, first, last in _blocks(molecule, shell, last_shell):
            density = two_particle(first, last)
            for row, p in zip(density, range(first, last), strict=True):
                for x, y in coulomb:
                    row += np.outer(x[p], y)
                for x, y in by_column:
                    row -= (0.25 * x[p]) * y
            every = (0, molecule.nbas) * 3
            derivative = molecule.intor("int2e_ip1", comp=3, aosym="s2kl", shls_slice=(start, end, *every))
            gradient[atom] -= 2 * (derivative.reshape(3, -1) @ density.ravel())
    gradient[spared] = -gradient.sum(axis=0)
    return gradient


def _blocks(molecule: Any, shell: int, last_shell: int) -> Iterator[tuple[int, int, int, int]]:
    """Shells start to end and their basis functions first to last, as many as make a block."""
    location = molecule.ao_loc_nr()
    n = molecule.nao
    rows = max(1, BLOCK // (n * n * (n + 1) // 2))
    start = shell
    for end in range(shell + 1, last_shell + 1):
        if end == last_shell or location[end + 1] - location[start] > rows:
            yield start, end, int(location[start]), int(location[end])
            start = end


def to_atomic_pairs(matrices: Array, left: Array, right: Array) -> Array:
    """(m, n(n+1)/2): L M Rᵀ + R Mᵀ Lᵀ of each of m matrices (m, l, r), packed; left (n, l) and right (n, r)."""
    from pyscf.ao2mo import _ao2mo
    from pyscf.cc import _ccsd

    orbitals = np.asfortranarray(np.hstack([left, right]))
    n, count = len(orbitals), len(matrices)
    packed = np.empty((count, n * (n + 1) // 2))
    bounds = (0, left.shape[1], left.shape[1], orbitals.shape[1])
    matrices = np.ascontiguousarray(matrices)
    _ao2mo.libao2mo.AO2MOnr_e2_drv(
        _ao2mo.libao2mo.AO2MOtranse2_nr_s1,
        _ccsd.libcc.CCmmm_transpose_sum,
        packed.ctypes.data_as(ctypes.c_void_p),
        matrices.ctypes.data_as(ctypes.c_void_p),
        orbitals.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int(count),
        ctypes.c_int(n),
        (ctypes.c_int * 4)(*bounds),
        ctypes.POINTER(ctypes.c_void_p)(),
        ctypes.c_int(0),
    )
    return packed
