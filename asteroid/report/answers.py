"""The three answers at the top of a report: accuracy, cost, and gain from cheap labels.

Each has a figure, an explanation of the figure and a few sentences; :mod:`asteroid.report.answer_plots` draws the
pictures. Stored as ``answers.json`` beside the report, for the index and for Prefect's page.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from asteroid.quantities import format_number, format_quantity, shown_unit
from asteroid.report.cost import Cost, Quoted, gpu_hours
from asteroid.report.groups import group_lines
from asteroid.report.verdict import benefit_sentence, quality_sentence, worth_sentence
from asteroid.report.words import count, main_error, strategy_of
from asteroid.store.models import Card
from asteroid.strategies import BASELINE
from asteroid.validation.certificate import Certificate
from asteroid.validation.intervals import Estimate
from asteroid.validation.line import OPEN
from asteroid.validation.worth import LearningCurve

Tone = Literal["good", "unsure", "bad", "plain"]
_TONES: dict[str, Tone] = {"passed": "good", OPEN: "unsure", "failed": "bad"}

QUESTIONS = {"good": "Accuracy", "cost": "Cost", "bought": "Gain"}
"""Headings, by the field of :class:`Answers`."""

PICTURES = {"good": "how-good.png", "cost": "cost.png", "bought": "bought.png"}
"""File beside the report with the picture of each answer."""

AS_QUOTED = 1.1
"""Largest ratio of cost and estimate that counts as equal, because estimates rest on few labels."""


@dataclass(frozen=True)
class Answer:
    """One answer.

    Args:
        figure: the main number with its unit; may be empty.
        about: explanation of the figure.
        sentences: the answer in words.
    """

    figure: str = ""
    about: str = ""
    sentences: tuple[str, ...] = ()
    tone: Tone = "plain"


@dataclass(frozen=True)
class Answers:
    """Accuracy, cost and gain of one model.

    Args:
        core_seconds: of everything; None in older ones, which have it in words alone.
    """

    good: Answer
    cost: Answer
    bought: Answer
    core_seconds: float | None = None


def answer(
    certificate: Certificate,
    card: Card,
    costs: Sequence[Cost],
    *,
    quoted: Quoted | None = None,
    curve: LearningCurve | None = None,
    label_seconds: float | None = None,
    between_seconds: float = 0.0,
    next_step: str = "",
) -> Answers:
    """The three answers of one model.

    Args:
        quoted: estimate of ``asteroid plan`` for these costs; None without one.
        curve: from :func:`asteroid.stages.curve.measure_curve`; None in reports of older versions.
        label_seconds: core-seconds of an accurate label; None without one.
        between_seconds: core-seconds of all labels at intermediate levels.
        next_step: advice for a model that is not certified; empty for one that is.
    """
    return Answers(
        _good(certificate, next_step),
        _cost(costs, quoted),
        _bought(certificate, card, curve, label_seconds, between_seconds),
        sum(cost.core_seconds for cost in costs),
    )


def _good(certificate: Certificate, next_step: str) -> Answer:
    kind, unit, error = main_error(certificate.errors)
    frames = count(certificate.errors.frames, "held-out frame")
    closing = "; forces were not checked, because the accurate labels are energies alone" if kind == "energy" else ""
    sentences = [quality_sentence(certificate), *([f"{next_step}."] if next_step else [])]
    for group in group_lines(certificate):
        if group.name == "Model's own MD" and group.state != "not checked":
            line = group.worst
            found = "unknown" if line.value is None else format_quantity(line.value, line.unit)
            limit = format_quantity(line.threshold, line.unit)
            sentences.append(f"In the model's own MD, the force error is {found} (limit {limit}).")
    return Answer(
        format_quantity(error.value, unit),
        f"{kind} MAE on {frames}, {_interval(error, shown_unit(unit)[0])}{closing}",
        tuple(sentences),
        _TONES[certificate.state],
    )


def _interval(estimate: Estimate, scale: float = 1.0) -> str:
    """The confidence interval in words; a single trajectory has none."""
    if not math.isfinite(estimate.high):
        return "too few independent frames for an interval"
    return f"95% interval {format_number(scale * estimate.low)} to {format_number(scale * estimate.high)}"


def _cost(costs: Sequence[Cost], quoted: Quoted | None) -> Answer:
    total = sum(cost.core_seconds for cost in costs)
    sentences = []
    validation = sum(cost.core_seconds for cost in costs if cost.validates)
    if total and validation > 0.005 * total:
        sentences.append(f"{100 * validation / total:.0f}% were for validation and comparison.")
    if quoted is not None:
        same = sum(cost.core_seconds for cost in costs if cost.kind in quoted.most)
        sentences.append(_against_quote(same, quoted))
    if hours := gpu_hours(costs):
        sentences.append(f"Plus {format_number(hours)} GPU-hours.")
    about = "of CPU time, from sampling to validation"
    if not {"sampling", "validation"} <= {cost.kind for cost in costs}:
        about = "of CPU time for labels and training; sampling or validation was not recorded"
    return Answer(f"{format_number(total / 3600)} core-hours", about, tuple(sentences))


def _against_quote(spent: float, quoted: Quoted) -> str:
    """Compare the cost of the estimated steps with the estimate."""
    most, least = sum(quoted.most.values()), sum(quoted.least.values())
    said = format_number(most / 3600, 2)
    if least < most / AS_QUOTED:
        said = f"{format_number(least / 3600, 2)} to {said}"
    if spent > AS_QUOTED * most:
        verdict = f"{spent / max(most, 1e-9):.1f} times the estimate"
    elif spent < least / AS_QUOTED:
        verdict = f"{100 * (1 - spent / least):.0f}% less than estimated"
    else:
        verdict = "as estimated"
    return (
        f"asteroid plan estimated {said} core-hours for these steps on {quoted.created[:10]}; they took "
        f"{format_number(spent / 3600, 2)}, {verdict}."
    )


def _bought(
    certificate: Certificate,
    card: Card,
    curve: LearningCurve | None,
    label_seconds: float | None,
    between_seconds: float,
) -> Answer:
    ratio = certificate.improvement
    benefit = benefit_sentence(certificate, card)
    if card.strategy == BASELINE or ratio is None:
        return Answer("", "", (benefit,), "bad" if certificate.passed_over else "plain")
    kind, _, _ = main_error(certificate.errors)
    worth = worth_sentence(card, curve, label_seconds) if curve else ""
    between = ""
    if between_seconds and label_seconds:
        names = " and ".join(card.settings["ladder"])
        labels = count(round(between_seconds / label_seconds), "further accurate label")
        between = f"The labels at {names} cost as much as {labels}; they are not included here."
    return Answer(
        f"{format_number(ratio.value)} ×",
        f"{kind} error without ÷ with {strategy_of(card).aid}",
        tuple(filter(None, (worth, benefit, between))),
        "good" if ratio.low > 1 else "bad" if ratio.high < 1 else "plain",
    )
