"""Conformers of a finished model: those that sampling found at the cheap level, relaxed with the model. Needs torch."""

from typing import TYPE_CHECKING

from asteroid.configuration import Configuration
from asteroid.manifest import MoleculeSettings
from asteroid.stages.minima import model_minimum
from asteroid.store import Store

if TYPE_CHECKING:
    from asteroid.validation.conformers import ConformerEnergy


def conformer_energies(store: Store, molecule: MoleculeSettings, model_id: str) -> "tuple[ConformerEnergy, ...]":
    """Energies of the conformers at the cheap level and of the model; empty if there is only one."""
    from asteroid.sampling.plan import stored_conformers
    from asteroid.training.run import load_calculator
    from asteroid.validation.conformers import ConformerEnergy, index_of_same
    from asteroid.validation.minimum import find_minimum

    conformers = stored_conformers(store, molecule)
    first = model_minimum(store, molecule, model_id)
    if len(conformers) < 2 or not first.converged:
        return ()
    calculator = load_calculator(store, molecule.model_name, model_id, device=molecule.training.device)
    labels = store.labels(molecule.name, molecule.cheap)
    cheap = [label.energy if (label := labels.get(c.frame_id)) else None for c in conformers]
    relaxed: list[Configuration | None] = [conformers[0].with_positions(first.positions)]
    for conformer in conformers[1:]:
        minimum, converged = find_minimum(calculator, conformer)
        relaxed.append(minimum if converged else None)
    energies = [None if c is None else float(calculator.get_potential_energy(c.to_atoms())) for c in relaxed]
    return tuple(
        ConformerEnergy(
            frame_id=conformer.frame_id,
            cheap=_above(cheap[index], cheap[0]),
            model=_above(energies[index], energies[0]),
            same_as=None if (here := relaxed[index]) is None else index_of_same(here, relaxed[:index]),
        )
        for index, conformer in enumerate(conformers)
    )


def _above(energy: float | None, lowest: float | None) -> float | None:
    return None if energy is None or lowest is None else energy - lowest
