"""Select frames for labels: all at the cheap level, a few diverse ones at the accurate level.

Selections are stored and never changed: after a larger budget, more frames or failed labels, a new selection begins
with the earlier one.
"""

import logging
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal

from asteroid.configuration import EXPLORED, Frame, Split
from asteroid.errors import StoreError
from asteroid.manifest import MoleculeSettings
from asteroid.naming import digest_ids, lot
from asteroid.sampling.select import pick_diverse
from asteroid.store import Store

MOST_TRIED = 2
"""Largest number of selected frames, in budgets: if every second label fails, more frames do not help."""

logger = logging.getLogger(__name__)

Choice = Callable[[Sequence[Frame], int, int, Sequence[Frame]], list[Frame]]
"""(candidates, number, seed, earlier frames) -> frames, best first"""


def choose_cheap(store: Store, molecule: MoleculeSettings) -> None:
    """Select every frame for the cheap level.

    Held-out frames, too: their cheap labels show the bias.
    """
    chosen = set(store.selected(molecule.name, molecule.cheap))
    frames = store.frames(molecule.name)
    new = [f.frame_id for f in frames if f.split != "certificate" and f.frame_id not in chosen]
    if new:
        name = f"cheap-{digest_ids(new)}"
        store.select(molecule.name, molecule.cheap, new, name=name, criterion="all")


def choose_accurate(store: Store, molecule: MoleculeSettings) -> None:
    """Select frames for the accurate level: diverse ones for training, random ones for testing.

    Frames that already have an accurate label, such as imported ones, come first. Called again after labelling, it adds
    frames of the same split for failed or rejected labels, until there are as many labels as the budget says or
    :data:`MOST_TRIED` times as many selected frames.
    """
    level = molecule.accurate
    pending = store.pending(molecule.name, level, forces=molecule.label_settings(level).forces)
    known = set(store.labels(molecule.name, level))
    # Selected before, and the label failed or was rejected.
    lost = set(store.selected(molecule.name, level)) - set(pending) - known
    known -= set(pending)
    _choose(store, molecule, "train", "diverse", known, lost)
    # Rounds stop by the error on held-out frames, so these must follow the sampled distribution.
    _choose(store, molecule, "valid", "random" if molecule.acquisition else "diverse", known, lost)
    # Random test frames estimate the error over the sampled distribution; diverse ones would be outliers.
    _choose(store, molecule, "test", "random", known, lost)


def choose_ladder(store: Store, molecule: MoleculeSettings) -> None:
    """Select frames for each level between cheap and accurate: those of the level above, then diverse others.

    Nothing is selected for an imported level.
    """
    # All accurate ones, even beyond the budget: a label needs one at the level below to correct it.
    above = chosen_accurate(store, molecule, "train")
    for level, count in reversed(molecule.ladder_labels.items()):
        earlier = store.selected(molecule.name, level)
        if level.family == "imported":
            continue
        frames = {frame.frame_id: frame for frame in _usable(store, molecule, "train")}
        taken = set(earlier)
        first = [i for i in above if i not in taken]
        taken.update(first)
        missing = max(0, count - len(earlier) - len(first))
        rest = [frame for i, frame in frames.items() if i not in taken]
        known = [frames[i] for i in taken if i in frames]
        others = _diverse(rest, missing, molecule.sampling.seed, known)
        ids = [*earlier, *first, *(frame.frame_id for frame in others)]
        if len(ids) > len(earlier):
            store.select(molecule.name, level, ids, name=f"ladder-{len(ids)}", criterion="diverse")
        above = ids


def chosen_accurate(store: Store, molecule: MoleculeSettings, split: Split) -> list[str]:
    """Frame ids of a split that :func:`choose_accurate` has selected, in the order of selection."""
    prefix = f"accurate-{split}-"
    names = store.selections(molecule.name, molecule.accurate)
    counts = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    largest = max((int(count) for count in counts if count.isdecimal()), default=0)
    return store.selected(molecule.name, molecule.accurate, name=f"{prefix}{largest}")


def extend_accurate(
    store: Store, molecule: MoleculeSettings, split: Split, frame_ids: Sequence[str], *, criterion: str, round: int
) -> None:
    """Select further frames of a split, after those selected before; a second call adds nothing."""
    earlier = chosen_accurate(store, molecule, split)
    ids = list(dict.fromkeys([*earlier, *frame_ids]))
    if len(ids) > len(earlier):
        name = f"accurate-{split}-{len(ids)}"
        store.select(molecule.name, molecule.accurate, ids, name=name, criterion=criterion, round=round)


def _choose(
    store: Store,
    molecule: MoleculeSettings,
    split: Split,
    criterion: Literal["diverse", "random"],
    known: AbstractSet[str],
    lost: AbstractSet[str],
) -> None:
    level, budget = molecule.accurate, molecule.accurate_labels(split)
    earlier_ids = chosen_accurate(store, molecule, split)
    wanted = min(budget + len(lost & set(earlier_ids)), MOST_TRIED * budget)
    if len(earlier_ids) >= wanted:
        return
    by_id = {frame.frame_id: frame for frame in store.frames(molecule.name, split=split)}
    if missing_ids := [frame_id for frame_id in earlier_ids if frame_id not in by_id]:
        raise StoreError(
            f"{molecule.name}: {len(missing_ids)} frames selected for {level} are not in the store; import them again"
        )
    taken = lost | set(earlier_ids)
    rest = [frame for frame in _usable(store, molecule, split) if frame.frame_id not in taken]
    earlier = [by_id[frame_id] for frame_id in earlier_ids]
    choose, picked = _CHOICES[criterion], list[Frame]()
    for candidates in ([f for f in rest if f.frame_id in known], [f for f in rest if f.frame_id not in known]):
        missing = wanted - len(earlier) - len(picked)
        if candidates and missing:
            picked += choose(candidates, missing, molecule.sampling.seed, [*earlier, *picked])
    total = len(earlier) + len(picked)
    if total < wanted:
        logger.warning("%s: %d of %d %s frames selected at %s", molecule.name, total, wanted, split, level)
    if picked:
        ids = [*earlier_ids, *(frame.frame_id for frame in picked)]
        reason = criterion if len(earlier) < budget else "replacement"
        store.select(molecule.name, level, ids, name=f"accurate-{split}-{total}", criterion=reason)


def _usable(store: Store, molecule: MoleculeSettings, split: Split) -> list[Frame]:
    """Frames of a split, without explored frames that have no cheap label."""
    cheap = store.labels(molecule.name, molecule.cheap)
    frames = store.frames(molecule.name, split=split)
    return [frame for frame in frames if frame.origin.method != EXPLORED or frame.frame_id in cheap]


def _diverse(frames: Sequence[Frame], count: int, seed: int, earlier: Sequence[Frame]) -> list[Frame]:
    configurations = [frame.configuration for frame in frames]
    return [frames[i] for i in pick_diverse(configurations, count, seed, [f.configuration for f in earlier])]


def _random(frames: Sequence[Frame], count: int, seed: int, earlier: Sequence[Frame]) -> list[Frame]:
    """A random choice that is stable when frames are added."""
    return sorted(frames, key=lambda frame: lot(frame.frame_id, seed))[:count]


_CHOICES: dict[str, Choice] = {"diverse": _diverse, "random": _random}
