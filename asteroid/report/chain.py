"""The pilot that chose the chain of levels of a model."""

from asteroid.store import Store, paths, records
from asteroid.store.chain_records import Pilot
from asteroid.store.models import Card


def find_pilot(store: Store, molecule: str, card: Card, *, in_rounds: bool = False) -> Pilot | None:
    """The pilot of a model's chain of levels; None without one.

    Args:
        in_rounds: whether rounds decided the numbers of labels, which may be larger than planned.
    """
    folder, levels = paths.pilots(molecule), (*card.settings.get("ladder", ()), card.accurate)
    pilots = [records.read(store, Pilot, f"{folder}/{name}") for name in store.names(folder)]
    # Failed labels may leave a model with fewer labels than planned.
    needed = 0 if in_rounds else len(card.frames.accurate)
    alike = [p for p in pilots if p.chosen.levels == levels and p.chosen.labels[-1] >= needed]
    return min(alike, key=lambda pilot: pilot.chosen.labels[-1], default=None)
