"""The three answers of a report's first screen: how good, what it cost, what that bought.

Each is a figure, what the figure is, and a few plain sentences; :mod:`asteroid.report.answer_plots` draws one picture
for each. Kept as ``answers.json`` beside the report, for the index and for Prefect's page.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from asteroid.quantities import format_number
from asteroid.report.cost import Cost, Quoted, gpu_hours
from asteroid.report.groups import group_lines
from asteroid.report.verdict import benefit_sentence, quality_sentence, worth_sentence
from asteroid.report.words import count, strategy_of
from asteroid.store.models import Card
from asteroid.strategies import BASELINE
from asteroid.validation.certificate import Certificate
from asteroid.validation.intervals import Estimate
from asteroid.validation.line import OPEN
from asteroid.validation.worth import LearningCurve

Tone = Literal["good", "unsure", "bad", "plain"]
_TONES: dict[str, Tone] = {"passed": "good", OPEN: "unsure", "failed": "bad"}

QUESTIONS = {"good": "How good", "cost": "What it cost", "bought": "What that bought"}
"""By the names in :class:`Answers`."""

PICTURES = {"good": "how-good.png", "cost": "cost.png", "bought": "bought.png"}
"""File beside the report of each answer's picture."""

AS_QUOTED = 1.1
"""Cost over quote up to which the two count as the same: a quote rests on a few labels."""


@dataclass(frozen=True)
class Answer:
    """One answer.

    Args:
        figure: the number that matters with its unit; empty where there is none.
        about: what the figure is.
        sentences: the answer in words.
    """

    figure: str = ""
    about: str = ""
    sentences: tuple[str, ...] = ()
    tone: Tone = "plain"


@dataclass(frozen=True)
class Answers:
    """All three, of one model."""

    good: Answer
    cost: Answer
    bought: Answer


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
    """The three answers.

    Args:
        quoted: what was quoted for these costs; None without a quote.
        curve: what :func:`asteroid.stages.curve.measure_curve` found; None in reports of before it.
        label_seconds: core-seconds of an accurate label; None without one.
        between_seconds: core-seconds of all labels at levels between the cheap and the accurate one.
        next_step: what to do about a model that is not certified; empty for one that is.
    """
    return Answers(
        _good(certificate, next_step),
        _cost(costs, quoted, card),
        _bought(certificate, card, curve, label_seconds, between_seconds),
    )


def cost_unit(costs: Sequence[Cost]) -> tuple[str, float]:
    """Core-hours, or core-seconds when all stages together are a few minutes: the unit's name and its seconds."""
    return ("core-hours", 3600.0) if sum(cost.core_seconds for cost in costs) >= 360 else ("core-seconds", 1.0)


def _good(certificate: Certificate, next_step: str) -> Answer:
    errors = certificate.errors
    frames = count(len(errors.frame_ids), "held-out accurate frame")
    if errors.force_mae is None:
        error, unit, scale, kind = errors.energy_mae, "meV/atom", 1000, "energy"
        closing = "; forces were never checked, as the accurate labels are energies alone"
    else:
        error, unit, scale, kind = errors.force_mae, "eV/Å", 1, "force"
        closing = ""
    sentences = [quality_sentence(certificate), *([f"{next_step}."] if next_step else [])]
    for group in group_lines(certificate):
        if group.name == "On its own MD" and group.state != "not checked":
            found, asked = format_number(group.worst.value), format_number(group.worst.threshold)
            sentences.append(
                f"Where its own dynamics lead it, fresh accurate labels find {found} {group.worst.unit} "
                f"({asked} was asked for)."
            )
    return Answer(
        f"{format_number(scale * error.value)} {unit}",
        f"mean absolute {kind} error on {frames}, {_interval(error, scale)}{closing}",
        tuple(sentences),
        _TONES[certificate.state],
    )


def _interval(estimate: Estimate, scale: float = 1.0) -> str:
    """The confidence interval in words; frames of a single trajectory give no upper bound."""
    if not math.isfinite(estimate.high):
        return "too few independent frames for an interval"
    return f"95% interval {format_number(scale * estimate.low)} to {format_number(scale * estimate.high)}"


def _cost(costs: Sequence[Cost], quoted: Quoted | None, card: Card) -> Answer:
    unit, seconds = cost_unit(costs)
    total = sum(cost.core_seconds for cost in costs)
    kinds: dict[str, float] = {}
    for cost in costs:
        kinds[cost.kind] = kinds.get(cost.kind, 0.0) + cost.core_seconds
    shares = ", ".join(f"{100 * spent / (total or 1):.0f}% for {kind}" for kind, spent in kinds.items())
    judging = sum(cost.core_seconds for cost in costs if cost.judges)
    sentences = [f"{shares[0].upper()}{shares[1:]}."]
    if total and judging > 0.005 * total:
        sentences.append(f"{100 * judging / total:.0f}% of it only judged the model.")
    if quoted is not None:
        same = sum(cost.core_seconds for cost in costs if cost.kind in quoted.most)
        sentences.append(_against_quote(same, quoted, unit, seconds))
    if hours := gpu_hours(costs):
        sentences.append(f"Beside that, a GPU was held for {format_number(hours)} h.")
    complete = any(cost.kind == "sampling" for cost in costs) and any(cost.kind == "validation" for cost in costs)
    about = (
        "of CPU time, for everything from sampling to validation"
        if complete
        else "for labels and training; sampling or validation left no account"
    )
    return Answer(f"{format_number(total / seconds)} {unit}", about, tuple(sentences))


def _against_quote(spent: float, quoted: Quoted, unit: str, seconds: float) -> str:
    """How the cost of the stages that were quoted compares with the quote."""
    most, least = sum(quoted.most.values()), sum(quoted.least.values())
    said = format_number(most / seconds, 2)
    if least < most / AS_QUOTED:
        said = f"{format_number(least / seconds, 2)} to {said}"
    if spent > AS_QUOTED * most:
        verdict = f"{spent / max(most, 1e-9):.1f} times as much as was quoted"
    elif spent < least / AS_QUOTED:
        verdict = f"{100 * (1 - spent / least):.0f}% less than was quoted"
    else:
        verdict = "as quoted"
    return (
        f"asteroid plan had quoted {said} {unit} for these stages on {quoted.created[:10]}; they took "
        f"{format_number(spent / seconds, 2)}: {verdict}."
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
    aid = strategy_of(card).aid
    it = "they" if aid.endswith("s") else "it"
    kind = "energy" if certificate.errors.force_mae is None else "force"
    worth = worth_sentence(card, curve, label_seconds) if curve else ""
    between = ""
    if between_seconds and label_seconds:
        names, more = " and ".join(card.settings["ladder"]), round(between_seconds / label_seconds)
        more_labels = count(more, "further accurate label")
        between = f"Its labels at {names} cost as much as {more_labels}, which are not counted here."
    return Answer(
        f"{format_number(ratio.value)} ×",
        f"{kind} error without {aid} over {kind} error with {'them' if it == 'they' else 'it'}, {_interval(ratio)}; "
        f"above 1, {it} helped",
        tuple(filter(None, (worth, benefit, between))),
        "good" if ratio.low > 1 else "bad" if ratio.high < 1 else "plain",
    )
