"""The three steps of a round that need torch, each in a child process: explore, pick, record.

``explore → (cheap labels of what was found) → pick → (accurate labels, training) → record``. Each is a function of the
store and writes its file last of all; what is there is not made again. :mod:`asteroid.stages.rounds` reads these files,
the steps are in :mod:`~asteroid.stages.exploration`, :mod:`~asteroid.stages.picking` and
:mod:`~asteroid.stages.recording`.
"""

from typing import Literal

from asteroid.account import charge
from asteroid.claims import claim
from asteroid.manifest import MoleculeSettings
from asteroid.processes import Progress, call_in_process
from asteroid.stages.common import TORCH_IMPORTS, import_mace, training_device, waiting
from asteroid.stages.exploration import explore
from asteroid.stages.picking import pick_batch
from asteroid.stages.recording import record_round
from asteroid.store import Store

Step = Literal["explore", "pick", "record"]


def acquire_in_child(store: str, molecule: MoleculeSettings, step: Step, *, on_progress: Progress | None = None) -> str:
    """:func:`acquire` in a process of its own."""
    return call_in_process(acquire, store, molecule, step, on_progress=on_progress, preload=TORCH_IMPORTS)


def acquire(store_url: str, molecule: MoleculeSettings, step: Step, *, on_progress: Progress | None = None) -> str:
    """One step of the round that is next, as far as the store lacks its result; what it came to, in words."""
    import_mace()
    store = Store(store_url)
    with (
        charge(store, molecule.name, "exploration") as entry,
        claim(store, f"acquiring {molecule.model_name}", on_wait=waiting(on_progress)),
    ):
        if step == "explore":
            entry.use_device(training_device(molecule))
            return explore(store, molecule, on_progress=entry.following(on_progress))
        if step == "pick":
            return pick_batch(store, molecule)
        return record_round(store, molecule)
