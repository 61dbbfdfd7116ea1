"""The steps of an active-learning round that need torch: explore, pick, record.

``explore → (cheap labels of the explored frames) → pick → (accurate labels, training) → record``. Each step writes its
record last, and does nothing if the record exists. The work is done in :mod:`~asteroid.stages.exploration`,
:mod:`~asteroid.stages.picking` and :mod:`~asteroid.stages.recording`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from asteroid.manifest import MoleculeSettings
from asteroid.processes import Progress
from asteroid.stages import exploration
from asteroid.stages.common import import_mace, training_device, waiting
from asteroid.stages.picking import pick_batch
from asteroid.stages.recording import record_round
from asteroid.stages.round_files import read_record, read_rounds
from asteroid.stages.rounds import next_round
from asteroid.store import Store
from asteroid.store.account import Entry, charge
from asteroid.store.locks import lock
from asteroid.store.models import has_model
from asteroid.store.round_records import Explored


def lacks_exploration(store: Store, molecule: MoleculeSettings) -> bool:
    """Whether the exploration of the next round, or a model of its committee, is missing."""
    found = read_record(store, molecule, Explored, len(read_rounds(store, molecule)))
    return found is None or not all(has_model(store, molecule.model_name, member) for member in found.committee)


def explore(store: Store, molecule: MoleculeSettings, *, on_progress: Progress | None = None) -> str:
    """Explore with the model of the previous round; returns a summary for the log. Needs torch."""
    with _charged(store, molecule, f"exploring {molecule.name} of {molecule.model_name}", on_progress) as entry:
        entry.use_device(training_device(molecule))
        return exploration.explore(store, molecule, on_progress=entry.following(on_progress))


def lacks_batch(store: Store, molecule: MoleculeSettings) -> bool:
    """Whether the batch of the next round is not picked yet."""
    return not next_round(store, molecule).picked


def pick(store: Store, molecule: MoleculeSettings, *, on_progress: Progress | None = None) -> str:
    """Pick the frames to label in the next round for all molecules of the model; returns their sources. Needs torch."""
    with _charged(store, molecule, f"acquiring {molecule.model_name}", on_progress):
        return pick_batch(store, molecule)


def lacks_record(store: Store, molecule: MoleculeSettings) -> bool:
    """Whether a picked round is not recorded yet."""
    return not lacks_batch(store, molecule)


def record(store: Store, molecule: MoleculeSettings, *, on_progress: Progress | None = None) -> str:
    """Record the round of the newest model; returns the reason to continue or stop. Needs torch."""
    with _charged(store, molecule, f"acquiring {molecule.model_name}", on_progress):
        return record_round(store, molecule)


@contextmanager
def _charged(store: Store, molecule: MoleculeSettings, work: str, on_progress: Progress | None) -> Iterator[Entry]:
    """Take the lock, and charge the step to the account of the rounds."""
    import_mace()
    with charge(store, molecule.name, "exploration") as entry, lock(store, work, on_wait=waiting(on_progress)):
        yield entry
