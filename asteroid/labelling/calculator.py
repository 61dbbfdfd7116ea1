"""ASE calculator of a labeller, for MD and geometry optimisation at a level of theory."""

from typing import Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes

from asteroid.configuration import Configuration
from asteroid.engines import Labeller
from asteroid.errors import LabelFailed


class LabellerCalculator(Calculator):  # type: ignore[misc]
    """Energy (eV) and forces (eV/Å) of ASE atoms from a :class:`~asteroid.engines.Labeller`.

    Raises:
        CalculationFailed: from ASE's ``get_*`` methods, when the labeller finds no result.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "dipole"]

    def __init__(self, labeller: Labeller, charge: int = 0, multiplicity: int = 1) -> None:
        super().__init__()
        self.labeller = labeller
        self.charge = charge
        self.multiplicity = multiplicity

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        configuration = Configuration.from_atoms(self.atoms, charge=self.charge, multiplicity=self.multiplicity)
        try:
            result = self.labeller.compute(
                configuration, forces="forces" in (properties or self.implemented_properties)
            )
        except LabelFailed as error:
            raise CalculationFailed(str(error)) from error
        found: dict[str, Any] = {"energy": result.energy, "forces": result.forces, "dipole": result.dipole}
        self.results = {name: value for name, value in found.items() if value is not None}
