"""The steps of a round that need torch: explore, pick, record.

``explore → (cheap labels of what was found) → pick → (accurate labels, training) → record``. Each is a function of the
store and writes its file last of all; what is there is not made again. :mod:`asteroid.stages.rounds` reads these files;
the work is done in :mod:`~asteroid.stages.exploration`, :mod:`~asteroid.stages.picking` and
:mod:`~asteroid.stages.recording`.
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
    """Whether the next round has not explored, or a model of its committee is gone."""
    found = read_record(store, molecule, Explored, len(read_rounds(store, molecule)))
    return found is None or not all(has_model(store, molecule.model_name, member) for member in found.committee)


def explore(store: Store, molecule: MoleculeSettings, *, on_progress: Progress | None = None) -> str:
    """Explore with the model of the last round; what was found, in words."""
    with _charged(store, molecule, f"exploring {molecule.name} of {molecule.model_name}", on_progress) as entry:
        entry.use_device(training_device(molecule))
        return exploration.explore(store, molecule, on_progress=entry.following(on_progress))


def lacks_batch(store: Store, molecule: MoleculeSettings) -> bool:
    """Whether it is unknown what the next round labels."""
    return not next_round(store, molecule).picked


def pick(store: Store, molecule: MoleculeSettings, *, on_progress: Progress | None = None) -> str:
    """Pick the accurate labels of the next round, of all molecules of the model; where they come from, in words."""
    with _charged(store, molecule, f"acquiring {molecule.model_name}", on_progress):
        return pick_batch(store, molecule)


def lacks_record(store: Store, molecule: MoleculeSettings) -> bool:
    """Whether a round has been picked and not been recorded."""
    return not lacks_batch(store, molecule)


def record(store: Store, molecule: MoleculeSettings, *, on_progress: Progress | None = None) -> str:
    """Record the round whose model has just been trained; what is decided, in words."""
    with _charged(store, molecule, f"acquiring {molecule.model_name}", on_progress):
        return record_round(store, molecule)


@contextmanager
def _charged(store: Store, molecule: MoleculeSettings, work: str, on_progress: Progress | None) -> Iterator[Entry]:
    """One step at a time, charged to the rounds."""
    import_mace()
    with charge(store, molecule.name, "exploration") as entry, lock(store, work, on_wait=waiting(on_progress)):
        yield entry
