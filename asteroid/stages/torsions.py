"""Torsion profiles of a finished model, and accurate labels at a few points of each.

The scans are made once and stored beside the model. :mod:`asteroid.validation.torsions` compares the energies for the
certificate.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from asteroid.configuration import Configuration, Frame, Origin
from asteroid.manifest import MoleculeSettings
from asteroid.processes import Progress
from asteroid.stages.common import request_labels
from asteroid.stages.minima import minimum_or_start, model_minimum
from asteroid.store import Store, paths, records
from asteroid.store.records import TorsionScan, TorsionScans

if TYPE_CHECKING:
    from asteroid.validation.torsions import TorsionComparison

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AskedTorsion:
    """Points of a torsion profile with requested accurate labels.

    Args:
        torsion: number of the bond.
        points: frame ids by point of the profile.
    """

    torsion: int
    points: Mapping[int, str]


def propose_torsions(
    store: Store, molecule: MoleculeSettings, model_id: str, *, on_progress: Progress | None = None
) -> tuple[AskedTorsion, ...]:
    """Scan every rotatable bond with the model and select a few points for the accurate level. Needs torch.

    Returns:
        The points of each bond; empty without rotatable bonds or a converged minimum.
    """
    from asteroid.validation.torsions import Profile, Torsion, points_to_label

    count = molecule.validation.torsion_points
    if not count or not model_minimum(store, molecule, model_id).converged:
        return ()
    minimum = minimum_or_start(store, molecule, model_id)
    wanted = []
    for number, scanned in enumerate(_scans(store, molecule, model_id, minimum, on_progress)):
        geometries = tuple(minimum.with_positions(positions) for positions in scanned.positions)
        profile = Profile(Torsion(scanned.atoms, scanned.name), scanned.turns, scanned.energies, geometries)
        name = f"torsion-{model_id}-{number}-{count}"
        points = points_to_label(profile, count) if len(geometries) > 1 else []
        frames = []
        for point in points:
            parameters = {"model_id": model_id, "torsion": scanned.name, "turn": float(profile.turns[point])}
            origin = Origin("torsion", parameters, parent=minimum.frame_id)
            frames.append(Frame(geometries[point], origin, f"torsion-{model_id}", "certificate"))
        if frames:
            request_labels(store, molecule, frames, name=name, criterion="torsion")
        wanted.append(AskedTorsion(number, {p: f.frame_id for p, f in zip(points, frames, strict=True)}))
    if wanted and not molecule.label_settings(molecule.accurate).forces:
        # With forces, the search for the accurate minimum labels it.
        origin = Origin("minimum", {"model_id": model_id, "step": 0})
        frame = Frame(minimum, origin, f"minimum-{model_id}", "certificate")
        request_labels(store, molecule, [frame], name=f"minimum-{model_id}-0", criterion="minimum")
    return tuple(wanted)


def _scans(
    store: Store, molecule: MoleculeSettings, model_id: str, minimum: Configuration, on_progress: Progress | None
) -> tuple[TorsionScan, ...]:
    """Profile of each rotatable bond, scanned unless stored."""
    from asteroid.chemistry.bonds import bonded
    from asteroid.training.run import load_calculator
    from asteroid.validation.torsions import Profile, rotatable_bonds, scan

    path = _path(molecule, model_id)
    if not store.exists(path):
        calculator = load_calculator(store, molecule.model_name, model_id, device=molecule.training.device)
        bonds, profiles = [], []
        try:
            bonds = rotatable_bonds(minimum, molecule.smiles)
        except ValueError as error:
            logger.warning("%s: no torsions: RDKit cannot tell the bonds by the geometry: %s", molecule.name, error)
        for number, torsion in enumerate(bonds):
            if on_progress:
                on_progress(f"torsion {torsion.name}", number, len(bonds))
            try:
                profiles.append(scan(calculator, minimum, torsion, bonded(minimum)))
            except (ValueError, RuntimeError) as error:
                # ASE fails for a linear angle and for NaN forces. The profile then consists of its start alone, gets
                # no label, and does not pass.
                logger.warning("%s: the torsion %s cannot be scanned: %s", molecule.name, torsion.name, error)
                profiles.append(Profile(torsion, np.zeros(1), np.zeros(1), (minimum,)))
        scans = [
            TorsionScan(
                p.torsion.name, p.torsion.atoms, p.turns, p.energies, np.array([g.positions for g in p.geometries])
            )
            for p in profiles
        ]
        records.write(store, path, TorsionScans(tuple(scans)))
    return torsion_scans(store, molecule, model_id)


def torsion_scans(store: Store, molecule: MoleculeSettings, model_id: str) -> tuple[TorsionScan, ...]:
    """Stored profiles of a model."""
    return records.read(store, TorsionScans, _path(molecule, model_id)).scans


def _path(molecule: MoleculeSettings, model_id: str) -> str:
    return paths.model_molecule(molecule.model_name, model_id, molecule.name, "torsions.json")


def compare_torsions(
    store: Store, molecule: MoleculeSettings, model_id: str, wanted: Sequence[AskedTorsion]
) -> "tuple[TorsionComparison, ...]":
    """Each profile with the accurate energies of its labelled points; the minimum must have a label, too."""
    from asteroid.validation.torsions import compare_torsion

    if not wanted:
        return ()
    labels = store.labels(molecule.name, molecule.accurate)
    energies = {i: label.energy for i, label in labels.items() if label.energy is not None}
    base = energies.get(minimum_or_start(store, molecule, model_id).frame_id)
    scans = torsion_scans(store, molecule, model_id)
    found = []
    for one in wanted:
        scanned = scans[one.torsion]
        points = {} if base is None else {p: energies[i] for p, i in one.points.items() if i in energies}
        # A failed scan has no points to label, but counts as one missing label.
        asked = max(1, len(one.points))
        profile = scanned.name, scanned.turns, scanned.energies
        found.append(compare_torsion(*profile, base or 0.0, points, asked=asked))
    return tuple(found)
