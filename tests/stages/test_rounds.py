"""The loop of rounds: what it buys, when it stops, and that a kill anywhere changes nothing.

GFN1 is cheap and GFN2 accurate; models are as small as can be, so errors are large and only the loop is looked at.
"""

import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asteroid import stages
from asteroid.configuration import Configuration, Frame, Origin
from asteroid.manifest import AcquisitionSettings, MoleculeSettings
from asteroid.processes import single_thread_environment
from asteroid.simulation.trajectories import StoredTrajectories
from asteroid.stages.feedback import BEFORE_END, failing_geometries
from asteroid.stages.own_md import trajectories_folder
from asteroid.stages.round_files import last_model, model_of, read_record, training_settings, trains_on, with_labels
from asteroid.stages.rounds import decide_next, round_seconds, share_labels
from asteroid.store import Store, paths, records
from asteroid.store.records import TorsionScan, TorsionScans
from asteroid.store.round_records import Explored, Picked, RoundRecord
from asteroid.store.rows import Attempt
from asteroid.validation.line import MINIMUM, ON_POLICY, SURVIVED, TORSIONS
from tests.stages.rounds import judge, run

# Before torch is loaded: with several threads its sums, and so trajectories, differ from run to run in the last bits.
single_thread_environment()

MANIFEST = """
store: {store}
molecules:
  - name: water
    smiles: O
    cheap: gfn1-xtb
    accurate: gfn2-xtb
    sampling: {{frames: 40, temperatures: [300], interval: 5, equilibration: 20}}
    budget: {{accurate: 14, test: 4, valid_fraction: 0.3}}
    training:
      strategy: unweighted
      model: {{channels: 4, max_l: 0, correlation: 1, interactions: 1, radial: 4, r_max: 3.0}}
      pretrain_steps: 20
      finetune_steps: 20
      evaluate_every: 10
    acquisition:
      {{initial: 8, batch: 3, rounds: 2, least_gain: 0, committee: 2, temperatures: [300, 600], ps: 0.04, replicas: 3}}
"""


def manifest_in(folder: Path) -> Path:
    path = folder / "manifest.yaml"
    path.write_text(MANIFEST.format(store=folder / "store"))
    return path


def water_rounds(store: Store, molecule: MoleculeSettings) -> list[RoundRecord]:
    return [found["water"] for found in stages.read_rounds(store, molecule)]


def changed(molecule: MoleculeSettings, **acquisition: Any) -> MoleculeSettings:
    return replace(molecule, acquisition=stages.acquisition(molecule).model_copy(update=acquisition))


def attempts(store: Store, molecule: MoleculeSettings) -> dict[str, list[str]]:
    """Frame ids of all attempts by level, those of no cost (withdrawn labels) left out."""
    found = {}
    for level in (molecule.cheap, molecule.accurate):
        table = store.attempts(molecule.name, level)
        made = zip(table["frame_id"].to_pylist(), table["program"].to_pylist(), strict=True)
        found[str(level)] = [frame_id for frame_id, program in made if program != "asteroid"]
    return found


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, MoleculeSettings]:
    """Two rounds, run without a disturbance."""
    manifest = manifest_in(tmp_path_factory.mktemp("undisturbed"))
    (molecule,) = stages.load_checked(manifest).molecules
    store = Store(str(manifest.parent / "store"))
    run(store, molecule)
    return store, molecule


def test_two_rounds_buy_what_they_picked_and_leave_a_record_of_each(done: tuple[Store, MoleculeSettings]) -> None:
    store, molecule = done
    first, second = water_rounds(store, molecule)
    assert (first.accurate_labels, second.accurate_labels) == (8, 11)
    assert second.decision.stop
    assert second.decision.reason.startswith("all 2 rounds are done")
    picked = {frame.frame_id: frame for frame in second.picked}
    card = store.read_json(f"models/water/{second.model_id}/card.json")["frames"]
    trained = {*card["accurate_train"], *card["accurate_valid"]}
    assert trained - {frame.frame_id for frame in first.picked} == set(picked)
    assert {i for i, frame in picked.items() if frame.split == "valid"} <= set(card["accurate_valid"])
    assert all(frame.bound and frame.error for frame in picked.values())
    # The fresh error is that of the model before: mean over the same frames.
    errors = [frame.error or 0.0 for frame in picked.values()]
    assert second.fresh_error is not None
    assert second.fresh_error.force_mae == pytest.approx(sum(errors) / len(errors))
    assert len(second.curve) == 2
    assert min(second.core_seconds.labels, second.core_seconds.training, second.core_seconds.exploration) > 0


