"""Errors of a model on single labelled frames, for calibration, records and the decision to stop. Needs torch.

Used by :mod:`asteroid.stages.exploration`, :mod:`asteroid.stages.picking` and :mod:`asteroid.stages.recording`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from asteroid.configuration import Frame
from asteroid.errors import AsteroidError
from asteroid.manifest import MoleculeSettings
from asteroid.stages.common import forces_of
from asteroid.store import Store
from asteroid.store.rows import Attempt


def load_models(store: Store, molecule: MoleculeSettings, model_ids: Sequence[str]) -> list[Any]:
    """MACE modules on the device of the settings."""
    from asteroid.training.model import choose_device
    from asteroid.training.run import load_model

    device = choose_device(molecule.training.device)
    return [load_model(store, molecule.model_name, model_id).to(device) for model_id in model_ids]


def with_forces(
    store: Store, molecule: MoleculeSettings, ids: Sequence[str], labels: Mapping[str, Attempt]
) -> list[Frame]:
    """Frames whose label has forces, in the order of the ids."""
    found = {frame.frame_id: frame for frame in store.frames(molecule.name, ids=ids)}
    return [found[i] for i in ids if i in found and i in labels and labels[i].forces is not None]


def held_out_frames(
    store: Store, molecule: MoleculeSettings, ids: Sequence[str], labels: Mapping[str, Attempt]
) -> list[Frame]:
    """Like :func:`with_forces`, for held-out frames.

    Raises:
        AsteroidError: when there is none.
    """
    found = with_forces(store, molecule, ids, labels)
    if not found:
        raise AsteroidError(f"{molecule.name}: no held-out frame has accurate forces, which rounds are tested on")
    return found


def force_errors(model: Any, frames: Sequence[Frame], labels: Mapping[str, Attempt]) -> npt.NDArray[np.float64]:
    """(M,) eV/Å, mean absolute error of the force components of each labelled frame."""
    from asteroid.training.predict import predict

    _, forces = predict(model, [frame.configuration for frame in frames])
    pairs = zip(frames, forces, strict=True)
    return np.array([np.abs(found - forces_of(labels[frame.frame_id])).mean() for frame, found in pairs])
