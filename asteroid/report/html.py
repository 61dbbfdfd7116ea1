"""Turn what was gathered into one self-contained HTML page, or into the index of all pages.

The templates lie beside this module. Everything is escaped: names and reasons come from manifests and other programs.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from asteroid.report import plots
from asteroid.report.gather import Bias, Cost, LevelSummary
from asteroid.report.verdict import benefit_sentence, count, quality_sentence

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
        model_location: where the model's file lies, for a person.
    """

    certificate: Mapping[str, Any]
    card: Mapping[str, Any]
    scratch_card: Mapping[str, Any] | None
    levels: Sequence[LevelSummary]
    costs: Sequence[Cost]
    bias: Bias | None
    model_location: str


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
        _environment()
        .get_template("report.html.j2")
        .render(
            context=context,
            certificate=certificate,
            card=card,
            quality=quality_sentence(certificate),
            benefit=benefit_sentence(certificate, card),
            cost_unit=_cost_unit(context.costs),
            total_core_seconds=sum(cost.core_seconds for cost in context.costs),
            error_rows=ERROR_ROWS,
            figures={name: _data_uri(image) for name, image in _figures(context).items()},
            settings=json.dumps(card["settings"], indent=2, ensure_ascii=False),
        )
    )


def render_index(rows: Sequence[IndexRow]) -> str:
    """The page that lists every report."""
    return _environment().get_template("index.html.j2").render(rows=rows)


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
        images["weights"] = plots.weight_histogram(card["weights"])
        images["disagreement"] = plots.weight_against_disagreement(card["weights"])
    if context.bias:
        levels = (card["cheap"], card["accurate"])
        cheap, accurate = ([a.tolist() for a in side] for side in (context.bias.cheap, context.bias.accurate))
        images["bias"] = plots.bias_scatter(cheap, accurate, levels)
    return images


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("asteroid.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    environment.globals["count"] = count
    return environment


def _number(value: float | None, digits: int = 3) -> str:
    """Significant digits without an exponent where people read numbers; a dash for what is not known.

    >>> _number(0.0512345), _number(300.0), _number(12345.6), _number(2.5e-7), _number(None)
    ('0.0512', '300', '12,346', '2.50e−07', '–')
    """
    if value is None:
        return "–"
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{value:,.0f}".replace("-", "−")
    if 1e-4 <= abs(value) < 1e6:
        text = f"{value:#.{digits}g}" if abs(value) < 10 ** (digits - 1) else f"{value:,.0f}"
        return text.replace("-", "−")
    return f"{value:.{digits - 1}e}".replace("-", "−")


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
