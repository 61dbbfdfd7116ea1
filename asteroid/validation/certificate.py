"""The certificate of one model for one molecule: passed, failed or not enough evidence, with all measured numbers.

It combines the results of :mod:`asteroid.validation.errors`, ``dynamics``, ``minimum`` and ``evidence``. A line passes
if the confidence bound of its value meets the threshold; a quantity that could not be measured does not pass. What was
not to be measured (forces, if the accurate labels are energies alone) is not checked: it neither passes nor fails. The
certificate is stored once; :mod:`asteroid.report` shows it.
"""

import datetime as dt
import importlib.metadata
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, model_validator

from asteroid.errors import InputError, plural, suggest
from asteroid.quantities import format_number, format_quantity
from asteroid.settings import ThresholdSettings
from asteroid.store import Store, paths, records
from asteroid.store.files import Files
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
    make_line,
    state_of,
    with_state,
)
from asteroid.validation.minimum import MinimumComparison, ModelMinimum

IMAGINARY_NOISE = 50.0
"""cm⁻¹: after an optimisation to a small force, a free methyl rotor may have an imaginary mode of a few tens."""

LISTED = 4
"""Largest number of failed trajectories in a note; the report has a table of all."""

LEAST_PS = {"nve": 0.2, "nvt": 0.5}
"""ps, shortest MD for drift and survival to pass: two dozen periods of the slowest stretching vibrations."""

_PACKAGES = ("asteroid", "mace-torch", "torch", "ase", "numpy")


@dataclass(frozen=True)
class Looks:
    """Number of certificates that have used the same frames, including this one.

    See :func:`asteroid.validation.intervals.confidence_of_look`.
    """

    test: int = 1
    on_policy: int = 1


@dataclass(frozen=True)
class Levels:
    """Levels of theory of a model; ``cheap`` is None for training without cheap labels."""

    cheap: str | None
    accurate: str


