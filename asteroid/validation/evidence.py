"""Further evidence for a certificate: errors in the model's own MD, vibrations, torsions and distributions.

Evidence that is switched off or not available is not checked. Evidence that was requested and failed is "not enough
evidence". Torsions and frequencies are compared at fixed geometries and have no sampling error.
:mod:`asteroid.stages.evidence` gathers the evidence; the lines are part of :mod:`asteroid.validation.certificate`.
"""

from dataclasses import dataclass

from asteroid.errors import plural
from asteroid.quantities import format_number, format_quantity
from asteroid.settings import ThresholdSettings
from asteroid.validation.conformers import ConformerEnergy
from asteroid.validation.distributions import FEWEST, Distance, Distributions, Kind
from asteroid.validation.harmonic import Frequencies
from asteroid.validation.infrared import Infrared
from asteroid.validation.intervals import ERROR
from asteroid.validation.line import NO_FORCES, ON_POLICY, TORSIONS, Line, error_line, make_line, remake_line
from asteroid.validation.on_policy import OnPolicy
from asteroid.validation.spectra import Spectrum
from asteroid.validation.torsions import TorsionComparison

RESOLVED = 1 / 3
"""Largest noise of a checked distribution, as a part of the threshold: the upper bound of a perfect model is about
twice the noise, and must be below the threshold."""

MISSING = 0.2
"""Largest part of the labels in the model's own MD that may fail."""

