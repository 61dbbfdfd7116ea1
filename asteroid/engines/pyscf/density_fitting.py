"""Density fitting: (pq|rs) ≈ Σ (pq|P) (P|Q)⁻¹ (Q|rs), for the levels whose names begin with ``df-``.

The numbers are not those of the exact integrals, which is why the level says so. :func:`fit` fits a mean field;
:func:`coulomb_exchange_gradient` is the derivative of its Coulomb and exchange energies, the movement of the auxiliary
functions included (Weigend and Häser, Theor. Chem. Acc. 97, 331 (1997), doi:10.1007/s002140050269). Two things are
faster than in PySCF: one pass over the derivative integrals serves Coulomb and exchange, and the auxiliary functions
need none of their own, because of translational invariance. Used by :mod:`asteroid.engines.pyscf.mean_field`,
:mod:`asteroid.engines.pyscf.density_functional` and :mod:`asteroid.engines.pyscf.fitted_mp2`.

Auxiliary basis sets, by PySCF's table: cc-pVXZ/JK and def2-XVP/JK (universal JK) for the mean field of every method,
functionals without exact exchange as well, and cc-pVXZ-RI and def2-XVP-RI for MP2's correlation energy. Pople's basis
sets use those of cc-pVXZ, sto-3g and 3-21g those of def2-SVP. Where an element or basis set has none (pc-n), PySCF
generates even-tempered functions.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asteroid.engines.pyscf.plain import Outcome, Thresholds

Array = npt.NDArray[np.float64]

MEMORY: Final = 1600
"""MB of the process above which the fitted integrals of the mean field are kept on disk. They take n²/2 numbers for
each auxiliary function: 160 MB for paracetamol in def2-SVP, 600 MB in def2-TZVP, and twice that while they are made."""

BLOCK: Final = 4_000_000
"""Numbers in one block of three-index integrals."""


def fit(mean_field: Any) -> Any:
    """An unsolved mean field with fitted integrals in place of exact ones."""
    from pyscf import df

    fitted = mean_field.density_fit(auxbasis=df.make_auxbasis(mean_field.mol))
    fitted.with_df.max_memory = MEMORY
    # Otherwise PySCF computes them again in each iteration for functionals without exact exchange.
    fitted.with_df.build()
    return fitted


def is_fitted(mean_field: Any) -> bool:
    return getattr(mean_field, "with_df", None) is not None


def hartree_fock(mean_field: Any, forces: bool, _: Thresholds) -> Outcome:
    dipole = mean_field.dip_moment(unit="AU", verbose=0)
    return Outcome(float(mean_field.e_tot), mean_field_gradient(mean_field) if forces else None, dipole)


def mean_field_gradient(mean_field: Any) -> Array:
    """(N, 3) derivative of the energy of a fitted mean field, without that of its functional, hartree/bohr."""
    method = mean_field.nuc_grad_method()
    method.auxbasis_response = False
    # All but the two-electron part is PySCF's, dispersion included.
    method.get_veff = lambda _, density: np.zeros((*density.shape[:-2], 3, *density.shape[-2:]))
    return np.asarray(method.kernel() + _two_electron(mean_field))


def _two_electron(mean_field: Any) -> Array:
    occupied = occupied_orbitals(mean_field)
    halves = [0.5 * orbitals @ orbitals.T for orbitals in occupied]
    molecule, auxiliary_basis = mean_field.mol, mean_field.with_df.auxbasis
    if not hasattr(mean_field, "xc"):
        return coulomb_exchange_gradient(molecule, auxiliary_basis, occupied, halves)
    omega, long_range, short_range = mean_field._numint.rsh_and_hybrid_coeff(mean_field.xc, spin=molecule.spin)
    gradient = coulomb_exchange_gradient(molecule, auxiliary_basis, occupied, halves, exchange=short_range)
    if omega:
        with molecule.with_range_coulomb(omega):
            gradient += coulomb_exchange_gradient(
                molecule, auxiliary_basis, occupied, halves, coulomb=False, exchange=long_range - short_range
            )
    return gradient


def occupied_orbitals(mean_field: Any) -> list[Array]:
    """Occupied orbitals (n, o): one array for a closed shell, one for each spin otherwise."""
    n = mean_field.mol.nao
    orbitals, occupations = np.reshape(mean_field.mo_coeff, (-1, n, n)), np.reshape(mean_field.mo_occ, (-1, n))
    return [one[:, occupation > 0] for one, occupation in zip(orbitals, occupations, strict=True)]


def coulomb_exchange_gradient(
    molecule: Any,
    auxiliary_basis: Any,
    occupied: Sequence[Array],
    densities: Sequence[Array],
    *,
    coulomb: bool = True,
    exchange: float = 1.0,
) -> Array:
    """(N, 3) derivative of Σ X(μν) [J(μν) − exchange · K(μν)], J and K those of the occupied orbitals.

    Args:
        occupied: (n, o) of each spin; a single one stands for both.
        densities: X (n, n), symmetric, of each spin: half the density for the energy of a mean field, to which
            correlated methods add their relaxed density.
    """
    from pyscf import df

    auxiliary = df.make_auxmol(molecule, auxiliary_basis)
    n, fitted, weight = molecule.nao, auxiliary.nao, 2 / len(occupied)
    total = weight * np.sum([orbitals @ orbitals.T for orbitals in occupied], axis=0)
    moved = weight * np.sum(densities, axis=0)
    sums = np.zeros((2, fitted))  # (P|D) and (P|X)
    halves = [np.zeros((fitted, orbitals.shape[1], n)) for orbitals in occupied] if exchange else []  # (P|iν)
    for part, integrals in three_index(molecule, auxiliary):
        sums[:, part] = [integrals.reshape(len(integrals), -1) @ density.ravel() for density in (total, moved)]
        for orbitals, half in zip(occupied, halves, strict=False):
            half[part] = orbitals.T @ integrals
    solve = metric_solver(auxiliary)
    by_total, by_moved = solve(sums.T).T if coulomb else sums * 0
    metric = -np.outer(by_moved, by_total)
    for half, density in zip(halves, densities, strict=False):
        solved = solve(half.reshape(fitted, -1)).reshape(half.shape)
        half[:] = (-2 * exchange * weight) * (solved @ density)
        metric -= 0.5 * half.reshape(fitted, -1) @ solved.reshape(fitted, -1).T

    def three_index_density(part: slice) -> Array:
        rows: Array = np.multiply.outer(by_total[part], moved) + np.multiply.outer(by_moved[part], total)
        for orbitals, half in zip(occupied, halves, strict=False):
            rows += symmetric(orbitals @ half[part])
        return rows

    return integral_gradient(molecule, auxiliary, three_index_density, metric)


def integral_gradient(molecule: Any, auxiliary: Any, density: Callable[[slice], Array], metric: Array) -> Array:
    """(N, 3) Σ Γ(P,μν) ∂(μν|P) + Σ γ(P,Q) ∂(P|Q).

    Args:
        density: Γ of a slice of auxiliary functions, (block, n, n), symmetric in μν.
        metric: γ, of which the symmetric part counts.
    """
    functions, fitted = np.zeros((3, molecule.nao)), np.zeros((3, auxiliary.nao))
    for part, derivatives in three_index(molecule, auxiliary, derivative=True):
        rows = density(part)
        for x in range(3):
            # (∂μ ν|P), with ν before μ; moving a nucleus moves its functions against the electrons.
            force = 2 * np.einsum("pnm,pnm->pm", derivatives[x], rows)
            functions[x] -= force.sum(axis=0)
            fitted[x, part] += force.sum(axis=1)
    fitted -= np.einsum("xpq,pq->xp", auxiliary.intor("int2c2e_ip1"), metric + metric.T)
    return np.array([_by_atom(molecule, functions[x]) + _by_atom(auxiliary, fitted[x]) for x in range(3)]).T


def _by_atom(molecule: Any, values: Array) -> Array:
    """(N,) sums over the basis functions of each atom."""
    return np.array([values[first:last].sum() for first, last in molecule.aoslice_by_atom()[:, 2:]])


def three_index(molecule: Any, auxiliary: Any, *, derivative: bool = False) -> Iterator[tuple[slice, Array]]:
    """Slices of auxiliary functions with (block, n, n) integrals (P|μν), or with (3, block, n, n): (P|ν ∂μ)."""
    from pyscf import lib
    from pyscf.ao2mo.outcore import balance_partition
    from pyscf.df.incore import aux_e2

    name, symmetry, components = ("int3c2e_ip1", "s1", 3) if derivative else ("int3c2e", "s2ij", 1)
    location = auxiliary.ao_loc
    for first, last, _ in balance_partition(location, max(1, BLOCK // (components * molecule.nao**2))):
        shells = (0, molecule.nbas, 0, molecule.nbas, first, last)
        integrals = aux_e2(molecule, auxiliary, name, aosym=symmetry, comp=components, shls_slice=shells)
        part = slice(int(location[first]), int(location[last]))
        yield part, integrals.transpose(0, 3, 2, 1) if derivative else lib.unpack_tril(integrals.T)


def metric_solver(auxiliary: Any) -> Callable[[Array], Array]:
    """Solver of Σ (P|Q) x(Q) = b(P), without the linearly dependent functions that PySCF drops, too."""
    from pyscf.df.grad.rhf import _gen_metric_solver

    solver: Callable[[Array], Array] = _gen_metric_solver(auxiliary.intor("int2c2e"))
    return solver


def symmetric(matrices: Array) -> Array:
    """Symmetric part of each of (m, n, n) matrices."""
    return np.asarray(0.5 * (matrices + matrices.transpose(0, 2, 1)))
