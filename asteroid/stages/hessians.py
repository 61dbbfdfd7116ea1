"""The accurate harmonic frequencies: analytic ones, or forces around the accurate minimum as ordinary labels.

Nothing here needs torch; an analytic Hessian is computed in a process of its own. The minimum comes from
:mod:`asteroid.stages.minima`; the comparison with the model's modes is :mod:`asteroid.validation.harmonic`'s, asked for
by :mod:`asteroid.stages.certificates`.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asteroid.configuration import Configuration, Frame, Origin
from asteroid.errors import LabelFailed
from asteroid.labelling.hessian import analytic_hessian, has_analytic_hessian, hessian_folder
from asteroid.manifest import MoleculeSettings
from asteroid.processes import call_in_process
from asteroid.stages.common import forces_of
from asteroid.stages.minima import compare_to_accurate
from asteroid.store import Store
from asteroid.vibrations import displacements, hessian_from_forces

if TYPE_CHECKING:
    from asteroid.validation.harmonic import Frequencies


def propose_hessian(store: Store, molecule: MoleculeSettings, model_id: str) -> bool:
    """Select the 6N displaced geometries around the accurate minimum for labels, once that has been reached.

    Returns:
        Whether labels are now pending.
    """
    centre, _ = _accurate_minimum(store, molecule, model_id)
    if not molecule.validation.frequencies or centre is None or has_analytic_hessian(molecule.accurate):
        return False
    name = f"hessian-{centre.frame_id}"
    frames = [
        Frame(shifted, Origin("hessian", {"coordinate": index // 2}, parent=centre.frame_id), name, "certificate")
        for index, shifted in enumerate(displacements(centre))
    ]
    store.add_frames(molecule.name, frames, batch=name)
    ids = [frame.frame_id for frame in frames]
    store.select(molecule.name, molecule.accurate, ids, name=name, criterion="hessian")
    return bool(set(ids) & set(store.pending(molecule.name, molecule.accurate)))


def compare_modes(store: Store, molecule: MoleculeSettings, model_id: str) -> "tuple[Frequencies | None, str]":
    """The comparison of harmonic frequencies, or None with the reason why there is none."""
    from asteroid.validation.harmonic import compare_frequencies

    if not molecule.validation.frequencies:
        return None, "accurate frequencies were not asked for"
    centre, reason = _accurate_minimum(store, molecule, model_id)
    if centre is None:
        return None, reason
    found = store.read_json(f"models/{molecule.name}/{model_id}/minimum.json")
    model = centre.with_positions(np.array(found["positions"])), np.array(found["hessian"])
    if has_analytic_hessian(molecule.accurate):
        try:
            return compare_frequencies(model, (centre, _analytic(store, molecule, centre))), ""
        except LabelFailed as error:
            return None, f"no Hessian at the accurate minimum: {error}"
    labels = store.labels(molecule.name, molecule.accurate)
    ids = [shifted.frame_id for shifted in displacements(centre)]
    if missing := sum(i not in labels for i in ids):
        return None, f"{missing} of {len(ids)} labels around the accurate minimum are missing"
    second = hessian_from_forces([forces_of(labels[i]) for i in ids])
    return compare_frequencies(model, (centre, second), labels=len(ids)), ""


def _analytic(store: Store, molecule: MoleculeSettings, centre: Configuration) -> npt.NDArray[np.float64]:
    """(3N, 3N) eV/Å² at the accurate minimum, computed once."""
    path = f"{hessian_folder(molecule.name, str(molecule.accurate))}/{centre.frame_id}.json"
    if not store.exists(path):
        store.write_json(path, call_in_process(analytic_hessian, centre, molecule.accurate))
    return np.array(store.read_json(path)["hessian"])


def hessian_frames(store: Store, molecule: MoleculeSettings, model_id: str) -> list[str]:
    """Ids of the displaced geometries that have been selected for this model's accurate minimum."""
    if not molecule.validation.frequencies or has_analytic_hessian(molecule.accurate):
        return []
    centre, _ = _accurate_minimum(store, molecule, model_id)
    return [] if centre is None else [shifted.frame_id for shifted in displacements(centre)]


def _accurate_minimum(store: Store, molecule: MoleculeSettings, model_id: str) -> tuple[Configuration | None, str]:
    """The geometry that counts as the accurate minimum, or None with the reason why there is none."""
    from asteroid.validation.minimum import MinimumComparison

    comparison, _, reason = compare_to_accurate(store, molecule, model_id)
    if not isinstance(comparison, MinimumComparison):
        return None, reason or "without accurate forces there is no accurate minimum"
    if not comparison.converged:
        return None, f"the accurate minimum was not reached in {comparison.labels} labels"
    (frame,) = store.frames(molecule.name, ids=[comparison.accurate_frame])
    return frame.configuration, ""
