"""Stops MD of ASE where the model leaves what it knows: :func:`watch`.

It asks the calculator of :func:`asteroid.load_model` for bounds on the force errors, which
:mod:`asteroid.acquisition.known_region` explains.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid.errors import InputError, LeftKnownRegion
from asteroid.units import FEMTOSECOND

if TYPE_CHECKING:
    from ase.md.md import MolecularDynamics


def watch(dynamics: "MolecularDynamics", *, every: int, looks: int, limit: float | None) -> None:
    """See :func:`asteroid.api.watch`."""
    calculator: Any = dynamics.atoms.calc
    if "forces_uncertainty" not in getattr(calculator, "implemented_properties", ()):
        raise InputError(
            "watch: the calculator has no forces_uncertainty; take one from asteroid.load_model, of a model that needs "
            "no cheap method"
        )
    allowed: float = calculator.known_region.limit if limit is None else limit
    above = 0

    def look() -> None:
        nonlocal above
        atoms = dynamics.atoms
        bounds = calculator.get_property("forces_uncertainty", atoms)
        # "not <=", so that NaN counts as well.
        above = 0 if bounds.max() <= allowed else above + 1
        if above == looks:
            worst = int(np.argmax(bounds))
            time = dynamics.get_time() / FEMTOSECOND / 1000
            symbol = atoms.symbols[worst]
            raise LeftKnownRegion(time=time, atom=worst, symbol=symbol, bound=float(bounds[worst]), limit=allowed)

    dynamics.attach(look, interval=every)
