"""The first screen in plain words: how good the model is, and what the cheap labels bought it, or whatever it had.

The words follow the confidence interval: a gain is claimed only where the interval excludes no gain, and a loss is said
as plainly as a gain. Where the accurate labels are energies alone, all is about energies, and said to be.
"""

from collections.abc import Sequence
from dataclasses import replace

from asteroid.report.groups import group_lines
from asteroid.report.words import count, rounded, strategy_of
from asteroid.store.models import Card
from asteroid.strategies import BASELINE, strategy_named
from asteroid.validation.certificate import Certificate, PassedOver
from asteroid.validation.errors import Errors
from asteroid.validation.intervals import Estimate
from asteroid.validation.line import OPEN
from asteroid.validation.worth import LearningCurve


def quality_sentence(certificate: Certificate) -> str:
    """Whether the certificate was passed, if not, by what, what evidence is missing, and what was never checked."""
    lines = [line for line in certificate.lines if line.checked]
    failed, unsure = (
        [name_in_sentence(line.name) for line in lines if line.state == state] for state in ("failed", OPEN)
    )
    checked = "that were checked" if len(lines) < len(certificate.lines) else ""
    if failed:
        verdict = f"The model misses {len(failed)} of {len(lines)} requirements {checked}".rstrip()
        verdict += f": {', '.join(failed)}."
    elif unsure:
        met = len(lines) - len(unsure)
        verdict = f"The model surely meets {met} of {len(lines)} requirements {checked}".rstrip() + "."
    else:
        verdict = f"The model surely meets all {len(lines)} requirements {checked}".rstrip() + "."
    if unsure:
        verdict += f" Not enough evidence: {', '.join(unsure)}."
    if certificate.beaten:
        verdict += " Accurate labels alone gave a better model."
    if any(line.name == "Force MAE" and not line.checked for line in certificate.lines):
        verdict += " Its forces were never checked against the accurate level."
    unchecked = [name_in_sentence(group.name) for group in group_lines(certificate) if group.state == "not checked"]
    return f"{verdict} Not checked: {', '.join(unchecked)}." if unchecked else verdict


def benefit_sentence(certificate: Certificate, card: Card) -> str:
    """What a strategy did to the error, as strongly as the test frames allow and no more."""
    if certificate.passed_over and certificate.harm:
        return _harm_sentence(certificate.errors, certificate.passed_over, certificate.harm)
    if card.strategy == BASELINE:
        return "This model was trained on accurate labels alone, so no cheap label helped or harmed it."
    aid = strategy_of(card).aid
    ratio, scratch = certificate.improvement, certificate.scratch_errors
    if ratio is None or scratch is None:
        return f"No model was trained on the accurate labels alone, so what {aid} bought is not known."
    errors = certificate.errors
    labels = len(card.frames.accurate)
    frames = count(len(errors.frame_ids), "test frame")
    same = f"the same {count(labels, 'accurate label')}"
    energies = [f"{1000 * found.energy_mae.value:.3g}" for found in (errors, scratch)]
    if errors.force_mae is None or scratch.force_mae is None:
        kind, unit, (ours, theirs) = "energy", "meV/atom", energies
        closing = " What it did to the forces is not known: the accurate labels are energies alone."
    else:
        kind, unit = "force", "eV/Å"
        ours, theirs = (f"{found.value:.3g}" for found in (errors.force_mae, scratch.force_mae))
        closing = f" Energy error: {energies[0]} meV/atom with {aid}, {energies[1]} without."
    if ratio.low > 1:
        worse = errors.energy_mae.value > scratch.energy_mae.value
        opening = "It helped the forces, but not the energies." if worse else "It helped."
        return (
            f"{opening} With {same}, the {kind} error is {ours} {unit} instead of {theirs} {unit} without {aid}: "
            f"{_times(ratio)} smaller on {frames}.{closing}"
        )
    if ratio.high < 1:
        turned = replace(ratio, value=1 / ratio.value, low=1 / ratio.high, high=1 / ratio.low)
        return (
            f"It did not help, it harmed. With {same} and without {aid}, the {kind} error is {theirs} {unit}; "
            f"with {aid} it is {ours} {unit}, {_times(turned)} larger on {frames}. Use the model trained on accurate "
            f"labels alone.{closing}"
        )
    return (
        f"It made no difference that {frames} can show. With {same}, the {kind} error is {ours} {unit} with {aid} "
        f"and {theirs} {unit} without: a ratio of {ratio.value:.2f} (95% interval {ratio.low:.2f} to "
        f"{ratio.high:.2f}), which includes 1.{closing}"
    )


