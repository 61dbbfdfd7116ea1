"""ASE calculator of a finished model, with a warning for molecules that the model was not trained on.

It warns once for each composition. Made by :func:`asteroid.training.run.load_calculator`.
"""

import warnings
from collections.abc import Iterable
from typing import Any

from ase import Atoms
from ase.calculators.calculator import all_changes
from mace.calculators import MACECalculator

from asteroid import notebook
from asteroid.configuration import SYMBOLS, hill_formula
from asteroid.errors import InputError


class ModelCalculator(MACECalculator):  # type: ignore[misc]
    """Energy (eV) and forces (eV/Å) of one model.

    Args:
        name: of the model, for messages.
        compositions: formulas of its training set; unknown when empty.
        options: for MACE's calculator.
    """

    def __init__(self, *, name: str, compositions: Iterable[str], **options: Any) -> None:
        super().__init__(**options)
        self._name = name
        self._compositions = tuple(compositions)
        self._met = {*self._compositions}

    def _repr_html_(self) -> str:
        return notebook.fields(
            f"model {self._name}",
            {
                "trained on": ", ".join(self._compositions),
                "elements": ", ".join(SYMBOLS[int(z)] for z in self.z_table.zs),
            },
        )

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        """As MACE's own.

        Raises:
            InputError: for elements that the model does not know.
        """
        asked = self.atoms if atoms is None else atoms
        formula = hill_formula(asked.numbers)
        if formula not in self._met:
            self._check(asked, formula)
            self._met.add(formula)
        super().calculate(atoms, properties, system_changes)

    def _check(self, atoms: Atoms, formula: str) -> None:
        known = {int(z) for z in self.z_table.zs}
        if unknown := sorted({int(z) for z in atoms.numbers} - known):
            raise InputError(
                f"model {self._name} knows {', '.join(SYMBOLS[z] for z in sorted(known))} and not "
                f"{', '.join(SYMBOLS[z] for z in unknown)} (in {formula}); train a model of that molecule"
            )
        if self._compositions:
            warnings.warn(
                f"model {self._name} was trained on {', '.join(self._compositions)} alone and is asked for {formula}: "
                "its energy is roughly that of such a molecule, its forces are unchecked",
                stacklevel=3,
            )
