"""Names in the store: the same content, the same name; another version's new settings change none."""

from typing import Literal

from asteroid.naming import FIRST_FIELDS, content, digest
from asteroid.settings import ModelSettings, Settings, TrainingSettings


class Grown(TrainingSettings):
    """Settings of training as a later version has them."""

    schedule: Literal["flat", "cosine"] = "flat"


def test_a_new_setting_changes_a_name_only_where_it_is_used() -> None:
    FIRST_FIELDS["Grown"] = FIRST_FIELDS["TrainingSettings"]
    try:
        before = content(TrainingSettings(pretrain_steps=7))
        assert content(Grown(pretrain_steps=7)) == before
        assert content(Grown(pretrain_steps=7, schedule="flat")) == before
        assert content(Grown(pretrain_steps=7, schedule="cosine")) == {**before, "schedule": "cosine"}
    finally:
        del FIRST_FIELDS["Grown"]


def test_a_changed_default_of_an_old_setting_changes_the_name() -> None:
    assert content(ModelSettings())["channels"] == 32
    assert content(TrainingSettings())["model"] == ModelSettings().model_dump(mode="json")


def test_every_block_of_version_0_1_is_known() -> None:
    assert set(FIRST_FIELDS) <= {block.__name__ for block in Settings.__subclasses__()}


def test_names_joined_differently_are_different() -> None:
    assert digest(["m-round-0", "cheap"]) != digest(["m", "round-0-cheap"])
