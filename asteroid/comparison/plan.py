"""Training, held-out and test frames of a comparison: the same for every variant.

They come from the splits ``train``, ``valid`` and ``test``, in the order of the hash of frame id and seed. This order
does not change when frames are added, and a smaller draw is part of every larger one. Only frames with labels at both
levels are drawn, so Δ-learning uses the same frames. :mod:`asteroid.comparison.run` executes the plan.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from asteroid.configuration import Split
from asteroid.errors import InputError, suggest
from asteroid.levels import METHODS, LevelOfTheory
from asteroid.naming import lot
from asteroid.settings import Strategy, TrainingSettings
from asteroid.store import Store
from asteroid.strategies import BASELINE, strategy_named

FEWEST = 2
"""Smallest number of accurate labels to fit; from one label no energy difference can be learnt."""


@dataclass(frozen=True, kw_only=True)
class ComparisonSettings:
    """Settings of a comparison.

    Args:
        n_accurate: numbers of accurate labels, including the held-out ones.
        seeds: of the draw of frames and of the random weights.
        test_frames: largest number of test frames.
        cheap_frames: largest number of cheap training labels; all of them when None.
        valid_fraction: part of the accurate labels that is held out for early stopping.
        training: settings of all trainings; its strategy and seed are not used.

    Raises:
        InputError: with every problem, one line each.
    """

    molecule: str
    cheap: LevelOfTheory
    accurate: LevelOfTheory
    variants: tuple[Strategy, ...]
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
            f"--variants: unknown strategy '{variant}'; {suggest(variant, known)}"
            for variant in self.variants
            if variant not in known
        ]
        for name, values in (("variants", self.variants), ("n-accurate", self.n_accurate), ("seeds", self.seeds)):
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
        needing = [
            variant
            for variant in self.variants
            if variant in known and strategy_named(variant).starts_from == "foundation"
        ]
        if needing and self.training.foundation is None:
            problems.append(
                f"--variants: {needing[0]} starts from an existing model; write its path as training.foundation in a "
                "manifest, and give that with --manifest"
            )
        if problems:
            raise InputError(problems)

    def fitted(self, n_accurate: int) -> int:
        """Number of accurate labels that are fitted; the rest are held out, as with a manifest's budget."""
        return round(n_accurate * (1 - self.valid_fraction))


@dataclass(frozen=True)
class Cell:
    """One variant with one number of accurate labels and one seed, and its frames.

    Args:
        train, valid: frame ids, with labels at both levels.
        cheap: frame ids of split ``train`` with a cheap label.
    """

    variant: Strategy
    n_accurate: int
    seed: int
    train: tuple[str, ...]
    valid: tuple[str, ...]
    cheap: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.variant}, {self.n_accurate} labels, seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """All cells and test frames of a comparison.

    Args:
        cells: those of ``scratch`` first, because other strategies use them as teachers.
        test: ids of the test frames, the same for all cells.
        notes: where there are fewer frames than the settings ask for.
    """

    settings: ComparisonSettings
    cells: tuple[Cell, ...]
    test: tuple[str, ...]
    notes: tuple[str, ...]


def check_store(store: Store, settings: ComparisonSettings) -> None:
    """Refuse a molecule or a level that the store lacks, except a semiempirical cheap level, which can be computed.

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
    """Draw the frames of every cell from the labels in the store.

    Raises:
        InputError: when a split has too few labels.
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
            cells += [Cell(variant, n, seed, *drawn) for variant in settings.variants]
    # The sort is stable: the other cells keep their order.
    cells.sort(key=lambda cell: cell.variant != BASELINE)
    return Plan(settings, tuple(cells), tuple(test), tuple(notes))


def frames_by_split(store: Store, molecule: str) -> dict[Split, list[str]]:
    """Ids of all frames, by split."""
    table = store.frame_table(molecule)
    found: dict[Split, list[str]] = {"train": [], "valid": [], "test": []}
    for frame_id, split in zip(table["frame_id"].to_pylist(), table["split"].to_pylist(), strict=True):
        if split in found:
            found[split].append(frame_id)
    return found


def in_drawn_order(ids: Iterable[str], seed: int) -> list[str]:
    """Ids in the order of their hash with a seed: a random order that does not depend on the order of the ids.

    >>> in_drawn_order(["a", "b", "c"], 0) == in_drawn_order(["c", "a", "b"], 0)
    True
    """
    return sorted(ids, key=lambda frame_id: lot(frame_id, seed))


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
            f"--test-frames: {settings.molecule} has no labels at {settings.accurate} in split test; "
            "label or import some"
        )
    most = max((n for n in range(1, largest) if _fits(settings, n, both)), default=0)
    remedy = f"write at most {most}, or label more" if most >= FEWEST + 1 else "label or import more"
    raise InputError(
        f"--n-accurate: {settings.molecule} has too few labels at {settings.accurate} for {largest}: {found}; {remedy}"
    )


def _fits(settings: ComparisonSettings, n: int, both: Mapping[Split, Sequence[str]]) -> bool:
    fitted = settings.fitted(n)
    return fitted <= len(both["train"]) and n - fitted <= len(both["valid"])
