"""``infra/slurm/pools.yaml``: resources and largest number of Slurm jobs of each work pool."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field

from asteroid.errors import InputError, suggest
from asteroid.manifest.strict_yaml import read_yaml
from asteroid.problems import printable, validate
from asteroid.settings import Settings

FILE = Path(__file__).resolve().parent / "pools.yaml"
SHORTEST_IDLE = 30
"""s; a worker starts in about ten seconds and asks for work every ten."""

_WALLTIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<hours>\d{1,2}):(?P<minutes>[0-5]\d):(?P<seconds>[0-5]\d)")
_MEMORY = re.compile(r"[1-9]\d*[KMGT]")


class PilotSettings(Settings):
    """Pilot jobs of one work pool."""

    max_jobs: Annotated[int, Field(ge=1, le=1000)]
    """Largest number of pilots at a time, waiting or running."""
    cores: Annotated[int, Field(ge=1, le=1024)]
    """Per pilot; each labels one frame at a time."""
    walltime: str
    """HH:MM:SS or D-HH:MM:SS"""
    memory: str | None = None
    """Per pilot, such as 32G; None: the site's default."""
    partition: str | None = None
    account: str | None = None
    gpus: Annotated[int, Field(ge=0, le=16)] = 0
    """Per pilot."""
    idle: Annotated[int, Field(ge=SHORTEST_IDLE)] = 120
    """s without a flow run after which a pilot ends."""
    notice: Annotated[int, Field(ge=30, le=3600)] = 120
    """s before the end of the walltime at which a pilot stops its flow run; Slurm may tell it a minute earlier."""
    prologue: str | None = None
    """File that every pilot sources: modules, container."""
    options: tuple[str, ...] = ()
    """Further options of ``sbatch``."""


def read_pools(path: Path, known: list[str]) -> dict[str, PilotSettings]:
    """Read and check the file.

    Args:
        known: names of the work pools that may have pilots.

    Returns:
        Settings by pool, with absolute paths of prologues.

    Raises:
        InputError: with every problem, one line each: file, key, what was found, what to write.
    """
    content = read_yaml(path)
    entries = content.get("pools") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise InputError(f"{path}: pools: not there, or without keys; write pools: with {', '.join(known)}")
    problems = [f"{printable(str(key))}: unknown key; write pools: alone" for key in content if key != "pools"]
    result = {}
    for name, raw in entries.items():
        if name not in known:
            problems.append(f"pools.{printable(str(name))}: unknown work pool; {suggest(str(name), known)}")
        elif not isinstance(raw, dict):
            problems.append(f"pools.{name}: found {printable(repr(raw))}; write keys and values, at least max_jobs:")
        else:
            settings, found = validate(PilotSettings, raw)
            if settings is not None:
                found = _check(settings, path.parent)
                prologue = settings.prologue and str((path.parent / settings.prologue).resolve())
                result[name] = settings.model_copy(update={"prologue": prologue})
            problems += [f"pools.{name}.{problem}" for problem in found]
    if problems:
        raise InputError([f"{path}: {problem}" for problem in problems])
    return result


def _check(settings: PilotSettings, folder: Path) -> list[str]:
    """What types alone do not say; each line begins with the key."""
    problems = []
    seconds = walltime_seconds(settings.walltime)
    if seconds is None:
        problems.append(f"walltime: found {settings.walltime!r}; write HH:MM:SS or D-HH:MM:SS, such as '08:00:00'")
    elif seconds < settings.notice + 60:
        found = f"walltime: found {settings.walltime!r}, which is {seconds} s"
        problems.append(f"{found}; write {settings.notice + 60} s or more: notice ({settings.notice} s) and a minute")
    if settings.memory is not None and not _MEMORY.fullmatch(settings.memory):
        problems.append(f"memory: found {settings.memory!r}; write a whole number with K, M, G or T, such as 32G")
    if settings.prologue is not None and not (folder / settings.prologue).is_file():
        problems.append(f"prologue: found {settings.prologue!r}, but {folder / settings.prologue} is no file")
    problems += [
        f"options[{index}]: found {option!r}; write an option of sbatch that begins with --, such as --qos=long"
        for index, option in enumerate(settings.options)
        if not re.match("--[a-z]", option)
    ]
    return problems


def walltime_seconds(text: str) -> int | None:
    """Seconds of Slurm's HH:MM:SS or D-HH:MM:SS; None for anything else.

    >>> walltime_seconds("08:00:00"), walltime_seconds("1-00:00:30"), walltime_seconds("8h")
    (28800, 86430, None)
    """
    match = _WALLTIME.fullmatch(text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
