"""Table of the levels whose labels are proved; :func:`asteroid.engines.check_supported` refuses all others.

For each row, forces are compared with finite differences of the energy on distorted, asymmetric molecules, neutral and
where stated charged (``tests/physics/test_labels.py`` runs over this table), and energies with published values of
another program (``tests/physics/test_labels_published.py``). A new method is a row here, once its tests pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from asteroid.levels import METHODS, Dispersion, LevelOfTheory

Reference = Literal["restricted", "unrestricted"]
"""Restricted for singlets, unrestricted for all others. For GFN methods: closed or open shell."""


@dataclass(frozen=True)
class Proof:
    """One kind of label that is proved.

    Args:
        forces: whether forces are proved, or only energies.
        charged: whether it is proved for ions, too.
        published: source of the published values in the tests.
    """

    method: str
    reference: Reference
    published: str
    dispersion: Dispersion | None = None
    forces: bool = True
    charged: bool = True

    def __str__(self) -> str:
        return f"{self.method}{f'-{self.dispersion}' if self.dispersion else ''} {self.reference}"


_SUITE: Final = "QC standard suite: Cfour, Gaussian, Psi4"
_QCHEM: Final = "Q-Chem: ionisation energy of water, in Psi4's tests"
_XCFUN: Final = "XCFun, a second implementation of the functional"
_EXACT_LIMIT: Final = "the level with exact integrals; MP2: Psi4"
_TBLITE: Final = "tblite's tests: atoms, ions and a molecule"

_BOTH: Final[dict[str, str]] = {
    "gfn1-xtb": _TBLITE,
    "gfn2-xtb": _TBLITE,
    "hf": _SUITE,
    "pbe": _SUITE,
    "blyp": _QCHEM,
    "tpss": _QCHEM,
    "r2scan": _XCFUN,
    "pbe0": _QCHEM,
    "b3lyp": _SUITE,
    "b3lyp5": _SUITE,
    "wb97x": _SUITE,
    "wb97m": "Q-Chem: ionisation energy of water with VV10 in place of D3; ORCA: water dimer",
    "mp2": _SUITE,
    "ccsd": _SUITE,
    **{name: _EXACT_LIMIT for name, method in METHODS.items() if method.fitted},
}
"""Methods proved for restricted and unrestricted references, with the source of the published values."""


def _rows() -> Iterator[Proof]:
    for method, published in _BOTH.items():
        definition = METHODS[method]
        dispersions: tuple[Dispersion | None, ...] = definition.dispersions
        if not definition.dispersion_required:
            dispersions = (None, *dispersions)
        for dispersion in dispersions:
            yield Proof(method, "restricted", published, dispersion)
            yield Proof(method, "unrestricted", published, dispersion)
    yield Proof("ccsd(t)", "restricted", _SUITE)
    # pyscf.grad.uccsd_t differs from the finite difference of its energy by 6e-4 to 2e-3 hartree/bohr (HO2, 6-31G).
    yield Proof("ccsd(t)", "unrestricted", _SUITE, forces=False)
    # A force field does not depend on spin, and its charges of ions have not been tested.
    yield Proof("gfn-ff", "restricted", "xtb's tests: one molecule", charged=False)


PROVED: Final[tuple[Proof, ...]] = tuple(_rows())


def find_proof(level: LevelOfTheory, *, charge: int, multiplicity: int, forces: bool) -> Proof | None:
    """The row that covers these labels, None without one."""
    rows = (p for p in PROVED if p.method == level.method and p.dispersion == level.dispersion)
    return next((p for p in rows if _covers(p, charge, multiplicity, forces)), None)


def nearest_proved(level: LevelOfTheory, *, charge: int, multiplicity: int, forces: bool) -> LevelOfTheory:
    """The proved level that is most similar in kind and cost, for this charge and multiplicity."""
    order = list(METHODS)

    def distance(proof: Proof) -> tuple[bool, int, bool]:
        family = METHODS[proof.method].family
        steps = abs(order.index(proof.method) - order.index(level.method))
        return (family == "semiempirical") != level.is_semiempirical, steps, proof.dispersion != level.dispersion

    best = min((p for p in PROVED if _covers(p, charge, multiplicity, forces)), key=distance)
    return LevelOfTheory(best.method, best.dispersion, level.basis)


def _covers(proof: Proof, charge: int, multiplicity: int, forces: bool) -> bool:
    reference = "restricted" if multiplicity == 1 else "unrestricted"
    return proof.reference == reference and proof.forces >= forces and (charge == 0 or proof.charged)
