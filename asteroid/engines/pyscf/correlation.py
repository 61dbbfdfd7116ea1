"""Closed-shell MP2, CCSD and CCSD(T) with a frozen core: energy, gradient and dipole, faster than plain PySCF.

Amplitudes are PySCF's, gradients are from :mod:`asteroid.engines.pyscf.gradients`, triples from
:mod:`asteroid.engines.pyscf.triples`. Called by :mod:`asteroid.engines.pyscf.ab_initio`. The same functions with PySCF
alone are in :mod:`asteroid.engines.pyscf.plain`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from asteroid.engines.pyscf import plain
from asteroid.engines.pyscf.gradients import correlated_gradient, to_atomic_pairs
from asteroid.engines.pyscf.plain import CC_CYCLES, Outcome, Thresholds
from asteroid.engines.pyscf.triples import TriplesResponse, triples_response
from asteroid.errors import LabelFailed

Array = npt.NDArray[np.float64]


def mp2(mean_field: Any, forces: bool, thresholds: Thresholds) -> Outcome:
    """MP2, with densities from the amplitudes t(ia,jb) = (ia|jb) / (e_i − e_a + e_j − e_b)."""
    from pyscf import ao2mo, lib

    core = plain.frozen_core(mean_field.mol)
    orbitals, energies = mean_field.mo_coeff, mean_field.mo_energy
    occupied = int(np.count_nonzero(mean_field.mo_occ))
    occ, vir = orbitals[:, core:occupied], orbitals[:, occupied:]
    (n, every), o, v = orbitals.shape, occ.shape[1], vir.shape[1]
    if not forces or not _fit_into_memory(mean_field, 2 * o * v * every**2):
        return plain.mp2(mean_field, forces, thresholds)
    # (ia|pq) for all p, q: for the energy and the Lagrangian.
    integrals = ao2mo.general(_integrals(mean_field), (occ, vir, orbitals, orbitals), verbose=0)
    integrals = lib.unpack_tril(np.asarray(integrals)).reshape(o, v, every, every)
    ovov = integrals[:, :, core:occupied, occupied:]
    e_ov = energies[core:occupied, None] - energies[occupied:]
    amplitudes = ovov / (e_ov[:, :, None, None] + e_ov)
    theta = 2 * amplitudes - amplitudes.transpose(0, 3, 2, 1)
    energy = float(mean_field.e_tot + np.vdot(theta, ovov))

    gamma = 2 * theta
    lagrangian = np.zeros((every, every))
    lagrangian[:, core:occupied] = -np.tensordot(integrals[:, :, :, occupied:], gamma, axes=([0, 1, 3], [0, 1, 3]))
    lagrangian[:, occupied:] = -np.tensordot(integrals[:, :, :, core:occupied], gamma, axes=([0, 1, 3], [0, 1, 2]))
    half = np.tensordot(gamma, vir, axes=(1, 1)).transpose(0, 3, 1, 2).reshape(o, n, o * v)  # (i, q, jb)

    def two_particle(first: int, last: int) -> Array:
        rows = np.tensordot(occ[first:last], half, axes=1)
        rows += occ @ half[:, first:last].transpose(1, 0, 2)
        packed = to_atomic_pairs(rows.reshape(-1, o, v), occ, vir)
        packed[:, _diagonal(n)] *= 0.5
        return packed.reshape(last - first, n, -1)

    gradient, dipole = correlated_gradient(
        mean_field,
        doo=-np.tensordot(theta, amplitudes, axes=([1, 2, 3], [1, 2, 3])),
        dvv=np.tensordot(theta, amplitudes, axes=([0, 2, 3], [0, 2, 3])),
        lagrangian=lagrangian,
        two_particle=two_particle,
        response_tolerance=thresholds.response,
    )
    return Outcome(energy, gradient, dipole)


def ccsd(mean_field: Any, forces: bool, thresholds: Thresholds) -> Outcome:
    if forces and not _fit_into_memory(mean_field, mean_field.mol.nao**4):
        return plain.ccsd(mean_field, forces, thresholds)
    cluster, integrals = plain.solve_ccsd(mean_field, thresholds)
    if not forces:
        return Outcome(float(cluster.e_tot))
    plain.solve_lambda(cluster, integrals, thresholds)
    return Outcome(float(cluster.e_tot), *_cluster_gradient(cluster, thresholds, None))


def ccsd_t(mean_field: Any, forces: bool, thresholds: Thresholds) -> Outcome:
    """CCSD(T), its gradient with the lambda amplitudes of (T)."""
    from pyscf.cc import ccsd_lambda, ccsd_t_lambda

    # Numbers in memory: the densities, or before them seven arrays of triples with one occupied orbital fixed.
    o, v = mean_field.mol.nelectron // 2, mean_field.mol.nao - mean_field.mol.nelectron // 2
    if forces and not _fit_into_memory(mean_field, max(mean_field.mol.nao**4, 7 * o * v**3)):
        return plain.ccsd_t(mean_field, forces, thresholds)
    cluster, integrals = plain.solve_ccsd(mean_field, thresholds)
    energy = float(cluster.e_tot + plain.triples_energy(cluster, integrals))
    if not forces:
        return Outcome(energy)
    triples = triples_response(cluster.t1, cluster.t2, integrals)

    def intermediates(*arguments: Any) -> Any:
        both = ccsd_lambda.make_intermediates(*arguments)
        both.l1_t, both.l2_t = triples.l1, triples.l2
        return both

    converged, cluster.l1, cluster.l2 = ccsd_lambda.kernel(
        cluster,
        integrals,
        cluster.t1,
        cluster.t2,
        max_cycle=CC_CYCLES,
        tol=thresholds.multipliers,
        verbose=plain.quiet(),
        fintermediates=intermediates,
        fupdate=ccsd_t_lambda.update_lambda,
    )
    if not converged:
        raise LabelFailed(f"CCSD(T) lambda equations not converged in {CC_CYCLES} cycles")
    return Outcome(energy, *_cluster_gradient(cluster, thresholds, triples))


def _cluster_gradient(cluster: Any, thresholds: Thresholds, triples: TriplesResponse | None) -> tuple[Array, Array]:
    """Gradient (N, 3) hartree/bohr and dipole (3,) e·bohr of closed-shell CCSD, or with ``triples`` of CCSD(T)."""
    from pyscf import lib
    from pyscf.cc import ccsd_rdm
    from pyscf.grad import ccsd as ccsd_gradient

    amplitudes = cluster.t1, cluster.t2, cluster.l1, cluster.l2
    doo, _, _, dvv = ccsd_rdm._gamma1_intermediates(cluster, *amplitudes)
    mean_field, orbitals = cluster._scf, cluster.mo_coeff
    n = len(orbitals)
    with lib.H5TmpFile() as file:
        blocks = list(ccsd_rdm._gamma2_outcore(cluster, *amplitudes, file, True))
        if triples is not None:
            doo, dvv = doo + triples.doo, dvv + triples.dvv
            for position, added in ((0, triples.dovov), (6, triples.dovvv), (7, triples.dooov)):
                blocks[position] = blocks[position][:] + added
        ccsd_gradient._rdm2_mo2ao(cluster, blocks, orbitals[:, cluster.get_frozen_mask()], file)
        density = file["dm2"][:]

    def two_particle(first: int, last: int) -> Array:
        rows: Array = density[_pairs(first, last, n)]
        rows[:, :, _diagonal(n)] *= 0.5
        return rows

    return correlated_gradient(
        mean_field,
        doo=doo,
        dvv=dvv,
        lagrangian=_cluster_lagrangian(mean_field, two_particle),
        two_particle=two_particle,
        response_tolerance=thresholds.response,
    )


def _cluster_lagrangian(mean_field: Any, two_particle: Any) -> Array:
    """−Σ (pr|st) Γ(qr,st), in molecular orbitals."""
    from pyscf import ao2mo

    orbitals = mean_field.mo_coeff
    n = len(orbitals)
    integrals = mean_field._eri
    integrals = mean_field.mol.intor("int2e", aosym="s4") if integrals is None else ao2mo.restore(4, integrals, n)
    lagrangian = np.zeros((n, n))
    for row in range(n):
        lagrangian += integrals[_pairs(row, row + 1, n)[0]] @ two_particle(row, row + 1)[0].T
    return np.asarray(-orbitals.T @ lagrangian @ mean_field.get_ovlp() @ orbitals)


def _integrals(mean_field: Any) -> Any:
    """The integrals that the SCF kept in memory; the molecule, to compute them from, where they do not fit."""
    return mean_field.mol if mean_field._eri is None else mean_field._eri


def _fit_into_memory(mean_field: Any, numbers: int) -> bool:
    """Whether this many numbers fit; if not, PySCF's own functions need less memory."""
    from pyscf import lib

    return bool(numbers * 8e-6 < mean_field.max_memory - lib.current_memory()[0])


def _pairs(first: int, last: int, n: int) -> npt.NDArray[np.int64]:
    """(last − first, n) index of the pairs p, q in a packed triangle, p from first to last."""
    p, q = np.arange(first, last)[:, None], np.arange(n)[None, :]
    larger, smaller = np.maximum(p, q), np.minimum(p, q)
    return np.asarray(larger * (larger + 1) // 2 + smaller)


def _diagonal(n: int) -> npt.NDArray[np.int64]:
    """(n,) index of the diagonal in a packed triangle."""
    index = np.arange(n)
    return np.asarray(index * (index + 3) // 2)
