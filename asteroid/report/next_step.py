"""Advice for a model that is not certified: what to do, what it costs, and what to write into the manifest.

Called by :mod:`asteroid.stages.certificates`; shown on the terminal, in the report and on Prefect's page.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from asteroid.report.groups import closeness
from asteroid.report.verdict import name_in_sentence
from asteroid.report.words import count
from asteroid.validation.certificate import Certificate
from asteroid.validation.line import OPEN, Line, Remedy
from asteroid.validation.minimum import MinimumComparison

FEWEST, MOST = 1.25, 2.0
"""Smallest and largest suggested increase of the number of labels: a smaller one has no visible effect, a larger one is
better taken in two steps."""

USUAL_EXPONENT = 0.5
"""b in error ∝ labels^(−b) without a measured learning curve."""


@dataclass(frozen=True)
class Spent:
    """Cost of labels and MD so far, to estimate the cost of more.

    Args:
        labels: number of accurate labels for training and early stopping.
        label_seconds: core-seconds per accurate label.
        md_seconds: core-seconds per picosecond of one trajectory; None if not measured.
        md_ps: length of a trajectory.
        temperatures: number of temperatures of the MD.
        exponent: measured b in error ∝ labels^(−b); None if not measured.
        rounds_allowed: setting ``certify_rounds``; None without rounds.
        budget: key of ``budget`` in the manifest that pays for all levels of a chain, its value, and the core-seconds
            that it is worth; None without a chain.
    """

    labels: int
    label_seconds: float
    md_seconds: float | None
    md_ps: float
    temperatures: int
    exponent: float | None = None
    rounds_allowed: int | None = None
    budget: tuple[str, float, float] | None = None


@dataclass(frozen=True)
class NextStep:
    """The advice as a record beside the certificate; empty for a certified model."""

    sentence: str


def next_step(certificate: Certificate, spent: Spent) -> str:
    """The advice in one to three sentences, without the final full stop; empty for a certified model."""
    if certificate.state == "passed":
        return ""
    lines = [line for line in certificate.lines if line.checked]
    missed = [line for line in lines if misses(line)]
    if certificate.beaten:
        labels = _labels_of_certificate(certificate)
        return (
            "Next: use the model trained on accurate labels alone, which exists and is better. Its certificate takes "
            f"about {count(labels, 'accurate label')}, {_hours(labels * spent.label_seconds)}. "
            "Write training: {strategy: scratch}"
        )
    if missed and certificate.unseen:
        names = ", ".join(name_in_sentence(line.name) for line in missed)
        return (
            f"Next: because it fails {names}, move this molecule from judge to molecules of the model "
            f"{certificate.model}, or label more frames of the molecules that train it"
        )
    if missed:
        return _more_training(missed, spent)
    return _more_evidence([line for line in lines if line.state == OPEN], spent)


def misses(line: Line) -> bool:
    """Whether a line failed or its value misses the threshold, so that more evidence alone will hardly help."""
    if line.state == "failed":
        return True
    if line.state != OPEN or line.value is None:
        return False
    value, threshold = line.value, line.threshold
    return bool(value > threshold if line.comparison == "<=" else value < threshold)


def _more_training(missed: Sequence[Line], spent: Spent) -> str:
    exponent = max(spent.exponent or USUAL_EXPONENT, 0.1)
    off = max((closeness(line) for line in missed if line.value is not None), default=math.inf)
    factor = min(max(off ** (1 / exponent) if off < 100 else MOST, FEWEST), MOST)
    if spent.budget is None:
        more = 5 * math.ceil((factor - 1) * spent.labels / 5)
        write = f"budget: {{accurate: {spent.labels + more}}}"
        labels = f"{count(more, 'more accurate label')} for training, {_hours(more * spent.label_seconds)}"
    else:
        key, value, core_seconds = spent.budget
        wanted = 5 * math.ceil(factor * value / 5) if key == "accurate" else float(f"{factor * value:.2g}")
        write = f"budget: {{{key}: {wanted:g}}}"
        labels = f"more labels at all levels of the chain, {_hours((wanted / value - 1) * core_seconds)}"
    if spent.rounds_allowed is not None:
        write += f" and acquisition: {{certify_rounds: {spent.rounds_allowed + 1}}}"
    names = ", ".join(name_in_sentence(line.name) for line in missed)
    return f"Next: {labels}, because it fails {names}. Write {write}"


def _more_evidence(unsure: Sequence[Line], spent: Spent) -> str:
    wanted: dict[tuple[str, str], Remedy] = {}
    for remedy in filter(None, (line.remedy for line in unsure)):
        place = remedy.block, remedy.key
        if place not in wanted or remedy.value > wanted[place].value:
            wanted[place] = remedy
    said = "; ".join(f"{name_in_sentence(line.name)}: {line.suffices}" for line in unsure if line.suffices)
    if not wanted:
        return f"Next: more evidence. {said[:1].upper()}{said[1:]}"
    labels = sum(remedy.labels for remedy in wanted.values())
    prices = []
    if labels:
        prices.append(f"{count(labels, 'accurate label')}, {_hours(labels * spent.label_seconds)}")
    replicas, length = wanted.get(("validation", "replicas")), wanted.get(("validation", "nvt_ps"))
    if spent.md_seconds is not None and replicas:
        ps = replicas.value * spent.temperatures * (length.value if length else spent.md_ps)
        prices.append(f"MD, {_hours(ps * spent.md_seconds)}")
    blocks: dict[str, list[str]] = {}
    for (block, key), remedy in wanted.items():
        blocks.setdefault(block, []).append(f"{key}: {remedy.value:g}")
    write = " and ".join(f"{block}: {{{', '.join(keys)}}}" for block, keys in blocks.items())
    price = f" ({'; '.join(prices)})" if prices else ""
    return f"Next: more evidence{price}. {said[:1].upper()}{said[1:]}. Write {write}"


def _labels_of_certificate(certificate: Certificate) -> int:
    """Number of accurate labels of this certificate beyond the test frames; other models need about as many."""
    evidence, minimum = certificate.evidence, certificate.minimum
    own = evidence.on_policy.asked if evidence.on_policy else 0
    compared = minimum.labels if isinstance(minimum, MinimumComparison) else 0
    return own + sum(torsion.asked for torsion in evidence.torsions) + compared


def _hours(core_seconds: float) -> str:
    """
    >>> _hours(720), _hours(144)
    ('about 0.2 core-hours', 'about 0.04 core-hours')
    """
    return f"about {core_seconds / 3600:.2g} core-hours"
