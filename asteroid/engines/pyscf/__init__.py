"""PySCF: Hartree-Fock, DFT, MP2, CCSD and CCSD(T), with faster gradients of its own."""

from typing import Final

from asteroid.engines import Capabilities, Engine, Labeller, require
from asteroid.levels import LevelOfTheory


class PyscfEngine(Engine):
    name = "pyscf"

    def computes(self, level: LevelOfTheory) -> bool:
        return level.family in ("hf", "dft", "mp2", "ccsd", "ccsd(t)")

    def capabilities(self, level: LevelOfTheory) -> Capabilities:
        mean_field = level.family in ("hf", "dft")
        return Capabilities(
            properties=frozenset({"energy", "forces", "dipole"} if mean_field else {"energy", "forces"}),
            # asteroid.engines.rough_cost has a better estimate, from molecule and basis set.
            seconds=lambda _: 2.0 if level.family == "hf" else 10.0,
            proof="asteroid.engines.proofs",
        )

    def make(self, level: LevelOfTheory) -> Labeller:
        from asteroid.engines.pyscf.ab_initio import PyscfLabeller

        require("pyscf")
        if level.dispersion:
            require("pyscf.dispersion")
        return PyscfLabeller(level)


ENGINE: Final = PyscfEngine()
