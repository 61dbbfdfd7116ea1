"""``pools.yaml``: what is accepted, and one line for each mistake."""

from pathlib import Path

import pytest

from asteroid.errors import InputError
from infra.deploy import pilot_pools, pool_names
from infra.slurm.pools import FILE, read_pools, walltime_seconds

GOOD = {"max_jobs": "2", "cores": "4", "walltime": '"01:00:00"'}


def problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "pools.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        read_pools(path, pilot_pools())
    assert all(problem.startswith(f"{path}: ") for problem in raised.value.problems)
    return [problem.removeprefix(f"{path}: ") for problem in raised.value.problems]


def entry(**changes: str) -> str:
    keys = {key: value for key, value in (GOOD | changes).items() if value}
    return f"pools:\n  gpu: {{{', '.join(f'{key}: {value}' for key, value in keys.items())}}}\n"


def test_the_file_in_the_repository_is_valid_and_has_every_pool_but_the_parents() -> None:
    assert sorted(read_pools(FILE, pilot_pools())) == pilot_pools()
    assert set(pool_names()) - set(pilot_pools()) == {"orchestrator"}


def test_a_prologue_is_found_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "site.sh").write_text("module load cuda\n")
    path = tmp_path / "pools.yaml"
    path.write_text(entry(prologue="site.sh"))
    assert read_pools(path, pilot_pools())["gpu"].prologue == str((tmp_path / "site.sh").resolve())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (entry(max_jobs=""), "pools.gpu.max_jobs: not there; write max_jobs:"),
        (entry(max_jobs="0"), "pools.gpu.max_jobs: found 0; write 1 or more"),
        (entry(cores='"4"'), "pools.gpu.cores: found '4'; write a whole number"),
        (entry(gpu="1"), "pools.gpu.gpu: unknown key; did you mean 'gpus'?"),
        (entry(walltime="60"), "pools.gpu.walltime: found 60; write text, in quotes"),
        (
            entry(walltime='"8h"'),
            "pools.gpu.walltime: found '8h'; write HH:MM:SS or D-HH:MM:SS, such as '08:00:00'",
        ),
        (
            entry(walltime='"00:02:00"'),
            "pools.gpu.walltime: found '00:02:00', which is 120 s; write 180 s or more: notice (120 s) and a minute",
        ),
        (entry(memory="32GB"), "pools.gpu.memory: found '32GB'; write a whole number with K, M, G or T, such as 32G"),
        (entry(idle="5"), "pools.gpu.idle: found 5; write 30 or more"),
        (
            entry(options="[qos=long]"),
            "pools.gpu.options[0]: found 'qos=long'; write an option of sbatch that begins with --, such as --qos=long",
        ),
        ("pools:\n  gpus: {}\n", "pools.gpus: unknown work pool; did you mean 'gpu'?"),
        (
            "pools:\n  orchestrator: {}\n",
            "pools.orchestrator: unknown work pool; write one of: accurate-cpu, cheap-cpu, gpu",
        ),
        ("pools:\n  gpu: 4\n", "pools.gpu: found 4; write keys and values, at least max_jobs:"),
        (f"{entry()}account: chem\n", "account: unknown key; write pools: alone"),
        ("", "pools: not there, or without keys; write pools: with accurate-cpu, cheap-cpu, gpu"),
        ("pools: []\n", "pools: not there, or without keys; write pools: with accurate-cpu, cheap-cpu, gpu"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_write(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text) == [problem]


def test_a_prologue_that_is_not_there_is_named_with_its_path(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, entry(prologue="site.sh"))
    assert problem == f"pools.gpu.prologue: found 'site.sh', but {tmp_path / 'site.sh'} is no file"


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    assert len(problems(tmp_path, entry(cores="-1", walltime='"1h"') + "  cheap: {}\n")) >= 2


@pytest.mark.parametrize(
    ("text", "seconds"), [("1-00:00:00", 86400), ("00:30:00", 1800), ("30:00", None), ("1:60:00", None)]
)
def test_walltimes_of_slurm(text: str, seconds: int | None) -> None:
    assert walltime_seconds(text) == seconds
