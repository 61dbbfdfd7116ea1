"""The pilot: a few labels at each candidate for an intermediate level, and the choice of the chain from them.

With ``chain: auto`` the pipeline labels :data:`FRAMES` diverse frames at the accurate level and at each candidate
(:func:`propose_pilot`). Then :func:`choose_chain` measures the cost of a label and the residual error of each
correction, and stores the chain with the smallest expected error for the budget. From then on :func:`with_chain`
returns the settings of a manifest with these levels and numbers of labels, so other stages know nothing of the choice.
Labels of the pilot at the chosen levels are used.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc

from asteroid.errors import AsteroidError
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings, SettledChain
from asteroid.naming import content, digest
from asteroid.processes import Progress
from asteroid.stages.common import waiting
from asteroid.store import Store, paths, records
from asteroid.store.account import charge
from asteroid.store.chain_records import Chain, Pilot, ResidualCurve
from asteroid.store.locks import lock
from asteroid.store.rows import core_seconds

FRAMES: Final = 12
"""Training frames that the pilot labels at each level."""

FEWEST: Final = 6
"""Smallest number of frames with labels at two levels for measuring their correction."""

PART: Final = 0.25
"""Largest cost of the labels at candidates, as a part of the budget."""


def with_chain(store: Store, molecule: MoleculeSettings) -> MoleculeSettings:
    """The settings with the chosen chain; unchanged without ``chain: auto``, or before the choice.

    A model of several molecules has one chain, that with the smallest mean error; each molecule has its own numbers of
    labels. Where accurate labels were imported, their cost is unknown, and no chain is chosen.
    """
    members = molecule.trained_on
    if any(member.chain != "auto" for member in members):
        return molecule
    pilots = {member.name: pilot for member in members if (pilot := read_pilot(store, member)) is not None}
    if len(pilots) == len(members):
        pilots = choose_together(pilots)
        return molecule.with_change(lambda one: _settled(one, pilots.get(one.name) or next(iter(pilots.values()))))
    if any(_has_imported(store, member) for member in members if member.name not in pilots):
        return molecule.with_change(lambda one: replace(one, chain=None))
    return molecule


def choose_together(pilots: Mapping[str, Pilot]) -> dict[str, Pilot]:
    """The pilots of a model's molecules, with the same levels chosen for all: those with the smallest mean error.

    Args:
        pilots: by name of the molecule.

    Raises:
        AsteroidError: when no chain is within the budgets of all molecules.
    """
    if len(pilots) == 1:
        return dict(pilots)
    chains = {name: {chain.levels: chain for chain in pilot.chains} for name, pilot in pilots.items()}
    common = set.intersection(*(set(found) for found in chains.values()))
    if not common:
        raise AsteroidError(
            f"no chain of levels is within the budgets of {', '.join(pilots)}; write larger budgets, or chain: null"
        )
    levels = min(common, key=lambda one: (sum(found[one].error for found in chains.values()), one))
    return {name: replace(pilot, chosen=chains[name][levels]) for name, pilot in pilots.items()}


def read_pilot(store: Store, molecule: MoleculeSettings) -> Pilot | None:
    """The pilot's record; None without ``chain: auto``, or before the choice."""
    if molecule.chain is None or not store.exists(path := _path(molecule)):
        return None
    return records.read(store, Pilot, path)


def pilot_levels(store: Store, molecule: MoleculeSettings) -> list[LevelOfTheory]:
    """Levels of the pilot, the accurate one first; none where nothing is left to choose.

    Candidates that would make the pilot more expensive than :data:`PART` of the budget are left out, unless they have
    labels already.
    """
    from asteroid.chains.candidates import candidates
    from asteroid.engines.rough_cost import rough_cost
    from asteroid.sampling.conformers import starting_configuration

    if not lacks_chain(store, molecule):
        return []
    start = starting_configuration(molecule)

    def price(level: LevelOfTheory) -> float:
        return _price(store, molecule, level) or rough_cost(level, start, forces=True).core_seconds

    left, found = PART * _budget(molecule, price(molecule.accurate)), [molecule.accurate]
    for level in candidates(molecule.cheap, molecule.accurate, start):
        # Each accurate label includes those of its parts.
        cost = 0.0 if level in molecule.accurate.computed else FRAMES * price(level)
        if cost <= left or store.selected(molecule.name, level):
            left -= cost
            found.append(level)
    return found


