"""The pilot that chose the chain of levels of a model."""

from dataclasses import replace

from asteroid.store import Store, paths, records
from asteroid.store.chain_records import Chain, Pilot
from asteroid.store.models import Card


def find_pilot(store: Store, molecule: str, card: Card, *, in_rounds: bool = False) -> Pilot | None:
    """The pilot of a model's chain of levels; None without one.

    Args:
        in_rounds: whether rounds decided the numbers of labels, which may be larger than planned.
    """
    folder, levels = paths.pilots(molecule), (*card.settings.get("ladder", ()), card.accurate)
    pilots = [records.read(store, Pilot, f"{folder}/{name}") for name in store.names(folder)]
    several = len(card.molecules) > 1
    # Failed labels may leave a model with fewer labels than planned.
    needed = 0 if in_rounds or several else len(card.frames.accurate)
    # Of several molecules, the chain is the best for all together.
    alike = [
        replace(pilot, chosen=chain)
        for pilot in pilots
        for chain in (pilot.chains if several else [pilot.chosen])
        if chain.levels == levels and chain.labels[-1] >= needed and _begins(pilot, chain, card.cheap)
    ]
    return min(alike, key=lambda pilot: pilot.chosen.labels[-1], default=None)


def _begins(pilot: Pilot, chain: Chain, cheap: str | None) -> bool:
    """Whether the chain of a pilot begins at a cheap level: a molecule may have pilots with several."""
    return any((curve.below, curve.above) == (cheap, chain.levels[0]) for curve in pilot.curves)
