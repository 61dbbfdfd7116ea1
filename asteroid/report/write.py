"""Write a model's report into the store, and bring the index up to date.

The last step of the data flow: :mod:`asteroid.report.gather` reads, :mod:`asteroid.report.html` makes the page.
"""

import logging
from collections.abc import Mapping
from typing import Any

from asteroid.report.gather import collect_bias, collect_costs, summarise_level
from asteroid.report.html import ReportContext, render_report
from asteroid.report.index import write_index
from asteroid.store import Store
from asteroid.training.diagnostics import bias_diagnostics

logger = logging.getLogger(__name__)


def write_report(
    store: Store,
    molecule: str,
    certificate: Mapping[str, Any],
    card: Mapping[str, Any],
    scratch_card: Mapping[str, Any] | None,
    *,
    folder: str,
) -> str:
    """Write ``report.html`` beside ``certificate.json``, and the index; return where the report lies.

    Args:
        certificate: as :meth:`~asteroid.validation.certificate.Certificate.to_json` made it.
        card: of the model.
        scratch_card: of the model trained on the same accurate labels alone; None without one.
        folder: below ``reports/<molecule>/``.
    """
    model_id = card["model_id"]
    context = ReportContext(
        certificate=certificate,
        card=card,
        scratch_card=scratch_card,
        levels=[summarise_level(store, molecule, level) for level in store.levels(molecule)],
        costs=collect_costs(store, molecule, card, scratch_card),
        bias=collect_bias(store, molecule, card),
        diagnostics=bias_diagnostics(
            store, molecule, card, teacher_forces=teacher_forces(certificate, card, scratch_card)
        ),
        model_location=store.location(f"models/{molecule}/{model_id}/model.model"),
        store_location=store.location("").rstrip("/"),
    )
    path = f"{folder}/report.html"
    store.write(path, render_report(context).encode())
    write_index(store)
    logger.info("%s: report of model %s written", molecule, model_id)
    return store.location(path)


def teacher_forces(
    certificate: Mapping[str, Any], card: Mapping[str, Any], scratch_card: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """What the teacher predicts for the test frames, where it is the model that the certificate compares with.

    A committee predicts its mean, which is nobody's certificate: None, as without such a comparison.
    """
    teachers = [model_id for role, model_id in card["parents"].items() if role.startswith("teacher")]
    errors = certificate["scratch_errors"]
    if errors is None or scratch_card is None or teachers != [scratch_card["model_id"]]:
        return None
    return dict(zip(errors["frame_ids"], errors["predicted_forces"], strict=True))