def propose_pilot(store: Store, molecule: MoleculeSettings) -> LevelOfTheory | None:
    """Select the pilot's frames at the next of its levels that needs labels, and return it; None at its end.

    One after the other: what a label at one level has cost tells whether another candidate can be paid for.
    """
    from asteroid.sampling.choose import choose_accurate, choose_cheap, chosen_accurate

    few = _with_accurate(molecule, _least(molecule))
    choose_cheap(store, few)
    choose_accurate(store, few)
    if store.pending(molecule.name, molecule.cheap):
        return molecule.cheap
    ids = chosen_accurate(store, molecule, "train")[:FRAMES]
    for level in pilot_levels(store, molecule):
        there = store.selected(molecule.name, level)
        if level != molecule.accurate and (missing := [i for i in ids if i not in set(there)]):
            name = f"ladder-{len(there) + len(missing)}"
            store.select(molecule.name, level, [*there, *missing], name=name, criterion="pilot")
        if store.pending(molecule.name, level):
            return level
    return None


def lacks_chain(store: Store, molecule: MoleculeSettings) -> bool:
    """Whether the molecule's pilot is missing; none is needed where accurate labels were imported."""
    if molecule.chain != "auto" or molecule.is_only_judged:
        return False
    return read_pilot(store, molecule) is None and not _has_imported(store, molecule)


def choose_chain(store: Store, molecule: MoleculeSettings, *, on_progress: Progress | None = None) -> str:
    """Choose the chain from the pilot's labels and store it; returns it in one line. Needs torch.

    Raises:
        AsteroidError: when too few labels succeeded, or when the budget is too small.
    """
    with (
        charge(store, molecule.name, "exploration"),
        lock(store, f"chain {molecule.name}", on_wait=waiting(on_progress)),
    ):
        found = read_pilot(store, molecule)
        if found is None:
            found = _measure(store, molecule)
            records.write(store, _path(molecule), found)
    return describe(molecule, found.chosen)


def describe(molecule: MoleculeSettings, chain: Chain) -> str:
    """A chain in one line, with its expected error (meV/Å) and cost (core-hours)."""
    steps = " → ".join(f"{level} ({count})" for level, count in zip(chain.levels, chain.labels, strict=True))
    return (
        f"{molecule.cheap} → {steps}: {1000 * chain.error:.3g} meV/Å expected for labels of "
        f"{chain.core_seconds / 3600:.3g} core-hours"
    )


def _measure(store: Store, molecule: MoleculeSettings) -> Pilot:
    from asteroid.acquisition.stopping import LearningCurve
    from asteroid.chains.choice import chains, choose
    from asteroid.chains.curves import corrected_law, fit_errors, residual_errors
    from asteroid.sampling.choose import chosen_accurate
    from asteroid.training.dataset import labelled_frames
    from asteroid.training.strategies.delta import differences
    from asteroid.training.symmetry import equivalent_permutations

    # From the store alone: only workers with quantum chemistry can list the candidates.
    accurate, ids = molecule.accurate, chosen_accurate(store, molecule, "train")[:FRAMES]
    candidates = [
        level
        for level in store.levels(molecule.name)
        if level not in (molecule.cheap, accurate) and set(ids) <= set(store.selected(molecule.name, level))
    ]
    known_prices = {level: _price(store, molecule, level) for level in (*candidates, accurate)}
    prices = {level: price for level, price in known_prices.items() if price is not None}
    candidates = [level for level in candidates if level in prices]
    levels = [molecule.cheap, *candidates, accurate]
    labels = {level: labelled_frames(store, molecule.name, level, sorted(ids)) for level in levels}
    for level in (molecule.cheap, accurate):
        if len(labels[level]) < FEWEST:
            raise AsteroidError(
                f"{molecule.name}: no chain can be chosen: {len(labels[level])} of the pilot's {len(ids)} labels at "
                f"{level} succeeded; write another level, or chain: null"
            )
    permutations = equivalent_permutations([frame.configuration for frame in labels[molecule.cheap]])
    curves: list[ResidualCurve] = []
    for below in levels[:-1]:
        known = {frame.frame_id: frame for frame in labels[below]}
        for above in levels[1:]:
            if below is not molecule.cheap and prices[below] >= prices[above]:
                continue
            pairs = [pair for pair in differences(labels[above], known) if pair.forces is not None]
            if len(pairs) >= FEWEST and (measured := residual_errors(pairs, permutations)):
                law = fit_errors(measured)
                curves.append(ResidualCurve(str(below), str(above), law.factor, law.exponent, tuple(measured)))
    budget, seconds = molecule.budget, _budget(molecule, prices[accurate])
    frames, kept = most_labels(store, molecule), budget.train / budget.accurate
    laws = {
        (c.below, c.above): corrected_law(
            LearningCurve(c.factor, c.exponent), kept if c.above == str(accurate) else 1.0
        )
        for c in curves
    }
    parts = [str(part.level) for part in accurate.parts]
    found = chains(
        str(molecule.cheap),
        str(accurate),
        [str(level) for level in candidates],
        laws,
        {str(level): price for level, price in prices.items()},
        seconds,
        least=_least(molecule),
        most={str(level): frames for level in candidates} | {str(accurate): budget.accurate},
        pilot={str(level): len(ids) * prices[level] for level in candidates if str(level) not in parts},
        parts=parts,
    )
    if not found:
        raise AsteroidError(
            f"{molecule.name}: no chain can be chosen: {seconds / 3600:.3g} core-hours pay for none; write a larger "
            "budget, or chain: null"
        )
    return Pilot(
        frames=len(ids),
        prices={str(level): price for level, price in prices.items()},
        budget=seconds,
        curves=tuple(curves),
        chains=tuple(found),
        chosen=choose(found),
    )


