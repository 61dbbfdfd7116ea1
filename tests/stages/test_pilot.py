"""The pilot of a chain: which levels it labels, what it decides, and that the decision stands.

Labels above the cheap level are made up from GFN1 and GFN2, so that it is known which level is a good one.
"""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from asteroid import stages
from asteroid.engines import make_labeller, programs_for
from asteroid.errors import AsteroidError
from asteroid.levels import LevelOfTheory
from asteroid.manifest import BudgetSettings, MoleculeSettings, SamplingSettings
from asteroid.processes import call_in_process, single_thread_environment
from asteroid.stages.pilot import FRAMES, PART, choose_together, pilot_levels, read_pilot
from asteroid.store import Store
from asteroid.store.chain_records import Chain, Pilot
from asteroid.store.rows import Attempt
from tests.pipeline.conftest import image_packages as image_packages

single_thread_environment()

ACCURATE = LevelOfTheory.parse("ccsd(t)/6-31g*")
GOOD = LevelOfTheory.parse("df-mp2/6-31g*")
SMALL = LevelOfTheory.parse("ccsd(t)/6-31g")
COMPOSITE = LevelOfTheory.parse("df-mp2/6-31g* + ccsd(t)/6-31g - df-mp2/6-31g")
"""GOOD, and what is missing there from the accurate level."""
PRICES = {ACCURATE: 20.0, GOOD: 1.0, SMALL: 18.5}
"""Core-seconds; of all other levels 0.5."""

METHANOL = MoleculeSettings(
    name="methanol",
    smiles="CO",
    accurate=ACCURATE,
    chain="auto",
    sampling=SamplingSettings(frames=100, temperatures=(300.0,), methods=("normal-modes",), conformers=1),
    budget=BudgetSettings(accurate=30, test=2),
)


def label(store: Store, molecule: MoleculeSettings, level: LevelOfTheory) -> None:
    """Labels at a level that is nearly the accurate one, or says no more than the cheap one does."""
    if level == molecule.cheap:
        stages.label(store, molecule, level, workers=1)
        return
    for part in level.computed:
        make_up(store, molecule, part, store.pending(molecule.name, part, selected_at=level))


def make_up(store: Store, molecule: MoleculeSettings, level: LevelOfTheory, ids: list[str]) -> None:
    gfn1, gfn2 = (make_labeller(LevelOfTheory.parse(name)) for name in ("gfn1-xtb", "gfn2-xtb"))
    part = {ACCURATE: 1.0, GOOD: 0.95, SMALL: 0.05}.get(level, 0.0)
    attempts = []
    for frame in store.frames(molecule.name, ids=ids):
        one, two = gfn1.compute(frame.configuration), gfn2.compute(frame.configuration)
        assert one.forces is not None
        assert two.forces is not None
        attempts.append(
            Attempt(
                frame_id=frame.frame_id,
                status="ok",
                energy=part * one.energy + (1 - part) * two.energy,
                forces=part * one.forces + (1 - part) * two.forces,
                cpu_seconds=PRICES.get(level, 0.5),
                program=programs_for(level)[0],
                time=dt.datetime.now(dt.UTC),
            )
        )
    store.add_attempts(molecule.name, level, attempts)


@pytest.mark.slow
def test_the_pilot_finds_the_level_that_pays_and_the_decision_stands(tmp_path: Path, image_packages: None) -> None:
    store = Store(str(tmp_path / "store"))
    stages.sample(store, METHANOL, workers=1)
    assert stages.with_chain(store, METHANOL) == METHANOL
    labelled = []
    while (level := stages.propose_pilot(store, METHANOL)) is not None:
        label(store, METHANOL, level)
        labelled.append(level)
    assert labelled[:2] == [METHANOL.cheap, ACCURATE]
    assert GOOD in labelled
    candidates = [level for level in labelled if level not in (METHANOL.cheap, ACCURATE)]
    assert all(store.attempts("methanol", level).num_rows == FRAMES for level in candidates)
    spent = sum(FRAMES * PRICES.get(level, 0.5) for level in candidates)
    assert spent <= PART * METHANOL.budget.accurate * PRICES[ACCURATE]

    assert stages.lacks_chain(store, METHANOL)
    # As on a worker with torch, which has no quantum chemistry.
    call_in_process(stages.choose_chain, store, METHANOL)
    assert not stages.lacks_chain(store, METHANOL)
    found = read_pilot(store, METHANOL)
    assert found is not None
    assert found.chosen.between == (str(GOOD),)
    assert found.chosen.core_seconds <= found.budget == METHANOL.budget.accurate * PRICES[ACCURATE]
    settled = stages.with_chain(store, METHANOL)
    assert settled.training.ladder == (str(GOOD),)
    assert settled.ladder_labels == {GOOD: found.chosen.labels[0]}
    assert settled.budget.accurate == found.chosen.labels[1]
    assert (pilot_levels(store, METHANOL), stages.propose_pilot(store, METHANOL)) == ([], None)

    # Labels of the pilot are among the first of their levels.
    stages.select(store, settled)
    pilot = set(store.attempts("methanol", GOOD)["frame_id"].to_pylist())
    assert pilot <= set(store.selected("methanol", GOOD))
    assert len(store.selected("methanol", GOOD)) == found.chosen.labels[0]
    other = replace(METHANOL, budget=METHANOL.budget.model_copy(update={"accurate": 60}))
    assert stages.lacks_chain(store, other), "another budget is another choice"


