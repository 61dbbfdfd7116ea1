"""Write the report of a model into the store, and update the index."""

import logging
from collections.abc import Sequence
from typing import Any

from asteroid.levels import LevelOfTheory
from asteroid.report import answer_plots
from asteroid.report.answers import PICTURES, answer
from asteroid.report.chain import find_pilot
from asteroid.report.cost import Cost, Quoted, collect_costs, read_quote
from asteroid.report.drawing import draw_molecule
from asteroid.report.gather import LevelSummary, collect_bias, summarise_level
from asteroid.report.groups import group_lines
from asteroid.report.html import ReportContext, render_report
from asteroid.report.index import write_index, write_model_page
from asteroid.report.rounds import collect_rounds, rounds_context
from asteroid.report.structures import collect_structures
from asteroid.report.words import strategy_of
from asteroid.store import Store, paths, records
from asteroid.store.models import Card
from asteroid.store.quote_records import KeptQuote
from asteroid.store.rows import core_seconds
from asteroid.strategies import BASELINE
from asteroid.training.diagnostics import bias_diagnostics
from asteroid.validation.certificate import Certificate
from asteroid.validation.worth import LearningCurve

logger = logging.getLogger(__name__)


def write_report(
    store: Store,
    molecule: str,
    certificate: Certificate,
    card: Card,
    scratch_card: Card | None,
    *,
    folder: str,
    curve: LearningCurve | None = None,
    quote: KeptQuote | None = None,
    next_step: str = "",
    trajectories: str | None = None,
) -> str:
    """Write ``report.html`` beside ``certificate.json``, its answers and their pictures, and the index.

    Args:
        card: of the model.
        scratch_card: of the model trained on the same accurate labels alone; None without one.
        folder: below ``reports/<molecule>/``.
        curve: from :func:`asteroid.stages.curve.measure_curve`; None in certificates of older versions.
        quote: from :func:`asteroid.stages.kept_quotes.find_quote`; None without one.
        next_step: advice for a model that is not certified; empty for one that is.
        trajectories: folder of the model's MD; None without it.

    Returns:
        Location of the report.
    """
    model_id = card.model_id
    levels = [summarise_level(store, molecule, level) for level in store.levels(molecule)]
    other = certificate.passed_over
    # The rounds trained the strategy's model, even if the scratch model is certified.
    rounds = collect_rounds(store, card.molecule, molecule, other.model_id if other else model_id)
    compared = [point.model_id for point in curve.points] if curve else []
    compared += [other.model_id] if other else []
    pilot = find_pilot(store, molecule, card, in_rounds=bool(rounds))
    costs = collect_costs(store, molecule, card, scratch_card, rounds=rounds, pilot=pilot, compared=compared)
    quoted = read_quote(quote, costs) if quote else None
    answers = answer(
        certificate,
        card,
        costs,
        quoted=quoted,
        curve=curve,
        label_seconds=_label_seconds(levels, card.accurate),
        between_seconds=_between_seconds(store, molecule, card),
        next_step=next_step,
    )
    pictures = _pictures(certificate, card, costs, quoted, curve)
    context = ReportContext(
        certificate=certificate,
        card=card,
        scratch_card=scratch_card,
        levels=levels,
        costs=costs,
        answers=answers,
        pictures=pictures,
        rounds=rounds_context(rounds),
        pilot=pilot,
        bias=collect_bias(store, molecule, card),
        # There are no diagnostics for weights of several molecules yet.
        diagnostics=None
        if card.molecule != molecule
        else bias_diagnostics(store, molecule, card, teacher_forces=teacher_forces(certificate, card, scratch_card)),
        structures=collect_structures(store, molecule, certificate, trajectories),
        drawing=draw_molecule(store, molecule),
        model_location=store.location(paths.model(card.molecule, model_id)),
        store_location=store.location("").rstrip("/"),
    )
    page = render_report(context).encode()
    for name, picture in pictures.items():
        store.write(f"{folder}/{PICTURES[name]}", picture)
    records.write(store, f"{folder}/answers.json", answers)
    # The page comes last: a report with a page is complete.
    store.write(f"{folder}/report.html", page)
    if card.molecule != molecule:
        write_model_page(store, card)
    write_index(store)
    logger.info("%s: report of model %s written", molecule, model_id)
    return store.location(f"{folder}/report.html")


def _pictures(
    certificate: Certificate,
    card: Card,
    costs: Sequence[Cost],
    quoted: Quoted | None,
    curve: LearningCurve | None,
) -> dict[str, bytes]:
    pictures = {
        "good": answer_plots.accuracy(group_lines(certificate)),
        "cost": answer_plots.cost_by_kind(costs, quoted),
    }
    labels = len(card.frames.accurate)
    if card.strategy != BASELINE and (scratch := certificate.scratch_errors) is not None:
        aid = strategy_of(card).aid
        pictures["bought"] = answer_plots.gain(certificate.errors, scratch, labels, curve, aid=aid)
    return pictures


def _between_seconds(store: Store, molecule: str, card: Card) -> float:
    """Core-seconds of all labels at levels between the cheap and the accurate one, without those of accurate labels."""
    accurate, *between = (
        LevelOfTheory.parse(level, imported=True) for level in (card.accurate, *card.settings.get("ladder", ()))
    )
    attempts = store.attempts_once(molecule, [accurate, *between])
    return sum(float(core_seconds(attempts[level]).sum()) for level in between)


def _label_seconds(levels: Sequence[LevelSummary], accurate: str) -> float | None:
    """Core-seconds per attempt at the accurate level; None without attempts."""
    found = next((level for level in levels if level.level == accurate), None)
    attempts = found.ok + found.failed + found.rejected if found else 0
    return found.core_seconds / attempts if found and attempts else None


def teacher_forces(certificate: Certificate, card: Card, scratch_card: Card | None) -> dict[str, Any] | None:
    """Forces of the teacher on the test frames by frame id; None unless the scratch model is the only teacher."""
    errors = certificate.scratch_errors
    if errors is None or scratch_card is None or card.teachers != [scratch_card.model_id]:
        return None
    return dict(zip(errors.frame_ids, errors.predicted_forces, strict=True))
