"""Summary of a comparison: one line for each variant and number of labels.

Statistics come from :mod:`asteroid.comparison.statistics`, sentences from :mod:`asteroid.comparison.sentences`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from asteroid.comparison.result import Result
from asteroid.comparison.sentences import variant_sentence
from asteroid.comparison.statistics import (
    Groups,
    Mean,
    Ratio,
    Worth,
    geometric_mean,
    labels_of_scratch,
    mean_over_seeds,
    paired_ratio,
)
from asteroid.strategies import BASELINE

Quantity = Literal["force_mae", "energy_mae"]

BASELINES = (BASELINE, "unweighted")
"""Variants are compared with these: no cheap labels, and cheap labels without weights."""

_ERRORS = ("force_mae", "force_rmse", "energy_mae", "energy_rmse")
_COSTS = ("core_hours", "label_core_hours", "training_core_hours", "seconds")


@dataclasses.dataclass(frozen=True)
class Line:
    """One variant with one number of accurate labels.

    Args:
        seeds: with a model.
        failed: number of seeds without a model.
        needs: level of theory that a Δ-model is added to at run time.
        errors, costs: means by name, as in :class:`~asteroid.comparison.result.Result`. None where no seed gave a
            model; errors also where the test labels have none of that kind.
        ratios: to each baseline; None without a common seed, and for the baseline itself.
        worth: None where ``scratch`` was not compared, and without a model.
    """

    variant: str
    n_accurate: int
    seeds: tuple[int, ...]
    failed: int
    needs: str | None
    errors: Mapping[str, Mean | None]
    costs: Mapping[str, float | None]
    ratios: Mapping[str, Ratio | None]
    worth: Worth | None

    def to_json(self) -> dict[str, Any]:
        """Row of the JSON of ``asteroid compare``, with ``ratio_to_scratch``, ``scratch_labels`` and their like."""
        row: dict[str, Any] = {"arm": self.variant, "n_accurate": self.n_accurate, "seeds": list(self.seeds)}
        row |= {"failed": self.failed, "needs": self.needs}
        row |= {name: mean and dataclasses.asdict(mean) for name, mean in self.errors.items()}
        row |= self.costs
        row |= {f"ratio_to_{name}": ratio and dataclasses.asdict(ratio) for name, ratio in self.ratios.items()}
        worth = self.worth and {**dataclasses.asdict(self.worth), "ratio": self.worth.labels / self.n_accurate}
        return row | {"scratch_labels": worth}


def compared_quantity(results: Sequence[Result]) -> Quantity:
    """Variants are compared by force error, or by energy error where no test frame has accurate forces."""
    ok = [result for result in results if result.ok]
    return "energy_mae" if ok and all(result.force_mae is None for result in ok) else "force_mae"


def summarise(results: Sequence[Result]) -> dict[str, Any]:
    """The keys ``quantity``, ``results``, ``summary``, ``sentences`` and ``diagnostics`` of a comparison's JSON."""
    quantity = compared_quantity(results)
    lines = summary_lines(results)
    variants = dict.fromkeys(result.variant for result in results)
    reasons = {
        variant: next((r.reason for r in results if r.variant == variant and r.reason), None) for variant in variants
    }
    sentences = [
        {
            "arm": variant,
            "sentence": variant_sentence(
                [line for line in lines if line.variant == variant], quantity, reasons[variant]
            ),
        }
        for variant in variants
    ]
    return {
        "quantity": quantity,
        "results": [result.to_row() for result in results],
        "summary": [line.to_json() for line in lines],
        "sentences": sentences,
        "diagnostics": _diagnostics(results),
    }


def summary_lines(results: Sequence[Result]) -> list[Line]:
    """One line for each variant and number of labels, in the order of the results."""
    quantity = compared_quantity(results)
    cells: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        cells.setdefault((result.variant, result.n_accurate), []).append(result)
    by_seed = {
        # A Δ-model has no force error where the test frames have no cheap forces.
        key: {r.seed: getattr(r, quantity) for r in found if r.ok and getattr(r, quantity) is not None}
        for key, found in cells.items()
    }
    curve = {
        n: geometric_mean(list(found.values()))
        for (variant, n), found in by_seed.items()
        if variant == BASELINE and found
    }
    lines = []
    for (variant, n), found in cells.items():
        ok = [result for result in found if result.ok]
        errors = by_seed[variant, n]
        lines.append(
            Line(
                variant=variant,
                n_accurate=n,
                seeds=tuple(result.seed for result in ok),
                failed=len(found) - len(ok),
                needs=next((result.needs for result in ok), None),
                errors={name: _mean([getattr(result, name) for result in ok]) for name in _ERRORS},
                costs={name: _cost([getattr(result, name) for result in ok]) for name in _COSTS},
                ratios={
                    baseline: None
                    if baseline == variant or (baseline, n) not in cells
                    else paired_ratio(errors, by_seed[baseline, n], _groups(ok, cells[baseline, n], quantity))
                    for baseline in BASELINES
                },
                worth=labels_of_scratch(geometric_mean(list(errors.values())), curve) if errors else None,
            )
        )
    return lines


def _mean(values: Sequence[float | None]) -> Mean | None:
    known = [value for value in values if value is not None]
    return mean_over_seeds(known) if known else None


def _cost(values: Sequence[float | None]) -> float | None:
    mean = _mean(values)
    return None if mean is None else mean.mean


def _groups(ours: Sequence[Result], theirs: Sequence[Result], quantity: Quantity) -> dict[int, tuple[Groups, Groups]]:
    """Errors by group of test frames, for the common seeds."""
    name = "force_groups" if quantity == "force_mae" else "energy_groups"
    baseline = {result.seed: getattr(result, name) for result in theirs if result.ok}
    return {r.seed: (getattr(r, name), baseline[r.seed]) for r in ours if r.seed in baseline}


def _diagnostics(results: Sequence[Result]) -> dict[str, Any]:
    """Diagnostics of the first seed that has them, by number of labels."""
    found: dict[str, Any] = {}
    for result in results:
        if result.diagnostics is not None:
            found.setdefault(str(result.n_accurate), result.diagnostics)
    return found
