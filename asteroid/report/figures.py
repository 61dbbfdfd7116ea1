"""All available figures of a report, by their names in the template; the modules named ``…_plots`` draw them."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from asteroid.report import bias_plots, certificate_plots, dynamics_plots, infrared_plots, plots
from asteroid.report.cost import Cost
from asteroid.report.gather import Bias
from asteroid.store.models import Card
from asteroid.strategies import BASELINE
from asteroid.validation.certificate import Certificate
from asteroid.validation.distributions import Kind


def report_figures(
    certificate: Certificate,
    card: Card,
    scratch_card: Card | None,
    *,
    costs: Sequence[Cost],
    bias: Bias | None,
    diagnostics: Mapping[str, Any] | None,
) -> dict[str, bytes]:
    """PNG by name; arguments as in :class:`asteroid.report.html.ReportContext`."""
    # A scratch model is not compared with itself.
    scratch_card = scratch_card if card.strategy != BASELINE else None
    figures = {
        "nvt": dynamics_plots.nvt_temperatures(certificate.dynamics.nvt),
        "cost": plots.cost_bar([(cost.stage, cost.core_seconds) for cost in costs]),
    }
    if card.history:
        figures["learning"] = plots.learning_curves(card, scratch_card)
    if card.weights:
        figures["disagreement"] = bias_plots.weight_against_disagreement(card.weights)
    if bias and card.cheap:
        figures["bias"] = bias_plots.bias_scatter(bias.cheap, bias.accurate, (card.cheap, card.accurate))
    if diagnostics:
        figures |= bias_plots.diagnostic_figures(diagnostics)
    dynamics = certificate.dynamics
    figures["nve"] = dynamics_plots.nve_energies(dynamics, certificate.errors.atoms[0])
    figures["survival"] = dynamics_plots.survival_curves(dynamics)
    return figures | _of_evidence(certificate)


def _of_evidence(certificate: Certificate) -> dict[str, bytes]:
    evidence, minimum = certificate.evidence, certificate.minimum
    figures: dict[str, bytes | None] = {}
    if evidence.frequencies:
        figures["frequencies"] = certificate_plots.frequency_deviations(evidence.frequencies)
    for index, torsion in enumerate(evidence.torsions):
        figures[f"torsion_{index}"] = certificate_plots.torsion_profile(torsion)
    for index, found in enumerate(evidence.distributions):
        for kind in get_args(Kind):
            figures[f"distribution_{index}_{kind}"] = certificate_plots.distributions(found, kind)
    if evidence.spectrum:
        frequencies = minimum.frequencies if minimum else None
        figures["spectrum"] = certificate_plots.power_spectrum(evidence.spectrum, frequencies)
    if evidence.infrared:
        figures |= infrared_plots.infrared_figures(evidence.infrared)
    return {name: figure for name, figure in figures.items() if figure is not None}
