"""Accurate harmonic frequencies and infrared intensities, from an analytic Hessian or accurate forces and dipoles at
displaced geometries.

An analytic Hessian is a separate step (:func:`compute_hessian`), which runs on label workers. The accurate minimum
comes from :mod:`asteroid.stages.minima`; :mod:`asteroid.validation.harmonic` compares the modes for the certificate.
Needs no torch.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asteroid.chemistry.vibrations import dipole_derivatives, displacements, hessian_from_forces
from asteroid.configuration import Configuration, Frame, Origin
from asteroid.engines.pyscf.hessian import analytic_hessian, has_analytic_hessian
from asteroid.errors import AsteroidError, LabelFailed
from asteroid.manifest import MoleculeSettings
from asteroid.processes import Progress, call_in_process
from asteroid.stages.common import forces_of, request_labels, waiting
from asteroid.stages.minima import compare_to_accurate, model_minimum
from asteroid.stages.models import trained_models
from asteroid.store import Store, paths, records
from asteroid.store.locks import lock
from asteroid.store.records import AnalyticHessian, Floats

if TYPE_CHECKING:
    from asteroid.validation.harmonic import Frequencies


def propose_hessian(store: Store, molecule: MoleculeSettings, model_id: str) -> bool:
    """Select the 6N displaced geometries around the accurate minimum for labels, once the minimum is found.

    Returns:
        Whether labels are pending.
    """
    centre, _ = _accurate_minimum(store, molecule, model_id)
    if not molecule.validation.frequencies or centre is None or has_analytic_hessian(molecule.accurate):
        return False
    name = f"hessian-{centre.frame_id}"
    frames = [
        Frame(shifted, Origin("hessian", {"coordinate": index // 2}, parent=centre.frame_id), name, "certificate")
        for index, shifted in enumerate(displacements(centre))
    ]
    ids = request_labels(store, molecule, frames, name=name, criterion="hessian")
    return bool(set(ids) & set(store.pending(molecule.name, molecule.accurate)))


@dataclass(frozen=True, eq=False)
class AccurateHessian:
    """Second derivatives at the accurate minimum.

    Args:
        minimum: the configuration.
        hessian: (3N, 3N) eV/Å².
        dipole_derivatives: (3N, 3) e; None if the labels have no dipoles.
        labels: number of accurate labels for it; 0 for an analytic one.
    """

    minimum: Configuration
    hessian: Floats
    dipole_derivatives: Floats | None
    labels: int


def accurate_hessian(store: Store, molecule: MoleculeSettings, model_id: str) -> tuple[AccurateHessian | None, str]:
    """The accurate Hessian, or None with the reason.

    Raises:
        AsteroidError: when the analytic Hessian has not been computed.
    """
    if not molecule.validation.frequencies:
        return None, "accurate frequencies were not asked for"
    centre, reason = _accurate_minimum(store, molecule, model_id)
    if centre is None:
        return None, reason
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
        return AccurateHessian(centre, analytic.hessian, analytic.dipole_derivatives, 0), ""
    labels = store.labels(molecule.name, molecule.accurate)
    ids = [shifted.frame_id for shifted in displacements(centre)]
    if missing := sum(i not in labels for i in ids):
        return None, f"{missing} of {len(ids)} labels around the accurate minimum are missing"
    second = hessian_from_forces([forces_of(labels[i]) for i in ids])
    dipoles = [dipole for i in ids if (dipole := labels[i].dipole) is not None]
    slopes = dipole_derivatives(dipoles) if len(dipoles) == len(ids) else None
    return AccurateHessian(centre, second, slopes, len(ids)), ""


def compare_modes(store: Store, molecule: MoleculeSettings, model_id: str) -> "tuple[Frequencies | None, str]":
    """Comparison of the harmonic frequencies, or None with the reason.

    Raises:
        AsteroidError: when the analytic Hessian has not been computed.
    """
    from asteroid.validation.harmonic import compare_frequencies

    accurate, reason = accurate_hessian(store, molecule, model_id)
    if accurate is None:
        return None, reason
    found = model_minimum(store, molecule, model_id)
    assert found.hessian is not None, "the search for the accurate minimum starts at the model's"
    model = accurate.minimum.with_positions(found.positions), found.hessian
    return compare_frequencies(model, (accurate.minimum, accurate.hessian), labels=accurate.labels), ""


def lacks_hessian(store: Store, molecule: MoleculeSettings) -> bool:
    """Whether the analytic Hessian at the accurate minimum of the final model must be computed."""
    return _untried_minimum(store, molecule) is not None


def compute_hessian(store: Store, molecule: MoleculeSettings, *, on_progress: Progress | None = None) -> None:
    """Compute the analytic Hessian, (3N, 3N) eV/Å², at the accurate minimum of the final model, unless it was tried.

    Runs in a separate process; if the SCF fails, the reason is stored.
    """
    with lock(store, f"hessian {molecule.name}", on_wait=waiting(on_progress)):
        centre = _untried_minimum(store, molecule)
        if centre is None:
            return
        try:
            found = AnalyticHessian(**call_in_process(analytic_hessian, centre, molecule.accurate))
        except LabelFailed as error:
            found = AnalyticHessian(None, 0.0, problem=str(error))
        records.write(store, _analytic_path(molecule, centre), found)


def _untried_minimum(store: Store, molecule: MoleculeSettings) -> Configuration | None:
    """Accurate minimum of the final model, if its analytic Hessian is needed and has not been tried."""
    models = trained_models(store, molecule)
    if models is None or not molecule.validation.frequencies or not has_analytic_hessian(molecule.accurate):
        return None
    centre, _ = _accurate_minimum(store, molecule, models.final)
    return None if centre is None or store.exists(_analytic_path(molecule, centre)) else centre


def _analytic_path(molecule: MoleculeSettings, centre: Configuration) -> str:
    return f"{paths.analytic_hessians(molecule.name, molecule.accurate)}/{centre.frame_id}.json"


def hessian_frames(store: Store, molecule: MoleculeSettings, model_id: str) -> list[str]:
    """Ids of the displaced geometries around the accurate minimum of this model."""
    if not molecule.validation.frequencies or has_analytic_hessian(molecule.accurate):
        return []
    centre, _ = _accurate_minimum(store, molecule, model_id)
    return [] if centre is None else [shifted.frame_id for shifted in displacements(centre)]


def _accurate_minimum(store: Store, molecule: MoleculeSettings, model_id: str) -> tuple[Configuration | None, str]:
    """The accurate minimum, or None with the reason."""
    from asteroid.validation.minimum import MinimumComparison

    comparison, _, reason = compare_to_accurate(store, molecule, model_id)
    if not isinstance(comparison, MinimumComparison):
        return None, reason or "without accurate forces there is no accurate minimum"
    if not comparison.converged:
        return None, f"the accurate minimum was not reached in {comparison.labels} labels"
    (frame,) = store.frames(molecule.name, ids=[comparison.accurate_frame])
    return frame.configuration, ""