def most_labels(store: Store, molecule: MoleculeSettings) -> int:
    """Largest number of labels at a level in between: of training frames with a cheap label, as fit into a kernel."""
    from asteroid.training.kernel import MOST_NUMBERS

    frames = store.frame_table(molecule.name, split="train")
    usable = set(frames["frame_id"].to_pylist()).intersection(store.labels(molecule.name, molecule.cheap))
    atoms = len(frames["numbers"][0])
    return min(len(usable), MOST_NUMBERS // (1 + 3 * atoms))


def _budget(molecule: MoleculeSettings, price: float) -> float:
    """Core-seconds for all labels that train or are held out.

    Args:
        price: core-seconds of an accurate label.
    """
    hours = molecule.budget.core_hours
    return molecule.budget.accurate * price if hours is None else 3600 * hours


def _has_imported(store: Store, molecule: MoleculeSettings) -> bool:
    """Whether accurate labels were imported."""
    attempts = store.attempts_once(molecule.name, [molecule.accurate]).values()
    return any("import" in table["program"].unique().to_pylist() for table in attempts)


def _price(store: Store, molecule: MoleculeSettings, level: LevelOfTheory) -> float | None:
    """Median core-seconds per computed label, as the first one of each worker includes loading the program.

    None without computed labels.
    """
    table = store.attempts(molecule.name, level)
    table = table.filter(pc.field("program") != "import")
    return float(np.median(core_seconds(table))) if table.num_rows else None


def _least(molecule: MoleculeSettings) -> int:
    """Number of accurate labels, held-out ones included, whose training part is the pilot."""
    return min(molecule.budget.accurate, math.ceil(FRAMES / (1 - molecule.budget.valid_fraction)))


def _settled(molecule: MoleculeSettings, pilot: Pilot) -> MoleculeSettings:
    *between, accurate = pilot.chosen.labels
    if molecule.is_only_judged:
        training = molecule.training.model_copy(update={"ladder": pilot.chosen.between})
        return replace(molecule, training=training, chain=None)
    # Rounds end at the cost of the budget, not at a number of accurate labels.
    settled = molecule if molecule.acquisition else _with_accurate(molecule, accurate)
    if not between:
        return replace(settled, chain=None)
    used = {*pilot.chosen.levels, *(str(part.level) for part in molecule.accurate.parts)}
    lost = sum(pilot.frames * price for level, price in pilot.prices.items() if level not in used)
    seconds = _budget(molecule, pilot.prices[str(molecule.accurate)]) - lost
    return replace(
        settled,
        budget=settled.budget.model_copy(update={"ladder": tuple(between)}),
        training=settled.training.model_copy(update={"ladder": pilot.chosen.between}),
        chain=SettledChain(seconds, molecule.budget.accurate),
    )


def _with_accurate(molecule: MoleculeSettings, labels: int) -> MoleculeSettings:
    return replace(molecule, budget=molecule.budget.model_copy(update={"accurate": labels}))


def _path(molecule: MoleculeSettings) -> str:
    """Of the record for these levels, sampling and budget; rounds with a larger budget keep their chain."""
    limits = {"accurate", "core_hours"} if molecule.acquisition else set()
    asked: dict[str, Any] = {
        "levels": [str(molecule.cheap), str(molecule.accurate)],
        "sampling": content(molecule.sampling),
        "budget": content(molecule.budget, exclude={"test", "ladder", *limits}),
    }
    return paths.pilot(molecule.name, digest(asked))
