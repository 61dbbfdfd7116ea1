"""Which groups of frames are sampled, and the split of each: pure arithmetic on the settings.

A group is one trajectory or one set of displacements. Its frames may be near copies of each other, so a whole group
falls into one split, and it does so here, before anything has been sampled or labelled. The manifest checks budgets
against this plan; :mod:`asteroid.sampling.plan` carries it out.
"""

from collections import Counter
from dataclasses import dataclass

from asteroid.configuration import Split
from asteroid.settings import Sampler, SamplingSettings

MINIMUM_GROUPS = 10
"""With so many, every split has a group; small requests get smaller groups, not fewer."""

SPLIT_PATTERN: tuple[Split, ...] = (
    "train", "test", "train", "valid", "train", "train", "test", "train", "train", "train",
)  # fmt: skip
"""70 % train, 10 % valid, 20 % test."""

_SHIFT = 3
# Each stratum walks through the pattern from another place, so that ten groups meet all splits however many strata
# there are (3 has no factor in common with 10, and places 1, 3 and 6 are met for every number of strata).


@dataclass(frozen=True)
class Group:
    """One trajectory or one set of displacements.

    Args:
        index: place in the plan; seeds derive from it.
        turn: how many groups of the same method and temperature come before.
        temperature: K.
        frames: how many are asked of it.
    """

    index: int
    turn: int
    method: Sampler
    temperature: float
    split: Split
    frames: int


def plan_groups(settings: SamplingSettings) -> list[Group]:
    """All groups that ``settings`` ask for.

    The plan for fewer frames is a prefix of the plan for more: the same groups, the last or all of them shorter.
    Methods and temperatures take turns, and each pair of them gives 7 : 1 : 2 of its groups to train, valid and test.

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
    """Frames of each group: full ones and a rest, or ten that share few frames evenly."""
    if frames <= MINIMUM_GROUPS * largest:
        # Dealt out one by one, so that no group shrinks when there are more.
        return [len(range(index, frames, MINIMUM_GROUPS)) for index in range(MINIMUM_GROUPS)]
    full, rest = divmod(frames, largest)
    return [largest] * full + [rest] * (rest > 0)


def planned_frames(settings: SamplingSettings) -> dict[Split, int]:
    """How many frames the plan gives each split, before any is dropped."""
    counts: Counter[Split] = Counter()
    for group in plan_groups(settings):
        counts[group.split] += group.frames
    return dict(counts)
