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

from asteroid import notebook
from asteroid.configuration import SYMBOLS, Configuration, hill_formula
from asteroid.errors import InputError
from asteroid.store.records import DipoleModel
from asteroid.training.dipoles import predict_dipoles


class Region(Protocol):
    """What a model knows, see :class:`asteroid.acquisition.known_region.KnownRegion`."""

    @property
    def limit(self) -> float: ...

    def bounds(
        self, model: torch.nn.Module, configurations: Sequence[Configuration]
    ) -> list[npt.NDArray[np.float64]]: ...


class ModelCalculator(MACECalculator):  # type: ignore[misc]
    """Energy (eV) and forces (eV/Å) of one model, and the dipole (e·Å) if it has a dipole model.

    With a region it also has ``forces_uncertainty`` (N,) eV/Å, bounds on the errors of the forces, computed only where
    this property is asked for.

    Args:
        name: of the model, for messages.
        compositions: formulas of its training set; unknown when empty.
        dipoles: None without a dipole model.
        region: makes the region that the model knows; called once, at the first request.
        options: for MACE's calculator.
    """

    def __init__(
        self,
        *,
        name: str,
        compositions: Iterable[str],
        dipoles: DipoleModel | None = None,
        region: Callable[[torch.nn.Module], Region] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._region = region
        if region is not None:
            self.implemented_properties: list[str] = [*self.implemented_properties, "forces_uncertainty"]
        self._name = name
        self._dipoles = dipoles
        if dipoles is not None:
            # MACE's own list, of this object.
            self.implemented_properties.append("dipole")
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
        # Of the same atoms, energy and forces are there already.
        if system_changes or "energy" not in self.results:
            super().calculate(atoms, properties, system_changes)
        if self._dipoles is not None and "dipole" in (properties or ()):
            self.results["dipole"] = predict_dipoles(self.models[0], self._dipoles, [_like(asked)])[0]
        if "forces_uncertainty" in (properties or ()):
            self.results["forces_uncertainty"] = self.known_region.bounds(self.models[0], [_like(asked)])[0]

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


def _like(atoms: Atoms) -> Configuration:
    """The same atoms. Charge and multiplicity do not matter to MACE; the latter only has to be a possible one."""
    return Configuration(atoms.numbers, atoms.positions, multiplicity=1 + int(atoms.numbers.sum()) % 2)
