"""What the next round buys: accurate labels with forces, or more of energies alone.

Cheap labels are no question of budget: they take a thousandth of the time, so every frame that is sampled or found gets
one. Costs come from the ledger; what an energy alone costs is measured once, on a frame that is labelled already.
Called by :mod:`asteroid.stages.picking`; the rule is :mod:`asteroid.acquisition.spending`'s. Needs torch.
"""

from asteroid.acquisition.spending import Purchase, compare_labels
from asteroid.labelling import ENGINES, engines_for
from asteroid.labelling.campaign import label_configurations
from asteroid.manifest import MoleculeSettings
from asteroid.stages.labels import expected_label_seconds
from asteroid.stages.models import training_frames
from asteroid.stages.rounds import acquisition, loop_folder
from asteroid.store import Store

MOST_ENERGIES = 5
"""Times a batch that a round of energies alone may have labels: beyond, the model first says where it is unsure."""


def choose_kind(store: Store, molecule: MoleculeSettings, *, seed: int) -> Purchase:
    """The kind of label that takes most off the error per core-second.

    Args:
        molecule: with the budget of the last round.
    """
    if acquisition(molecule).labels == "forces":
        return Purchase("forces", "the manifest asks for forces")
    if molecule.accurate.family == "imported":
        return Purchase("forces", "the labels are imported")
    from asteroid.training.dataset import labelled_frames
    from asteroid.training.strategies.delta import differences

    frames, _, _ = training_frames(store, molecule)
    ids = sorted((*frames.train, *frames.valid))
    cheap = {frame.frame_id: frame for frame in labelled_frames(store, molecule.name, molecule.cheap, ids)}
    train, valid = (
        differences(labelled_frames(store, molecule.name, molecule.accurate, sorted(part)), cheap)
        for part in (frames.train, frames.valid)
    )
    energy = _energy_seconds(store, molecule)
    if energy is None:
        return Purchase("forces", "no label has been computed here that could be timed again")
    return compare_labels(
        [pair for pair in train if pair.forces is not None],
        [pair for pair in valid if pair.forces is not None],
        seconds_with_forces=expected_label_seconds(store, molecule, molecule.accurate),
        seconds_energy=energy,
        seed=seed,
    )


def count_labels(molecule: MoleculeSettings, purchase: Purchase, batch: int) -> int:
    """Labels of a round that costs what ``batch`` labels with forces do; held-out ones always have forces."""
    if purchase.kind == "forces":
        return batch
    forces, energies = (option.core_seconds for option in purchase.options)
    part = molecule.budget.valid_fraction
    each = (1 - part) * energies + part * forces
    return max(batch, min(MOST_ENERGIES * batch, int(batch * forces / each)))


def _energy_seconds(store: Store, molecule: MoleculeSettings) -> float | None:
    """Core-seconds of an energy alone at the accurate level; None where there is no frame to try it on."""
    path = f"{loop_folder(molecule)}/energy-cost.json"
    if not store.exists(path):
        own = [label for label in store.labels(molecule.name, molecule.accurate).values() if label.program in ENGINES]
        if not own:
            return None
        # The label of median cost speaks for all.
        own.sort(key=lambda label: (label.core_seconds, label.frame_id))
        (frame,) = store.frames(molecule.name, ids=[own[len(own) // 2].frame_id])
        settings = molecule.label_settings(molecule.accurate)
        (attempt,) = label_configurations(
            [frame.configuration],
            molecule.accurate,
            engine=molecule.engine if molecule.engine in engines_for(molecule.accurate) else None,
            forces=False,
            time_limit=settings.time_limit,
            memory_limit=settings.memory_limit,
        )
        if attempt.energy is None:
            return None
        store.write_json(path, {"frame_id": frame.frame_id, "core_seconds": attempt.core_seconds})
    return float(store.read_json(path)["core_seconds"])
