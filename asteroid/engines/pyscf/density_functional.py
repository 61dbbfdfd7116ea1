"""Faster DFT: most SCF iterations on a coarse grid, results from the fine grid.

The exchange-correlation grid takes nearly all the time of a DFT label of a small molecule. :func:`solve_on_two_grids`
evaluates the fine grid three times instead of a dozen, for the same converged energy. :func:`energy_and_gradient`
contracts the potential's derivatives with the density directly, without matrices. Called by
:mod:`asteroid.engines.pyscf.mean_field` and :mod:`asteroid.engines.pyscf.ab_initio`.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asteroid.engines.pyscf import density_fitting
from asteroid.engines.pyscf.plain import Outcome, Thresholds

Array = npt.NDArray[np.float64]

COARSE_GRID: Final = 0
"""PySCF's grid level, with a tenth of the points of level 4. Level 1 saves one pass over the fine grid but costs
more."""

LARGEST_PASSES: Final = 6
"""Largest number of passes over the fine grid; three are usual."""

FIRST_GRADIENT: Final = 1e-4
"""Threshold of the orbital gradient for the first coarse solution: the difference of the grids is of this size."""

BLOCK: Final = 2_000_000
"""Numbers in memory for the basis functions and their derivatives on one block of grid points."""


def solve_on_two_grids(mean_field: Any) -> None:
    """Converge ``mean_field`` on its own grid in place; sets ``mean_field.converged``.

    The Fock matrices of the fine and the coarse grid differ by a term that hardly changes with the density. This term
    is computed, the coarse problem is solved with it held constant, and so on until the orbital gradient on the fine
    grid is below ``conv_tol_grad``. The converged result does not depend on the coarse grid.
    """
    coarse = mean_field.copy()
    coarse.grids = mean_field.grids.copy()
    coarse.grids.level = COARSE_GRID
    # The coarse energy lacks the constant term, so only the gradient decides about convergence.
    coarse.conv_tol, coarse.conv_tol_grad = 1.0, FIRST_GRADIENT
    coarse.conv_check = False
    coarse.kernel()
    if coarse._eri is not None:
        mean_field._eri = coarse._eri
    core, overlap, plain_fock = coarse.get_hcore(), coarse.get_ovlp(), coarse.get_fock
    coarse.conv_tol_grad = mean_field.conv_tol_grad / 3
    mean_field.converged = False
    for _ in range(LARGEST_PASSES):
        if not coarse.converged:
            return
        density = coarse.make_rdm1()
        potential = mean_field.get_veff(dm=density)
        fock = mean_field.get_fock(core, overlap, potential, density)
        residual = mean_field.get_grad(coarse.mo_coeff, coarse.mo_occ, fock)
        if np.linalg.norm(residual) < mean_field.conv_tol_grad:
            mean_field.mo_energy, mean_field.mo_coeff = mean_field.eig(fock, overlap)
            mean_field.mo_occ = mean_field.get_occ(mean_field.mo_energy, mean_field.mo_coeff)
            mean_field.e_tot = mean_field.energy_tot(density, core, potential)
            mean_field.converged = True
            return
        # Takes the place of the core Hamiltonian, to which the coarse potential is added.
        shifted = fock - coarse.get_veff(dm=density)
        coarse.get_fock = lambda _, *arguments, shifted=shifted, **options: plain_fock(shifted, *arguments, **options)
        coarse.kernel(dm0=density)


def keep_long_range_integrals(mean_field: Any) -> None:
    """Keep the long-range integrals of a range-separated hybrid in memory.

    PySCF computes them again in each iteration.
    """
    from pyscf import scf

    omega = mean_field._numint.rsh_and_hybrid_coeff(mean_field.xc)[0]
    if not omega or 2 * mean_field.mol.nao**4 / 1e6 > 0.9 * mean_field.max_memory:
        return
    plain, kept = mean_field.get_jk, {}

    def get_jk(
        mol: Any = None,
        dm: Any = None,
        hermi: int = 1,
        with_j: bool = True,
        with_k: bool = True,
        omega: float | None = None,
    ) -> Any:
        if not omega:
            return plain(mol, dm, hermi, with_j, with_k, omega)
        if omega not in kept:
            with mean_field.mol.with_range_coulomb(omega):
                kept[omega] = mean_field.mol.intor("int2e", aosym="s8")
        return scf.hf.dot_eri_dm(kept[omega], dm, hermi, with_j, with_k)

    mean_field.get_jk = get_jk


def energy_and_gradient(mean_field: Any, forces: bool, _: Thresholds) -> Outcome:
    """Energy, gradient with grid response, and dipole, in atomic units."""
    dipole = mean_field.dip_moment(unit="AU", verbose=0)
    if not forces:
        return Outcome(float(mean_field.e_tot), dipole=dipole)
    if density_fitting.is_fitted(mean_field):
        gradient = density_fitting.mean_field_gradient(mean_field) + _exchange_correlation(mean_field)
        return Outcome(float(mean_field.e_tot), gradient, dipole)
    method = mean_field.nuc_grad_method()
    method.get_veff = lambda mol, dm: _two_electron_potential(method, mol, dm)
    return Outcome(float(mean_field.e_tot), method.kernel() + _exchange_correlation(mean_field), dipole)


def _two_electron_potential(method: Any, molecule: Any, density: Array) -> Array:
    """(…, 3, n, n) derivative of Coulomb and exact exchange, without the functional's own part."""
    functional, integrator = method.base.xc, method.base._numint
    restricted = np.ndim(density) == 2
    if not integrator.libxc.is_hybrid_xc(functional):
        coulomb = method.get_j(molecule, density)
        return np.asarray(coulomb if restricted else np.broadcast_to(coulomb.sum(axis=0), coulomb.shape))
    omega, long_range, short_range = integrator.rsh_and_hybrid_coeff(functional, spin=molecule.spin)
    coulomb, exchange = method.get_jk(molecule, density)
    exchange = short_range * exchange
    if omega:
        exchange += (long_range - short_range) * method.get_k(molecule, density, omega=omega)
    return np.asarray(coulomb - 0.5 * exchange if restricted else coulomb.sum(axis=0) - exchange)


