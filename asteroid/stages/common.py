"""Helpers of several stages."""

import contextlib
import importlib
import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asteroid.configuration import Frame
from asteroid.errors import AsteroidError
from asteroid.manifest import MoleculeSettings
from asteroid.processes import Progress
from asteroid.store import Store
from asteroid.store.rows import Attempt

TORCH_IMPORTS: Final = ("asteroid.stages.torch_imports",)
"""Modules to preload in processes that need torch."""

LEAST_LABELS: Final = 5
"""Smallest budget of accurate labels, held-out ones included."""


def import_mace() -> None:
    """Import MACE without its messages on standard output, which belongs to ``--json``."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("mace.calculators")
    # e3nn copies and stores modules through TorchScript, of which torch 2.14 warns each time.
    warnings.filterwarnings("ignore", message="`torch.jit", category=FutureWarning)


def training_device(molecule: MoleculeSettings) -> str:
    """Where the models of a molecule run: ``cpu`` or ``cuda``. Needs torch."""
    from asteroid.training.model import choose_device

    return choose_device(molecule.training.device).type


def forces_of(attempt: Attempt) -> npt.NDArray[np.float64]:
    """(N, 3) eV/Å, forces of a label.

    Raises:
        AsteroidError: when the label is an energy alone.
    """
    if attempt.forces is None:
        raise AsteroidError(f"the label of frame {attempt.frame_id} has no forces")
    return attempt.forces


def label_key(label: Attempt) -> list[Any]:
    """Frame and energy of an accepted label, which identify it; also whether it has no forces."""
    key = [label.frame_id, label.energy]
    return key if label.forces is not None else [*key, "energy only"]


def request_labels(
    store: Store, molecule: MoleculeSettings, frames: Sequence[Frame], *, name: str, criterion: str
) -> list[str]:
    """Store frames of a certificate and select them for the accurate level; a second call adds nothing.

    Args:
        name: of the batch of frames and of the selection.

    Returns:
        Ids of the frames.
    """
    store.add_frames(molecule.name, frames, batch=name)
    ids = [frame.frame_id for frame in frames]
    if ids:
        store.select(molecule.name, molecule.accurate, ids, name=name, criterion=criterion)
    return ids


def counted(on_progress: Progress | None, note: str = "") -> Callable[[int, int], None] | None:
    """Turn a callback with a note into one with counts alone."""
    if on_progress is None:
        return None
    return lambda done, total: on_progress(note, done, total)


def waiting(on_progress: Progress | None) -> Callable[[], None] | None:
    """Callback for :func:`asteroid.store.locks.lock` that shows that another run has the lock."""
    if on_progress is None:
        return None
    return lambda: on_progress("waiting for another run", 0, 0)
