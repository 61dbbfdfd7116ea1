"""Further accurate labels for a certificate: frames from MD with the model, and points of torsion profiles.

:func:`propose_evidence` runs MD and torsion scans with the model and selects frames; the labelling stage computes them;
:func:`gather_evidence` evaluates them for the certificate. The list of frames is written beside the model last, so its
presence means that the selection is complete.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asteroid.configuration import Configuration
from asteroid.errors import AsteroidError
from asteroid.manifest import MoleculeSettings
from asteroid.naming import content, digest
from asteroid.processes import Progress
from asteroid.stages.common import import_mace, training_device, waiting
from asteroid.stages.conformers import conformer_energies
from asteroid.stages.hessians import compare_modes
from asteroid.stages.infrared import infrared
from asteroid.stages.labels import label
from asteroid.stages.minima import find_model_minimum, propose_minimum
from asteroid.stages.models import Models, trained_models
from asteroid.stages.on_policy import on_policy_errors, propose_on_policy
from asteroid.stages.own_md import OwnMD, distributions, spectrum
from asteroid.stages.torsions import AskedTorsion, compare_torsions, propose_torsions
from asteroid.store import Store, paths, records
from asteroid.store.account import Entry, charge
from asteroid.store.locks import lock

if TYPE_CHECKING:
    from asteroid.validation.evidence import Evidence


@dataclass(frozen=True)
class Asked:
    """Frames with requested accurate labels.

    Args:
        on_policy: frame ids from MD with the model.
        torsions: of each rotatable bond.
    """

    on_policy: tuple[str, ...] = ()
    torsions: tuple[AskedTorsion, ...] = ()

    @property
    def frame_ids(self) -> list[str]:
        """Ids of all frames."""
        return [*self.on_policy, *(i for torsion in self.torsions for i in torsion.points.values())]


def read_asked(store: Store, molecule: MoleculeSettings, model_id: str) -> Asked | None:
    """Frames requested for a model with these settings; None before :func:`propose_evidence`."""
    path = _path(molecule, model_id)
    return records.read(store, Asked, path) if store.exists(path) else None


def lacks_proposal(store: Store, molecule: MoleculeSettings) -> bool:
    """Whether frames for the certificate of the final model have not been selected yet."""
    models = trained_models(store, molecule)
    return models is None or read_asked(store, molecule, models.final) is None


def propose_evidence(store: Store, molecule: MoleculeSettings, *, on_progress: Progress | None = None) -> int:
    """Run MD with the final model and select frames of it for accurate labels; returns their number. Needs torch.

    Raises:
        AsteroidError: when no model has been trained from the labels in the store.
    """
    with validating(store, molecule, on_progress) as (models, entry):
        on_progress = entry.following(on_progress)
        # Training has found it only for the first molecule of a model.
        find_model_minimum(store, molecule, models.final)
        asked = read_asked(store, molecule, models.final)
        if asked is None:
            asked = Asked(
                tuple(propose_on_policy(store, molecule, models.final, on_progress=on_progress)),
                propose_torsions(store, molecule, models.final, on_progress=on_progress),
            )
            records.write(store, _path(molecule, models.final), asked)
    return len(asked.frame_ids)


@contextmanager
def validating(
    store: Store, molecule: MoleculeSettings, on_progress: Progress | None
) -> Iterator[tuple[Models, Entry]]:
    """Take the lock for MD with the final model, and charge the work to the account of its validation.

    Raises:
        AsteroidError: when no model has been trained from the labels in the store.
    """
    import_mace()
    with (
        charge(store, molecule.name, "validation") as entry,
        lock(store, f"evidence {molecule.name}", on_wait=waiting(on_progress)),
        warnings.catch_warnings(),
    ):
        # The certificate itself says that it is of another molecule.
        warnings.filterwarnings("ignore", message="model .* was trained on")
        models = trained_models(store, molecule)
        if models is None:
            raise AsteroidError(f"{molecule.name}: no model has been trained from the labels now in the store")
        entry.model_id = models.final
        entry.use_device(training_device(molecule))
        yield models, entry


def gather_evidence(
    store: Store, molecule: MoleculeSettings, model_id: str, rest: Configuration, trajectories: OwnMD
) -> "Evidence":
    """Comparison of a model with all requested labels and with reference distributions. Needs torch.

    Args:
        rest: minimum of the model, or the start of its optimisation.
        trajectories: MD with the model.
    """
    from asteroid.validation.evidence import Evidence

    asked = read_asked(store, molecule, model_id) or Asked()
    frequencies, note = compare_modes(store, molecule, model_id)
    return Evidence(
        on_policy=on_policy_errors(store, molecule, model_id, asked.on_policy),
        frequencies=frequencies,
        frequencies_asked=molecule.validation.frequencies and molecule.label_settings(molecule.accurate).forces,
        frequencies_note=note,
        torsions=compare_torsions(store, molecule, model_id, asked.torsions),
        distributions=distributions(store, molecule, model_id, rest, trajectories),
        spectrum=spectrum(rest, trajectories),
        infrared=infrared(store, molecule, model_id, trajectories),
        conformers=conformer_energies(store, molecule, model_id),
    )


def _path(molecule: MoleculeSettings, model_id: str) -> str:
    shaping = {"temperatures", "timestep", "nvt_ps", "replicas", "seed", "on_policy", "torsion_points"}
    used = content(molecule.validation, include=shaping)
    return paths.model_molecule(molecule.model_name, model_id, molecule.name, f"asked-{digest(used)}.json")


def label_minimum(
    store: Store, molecule: MoleculeSettings, *, model_id: str, workers: int, on_progress: Progress | None = None
) -> None:
    """Compute the accurate labels on the way to the accurate minimum, each of which follows from those before."""
    while propose_minimum(store, molecule, model_id):
        label(store, molecule, molecule.accurate, workers=workers, on_progress=on_progress)