def test_what_the_exploration_found_is_in_the_store_group_by_group_and_has_cheap_labels(
    done: tuple[Store, MoleculeSettings],
) -> None:
    store, molecule = done
    explored = read_record(store, molecule, Explored, 1)
    assert explored is not None
    frames = [frame for frame in store.frames("water") if frame.origin.method == "explore"]
    assert len(frames) == explored.frames > 10
    assert len(explored.replicas) == 6
    splits: dict[str, set[str]] = {}
    for frame in frames:
        splits.setdefault(frame.group, set()).add(frame.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {"train", "valid"} == set().union(*splits.values())
    # A frame that the MD found is no draw from a Boltzmann distribution of the cheap level.
    assert all(frame.origin.temperature is None for frame in frames)
    assert set(store.selected("water", molecule.cheap)) >= {frame.frame_id for frame in frames}


def test_a_finished_loop_does_nothing_and_no_label_was_computed_twice(done: tuple[Store, MoleculeSettings]) -> None:
    store, molecule = done
    before = attempts(store, molecule)
    assert all(len(ids) == len(set(ids)) for ids in before.values())
    assert run(store, molecule).stop
    assert attempts(store, molecule) == before
    assert stages.round_model(store, with_labels(molecule, {"water": 11})) is not None


def test_a_later_round_goes_on_from_the_model_before_in_fewer_steps_and_only_the_end_trains_a_baseline(
    done: tuple[Store, MoleculeSettings],
) -> None:
    store, molecule = done
    first, second = map(model_of, stages.read_rounds(store, molecule)[:2])
    before, after = (store.read_json(f"models/water/{model_id}/card.json") for model_id in (first, second))
    assert before["parents"] == {}
    assert after["parents"] == {"start": first}
    assert (before["settings"]["pretrain_steps"], after["settings"]["pretrain_steps"]) == (20, 8)
    assert after["settings"]["learning_rate"] == before["settings"]["learning_rate"] / 2
    cards = [
        store.read_json(f"models/water/{name}/card.json") for name in store.names("models/water") if name != "index"
    ]
    assert "scratch" not in {card["strategy"] for card in cards}
    assert last_model(store, with_labels(molecule, {"water": 8})) is None
    assert last_model(store, with_labels(molecule, {"water": 11})) == first
    anew = changed(molecule, train_on=None)
    assert last_model(store, with_labels(anew, {"water": 11})) is None
    assert stages.next_round(store, anew).number == 0, "rounds that train otherwise are others"
    # The teacher of weighted is the baseline, which a training with fewer steps would not find.
    for strategy in ("multihead", "scratch", "weighted"):
        other = replace(molecule, training=molecule.training.model_copy(update={"strategy": strategy}))
        assert not trains_on(other)


def test_a_model_that_goes_on_takes_part_of_the_steps_at_half_the_rate() -> None:
    molecule = MoleculeSettings(name="water", smiles="O", acquisition=AcquisitionSettings(train_on=0.25))
    assert training_settings(molecule, None) == molecule.training
    steps = {"pretrain_steps": 400, "finetune_steps": 200, "scratch_steps": 1000, "learning_rate": 0.02}
    molecule = replace(molecule, training=molecule.training.model_copy(update=steps))
    on = training_settings(molecule, "a model")
    assert (on.pretrain_steps, on.finetune_steps, on.scratch_steps, on.learning_rate) == (100, 50, 250, 0.01)
    assert on.correction_steps == molecule.training.correction_steps, "its network begins anew"


def test_a_target_that_is_met_or_core_hours_that_are_spent_end_the_loop_and_more_of_them_let_it_go_on(
    done: tuple[Store, MoleculeSettings],
) -> None:
    store, molecule = done
    rounds = stages.read_rounds(store, molecule)
    more = changed(molecule, rounds=9)
    assert not decide_next(store, more, rounds).stop
    assert stages.next_round(store, more).number == 2, "budgets do not make it another loop"
    met = decide_next(store, changed(molecule, rounds=9, target=100.0), rounds)
    assert met.reason.startswith("the target is met")
    spent = sum(map(round_seconds, rounds)) / 3600
    assert "is spent" in decide_next(store, changed(molecule, rounds=9, core_hours=spent), rounds).reason
    # Enough for a label, not for the training that it would lead to.
    little = decide_next(store, changed(molecule, rounds=9, core_hours=spent + 0.5 / 3600), rounds)
    assert little.reason.startswith("another round takes at least")
    assert not decide_next(store, changed(molecule, rounds=9, core_hours=spent + 1.0), rounds).stop


def test_the_batch_is_as_large_as_what_is_left_pays_for(done: tuple[Store, MoleculeSettings]) -> None:
    store, molecule = done
    rounds = stages.read_rounds(store, molecule)
    roomy = replace(molecule, budget=molecule.budget.model_copy(update={"accurate": 500}))
    spent = sum(map(round_seconds, rounds))
    each = stages.expected_label_seconds(store, molecule, molecule.accurate)
    left = rounds[-1]["water"].core_seconds.training + 7.5 * each
    affordable = changed(roomy, batch=100, core_hours=(spent + left) / 3600)
    assert share_labels(store, affordable, rounds, 0.0) == {"water": 7}
    assert share_labels(store, affordable, rounds, 3 * each) == {"water": 4}
    assert share_labels(store, changed(roomy, batch=100), rounds, 0.0) == {"water": 100}
    assert share_labels(store, changed(molecule, batch=100), rounds, 0.0) == {"water": 14 - 11}


@pytest.mark.long
def test_a_larger_budget_goes_on_from_where_the_loop_stopped(done: tuple[Store, MoleculeSettings]) -> None:
    store, molecule = done
    before, labels = stages.read_rounds(store, molecule), attempts(store, molecule)
    end = run(store, changed(molecule, rounds=9))
    rounds = stages.read_rounds(store, molecule)
    assert rounds[:2] == before
    assert [found["water"].accurate_labels for found in rounds] == [8, 11, 14]
    assert end.stop is not None
    assert end.stop.startswith("the budget of 14 accurate labels is spent")
    assert all(attempts(store, molecule)[level][: len(ids)] == ids for level, ids in labels.items())


@pytest.fixture(scope="module")
def first_failed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MoleculeSettings]:
    """The folder of a store with two rounds whose certificate asks for more than any model gives."""
    manifest = manifest_in(tmp_path_factory.mktemp("failed"))
    (loaded,) = stages.load_checked(manifest).molecules
    strict = loaded.validation.thresholds.model_copy(update={"on_policy_mae": 1e-6})
    validation = loaded.validation.model_copy(
        update={"thresholds": strict, "on_policy": 3, "nve_ps": 0.02, "nvt_ps": 0.02, "replicas": 2, "curve": False}
    )
    molecule = replace(loaded, validation=validation)
    store = Store(str(manifest.parent / "store"))
    run(store, molecule)
    assert not stages.request_round(store, molecule).further, "nothing has been judged"
    judge(store, molecule)
    return manifest.parent / "store", molecule


