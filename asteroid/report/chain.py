"""The chain of levels of a model: what the pilot compared, and what it promised."""

from asteroid.store import Store, paths, records
from asteroid.store.chain_records import Pilot
from asteroid.store.models import Card


def find_pilot(store: Store, molecule: str, card: Card) -> Pilot | None:
    """The pilot whose chain a model was trained with; None where nothing was chosen by one."""
    folder, between = paths.pilots(molecule), tuple(card.settings.get("ladder", ()))
    for name in store.names(folder):
        found = records.read(store, Pilot, f"{folder}/{name}")
        if (found.chosen.between, found.chosen.levels[-1]) == (between, card.accurate):
            return found
    return None
