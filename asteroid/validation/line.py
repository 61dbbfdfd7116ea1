"""One line of a certificate: a measured quantity with its confidence bounds, a threshold, and the result.

Used by :mod:`asteroid.validation.certificate` and :mod:`asteroid.validation.evidence`.
"""

import math
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final, Literal

from pydantic import model_validator

from asteroid.quantities import format_number, shown_unit
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
"""Lines that tell in which region a model fails; the next round explores there."""

State = Literal["passed", "failed", "not enough evidence", "not checked"]
OPEN: Final = "not enough evidence"

FEWEST_FRAMES: Final = 5
"""Smallest number of labelled frames for a mean error to pass. If a tenth of all frames has large errors, four random
frames miss them in two cases of three."""


@dataclass(frozen=True)
class Remedy:
    """Setting in the manifest that gives an undecided line enough evidence.

    Args:
        block, key: such as ``budget`` and ``test``.
        value: new value of the setting.
        labels: number of further accurate labels.
    """

    block: str
    key: str
    value: float
    labels: int = 0


@dataclass(frozen=True)
class Line:
    """One requirement, made by :func:`make_line`.

    Args:
        value: None if it could not be measured.
        checked: False if the requested labels cannot test this requirement; such a line neither passes nor fails.
        low, high: confidence bounds of the value; None for an exact value.
        confidence: one-sided confidence of each bound; None for an exact value.
        enough: False if there is too little evidence to pass, whatever the value.
        suffices: evidence that would decide an undecided line, as shown to users.
        remedy: the same as a setting; None if more evidence alone will not help.
        state: passed if the worse bound meets the threshold, failed if the better bound misses it.
        bound: the worse bound, which has to meet the threshold.
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
        """Version 0.1 stored neither bounds nor a state."""
        return with_state(found)


def with_state(found: Any) -> Any:
    """Add the state to a stored line or certificate of version 0.1, which has only ``passed``."""
    if not isinstance(found, dict) or "state" in found:
        return found
    state: State = "passed" if found.get("passed") else "failed"
    return {**found, "state": state if found.get("checked", True) else "not checked"}


def make_line(
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
    """A line with its state; arguments as in :class:`Line`."""

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


def remake_line(line: Line, **changes: Any) -> Line:
    """A line with some arguments of :func:`make_line` changed, and its new state."""
    arguments = {name: value for name, value in vars(line).items() if name not in ("passed", "state", "bound")}
    return make_line(**(arguments | changes))


def state_of(lines: Iterable[Line]) -> State:
    """Failed if one line failed, passed if all checked lines passed, otherwise undecided."""
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
        frames: number of labelled frames.
        look: number of certificates that have used these frames, including this one.
        setting: block and key of the manifest for the number of frames.
        note: description of the frames.
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
            suffices = "a smaller error; more frames would probably show that the threshold is missed"
    factor, shown = shown_unit(unit)
    interval = f"{200 * confidence - 100:.4g}% interval {format_number(factor * low)} to {format_number(factor * high)}"
    again = f", look {look} at these frames" if look > 1 else ""
    return make_line(
        name,
        estimate.value,
        unit,
        threshold,
        "<=",
        f"{interval} {shown}{again}; {note}",
        low=low,
        high=high,
        confidence=confidence,
        enough=frames >= FEWEST_FRAMES,
        suffices=suffices,
        remedy=remedy,
    )
