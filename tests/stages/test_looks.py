"""How often frames have been judged, as the certificates in a store tell."""

from dataclasses import replace
from pathlib import Path

from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.stages.looks import count_looks
from asteroid.store import Store, records
from asteroid.validation.certificate import Levels, Looks
from asteroid.validation.evidence import Evidence
from asteroid.validation.on_policy import OnPolicy
from tests.validation.certificates import make_certificate, measured

WATER = MoleculeSettings(name="water", smiles="O", accurate=LevelOfTheory.parse("hf/sto-3g"))


def certify(store: Store, model_id: str, test: str, own: str = "", level: str = "hf/sto-3g", name: str = "a") -> None:
    """What a certificate keeps of the frames that it judged by."""
    errors = measured()[0]
    found = OnPolicy(replace(errors, frame_ids=tuple(own)), (), len(own), 0) if own else None
    certificate = replace(
        make_certificate(),
        model_id=model_id,
        levels=Levels("gfn2-xtb", level),
        errors=replace(errors, frame_ids=tuple(test)),
        evidence=Evidence(on_policy=found),
    )
    records.write(store, f"reports/water/{model_id}-{name}/certificate.json", certificate, nulls=True)


def test_each_model_that_the_same_frames_have_judged_is_a_look(tmp_path: Path) -> None:
    store = Store(str(tmp_path))

    def looks(model_id: str, test: str, own: str = "") -> Looks:
        return count_looks(store, WATER, model_id, tuple(test), tuple(own))

    assert looks("first", "abc") == Looks(1, 1)
    certify(store, "first", "abc", "xy")
    assert looks("first", "abc", "xy") == Looks(1, 1), "only its MD was longer, say"
    assert looks("second", "abc", "uv") == Looks(2, 1)
    assert looks("first", "abcd", "xyz") == Looks(2, 2), "more frames, some of which have been judged"
    assert looks("second", "def", "uv") == Looks(1, 1), "fresh frames"
    certify(store, "second", "abc", "uv")
    certify(store, "second", "abc", "uv", name="b")
    assert looks("third", "abc") == Looks(3, 1)
    certify(store, "other", "abc", level="pbe/sto-3g")
    assert looks("third", "abc") == Looks(3, 1), "another question"
