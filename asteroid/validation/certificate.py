"""The certificate: a pass or fail for one model of one molecule, line by line, with the numbers behind each.

It sums up what :mod:`asteroid.validation.errors`, ``dynamics``, ``minimum`` and ``evidence`` measured. A quantity that
could not be measured does not pass. One that nobody meant to measure (forces, of accurate labels that are energies
alone) is listed as not checked: it neither passes nor fails. As a plain dict it is stored beside the report, which
:mod:`asteroid.report` makes from it.
"""

import datetime as dt
import importlib.metadata
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from asteroid.settings import ThresholdSettings
from asteroid.validation.dynamics import Dynamics, unstable
from asteroid.validation.errors import Errors, Estimate, improvement
from asteroid.validation.evidence import Evidence, evidence_lines
from asteroid.validation.line import MINIMUM, NO_FORCES, SURVIVED, Line
from asteroid.validation.minimum import MinimumComparison, ModelMinimum

IMAGINARY_NOISE = 50.0
"""cm⁻¹: an optimisation that ends at a small force leaves a free methyl rotor with an imaginary mode of a few tens."""

LISTED = 4
"""Failed trajectories that a note names; the report's table has them all."""

_PACKAGES = ("asteroid", "mace-torch", "torch", "ase", "numpy")


@dataclass(frozen=True, eq=False, kw_only=True)
class Certificate:
    """What one model reached.

    Args:
        levels: ``cheap`` (None for a model trained without cheap labels) and ``accurate``.
        versions: of the packages that made it.
        improvement: force MAE of the scratch model over that of this one, on the same frames (energy MAE where no
            label has forces); None without a scratch model, or where this model is the scratch model.
        minimum: None when the minimum could not be compared.
        evidence: from the model's own MD, its vibrations, torsions and ensembles.
    """

    model_id: str
    molecule: str
    strategy: str
    levels: Mapping[str, str | None]
    created: str
    versions: Mapping[str, str]
    lines: tuple[Line, ...]
    errors: Errors
    scratch_errors: Errors | None
    improvement: Estimate | None
    dynamics: Dynamics
    minimum: MinimumComparison | ModelMinimum | None
    evidence: Evidence

    @property
    def passed(self) -> bool:
        """Whether every requirement that was checked is met."""
        return all(line.passed for line in self.lines if line.checked)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; a number that is not finite becomes None."""
        content: dict[str, Any] = _plain(self)
        content["passed"] = self.passed
        content["lines"] = [{**_plain(line), "passed": line.passed} for line in self.lines]
        return content


def certify(
    card: Mapping[str, Any],
    *,
    errors: Errors,
    scratch_errors: Errors | None,
    dynamics: Dynamics,
    minimum: MinimumComparison | ModelMinimum | None,
    thresholds: ThresholdSettings,
    minimum_note: str = "",
    evidence: Evidence | None = None,
    accurate_forces: bool = True,
) -> Certificate:
    """Compare what was measured with the thresholds.

    Args:
        card: of the model, from the store.
        scratch_errors: of the model trained on accurate labels alone, on the same frames.
        minimum_note: why ``minimum`` is no comparison.
        evidence: None where nothing further was gathered.
        accurate_forces: False where only energies were asked for at the accurate level: what needs its forces is then
            not checked.
    """
    evidence = evidence or Evidence()
    return Certificate(
        model_id=card["model_id"],
        molecule=card["molecule"],
        strategy=card["strategy"],
        levels={"cheap": card["cheap"], "accurate": card["accurate"]},
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        versions=_versions(),
        lines=(
            *_error_lines(errors, thresholds),
            *_dynamics_lines(dynamics, thresholds),
            *_minimum_lines(minimum, minimum_note, thresholds, accurate_forces),
            *evidence_lines(evidence, thresholds),
        ),
        errors=errors,
        scratch_errors=scratch_errors,
        improvement=improvement(errors, scratch_errors) if scratch_errors else None,
        dynamics=dynamics,
        minimum=minimum,
        evidence=evidence,
    )


def _error_lines(errors: Errors, thresholds: ThresholdSettings) -> tuple[Line, ...]:
    force, energy = errors.force_mae, errors.energy_mae
    with_forces = sum(forces is not None for forces in errors.reference_forces)
    return (
        Line(
            "Force MAE",
            None if force is None else force.value,
            "eV/Å",
            thresholds.force_mae,
            "<=",
            NO_FORCES if force is None else _interval(force, with_forces),
            checked=force is not None,
        ),
        Line("Energy MAE", energy.value, "eV/atom", thresholds.energy_mae, "<=", _interval(energy, errors.frames)),
    )


def _interval(estimate: Estimate, frames: int) -> str:
    return f"95% interval {estimate.low:.4g} to {estimate.high:.4g}, {frames} held-out frames"


def _dynamics_lines(dynamics: Dynamics, thresholds: ThresholdSettings) -> tuple[Line, ...]:
    nve, half = dynamics.nve, dynamics.nve_half
    drift = None if nve.drift is None else abs(nve.drift)
    setting = f"{nve.requested:g} ps from {nve.temperature:.0f} K, time step {nve.timestep:g} fs"
    finer = "" if half.drift is None else f"{half.drift:.2g} with {half.timestep:g} fs"
    note = "; ".join(filter(None, [setting, finer, *unstable([nve, half])]))
    runs = dynamics.trajectories
    certain = [
        f"at {at.temperature:.0f} K {at.surviving:.2g} survive {at.survival.until:g} ps, "
        f"95% interval {at.low:.2g} to {at.high:.2g} of {at.survival.replicas} replicas"
        for at in dynamics.survival
    ]
    failures = unstable(runs)
    more = [f"and {len(failures) - LISTED} more"] if len(failures) > LISTED else []
    survival = "; ".join([f"{sum(t.stable for t in runs)} of {len(runs)}", *certain, *failures[:LISTED], *more])
    return (
        Line("NVE energy drift", drift, "eV/atom/ps", thresholds.nve_drift, "<=", note),
        Line(SURVIVED, dynamics.stable_fraction, "", thresholds.nvt_stable, ">=", survival),
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
        rmsd_note = f"accurate minimum reached in {minimum.labels} labels"
        if not minimum.converged:
            # The distance to a geometry that is no minimum says nothing, however small.
            rmsd = None
            rmsd_note = (
                f"not reached in {minimum.labels} labels: {minimum.accurate_force:.3g} eV/Å left, "
                f"{minimum.rmsd:.3g} Å from the model's minimum"
            )
    return (
        Line(
            MINIMUM[0],
            force,
            "eV/Å",
            thresholds.minimum_force,
            "<=",
            force_note,
            accurate_forces,
        ),
        Line(MINIMUM[1], rmsd, "Å", thresholds.minimum_rmsd, "<=", rmsd_note, accurate_forces),
        Line(MINIMUM[2], imaginary, "", 0.0, "<=", mode_note),
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
