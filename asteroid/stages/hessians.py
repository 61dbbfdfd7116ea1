"""The accurate harmonic frequencies: analytic ones, or forces around the accurate minimum as ordinary labels.

Nothing here needs torch. An analytic Hessian is a step of its own (:func:`compute_hessian`), so that label workers
compute it and not the one that judges. The minimum comes from :mod:`asteroid.stages.minima`; the comparison
with the model's modes is :mod:`asteroid.validation.harmonic`'s, asked for by :mod:`asteroid.stages.certificates`.
"""

from typing import TYPE_CHECKING

from asteroid.chemistry.vibrations import displacements, hessian_from_forces
from asteroid.configuration import Configuration, Frame, Origin
from asteroid.engines.pyscf.hessian import analytic_hessian, has_analytic_hessian
from asteroid.errors import AsteroidError, LabelFailed
from asteroid.manifest import MoleculeSettings
from asteroid.processes import Progress, call_in_process
from asteroid.stages.common import forces_of, waiting
from asteroid.stages.minima import compare_to_accurate, model_minimum
from asteroid.stages.models import trained_models
from asteroid.store import Store, paths, records
from asteroid.store.locks import lock
from asteroid.store.records import AnalyticHessian

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
    """The comparison of harmonic frequencies, or None with the reason why there is none.

    Raises:
        AsteroidError: when the analytic Hessian has not been computed.
    """
    from asteroid.validation.harmonic import compare_frequencies

    if not molecule.validation.frequencies:
        return None, "accurate frequencies were not asked for"
    centre, reason = _accurate_minimum(store, molecule, model_id)
    if centre is None:
        return None, reason
    found = model_minimum(store, molecule, model_id)
    assert found.hessian is not None, "the way to an accurate minimum begins at the model's"
    model = centre.with_positions(found.positions), found.hessian
    if has_analytic_hessian(molecule.accurate):
        path = _analytic_path(molecule, centre)
        if not store.exists(path):
            raise AsteroidError(
                f"{molecule.name}: the {molecule.accurate} Hessian of frame {centre.frame_id} is missing; run again to "
                "go on"
            )
        analytic = records.read(store, AnalyticHessian, path)
        if analytic.hessian is None:
            return None, f"no Hessian at the accurate minimum: {analytic.problem}"
        return compare_frequencies(model, (centre, analytic.hessian)), ""
    labels = store.labels(molecule.name, molecule.accurate)
    ids = [shifted.frame_id for shifted in displacements(centre)]
    if missing := sum(i not in labels for i in ids):
        return None, f"{missing} of {len(ids)} labels around the accurate minimum are missing"
    second = hessian_from_forces([forces_of(labels[i]) for i in ids])
    return compare_frequencies(model, (centre, second), labels=len(ids)), ""


def lacks_hessian(store: Store, molecule: MoleculeSettings) -> bool:
    """Whether the analytic Hessian at the final model's accurate minimum is to be computed."""
    models = trained_models(store, molecule)
    return models is not None and lacks_analytic_hessian(store, molecule, models.final)


def compute_hessian(store: Store, molecule: MoleculeSettings, *, on_progress: Progress | None = None) -> None:
    """Compute that Hessian unless the store has it."""
    with lock(store, f"hessian {molecule.name}", on_wait=waiting(on_progress)):
        models = trained_models(store, molecule)
        # Another run may have computed it meanwhile.
        if models is not None and lacks_analytic_hessian(store, molecule, models.final):
            compute_analytic_hessian(store, molecule, models.final)


def lacks_analytic_hessian(store: Store, molecule: MoleculeSettings, model_id: str) -> bool:
    """Whether an analytic Hessian is wanted at this model's accurate minimum and has not been tried."""
    if not molecule.validation.frequencies or not has_analytic_hessian(molecule.accurate):
        return False
    centre, _ = _accurate_minimum(store, molecule, model_id)
    return centre is not None and not store.exists(_analytic_path(molecule, centre))


def compute_analytic_hessian(store: Store, molecule: MoleculeSettings, model_id: str) -> None:
    """(3N, 3N) eV/Å² at the accurate minimum, in a process of its own; where the SCF fails, the store keeps why."""
    centre, reason = _accurate_minimum(store, molecule, model_id)
    if centre is None:
        raise AsteroidError(f"{molecule.name}: {reason}; run again to go on")
    try:
        found = AnalyticHessian(**call_in_process(analytic_hessian, centre, molecule.accurate))
    except LabelFailed as error:
        found = AnalyticHessian(None, 0.0, problem=str(error))
    records.write(store, _analytic_path(molecule, centre), found)


def _analytic_path(molecule: MoleculeSettings, centre: Configuration) -> str:
    return f"{paths.analytic_hessians(molecule.name, molecule.accurate)}/{centre.frame_id}.json"


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
