"""ASE calculator of a finished model, with a warning for molecules that the model was not trained on.

It warns once for each composition. On request it also has bounds on the errors of its forces. Made by
:func:`asteroid.training.run.load_calculator`.
"""

import functools
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from ase import Atoms
from ase.calculators.calculator import all_changes
from mace.calculators import MACECalculator

from asteroid.configuration import SYMBOLS, Configuration, hill_formula
from asteroid.errors import InputError


class Region(Protocol):
    """What a model knows, see :class:`asteroid.acquisition.known_region.KnownRegion`."""

    @property
    def limit(self) -> float: ...

    def bounds(
        self, model: torch.nn.Module, configurations: Sequence[Configuration]
    ) -> list[npt.NDArray[np.float64]]: ...


class ModelCalculator(MACECalculator):  # type: ignore[misc]
    """Energy (eV) and forces (eV/Å) of one model.

    With a region it also has ``forces_uncertainty`` (N,) eV/Å, bounds on the errors of the forces, computed only where
    this property is asked for.

    Args:
        name: of the model, for messages.
        compositions: formulas of its training set; unknown when empty.
        region: makes the region that the model knows; called once, at the first request.
        options: for MACE's calculator.
    """

    def __init__(
        self,
        *,
        name: str,
        compositions: Iterable[str],
        region: Callable[[torch.nn.Module], Region] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._region = region
        if region is not None:
            self.implemented_properties: list[str] = [*self.implemented_properties, "forces_uncertainty"]
        self._name = name
        self._compositions = tuple(compositions)
        self._met = {*self._compositions}

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
        if system_changes or "energy" not in self.results:
            super().calculate(atoms, properties, system_changes)
        if "forces_uncertainty" in (properties or ()):
            # The charge does not matter to MACE.
            like = Configuration(asked.numbers, asked.positions, multiplicity=1 + int(asked.numbers.sum()) % 2)
            self.results["forces_uncertainty"] = self.known_region.bounds(self.models[0], [like])[0]

    @functools.cached_property
    def known_region(self) -> Region:
        """What the model knows; read from the store at the first request."""
        assert self._region is not None
        return self._region(self.models[0])

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
