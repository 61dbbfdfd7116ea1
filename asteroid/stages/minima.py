"""Minimum of the model, and the accurate minimum, found with a few accurate labels.

The model's minimum and Hessian are stored once. From then on torch is not needed: each next label is requested here and
computed by :func:`asteroid.stages.evidence.label_minimum`. :mod:`asteroid.stages.certificates` compares the minima.
"""

from typing import TYPE_CHECKING

import numpy as np

from asteroid.configuration import Configuration, Frame, Origin
from asteroid.errors import AsteroidError
from asteroid.manifest import MoleculeSettings
from asteroid.stages.common import forces_of
from asteroid.store import Store, paths, records
from asteroid.store.records import FoundMinimum

if TYPE_CHECKING:
    from asteroid.validation.minimum import MinimumComparison, ModelMinimum

MINIMUM_LABELS = 4
"""Largest number of accurate labels for finding the accurate minimum."""


def find_model_minimum(store: Store, molecule: MoleculeSettings, model_id: str) -> None:
    """Optimise the lowest conformer with the model, and store the geometry and its Hessian. Needs torch."""
    from asteroid.training.run import load_calculator
    from asteroid.validation.minimum import find_minimum, model_hessian

    path = _path(molecule, model_id)
    if store.exists(path):
        return
    calculator = load_calculator(store, molecule.model_name, model_id, device=molecule.training.device)
    found, converged = find_minimum(calculator, starting_structure(store, molecule))
    second = model_hessian(calculator, found) if converged else None
    records.write(store, path, FoundMinimum(found.positions, second, converged))


def model_minimum(store: Store, molecule: MoleculeSettings, model_id: str) -> FoundMinimum:
    """Stored result of :func:`find_model_minimum`."""
    return records.read(store, FoundMinimum, _path(molecule, model_id))


def _path(molecule: MoleculeSettings, model_id: str) -> str:
    return paths.model_molecule(molecule.model_name, model_id, molecule.name, "minimum.json")


def starting_structure(store: Store, molecule: MoleculeSettings) -> Configuration:
    """The lowest conformer, at which optimisations start.

    Raises:
        AsteroidError: when the store has no conformer.
    """
    from asteroid.sampling.plan import stored_conformers

    conformers = stored_conformers(store, molecule)
    if not conformers:
        raise AsteroidError(f"{molecule.name}: the store has no conformer to start from; run the sampling stage")
    return conformers[0]


def minimum_or_start(store: Store, molecule: MoleculeSettings, model_id: str) -> Configuration:
    """The model's minimum, or the starting structure if the optimisation did not converge."""
    found = model_minimum(store, molecule, model_id)
    start = starting_structure(store, molecule)
    return start.with_positions(found.positions) if found.converged else start


def propose_minimum(store: Store, molecule: MoleculeSettings, model_id: str) -> bool:
    """Request the next accurate label on the way from the model's minimum to the accurate one, if one is needed.

    The search follows accurate forces, so there is none if the manifest asks for energies alone.

    Returns:
        Whether a label is pending.
    """
    from asteroid.validation.minimum import CONVERGED, next_geometry

    found = model_minimum(store, molecule, model_id)
    if found.hessian is None or not molecule.label_settings(molecule.accurate).forces:
        return False
    path = minimum_path(store, molecule, model_id)
    labels = store.labels(molecule.name, molecule.accurate)
    if path:
        # Again, in case a kill came between frame and selection.
        _select_minimum(store, molecule, model_id, path[-1].frame_id, len(path) - 1)
        if path[-1].frame_id in store.pending(molecule.name, molecule.accurate):
            return True
        if len(path) == MINIMUM_LABELS or path[-1].frame_id not in labels:
            return False
        # Earlier labels may have been rejected since.
        labelled = [(c, forces_of(labels[c.frame_id])) for c in path if c.frame_id in labels]
        if min(float(np.abs(forces).max()) for _, forces in labelled) < CONVERGED:
            return False
        proposed = next_geometry(found.hessian, labelled)
        if any(proposed.frame_id == one.frame_id for one in path):
            # Without positive curvature the last label has not changed the Hessian, and the same step comes again.
            return False
    else:
        proposed = starting_structure(store, molecule).with_positions(found.positions)
    step = len(path)
    origin = Origin("minimum", {"model_id": model_id, "step": step}, parent=path[-1].frame_id if path else None)
    store.add_frames(
        molecule.name,
        [Frame(proposed, origin, f"minimum-{model_id}", "certificate")],
        batch=f"minimum-{model_id}-{step}",
    )
    _select_minimum(store, molecule, model_id, proposed.frame_id, step)
    return True


def _select_minimum(store: Store, molecule: MoleculeSettings, model_id: str, frame_id: str, step: int) -> None:
    name = f"minimum-{model_id}-{step}"
    store.select(molecule.name, molecule.accurate, [frame_id], name=name, criterion="minimum")


def minimum_path(store: Store, molecule: MoleculeSettings, model_id: str) -> list[Configuration]:
    """Geometries of the search for the accurate minimum, the model's minimum first."""
    steps = [
        frame
        for frame in store.frames(molecule.name, split="certificate")
        if frame.origin.method == "minimum" and frame.origin.parameters["model_id"] == model_id
    ]
    return [f.configuration for f in sorted(steps, key=lambda f: int(f.origin.parameters["step"]))]


def compare_to_accurate(
    store: Store, molecule: MoleculeSettings, model_id: str
) -> "tuple[MinimumComparison | ModelMinimum | None, Configuration, str]":
    """Comparison of the minima, the geometry at which MD starts, and the reason if there is no comparison.

    Without accurate forces, the first is the model's minimum alone.
    """
    from asteroid.chemistry.vibrations import normal_modes
    from asteroid.validation.minimum import ModelMinimum, compare_minima

    found = model_minimum(store, molecule, model_id)
    minimum = starting_structure(store, molecule).with_positions(found.positions)
    if found.hessian is None:
        return None, starting_structure(store, molecule), "the model's optimisation did not converge"
    if not molecule.label_settings(molecule.accurate).forces:
        return ModelMinimum(normal_modes(minimum, found.hessian).wavenumbers), minimum, ""
    labels = store.labels(molecule.name, molecule.accurate)
    path = minimum_path(store, molecule, model_id)
    labelled = [(c, forces_of(labels[c.frame_id])) for c in path if c.frame_id in labels]
    if not labelled or labelled[0][0] is not path[0]:
        return None, minimum, f"the {molecule.accurate} label of the model's minimum failed"
    return compare_minima(found.hessian, labelled), minimum, ""
