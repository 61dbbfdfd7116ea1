"""The table of steps: what it says of each holds for the functions that do the work."""

import inspect

import pytest

from asteroid.manifest import MoleculeSettings
from asteroid.pipeline.steps import STEPS, Step
from asteroid.store import Store

WATER = MoleculeSettings(name="water", smiles="O")
PARAMETERS = {
    "label": {"level": "gfn2-xtb", "shard": 1, "shards": 3},
    "train": {"baseline": False},
    "minimum": {"model_id": "cafe"},
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_step_takes_its_parameters_and_has_a_title_and_a_resource(step: Step) -> None:
    parameters = PARAMETERS.get(step.name, {})
    inspect.signature(step.lacks).bind("store", WATER, **parameters)
    workers = {"workers": 2} if step.parallel else {}
    inspect.signature(step.function).bind("store", WATER, **parameters, **workers, on_progress=None)
    assert step.title(WATER, **parameters).startswith("water: ")
    assert step.resource_of(WATER, **parameters) in ("cheap", "accurate", "gpu")


def test_an_empty_store_lacks_what_comes_first(tmp_path: object) -> None:
    store = Store(str(tmp_path))
    assert STEPS["sample"].lacks(store, WATER)
    # Nothing is selected, and no frame says which elements there are.
    assert not STEPS["label"].lacks(store, WATER, level="gfn2-xtb")
    assert STEPS["train"].lacks(store, WATER)
    assert STEPS["certify"].lacks(store, WATER)
    assert not STEPS["hessian"].lacks(store, WATER), "there is no minimum yet"


def test_labels_go_to_the_workers_of_their_level() -> None:
    levels = [str(WATER.cheap), str(WATER.accurate), "mp2/cc-pvdz"]
    found = [STEPS["label"].resource_of(WATER, level=level, shard=0, shards=1) for level in levels]
    assert found == ["cheap", "accurate", "accurate"]
