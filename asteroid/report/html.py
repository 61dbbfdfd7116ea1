"""Render the templates beside this module to self-contained HTML pages: report, index, page of a model.

Everything is escaped, because names and reasons come from manifests and other programs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from asteroid.report.answers import QUESTIONS, Answers
from asteroid.report.cost import Cost
from asteroid.report.energies import conformer_rows, energy_table, torsion_rows
from asteroid.report.gather import Bias, LevelSummary
from asteroid.report.page import data_uri, page_environment
from asteroid.report.rounds import RoundsContext
from asteroid.report.structures import Structures
from asteroid.report.verdict import name_in_sentence, needs_sentence
from asteroid.report.words import how_trained, strategy_of
from asteroid.store import paths
from asteroid.store.chain_records import Pilot
from asteroid.store.models import Card
from asteroid.validation.certificate import Certificate
from asteroid.validation.intervals import Estimate
from asteroid.validation.line import Line
from asteroid.validation.minimum import InternalCoordinate

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

MOST_COORDINATES = 5
"""Largest number of bonds, and of angles, that a report shows at once."""

_ALTERNATIVES = {
    "good": "ratio of bound and threshold for each group of requirements",
    "cost": "cost of each stage and its estimate",
    "bought": "error against number of accurate labels, of this model and of models trained on accurate labels alone",
}
"""Alternative text of each picture."""

_PARITY_CAPTIONS = (
    ("forces", "Force components of held-out frames."),
    ("energies", "Energies per atom of held-out frames, relative to their mean."),
    ("own_forces", "Force components in the model's own MD."),
)


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
        structures: of the minimum, frames with accurate labels and MD.
        drawing: of the molecule; None without a SMILES.
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
    structures: Structures
    drawing: Markup | None
    model_location: str
    store_location: str


@dataclass(frozen=True)
class IndexRow:
    """One model in the index, or a molecule without one, which has no ``report``.

    Args:
        force_mae: eV/Å; None without accurate forces.
        energy_mae: eV/atom.
        gain: error without cheap labels divided by that with them; None if unknown.
        core_hours: of everything; None if unknown.
        lines: of the certificate.
        answers: None without a model.
        report: path of its page from the index.
        waits: advice for a model that is not certified, and labels to do.
        model: name of a model of several molecules; empty for a model of this molecule.
        unseen: whether the model was not trained on this molecule.
    """

    molecule: str
    waits: str = ""
    model_id: str = ""
    strategy: str = ""
    accurate: str = ""
    created: str = ""
    state: str = ""
    force_mae: Estimate | None = None
    energy_mae: Estimate | None = None
    gain: float | None = None
    core_hours: float | None = None
    lines: tuple[Line, ...] = ()
    answers: Answers | None = None
    report: str = ""
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
    """The report of one model, without requests: images, scripts, structures and small files are inside."""
    # Imported here, because it loads matplotlib, which the index does not need.
    from asteroid.report import downloads
    from asteroid.report.parity import report_parity

    certificate, card, shown = context.certificate, context.card, context.structures
    evidence = certificate.evidence
    judged = [*shown.tested, *shown.own]
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
            error_rows=ERROR_ROWS,
            furthest=furthest,
            in_sentence=name_in_sentence,
            parity=report_parity(certificate, card, shown),
            parity_captions=_PARITY_CAPTIONS,
            downloads={
                "xyz": data_uri(downloads.frames_as_xyz(judged), "chemical/x-xyz"),
                "parquet": data_uri(downloads.values_as_parquet(judged), "application/vnd.apache.parquet"),
            },
            model_path=paths.model(card.molecule, card.model_id),
            scripts=("3Dmol.min.js", "viewer.js") if shown.scenes else (),
            energy_table=energy_table(
                [*conformer_rows(evidence.conformers), *torsion_rows(evidence.torsions)], cheap=card.cheap or "cheap"
            ),
            figures={name: data_uri(image) for name, image in _images(context).items()},
            settings=json.dumps(card.settings, indent=2, ensure_ascii=False),
        )
    )


def furthest(coordinates: Sequence[InternalCoordinate]) -> list[InternalCoordinate]:
    """The bonds and the angles in which two minima differ most, in the order of the molecule."""
    chosen = []
    for kind in dict.fromkeys(one.kind for one in coordinates):
        alike = [one for one in coordinates if one.kind == kind]
        chosen += sorted(alike, key=lambda one: -abs(one.model - one.accurate))[:MOST_COORDINATES]
    return [one for one in coordinates if one in chosen]


def render_index(rows: Sequence[IndexRow], comparisons: Sequence[ComparisonRow]) -> str:
    """The list of all reports and comparisons, and models of the same molecule side by side."""
    molecules = dict.fromkeys(row.molecule for row in rows)
    models = {name: [row for row in rows if row.molecule == name and row.report] for name in molecules}
    template = page_environment().get_template("index.html.j2")
    return template.render(
        rows=rows,
        comparisons=comparisons,
        side_by_side=[(name, found) for name, found in models.items() if len(found) > 1],
        scripts=("index.js",),
    )


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
