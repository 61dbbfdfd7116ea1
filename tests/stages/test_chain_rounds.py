"""Rounds over a chain of levels: each spends the cost of its batch where the error falls most.

Labels above the cheap level are made up, as in :mod:`tests.stages.test_pilot`.
"""

import itertools
from dataclasses import replace

import pyarrow.compute as pc
import pytest

from asteroid import stages
from asteroid.levels import LevelOfTheory
from asteroid.manifest import AcquisitionSettings, ModelSettings, MoleculeSettings, SettledChain, TrainingSettings
from asteroid.processes import single_thread_environment
from asteroid.stages.level_shares import accurate_equivalents, label_prices
from asteroid.stages.models import training_set
from asteroid.stages.round_files import at_round, last_model, model_of
from asteroid.store import Store
from asteroid.store.round_records import RoundRecord
from tests.stages.rounds import run
from tests.stages.test_pilot import ACCURATE, FRAMES, GOOD, METHANOL, PRICES, label

single_thread_environment()

MOLECULE = replace(
    METHANOL,
    training=TrainingSettings(
        model=ModelSettings(channels=4, max_l=0, correlation=1, interactions=1, radial=4, r_max=3.0),
        pretrain_steps=20,
        finetune_steps=20,
        evaluate_every=10,
    ),
    acquisition=AcquisitionSettings(
        initial=15, batch=4, rounds=2, least_gain=0, committee=2, temperatures=(300.0,), ps=0.04, replicas=3
    ),
)


def settled(store: Store) -> MoleculeSettings:
    stages.sample(store, MOLECULE, workers=1)
    while (level := stages.propose_pilot(store, MOLECULE)) is not None:
        label(store, MOLECULE, level)
    stages.choose_chain(store, MOLECULE)
    return stages.with_chain(store, MOLECULE)


def computed(store: Store, level: LevelOfTheory) -> list[str]:
    """Frame ids of all attempts, without rows that reject a label."""
    table = store.attempts("methanol", level).filter(pc.field("program") != "asteroid")
    return [str(frame_id) for frame_id in table["frame_id"].to_pylist()]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, MoleculeSettings, list[RoundRecord]]:
    store = Store(str(tmp_path_factory.mktemp("chain") / "store"))
    molecule = settled(store)
    run(store, molecule, label)
    return store, molecule, [found["methanol"] for found in stages.read_rounds(store, molecule)]


def test_a_settled_chain_has_the_levels_and_keeps_the_limits_of_the_manifest(
    done: tuple[Store, MoleculeSettings, list[RoundRecord]],
) -> None:
    store, molecule, _ = done
    assert molecule.ladder == (GOOD,)
    assert molecule.budget.accurate == MOLECULE.budget.accurate
    assert isinstance(molecule.chain, SettledChain)
    tried = [level for level in store.levels("methanol") if level not in (molecule.cheap, GOOD, ACCURATE)]
    lost = sum(FRAMES * PRICES.get(level, 0.5) for level in tried)
    assert molecule.chain.core_seconds == pytest.approx(30 * PRICES[ACCURATE] - lost)
    # A larger budget goes on with the same chain and the same rounds.
    more = replace(MOLECULE, budget=MOLECULE.budget.model_copy(update={"accurate": 60}))
    again = stages.with_chain(store, more)
    assert again.ladder == (GOOD,)
    assert stages.read_rounds(store, again) == stages.read_rounds(store, molecule)


def test_a_round_spends_the_cost_of_its_batch_on_the_levels_that_it_records(
    done: tuple[Store, MoleculeSettings, list[RoundRecord]],
) -> None:
    store, molecule, rounds = done
    assert len(rounds) == 2
    assert rounds[0].labels == 15
    spent = [accurate_equivalents(store, molecule, record, record.labels) for record in rounds]
    for before, after in itertools.pairwise(spent):
        # Numbers of labels are rounded down.
        assert before < after <= before + 4 + 1e-6
    for before, after in itertools.pairwise(rounds):
        assert after.labels >= before.labels
        assert after.ladder[0] >= before.ladder[0]
        assert (after.labels, after.ladder) != (before.labels, before.ladder)
        assert after.share.startswith("labels for the cost of ")
    last = rounds[-1]
    assert last.ladder[0] > rounds[0].ladder[0], "the level that is nearly the accurate one is worth its price"
    labelled = set(store.labels("methanol", GOOD))
    assert len(labelled) >= last.ladder[0]
    # Each accurate training frame has a label at the level below, which its correction needs.
    trained = training_set(store, at_round(molecule, {"methanol": last})).molecules["methanol"].train
    assert set(trained) <= labelled


def test_no_label_is_computed_twice_and_a_finished_loop_does_nothing(
    done: tuple[Store, MoleculeSettings, list[RoundRecord]],
) -> None:
    store, molecule, rounds = done
    attempts = {level: computed(store, level) for level in store.levels("methanol")}
    assert all(len(ids) == len(set(ids)) for ids in attempts.values())
    assert run(store, molecule, label).stop
    assert {level: computed(store, level) for level in attempts} == attempts
    assert [found["methanol"] for found in stages.read_rounds(store, molecule)] == rounds


def test_each_round_trains_on_from_the_one_before_even_with_no_further_accurate_label(
    done: tuple[Store, MoleculeSettings, list[RoundRecord]],
) -> None:
    store, molecule, rounds = done
    found = stages.read_rounds(store, molecule)
    for before, after in itertools.pairwise(found):
        assert last_model(store, at_round(molecule, after)) == model_of(before)
    assert last_model(store, at_round(molecule, found[0])) is None
    assert len({record.model_id for record in rounds}) == 2


def test_the_loop_ends_when_the_labels_of_all_levels_have_cost_the_budget(
    done: tuple[Store, MoleculeSettings, list[RoundRecord]],
) -> None:
    from asteroid.stages.rounds import decide_next

    store, molecule, _ = done
    rounds = stages.read_rounds(store, molecule)
    last = rounds[-1]["methanol"]
    *between, accurate = label_prices(store, molecule)
    cost = last.labels * accurate + last.ladder[0] * between[0]
    more = replace(molecule, acquisition=stages.acquisition(molecule).model_copy(update={"rounds": 9}))
    assert not decide_next(store, replace(more, chain=SettledChain(cost + 1.01 * accurate, 40)), rounds).stop
    spent = decide_next(store, replace(more, chain=SettledChain(cost + 0.5 * accurate, 40)), rounds)
    assert spent.stop
    assert "core-hours for labels is spent" in spent.reason
