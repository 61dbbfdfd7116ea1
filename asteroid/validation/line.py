"""One requirement of a certificate: what was measured against what was asked for, and how sure that is.

Lines are made in :mod:`asteroid.validation.certificate` and :mod:`asteroid.validation.evidence`.
"""

import math
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final, Literal

from pydantic import model_validator

from asteroid.quantities import format_number
from asteroid.validation.intervals import Estimate, confidence_of_look, frames_needed

NO_FORCES: Final = "the accurate labels are energies alone"

ON_POLICY: Final = "Force MAE on the model's own MD"
SURVIVED: Final = "Trajectories that survived"
TORSIONS: Final = "Error of torsion energies"
MINIMUM: Final = (
    "Accurate force at the model's minimum",
    "Distance to the accurate minimum",
    "Imaginary modes at the model's minimum",
)
"""Names of requirements that say where a model failed: the loop of rounds goes there."""

State = Literal["passed", "failed", "not enough evidence", "not checked"]
OPEN: Final = "not enough evidence"

FEWEST_FRAMES: Final = 5
"""Labelled frames below which no mean error is believed to be small: four may miss a tenth of all frames that is bad
in two cases of three."""


@dataclass(frozen=True)
class Remedy:
    """Evidence that would decide an open line.

    Args:
        block, key: of the manifest, such as ``budget`` and ``test``.
        value: to write there.
        labels: accurate labels that this takes.
    """

    block: str
    key: str
    value: float
    labels: int = 0


@dataclass(frozen=True)
class Line:
    """One requirement: the bound of what was measured, ``comparison``, ``threshold``; :func:`judged` makes them.

    Args:
        value: None could not be measured and does not pass.
        checked: False where the labels that were asked for cannot tell; such a line says nothing about the model.
        low, high: bounds of the value; None where it is exact, and then it is its own bound.
        confidence: with which each bound holds by itself; None where the value is exact.
        enough: False where there is less evidence than any claim needs: whatever was measured, it does not pass.
        suffices: what would decide an open line, in words.
        remedy: the same for the manifest; None where no evidence alone will do.
        state: passed where the bound meets the threshold, failed where the other bound misses it as well.
        bound: that has to meet the threshold.
    """

    name: str
    value: float | None
    unit: str
    threshold: float
    comparison: Literal["<=", ">="]
    note: str = ""
    checked: bool = True
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    enough: bool = True
    suffices: str = ""
    remedy: Remedy | None = None
    _: KW_ONLY
    passed: bool
    state: State
    bound: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_version_0_1(cls, found: Any) -> Any:
        """It knew neither bounds nor a want of evidence."""
        return with_state(found)


def with_state(found: Any) -> Any:
    """A stored verdict of version 0.1, which said ``passed`` alone, with its state."""
    if not isinstance(found, dict) or "state" in found:
        return found
    state: State = "passed" if found.get("passed") else "failed"
    return {**found, "state": state if found.get("checked", True) else "not checked"}


def judged(
    name: str,
    value: float | None,
    unit: str,
    threshold: float,
    comparison: Literal["<=", ">="],
    note: str = "",
    checked: bool = True,
    *,
    low: float | None = None,
    high: float | None = None,
    confidence: float | None = None,
    enough: bool = True,
    suffices: str = "",
    remedy: Remedy | None = None,
) -> Line:
    """A line with its verdict; arguments as of :class:`Line`."""

    def meets(found: float | None) -> bool:
        if found is None or math.isnan(found):
            return False
        return found <= threshold if comparison == "<=" else found >= threshold

    ends = (high, low) if comparison == "<=" else (low, high)
    bound, other = (value if end is None else end for end in ends)
    state: State
    if not checked:
        state = "not checked"
    elif value is None or not math.isfinite(value):
        state = "failed" if enough else OPEN
    elif not meets(other):
        state = "failed"
    else:
        state = "passed" if enough and meets(bound) else OPEN
    return Line(
        *(name, value, unit, threshold, comparison, note, checked, low, high, confidence, enough, suffices, remedy),
        passed=state == "passed",
        state=state,
        bound=bound,
    )


def judged_again(line: Line, **changes: Any) -> Line:
    """A line with other evidence."""
    evidence = {name: value for name, value in vars(line).items() if name not in ("passed", "state", "bound")}
    return judged(**(evidence | changes))


def state_of(lines: Iterable[Line]) -> State:
    """Failed where one line is, passed only where every line that was checked is."""
    states = [line.state for line in lines if line.checked]
    if "failed" in states:
        return "failed"
    return OPEN if OPEN in states else "passed"


def error_line(
    name: str,
    unit: str,
    threshold: float,
    estimate: Estimate,
    *,
    frames: int,
    look: int,
    setting: tuple[str, str],
    note: str,
) -> Line:
    """The line of a mean error over labelled frames.

    Args:
        frames: that have such a label.
        look: how often these frames have been judged, this time included.
        setting: block and key of the manifest that say how many frames there are.
        note: what the frames are.
    """
    confidence = confidence_of_look(look)
    low, high = estimate.bounds(confidence)
    suffices, remedy = "", None
    if high > threshold or frames < FEWEST_FRAMES:
        wanted = frames_needed(estimate, frames, threshold, confidence)
        if wanted is not None or (estimate.degrees < 1 and estimate.value <= threshold):
            count = max(wanted or 0, FEWEST_FRAMES, frames + 1)
            suffices = f"about {count} labelled frames instead of {frames}, if they scatter alike"
            remedy = Remedy(*setting, count, count - frames)
        else:
            suffices = "a smaller error: more frames would sooner show that it is missed"
    sure = f"{100 * confidence:.4g}%" + (f", look {look} at these frames" if look > 1 else "")
    return judged(
        name,
        estimate.value,
        unit,
        threshold,
        "<=",
        f"between {format_number(low)} and {format_number(high)}, each bound with {sure} confidence; {note}",
        low=low,
        high=high,
        confidence=confidence,
        enough=frames >= FEWEST_FRAMES,
        suffices=suffices,
        remedy=remedy,
    )
