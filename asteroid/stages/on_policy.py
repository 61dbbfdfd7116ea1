"""Fresh accurate labels where a finished model leads itself: drawn from its own MD, labelled, scored, never trained on.

:func:`propose_on_policy` draws them and needs torch; the labelling stage computes them; :func:`on_policy_errors` is
called by :mod:`asteroid.stages.certificates`.
"""

from typing import TYPE_CHECKING

import numpy as np

from asteroid.configuration import Frame, Origin
from asteroid.manifest import MoleculeSettings
from asteroid.naming import digest
from asteroid.processes import Progress
from asteroid.stages.minima import starting_structure
from asteroid.stages.own_md import equilibrated, intact, own_md
from asteroid.store import Store

if TYPE_CHECKING:
    from asteroid.validation.on_policy import OnPolicy


def propose_on_policy(
    store: Store, molecule: MoleculeSettings, model_id: str, *, on_progress: Progress | None = None
) -> list[str]:
    """Draw frames from the model's own MD and select them for the accurate level; returns their ids. Needs torch."""
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
    for number, place in draw_frames(energies, [r.temperature for r in trajectories], None, seed=seed):
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
    ids = [frame.frame_id for frame in frames]
    name = f"{group}-{digest(ids)[:8]}"
    store.add_frames(molecule.name, frames, batch=name)
    if ids:
        store.select(molecule.name, molecule.accurate, ids, name=name, criterion="on-policy")
    return ids


def on_policy_errors(store: Store, molecule: MoleculeSettings, model_id: str, ids: list[str]) -> "OnPolicy | None":
    """Errors of the model on the frames that were proposed; None where none were. Needs torch."""
    from asteroid.training.predict import predict
    from asteroid.training.run import load_calculator
    from asteroid.validation.errors import measure_errors
    from asteroid.validation.on_policy import OnPolicy

    if not ids:
        return None
    labels = store.labels(molecule.name, molecule.accurate)
    frames = {frame.frame_id: frame for frame in store.frames(molecule.name, ids=ids)}
    judged = [i for i in ids if i in labels]
    errors = None
    if judged:
        calculator = load_calculator(store, molecule.model_name, model_id, device=molecule.training.device)
        energies, forces = predict(calculator, [frames[i].configuration for i in judged])
        errors = measure_errors(
            judged,
            reference_energies=np.array([labels[i].energy for i in judged], dtype=float),
            predicted_energies=energies,
            reference_forces=[labels[i].forces for i in judged],
            predicted_forces=forces,
            groups=[f"replica {frames[i].origin.parameters['replica']}" for i in judged],
        )
    temperatures = tuple(float(frames[i].origin.parameters["temperature"]) for i in judged)
    return OnPolicy(errors, temperatures, asked=len(ids), failed=len(ids) - len(judged))
