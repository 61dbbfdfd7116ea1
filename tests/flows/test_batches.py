"""Steps that share a flow run."""

import asyncio
import datetime as dt
import json
from pathlib import Path

import pytest
from prefect import State, flow, runtime
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelled, Completed, Crashed, Failed
from pydantic import TypeAdapter

from asteroid.configuration import Configuration, Frame, Origin
from asteroid.levels import LevelOfTheory
from asteroid.manifest import AcquisitionSettings, BudgetSettings, MoleculeSettings, SettledChain, TrainingSettings
from asteroid.store import Store
from asteroid.store.rows import Attempt
from flows.batches import MAX_BYTES, RUN_SECONDS, Batches, Ended, _Ready, _Run, content_of
from flows.step import NOT_STARTED, StepCall, step

NAMES = [f"m{number}" for number in range(6)]
TIME = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LEVEL = {"level": "gfn2-xtb", "shard": 1, "shards": 2}


def call(name: str, *, step: str = "label", smiles: str = "O") -> StepCall:
    molecule = MoleculeSettings(name=name, smiles=smiles, accurate=LevelOfTheory.parse("hf/sto-3g"))
    return StepCall(molecule, step, LEVEL if step == "label" else {})


def batches_of(seconds: list[float | None], *, waiting: int = 0, running: int = 0) -> list[list[int]]:
    """The runs that are submitted at once when these steps are ready, by the numbers of the steps."""

    async def submit() -> list[list[int]]:
        batches = Batches(Store("/nowhere"), "parent", 1)
        batches._runs = [_Run("cheap", [], started=number >= waiting) for number in range(waiting + running)]
        for number, each in enumerate(seconds):
            ready = _Ready(call(str(number)), str(number), each, asyncio.get_running_loop().create_future())
            batches._ready["cheap"].append(ready)
        found = []
        while batch := batches._next_batch("cheap"):
            batches._runs.append(_Run("cheap", [ready.call for ready in batch]))
            found.append([int(ready.key) for ready in batch])
        return found

    return asyncio.run(submit())


def test_small_steps_share_a_run_and_long_ones_have_their_own() -> None:
    assert batches_of([1.0] * 5) == [[0, 1, 2, 3, 4]]
    assert batches_of([RUN_SECONDS] * 3) == [[0], [1], [2]]
    assert batches_of([100.0] * 10) == [[0, 1, 2], [3, 4, 5], [6, 7]], "the rest waits for a worker"


def test_steps_of_unknown_time_are_submitted_as_workers_start_them() -> None:
    assert batches_of([None] * 5) == [[0]]
    assert batches_of([None] * 5, running=1) == [[0]]
    assert batches_of([None] * 5, running=3) == [[0], [1], [2]]
    assert batches_of([None, None, RUN_SECONDS], waiting=1) == [[2]], "known ones do not wait for them"


def test_while_a_run_waits_for_a_worker_further_small_steps_are_collected() -> None:
    assert batches_of([1.0] * 5, waiting=1) == []
    assert batches_of([1.0] * 5, waiting=1, running=1) == []
    assert batches_of([1.0] * 5, waiting=1, running=2) == [[0, 1, 2, 3, 4]]


def test_the_parameters_of_a_run_stay_below_the_limit_of_the_server() -> None:
    batch = batches_of([0.001] * 3000)[0]
    assert 0.9 * MAX_BYTES < sum(len(json.dumps(content_of(call(str(number))))) for number in batch) <= MAX_BYTES


@pytest.mark.parametrize(
    "molecule",
    [
        MoleculeSettings(name="water", smiles="O", acquisition=AcquisitionSettings(initial=7, rounds=2)),
        MoleculeSettings(
            name="water",
            smiles="O",
            acquisition=AcquisitionSettings(),
            chain=SettledChain(120.0, 40),
            budget=BudgetSettings(ladder=(81,)),
            training=TrainingSettings(ladder=("mp2/cc-pvdz",)),
        ),
    ],
)
def test_what_a_worker_is_told_of_a_step_comes_back_the_same(molecule: MoleculeSettings) -> None:
    told = StepCall(molecule, "train", {"baseline": False})
    assert TypeAdapter(StepCall).validate_python(content_of(told)) == told


