"""Which models make the learning curve of the accurate labels alone, and what it says; quotes that are kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asteroid.configuration import Frame, Origin
from asteroid.levels import LevelOfTheory
from asteroid.manifest import BudgetSettings, MoleculeSettings, ValidationSettings
from asteroid.stages.curve import has_curve, measure_curve
from asteroid.stages.kept_quotes import find_quote, keep_quote
from asteroid.stages.models import Models, training_frames
from asteroid.store import Store, paths, records
from asteroid.store.models import CardFrames, read_card
from asteroid.store.quote_records import Line
from asteroid.validation.errors import Errors, measure_errors
from tests.cards import bare_card
from tests.report.conftest import ACCURATE, CHEAP, attempts
from tests.training.conftest import tiny_settings
from tests.validation.certificates import displaced

MODELS = Models(final="final", scratch="scratch-20")


def water(*, curve: bool = False, accurate: int = 20) -> MoleculeSettings:
    return MoleculeSettings(
        name="water",
        smiles="O",
        cheap=CHEAP,
        accurate=ACCURATE,
        budget=BudgetSettings(accurate=accurate, test=4),
        training=tiny_settings(),
        validation=ValidationSettings(curve=curve),
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Sixteen frames that train, four held out and four of the test, all labelled; no model."""
    store = Store(tmp_path / "store")
    origin = Origin("normal-modes", seed=0)
    frames = [
        Frame(c, origin, f"group-{split}", split)
        for seed, (split, count) in enumerate((("train", 16), ("valid", 4), ("test", 4)))
        for c in displaced(count, seed=seed)
    ]
    store.add_frames("water", frames, batch="batch")
    store.select("water", ACCURATE, [f.frame_id for f in frames], name="all", criterion="all")
    store.add_attempts("water", ACCURATE, attempts(2, frames, 1.0))
    return store


def add_scratch(store: Store, model_id: str, labels: int, **changes: Any) -> None:
    frames, _, _ = training_frames(store, water(accurate=labels))
    card = bare_card(
        model_id=model_id,
        accurate=str(ACCURATE),
        settings={"seed": 0, "learning_rate": 0.01},
        frames=CardFrames(accurate_train=frames.train, accurate_valid=frames.valid, cheap=0),
    )
    records.write(store, paths.model("water", model_id, "card.json"), replace(card, **changes))


def errors_of(model_id: str) -> Errors:
    """0.08 eV/Å with 10 labels and falling with their square root; 0.02 of the final model."""
    size = 0.02 if model_id == "final" else 0.08 * (10 / int(model_id.rpartition("-")[2])) ** 0.5
    zeros = [np.zeros((3, 3))] * 4
    return measure_errors(
        list("abcd"),
        reference_energies=np.zeros(4),
        predicted_energies=np.zeros(4),
        reference_forces=zeros,
        predicted_forces=[np.full((3, 3), size)] * 4,
    )


def test_models_of_earlier_rounds_make_the_curve_and_none_is_trained(store: Store) -> None:
    add_scratch(store, "scratch-10", 10)
    add_scratch(store, "scratch-20", 20)
    found = measure_curve(store, water(curve=True), MODELS, errors_of)
    assert [(point.labels, point.model_id) for point in found.points] == [
        (10, "scratch-10"),
        (20, "scratch-20"),
    ]
    # A quarter of the error of ten labels takes sixteen times as many.
    assert found.worth.labels == pytest.approx(160)


def test_models_that_differ_in_more_than_their_labels_are_no_points(store: Store) -> None:
    test = training_frames(store, water())[0].test
    add_scratch(store, "scratch-20", 20)
    add_scratch(store, "other-settings-10", 10, settings={"seed": 1, "learning_rate": 0.01})
    add_scratch(store, "other-level-10", 10, accurate="hf/sto-3g")
    add_scratch(store, "other-strategy-10", 10, strategy="member")
    add_scratch(store, "saw-the-test-10", 10, frames=CardFrames(accurate_train=test, accurate_valid=(), cheap=0))
    found = measure_curve(store, water(), MODELS, errors_of)
    assert [point.model_id for point in found.points] == ["scratch-20"]
    assert found.worth is None


def test_a_setting_that_an_older_card_lacks_had_its_default(store: Store) -> None:
    add_scratch(store, "scratch-10", 10, settings={"seed": 0})
    add_scratch(store, "scratch-20", 20)
    assert len(measure_curve(store, water(), MODELS, errors_of).points) == 2


def test_a_model_with_nearly_as_many_labels_is_not_enough_of_a_curve(store: Store) -> None:
    add_scratch(store, "scratch-20", 20)
    assert not has_curve(store, water(), MODELS)
    add_scratch(store, "scratch-18", 18)
    assert not has_curve(store, water(), MODELS)
    add_scratch(store, "scratch-15", 15)
    assert has_curve(store, water(), MODELS)


def test_a_model_of_accurate_labels_alone_needs_no_curve(store: Store) -> None:
    add_scratch(store, "scratch-20", 20)
    assert measure_curve(store, water(curve=True), Models("scratch-20", "scratch-20"), errors_of).points == ()


@pytest.mark.long
def test_half_of_the_labels_train_the_other_point_and_only_once(store: Store) -> None:
    from tests.training.conftest import train_model

    molecule = water(curve=True)
    frames, _, _ = training_frames(store, molecule)
    card = train_model(
        store,
        "water",
        strategy="scratch",
        cheap=CHEAP,
        accurate=ACCURATE,
        train_ids=frames.train,
        valid_ids=frames.valid,
        cheap_ids=frames.cheap,
        settings=molecule.training,
    )
    models = Models("final", card.model_id)
    asked: list[str] = []

    def errors(model_id: str) -> Errors:
        asked.append(model_id)
        return errors_of("final" if model_id == "final" else "scratch-20")

    found = measure_curve(store, molecule, models, errors)
    assert [point.labels for point in found.points] == [10, 20]
    half = read_card(store, "water", found.points[0].model_id)
    assert {*half.frames.accurate_train} < {*frames.train}
    assert {*half.frames.accurate_valid} < {*frames.valid}
    assert sorted(asked) == sorted(["final", card.model_id, half.model_id])
    assert has_curve(store, molecule, models)
    before = store.names("models/water")
    assert measure_curve(store, molecule, models, errors) == found
    assert store.names("models/water") == before


def quote_of(seconds: float) -> list[Line]:
    return [Line("water", "accurate labels", "hf/6-31g", 1, "labels", seconds)]


def test_the_first_quote_of_the_same_settings_is_the_one_that_counts(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert find_quote(store, water()) is None
    keep_quote(store, water(), quote_of(100.0), workers=2)
    keep_quote(store, water(), quote_of(0.0), workers=2)
    found = find_quote(store, water(curve=True))
    assert found is not None
    assert [(line.molecule, line.core_seconds) for line in found.lines] == [("water", 100.0)]
    assert find_quote(store, replace(water(), accurate=LevelOfTheory.parse("hf/sto-3g"))) is None


def test_a_round_is_held_against_the_quote_of_the_whole_budget(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    keep_quote(store, water(accurate=40), quote_of(400.0), workers=2)
    keep_quote(store, water(accurate=80), quote_of(800.0), workers=2)
    for labels, quoted in ((20, 400.0), (40, 400.0), (41, 800.0)):
        found = find_quote(store, water(accurate=labels))
        assert found is not None
        assert found.lines[0].core_seconds == quoted
    assert find_quote(store, water(accurate=81)) is None