_KINDS: dict[Kind, tuple[str, str]] = {
    "bond": ("Bond lengths in MD", "Å"),
    "angle": ("Bond angles in MD", "°"),
    "dihedral": ("Dihedral angles in MD", "°"),
    "fragments": ("Distances between fragments in MD", "Å"),
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """Evidence beyond errors on held-out frames, stability and minimum; ``evidence`` in the certificate's JSON.

    Args:
        on_policy: None if no frames of the model's own MD were to be labelled.
        frequencies: None if they were not requested or failed.
        frequencies_asked: whether they were requested.
        frequencies_note: reason why there are none.
        torsions: one for each rotatable bond.
        distributions: one for each temperature with a reference.
        spectrum: None if the model's MD was too short or failed.
        infrared: None without a dipole model.
        conformers: empty if there is only one.
    """

    on_policy: OnPolicy | None = None
    frequencies: Frequencies | None = None
    frequencies_asked: bool = False
    frequencies_note: str = "accurate frequencies were not requested"
    torsions: tuple[TorsionComparison, ...] = ()
    distributions: tuple[Distributions, ...] = ()
    spectrum: Spectrum | None = None
    infrared: Infrared | None = None
    conformers: tuple[ConformerEnergy, ...] = ()


def evidence_lines(evidence: Evidence, thresholds: ThresholdSettings, *, look: int = 1) -> tuple[Line, ...]:
    """One line for each kind of evidence, two for frequencies, four for distributions.

    Args:
        look: number of certificates that have used the frames of the model's own MD, including this one.
    """
    limits: dict[Kind, float] = {
        "bond": thresholds.bonds,
        "angle": thresholds.angles,
        "dihedral": thresholds.dihedrals,
        "fragments": thresholds.fragments,
    }
    return (
        _on_policy_line(evidence.on_policy, thresholds, look),
        *_frequency_lines(evidence, thresholds),
        _torsion_line(evidence.torsions, thresholds),
        *(_distribution_line(kind, evidence.distributions, limit) for kind, limit in limits.items()),
    )


def _on_policy_line(found: OnPolicy | None, thresholds: ThresholdSettings, look: int) -> Line:
    name, unit, threshold = ON_POLICY, "eV/Å", thresholds.on_policy_mae
    if found is None:
        note = "no labels in the model's own MD were requested"
        return make_line(name, None, unit, threshold, "<=", note, checked=False)
    if found.errors is None:
        return _unlabelled(
            make_line(name, None, unit, threshold, "<=", f"none of {found.asked} frames got an accurate label")
        )
    if found.errors.force_mae is None:
        return make_line(name, None, unit, threshold, "<=", NO_FORCES, checked=False)
    rmse, worst = found.errors.force_rmse, found.errors.force_worst
    kelvin = ", ".join(f"{t:.0f}" for t in sorted(set(found.temperatures)))
    note = (
        f"RMSE {format_quantity(rmse.value if rmse else 0, unit)}, largest {format_quantity(worst or 0, unit)}; "
        f"{found.errors.frames} frames at {kelvin} K"
        + (f", {found.failed} more without a label" if found.failed else "")
    )
    line = error_line(
        name,
        unit,
        threshold,
        found.errors.force_mae,
        frames=found.errors.frames,
        look=look,
        setting=("validation", "on_policy"),
        note=note,
    )
    if found.failed > MISSING * found.asked:
        # Frames whose labels fail are often wrong geometries, so the others do not represent all of them.
        lacking = f"{found.failed} of {found.asked} frames got no accurate label"
        unknown = dict.fromkeys(("value", "low", "high", "confidence", "remedy"))
        return _unlabelled(remake_line(line, note=f"{lacking}; the others: {line.note}", **unknown))
    return line


def _unlabelled(line: Line) -> Line:
    """The line if requested labels failed: not enough evidence."""
    return remake_line(line, enough=False, suffices="the failed accurate labels, see asteroid status --reasons")


def _frequency_lines(evidence: Evidence, thresholds: ThresholdSettings) -> tuple[Line, ...]:
    found, asked = evidence.frequencies, evidence.frequencies_asked
    mean = worst = None
    mean_note = worst_note = evidence.frequencies_note
    if found is not None:
        mean, worst = found.mean, found.worst
        mean_note = f"{plural(len(found.accurate), 'mode')}, {plural(found.labels, 'accurate label')}"
        mode = int(abs(found.model - found.accurate).argmax())
        worst_note = f"{found.model[mode]:.0f} instead of {found.accurate[mode]:.0f} cm⁻¹"
    names = "Mean deviation of harmonic frequencies", "Largest deviation of a harmonic frequency"
    lines = (
        make_line(names[0], mean, "cm⁻¹", thresholds.frequency_mean, "<=", mean_note, asked),
        make_line(names[1], worst, "cm⁻¹", thresholds.frequency_worst, "<=", worst_note, asked),
    )
    return lines if found is not None or not asked else tuple(map(_unlabelled, lines))


def _torsion_line(found: tuple[TorsionComparison, ...], thresholds: ThresholdSettings) -> Line:
    measured = [(1000 * torsion.worst, torsion) for torsion in found if torsion.worst is not None]
    value, note = None, "no rotatable bond, or no labels for torsions requested"
    if found:
        note = "no accurate label for a torsion"
    if measured:
        value, worst = max(measured, key=lambda pair: pair[0])
        labels = sum(len(t.points) for t in found)
        note = f"largest about {worst.name}; {plural(labels, 'accurate label')}, {plural(len(found), 'bond')}"
    if measured and (lacking := sum(len(torsion.points) < torsion.asked for torsion in found)):
        # A missing point may be the top of the barrier.
        value, note = None, f"accurate labels are missing for {lacking} of {plural(len(found), 'bond')}; {note}"
    line = make_line(TORSIONS, value, "meV", thresholds.torsion, "<=", note, bool(found))
    return _unlabelled(line) if found and value is None else line


def _distribution_line(kind: Kind, found: tuple[Distributions, ...], threshold: float) -> Line:
    name, unit = _KINDS[kind]
    usable = [(d, one) for one in found for d in one.distances if d.kind == kind]
    clear = [(d, one) for d, one in usable if d.noise <= RESOLVED * threshold]
    if clear:
        # All must meet the threshold, so each bound may have 95% confidence.
        worst, at = max(clear, key=lambda pair: pair[0].bounds[1])
        low, high = max(d.bounds[0] for d, _ in clear), worst.bounds[1]
        suffices = ""
        if high > threshold:
            suffices = "longer MD (`validation: {nvt_ps: …}`) and a longer reference trajectory"
        note = _distance_note(worst, at, unit)
        # The coordinate with the largest upper bound, not that with the largest distance.
        value = max(worst.value, low)
        return make_line(
            name, value, unit, threshold, "<=", note, low=low, high=high, confidence=1 - ERROR, suffices=suffices
        )
    if usable:
        note = f"MD and reference are too short: noise {format_quantity(min(d.noise for d, _ in usable), unit, 2)}"
    elif found and any(one.distances for one in found):
        note = "none in this molecule"
    elif found:
        most = max(one.effective for one in found)
        note = f"reference of {most:.2g} effective frames, fewer than {FEWEST:.0f}: {found[0].source}"
    else:
        note = "no reference trajectory at a temperature of the MD"
    return make_line(name, None, unit, threshold, "<=", note, checked=False)


def _distance_note(worst: Distance, at: Distributions, unit: str) -> str:
    low, high, noise = (format_number(value, 2) for value in (*worst.bounds, worst.noise))
    return (
        f"{worst.name} at {at.temperature:.0f} K, {100 * (1 - 2 * ERROR):g}% interval {low} to {high} {unit}, "
        f"noise {noise} {unit}; reference: {at.source}, {at.effective:.0f} effective frames"
    )
