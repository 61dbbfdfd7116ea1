"""Diagnostics of the bias of cheap labels, of its estimate by a teacher, and of the weights.

Without torch, for reports; uses the store and the card of a model. :mod:`asteroid.training.bias` makes the estimate;
:mod:`asteroid.report` and comparisons show the results.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from asteroid.store.models import Card, Weights, read_card
from asteroid.training.bias import effective_sample_size
from asteroid.training.disagreement import Pair, describe_disagreement, read_pairs

Floats = npt.NDArray[np.float64]

FEWEST_EFFECTIVE = 0.1
"""Smallest effective sample size, as a fraction of the cheap frames."""

LEAST_VARIATION = 0.05
"""Smallest coefficient of variation (standard deviation over mean) of weights that have an effect."""

FEWEST_FOR_CORRELATION = 5
"""Smallest number of frames for a correlation."""

MOST_POINTS = 500
"""Largest number of points in a figure."""


def bias_diagnostics(
    store: Store,
    molecule: str,
    card: Card,
    *,
    teacher_forces: Mapping[str, npt.ArrayLike] | None = None,
) -> dict[str, Any] | None:
    """Bias of the cheap level, its estimate by the teacher, and the weights, as plain JSON values.

    Args:
        card: of a model.
        teacher_forces: (N, 3) eV/Å by frame id, predictions of the teacher for frames that it was not trained on.

    Returns:
        ``disagreement`` of the two levels, errors of the ``teacher``, its ``estimate`` of the bias, the ``weights``,
        and ``warnings``; each of the first four is None where unknown. None for a model without a cheap level.
    """
    if not card.cheap:
        return None
    pairs = read_pairs(
        store,
        molecule,
        LevelOfTheory.parse(card.cheap, imported=True),
        LevelOfTheory.parse(card.accurate, imported=True),
    )
    weights = card.weights
    seen = {*card.frames.accurate}
    predicted = {i: np.asarray(f, dtype=float) for i, f in (teacher_forces or {}).items() if i not in seen}
    disagreement = describe_disagreement(pairs) if pairs else None
    teacher = _teacher(store, molecule, card, [pair for pair in pairs if pair.frame_id in predicted], predicted)
    found: dict[str, Any] = {
        "molecule": molecule,
        "model_id": card.model_id,
        "cheap": card.cheap,
        "accurate": card.accurate,
        "accurate_labels": len(seen),
        "disagreement": disagreement,
        "teacher": teacher,
        "estimate": _estimate([pair for pair in pairs if pair.frame_id not in seen], weights, predicted),
        "weights": _summary(weights) if weights else None,
    }
    return found | {"warnings": list(_warnings(found))}


def correlation(x: Floats, y: Floats) -> dict[str, dict[str, float]] | None:
    """Pearson's and Spearman's coefficient with 95% intervals; None where a side has no spread.

    The intervals are Fisher's, with the larger standard error of Bonett and Wright (10.1007/BF02294183) for ranks. They
    assume independent frames, which frames of one trajectory are not quite.
    """
    # Not at the top: scipy is slow to import, and most reports do not need it.
    from scipy.stats import rankdata

    if len(x) < FEWEST_FOR_CORRELATION or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    found = {}
    for name, (a, b), ranks in (("pearson", (x, y), 0.0), ("spearman", (rankdata(x), rankdata(y)), 0.5)):
        value = float(np.clip(np.corrcoef(a, b)[0, 1], -1, 1))
        half = 1.959964 * math.sqrt((1 + ranks * value**2) / (len(x) - 3))
        # The Fisher transform of a perfect correlation is infinite; tanh gives 1 again.
        with np.errstate(divide="ignore"):
            centre = float(np.arctanh(value))
        found[name] = {"value": value, "low": math.tanh(centre - half), "high": math.tanh(centre + half)}
    return found


def _teacher(
    store: Store, molecule: str, card: Card, pairs: Sequence[Pair], predicted: Mapping[str, Floats]
) -> dict[str, Any] | None:
    """Errors of the teacher: on the frames that stopped its training, and on those it never met (None without)."""
    if "teacher" not in card.parents:
        return None
    teacher = read_card(store, molecule, card.parents["teacher"])
    unseen = [np.abs(predicted[pair.frame_id] - pair.accurate).ravel() for pair in pairs]
    return {
        "models": len(card.teachers),
        "valid_force_mae": teacher.valid_force_mae,
        "unseen_force_mae": float(np.concatenate(unseen).mean()) if unseen else None,
        "unseen_frames": len(unseen),
    }


def _estimate(pairs: Sequence[Pair], weights: Weights | None, predicted: Mapping[str, Floats]) -> dict[str, Any] | None:
    """The estimated bias of frames that did not train the teacher against their true one.

    On its training frames, a teacher knows the accurate label.
    """
    if not weights:
        return None
    estimated = {
        pair.frame_id: float(np.abs(pair.cheap - predicted[pair.frame_id]).mean())
        for pair in pairs
        if pair.frame_id in predicted
    }
    estimated |= dict(zip(weights.frame_ids, weights.disagreement, strict=True))
    both = [pair for pair in pairs if pair.frame_id in estimated]
    if not both:
        return None
    guess, true = np.array([estimated[pair.frame_id] for pair in both]), np.array([pair.bias for pair in both])
    # Atoms that weigh by their own bias have no weight of the frame's estimate.
    factors = None if weights.atoms else _weights_of(guess, weights.gamma)
    every = -(-len(both) // MOST_POINTS)
    return {
        "frames": len(both),
        "correlation": correlation(guess, true),
        "mean_bias": float(true.mean()),
        "weighted_bias": None if factors is None else float(factors @ true / factors.sum()),
        "estimated": guess[::every].tolist(),
        "true": true[::every].tolist(),
    }


def _weights_of(disagreement: Floats, gamma: float | None) -> Floats:
    """Unscaled weights of frames; a ``gamma`` of None means no weighting."""
    return np.ones_like(disagreement) if gamma is None else np.exp(-(disagreement - disagreement.min()) / gamma)


def _summary(weights: Weights) -> dict[str, Any]:
    """γ, its candidates and the spread of the weights; of the atoms' where these have their own."""
    values = np.array(weights.values)
    atoms = weights.atoms
    factors = values if atoms is None else np.concatenate([w * np.array(a) for w, a in zip(values, atoms, strict=True)])
    fraction = effective_sample_size(factors) / len(factors)
    counts, edges = np.histogram(values, bins=40, range=(0.0, max(float(values.max()), 1.0)))
    return {
        "gamma": weights.gamma,
        "candidates": [
            {"gamma": found.gamma, "force_mae": found.valid_force_mae, "energy_mae": found.valid_energy_mae}
            for found in weights.candidates
        ],
        "by_atom": atoms is not None,
        "frames": len(values),
        "effective_sample_size": fraction * len(values),
        # (Σw)²/(n Σw²) = 1/(1 + variation²)
        "variation": math.sqrt(max(0.0, 1 / fraction - 1)),
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def _warnings(found: Mapping[str, Any]) -> Iterable[str]:
    """Warnings about the weights."""
    if not (weights := found["weights"]):
        return
    frames, size, labels = weights["frames"], weights["effective_sample_size"], found["accurate_labels"]
    if weights["gamma"] is None:
        yield "The weights do nothing: no weighting did best on the held-out frames, so all cheap frames weigh alike."
    elif weights["variation"] < LEAST_VARIATION:
        yield (
            f"The weights do nothing: they vary by {100 * weights['variation']:.1f}% around their mean, so this "
            "model is one trained without weights."
        )
    elif size < FEWEST_EFFECTIVE * frames or size < labels < frames:
        fewer = f", fewer than the {labels:,} accurate labels" if size < labels else ""
        yield (
            f"The weights collapse: {frames:,} cheap frames count like {size:,.0f} of equal weight{fewer}. "
            "A larger γ uses more of them."
        )
    estimate = found["estimate"]
    ranks = estimate and estimate["correlation"] and estimate["correlation"]["spearman"]
    if ranks and ranks["low"] <= 0:
        yield (
            f"The estimated bias does not follow the true one: their rank correlation is {ranks['value']:.2f} "
            f"(95% interval {ranks['low']:.2f} to {ranks['high']:.2f}).".replace("-", "−")
        )
    teacher, disagreement = found["teacher"], found["disagreement"]
    error = teacher and (teacher["unseen_force_mae"] or teacher["valid_force_mae"])
    if error and disagreement and error >= disagreement["force_mae"]:
        yield (
            f"The teacher is no better than the cheap level: its force error is {1000 * error:.3g} meV/Å, and the bias "
            f"that it is to estimate {1000 * disagreement['force_mae']:.3g} meV/Å. The weights follow its own "
            "errors."
        )
