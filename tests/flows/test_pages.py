"""The pages of a pipeline in Prefect's UI, on a real server."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client

from asteroid.manifest import MoleculeSettings
from asteroid.report.write import write_report
from asteroid.store import Store
from flows import artifacts
from flows.artifacts import ProgressArtifact
from flows.pages import Pages
from tests.report.conftest import ACCURATE, CHEAP, fill
from tests.validation.certificates import make_card, make_certificate, make_scratch_card

FOLDER = "reports/water/0123456789abcdef-cafe"


def molecule(name: str) -> MoleculeSettings:
    return MoleculeSettings(name=name, smiles="O", cheap=CHEAP, accurate=ACCURATE)


async def shown(prefix: str) -> dict[str, list[Any]]:
    """Artifacts of the server by key."""
    found: dict[str, list[Any]] = {}
    async with get_client() as client:
        for one in await client.read_artifacts(limit=200):
            if one.key and (one.key.startswith(f"molecule-{prefix}") or one.key == "campaign"):
                found.setdefault(one.key, []).append(one)
    return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return fill(Store(tmp_path / "store"))


@pytest.mark.server
def test_each_molecule_has_one_page_that_says_what_is_at_work_and_then_how_it_ended(
    store: Store, prefect_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    report = write_report(
        store, "water", make_certificate(loose=False), make_card(), make_scratch_card(), folder=FOLDER
    )
    monkeypatch.setenv("ASTEROID_REPORTS", str(tmp_path / "copies"))
    monkeypatch.setenv("ASTEROID_REPORTS_URL", "http://127.0.0.1:1")
    outcome = {
        "passed": True,
        "state": "passed",
        "force_mae": 0.1,
        "scratch_force_mae": 0.2,
        "energy_mae": 0.001,
        "scratch_energy_mae": None,
        "lines": [],
        "model": "model.model",
        "report": report,
        "report_path": f"{FOLDER}/report.html",
        "certificate_path": f"{FOLDER}/certificate.json",
    }

    @flow
    async def run() -> list[dict[str, list[Any]]]:
        pages, seen = Pages(store, [molecule("water"), molecule("later")]), []
        async with pages.renewed():
            with pages.working("water", "water: training"):
                pages.progress("water: training", "water: training: pretrain, 50 of 100")
                await until(lambda found: "molecule-water" in found)
                await pages._show()
                seen.append(await shown(""))
            pages.outcome(molecule("water"), outcome)
            pages.failed("later", "later: no frame could be labelled")
        return [*seen, await shown("")]

    async def until(holds: Callable[[dict[str, list[Any]]], bool]) -> None:
        while not holds(await shown("")):
            await asyncio.sleep(0.1)

    during, after = asyncio.run(asyncio.wait_for(run(), 60))
    assert set(during) == {"campaign", "molecule-water"}, "a molecule that has not begun has no page"
    assert during["molecule-water"][0].description == "water: training: pretrain, 50 of 100"
    assert "Under way: training: pretrain, 50 of 100." in during["molecule-water"][0].data
    assert set(after) == {"campaign", "molecule-water", "molecule-later"}
    # Renewed, and not made again.
    assert {key: len(found) for key, found in after.items()} == dict.fromkeys(after, 1)
    water, later = after["molecule-water"][0], after["molecule-later"][0]
    assert water.description == "water: certified"
    assert water.data.index("[Open the report](http://127.0.0.1:1/") < water.data.index("core-hours for labels")
    assert list((tmp_path / "copies").rglob("report.html"))
    assert later.description == "later: failed"
    assert "**Failed**: later: no frame could be labelled" in later.data
    assert after["campaign"][0].description == "2 molecules: 1 certified, 1 failed"


@pytest.mark.server
def test_progress_of_steps_is_no_entry_in_the_list_of_artifacts_and_is_sent_rarely(
    prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "PROGRESS_SECONDS", 0.5)

    @flow
    async def run() -> list[Any]:
        artifact, found = ProgressArtifact(), list[Any]()
        for done, pause in ((1, 0.0), (2, 0.6), (3, 0.0), (4, 0.0)):
            await asyncio.sleep(pause)
            await artifact("water: training", "pretrain", done, 4)
            async with get_client() as client:
                there = [one for one in await client.read_artifacts(limit=200) if one.type == "progress"]
            found.append([(one.key, one.description, one.data) for one in there])
        return found

    half, whole = ((None, f"water: training: pretrain, {done} of 4", 25.0 * done) for done in (2, 4))
    assert asyncio.run(run()) == [[], [half], [half], [whole]]
