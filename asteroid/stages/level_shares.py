"""Distribution of a round's labels over the levels of a chain that a pilot has chosen (``chain: auto``).

Each round may spend the cost of its batch of accurate labels. As in the choice of the chain
(:mod:`asteroid.chains.choice`), it is spent on the numbers of labels with the smallest expected error; the residual
error of each step is known from the pilot and from the kernels of all rounds so far.
"""

import itertools
import math
from collections.abc import Sequence

from asteroid.chains.choice import best_counts, own_prices
from asteroid.chains.curves import corrected_law, fit_errors
from asteroid.manifest import MoleculeSettings, SettledChain
from asteroid.stages.labels import expected_label_seconds
from asteroid.stages.pilot import most_labels, read_pilot
from asteroid.store import Store
from asteroid.store.models import read_card
from asteroid.store.round_records import Picked, RoundRecord


def label_prices(store: Store, molecule: MoleculeSettings) -> list[float]:
    """Core-seconds per label at each level above the cheap one, see :func:`asteroid.chains.choice.own_prices`."""
    levels = (*molecule.ladder, molecule.accurate)
    prices = [expected_label_seconds(store, molecule, level) for level in levels]
    return own_prices([str(level) for level in levels], prices, [str(p.level) for p in molecule.accurate.parts])


def accurate_equivalents(store: Store, molecule: MoleculeSettings, record: Picked | RoundRecord, labels: int) -> float:
    """Number of accurate labels that cost as much as all labels of a round and of those before.

    Without a settled chain, only accurate labels count.

    Args:
        labels: accurate ones among them.
    """
    if not record.ladder:
        return labels
    *between, accurate = label_prices(store, molecule)
    return labels + sum(count * price for count, price in zip(record.ladder, between, strict=True)) / accurate


def equivalents_left(store: Store, molecule: MoleculeSettings, record: RoundRecord) -> int:
    """Accurate labels, or others of the same cost, that are left in a molecule's budget after a round."""
    budget: float = molecule.budget.accurate
    if isinstance(molecule.chain, SettledChain):
        budget = molecule.chain.core_seconds / label_prices(store, molecule)[-1]
    return max(0, int(budget - accurate_equivalents(store, molecule, record, record.labels)))


def first_ladder(molecule: MoleculeSettings, accurate: int) -> tuple[int, ...]:
    """Labels at each intermediate level in the first round: a part of those planned for the whole budget."""
    if not isinstance(molecule.chain, SettledChain):
        return ()
    part = min(1.0, accurate / molecule.budget.accurate)
    return tuple(max(min(accurate, count), math.ceil(part * count)) for count in molecule.ladder_labels.values())


def planned_labels(store: Store, molecule: MoleculeSettings) -> int:
    """Training and held-out labels at the accurate level that a run is expected to request in all."""
    if not isinstance(molecule.chain, SettledChain) or molecule.acquisition is None:
        return molecule.budget.accurate
    *between, accurate = label_prices(store, molecule)
    below = sum(count * price for count, price in zip(molecule.ladder_labels.values(), between, strict=True))
    return max(0, round((molecule.chain.core_seconds - below) / accurate))


def share_levels(
    store: Store, molecule: MoleculeSettings, rounds: Sequence[RoundRecord], wanted: int
) -> tuple[int, tuple[int, ...], str]:
    """Distribute the cost of a batch over the levels of a settled chain.

    Args:
        rounds: of this molecule, in order.
        wanted: size of the batch, in accurate labels.

    Returns:
        The number of further accurate labels, the number of labels at each intermediate level so far, and why.
    """
    last = rounds[-1]
    pilot = read_pilot(store, molecule)
    if not last.ladder or not wanted or pilot is None:
        return wanted, last.ladder, ""
    levels = (molecule.cheap, *molecule.ladder, molecule.accurate)
    names = list(map(str, levels))
    known = {(curve.below, curve.above): list(curve.measured) for curve in pilot.curves}
    measured = [known[step] for step in itertools.pairwise(names)]
    for record in rounds:
        for points, step in zip(measured, _steps(store, molecule, record), strict=False):
            points.append((int(step.get("left_out_labels", step["labels"])), step["left_out_error"]))
    kept = molecule.budget.train / molecule.budget.accurate
    parts = [1.0] * len(molecule.ladder) + [kept]
    laws = [corrected_law(fit_errors(sorted(p)), part) for p, part in zip(measured, parts, strict=True)]
    prices = label_prices(store, molecule)
    counts = (*last.ladder, last.labels)
    spent = sum(n * price for n, price in zip(counts, prices, strict=True))
    frames = most_labels(store, molecule)
    most = [*(max(frames, n) for n in last.ladder), max(molecule.budget.accurate, last.labels)]
    found = best_counts(laws, prices, spent + wanted * prices[-1], least=counts, most=most) or counts
    if found == counts:
        # All were rounded down.
        found = (*last.ladder, last.labels + wanted)
    said = ", ".join(
        f"{new - old} of {level} (its step is off by {1000 * law.error(old):.3g} meV/Å)"
        for level, old, new, law in zip(levels[1:], counts, found, laws, strict=True)
    )
    return found[-1] - last.labels, found[:-1], f"labels for the cost of {wanted} accurate ones: {said}"


def _steps(store: Store, molecule: MoleculeSettings, record: RoundRecord) -> Sequence[dict[str, float]]:
    """What the model of a round says of its kernels, from level to level."""
    correction = read_card(store, molecule.model_name, record.model_id).correction
    if correction is None:
        return []
    of_molecule = (correction.molecules or {}).get(molecule.name, correction)
    return [dict(step) for step in of_molecule.steps]
