"""What the next round buys: accurate labels with forces, or more of energies alone.

Cheap labels are no question of budget: they take a thousandth of the time, so every frame that is sampled or found gets
one. Costs come from the ledger; what an energy alone costs is measured by :mod:`asteroid.stages.energy_cost`.
Called by :mod:`asteroid.stages.picking`; the rule is :mod:`asteroid.acquisition.spending`'s. Needs torch.
"""

from asteroid.acquisition.spending import compare_labels
from asteroid.manifest import MoleculeSettings
from asteroid.stages.energy_cost import read_energy_cost
from asteroid.stages.labels import expected_label_seconds
from asteroid.stages.models import training_frames
from asteroid.stages.rounds import acquisition
from asteroid.store import Store
from asteroid.store.round_records import LabelChoice

MOST_ENERGIES = 5
"""Times a batch that a round of energies alone may have labels: beyond, the model first says where it is unsure."""


def choose_kind(store: Store, molecule: MoleculeSettings, *, seed: int) -> LabelChoice:
    """The kind of label that takes most off the error per core-second.

    Args:
        molecule: with the budget of the last round.

    Raises:
        AsteroidError: when the cost of an energy alone has not been measured.
    """
    if acquisition(molecule).labels == "forces":
        return LabelChoice("forces", "the manifest asks for forces")
    if molecule.accurate.family == "imported":
        return LabelChoice("forces", "the labels are imported")
    from asteroid.training.dataset import labelled_frames
    from asteroid.training.strategies.delta import differences

    frames, _, _ = training_frames(store, molecule)
    ids = sorted((*frames.train, *frames.valid))
    cheap = {frame.frame_id: frame for frame in labelled_frames(store, molecule.name, molecule.cheap, ids)}
    train, valid = (
        differences(labelled_frames(store, molecule.name, molecule.accurate, sorted(part)), cheap)
        for part in (frames.train, frames.valid)
    )
    energy = read_energy_cost(store, molecule)
    if energy is None:
        return LabelChoice("forces", "no label has been computed here that could be timed again")
    return compare_labels(
        [pair for pair in train if pair.forces is not None],
        [pair for pair in valid if pair.forces is not None],
        seconds_with_forces=expected_label_seconds(store, molecule, molecule.accurate),
        seconds_energy=energy,
        seed=seed,
    )


def count_labels(molecule: MoleculeSettings, choice: LabelChoice, batch: int) -> int:
    """Labels of a round that costs what ``batch`` labels with forces do; held-out ones always have forces."""
    if choice.kind == "forces":
        return batch
    forces, energies = (option.core_seconds for option in choice.options)
    part = molecule.budget.valid_fraction
    each = (1 - part) * energies + part * forces
    return max(batch, min(MOST_ENERGIES * batch, int(batch * forces / each)))