@pytest.fixture
def failed(first_failed: tuple[Path, MoleculeSettings], tmp_path: Path) -> tuple[Store, MoleculeSettings]:
    """A copy of that store, to go on with."""
    root, molecule = first_failed
    return Store(shutil.copytree(root, tmp_path / "store")), molecule


@pytest.mark.long
def test_a_failed_certificate_orders_a_round_that_explores_where_it_failed_until_the_labels_are_spent(
    failed: tuple[Store, MoleculeSettings],
) -> None:
    store, molecule = failed
    never = stages.request_round(store, changed(molecule, certify_rounds=0))
    assert not never.further
    ordered = stages.request_round(store, molecule)
    assert ordered.further
    assert ON_POLICY in ordered.reason
    # All that is left of the order is in the store, as it is for a flow that was killed here.
    assert run(store, molecule).stop
    rounds = stages.read_rounds(store, molecule)
    assert [found["water"].accurate_labels for found in rounds] == [8, 11, 14]
    assert ON_POLICY in rounds[2]["water"].because
    assert rounds[1]["water"].because == ()
    assert "where the certificate failed" in {frame.source for frame in rounds[2]["water"].picked}
    judging = {frame.frame_id for frame in store.frames("water", split="certificate")}
    card = store.read_json(f"models/water/{model_of(rounds[2])}/card.json")["frames"]
    assert judging.isdisjoint([*card["accurate_train"], *card["accurate_valid"]])
    assert all(len(ids) == len(set(ids)) for ids in attempts(store, molecule).values())
    judge(store, molecule)
    end = stages.request_round(store, molecule)
    assert not end.further
    assert end.reason.endswith("the budget of 14 accurate labels is spent, at " + end.reason.rpartition("at ")[2])


