"""The certificate: passed, failed or not enough evidence for one model of one molecule, with the numbers behind it.

It sums up what :mod:`asteroid.validation.errors`, ``dynamics``, ``minimum`` and ``evidence`` measured. A line passes
when the bound of its confidence interval meets the threshold; a quantity that could not be measured does not pass. One
that nobody meant to measure (forces, of accurate labels that are energies
alone) is listed as not checked: it neither passes nor fails. It is stored beside the report, which
:mod:`asteroid.report` makes from what it reads of it: a verdict is never made again.
"""

import datetime as dt
import importlib.metadata
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from asteroid.quantities import format_number
from asteroid.settings import ThresholdSettings
from asteroid.store.models import Card
from asteroid.validation.dynamics import Dynamics, unstable
from asteroid.validation.errors import Errors, improvement
from asteroid.validation.evidence import Evidence, evidence_lines
from asteroid.validation.intervals import ERROR, Estimate, proportion_bounds, trials_needed
from asteroid.validation.line import (
    MINIMUM,
    NO_FORCES,
    SURVIVED,
    Line,
    Remedy,
    State,
    error_line,
    judged,
    state_of,
    with_state,
)
from asteroid.validation.minimum import MinimumComparison, ModelMinimum

IMAGINARY_NOISE = 50.0
"""cm⁻¹: an optimisation that ends at a small force leaves a free methyl rotor with an imaginary mode of a few tens."""

LISTED = 4
"""Failed trajectories that a note names; the report's table has them all."""

LEAST_PS = {"nve": 0.2, "nvt": 0.5}
"""ps of MD below which neither drift nor survival is believed: two dozen periods of the slowest stretches."""

_PACKAGES = ("asteroid", "mace-torch", "torch", "ase", "numpy")


@dataclass(frozen=True)
class Looks:
    """How often frames have been judged by a certificate, this time included: see
    :func:`asteroid.validation.intervals.confidence_of_look`."""

    test: int = 1
    on_policy: int = 1


@dataclass(frozen=True)
class Levels:
    """Levels of theory of a model; ``cheap`` is None where it was trained without cheap labels."""

    cheap: str | None
    accurate: str


