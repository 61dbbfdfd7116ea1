"""The short form of ``make chaos``: campaigns that are killed, alone, in pairs and in shards, in a folder and in S3."""

import pytest

from tests.chaos.harness import rampage

GFN2 = "gfn2-xtb"


def test_a_campaign_survives_kills_of_workers_and_parents(tmp_path):
    assert rampage(str(tmp_path), GFN2, kills=12, seed=1, frames=800).kills.total() == 12


@pytest.mark.long
def test_accurate_labels_survive_kills(tmp_path):
    assert rampage(str(tmp_path), "hf/sto-3g", kills=4, seed=2, frames=8, pause=2.0).kills.total() == 4


def test_two_pipelines_on_one_store_share_the_work_although_both_are_killed(tmp_path):
    assert rampage(str(tmp_path), GFN2, kills=6, seed=3, frames=400, campaigns=2).kills.total() == 6


@pytest.mark.long
@pytest.mark.server
def test_a_campaign_on_an_object_store_survives_kills(bucket):
    assert rampage(bucket("chaos"), GFN2, kills=6, seed=4, frames=400).kills.total() == 6