def labelled_store(folder: Path, names: list[str]) -> Store:
    """All molecules have a frame to label in the second shard, those with these names its label."""
    store, level = Store(folder), LevelOfTheory.parse("gfn2-xtb")
    places = (Configuration([8, 1, 1], [[0, 0, 0], [0, 0, 1 + 0.1 * n], [0, 1, 0]]) for n in range(100))
    second = (place for place in places if int(place.frame_id[:8], 16) % 2)
    for name, place in zip(NAMES, second, strict=False):
        frame = Frame(place, Origin("test"), "0", "train")
        store.add_frames(name, [frame], batch="0")
        store.select(name, level, [frame.frame_id], name="0", criterion="all")
        if name in names:
            store.add_attempts(name, level, [Attempt(frame_id=frame.frame_id, status="failed", reason="no", time=TIME)])
    return store


def how_it_ended(store: Store, state: State[None]) -> list[tuple[str, str]]:
    async def ask() -> dict[str, Ended]:
        return await Batches(store, "parent", 1)._how_it_ended([call(name) for name in NAMES], state)

    return [(ended.how, ended.reason) for ended in asyncio.run(ask()).values()]


def test_a_message_of_a_run_says_how_it_ended_for_each_step(tmp_path: Path) -> None:
    titles = [call(name).title for name in NAMES]
    state: State[None] = Failed(
        message=f"{titles[1]}: no: money\n{titles[4]}: {NOT_STARTED}\n{titles[5]}: {NOT_STARTED}"
    )
    done, left = ("completed", ""), ("returned", "")
    assert how_it_ended(Store(tmp_path), state) == [done, ("failed", "no: money"), done, done, left, left]
    assert how_it_ended(Store(tmp_path), Completed()) == [done] * 6
    assert how_it_ended(Store(tmp_path), Failed(message="no such store")) == [("failed", "no such store")] * 6


def test_of_a_lost_run_the_step_at_work_is_lost_and_those_behind_it_are_returned(tmp_path: Path) -> None:
    store = labelled_store(tmp_path, [NAMES[0], NAMES[1], NAMES[4]])
    ended = how_it_ended(store, Crashed(message="killed"))
    assert [how for how, _ in ended] == ["completed", "completed", "lost", "returned", "completed", "returned"]
    assert ended[2] == ("lost", "Crashed: killed")
    stopped = how_it_ended(store, Cancelled(message="by the user"))
    assert [how for how, _ in stopped] == ["completed", "completed", "failed", "failed", "completed", "failed"]


@pytest.mark.slow
def test_a_step_that_fails_does_not_harm_the_others_of_its_run(tmp_path: Path, prefect_server: str) -> None:
    store = labelled_store(tmp_path, [])
    steps = [call("m0"), call("wrong", step="sample", smiles="[Xe]"), call("m1")]
    state: State[None] = asyncio.run(step(str(tmp_path), steps, return_state=True))
    assert state.is_failed()
    (line,) = (state.message or "").splitlines()
    assert line.startswith("wrong: sampling: ")
    level = LevelOfTheory.parse("gfn2-xtb")
    assert [store.attempts(name, level).num_rows for name in NAMES[:3]] == [1, 1, 0]


@pytest.mark.slow
def test_an_unknown_step_is_one_line(tmp_path: Path, prefect_server: str) -> None:
    state = asyncio.run(step(str(tmp_path), [call("water", step="trian")], return_state=True))
    assert state.is_failed()
    assert state.message == "unknown step 'trian' of water; did you mean 'train'?"


@pytest.mark.slow
def test_a_retried_parent_waits_for_the_runs_that_its_first_run_left(tmp_path: Path, prefect_server: str) -> None:
    store, calls = labelled_store(tmp_path, []), [call("m0"), call("m1")]

    async def children(client: PrefectClient) -> list[FlowRun]:
        parents = FlowRunFilterParentFlowRunId(any_=[runtime.flow_run.id])
        return await client.read_flow_runs(flow_run_filter=FlowRunFilter(parent_flow_run_id=parents))

    @flow
    async def parent() -> None:
        async with get_client() as client:
            await client.create_deployment(await client.create_flow(step), "cheap")

            def both(batches: Batches) -> "asyncio.Future[list[Ended]]":
                each = (batches.run(one, "cheap", key=one.title, seconds=1.0) for one in calls)
                return asyncio.gather(*each)

            first = Batches(store, str(runtime.flow_run.id), 1)
            waiting = both(first)
            while not (found := await children(client)):
                await asyncio.sleep(0.2)
            waiting.cancel()
            assert [run.name for run in found] == ["gfn2-xtb labels: 2 molecules, m0 …"]
            again = both(Batches(store, str(runtime.flow_run.id), 2))
            await client.set_flow_run_state(found[0].id, Completed(), force=True)
            assert await again == [Ended("completed")] * 2
            assert [run.id for run in await children(client)] == [found[0].id]

    asyncio.run(parent())
