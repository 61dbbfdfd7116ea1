"""The lines of a certificate that rest on more than held-out frames: own MD, vibrations, torsions, ensembles.

Each kind of evidence can be switched off or be out of reach; its lines are then not checked. What was asked for and
could not be had is not enough evidence, and does not pass. Torsions and frequencies have no sampling error: they are
what they are at the geometries that were labelled. Gathered in :mod:`asteroid.stages.certificates`, part of
:mod:`asteroid.validation.certificate`.
"""

from dataclasses import dataclass

from asteroid.quantities import format_number
from asteroid.settings import ThresholdSettings
from asteroid.validation.distributions import FEWEST, Distance, Distributions, Kind
from asteroid.validation.harmonic import Frequencies
from asteroid.validation.intervals import ERROR
from asteroid.validation.line import NO_FORCES, ON_POLICY, TORSIONS, Line, error_line, judged, judged_again
from asteroid.validation.on_policy import OnPolicy
from asteroid.validation.spectra import Spectrum
from asteroid.validation.torsions import TorsionComparison

RESOLVED = 1 / 3
"""A distribution is judged where the noise is at most this part of the threshold: the upper bound of a perfect model is
about twice the noise, and has to have room below it."""

MISSING = 0.2
"""Part of the labels of the model's own MD that may fail before the rest says nothing about it."""

