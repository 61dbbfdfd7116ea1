"""Which frames a comparison trains, stops and judges on: the same for every arm, and none in two roles.

Accurate labels for training come from split ``train``, those that stop it from ``valid``, those that judge from
``test``. Each is taken in an order that its hash with the seed gives: a draw that is stable when frames are added, and
of which the frames for fewer labels are a part of those for more. Only frames with labels at both levels are drawn,
so that an arm that learns the difference has the same ones. :mod:`asteroid.comparison.run` carries the plan out.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from asteroid.configuration import Split
from asteroid.errors import InputError, suggest
from asteroid.levels import METHODS, LevelOfTheory
from asteroid.settings import Strategy, TrainingSettings
from asteroid.store import Store
from asteroid.strategies import BASELINE, strategy_named

FEWEST = 2
"""Accurate labels to fit; with one, nothing is learnt about differences."""


@dataclass(frozen=True, kw_only=True)
class ComparisonSettings:
    """What is compared.

    Args:
        n_accurate: numbers of accurate labels, those held out to stop the training included.
        seeds: each draws frames and random weights anew.
        test_frames: at most so many judge.
        cheap_frames: at most so many cheap labels train; all there are when None.
        valid_fraction: part of the accurate labels that is held out.
        training: all but strategy and seed.

    Raises:
        InputError: with every problem, one line each.
    """

    molecule: str
    cheap: LevelOfTheory
    accurate: LevelOfTheory
    arms: tuple[Strategy, ...]
    n_accurate: tuple[int, ...]
    seeds: tuple[int, ...]
    test_frames: int = 1000
    cheap_frames: int | None = None
    valid_fraction: float = 0.2
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        problems = []
        if self.cheap == self.accurate:
            problems.append(f"--accurate: found '{self.accurate}', the cheap level too; write a more accurate one")
        known = get_args(Strategy)
        problems += [
            f"--arms: unknown strategy '{arm}'; {suggest(arm, known)}" for arm in self.arms if arm not in known
        ]
        for name, values in (("arms", self.arms), ("n-accurate", self.n_accurate), ("seeds", self.seeds)):
            if not values:
                problems.append(f"--{name}: found nothing; write one or several, separated by commas")
            twice = sorted({str(value) for value in values if values.count(value) > 1})
            problems += [f"--{name}: found {value} more than once; write it once" for value in twice]
        if not 0 < self.valid_fraction < 0.9:
            problems.append(f"--valid-fraction: found {self.valid_fraction:g}; write a number above 0 and below 0.9")
        else:
            problems += [
                f"--n-accurate: found {n}, which with --valid-fraction {self.valid_fraction:g} is {self.fitted(n)} to "
                f"train from and {n - self.fitted(n)} to stop by; write enough for {FEWEST} and 1"
                for n in self.n_accurate
                if self.fitted(n) < FEWEST or n - self.fitted(n) < 1
            ]
        problems += [f"--seeds: found {seed}; write 0 or more" for seed in self.seeds if not 0 <= seed < 2**31]
        if self.test_frames < 1:
            problems.append(f"--test-frames: found {self.test_frames}; write 1 or more")
        if self.cheap_frames is not None and self.cheap_frames < FEWEST:
            problems.append(f"--cheap-frames: found {self.cheap_frames}; write {FEWEST} or more")
        needing = [arm for arm in self.arms if arm in known and strategy_named(arm).starts_from == "foundation"]
        if needing and self.training.foundation is None:
            problems.append(
                f"--arms: {needing[0]} starts from a model that you have; write its path as training.foundation in a "
                "manifest, and name that with --manifest"
            )
        if problems:
            raise InputError(problems)

    def fitted(self, n_accurate: int) -> int:
        """How many of so many accurate labels are fitted; the rest are held out. As a manifest's budget has it."""
        return round(n_accurate * (1 - self.valid_fraction))


@dataclass(frozen=True)
class Cell:
    """One arm with one number of accurate labels and one seed, and the frames that it may use.

    Args:
        train, valid: frame ids, with labels at both levels.
        cheap: frame ids of split ``train`` with a cheap label.
    """

    arm: Strategy
    n_accurate: int
    seed: int
    train: tuple[str, ...]
    valid: tuple[str, ...]
    cheap: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.arm}, {self.n_accurate} labels, seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """Everything that is to be trained and judged.

    Args:
        cells: those of ``scratch`` first: a teacher is one of them, and is then there when it is needed.
        test: frame ids that judge every cell.
        notes: what a reader must know of how the plan departs from what was asked for.
    """

    settings: ComparisonSettings
    cells: tuple[Cell, ...]
    test: tuple[str, ...]
    notes: tuple[str, ...]


