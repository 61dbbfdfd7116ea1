"""Which labels are offered: those whose numbers have been proved, and what proves them.

Every row is proved against finite differences of its own energy on distorted, asymmetric molecules, neutral and, where
it says so, charged (``tests/physics/test_labels.py`` runs over this very table), and against numbers that another
program published (``tests/physics/test_labels_published.py``). :func:`asteroid.engines.check_supported` refuses
whatever has no row. Adding a method is a line here, once its tests pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from asteroid.levels import METHODS, Dispersion, LevelOfTheory

Reference = Literal["restricted", "unrestricted"]
"""Of the electrons: restricted for singlets, unrestricted for all else. For GFN methods: closed or open shell."""


@dataclass(frozen=True)
class Proof:
    """One kind of label that is right.

    Args:
        forces: proved, and so offered; otherwise energies alone are.
        charged: ions too, not only neutral molecules.
        published: whose numbers the tests compare with.
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
}
"""Methods that are right for restricted and unrestricted references alike, and who says so."""


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
    # pyscf.grad.uccsd_t is off by 6e-4 to 2e-3 hartree/bohr of its own energy's finite difference (HO2 in 6-31G).
    yield Proof("ccsd(t)", "unrestricted", _SUITE, forces=False)
    # A force field knows no spin, and its charges on ions have not been looked at.
    yield Proof("gfn-ff", "restricted", "xtb's tests: one molecule", charged=False)


PROVED: Final[tuple[Proof, ...]] = tuple(_rows())


def find_proof(level: LevelOfTheory, *, charge: int, multiplicity: int, forces: bool) -> Proof | None:
    """The row that covers these labels, if there is one."""
    rows = (p for p in PROVED if p.method == level.method and p.dispersion == level.dispersion)
    return next((p for p in rows if _covers(p, charge, multiplicity, forces)), None)


def nearest_proved(level: LevelOfTheory, *, charge: int, multiplicity: int, forces: bool) -> LevelOfTheory:
    """The level most like this one that is proved for such molecules: of its kind, and next to it in cost."""
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