@dataclass(frozen=True, eq=False)
class PassedOver:
    """The model of the manifest's strategy, if training on accurate labels alone gave a better model.

    Args:
        errors: on the test frames.
        chosen_on: number of held-out frames by which the better model was chosen.
    """

    model_id: str
    strategy: str
    errors: Errors
    chosen_on: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Certificate:
    """Validation results of one model for one molecule.

    Args:
        molecule: used for the validation.
        model: name of the model, which is that of the molecule unless it was trained on several.
        unseen: whether the model was not trained on this molecule.
        versions: of the packages that made the certificate.
        errors: on the test frames.
        scratch_errors: of the model trained on accurate labels alone; None without it.
        improvement: force MAE of the scratch model divided by that of this model, on the same frames (energy MAE if no
            label has forces); None without a scratch model, or if this model is the scratch model.
        minimum: None if the model's minimum was not found.
        evidence: from the model's own MD, vibrations, torsions and distributions.
        looks: number of certificates that have used the same frames.
        passed_over: the strategy's model, if the scratch model was better on held-out frames and is certified instead.
        passed: whether ``state`` is ``passed``.
        state: of all checked lines; failed if ``beaten``.
        beaten: whether the scratch model is significantly better on the test frames.
        harm: force MAE of ``passed_over`` divided by that of this model; see ``improvement``.
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
    # Pydantic takes the first class whose keys match.
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
        """In version 0.1, each model had one molecule and its name."""
        if isinstance(found, dict):
            found = {"model": found.get("molecule"), "unseen": False} | found
        return with_state(found)


def read_certificates(store: Files, molecule: str) -> dict[str, Certificate]:
    """All certificates of a molecule, by path."""
    files = [paths.report(molecule, name, "certificate.json") for name in store.names(paths.reports(molecule))]
    return {file: records.read(store, Certificate, file) for file in files if store.exists(file)}


def find_model(store: Store, molecule: str, model_id: str | None = None) -> tuple[str, str]:
    """Name and id of a molecule's model.

    Args:
        molecule: with a certificate; or the name of a model, together with ``model_id``.
        model_id: by default that of the newest certificate.

    Raises:
        InputError: if there is no certificate, or no model with this id.
    """
    if model_id is not None:
        models = set(store.names(paths.models(molecule))) - {"index"}
        if model_id not in models:
            raise InputError(
                f"{store.location(paths.models(molecule))}: no model {model_id!r}; {suggest(model_id, models)}"
            )
        return molecule, model_id
    found = read_certificates(store, molecule)
    if not found:
        known = [name for name in store.molecules() if read_certificates(store, name)]
        there = f"there are those of {', '.join(known)}" if known else "there are none yet"
        raise InputError(f"{store.location('reports')}: no certificate of {molecule!r}; {there}")
    newest = max(found.values(), key=lambda one: one.created)
    return newest.model, newest.model_id


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
    """Compare all measured quantities with the thresholds.

    Args:
        card: of the model.
        molecule: used for the validation.
        scratch_errors: of the model trained on accurate labels alone, on the same frames.
        minimum_note: reason if ``minimum`` is not a comparison.
        evidence: None without further evidence.
        accurate_forces: False if the accurate labels are energies alone; lines that need forces are then not checked.
        looks: None for the first certificate that uses these frames.
        passed_over: see :class:`Certificate`.
    """
    evidence, looks = evidence or Evidence(), looks or Looks()
    lines = (
        *_error_lines(errors, thresholds, looks.test),
        _drift_line(dynamics, thresholds),
        _survival_line(dynamics, thresholds),
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
    groups = len(set(errors.groups))
    note = f"{errors.frames} held-out frames"
    if groups < errors.frames:
        note += f" in {groups} independent groups"
    options: dict[str, Any] = {"frames": errors.frames, "look": look, "setting": ("budget", "test"), "note": note}
    energy = error_line("Energy MAE", "eV/atom", thresholds.energy_mae, errors.energy_mae, **options)
    if errors.force_mae is None:
        return make_line("Force MAE", None, "eV/Å", thresholds.force_mae, "<=", NO_FORCES, checked=False), energy
    with_forces = sum(forces is not None for forces in errors.reference_forces)
    if with_forces < errors.frames:
        options |= {"frames": with_forces, "note": f"{with_forces} held-out frames with forces"}
    return error_line("Force MAE", "eV/Å", thresholds.force_mae, errors.force_mae, **options), energy


def _drift_line(dynamics: Dynamics, thresholds: ThresholdSettings) -> Line:
    """The bounds are those of the slope of one trajectory; they do not cover other starting points."""
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
            # The standard error of a slope falls with time^(3/2).
            room = thresholds.nve_drift - value
            if room <= 0:
                suffices = "a smaller drift; a longer trajectory would probably show that the threshold is missed"
            else:
                longer = ((high - value) / room) ** (2 / 3) if math.isfinite(high) else 1.0
                wanted = math.ceil(10 * max(least, nve.requested * longer)) / 10
                suffices = f"about {wanted:g} ps of NVE instead of {nve.requested:g} ps"
                remedy = Remedy("validation", "nve_ps", wanted)
    setting = f"{nve.requested:g} ps from {nve.temperature:.0f} K, time step {nve.timestep:g} fs"
    unit = "eV/atom/ps"
    most = "" if high is None else f"at most {format_quantity(high, unit, 2)} ({100 * (1 - ERROR):g}% confidence)"
    finer = "" if half.drift is None else f"{format_quantity(half.drift, unit, 2)} with {half.timestep:g} fs"
    note = "; ".join(filter(None, [most, setting, finer, *unstable([nve, half])]))
    return make_line(
        "NVE energy drift",
        value,
        unit,
        thresholds.nve_drift,
        "<=",
        note,
        low=low,
        high=high,
        confidence=None if value is None else 1 - ERROR,
        # A broken trajectory fails, however short it is.
        enough=value is None or nve.requested >= LEAST_PS["nve"],
        suffices=suffices,
        remedy=remedy,
    )


def _survival_line(dynamics: Dynamics, thresholds: ThresholdSettings) -> Line:
    """The lower bound of the surviving part must reach the threshold at each temperature."""
    runs, confidence = dynamics.nvt, 1 - ERROR
    counts = {at.temperature: (at.survival.replicas, int(at.survival.failed.sum())) for at in dynamics.survival}
    bounds = {t: proportion_bounds(n - failed, n, confidence) for t, (n, failed) in counts.items()}
    survived = [f"{n - failed} of {n} at {t:.0f} K (at least {bounds[t][0]:.2g})" for t, (n, failed) in counts.items()]
    failures = unstable(runs)
    more = [f"and {len(failures) - LISTED} more"] if len(failures) > LISTED else []
    length = min(trajectory.requested for trajectory in runs)
    note = "; ".join([f"{length:g} ps each", *survived, *failures[:LISTED], *more])
    n, failed = counts[min(bounds, key=lambda t: bounds[t][0])]
    low, value = min(low for low, _ in bounds.values()), min((n - f) / n for n, f in counts.values())
    suffices, remedy = "", None
    if low < thresholds.nvt_stable:
        if value > thresholds.nvt_stable:
            wanted = trials_needed(failed, thresholds.nvt_stable, confidence)
            allowed = "without a failure" if not failed else f"with no more failures than {failed}"
            suffices = f"{wanted} trajectories at each temperature {allowed}, instead of {n}"
            remedy = Remedy("validation", "replicas", wanted)
        else:
            suffices = "a more stable model; more trajectories would probably show that the threshold is missed"
    elif length < LEAST_PS["nvt"]:
        suffices = f"trajectories of {LEAST_PS['nvt']:g} ps instead of {length:g} ps"
        remedy = Remedy("validation", "nvt_ps", LEAST_PS["nvt"])
    return make_line(
        SURVIVED,
        value,
        "",
        thresholds.nvt_stable,
        ">=",
        note,
        low=low,
        high=min(high for _, high in bounds.values()),
        confidence=confidence,
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
        mode_note = f"frequencies below −{IMAGINARY_NOISE:g} cm⁻¹"
    if isinstance(minimum, MinimumComparison):
        force, rmsd = minimum.residual_force, minimum.rmsd
        force_note = "largest component"
        labels = plural(minimum.labels, "label")
        rmsd_note = f"accurate minimum found with {labels}"
        if not minimum.converged:
            # A small distance to a geometry that is not a minimum means nothing.
            rmsd = None
            rmsd_note = (
                f"accurate minimum not found with {labels}: largest force "
                f"{format_quantity(minimum.accurate_force, 'eV/Å')}, {format_number(minimum.rmsd)} Å from the model's"
            )
    return (
        make_line(MINIMUM[0], force, "eV/Å", thresholds.minimum_force, "<=", force_note, accurate_forces),
        make_line(MINIMUM[1], rmsd, "Å", thresholds.minimum_rmsd, "<=", rmsd_note, accurate_forces),
        make_line(MINIMUM[2], imaginary, "", 0.0, "<=", mode_note),
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
