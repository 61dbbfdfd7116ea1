"""The pilot that chose the chain of levels of a model."""

from asteroid.store import Store, paths, records
from asteroid.store.chain_records import Pilot
from asteroid.store.models import Card


def find_pilot(store: Store, molecule: str, card: Card) -> Pilot | None:
    """The pilot of a model's chain of levels; None without one."""
    folder, levels = paths.pilots(molecule), (*card.settings.get("ladder", ()), card.accurate)
    pilots = [records.read(store, Pilot, f"{folder}/{name}") for name in store.names(folder)]
    # Failed labels may leave a model with fewer labels than planned.
    alike = [p for p in pilots if p.chosen.levels == levels and p.chosen.labels[-1] >= len(card.frames.accurate)]
    return min(alike, key=lambda pilot: pilot.chosen.labels[-1], default=None)