@dataclass(frozen=True, eq=False)
class PassedOver:
    """A model that was trained as the manifest asks and not handed over, as accurate labels alone did better.

    Args:
        errors: on the test frames.
        chosen_on: how many held-out frames showed it.
    """

    model_id: str
    strategy: str
    errors: Errors
    chosen_on: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Certificate:
    """What one model reached.

    Args:
        molecule: that it was judged on.
        model: the model's name: the molecule's own, unless it is one of several molecules.
        unseen: whether the model was not trained on this molecule.
        versions: of the packages that made it.
        improvement: force MAE of the scratch model over that of this one, on the same frames (energy MAE where no
            label has forces); None without a scratch model, or where this model is the scratch model.
        minimum: None when the minimum could not be compared.
        evidence: from the model's own MD, its vibrations, torsions and ensembles.
        looks: how often its test frames and those of its own MD have been judged, this time included.
        passed_over: the strategy's model, where held-out frames had shown that accurate labels alone do better and the
            scratch model was handed over; None otherwise.
        state: of all requirements that were checked; a model that accurate labels alone surely beat has failed.
        beaten: whether the model trained on accurate labels alone is surely better, on the same test frames.
        harm: force MAE of ``passed_over`` over that of this one, on the same frames; as ``improvement``.
    """

    model_id: str
    molecule: str
    model: str
    unseen: bool
    strategy: str
    levels: Levels
    created: str
    versions: Mapping[str, str]
    lines: tuple[Line, ...]
    errors: Errors
    scratch_errors: Errors | None
    improvement: Estimate | None
    dynamics: Dynamics
    # The first that fits: what is stored has the keys of one of them.
    minimum: Annotated[MinimumComparison | ModelMinimum | None, Field(union_mode="left_to_right")]
    evidence: Evidence = field(default_factory=Evidence)
    looks: Looks = Looks()
    passed_over: PassedOver | None = None
    passed: bool
    state: State
    beaten: bool = False
    harm: Estimate | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_version_0_1(cls, found: Any) -> Any:
        """Its models were of one molecule, whose name they had."""
        if isinstance(found, dict):
            found = {"model": found.get("molecule"), "unseen": False} | found
        return with_state(found)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; a number that is not finite becomes None."""
        content: dict[str, Any] = _plain(self)
        return content


def certify(
    card: Card,
    molecule: str,
    *,
    errors: Errors,
    scratch_errors: Errors | None,
    dynamics: Dynamics,
    minimum: MinimumComparison | ModelMinimum | None,
    thresholds: ThresholdSettings,
    minimum_note: str = "",
    evidence: Evidence | None = None,
    accurate_forces: bool = True,
    looks: Looks | None = None,
    passed_over: PassedOver | None = None,
) -> Certificate:
    """Compare what was measured with the thresholds.

    Args:
        card: of the model, from the store.
        molecule: that it is judged on.
        scratch_errors: of the model trained on accurate labels alone, on the same frames.
        minimum_note: why ``minimum`` is no comparison.
        evidence: None where nothing further was gathered.
        accurate_forces: False where only energies were asked for at the accurate level: what needs its forces is then
            not checked.
        looks: None at the first look at all frames.
        passed_over: the strategy's model where it was not handed over: see :class:`Certificate`.
    """
    evidence, looks = evidence or Evidence(), looks or Looks()
    lines = (
        *_error_lines(errors, thresholds, looks.test),
        *_dynamics_lines(dynamics, thresholds),
        *_minimum_lines(minimum, minimum_note, thresholds, accurate_forces),
        *evidence_lines(evidence, thresholds, look=looks.on_policy),
    )
    gain = improvement(errors, scratch_errors) if scratch_errors else None
    beaten = gain is not None and gain.high < 1
    state = "failed" if beaten else state_of(lines)
    return Certificate(
        model_id=card.model_id,
        molecule=molecule,
        model=card.molecule,
        unseen=molecule not in card.molecules,
        strategy=card.strategy,
        levels=Levels(card.cheap, card.accurate),
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        versions=_versions(),
        lines=lines,
        errors=errors,
        scratch_errors=scratch_errors,
        improvement=gain,
        dynamics=dynamics,
        minimum=minimum,
        evidence=evidence,
        looks=looks,
        passed_over=passed_over,
        passed=state == "passed",
        state=state,
        beaten=beaten,
        harm=improvement(errors, passed_over.errors) if passed_over else None,
    )


def _error_lines(errors: Errors, thresholds: ThresholdSettings, look: int) -> tuple[Line, ...]:
    setting, trajectories = ("budget", "test"), len(set(errors.groups))
    note = f"{errors.frames} held-out frames"
    if trajectories < errors.frames:
        note += f", {trajectories} of them independent"
    energy = error_line(
        "Energy MAE",
        "eV/atom",
        thresholds.energy_mae,
        errors.energy_mae,
        frames=errors.frames,
        look=look,
        setting=setting,
        note=note,
    )
    if errors.force_mae is None:
        return judged("Force MAE", None, "eV/Å", thresholds.force_mae, "<=", NO_FORCES, checked=False), energy
    with_forces = sum(forces is not None for forces in errors.reference_forces)
    force = error_line(
        "Force MAE",
        "eV/Å",
        thresholds.force_mae,
        errors.force_mae,
        frames=with_forces,
        look=look,
        setting=setting,
        note=note if with_forces == errors.frames else f"{with_forces} held-out frames with forces",
    )
    return force, energy


def _dynamics_lines(dynamics: Dynamics, thresholds: ThresholdSettings) -> tuple[Line, ...]:
    return _drift_line(dynamics, thresholds), _survival_line(dynamics, thresholds)


def _drift_line(dynamics: Dynamics, thresholds: ThresholdSettings) -> Line:
    """Of one trajectory: its bounds are those of its slope, not of other starts."""
    nve, half = dynamics.nve, dynamics.nve_half
    value = low = high = None
    suffices, remedy = "", None
    if nve.drift is not None and half.stable:
        value = abs(nve.drift)
        low, high = value, value
        if nve.drift_error is not None:
            low, high = max(0.0, value - nve.drift_error), value + nve.drift_error
        least = LEAST_PS["nve"]
        if high > thresholds.nve_drift or nve.requested < least:
            # The error of a slope falls with the 3/2 power of the time.
            room = thresholds.nve_drift - value
            if room <= 0:
                suffices = "a smaller drift: a longer trajectory would sooner show that it is missed"
            else:
                longer = ((high - value) / room) ** (2 / 3) if math.isfinite(high) else 1.0
                wanted = math.ceil(10 * max(least, nve.requested * longer)) / 10
                suffices = f"about {wanted:g} ps of NVE instead of {nve.requested:g}"
                remedy = Remedy("validation", "nve_ps", wanted)
    setting = f"{nve.requested:g} ps from {nve.temperature:.0f} K, time step {nve.timestep:g} fs"
    sure = "" if high is None else f"with {100 * (1 - ERROR):g}% confidence at most {format_number(high, 2)}"
    finer = "" if half.drift is None else f"{format_number(half.drift, 2)} with {half.timestep:g} fs"
    note = "; ".join(filter(None, [sure, setting, finer, *unstable([nve, half])]))
    return judged(
        "NVE energy drift",
        value,
        "eV/atom/ps",
        thresholds.nve_drift,
        "<=",
        note,
        low=low,
        high=high,
        confidence=None if value is None else 1 - ERROR,
        # One that broke is known to fail, however short.
        enough=value is None or nve.requested >= LEAST_PS["nve"],
        suffices=suffices,
        remedy=remedy,
    )


def _survival_line(dynamics: Dynamics, thresholds: ThresholdSettings) -> Line:
    """Judged at the temperature where least is sure: the part that surely survives must reach the threshold at each."""
    runs, sure = dynamics.nvt, 1 - ERROR
    counts = {at.temperature: (at.survival.replicas, int(at.survival.failed.sum())) for at in dynamics.survival}
    bounds = {t: proportion_bounds(n - failed, n, sure) for t, (n, failed) in counts.items()}
    certain = [
        f"at {t:.0f} K {n - failed} of {n}: surely {bounds[t][0]:.2g} or more" for t, (n, failed) in counts.items()
    ]
    failures = unstable(runs)
    more = [f"and {len(failures) - LISTED} more"] if len(failures) > LISTED else []
    length = min(trajectory.requested for trajectory in runs)
    note = "; ".join([f"{length:g} ps each", *certain, *failures[:LISTED], *more])
    n, failed = counts[min(bounds, key=lambda t: bounds[t][0])]
    low, value = min(low for low, _ in bounds.values()), min((n - f) / n for n, f in counts.values())
    suffices, remedy = "", None
    if low < thresholds.nvt_stable:
        if value > thresholds.nvt_stable:
            wanted = trials_needed(failed, thresholds.nvt_stable, sure)
            allowed = "without a failure" if not failed else f"with no more failures than {failed}"
            suffices = f"{wanted} trajectories at each temperature {allowed}, instead of {n}"
            remedy = Remedy("validation", "replicas", wanted)
        else:
            suffices = "a model that breaks less: more trajectories would sooner show that it is missed"
    elif length < LEAST_PS["nvt"]:
        suffices = f"trajectories of {LEAST_PS['nvt']:g} ps instead of {length:g}"
        remedy = Remedy("validation", "nvt_ps", LEAST_PS["nvt"])
    return judged(
        SURVIVED,
        value,
        "",
        thresholds.nvt_stable,
        ">=",
        note,
        low=low,
        high=min(high for _, high in bounds.values()),
        confidence=sure,
        enough=length >= LEAST_PS["nvt"],
        suffices=suffices,
        remedy=remedy,
    )


def _minimum_lines(
    minimum: MinimumComparison | ModelMinimum | None, reason: str, thresholds: ThresholdSettings, accurate_forces: bool
) -> tuple[Line, ...]:
    force = rmsd = imaginary = None
    mode_note = reason
    rmsd_note = force_note = reason if accurate_forces else NO_FORCES
    if minimum:
        imaginary = float((minimum.frequencies < -IMAGINARY_NOISE).sum())
        mode_note = f"below −{IMAGINARY_NOISE:g} cm⁻¹; 0 says that it is a minimum"
    if isinstance(minimum, MinimumComparison):
        force, rmsd = minimum.residual_force, minimum.rmsd
        force_note = "largest component of the accurate forces where the model has its minimum"
        labels = f"{minimum.labels} {'label' if minimum.labels == 1 else 'labels'}"
        rmsd_note = f"accurate minimum reached in {labels}"
        if not minimum.converged:
            # The distance to a geometry that is no minimum says nothing, however small.
            rmsd = None
            rmsd_note = (
                f"not reached in {labels}: {format_number(minimum.accurate_force)} eV/Å left, "
                f"{format_number(minimum.rmsd)} Å from the model's minimum"
            )
    return (
        judged(
            MINIMUM[0],
            force,
            "eV/Å",
            thresholds.minimum_force,
            "<=",
            force_note,
            accurate_forces,
        ),
        judged(MINIMUM[1], rmsd, "Å", thresholds.minimum_rmsd, "<=", rmsd_note, accurate_forces),
        judged(MINIMUM[2], imaginary, "", 0.0, "<=", mode_note),
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _plain(value: Any) -> Any:
    """Dataclasses, arrays and tuples as dicts and lists of plain values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
