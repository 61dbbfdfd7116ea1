"""How many pilots the autoscaler submits and which jobs it cancels."""

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from infra.slurm.decisions import (
    ALIVE,
    LONGEST_PAUSE,
    SILENT_SECONDS,
    START_SECONDS,
    Decision,
    Job,
    Pool,
    Queue,
    job_name,
    parse_jobs,
    sbatch_options,
    worker_name,
)
from infra.slurm.pools import PilotSettings

SETTINGS = PilotSettings(max_jobs=4, cores=8, walltime="08:00:00", idle=120)
LONG = 1e6
"""s for which the server has answered."""


def pool() -> Pool:
    return Pool("accurate-cpu", SETTINGS)


def jobs(*states: str, seconds: float = 60.0) -> list[Job]:
    return [Job(str(number), "asteroid", state, seconds) for number, state in enumerate(states)]


def silence(*seconds: float) -> dict[str, float]:
    """Of the workers of :func:`jobs`."""
    return {worker_name(str(number)): each for number, each in enumerate(seconds)}


def test_as_many_pilots_as_flow_runs_and_never_more_than_max_jobs() -> None:
    assert pool().decide(Queue(0), [], (), 0, LONG) == Decision()
    assert pool().decide(Queue(3), [], (), 0, LONG) == Decision(submit=3)
    assert pool().decide(Queue(50), [], (), 0, LONG) == Decision(submit=4)
    assert pool().decide(Queue(50), jobs("PENDING", "RUNNING"), (), 0, LONG) == Decision(submit=2)


@given(st.integers(0, 20), st.lists(st.sampled_from([*sorted(ALIVE), "COMPLETING", "NODE_FAIL"]), max_size=8))
def test_what_is_submitted_never_exceeds_the_limit_nor_the_flow_runs(runs: int, states: list[str]) -> None:
    decision = pool().decide(Queue(runs), jobs(*states), (), 0, LONG)
    alive = sum(state in ALIVE for state in states)
    assert decision.submit == max(0, min(runs, SETTINGS.max_jobs) - alive)
    assert not decision.cancel


def test_a_job_that_is_completing_or_whose_node_failed_is_replaced() -> None:
    found = jobs("RUNNING", "COMPLETING", "NODE_FAIL")
    assert pool().decide(Queue(2), found, (), 0, LONG) == Decision(submit=1)


def test_a_running_job_with_a_silent_worker_is_cancelled_and_replaced() -> None:
    found = jobs("RUNNING", "RUNNING", seconds=SILENT_SECONDS + 60)
    queue = Queue(2, silence=silence(5, SILENT_SECONDS + 1))
    assert pool().decide(queue, found, (), 0, LONG) == Decision(submit=1, cancel=("1",))


def test_flow_runs_are_lost_with_their_job_and_those_of_other_workers_are_left_alone() -> None:
    workers = {
        "with its pilot": worker_name("0"),
        "ending": worker_name("1"),
        "gone": worker_name("7"),
        "by hand": worker_name("99"),
        "of another user": "slurm-54321-7",
        "outside Slurm": "local-accurate-cpu",
        "not yet taken": "",
    }
    found = jobs("RUNNING", "COMPLETING")
    assert pool().decide(Queue(2, workers), found, ("99",), 0, LONG).crash == ("gone",)


def test_flow_runs_of_a_job_that_is_cancelled_for_its_silence_are_lost() -> None:
    found = jobs("RUNNING", seconds=SILENT_SECONDS + 60)
    queue = Queue(1, {"run": worker_name("0")}, silence(SILENT_SECONDS + 1))
    assert pool().decide(queue, found, (), 0, LONG) == Decision(submit=1, cancel=("0",), crash=("run",))


