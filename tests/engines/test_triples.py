"""One pass over triples: what it adds, against PySCF's reference implementation, which holds all of them at once."""

import numpy as np
import pytest
from pyscf import cc, gto, scf
from pyscf.cc import ccsd_lambda, ccsd_rdm, ccsd_t_lambda_slow, ccsd_t_rdm_slow

from asteroid.engines.pyscf.triples import triples_response
from tests.labelling.reference import FORMALDEHYDE


@pytest.fixture(scope="module")
def solved():
    """A CCSD calculation, its integrals, and what (T) adds to it."""
    atoms = list(zip(FORMALDEHYDE.symbols, FORMALDEHYDE.positions, strict=True))
    mean_field = scf.RHF(gto.M(atom=atoms, basis="sto-3g", verbose=0)).run(conv_tol=1e-13)
    cluster = cc.CCSD(mean_field, frozen=2)
    integrals = cluster.ao2mo()
    cluster.kernel(eris=integrals)
    return cluster, integrals, triples_response(cluster.t1, cluster.t2, integrals)


# Occupied-virtual elements of the Fock matrix are left out, which vanish as SCF converges: 1e-8 here.
TOLERANCE = {"rtol": 0, "atol": 1e-8}


def test_triples_add_the_reference_terms_to_the_lambda_equations(solved):
    cluster, integrals, triples = solved
    reference = ccsd_t_lambda_slow.make_intermediates(cluster, cluster.t1, cluster.t2, integrals)
    np.testing.assert_allclose(triples.l1, reference.l1_t, **TOLERANCE)
    np.testing.assert_allclose(triples.l2, reference.l2_t, **TOLERANCE)
    assert abs(reference.l2_t).max() > 1e-4


def test_triples_add_the_reference_terms_to_the_densities(solved):
    cluster, integrals, triples = solved
    # Any lambda amplitudes will do: what triples add does not depend on them.
    amplitudes = cluster.t1, cluster.t2, *ccsd_lambda.kernel(cluster, integrals, max_cycle=1, verbose=0)[1:]
    one = ccsd_t_rdm_slow._gamma1_intermediates(cluster, *amplitudes, eris=integrals, for_grad=True)
    one_ccsd = ccsd_rdm._gamma1_intermediates(cluster, *amplitudes)
    two = ccsd_t_rdm_slow._gamma2_intermediates(cluster, *amplitudes, eris=integrals)
    two_ccsd = ccsd_rdm._gamma2_intermediates(cluster, *amplitudes)
    for ours, reference, ccsd in (
        (triples.doo, one[0], one_ccsd[0]),
        (triples.dvv, one[3], one_ccsd[3]),
        (triples.dovov, two[0], two_ccsd[0]),
        (triples.dovvv, two[6], two_ccsd[6]),
        (triples.dooov, two[7], two_ccsd[7]),
    ):
        np.testing.assert_allclose(ours, reference - ccsd, **TOLERANCE)
        assert abs(ours).max() > 1e-5
