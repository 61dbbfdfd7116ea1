"""Rounds of labels for a model of several molecules."""

from pathlib import Path

import pytest

from asteroid import stages
from asteroid.manifest import MoleculeSettings
from asteroid.processes import single_thread_environment
from asteroid.stages.round_files import Round, at_round, last_model, loop_folder, model_of
from asteroid.stages.rounds import round_seconds
from asteroid.store import Store
from asteroid.store.models import read_card
from tests.stages.rounds import run

single_thread_environment()

MANIFEST = """
store: {store}
defaults:
  cheap: gfn1-xtb
  accurate: gfn2-xtb
  sampling: {{frames: 40, temperatures: [300], interval: 5, equilibration: 20}}
  budget: {{accurate: 12, test: 4, valid_fraction: 0.3}}
molecules:
  - {{name: water, smiles: O}}
  - {{name: sulfane, smiles: S}}
  - {{name: peroxide, smiles: OO}}
models:
  - name: hydrides
    molecules: [water, sulfane]
    judge: [peroxide]
    training:
      strategy: unweighted
      model: {{channels: 4, max_l: 0, correlation: 1, interactions: 1, radial: 4, r_max: 3.0}}
      pretrain_steps: 20
      finetune_steps: 20
      evaluate_every: 10
    acquisition:
      {{initial: 7, batch: 4, rounds: 2, least_gain: 0, committee: 2, temperatures: [300], ps: 0.04, replicas: 5}}
"""


def molecules_in(folder: Path) -> tuple[Store, MoleculeSettings, MoleculeSettings, MoleculeSettings]:
    path = folder / "manifest.yaml"
    path.write_text(MANIFEST.format(store=folder / "store"))
    loaded = stages.load_checked(path)
    return Store(loaded.store), *loaded.molecules  # type: ignore[return-value]


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Store, MoleculeSettings, MoleculeSettings, MoleculeSettings]:
    found = molecules_in(tmp_path_factory.mktemp("shared"))
    run(found[0], found[1])
    return found


def test_a_round_shares_its_labels_among_the_molecules_and_trains_one_model(
    done: tuple[Store, MoleculeSettings, MoleculeSettings, MoleculeSettings],
) -> None:
    store, water, sulfane, _ = done
    first, second = stages.read_rounds(store, water)
    assert set(first) == {"water", "sulfane"}
    assert {name: record.labels for name, record in first.items()} == {"water": 7, "sulfane": 7}
    assert sum(record.labels for record in second.values()) == 14 + 4
    for found in (first, second):
        assert len({record.model_id for record in found.values()}) == 1
        assert len({record.decision for record in found.values()}) == 1
    card = read_card(store, "hydrides", model_of(second))
    assert set(card.molecules) == {"water", "sulfane"}
    assert card.parents == {"start": model_of(first)}
    picked = {frame.frame_id for record in second.values() for frame in record.picked}
    before = {frame.frame_id for record in first.values() for frame in record.picked}
    trained = {*card.frames.accurate}
    assert trained == before | picked
    for molecule in (water, sulfane):
        record = second[molecule.name]
        count = record.labels - first[molecule.name].labels
        assert record.share.startswith(f"{count} of the round's labels: its error was ")
        assert {frame.frame_id for frame in record.picked} <= {f.frame_id for f in store.frames(molecule.name)}


def test_each_molecule_is_explored_by_one_committee_and_the_training_counts_once(
    done: tuple[Store, MoleculeSettings, MoleculeSettings, MoleculeSettings],
) -> None:
    store, water, sulfane, _ = done
    second = stages.read_rounds(store, water)[1]
    assert second["water"].committee == second["sulfane"].committee
    assert loop_folder(water) != loop_folder(sulfane)
    for name in ("water", "sulfane"):
        explored = [frame for frame in store.frames(name) if frame.origin.method == "explore"]
        assert len(explored) == second[name].explored.frames  # type: ignore[union-attr]
    costs = [record.core_seconds for record in second.values()]
    assert costs[0].training == costs[1].training
    parts = costs[0].training + sum(cost.labels + cost.exploration for cost in costs)
    assert round_seconds(second) == pytest.approx(parts)


def test_a_molecule_that_only_judges_is_bought_nothing_of_and_has_the_model_of_the_others(
    done: tuple[Store, MoleculeSettings, MoleculeSettings, MoleculeSettings],
) -> None:
    store, water, _, peroxide = done
    rounds: list[Round] = stages.read_rounds(store, peroxide)
    assert rounds == stages.read_rounds(store, water)
    assert store.attempts("peroxide", peroxide.accurate).num_rows == 0
    last = at_round(peroxide, rounds[-1])
    assert last_model(store, last) == model_of(rounds[0])
    assert stages.round_model(store, last) == model_of(rounds[-1])


def test_a_finished_loop_does_nothing_when_it_is_run_again(
    done: tuple[Store, MoleculeSettings, MoleculeSettings, MoleculeSettings],
) -> None:
    store, water, sulfane, _ = done
    before = [store.attempts(m.name, m.accurate).num_rows for m in (water, sulfane)]
    assert run(store, sulfane).stop
    assert [store.attempts(m.name, m.accurate).num_rows for m in (water, sulfane)] == before