@pytest.mark.long
def test_each_line_that_failed_names_the_geometries_that_say_where(
    failed: tuple[Store, MoleculeSettings], tmp_path: Path
) -> None:
    store, molecule = failed
    model_id = model_of(stages.read_rounds(store, molecule)[-1])
    (found,) = (tmp_path / "store").rglob("certificate.json")
    path = str(found.relative_to(tmp_path / "store"))
    certificate = store.read_json(path)

    def places(*names: str, **evidence: Any) -> list[Configuration]:
        """Where the next round starts after these lines failed."""
        lines = [line | {"state": "passed"} for line in certificate["lines"] if line["name"] not in names]
        missed = {"value": 1.0, "unit": "", "threshold": 0.0, "comparison": "<=", "passed": False, "state": "failed"}
        lines += [{"name": name, **missed} for name in names]
        store.remove(path)
        store.write_json(path, {**certificate, "lines": lines, "evidence": {**certificate["evidence"], **evidence}})
        return failing_geometries(store, molecule)

    assert places() == []
    assert places("Force MAE") == []

    errors = certificate["evidence"]["on_policy"]["errors"]
    assert {f.frame_id for f in places(ON_POLICY)} == set(errors["frame_ids"])

    walked = [f for f in store.frames("water", split="certificate") if f.origin.method == "minimum"]
    assert walked
    for name in MINIMUM:
        assert {f.frame_id for f in places(name)} == {f.frame_id for f in walked}

    # Water has no torsion: two scans, of which one is good enough and one could not be measured.
    rest = walked[0].configuration.positions
    moved = [np.array([rest + 0.01 * i + shift for i in range(2)]) for shift in (1.0, 2.0)]
    scans = tuple(TorsionScan("O0–H1", (1, 0, 2, 1), np.zeros(2), np.zeros(2), positions) for positions in moved)
    records.write(store, paths.model("water", model_id, "torsions.json"), TorsionScans(scans))
    empty = {"name": "", "turns": [], "energies": [], "points": [], "accurate": [], "asked": 1}
    off = places(TORSIONS, torsions=[{**empty, "worst": worst} for worst in (0.001, None)])
    np.testing.assert_array_equal([f.positions for f in off], scans[1].positions)

    assert places(SURVIVED) == []
    kept = StoredTrajectories(store, trajectories_folder(molecule, model_id), walked[0].configuration.numbers.tolist())
    nvt = kept.load("nvt")
    assert nvt is not None
    nvt[0] = replace(nvt[0], reason="bond broken")
    kept.save("nvt", nvt)
    (before,) = places(SURVIVED)
    np.testing.assert_array_equal(before.positions, nvt[0].positions[max(0, len(nvt[0].positions) - 1 - BEFORE_END)])


