"""Render the templates beside this module to self-contained HTML pages: report, index, page of a model.

Everything is escaped, because names and reasons come from manifests and other programs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asteroid.report.answers import QUESTIONS, Answers, cost_unit
from asteroid.report.cost import Cost
from asteroid.report.energies import conformer_rows, energy_table, torsion_rows
from asteroid.report.gather import Bias, LevelSummary
from asteroid.report.page import data_uri, page_environment
from asteroid.report.rounds import RoundsContext
from asteroid.report.verdict import needs_sentence
from asteroid.report.words import how_trained, strategy_of
from asteroid.store.chain_records import Pilot
from asteroid.store.models import Card
from asteroid.validation.certificate import Certificate

ERROR_ROWS = (
    ("Force MAE", "force_mae", "meV/Å"),
    ("Force RMSE", "force_rmse", "meV/Å"),
    ("Force, worst component", "force_worst", "meV/Å"),
    ("Energy MAE", "energy_mae", "meV/atom"),
    ("Energy RMSE", "energy_rmse", "meV/atom"),
    ("Energy, worst frame", "energy_worst", "meV/atom"),
    ("Total energy MAE", "total_energy_mae", "meV"),
)
"""Name, field of the errors (in eV), unit on the page."""

_ALTERNATIVES = {
    "good": "ratio of bound and threshold for each group of requirements",
    "cost": "cost of each stage and its estimate",
    "bought": "error against number of accurate labels, of this model and of models trained on accurate labels alone",
}
"""Alternative text of each picture."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ReportContext:
    """Everything that a report shows.

    Args:
        card: of the model.
        scratch_card: of the model trained on accurate labels alone; None without one.
        levels: labels at each level.
        costs: of each stage.
        answers: accuracy, cost and gain.
        pictures: PNG by field of :class:`~asteroid.report.answers.Answers`; may lack some.
        rounds: None without rounds.
        pilot: which chose the chain of levels; None without one.
        bias: forces of frames with both labels; None without such frames.
        diagnostics: from :func:`asteroid.training.diagnostics.bias_diagnostics`; None without a cheap level.
        model_location, store_location: path or URL of the model file and of the store.
    """

    certificate: Certificate
    card: Card
    scratch_card: Card | None
    levels: Sequence[LevelSummary]
    costs: Sequence[Cost]
    answers: Answers
    pictures: Mapping[str, bytes]
    rounds: RoundsContext | None
    pilot: Pilot | None
    bias: Bias | None
    diagnostics: Mapping[str, Any] | None
    model_location: str
    store_location: str


@dataclass(frozen=True)
class IndexRow:
    """One model in the index.

    Args:
        report: path of its page from the index.
        model: name of a model of several molecules; empty for a model of this molecule.
        unseen: whether the model was not trained on this molecule.
    """

    molecule: str
    model_id: str
    strategy: str
    accurate: str
    created: str
    state: str
    answers: Answers
    report: str
    model: str = ""
    unseen: bool = False


@dataclass(frozen=True)
class ComparisonRow:
    """One comparison of strategies in the index.

    Args:
        labels: numbers of accurate labels.
        seeds: number of seeds.
        page: path of its page from the index.
    """

    molecule: str
    levels: str
    variants: str
    labels: str
    seeds: int
    page: str


def render_report(context: ReportContext) -> str:
    """The report of one model, without scripts or requests, with embedded images."""
    certificate, card = context.certificate, context.card
    evidence = certificate.evidence
    return (
        page_environment()
        .get_template("report.html.j2")
        .render(
            context=context,
            certificate=certificate,
            card=card,
            questions=QUESTIONS,
            alternatives=_ALTERNATIVES,
            needs=needs_sentence(card),
            how=how_trained(card),
            correction=card.correction,
            strategy=strategy_of(card),
            cost_unit=cost_unit(context.costs),
            error_rows=ERROR_ROWS,
            energy_table=energy_table(
                [*conformer_rows(evidence.conformers), *torsion_rows(evidence.torsions)], cheap=card.cheap or "cheap"
            ),
            figures={name: data_uri(image) for name, image in _images(context).items()},
            settings=json.dumps(card.settings, indent=2, ensure_ascii=False),
        )
    )


def render_index(rows: Sequence[IndexRow], comparisons: Sequence[ComparisonRow]) -> str:
    """The list of all reports and comparisons."""
    template = page_environment().get_template("index.html.j2")
    return template.render(rows=rows, comparisons=comparisons, questions=QUESTIONS)


def render_model_page(card: Card, trained: Sequence[IndexRow], unseen: Sequence[IndexRow]) -> str:
    """The page of a model of several molecules, separately for training molecules and unseen ones."""
    template = page_environment().get_template("model.html.j2")
    return template.render(card=card, trained=trained, unseen=unseen, questions=QUESTIONS, how=how_trained(card))


def _images(context: ReportContext) -> dict[str, bytes]:
    """All images of the page, by their names in the template."""
    # Imported here, because it loads matplotlib, which the index does not need.
    from asteroid.report.figures import report_figures

    return {
        **{f"answer_{name}": picture for name, picture in context.pictures.items()},
        **(context.rounds.figures if context.rounds else {}),
        **report_figures(
            context.certificate,
            context.card,
            context.scratch_card,
            costs=context.costs,
            bias=context.bias,
            diagnostics=context.diagnostics,
        ),
        **_chains(context),
    }


def _chains(context: ReportContext) -> dict[str, bytes]:
    from asteroid.report.chain_plots import expected_errors

    if context.pilot is None or context.card.cheap is None:
        return {}
    correction = context.card.correction
    found = correction.valid_force_mae if correction else None
    return {"chains": expected_errors(context.pilot, context.card.cheap, found=found)}
