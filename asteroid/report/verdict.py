"""Sentences at the top of a report: which requirements the model meets, and the gain from the cheap labels.

A gain or a loss is stated only if the 95% interval excludes 1. If the accurate labels are energies alone, all
statements are about energies.
"""

from asteroid.quantities import format_number, format_quantity, shown_unit
from asteroid.report.groups import group_lines
from asteroid.report.words import count, main_error, rounded, strategy_of
from asteroid.store.models import Card
from asteroid.strategies import BASELINE, strategy_named
from asteroid.validation.certificate import Certificate
from asteroid.validation.errors import Errors
from asteroid.validation.intervals import Estimate
from asteroid.validation.line import OPEN
from asteroid.validation.worth import LearningCurve


def quality_sentence(certificate: Certificate) -> str:
    """Which requirements the model fails, which lack evidence, and what was not checked."""
    lines = [line for line in certificate.lines if line.checked]
    failed, unsure = (
        [name_in_sentence(line.name) for line in lines if line.state == state] for state in ("failed", OPEN)
    )
    checked = "checked requirements" if len(lines) < len(certificate.lines) else "requirements"
    if failed:
        verdict = f"The model fails {len(failed)} of {len(lines)} {checked}: {', '.join(failed)}."
    else:
        met = f"{len(lines) - len(unsure)} of" if unsure else "all"
        verdict = f"The model meets {met} {len(lines)} {checked}."
    if unsure:
        verdict += f" Not enough evidence: {', '.join(unsure)}."
    if certificate.beaten:
        verdict += " Training on accurate labels alone gave a better model."
    if any(line.name == "Force MAE" and not line.checked for line in certificate.lines):
        verdict += " Its forces were not checked against the accurate level."
    unchecked = [name_in_sentence(group.name) for group in group_lines(certificate) if group.state == "not checked"]
    return f"{verdict} Not checked: {', '.join(unchecked)}." if unchecked else verdict


def benefit_sentence(certificate: Certificate, card: Card) -> str:
    """Change of the error by what the strategy uses beyond accurate labels, with its interval."""
    errors = certificate.errors
    frames = f"on {count(errors.frames, 'test frame')}"
    if (other := certificate.passed_over) and certificate.harm:
        aid = strategy_named(other.strategy).aid
        return (
            f"{_capital(aid)} increased the {_change(errors, other.errors, certificate.harm)} {frames}. So the model "
            f"trained on accurate labels alone is certified; {count(other.chosen_on, 'held-out frame')} led to this "
            "choice."
        )
    if card.strategy == BASELINE:
        return "The model was trained on accurate labels alone, so there is no gain from cheap labels."
    aid = strategy_of(card).aid
    ratio, scratch = certificate.improvement, certificate.scratch_errors
    if ratio is None or scratch is None:
        return f"The gain from {aid} is unknown, because no model was trained on the accurate labels alone."
    same = f"with the same {count(len(card.frames.accurate), 'accurate label')}, {frames}"
    before, after = (format_number(1000 * found.energy_mae.value) for found in (scratch, errors))
    kind, unit, ours = main_error(errors)
    if kind == "energy":
        closing = " The effect on the forces is unknown: the accurate labels are energies alone."
    elif ratio.low > 1 and errors.energy_mae.value > scratch.energy_mae.value:
        closing = f" But the energy error rose from {before} to {after} meV/atom."
    else:
        closing = f" Energy error: {after} meV/atom with {aid}, {before} without."
    if ratio.low > 1:
        return f"{_capital(aid)} reduced the {_change(scratch, errors, ratio)} {same}.{closing}"
    if ratio.high < 1:
        inverse = Estimate(1 / ratio.value, 1 / ratio.high, 1 / ratio.low)
        return (
            f"{_capital(aid)} increased the {_change(scratch, errors, inverse)} {same}. Use the model trained on "
            f"accurate labels alone.{closing}"
        )
    with_aid, without = (format_quantity(found.value, unit) for found in (ours, main_error(scratch)[2]))
    return (
        f"No significant difference: the {kind} error is {with_aid} with {aid} and {without} without, a ratio of "
        f"{ratio.value:.2f} (95% interval {ratio.low:.2f} to {ratio.high:.2f}), {same}.{closing}"
    )


def _change(before: Errors, after: Errors, ratio: Estimate) -> str:
    """Kind of the error, the factor of its change, and both values."""
    kind, unit, first = main_error(before)
    factor, shown = shown_unit(unit)
    values = " to ".join(format_number(factor * found.value) for found in (first, main_error(after)[2]))
    interval = f"95% interval {ratio.low:.2f} to {ratio.high:.2f}"
    return f"{kind} error by a factor of {ratio.value:.2f} ({interval}), from {values} {shown}"


def worth_sentence(card: Card, curve: LearningCurve, label_seconds: float | None) -> str:
    """Number of accurate labels for the same error without cheap labels, with its interval; empty if unknown.

    Args:
        curve: from :func:`asteroid.stages.curve.measure_curve`.
        label_seconds: core-seconds of an accurate label.
    """
    worth, points = curve.worth, [str(point.labels) for point in curve.points]
    if worth is None:
        return ""
    aid, models = strategy_of(card).aid, f"models with {', '.join(points[:-1])} and {points[-1]} labels"
    if worth.labels is None:
        return f"The number of labels for the same error without {aid} is too far from the measured {models}."
    low, high = (None if end is None else rounded(end) for end in (worth.low, worth.high))
    if low and high:
        interval = f"95% interval {low} to {high}"
    else:
        interval = f"95% interval at least {low}" if low else f"95% interval at most {high}" if high else "no interval"
    had, needed = len(card.frames.accurate), worth.labels
    how = f"{'interpolated between' if worth.measured else 'power law through'} {models}"
    sentence = (
        f"Without {aid}, the same error would take about {rounded(needed)} accurate labels, {needed / had:.1f} times "
        f"as many ({interval}; {how})."
    )
    if label_seconds is not None and needed > had:
        hours = format_number((needed - had) * label_seconds / 3600, 2)
        sentence += f" The additional labels would cost about {hours} core-hours."
    return sentence


def needs_sentence(card: Card) -> str:
    """The method that must run with the model; empty for a model that needs none."""
    if card.adds_to is None:
        return ""
    return (
        f"It needs {card.adds_to} at run time: the model predicts the difference from that method, so each energy or "
        "force takes one calculation with it."
    )


def name_in_sentence(name: str) -> str:
    """Name of a requirement in the middle of a sentence; abbreviations keep their capitals."""
    return name if name[:2].isupper() else name[0].lower() + name[1:]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