def _exchange_correlation(mean_field: Any) -> Array:
    """(N, 3) derivative of the exchange-correlation energy of a GGA or meta-GGA, on the grid that moves with the atoms.

    The working equations are those of ``pyscf.grad.rks.get_vxc_full_response`` (J. Chem. Phys. 98, 5612 (1993),
    doi:10.1063/1.464906).
    """
    from pyscf.grad.rks import grids_response_cc

    molecule, integrator = mean_field.mol, mean_field._numint
    kind = integrator._xc_type(mean_field.xc)
    densities = np.asarray(mean_field.make_rdm1()).reshape(-1, molecule.nao, molecule.nao)
    owners = np.repeat(np.arange(molecule.natm), np.diff(molecule.aoslice_by_atom()[:, 2:]).ravel())
    result = np.zeros((molecule.natm, 3))
    for atom, (coordinates, weights, weight_derivatives) in enumerate(grids_response_cc(mean_field.grids)):
        for part in _slices(len(weights), molecule.nao):
            basis = _basis_functions(mean_field, coordinates[part])
            transformed = [np.matmul(density, basis[:4]) for density in densities]
            rho = np.array([_densities(basis, one, kind) for one in transformed])
            energy, potential = integrator.eval_xc_eff(
                mean_field.xc, rho if len(rho) == 2 else rho[0], deriv=1, xctype=kind
            )[:2]
            potential = weights[part] * np.reshape(potential, rho.shape)
            forces = np.sum(
                [_basis_forces(basis, one, weighted) for one, weighted in zip(transformed, potential, strict=True)],
                axis=0,
            )
            # Moving an atom moves its basis functions relative to the grid, and its grid relative to all basis
            # functions.
            np.subtract.at(result, owners, 2 * forces.T)
            result[atom] += 2 * forces.sum(axis=1)
            result += weight_derivatives[:, :, part] @ (energy * rho[:, 0].sum(axis=0))
    return result


def _slices(points: int, functions: int) -> Iterator[slice]:
    size = max(256, BLOCK // (10 * functions))
    for start in range(0, points, size):
        yield slice(start, start + size)


def _basis_functions(mean_field: Any, coordinates: Array) -> Array:
    """(10, n, points): values, three first and six second derivatives."""
    from pyscf.dft import gen_grid

    mask = gen_grid.make_mask(mean_field.mol, coordinates)
    values = mean_field._numint.eval_ao(
        mean_field.mol, coordinates, deriv=2, non0tab=mask, cutoff=mean_field.grids.cutoff
    )
    return np.asarray(values.transpose(0, 2, 1))


def _densities(basis: Array, transformed: Array, kind: str) -> Array:
    """(4 or 5, points): density, its gradient and, for a meta-GGA, the kinetic energy density."""
    rows = [np.einsum("ig,ig->g", basis[0], transformed[0])]
    rows += [2 * np.einsum("ig,ig->g", basis[x], transformed[0]) for x in (1, 2, 3)]
    if kind == "MGGA":
        rows.append(0.5 * np.einsum("xig,xig->g", basis[1:4], transformed[1:4]))
    return np.array(rows)


SECOND: Final = ((4, 5, 6), (5, 7, 8), (6, 8, 9))
"""Index of the second derivatives xx, xy … zz among the derivatives of the basis functions."""


def _basis_forces(basis: Array, transformed: Array, potential: Array) -> Array:
    """(3, n) force contribution of each basis function: ∂φ(i)/∂x times weighted potential and density, over the
    grid."""
    first = potential[0] * transformed[0]
    for x in (1, 2, 3):
        first += potential[x] * transformed[x]
    second = [potential[x] * transformed[0] for x in (1, 2, 3)]
    if len(potential) == 5:
        kinetic = 0.5 * potential[4]
        for x in (1, 2, 3):
            second[x - 1] += kinetic * transformed[x]
    forces = np.array([np.einsum("ig,ig->i", basis[x], first) for x in (1, 2, 3)])
    for x in range(3):
        for y in range(3):
            forces[x] += np.einsum("ig,ig->i", basis[SECOND[x][y]], second[y])
    return forces