def test_after_an_outage_of_the_server_workers_have_time_for_a_heartbeat() -> None:
    found = jobs("RUNNING", seconds=10_000)
    queue = Queue(1, silence=silence(SILENT_SECONDS + 300))
    assert pool().decide(queue, found, (), 0, heard=SILENT_SECONDS - 1) == Decision()
    assert pool().decide(queue, found, (), 0, heard=SILENT_SECONDS) == Decision(submit=1, cancel=("0",))


def test_a_worker_that_starts_slowly_is_left_alone() -> None:
    assert pool().decide(Queue(1), jobs("RUNNING", seconds=START_SECONDS - 1), (), 0, LONG) == Decision()
    assert pool().decide(Queue(1), jobs("RUNNING", seconds=START_SECONDS), (), 0, LONG).cancel == ("0",)


def test_jobs_that_wait_are_cancelled_once_nothing_was_wanted_for_the_idle_time_and_running_ones_never() -> None:
    autoscaler, found = pool(), jobs("PENDING", "RUNNING")
    assert autoscaler.decide(Queue(2), found, (), 0, LONG) == Decision()
    assert autoscaler.decide(Queue(0), found, (), 119, LONG) == Decision()
    assert autoscaler.decide(Queue(0), found, (), 120, LONG) == Decision(cancel=("0",))


def test_a_fresh_autoscaler_does_not_cancel_what_an_earlier_one_submitted() -> None:
    assert pool().decide(Queue(0), jobs("PENDING"), (), 1000, LONG) == Decision()


def test_pilots_that_end_at_once_are_submitted_ever_more_rarely() -> None:
    autoscaler = pool()
    now, submissions = 0.0, []
    while now < 3600:
        if autoscaler.decide(Queue(1), [], (), now, LONG).submit:
            submissions.append(now)
            autoscaler.decide(Queue(1), jobs("RUNNING", seconds=1), (), now + 1, LONG)
        now += 10
    pauses = [later - earlier for earlier, later in pairwise(submissions)]
    assert pauses == sorted(pauses)
    assert LONGEST_PAUSE <= pauses[-1] <= LONGEST_PAUSE + 20
    assert len(submissions) < 15


def test_a_pilot_that_idled_out_is_no_failure_and_a_long_lived_one_ends_the_pause() -> None:
    autoscaler = pool()
    autoscaler.pause(0, "sbatch: no such partition")
    autoscaler.decide(Queue(1), jobs("RUNNING", seconds=SETTINGS.idle), (), 10, LONG)
    assert autoscaler.failures == 0
    assert autoscaler.decide(Queue(1), [], (), 130, LONG) == Decision(submit=1)


def test_jobs_of_other_servers_and_pools_have_other_names() -> None:
    names = {job_name(pool, api) for pool in ("gpu", "cheap-cpu") for api in ("http://a:4200/api", "http://a:4300/api")}
    assert len(names) == 4


def test_squeue_is_read_with_all_its_forms_of_time() -> None:
    text = "1|PENDING|0:00|asteroid:gpu@h:1\n2|RUNNING|1:02:03|x|y\n3|RUNNING|INVALID|z\n"
    assert [(job.state, job.seconds, job.name) for job in parse_jobs(text)] == [
        ("PENDING", 0, "asteroid:gpu@h:1"),
        ("RUNNING", 3723, "x|y"),
        ("RUNNING", 0, "z"),
    ]


def test_options_of_sbatch_say_what_the_file_says_and_nothing_that_it_leaves_to_the_site() -> None:
    full = SETTINGS.model_copy(
        update={"memory": "32G", "partition": "long", "account": "chem", "gpus": 2, "options": ("--qos=high",)}
    )
    shared = ["--job-name=a", "--cpus-per-task=8", "--time=08:00:00", "--signal=B:TERM@120", "--output=/logs/%j.log"]
    assert sbatch_options(SETTINGS, "a", Path("/logs")) == shared
    assert sbatch_options(full, "a", Path("/logs")) == [
        *shared,
        *("--mem=32G", "--partition=long", "--account=chem", "--gres=gpu:2", "--qos=high"),
    ]
