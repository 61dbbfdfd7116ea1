"""Calculations at the accurate level that are not labels of frames; like labels, they run on label workers.

A worker that trains and judges has torch and no quantum chemistry, and a GPU should not wait for either of these:

- ``hessian``: the analytic Hessian at the accurate minimum (:mod:`asteroid.stages.hessians`);
- ``energy-cost``: what an energy alone costs (:mod:`asteroid.stages.energy_cost`).
"""

from typing import Literal

from asteroid.claims import claim
from asteroid.errors import AsteroidError
from asteroid.manifest import MoleculeSettings
from asteroid.processes import Progress
from asteroid.stages.common import waiting
from asteroid.stages.energy_cost import lacks_energy_cost, measure_energy_cost
from asteroid.stages.hessians import compute_analytic_hessian, lacks_analytic_hessian
from asteroid.stages.models import trained_models
from asteroid.store import Store

Calculation = Literal["hessian", "energy-cost"]


def lacks_calculation(store: Store, molecule: MoleculeSettings, which: Calculation) -> bool:
    """Whether a calculation is needed and the store does not have its result."""
    if which == "energy-cost":
        return lacks_energy_cost(store, molecule)
    models = trained_models(store, molecule)
    return models is not None and lacks_analytic_hessian(store, molecule, models.final)


def calculate(
    store: Store, molecule: MoleculeSettings, which: Calculation, *, on_progress: Progress | None = None
) -> None:
    """Compute what is missing; nothing where the store has it.

    Args:
        molecule: with the budget of the round that the calculation belongs to.
    """
    with claim(store, f"{which} {molecule.name}", on_wait=waiting(on_progress)):
        # Another run may have computed it meanwhile.
        if not lacks_calculation(store, molecule, which):
            return
        if which == "energy-cost":
            measure_energy_cost(store, molecule)
            return
        models = trained_models(store, molecule)
        if models is None:
            raise AsteroidError(f"{molecule.name}: the labels have changed since it was trained; run again to go on")
        compute_analytic_hessian(store, molecule, models.final)
