"""A quote against what the stages then do, and its arithmetic against bounds that hold for any schedule."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteroid import stages
from asteroid.configuration import Configuration
from asteroid.levels import LevelOfTheory
from asteroid.manifest import AcquisitionSettings, MoleculeSettings, TrainingSettings
from asteroid.plan import Quote, quote
from asteroid.plan.counts import count_certificate, count_labels, count_sampling, count_training
from asteroid.plan.labels import ENOUGH, growth, ledger_price
from asteroid.processes import call_in_process
from asteroid.store import Store
from asteroid.store.account import spent
from asteroid.store.models import read_cards
from asteroid.store.quote_records import Line
from asteroid.strategies import strategy_named
from tests.pipeline.conftest import WATER

STO_3G = LevelOfTheory.parse("hf/sto-3g")


@pytest.fixture(scope="module")
def water(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Store, MoleculeSettings]:
    folder = tmp_path_factory.mktemp("plan")
    manifest = folder / "manifest.yaml"
    manifest.write_text(WATER.format(store=folder / "store"))
    loaded = stages.load_checked(manifest)
    return manifest, Store(loaded.store), loaded.molecules[0]


@pytest.fixture(scope="module")
def before(water: tuple[Path, Store, MoleculeSettings]) -> Quote:
    """The quote of an empty store."""
    _, store, molecule = water
    return quote(store, [molecule], workers=2, cores=2)


@pytest.fixture(scope="module")
def labelled(water: tuple[Path, Store, MoleculeSettings], before: Quote) -> Quote:
    """The quote once the frames are sampled and labelled."""
    _, store, molecule = water
    stages.sample(store, molecule, workers=2)
    stages.select(store, molecule)
    for level in (molecule.cheap, molecule.accurate):
        stages.label(store, molecule, level, workers=2)
    return quote(store, [molecule], workers=2, cores=2)


def line(quote: Quote, stage: str) -> Line:
    return next(line for line in quote.lines if line.stage == stage)


@pytest.mark.long
def test_quoting_writes_nothing_and_counts_what_the_manifest_asks_for(water, before):
    _, store, molecule = water
    assert store.molecules() == []
    assert not (store.local or Path()).exists()
    assert line(before, "sampling").count == molecule.sampling.frames
    assert line(before, "accurate labels").count == 10 + 4
    # 20 fs in steps of 0.5 fs: NVE, again with half the step, and NVT and NVE in batches of thirty and eight replicas.
    assert line(before, "validation").count == 40 + 80 + 40 + 40
    # As many steps of scratch as of the others together; the correction's network comes on top.
    assert line(before, "training").count == (20 + 20) + 20 + 20 + 20
    assert 0 < before.least_core_seconds <= before.core_seconds
    assert before.spent_core_seconds == 0


@pytest.mark.parametrize(
    ("strategy", "steps"),
    # Scratch is the baseline of all, each strategy may spend as many steps as it, and three teachers are three of it.
    [
        ("scratch", 600),
        ("unweighted", 1200),
        ("multihead", 1200),
        ("foundation", 1200),
        ("weighted", 3 * 600 + 600),
        # … and a correction's network and one warm restart come on top.
        ("corrected", 1200 + 50 + 400),
    ],
)
def test_each_strategy_is_quoted_the_steps_that_it_takes(strategy, steps):
    settings = TrainingSettings(
        strategy=strategy, pretrain_steps=400, finetune_steps=200, teachers=3, gamma=0.1, correction_steps=50
    )
    baseline = [] if strategy == "scratch" else strategy_named("scratch").phases(settings)
    assert sum(phase.steps for phase in [*baseline, *strategy_named(strategy).phases(settings)]) == steps


def test_every_round_is_quoted_its_trainings_its_committee_and_its_exploration(water):
    _, store, molecule = water
    rounds = AcquisitionSettings(initial=5, batch=2, rounds=9, committee=2, ps=0.012, replicas=4, temperatures=(300.0,))
    one, four = (count_training(store, replace(molecule, acquisition=each), atoms=3) for each in (None, rounds))
    # Ten labels: five, and three batches of at most two. Each batch is followed by a correction's 20 and 0.4 of a
    # pretraining and a fine-tuning of 20 each. Two of them may be ordered by certificates that fail, each of which is
    # followed by another, with a baseline of 40.
    assert sum(p.steps for p in four.phases) == sum(p.steps for p in one.phases) + 3 * (20 + 8 + 8) + 2 * 40
    assert (four.kernels, four.sure_kernels) == (4 * 2, 2)
    # None of the later rounds is sure to come.
    assert [p for p in four.phases if not p.optional] == [p for p in one.phases if not p.optional]
    # Before each batch a committee's two members of 20 steps each, and four replicas of 24 steps of 0.5 fs; every
    # 20 steps both members look at them as well.
    assert (sum(p.steps for p in four.members), one.members) == (3 * 2 * 20, ())
    assert [(md.replicas, md.steps) for md in four.md] == 3 * [(4, 26)]
    assert four.gradients == 4 * one.gradients
    certificates = [count_certificate(store, replace(molecule, acquisition=each), atoms=3) for each in (None, rounds)]
    assert [certificate.times for certificate in certificates] == [1, 3]


@pytest.mark.long
def test_as_many_labels_are_computed_as_were_quoted(water, before, labelled):
    # What they cost is held against the quote by `python -m benchmarks.plan_quote`: times of a loaded machine are none.
    _, store, molecule = water
    assert store.attempts(molecule.name, molecule.accurate).num_rows == line(before, "accurate labels").count


@pytest.mark.long
def test_the_quote_of_a_half_finished_store_is_what_is_left(water, before, labelled):
    _, store, molecule = water
    for stage in ("sampling", "cheap labels", "accurate labels"):
        assert line(labelled, stage).count == 0
        assert line(labelled, stage).core_seconds == 0
    assert line(labelled, "training").count == line(before, "training").count
    assert line(labelled, "minimum").source.endswith(f"{10 + 4} in the store)")
    held = [row["core_hours"] for row in store.status()]
    atoms = sum(a.cpu_seconds for one in (molecule.cheap, molecule.accurate) for a in store.atoms(one).values())
    sampling = line(labelled, "sampling").spent_core_seconds
    assert sampling == pytest.approx(sum(entry.cpu_seconds for entry in spent(store, molecule.name)))
    assert 0 < sampling == pytest.approx(labelled.spent_core_seconds - 3600 * sum(held) - atoms)


@pytest.mark.long
def test_a_larger_budget_is_quoted_without_what_is_there(water, labelled):
    _, store, molecule = water
    settings = molecule.sampling.model_copy(update={"frames": 60})
    budget = molecule.budget.model_copy(update={"accurate": 15})
    larger = replace(molecule, sampling=settings, budget=budget)
    # Groups keep their frames when they grow, but a group is sampled as a whole.
    frames = count_sampling(store, larger, atoms=3).frames
    assert 20 <= frames <= 60
    assert count_labels(store, larger, frames) == {molecule.cheap: frames, molecule.accurate: 5}


@pytest.mark.long
def test_labels_between_the_levels_are_quoted(water, labelled):
    _, store, molecule = water
    budget = molecule.budget.model_copy(update={"ladder": 12})
    between = replace(molecule, budget=budget, training=molecule.training.model_copy(update={"ladder": ("hf/6-31g",)}))
    assert count_labels(store, between, 0) == {molecule.cheap: 0, between.ladder[0]: 12, molecule.accurate: 0}


def test_labels_of_a_composite_level_are_quoted_at_its_parts_each_once(water, labelled):
    _, store, molecule = water
    accurate = LevelOfTheory.parse("hf/3-21g + mp2/sto-3g - hf/sto-3g")
    budget = molecule.budget.model_copy(update={"ladder": 12})
    between = molecule.training.model_copy(update={"ladder": ("hf/3-21g",)})
    composite = replace(molecule, accurate=accurate, budget=budget, training=between)
    # Of the 12 labels in between, the accurate ones that train include 8.
    assert count_labels(store, composite, 0) == {molecule.cheap: 0, composite.ladder[0]: 4, accurate: 14}
    found = quote(store, [composite], workers=1, cores=1)
    prices = {str(level): ledger_price(store, "water", level) for level in accurate.computed}
    assert prices["hf/sto-3g"] is not None
    line = next(line for line in found.lines if line.detail == str(accurate))
    assert line.count == 14
    assert line.core_seconds > 14 * prices["hf/sto-3g"].core_seconds
    # Nothing but the free atoms of the one part that was the accurate level before.
    assert line.spent_core_seconds == sum(atom.cpu_seconds for atom in store.atoms(STO_3G).values())


def test_a_learning_curve_is_quoted_one_more_training_of_accurate_labels_alone(water):
    _, store, molecule = water
    asked = replace(molecule, validation=molecule.validation.model_copy(update={"curve": True}))
    without, with_it = (count_training(store, each, atoms=3).phases for each in (molecule, asked))
    assert [(phase.name, phase.steps) for phase in with_it[len(without) :]] == [("scratch", 20 + 20)]
    # Half of nine labels is fewer than any budget may be.
    few = replace(asked, budget=molecule.budget.model_copy(update={"accurate": 9}))
    assert count_training(store, few, atoms=3).phases == without


@pytest.mark.long
def test_trainings_take_the_quoted_steps(water, before, labelled):
    _, store, molecule = water
    call_in_process(stages.train, store, molecule)
    taken = 0
    for card in read_cards(store, molecule.name):
        last = {entry.stage: entry.step for entry in card.history}
        taken += sum(last.values())
    # The network may not be needed.
    assert line(before, "training").count - taken in (0, 20)
    assert count_training(store, molecule, atoms=3).phases == ()


@pytest.mark.long
def test_a_ledger_with_few_labels_is_no_estimate(water, labelled, tmp_path):
    _, store, molecule = water
    few = Store(tmp_path / "few")
    few.add_attempts(molecule.name, STO_3G, store.attempts(molecule.name, STO_3G).slice(0, ENOUGH - 1))
    assert ledger_price(few, molecule.name, STO_3G) is None
    assert ledger_price(store, molecule.name, STO_3G) is not None


def test_growth_finds_the_power_law_that_made_the_costs():
    # Minimal basis: H has 1 function, C and O have 5.
    water = Configuration(np.array([8, 1, 1]), np.array([[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]]))
    ethane = Configuration(np.array([6, 6, 1, 1, 1, 1, 1, 1]), np.random.default_rng(0).normal(scale=2.0, size=(8, 3)))
    found = growth(STO_3G, [(water, 0.2 * 7**2.5), (ethane, 0.2 * 16**2.5)], workers=1)
    assert [(formula, size) for formula, size, _ in found.points] == [("H2O", 7), ("C2H6", 16)]
    assert found.exponent == pytest.approx(2.5)
    assert found.at(32) == pytest.approx(0.2 * 32**2.5)


def test_one_small_size_gives_no_exponent():
    water = Configuration(np.array([8, 1, 1]), np.array([[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]]))
    found = growth(STO_3G, [(water, 1.0), (water, 1.1)], workers=1)
    assert found.exponent is None
    assert found.at(14) is None


seconds = st.floats(min_value=0.1, max_value=1e4)
lines = st.builds(
    lambda molecule, unit, wall, processes, memory: Line(
        molecule, "training", "", 1, unit, wall * (processes if unit == "labels" else 1), 0.0, wall, 0.0, memory,
        processes, 0.0, "",
    ),
    st.sampled_from(["water", "methanol", "ethanol"]),
    st.sampled_from(["labels", "steps"]),
    seconds,
    st.integers(min_value=1, max_value=2),
    st.floats(min_value=0.0, max_value=1e4),
)  # fmt: skip


@given(st.lists(lines, min_size=1, max_size=8))
def test_a_run_takes_as_long_as_its_longest_molecule_and_as_the_cores_allow(lines):
    quote = Quote(lines=tuple(lines), workers=2, overhead=0.0, growth=())
    # Rounding of sums of floats.
    for molecule in quote.molecules:
        assert quote.wall_seconds >= sum(line.wall_seconds for line in quote.of(molecule)) * (1 - 1e-9)
    assert quote.wall_seconds >= quote.core_seconds / 2 * (1 - 1e-9)
    assert quote.wall_seconds <= sum(line.wall_seconds for line in lines) * (1 + 1e-9)
    assert quote.memory >= max(line.memory for line in lines)


@pytest.mark.long
def test_plan_prints_json_and_refuses_a_bad_manifest(water, labelled, tmp_path):
    manifest, _, _ = water
    command = [sys.executable, "-m", "asteroid.cli", "plan", "--json"]
    result = subprocess.run([*command, str(manifest), "--workers", "8"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    content = json.loads(result.stdout)
    assert content["workers"] == 8
    assert {line["stage"] for line in content["lines"]} == {one.stage for one in labelled.lines}
    assert content["core_seconds"] >= sum(line["core_seconds"] for line in content["lines"])

    bad = tmp_path / "bad.yaml"
    bad.write_text("molecules: [{name: w, smiles: O, accurate: hf}]\n")
    result = subprocess.run([*command, str(bad)], capture_output=True, text=True)
    assert result.returncode == 2
    assert "needs a basis set" in result.stderr
    assert "Traceback" not in result.stderr
