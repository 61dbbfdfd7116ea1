"""MP2 with density fitting: energy, forces and dipole, restricted and unrestricted, with a frozen core.

PySCF has no gradient for it. The equations are those of Weigend and Häser, Theor. Chem. Acc. 97, 331 (1997),
doi:10.1007/s002140050269, for one spin or two; symbols are those of :mod:`asteroid.engines.pyscf.gradients`. Amplitudes
are never stored: one occupied orbital at a time is enough for energy and densities, so that memory grows as the
fitted integrals (ia|P) do. Called by :mod:`asteroid.engines.pyscf.ab_initio`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asteroid.engines.pyscf import plain
from asteroid.engines.pyscf.density_fitting import (
    coulomb_exchange_gradient,
    integral_gradient,
    symmetric,
    three_index,
)
from asteroid.engines.pyscf.gradients import RESPONSE_CYCLES
from asteroid.engines.pyscf.plain import Outcome, Thresholds
from asteroid.errors import LabelFailed

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Spin:
    """Orbitals of one spin, or of both for a closed shell.

    Args:
        orbitals, energies: (n, n) and (n,), the occupied ones first.
        core, occupied: number of frozen and of all occupied orbitals.
    """

    orbitals: Array
    energies: Array
    core: int
    occupied: int

    @property
    def occ(self) -> Array:
        return self.orbitals[:, : self.occupied]

    @property
    def active(self) -> Array:
        return self.orbitals[:, self.core : self.occupied]

    @property
    def vir(self) -> Array:
        return self.orbitals[:, self.occupied :]

    @property
    def gaps(self) -> Array:
        """(o, v) e(i) − e(a) of the correlated orbitals."""
        return np.asarray(self.energies[self.core : self.occupied, None] - self.energies[self.occupied :])


def mp2(mean_field: Any, forces: bool, thresholds: Thresholds) -> Outcome:
    """MP2 from a mean field with fitted integrals.

    Raises:
        LabelFailed: without correlated electrons of both spins, as in H and H2+.
    """
    from pyscf import df

    molecule = mean_field.mol
    auxiliary = df.make_auxmol(molecule, df.make_auxbasis(molecule, mp2fit=True))
    spins = _spins(mean_field)
    if not all(spin.active.shape[1] for spin in spins):
        raise LabelFailed("fitted MP2 needs correlated electrons of both spins; write the level without df-")
    integrals = [np.empty((auxiliary.nao, spin.active.shape[1], spin.vir.shape[1])) for spin in spins]
    for part, block in three_index(molecule, auxiliary):
        for spin, each in zip(spins, integrals, strict=True):
            each[part] = spin.active.T @ (block @ spin.vir)
    cholesky = np.linalg.cholesky(auxiliary.intor("int2c2e"))
    fitted = [_solved(cholesky, each) for each in integrals]
    energy, densities, gammas = _amplitudes(spins, fitted)
    energy += float(mean_field.e_tot)
    if not forces:
        return Outcome(energy)
    weight = 2 / len(spins)
    gammas = [2 * _solved(cholesky, each, transposed=True) for each in gammas]
    metric = np.zeros((auxiliary.nao, auxiliary.nao))
    for gamma, each in zip(gammas, fitted, strict=True):
        solved = _solved(cholesky, each, transposed=True)
        metric -= 0.5 * weight * gamma.reshape(len(gamma), -1) @ solved.reshape(len(gamma), -1).T
    lagrangians = _lagrangians(molecule, auxiliary, spins, gammas)
    _relax(mean_field, spins, densities, lagrangians, thresholds.response)

    def three_index_density(part: slice) -> Array:
        pairs = [spin.active @ (gamma[part] @ spin.vir.T) for spin, gamma in zip(spins, gammas, strict=True)]
        return weight * symmetric(np.sum(pairs, axis=0))

    gradient = integral_gradient(molecule, auxiliary, three_index_density, metric)
    atomic = [spin.orbitals @ each @ spin.orbitals.T for spin, each in zip(spins, densities, strict=True)]
    gradient += _one_electron_and_reference(mean_field, spins, densities, atomic, lagrangians)
    total = [spin.occ @ spin.occ.T + each for spin, each in zip(spins, atomic, strict=True)]
    dipole = mean_field.dip_moment(molecule, weight * sum(total), unit="AU", verbose=0)
    return Outcome(energy, gradient, np.asarray(dipole))


def _spins(mean_field: Any) -> list[_Spin]:
    n, core = mean_field.mol.nao, plain.frozen_core(mean_field.mol)
    orbitals, energies = np.reshape(mean_field.mo_coeff, (-1, n, n)), np.reshape(mean_field.mo_energy, (-1, n))
    occupied = [int(np.count_nonzero(each)) for each in np.reshape(mean_field.mo_occ, (-1, n))]
    return [_Spin(*each[:2], min(core, each[2]), each[2]) for each in zip(orbitals, energies, occupied, strict=True)]


def _solved(cholesky: Array, right: Array, *, transposed: bool = False) -> Array:
    """L⁻¹ b or L⁻ᵀ b, of the first index of b."""
    from scipy.linalg import solve_triangular

    solved = solve_triangular(cholesky, right.reshape(len(right), -1), lower=True, trans=int(transposed))
    return np.asarray(solved).reshape(right.shape)


def _amplitudes(spins: list[_Spin], fitted: list[Array]) -> tuple[float, list[Array], list[Array]]:
    """Correlation energy, unrelaxed densities (n, n) in molecular orbitals, and Σ θ(ia,jb) B(P,jb) as (P, o, v).

    With t(ia,jb) = (ia|jb) / (e_i − e_a + e_j − e_b); θ is 2 t − its exchange for a closed shell, and otherwise t − its
    exchange for equal spins and t for opposite ones.
    """
    energy, weight = 0.0, 2 / len(spins)
    densities, gammas = [np.zeros_like(spin.orbitals) for spin in spins], [np.zeros_like(each) for each in fitted]
    for s, spin in enumerate(spins):
        for k in range(fitted[s].shape[1]):
            for r, other in enumerate(spins):
                _, o, v = fitted[r].shape
                flat = fitted[r].reshape(-1, o * v)
                exchange = (flat.T @ fitted[s][:, k]).reshape(o, v, -1)  # (i, a, b) of (ia|kb)
                t = exchange / (other.gaps[:, :, None] + spin.gaps[k])
                theta = weight * t - t.transpose(0, 2, 1) if r == s else t
                energy += 0.5 * weight * float(np.vdot(theta, exchange))
                density = densities[r]
                density[other.core : other.occupied, other.core : other.occupied] -= (
                    theta.reshape(o, -1) @ t.reshape(o, -1).T
                )
                density[other.occupied :, other.occupied :] += np.tensordot(theta, t, axes=([0, 2], [0, 2]))
                gammas[s][:, k] += flat @ theta.reshape(o * v, -1)
    return energy, densities, gammas


def _lagrangians(molecule: Any, auxiliary: Any, spins: list[_Spin], gammas: list[Array]) -> list[Array]:
    """A(p,q) (n, n) of each spin: derivative of Σ Γ(P,ia) (ia|P) when orbital q takes a share of orbital p."""
    results = [np.zeros_like(spin.orbitals) for spin in spins]
    for part, block in three_index(molecule, auxiliary):
        for spin, gamma, result in zip(spins, gammas, results, strict=True):
            # (ν, i) and (ν, a), summed over the auxiliary functions of the block.
            half = gamma[part] @ spin.vir.T
            result[:, spin.core : spin.occupied] += np.tensordot(block, half, axes=([0, 2], [0, 2]))
            half = block @ spin.active
            result[:, spin.occupied :] += np.tensordot(half, gamma[part], axes=([0, 2], [0, 1]))
    return [spin.orbitals.T @ result for spin, result in zip(spins, results, strict=True)]


def _relax(
    mean_field: Any, spins: list[_Spin], densities: list[Array], lagrangians: list[Array], tolerance: float
) -> None:
    """Add the responses of core and of virtual orbitals to the densities, in place.

    Raises:
        LabelFailed: when the response equations do not converge.
    """
    from scipy.sparse.linalg import LinearOperator, cg

    for spin, density, A in zip(spins, densities, lagrangians, strict=True):
        core, active = slice(0, spin.core), slice(spin.core, spin.occupied)
        rotation = -0.5 * A[core, active] / (spin.energies[core, None] - spin.energies[active])
        density[core, active], density[active, core] = rotation, rotation.T
    gaps = [spin.energies[spin.occupied :, None] - spin.energies[: spin.occupied] for spin in spins]
    ends = np.cumsum([gap.size for gap in gaps])[:-1]
    source = [
        -potential - 0.5 * (A[spin.occupied :, : spin.occupied] - A[: spin.occupied, spin.occupied :].T)
        for spin, potential, A in zip(spins, _potentials(mean_field, spins, densities), lagrangians, strict=True)
    ]

    def change(vector: Array) -> Array:
        rotations = [x.reshape(gap.shape) for x, gap in zip(np.split(vector, ends), gaps, strict=True)]
        found = _rotation_potentials(mean_field, spins, rotations)
        return np.concatenate([(gap * x + y).ravel() for gap, x, y in zip(gaps, rotations, found, strict=True)])

    # Conjugate gradients: with PySCF's Krylov solver forces were off by up to 2e-5 eV/Å (HO2, def2-SVP), now by 4e-6.
    diagonal, shape = np.concatenate([gap.ravel() for gap in gaps]), 2 * (sum(gap.size for gap in gaps),)
    solved, failed = cg(
        LinearOperator(shape, change, dtype=float),
        np.concatenate([each.ravel() for each in source]),
        M=LinearOperator(shape, lambda residual: residual / diagonal, dtype=float),
        rtol=0.0,
        atol=tolerance,
        maxiter=RESPONSE_CYCLES,
    )
    if failed:
        raise LabelFailed(f"orbital response not converged in {RESPONSE_CYCLES} cycles")
    for spin, density, x, gap in zip(spins, densities, np.split(solved, ends), gaps, strict=True):
        density[spin.occupied :, : spin.occupied] = x.reshape(gap.shape)
        density[: spin.occupied, spin.occupied :] = x.reshape(gap.shape).T


def _fock_response(mean_field: Any, spins: list[_Spin], densities: list[Array]) -> list[Array]:
    """(n, n) in atomic orbitals: change of each spin's Fock matrix with densities in molecular orbitals."""
    atomic = np.array([spin.orbitals @ each @ spin.orbitals.T for spin, each in zip(spins, densities, strict=True)])
    coulomb, exchange = mean_field.get_jk(mean_field.mol, atomic)
    return list(2 / len(spins) * coulomb.sum(axis=0) - exchange)


