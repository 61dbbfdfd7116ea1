"""Plan of the sampled groups of frames and their splits, from the settings alone.

A group is one trajectory or one set of displacements. Its frames may be near copies, so all have the same split, which
is decided before sampling. The manifest checks budgets with this plan; :mod:`asteroid.sampling.plan` samples it.
"""

from collections import Counter
from dataclasses import dataclass

from asteroid.configuration import Split
from asteroid.settings import Sampler, SamplingSettings

MINIMUM_GROUPS = 10
"""Smallest number of groups, so that every split has one; for few frames, groups are smaller."""

SPLIT_PATTERN: tuple[Split, ...] = (
    "train", "test", "train", "valid", "train", "train", "test", "train", "train", "train",
)  # fmt: skip
"""70% train, 10% valid, 20% test."""

_SHIFT = 3
# Each stratum starts at another place of the pattern, so that ten groups have all splits for any number of strata:
# 3 and 10 are coprime, and places 1, 3 and 6 are reached for every number of strata.


@dataclass(frozen=True)
class Group:
    """One trajectory or one set of displacements.

    Args:
        index: place in the plan, from which seeds are derived.
        turn: number of earlier groups with the same method and temperature.
        temperature: K.
        frames: requested number of frames.
    """

    index: int
    turn: int
    method: Sampler
    temperature: float
    split: Split
    frames: int


def plan_groups(settings: SamplingSettings) -> list[Group]:
    """All groups for the settings.

    The plan for fewer frames has the same first groups as the plan for more frames, the last or all of them shorter.
    Methods and temperatures alternate; for each pair, groups are divided 7 : 1 : 2 into train, valid and test.

    >>> from collections import Counter
    >>> groups = plan_groups(SamplingSettings(frames=1000))
    >>> len(groups), sorted(Counter(g.split for g in groups).items())
    (50, [('test', 10), ('train', 35), ('valid', 5)])
    """
    strata = [(method, temperature) for temperature in settings.temperatures for method in settings.methods]
    groups = []
    for index, frames in enumerate(_sizes(settings.frames, settings.frames_per_group)):
        turn, stratum = divmod(index, len(strata))
        method, temperature = strata[stratum]
        split = SPLIT_PATTERN[(turn + _SHIFT * stratum) % len(SPLIT_PATTERN)]
        groups.append(Group(index, turn, method, temperature, split, frames))
    return groups


def _sizes(frames: int, largest: int) -> list[int]:
    """Numbers of frames of the groups: full groups and a rest, or ten equal groups for few frames."""
    if frames <= MINIMUM_GROUPS * largest:
        # Distributed one by one, so that no group shrinks when there are more frames.
        return [len(range(index, frames, MINIMUM_GROUPS)) for index in range(MINIMUM_GROUPS)]
    full, rest = divmod(frames, largest)
    return [largest] * full + [rest] * (rest > 0)


def planned_frames(settings: SamplingSettings) -> dict[Split, int]:
    """Planned number of frames of each split, before any frame is dropped."""
    counts: Counter[Split] = Counter()
    for group in plan_groups(settings):
        counts[group.split] += group.frames
    return dict(counts)
