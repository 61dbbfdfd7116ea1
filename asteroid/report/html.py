"""Turn what was gathered into one self-contained HTML page, or into the index of all pages.

The templates lie beside this module. Everything is escaped: names and reasons come from manifests and other programs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asteroid.report import bias_plots, plots
from asteroid.report.gather import Bias, Cost, LevelSummary
from asteroid.report.page import data_uri, page_environment
from asteroid.report.verdict import benefit_sentence, needs_sentence, quality_sentence
from asteroid.report.words import how_trained, words_of

ERROR_ROWS = (
    ("Force MAE", "force_mae", "eV/Å"),
    ("Force RMSE", "force_rmse", "eV/Å"),
    ("Force, worst component", "force_worst", "eV/Å"),
    ("Energy MAE", "energy_mae", "eV/atom"),
    ("Energy RMSE", "energy_rmse", "eV/atom"),
    ("Energy, worst frame", "energy_worst", "eV/atom"),
    ("Total energy MAE", "total_energy_mae", "eV"),
)
"""Label, key of the certificate, unit."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ReportContext:
    """Everything that a report shows.

    Args:
        certificate: as :meth:`asteroid.validation.certificate.Certificate.to_json` makes it.
        card: of the model.
        scratch_card: of the model trained on accurate labels alone; None without one.
        levels: the labels at each level of the molecule.
        costs: core-seconds by stage.
        bias: forces of frames with both labels; None without such frames.
        diagnostics: as :func:`asteroid.training.diagnostics.bias_diagnostics` finds them; None without a cheap level.
        model_location, store_location: where the model's file and the store lie, for a person.
    """

    certificate: Mapping[str, Any]
    card: Mapping[str, Any]
    scratch_card: Mapping[str, Any] | None
    levels: Sequence[LevelSummary]
    costs: Sequence[Cost]
    bias: Bias | None
    diagnostics: Mapping[str, Any] | None
    model_location: str
    store_location: str


@dataclass(frozen=True)
class IndexRow:
    """One model in the index; ``report`` is the page's path from the index.

    Args:
        force_mae: eV/Å; None where forces were never checked.
        energy_mae: eV/atom.
    """

    molecule: str
    model_id: str
    strategy: str
    accurate: str
    created: str
    passed: bool
    force_mae: float | None
    energy_mae: float
    improvement: float | None
    report: str


def render_report(context: ReportContext) -> str:
    """The page of one model: no script, no request, images inside."""
    certificate, card = context.certificate, context.card
    return (
        page_environment()
        .get_template("report.html.j2")
        .render(
            context=context,
            certificate=certificate,
            card=card,
            quality=quality_sentence(certificate),
            benefit=benefit_sentence(certificate, card),
            needs=needs_sentence(card),
            how=how_trained(card),
            aid=words_of(card).aid,
            correction=card.get("correction"),
            cost_unit=_cost_unit(context.costs),
            total_core_seconds=sum(cost.core_seconds for cost in context.costs),
            error_rows=ERROR_ROWS,
            figures={name: data_uri(image) for name, image in _figures(context).items()},
            settings=json.dumps(card["settings"], indent=2, ensure_ascii=False),
        )
    )


def render_index(rows: Sequence[IndexRow]) -> str:
    """The page that lists every report."""
    return page_environment().get_template("index.html.j2").render(rows=rows)


def _cost_unit(costs: Sequence[Cost]) -> tuple[str, float]:
    """Core-hours, or core-seconds when all stages together are a few minutes: the unit's name and its seconds."""
    return ("core-hours", 3600.0) if sum(cost.core_seconds for cost in costs) >= 360 else ("core-seconds", 1.0)


def _figures(context: ReportContext) -> dict[str, bytes]:
    """The images for which there are data, by the names that the template uses."""
    certificate, card = context.certificate, context.card
    # The comparison with itself would draw every point twice.
    scratch = certificate["scratch_errors"] if card["strategy"] != "scratch" else None
    scratch_card = context.scratch_card if card["strategy"] != "scratch" else None
    images = {
        "energies": plots.energy_parity(certificate["errors"], scratch),
        "nve": plots.nve_energy(certificate["dynamics"]["nve"], certificate["errors"]["atoms"][0]),
        "nvt": plots.nvt_temperature(certificate["dynamics"]["nvt"]),
        "cost": plots.cost_bar([(cost.stage, cost.core_seconds) for cost in context.costs]),
    }
    if certificate["errors"]["force_mae"] is not None:
        images["forces"] = plots.force_parity(certificate["errors"], scratch)
    if card["history"]:
        images["learning"] = plots.learning_curves(card, scratch_card)
    if card["weights"]:
        images["disagreement"] = bias_plots.weight_against_disagreement(card["weights"])
    if context.bias:
        levels = (card["cheap"], card["accurate"])
        cheap, accurate = ([a.tolist() for a in side] for side in (context.bias.cheap, context.bias.accurate))
        images["bias"] = bias_plots.bias_scatter(cheap, accurate, levels)
    if context.diagnostics:
        images |= bias_plots.diagnostic_figures(context.diagnostics)
    return images