def _potentials(mean_field: Any, spins: list[_Spin], densities: list[Array]) -> list[Array]:
    """(v, o) of the change of each spin's Fock matrix."""
    changes = _fock_response(mean_field, spins, densities)
    return [spin.vir.T @ change @ spin.occ for spin, change in zip(spins, changes, strict=True)]


def _rotation_potentials(mean_field: Any, spins: list[_Spin], rotations: list[Array]) -> list[Array]:
    """As :func:`_potentials`, for the density X Cᵀ + C Xᵀ of virtual orbitals X = V x that mix into occupied ones C.

    As half of (X + C)(X + C)ᵀ − (X − C)(X − C)ᵀ it has few orbitals, for which fitted exchange is cheap. X is scaled
    to the size of C, so that no digits are lost.
    """
    from pyscf import lib

    densities, orbitals, scales = [], [], []
    for spin, rotation in zip(spins, rotations, strict=True):
        scale = np.sqrt(max(1, spin.occupied)) / (np.linalg.norm(rotation) or 1.0)
        mixed = scale * spin.vir @ rotation
        orbitals += [mixed + spin.occ, mixed - spin.occ]
        scales.append(scale)
    widest = max(each.shape[1] for each in orbitals)
    padded = np.array([np.pad(each, ((0, 0), (0, widest - each.shape[1]))) for each in orbitals])
    densities = padded @ padded.transpose(0, 2, 1)
    tagged = lib.tag_array(densities, mo_coeff=padded, mo_occ=np.ones((len(padded), widest)))
    coulomb, exchange = mean_field.get_jk(mean_field.mol, tagged)
    scaled = 2 * np.array(scales)[:, None, None]
    coulomb, exchange = (each[0::2] - each[1::2] for each in (coulomb, exchange))
    coulomb, exchange = coulomb / scaled, exchange / scaled
    changes = 2 / len(spins) * coulomb.sum(axis=0) - exchange
    return [spin.vir.T @ change @ spin.occ for spin, change in zip(spins, changes, strict=True)]


