"""Sentences about each variant of a comparison.

An improvement or a loss is stated only where the 95% interval of the ratio excludes 1. Reads the lines of
:mod:`asteroid.comparison.summary`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from asteroid.comparison.statistics import Ratio, Worth
from asteroid.strategies import BASELINE

if TYPE_CHECKING:
    from asteroid.comparison.summary import Line, Quantity

_NOUNS = {"force_mae": "force error", "energy_mae": "energy error"}
_BOUNDS = {"exact": "", "at least": "at least ", "at most": "at most "}


def variant_sentence(lines: Sequence["Line"], quantity: "Quantity", reason: str | None) -> str:
    """Compare one variant with each baseline, at all numbers of labels.

    Args:
        lines: of this variant, by number of labels.
        reason: of a training that gave no model, if there is one.
    """
    variant = lines[0].variant
    known = [line for line in lines if line.seeds]
    if not known:
        return f"{variant} gave no model: {reason}."
    if variant == BASELINE:
        parts = ["trained on accurate labels alone; the others are compared with it."]
    else:
        baselines = known[0].ratios
        parts = [sentence for baseline in baselines for sentence in _against(baseline, known, _NOUNS[quantity])]
        parts = parts or ["There is no baseline to compare it with."]
    parts += _worth(known)
    if level := known[0].needs:
        parts.append(f"It needs {level} at run time.")
    if failed := sum(line.failed for line in lines):
        parts.append(
            f"{failed} of {failed + sum(len(line.seeds) for line in lines)} trainings gave no model: {reason}."
        )
    return f"{variant}: {' '.join(parts)}"


def basis_sentence(lines: Sequence["Line"]) -> str:
    """What the intervals of a comparison cover; empty where there are none."""
    ratios = [ratio for line in lines for ratio in line.ratios.values() if ratio is not None]
    if not ratios:
        return ""
    if any(ratio.over == "test groups" for ratio in ratios):
        return (
            "With one seed, intervals are over groups of test frames only: they do not cover the spread between draws "
            "of labels or random weights. Use three seeds or more."
        )
    seeds = min(ratio.seeds for ratio in ratios)
    opening = f"Intervals are 95%, over {seeds} seeds, paired seed by seed."
    # Student's factor: 12.7 standard errors with 2 seeds, 4.3 with 3, 2.8 with 5.
    return f"{opening} With so few seeds they are wide and may hide a real difference." if seeds < 5 else opening


def _against(baseline: str, lines: Sequence["Line"], noun: str) -> list[str]:
    """With which numbers of labels a variant is better, worse, or not distinguishable from a baseline."""
    compared = [(line.n_accurate, ratio) for line in lines if (ratio := line.ratios[baseline]) is not None]
    better = [(n, ratio) for n, ratio in compared if ratio.high < 1]
    worse = [(n, ratio) for n, ratio in compared if ratio.low > 1]
    neither = [(n, ratio) for n, ratio in compared if ratio.low <= 1 <= ratio.high]
    found = []
    if better:
        sizes = [_interval(1 / r.value, 1 / r.high, 1 / r.low) for _, r in better]
        found.append(f"Better than {baseline} {_labels(better)}: its {noun} is {_listed(sizes)} times smaller.")
    if worse:
        sizes = [_interval(r.value, r.low, r.high) for _, r in worse]
        found.append(f"Worse than {baseline} {_labels(worse)}: its {noun} is {_listed(sizes)} times larger.")
    if neither:
        sizes = [_interval(r.value, r.low, r.high) for _, r in neither]
        found.append(
            f"No difference from {baseline} that can be shown {_labels(neither)}: {_listed(sizes)} times its {noun}."
        )
    return found


def _worth(lines: Sequence["Line"]) -> list[str]:
    """How many labels ``scratch`` needs for the errors of a variant."""
    found = [(line, line.worth) for line in lines if line.worth is not None and line.variant != BASELINE]
    if not found:
        return []
    worth = _listed([f"{_BOUNDS[worth.bound]}{worth.labels:.0f}" for _, worth in found])
    counts = _listed([str(line.n_accurate) for line, _ in found])
    return [f"To match it with {counts} labels, scratch needs {worth}{_edge([worth for _, worth in found])}."]


def _edge(found: Sequence[Worth]) -> str:
    """Say that a bound is an end of the learning curve."""
    return "" if all(worth.bound == "exact" for worth in found) else " (its curve ends there)"


def _labels(compared: Sequence[tuple[int, Ratio]]) -> str:
    return f"with {_listed([str(n) for n, _ in compared])} labels"


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _listed(words: Sequence[str]) -> str:
    """
    >>> _listed(["25", "50", "100"])
    '25, 50 and 100'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
