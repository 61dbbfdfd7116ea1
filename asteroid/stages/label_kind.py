"""Kind of accurate labels in the next round: with forces, or more labels with energies alone.

Cheap labels cost about a thousandth, so all sampled and explored frames get one. Costs come from the ledger, the cost
of an energy alone from :mod:`asteroid.stages.energy_cost`; :mod:`asteroid.acquisition.spending` compares the kinds.
Needs torch.
"""

from asteroid.acquisition.spending import compare_labels
from asteroid.manifest import MoleculeSettings, SettledChain
from asteroid.stages.energy_cost import read_energy_cost
from asteroid.stages.labels import expected_label_seconds
from asteroid.stages.models import training_frames
from asteroid.stages.round_files import acquisition
from asteroid.store import Store
from asteroid.store.round_records import LabelChoice

MOST_ENERGIES = 5
"""Largest number of labels with energies alone, as a multiple of the batch. The model must be updated before more
labels are useful."""


def choose_kind(store: Store, molecule: MoleculeSettings, *, seed: int) -> LabelChoice:
    """The kind of label that lowers the error most per core-second, with the reason.

    Args:
        molecule: with the label budget of the previous round.

    Raises:
        AsteroidError: when the cost of an energy alone has not been measured.
    """
    if acquisition(molecule).labels == "forces":
        return LabelChoice("forces", "the manifest asks for forces")
    if isinstance(molecule.chain, SettledChain):
        return LabelChoice("forces", "levels are compared by their forces")
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
    """Number of labels with the cost of ``batch`` labels with forces; held-out labels always have forces."""
    if choice.kind == "forces":
        return batch
    forces, energies = (option.core_seconds for option in choice.options)
    held_out = molecule.budget.valid_fraction
    each = (1 - held_out) * energies + held_out * forces
    return max(batch, min(MOST_ENERGIES * batch, int(batch * forces / each)))