def check_store(store: Store, settings: ComparisonSettings) -> None:
    """Refuse a molecule or a level that the store does not have; a semiempirical one can still be computed.

    Raises:
        InputError: with the nearest name.
    """
    molecules = store.molecules()
    if settings.molecule not in molecules:
        there = suggest(settings.molecule, molecules) if molecules else "it has none: import labels or run a manifest"
        raise InputError(f"--molecule: the store has no '{settings.molecule}'; {there}")
    labelled = [str(level) for level in store.levels(settings.molecule)]
    for option, level in (("accurate", settings.accurate), ("cheap", settings.cheap)):
        if str(level) not in labelled and not (option == "cheap" and level.is_semiempirical):
            names = {*labelled, *(name for name, method in METHODS.items() if method.family == "semiempirical")}
            remedy = suggest(str(level), names if option == "cheap" else labelled)
            raise InputError(f"--{option}: {settings.molecule} has no labels at '{level}'; {remedy}")


def make_plan(store: Store, settings: ComparisonSettings) -> Plan:
    """Draw the frames of every cell from what the store now has.

    Raises:
        InputError: when a split has too few labels, with how many there are.
    """
    accurate, cheap = (_labelled(store, settings.molecule, level) for level in (settings.accurate, settings.cheap))
    splits = frames_by_split(store, settings.molecule)
    both = {split: [i for i in ids if i in accurate and i in cheap] for split, ids in splits.items()}
    below = [i for i in splits["train"] if i in cheap]
    _check_counts(settings, both, accurate_alone={s: sum(i in accurate for i in ids) for s, ids in splits.items()})
    test = in_drawn_order(both["test"], 0)[: settings.test_frames]
    notes = []
    if len(test) < settings.test_frames:
        notes.append(f"{len(test)} test frames have labels at both levels, of {settings.test_frames} asked for")
    if settings.cheap_frames is not None and len(below) < settings.cheap_frames:
        notes.append(f"{len(below)} training frames have cheap labels, of {settings.cheap_frames} asked for")
    cells = []
    for seed in settings.seeds:
        train, valid, cheaply = (in_drawn_order(ids, seed) for ids in (both["train"], both["valid"], below))
        for n in settings.n_accurate:
            fitted = settings.fitted(n)
            drawn = tuple(train[:fitted]), tuple(valid[: n - fitted]), tuple(cheaply[: settings.cheap_frames])
            cells += [Cell(arm, n, seed, *drawn) for arm in settings.arms]
    # A stable sort: the rest stay in their order.
    cells.sort(key=lambda cell: cell.arm != BASELINE)
    return Plan(settings, tuple(cells), tuple(test), tuple(notes))


def frames_by_split(store: Store, molecule: str) -> dict[Split, list[str]]:
    """Ids of all frames that may train, stop or judge."""
    table = store.frame_table(molecule)
    found: dict[Split, list[str]] = {"train": [], "valid": [], "test": []}
    for frame_id, split in zip(table["frame_id"].to_pylist(), table["split"].to_pylist(), strict=True):
        if split in found:
            found[split].append(frame_id)
    return found


def in_drawn_order(ids: Iterable[str], seed: int) -> list[str]:
    """Ids by their hash with a seed: as good as a draw, whatever order they come in.

    >>> in_drawn_order(["a", "b", "c"], 0) == in_drawn_order(["c", "a", "b"], 0)
    True
    """
    return sorted(ids, key=lambda frame_id: hashlib.sha256(f"{seed} {frame_id}".encode()).hexdigest())


def _labelled(store: Store, molecule: str, level: LevelOfTheory) -> frozenset[str]:
    return frozenset(store.label_table(molecule, level)["frame_id"].to_pylist())


def _check_counts(
    settings: ComparisonSettings, both: Mapping[Split, Sequence[str]], *, accurate_alone: Mapping[Split, int]
) -> None:
    """Raise InputError where a split has fewer frames with both labels than the largest count needs."""
    largest = max(settings.n_accurate)
    needed: dict[Split, int] = {"train": settings.fitted(largest), "test": 1}
    needed["valid"] = largest - needed["train"]
    short = [split for split, count in needed.items() if len(both[split]) < count]
    if not short:
        return
    found = ", ".join(f"{len(both[split])} in {split} where {needed[split]} are needed" for split in short)
    if all(accurate_alone[split] >= needed[split] for split in short):
        raise InputError(
            f"--cheap: {settings.molecule} has too few frames with labels at both {settings.cheap} and "
            f"{settings.accurate}: {found}; import the cheap labels of these frames, or write another cheap level"
        )
    if not both["test"]:
        raise InputError(
            f"--test-frames: {settings.molecule} has no labels at {settings.accurate} in split test, which judge "
            "every arm; label or import some"
        )
    most = max((n for n in range(1, largest) if _fits(settings, n, both)), default=0)
    remedy = f"write at most {most}, or label more" if most >= FEWEST + 1 else "label or import more"
    raise InputError(
        f"--n-accurate: {settings.molecule} has too few labels at {settings.accurate} for {largest}: {found}; {remedy}"
    )


def _fits(settings: ComparisonSettings, n: int, both: Mapping[Split, Sequence[str]]) -> bool:
    fitted = settings.fitted(n)
    return fitted <= len(both["train"]) and n - fitted <= len(both["valid"])
