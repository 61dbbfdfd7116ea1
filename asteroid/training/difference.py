"""ASE calculator of a Δ-model: the cheap level plus a model of the difference.

The cheap method runs in its own process (:mod:`asteroid.labelling.apart`), apart from torch.
:func:`asteroid.training.run.load_calculator` makes it for models of the strategy ``delta``.
"""

from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from asteroid.configuration import Configuration
from asteroid.engines import Labeller, check_supported
from asteroid.errors import InputError
from asteroid.labelling.apart import LabellerApart
from asteroid.labelling.calculator import LabellerCalculator
from asteroid.levels import LevelOfTheory


class DifferenceCalculator(LabellerCalculator):
    """Energy (eV) and forces (eV/Å) of the cheap level plus a model of the difference.

    The dipole (e·Å), if the model has one, is that of the accurate level.

    Args:
        difference: an ASE calculator of accurate − cheap.
        cheap: labeller of the cheap level.
        charge, multiplicity: of the molecule; ASE's atoms have none.

    Raises:
        CalculationFailed: from ASE's ``get_*`` methods, when the cheap method fails.
    """

    def __init__(self, difference: Calculator, cheap: Labeller, *, charge: int, multiplicity: int) -> None:
        super().__init__(cheap, charge, multiplicity)
        self.difference = difference

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute energy and forces; MD needs both for each geometry."""
        super().calculate(atoms, ["energy", "forces"], system_changes)
        # If the model fails, nothing of the cheap level may be taken for the result.
        cheap, self.results = self.results, {}
        # A copy, because the calculator keeps a reference to the atoms.
        missing = self.atoms.copy()
        self.results = {
            "energy": cheap["energy"] + self.difference.get_potential_energy(missing),
            "forces": cheap["forces"] + self.difference.get_forces(missing),
        }
        if "dipole" in (properties or ()):
            self.results["dipole"] = self.difference.get_dipole_moment(missing)


def difference_calculator(difference: Calculator, level: str, configuration: Configuration) -> DifferenceCalculator:
    """The calculator of a Δ-model for this cheap level.

    Args:
        configuration: any one of the molecule, for charge and multiplicity.

    Raises:
        InputError: when asteroid does not compute this level.
    """
    cheap = LevelOfTheory.parse(level, imported=True)
    charge, multiplicity = configuration.charge, configuration.multiplicity
    if cheap.family == "imported":
        raise InputError(
            f"this model adds to '{level}', whose labels were imported and which asteroid does not compute; "
            "train with a strategy that needs no cheap method at run time, or with a cheap level that it computes"
        )
    check_supported(cheap, charge=charge, multiplicity=multiplicity)
    return DifferenceCalculator(difference, LabellerApart(cheap), charge=charge, multiplicity=multiplicity)