def _harm_sentence(errors: Errors, other: PassedOver, harm: Estimate) -> str:
    """Of a model of accurate labels alone that was handed over because it is better."""
    aid = strategy_named(other.strategy).aid
    if errors.force_mae is None or other.errors.force_mae is None:
        kind, unit, scale, found = "energy", "meV/atom", 1000, (other.errors.energy_mae, errors.energy_mae)
    else:
        kind, unit, scale, found = "force", "eV/Å", 1, (other.errors.force_mae, errors.force_mae)
    theirs, ours = (f"{scale * estimate.value:.3g}" for estimate in found)
    return (
        f"It did not help, it harmed: {count(other.chosen_on, 'held-out frame')} that neither was fitted to show "
        f"that accurate labels alone do better, so their model is the one handed over. With {aid} the {kind} "
        f"error is {theirs} {unit}, without {ours}: {_times(harm)} larger on "
        f"{count(len(errors.frame_ids), 'test frame')}, which had no part in the choice."
    )


def worth_sentence(card: Card, curve: LearningCurve, label_seconds: float | None) -> str:
    """How many accurate labels alone would have done as well, and how sure that is; empty where nothing tells.

    Args:
        curve: what :func:`asteroid.stages.curve.measure_curve` found.
        label_seconds: core-seconds of an accurate label.
    """
    worth, points = curve.worth, [point.labels for point in curve.points]
    if worth is None:
        return ""
    had = len(card.frames.accurate)
    aid, models = strategy_of(card).aid, f"models with {_listed(points)} labels, one training each"
    how = f"read off {models}" if worth.measured else f"a power law through {models}"
    if worth.labels is None:
        return (
            f"How many labels would have done as well without {aid} cannot be said: with more labels the error falls "
            f"too slowly ({how})."
        )
    needed = worth.labels
    low, high = (None if end is None else rounded(end) for end in (worth.low, worth.high))
    if low and high:
        interval = f"{low} to {high}"
    else:
        interval = f"at least {low}" if low else f"at most {high}" if high else "open at both ends"
    sentence = (
        f"Without {aid}, about {rounded(needed)} accurate labels would have been needed for the same error, "
        f"{needed / had:.1f} times as many (95% interval {interval}; {how})."
    )
    if label_seconds is not None and needed > had:
        hours = (needed - had) * label_seconds / 3600
        sentence += f" The further labels would have cost about {hours:.2g} core-hours."
    return sentence


def needs_sentence(card: Card) -> str:
    """What else must run whenever the model does; empty for a model that stands alone."""
    level = card.adds_to
    if level is None:
        return ""
    return (
        f"It needs {level} at run time: the model is the difference from that method alone, and every energy and force "
        "costs one calculation of it."
    )


def name_in_sentence(name: str) -> str:
    """A requirement's name in the middle of a sentence; abbreviations keep their capitals."""
    return name if name[:2].isupper() else name[0].lower() + name[1:]


def _listed(numbers: Sequence[int]) -> str:
    """
    >>> _listed([13, 26]), _listed([10, 20, 30])
    ('13 and 26', '10, 20 and 30')
    """
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _times(ratio: Estimate) -> str:
    return f"{ratio.value:.2f} times (95% interval {ratio.low:.2f} to {ratio.high:.2f})"