_KINDS: dict[Kind, tuple[str, str]] = {
    "bond": ("Bond lengths in MD", "Å"),
    "angle": ("Bond angles in MD", "°"),
    "dihedral": ("Dihedral angles in MD", "°"),
    "fragments": ("Distances between fragments in MD", "Å"),
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """What is known of a model beyond its errors on held-out frames, its stability and its minimum.

    In a certificate's JSON it is ``evidence``, with these keys and those of the classes; null or empty where missing.

    Args:
        on_policy: None where no frames of the model's own MD were to be labelled.
        frequencies: None where they were not asked for, or could not be had.
        frequencies_asked: whether they were.
        frequencies_note: why there are none.
        torsions: one for each rotatable bond.
        distributions: one for each temperature that has a reference.
        spectrum: None where the model's MD was too short or did not last.
    """

    on_policy: OnPolicy | None = None
    frequencies: Frequencies | None = None
    frequencies_asked: bool = False
    frequencies_note: str = "accurate frequencies were not asked for"
    torsions: tuple[TorsionComparison, ...] = ()
    distributions: tuple[Distributions, ...] = ()
    spectrum: Spectrum | None = None


def evidence_lines(evidence: Evidence, thresholds: ThresholdSettings, *, look: int = 1) -> tuple[Line, ...]:
    """One line for each kind of evidence, two for frequencies, four for distributions.

    Args:
        look: how often the frames of the model's own MD have been judged, this time included.
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
        note = "no frames of the model's own MD were to be labelled"
        return judged(name, None, unit, threshold, "<=", note, checked=False)
    if found.errors is None:
        return _unlabelled(
            judged(name, None, unit, threshold, "<=", f"none of {found.asked} frames got an accurate label")
        )
    if found.errors.force_mae is None:
        return judged(name, None, unit, threshold, "<=", NO_FORCES, checked=False)
    rmse, worst = found.errors.force_rmse, found.errors.force_worst
    kelvin = ", ".join(f"{t:.0f}" for t in sorted(set(found.temperatures)))
    note = (
        f"RMSE {format_number(rmse.value if rmse else 0)}, worst {format_number(worst)}; "
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
        # Geometries without a label are often absurd: what is left of them must not pass for all.
        lacking = f"{found.failed} of {found.asked} frames got no accurate label"
        unknown = dict.fromkeys(("value", "low", "high", "confidence", "remedy"))
        return _unlabelled(judged_again(line, note=f"{lacking}; the others: {line.note}", **unknown))
    return line


def _unlabelled(line: Line) -> Line:
    """Of labels that were asked for and failed: they cannot condemn a model, and must not acquit it."""
    return judged_again(line, enough=False, suffices="accurate labels where they failed: see asteroid status --reasons")


def _frequency_lines(evidence: Evidence, thresholds: ThresholdSettings) -> tuple[Line, ...]:
    found, asked = evidence.frequencies, evidence.frequencies_asked
    mean = worst = None
    mean_note = worst_note = evidence.frequencies_note
    if found is not None:
        mean, worst = found.mean, found.worst
        mean_note = f"{len(found.accurate)} modes, {found.labels} accurate labels"
        mode = int(abs(found.model - found.accurate).argmax())
        worst_note = f"{found.model[mode]:.0f} instead of {found.accurate[mode]:.0f} cm⁻¹"
    names = "Mean deviation of harmonic frequencies", "Largest deviation of a harmonic frequency"
    lines = (
        judged(names[0], mean, "cm⁻¹", thresholds.frequency_mean, "<=", mean_note, asked),
        judged(names[1], worst, "cm⁻¹", thresholds.frequency_worst, "<=", worst_note, asked),
    )
    return lines if found is not None or not asked else tuple(map(_unlabelled, lines))


def _torsion_line(found: tuple[TorsionComparison, ...], thresholds: ThresholdSettings) -> Line:
    measured = [(1000 * torsion.worst, torsion) for torsion in found if torsion.worst is not None]
    value, note = None, "no rotatable bond, or no labels along one were asked for"
    if found:
        note = "no accurate label along a rotatable bond"
    if measured:
        value, worst = max(measured, key=lambda pair: pair[0])
        labels = sum(len(t.points) for t in found)
        note = f"the worst about {worst.name}; accurate labels: {labels}, bonds: {len(found)}"
    if measured and (lacking := sum(len(torsion.points) < torsion.asked for torsion in found)):
        # What could not be measured, the top of a barrier say, must not hide behind what could.
        value, note = None, f"of {lacking} of {len(found)} bonds an accurate label is missing; {note}"
    line = judged(TORSIONS, value, "meV", thresholds.torsion, "<=", note, bool(found))
    return _unlabelled(line) if found and value is None else line


def _distribution_line(kind: Kind, found: tuple[Distributions, ...], threshold: float) -> Line:
    name, unit = _KINDS[kind]
    usable = [(d, one) for one in found for d in one.distances if d.kind == kind]
    clear = [(d, one) for d, one in usable if d.noise <= RESOLVED * threshold]
    if clear:
        # All of them must meet the threshold, so each may be judged at its own 95%.
        worst, at = max(clear, key=lambda pair: pair[0].bounds[1])
        low, high = max(d.bounds[0] for d, _ in clear), worst.bounds[1]
        suffices = ""
        if high > threshold:
            suffices = "longer MD, and a longer reference (`validation: {nvt_ps: …}`, more imported or sampled MD)"
        note = _distance_note(worst, at, unit)
        # The distance of the coordinate that is least sure is the value, even where another's is larger.
        value = max(worst.value, low)
        return judged(
            name, value, unit, threshold, "<=", note, low=low, high=high, confidence=1 - ERROR, suffices=suffices
        )
    if usable:
        note = f"MD and reference are too short: noise {format_number(min(d.noise for d, _ in usable), 2)} {unit}"
    elif found and any(one.distances for one in found):
        note = "there is none in this molecule"
    elif found:
        most = max(one.effective for one in found)
        note = f"the reference is worth {most:.2g} frames, fewer than {FEWEST:.0f}: {found[0].source}"
    else:
        note = "no reference trajectory at a temperature of the MD"
    return judged(name, None, unit, threshold, "<=", note, checked=False)


def _distance_note(worst: Distance, at: Distributions, unit: str) -> str:
    low, high = worst.bounds
    return (
        f"{worst.name} at {at.temperature:.0f} K, between {format_number(low, 2)} and {format_number(high, 2)}, "
        f"each bound with {100 * (1 - ERROR):g}% confidence, "
        f"noise {format_number(worst.noise, 2)} {unit}; reference: {at.source}, worth {at.effective:.0f} frames"
    )