def test_no_chain_is_chosen_where_accurate_labels_were_imported(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    assert stages.lacks_chain(store, METHANOL)
    imported = Attempt(
        frame_id="f", status="ok", energy=-1.0, cpu_seconds=0.0, program="import", time=dt.datetime.now(dt.UTC)
    )
    store.add_attempts("methanol", ACCURATE, [imported])
    assert not stages.lacks_chain(store, METHANOL)
    assert stages.with_chain(store, METHANOL) == replace(METHANOL, chain=None)


@pytest.mark.slow
def test_parts_of_a_composite_level_are_tried_at_no_cost_and_paid_once(tmp_path: Path) -> None:
    store, molecule = Store(str(tmp_path / "store")), replace(METHANOL, accurate=COMPOSITE)
    stages.sample(store, molecule, workers=1)
    labelled = []
    while (level := stages.propose_pilot(store, molecule)) is not None:
        label(store, molecule, level)
        labelled.append(level)
    # The parts have their labels with those of the composite level.
    assert labelled[:2] == [molecule.cheap, COMPOSITE]
    assert not set(COMPOSITE.computed) & set(labelled)
    tried = {level: store.selected("methanol", level) for level in COMPOSITE.computed}
    assert all(len(ids) == FRAMES for ids in tried.values())

    stages.choose_chain(store, molecule)
    found = read_pilot(store, molecule)
    assert found is not None
    assert found.prices[str(COMPOSITE)] == 20.0
    assert found.chosen.between == (str(GOOD),)
    middle, accurate = found.chosen.labels
    others = [level for level in labelled if level not in (molecule.cheap, COMPOSITE)]
    lost = sum(FRAMES * PRICES.get(level, 0.5) for level in others)
    assert found.chosen.core_seconds == pytest.approx(1.0 * middle + 19.0 * accurate + lost)
    settled = stages.with_chain(store, molecule)
    stages.select(store, settled)
    assert len(store.selected("methanol", GOOD)) == middle
    assert set(store.labels("methanol", COMPOSITE)) <= set(store.labels("methanol", GOOD))


def test_molecules_of_one_model_share_the_chain_with_the_smallest_mean_error() -> None:
    def pilot(errors: dict[str, float], labels: int) -> Pilot:
        found = [
            Chain((*filter(None, (level,)), "accurate"), (labels,), 1.0, error, (error,))
            for level, error in errors.items()
        ]
        found.sort(key=lambda chain: chain.error)
        return Pilot(frames=12, prices={}, budget=1.0, curves=(), chains=tuple(found), chosen=found[0])

    one = pilot({"": 0.03, "hf": 0.02, "mp2": 0.01}, 20)
    other = pilot({"": 0.05, "hf": 0.03, "mp2": 0.045}, 30)
    together = choose_together({"one": one, "other": other})
    assert {name: found.chosen.levels for name, found in together.items()} == dict.fromkeys(
        ("one", "other"), ("hf", "accurate")
    )
    assert [found.chosen.labels for found in together.values()] == [(20,), (30,)], "each has its own numbers of labels"
    assert choose_together({"one": one}) == {"one": one}
    with pytest.raises(AsteroidError, match="no chain of levels is within the budgets of one, none"):
        choose_together({"one": one, "none": pilot({"hf/6-31g": 0.01}, 9)})