def _one_electron_and_reference(
    mean_field: Any, spins: list[_Spin], densities: list[Array], atomic: list[Array], lagrangians: list[Array]
) -> Array:
    """(N, 3) derivatives of all but the correlated pairs: nuclei, one-electron integrals, overlap, Coulomb, exchange.

    Args:
        densities, atomic: relaxed, in molecular and in atomic orbitals.
    """
    molecule, weight = mean_field.mol, 2 / len(spins)
    occupied = [spin.occ for spin in spins]
    references = [orbitals @ orbitals.T for orbitals in occupied]
    total = weight * (sum(references) + sum(atomic))
    overlap_density = np.zeros_like(total)
    changes = _fock_response(mean_field, spins, densities)
    for spin, density, A, change in zip(spins, densities, lagrangians, changes, strict=True):
        omega = A + 2 * spin.energies[:, None] * density
        omega[:, : spin.occupied] += 2 * spin.orbitals.T @ change @ spin.occ
        omega = 0.25 * (omega + omega.T)
        omega[np.diag_indices(spin.occupied)] += spin.energies[: spin.occupied]
        overlap_density += weight * spin.orbitals @ omega @ spin.orbitals.T
    method = mean_field.nuc_grad_method()
    core_hamiltonian, overlap = method.hcore_generator(molecule), method.get_ovlp(molecule)
    gradient = method.grad_nuc()
    for atom, (_, _, first, last) in enumerate(molecule.aoslice_by_atom()):
        gradient[atom] += np.einsum("xij,ij->x", core_hamiltonian(atom), total)
        gradient[atom] -= 2 * np.einsum("xij,ij->x", overlap[:, first:last], overlap_density[first:last])
    effective = [0.5 * reference + each for reference, each in zip(references, atomic, strict=True)]
    gradient += coulomb_exchange_gradient(molecule, mean_field.with_df.auxbasis, occupied, effective)
    return np.asarray(gradient)
