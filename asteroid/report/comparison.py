"""HTML page of a comparison of strategies, from the JSON of ``asteroid compare``."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from asteroid.report.bias_plots import diagnostic_figures
from asteroid.report.comparison_plots import Point, Ratio, forest, learning_curves
from asteroid.report.page import data_uri, page_environment
from asteroid.report.words import how_a_variant_trains
from asteroid.strategies import BASELINES
from asteroid.validation.intervals import quantile

_NAMES = {"force_mae": "force", "energy_mae": "energy"}
_UNITS = {"force_mae": "meV/Å", "energy_mae": "meV"}


def render_comparison(data: Mapping[str, Any]) -> str:
    """The page of one comparison, without scripts or requests, with embedded images.

    Args:
        data: what ``asteroid compare`` writes: ``results`` (a row for each variant, number of labels and seed),
            ``summary`` (a row for each variant and number of labels), ``sentences``, ``quantity`` (by which variants
            are compared), ``settings`` and ``diagnostics``.
    """
    results, summary, quantity = data["results"], data["summary"], data["quantity"]
    counts = sorted({row["n_accurate"] for row in summary})
    diagnostics = {int(n): found for n, found in data["diagnostics"].items()}
    images = _figures(data)
    return (
        page_environment()
        .get_template("comparison.html.j2")
        .render(
            **{name: results[0][name] for name in ("molecule", "cheap", "accurate")},
            data=data,
            variants=[_variant(found, data) for found in data["sentences"]],
            counts=counts,
            seeds=sorted({row["seed"] for row in results}),
            rows={n: [row for row in summary if row["n_accurate"] == n] for n in counts},
            best=best_variants(results, quantity),
            error_name=_NAMES[quantity],
            unit=_UNITS[quantity],
            baselines=_baselines(data),
            diagnostics=sorted(diagnostics.items()),
            bias_figures={
                n: {name: data_uri(image) for name, image in diagnostic_figures(found).items()}
                for n, found in diagnostics.items()
            },
            figures={name: data_uri(image) for name, image in images.items()},
            settings=json.dumps(data["settings"], indent=2, ensure_ascii=False),
        )
    )


def best_variants(results: Sequence[Mapping[str, Any]], quantity: str) -> dict[int, str]:
    """The best variant at each number of labels, if it is significantly better than every other one.

    The test is a paired t-test of the logarithms over the common seeds (95% interval). Variants that need the cheap
    method at run time are left out: they solve an easier problem.
    """
    best = {}
    for n in sorted({row["n_accurate"] for row in results}):
        errors: dict[str, dict[int, float]] = {}
        for row in results:
            if row["n_accurate"] == n and row[quantity] is not None and not row["needs"]:
                errors.setdefault(row["arm"], {})[row["seed"]] = row[quantity]
        if len(errors) < 2:
            continue
        means = {variant: sum(by_seed.values()) / len(by_seed) for variant, by_seed in errors.items()}
        winner = min(means, key=lambda variant: means[variant])
        if all(_surely_smaller(errors[winner], errors[variant]) for variant in errors if variant != winner):
            best[n] = winner
    return best


def _variant(found: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Text of one variant, and its rows of the summary by number of labels."""
    variant = found["arm"]
    rows = [row for row in data["results"] if row["arm"] == variant]
    return {
        "name": variant,
        "how": how_a_variant_trains(variant, rows[0]["cheap"]),
        "sentence": found["sentence"].removeprefix(variant).removeprefix(":").lstrip(),
        "needs": next((row["needs"] for row in rows if row["needs"]), None),
        "rows": {row["n_accurate"]: row for row in data["summary"] if row["arm"] == variant},
    }


def _baselines(data: Mapping[str, Any]) -> list[str]:
    """Baselines of this comparison."""
    return [name for name in BASELINES if any(row[f"ratio_to_{name}"] for row in data["summary"])]


def _figures(data: Mapping[str, Any]) -> dict[str, bytes]:
    """The available images, by their name in the template."""
    quantity = data["quantity"]
    variants = [found["arm"] for found in data["sentences"]]
    known = [row for row in data["summary"] if row[quantity]]
    if not known:
        return {}
    label = f"{_NAMES[quantity]} MAE ({_UNITS[quantity]})"
    images = {}
    for name, xlabel, x in (
        ("labels", "accurate labels", "n_accurate"),
        ("cost", "core-hours of labels and training", "core_hours"),
    ):
        # Imported labels have no cost, and zero cannot be drawn on a logarithmic axis.
        points = {
            variant: [_point(row, data, x) for row in known if row["arm"] == variant and row[x]] for variant in variants
        }
        if any(points.values()):
            images[name] = learning_curves(points, xlabel=xlabel, ylabel=label, counts=x == "n_accurate")
    for baseline in _baselines(data):
        ratios: dict[str, list[Ratio]] = {}
        for row in sorted(known, key=lambda row: row["n_accurate"]):
            if found := row[f"ratio_to_{baseline}"]:
                ratio = Ratio(row["arm"], found["value"], found["low"], found["high"])
                ratios.setdefault(f"{row['n_accurate']} labels", []).append(ratio)
        images[f"ratio_{baseline}"] = forest(
            ratios, variants=variants, xlabel=f"{_NAMES[quantity]} MAE over that of {baseline}"
        )
    return images


def _point(row: Mapping[str, Any], data: Mapping[str, Any], x: str) -> Point:
    """A row of the summary in meV or meV/Å; ``x`` is labels or core-hours."""
    quantity = data["quantity"]
    error = row[quantity]
    seeds = [
        1000 * cell[quantity]
        for cell in data["results"]
        if (cell["arm"], cell["n_accurate"]) == (row["arm"], row["n_accurate"]) and cell[quantity] is not None
    ]
    low, high = (None if error[end] is None else 1000 * error[end] for end in ("low", "high"))
    return Point(row[x], 1000 * error["mean"], low, high, tuple(seeds))


def _surely_smaller(ours: Mapping[int, float], theirs: Mapping[int, float]) -> bool:
    """Whether the 95% interval of the mean log ratio, paired by seed, is below zero."""
    from scipy.stats import sem

    logs = [math.log(ours[seed] / theirs[seed]) for seed in ours.keys() & theirs.keys()]
    return len(logs) > 1 and sum(logs) / len(logs) + quantile(0.975, len(logs) - 1) * float(sem(logs)) < 0
