"""On-policy labels: accurate labels of frames from the final model's own MD, which never train.

:func:`propose_on_policy` draws the frames, the labelling stage computes the labels, and
:mod:`asteroid.stages.evidence` gets the errors from :func:`on_policy_errors`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from asteroid.configuration import Frame, Origin
from asteroid.manifest import MoleculeSettings
from asteroid.naming import digest
from asteroid.processes import Progress
from asteroid.stages.common import request_labels
from asteroid.stages.minima import starting_structure
from asteroid.stages.models import errors_on
from asteroid.stages.own_md import equilibrated, intact, own_md
from asteroid.store import Store

if TYPE_CHECKING:
    from asteroid.validation.on_policy import OnPolicy


def propose_on_policy(
    store: Store, molecule: MoleculeSettings, model_id: str, *, on_progress: Progress | None = None
) -> list[str]:
    """Draw frames from MD with the model and select them for the accurate level; returns their ids. Needs torch."""
    from asteroid.validation.on_policy import draw_frames

    count, seed = molecule.validation.on_policy, molecule.validation.seed
    if not count:
        return []
    group = f"on-policy-{model_id}"
    trajectories = own_md(store, molecule, model_id, on_progress=on_progress).nvt
    kept = [equilibrated(replica) for replica in trajectories]
    energies = [replica.potential_energies[part] for replica, part in zip(trajectories, kept, strict=True)]
    like = starting_structure(store, molecule)
    whole = intact(store, molecule, like)
    frames: list[Frame] = []
    for number, place in draw_frames(energies, [r.temperature for r in trajectories], seed=seed):
        source, part = trajectories[number], kept[number]
        if len(frames) == count:
            break
        if not whole(source.positions[part][place][None])[0]:
            continue
        parameters = {
            "model_id": model_id,
            "replica": number,
            "temperature": source.temperature,
            "time": float(source.times[part][place]),
            "drawn": seed,
        }
        configuration = like.with_positions(source.positions[part][place])
        frames.append(Frame(configuration, Origin("on-policy", parameters, source.seed), group, "certificate"))
    name = f"{group}-{digest([frame.frame_id for frame in frames])[:8]}"
    return request_labels(store, molecule, frames, name=name, criterion="on-policy")


def on_policy_errors(store: Store, molecule: MoleculeSettings, model_id: str, ids: Sequence[str]) -> "OnPolicy | None":
    """Errors of the model on the drawn frames; None if none were drawn. Needs torch."""
    from asteroid.validation.on_policy import OnPolicy

    if not ids:
        return None
    labels = store.labels(molecule.name, molecule.accurate)
    frames = {frame.frame_id: frame for frame in store.frames(molecule.name, ids=ids)}
    labelled = [i for i in ids if i in labels]
    errors = errors_on(store, molecule, model_id, {molecule.name: labelled}) if labelled else None
    temperatures = tuple(float(frames[i].origin.parameters["temperature"]) for i in labelled)
    return OnPolicy(errors, temperatures, asked=len(ids), failed=len(ids) - len(labelled))
