"""(T) terms of the lambda equations and density matrices of closed-shell CCSD(T), from one pass over the triples.

PySCF builds the triples three times (lambda equations, one- and two-particle densities) without permutational symmetry,
which takes 90 % of the time of CCSD(T) forces. Here they are built once for each pair of occupied orbitals. The
equations are those of ``pyscf.cc.ccsd_t_lambda_slow`` and ``ccsd_t_rdm_slow`` (J. Chem. Phys. 147, 044104 (2017),
doi:10.1063/1.4994918), with which the tests compare. Called by :mod:`asteroid.engines.pyscf.correlation`.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TriplesResponse:
    """(T) terms in orbitals i, j (occupied, o) and a, b (virtual, v); names and order of indices as in PySCF.

    Args:
        l1, l2: (o, v) and (o, o, v, v), constant terms of the lambda equations.
        doo, dvv: (o, o), (v, v), one-particle density.
        dovov, dooov, dovvv: two-particle density.
    """

    l1: Array
    l2: Array
    doo: Array
    dvv: Array
    dovov: Array
    dooov: Array
    dovvv: Array


def triples_response(t1: Array, t2: Array, integrals: Any) -> TriplesResponse:
    """One pass over triples, in canonical orbitals of a converged closed-shell reference.

    Memory: about seven arrays of o·v³ numbers.
    """
    o, v = t1.shape
    energies = integrals.mo_energy
    e_ov = energies[:o, None] - energies[None, o:]
    ovov, ovoo = np.asarray(integrals.ovov), np.asarray(integrals.ovoo)
    # w(ijk,abc) is the sum over the six permutations of (ia)(jb)(kc) of Σ_x A(i,a,b,x) B(k,j,c,x), where x runs over
    # the virtual orbitals f of (ia|bf) t(kj,cf) and the occupied m of −(ia|jm) t(mk,bc).
    A = np.concatenate([np.asarray(integrals.get_ovvv()), t2.transpose(0, 2, 3, 1)], axis=3)
    B = np.concatenate([t2, -ovoo.transpose(0, 2, 1, 3)], axis=3)
    added = TriplesResponse(
        l1=np.zeros((o, v)),
        l2=np.zeros((o, o, v, v)),
        doo=np.zeros((o, o)),
        dvv=np.zeros((v, v)),
        dovov=np.zeros((o, v, o, v)),
        dooov=np.zeros((o, o, o, v)),
        dovvv=np.zeros((o, v, v, v)),
    )
    for j in range(o):
        for k in range(j + 1):
            # Arrays of (i, a, b, c) for all i: exchanging (jb) and (kc) changes nothing, so k ≤ j is enough.
            w = _connected(A, B, j, k)
            disconnected = ovov[:, :, j, :, None] * t1[k]
            disconnected += ovov[:, :, None, k, :] * t1[j][:, None]
            disconnected += t1[:, :, None, None] * ovov[j, :, k, :]
            e_jkbc = e_ov[j][:, None] + e_ov[k]
            denominator = e_ov[:, :, None, None] + e_jkbc
            w /= denominator
            disconnected /= denominator
            _add_pair(added, w, disconnected, t1, t2, A[..., :v], ovov, ovoo, j, k)
    added.l1[:] /= e_ov
    added.l2[:] += added.l2.transpose(1, 0, 3, 2).copy()
    added.l2[:] /= e_ov[:, None, :, None] + e_ov[None, :, None, :]
    return added


def _connected(A: Array, B: Array, j: int, k: int) -> Array:
    """(o, v, v, v) connected triples w(i, a, b, c) before their energy denominator."""
    o, v, _, x = A.shape
    w: Array = (A.reshape(o * v * v, x) @ B[k, j].T).reshape(o, v, v, v)
    w += B[j, k] @ A.transpose(0, 1, 3, 2)
    w += (A[j].transpose(1, 0, 2).reshape(v * v, x) @ B[k].transpose(0, 2, 1)).reshape(o, v, v, v)
    w += B[j][:, None] @ A[k].transpose(1, 2, 0)
    w += (B[:, k].reshape(o * v, x) @ A[j].reshape(v * v, x).T).reshape(o, v, v, v)
    w += (B[:, j].reshape(o * v, x) @ A[k].transpose(1, 0, 2).reshape(v * v, x).T).reshape(o, v, v, v)
    return w


def _add_pair(
    added: TriplesResponse,
    w: Array,
    disconnected: Array,
    t1: Array,
    t2: Array,
    ovvv: Array,
    ovov: Array,
    ovoo: Array,
    j: int,
    k: int,
) -> None:
    """Add the contributions of the triples of the pairs (j, k) and, if different, (k, j)."""
    o, v = t1.shape
    times = 1 if j == k else 2
    w_symmetric = _spin_adapted(w)
    wv = w + disconnected
    added.doo[:] -= 0.5 * times * (wv.reshape(o, -1) @ w_symmetric.reshape(o, -1).T)
    added.dvv[:] += (
        0.5 * times * (wv.reshape(o, v, v * v) @ w_symmetric.reshape(o, v, v * v).transpose(0, 2, 1)).sum(axis=0)
    )
    rows = w_symmetric.reshape(o * v, v * v)
    added.l1[:] += 0.5 * times * (rows @ ovov[j, :, k, :].ravel()).reshape(o, v)
    dovov = 0.5 * (t1.ravel() @ rows).reshape(v, v)
    added.dovov[j, :, k, :] += dovov
    if j != k:
        added.dovov[k, :, j, :] += dovov.T

    m = wv
    m += w
    symmetric = _spin_adapted(m)
    rows = symmetric.reshape(o * v, v * v)
    added.dooov[j] -= (rows @ t2[:, k].reshape(o, v * v).T).reshape(o, v, o).transpose(2, 0, 1)
    # dovvv is summed as (i, a, b, f), the part of m in l2 as (i, a, e, j).
    added.dovvv[:] += (symmetric.reshape(o * v * v, v) @ t2[k, j]).reshape(o, v, v, v).transpose(0, 1, 3, 2)
    lambda_m = _lambda_adapted(m)
    exchange = ovvv[k].transpose(2, 0, 1).reshape(v * v, v)  # (bc, e) of (kc|eb)
    added.l2[:, j] += (lambda_m.reshape(o * v, v * v) @ exchange).reshape(o, v, v)
    added.l2[:] -= (lambda_m.reshape(o * v * v, v) @ ovoo[k, :, j, :]).reshape(o, v, v, o).transpose(0, 3, 1, 2)
    if j == k:
        return
    added.dooov[k] -= (rows @ t2[j].reshape(o, v * v).T).reshape(o, v, o).transpose(2, 0, 1)
    added.dovvv[:] += t2[j, k].T @ symmetric
    lambda_m = 2 * m - m.transpose(0, 1, 3, 2) - m.transpose(0, 2, 1, 3)
    exchange = ovvv[j].transpose(0, 2, 1).reshape(v * v, v)  # (bc, e) of (jb|ec)
    added.l2[:, k] += (lambda_m.reshape(o * v, v * v) @ exchange).reshape(o, v, v)
    added.l2[:] -= (ovoo[j, :, k, :].T @ lambda_m).transpose(0, 2, 1, 3)


def _spin_adapted(triples: Array) -> Array:
    """4 abc + bca + cab − 2 (acb + bac + cba), the spin-summed triples."""
    return _symmetrised(triples, b"4-2-211-2")


def _lambda_adapted(triples: Array) -> Array:
    """2 abc − acb − cba, as in PySCF's closed-shell lambda equations."""
    return _symmetrised(triples, b"2-1000-1")


def _symmetrised(triples: Array, pattern: bytes) -> Array:
    from pyscf.cc import _ccsd

    out = np.array(triples, order="C")
    _ccsd.libcc.t3_symm_ip(
        out.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(out.shape[0]),
        ctypes.c_int64(out.shape[-1]),
        ctypes.c_char_p(pattern),
        ctypes.c_double(1.0),
        ctypes.c_double(0.0),
    )
    return out
