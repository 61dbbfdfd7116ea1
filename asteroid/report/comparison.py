"""Turn the JSON of ``asteroid compare`` into one self-contained HTML page.

What was measured and how sure it is comes from the JSON; this module orders it and draws it. Errors are shown in meV
and meV/Å, as people quote them.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from asteroid.report.bias_plots import diagnostic_figures
from asteroid.report.comparison_plots import Point, Ratio, forest, learning_curves
from asteroid.report.page import data_uri, page_environment
from asteroid.report.words import how_an_arm_trains
from asteroid.strategies import BASELINE

BASELINES = (BASELINE, "unweighted")

_NAMES = {"force_mae": "force", "energy_mae": "energy"}
_UNITS = {"force_mae": "meV/Å", "energy_mae": "meV"}


def render_comparison(data: Mapping[str, Any]) -> str:
    """The page of one comparison: no script, no request, images inside.

    Args:
        data: what ``asteroid compare`` writes: ``results`` (a row for each arm, number of labels and seed), ``summary``
            (a row for each arm and number of labels), ``sentences``, ``quantity`` (what arms are compared by),
            ``settings`` and ``diagnostics``.
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
            arms=[_arm(found, data) for found in data["sentences"]],
            counts=counts,
            seeds=sorted({row["seed"] for row in results}),
            rows={n: [row for row in summary if row["n_accurate"] == n] for n in counts},
            best=best_arms(results, quantity),
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


def best_arms(results: Sequence[Mapping[str, Any]], quantity: str) -> dict[int, str]:
    """The arm with the smallest error at each number of labels, where the seeds suffice to say so.

    It must be better than every other arm that stands alone, by a paired 95% interval over the seeds that both have. An
    arm that needs the cheap method at run time is no rival: it solves an easier problem.
    """
    best = {}
    for n in sorted({row["n_accurate"] for row in results}):
        errors: dict[str, dict[int, float]] = {}
        for row in results:
            if row["n_accurate"] == n and row[quantity] is not None and not row["needs"]:
                errors.setdefault(row["arm"], {})[row["seed"]] = row[quantity]
        if len(errors) < 2:
            continue
        means = {arm: sum(by_seed.values()) / len(by_seed) for arm, by_seed in errors.items()}
        winner = min(means, key=lambda arm: means[arm])
        if all(_surely_smaller(errors[winner], errors[arm]) for arm in errors if arm != winner):
            best[n] = winner
    return best


def _arm(found: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """What the page says of one arm, and its rows of the summary by number of labels."""
    arm = found["arm"]
    rows = [row for row in data["results"] if row["arm"] == arm]
    return {
        "name": arm,
        "how": how_an_arm_trains(arm, rows[0]["cheap"]),
        "sentence": found["sentence"].removeprefix(arm).removeprefix(":").lstrip(),
        "needs": next((row["needs"] for row in rows if row["needs"]), None),
        "rows": {row["n_accurate"]: row for row in data["summary"] if row["arm"] == arm},
    }


def _baselines(data: Mapping[str, Any]) -> list[str]:
    """What other arms were held against."""
    return [name for name in BASELINES if any(row[f"ratio_to_{name}"] for row in data["summary"])]


def _figures(data: Mapping[str, Any]) -> dict[str, bytes]:
    """The images for which there are data, by the names that the template uses."""
    quantity = data["quantity"]
    arms = [found["arm"] for found in data["sentences"]]
    known = [row for row in data["summary"] if row[quantity]]
    if not known:
        return {}
    label = f"{_NAMES[quantity]} MAE ({_UNITS[quantity]})"
    images = {}
    for name, xlabel, x in (
        ("labels", "accurate labels", "n_accurate"),
        ("cost", "core-hours of labels and training", "core_hours"),
    ):
        # Imported labels came without their cost, and zero is not on a logarithmic axis.
        points = {arm: [_point(row, data, x) for row in known if row["arm"] == arm and row[x]] for arm in arms}
        if any(points.values()):
            images[name] = learning_curves(points, xlabel=xlabel, ylabel=label, counts=x == "n_accurate")
    for baseline in _baselines(data):
        ratios: dict[str, list[Ratio]] = {}
        for row in sorted(known, key=lambda row: row["n_accurate"]):
            if found := row[f"ratio_to_{baseline}"]:
                ratio = Ratio(row["arm"], found["value"], found["low"], found["high"])
                ratios.setdefault(f"{row['n_accurate']} labels", []).append(ratio)
        images[f"ratio_{baseline}"] = forest(
            ratios, arms=arms, xlabel=f"{_NAMES[quantity]} MAE over that of {baseline}"
        )
    return images


def _point(row: Mapping[str, Any], data: Mapping[str, Any], x: str) -> Point:
    """A row of the summary in meV or meV/Å, against labels or core-hours."""
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
    """Whether the 95% t-interval of the mean log ratio, paired by seed, lies below zero."""
    import numpy as np
    from scipy.stats import t

    seeds = sorted(ours.keys() & theirs.keys())
    if len(seeds) < 2:
        return False
    ratios = np.log([ours[seed] / theirs[seed] for seed in seeds])
    half = t.ppf(0.975, len(seeds) - 1) * ratios.std(ddof=1) / np.sqrt(len(seeds))
    return bool(ratios.mean() + half < 0)