@pytest.mark.long
def test_few_core_hours_buy_a_smaller_first_round(tmp_path: Path) -> None:
    manifest = manifest_in(tmp_path)
    (molecule,) = stages.load_checked(manifest).molecules
    store = Store(str(tmp_path / "store"))
    poor = changed(molecule, core_hours=1e-9)
    end = run(store, poor)
    (record,) = water_rounds(store, poor)
    assert record.accurate_labels == 5, "the fewest that any budget may ask for"
    assert end.stop is not None
    assert "core-hours" in end.stop


def test_a_geometry_that_the_cheap_level_does_not_believe_in_trains_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    molecule = MoleculeSettings(name="water", smiles="O", acquisition=AcquisitionSettings(temperatures=(900.0,)))
    # Three vibrations, k_B T = 0.0776 eV: one geometry in ten thousand is above 0.82 eV; 1.02 are believed.
    heights = {"conformer": [0.0, 5.0], "explore": [0.1, 0.95, 1.1, 9.0]}
    rng = np.random.default_rng(0)
    for method, energies in heights.items():
        frames = [
            Frame(Configuration([8, 1, 1], rng.normal(size=(3, 3))), Origin(method), method, "train") for _ in energies
        ]
        store.add_frames("water", frames, batch=method)
        now = dt.datetime.now(dt.UTC)
        labels = [
            Attempt(frame_id=f.frame_id, status="ok", energy=-100.0 + e, forces=np.zeros((3, 3)), time=now)
            for f, e in zip(frames, energies, strict=True)
        ]
        store.add_attempts("water", molecule.cheap, labels)
    assert stages.review_explored(store, molecule) == 2
    left = sorted(round((label.energy or 0.0) + 100.0, 6) for label in store.labels("water", molecule.cheap).values())
    assert left == [0.0, 0.1, 0.95, 5.0], "what the sampling made is not touched"
    assert stages.review_explored(store, molecule) == 0


def kill(driver: "subprocess.Popen[bytes]") -> None:
    driver.send_signal(signal.SIGKILL)
    driver.wait()


@pytest.mark.long
def test_killed_while_it_explores_labels_and_trains_it_picks_the_same_and_labels_nothing_twice(
    done: tuple[Store, MoleculeSettings], tmp_path: Path
) -> None:
    undisturbed, molecule = done
    manifest = manifest_in(tmp_path)
    root = tmp_path / "store"
    store = Store(str(root))

    def exploring() -> bool:
        # A member of the committee is trained, so the MD is about to begin.
        members = [p for p in root.glob("models/water/*/card.json") if '"member"' in p.read_text()]
        return bool(members) and read_record(store, molecule, Explored, 1) is None

    def labelling() -> bool:
        return read_record(store, molecule, Picked, 1) is not None

    def training() -> bool:
        ready = read_record(store, molecule, Picked, 1) is not None and not store.pending("water", molecule.accurate)
        return ready and any(root.glob("checkpoints/water/*/*"))

    moments: Mapping[str, Callable[[], bool]] = {"exploring": exploring, "labelling": labelling, "training": training}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.stages.rounds", str(manifest)]
    for name, caught in moments.items():
        driver = subprocess.Popen(command, env=environment)
        deadline = time.monotonic() + 300
        while not caught():
            assert driver.poll() is None, f"it ended before it was caught {name}"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        kill(driver)
        assert len(stages.read_rounds(store, molecule)) == 1, name
    subprocess.run(command, env=environment, check=True)
    first, second = (read_record(undisturbed, molecule, Picked, n) for n in (0, 1))
    assert first == read_record(store, molecule, Picked, 0)
    again = read_record(store, molecule, Picked, 1)
    assert second is not None
    assert again is not None
    assert [f.frame_id for f in again.picked] == [f.frame_id for f in second.picked]
    for ids in attempts(store, molecule).values():
        assert len(ids) == len(set(ids))
