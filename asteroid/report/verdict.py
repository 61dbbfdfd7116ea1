"""The first screen in plain words: how good the model is, and what the cheap labels bought.

The words follow the confidence interval: a gain is claimed only where the interval excludes no gain, and a loss is said
as plainly as a gain.
"""

from collections.abc import Mapping
from typing import Any


def quality_sentence(certificate: Mapping[str, Any]) -> str:
    """Whether the certificate was passed, and if not, by what."""
    lines = certificate["lines"]
    failed = [name_in_sentence(line["name"]) for line in lines if not line["passed"]]
    if not failed:
        return f"The model meets all {len(lines)} requirements."
    return f"The model misses {len(failed)} of {len(lines)} requirements: {', '.join(failed)}."


def benefit_sentence(certificate: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """What pretraining on cheap labels did to the force error, as strongly as the test frames allow and no more."""
    if card["strategy"] == "scratch":
        return "This model was trained on accurate labels alone, so no cheap label helped or harmed it."
    ratio, scratch = certificate["improvement"], certificate["scratch_errors"]
    if ratio is None or scratch is None:
        return "No model was trained on the accurate labels alone, so what the cheap labels bought is not known."
    errors = certificate["errors"]
    labels = len(card["frames"]["accurate_train"]) + len(card["frames"]["accurate_valid"])
    ours, theirs = errors["force_mae"]["value"], scratch["force_mae"]["value"]
    frames = count(len(errors["frame_ids"]), "test frame")
    energies = [1000 * found["energy_mae"]["value"] for found in (errors, scratch)]
    energy = f" Energy error: {energies[0]:.3g} meV/atom with the cheap labels, {energies[1]:.3g} without."
    same = f"the same {count(labels, 'accurate label')}"
    if ratio["low"] > 1:
        opening = "It helped." if energies[0] <= energies[1] else "It helped the forces, but not the energies."
        return (
            f"{opening} With {same}, the force error is {ours:.3g} eV/Å instead of {theirs:.3g} eV/Å without the "
            f"cheap labels: {_times(ratio)} smaller on {frames}.{energy}"
        )
    if ratio["high"] < 1:
        turned = {"value": 1 / ratio["value"], "low": 1 / ratio["high"], "high": 1 / ratio["low"]}
        return (
            f"It did not help, it harmed. With {same} and no cheap label at all, the force error is {theirs:.3g} eV/Å; "
            f"with them it is {ours:.3g} eV/Å, {_times(turned)} larger on {frames}. Use the model trained on accurate "
            f"labels alone.{energy}"
        )
    return (
        f"It made no difference that {frames} can show. With {same}, the force error is {ours:.3g} eV/Å with the cheap "
        f"labels and {theirs:.3g} eV/Å without: a ratio of {ratio['value']:.2f} (95% interval {ratio['low']:.2f} to "
        f"{ratio['high']:.2f}), which includes 1.{energy}"
    )


def count(number: int, thing: str) -> str:
    """``1 label``, ``2 labels``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def name_in_sentence(name: str) -> str:
    """A requirement's name in the middle of a sentence; abbreviations keep their capitals."""
    return name if name[:2].isupper() else name[0].lower() + name[1:]


def _times(ratio: Mapping[str, float]) -> str:
    return f"{ratio['value']:.2f} times (95% interval {ratio['low']:.2f} to {ratio['high']:.2f})"
