"""Learning curve of models trained on accurate labels alone, measured on the test frames.

Smaller budgets have left such models in the store; otherwise one is trained with half of the labels.
:mod:`asteroid.stages.certificates` measures the curve once per certificate, and the report states how many labels
``scratch`` would have needed for the same error.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from asteroid.manifest import MoleculeSettings
from asteroid.processes import Progress
from asteroid.stages.common import LEAST_LABELS, waiting
from asteroid.stages.models import Models, training_frames, training_notes, training_set
from asteroid.store import Store
from asteroid.store.locks import lock
from asteroid.store.models import Card, read_cards
from asteroid.strategies import BASELINE

if TYPE_CHECKING:
    from asteroid.validation.errors import Errors
    from asteroid.validation.worth import LearningCurve

APART = 0.75
"""Largest number of labels of a second point of the curve, relative to the full budget: closer points do not determine
the exponent.
"""


def measure_curve(
    store: Store,
    molecule: MoleculeSettings,
    models: Models,
    errors_of: Callable[[str], "Errors"],
    *,
    on_progress: Progress | None = None,
) -> "LearningCurve":
    """Learning curve of accurate labels alone, and the number of labels that the final model saves. Needs torch.

    Args:
        errors_of: measures a model, given its id, on the test frames.
    """
    from asteroid.validation.worth import CurvePoint, LearningCurve, labels_needed

    if models.final == models.scratch:
        return LearningCurve()
    if molecule.validation.curve:
        _train_with_half(store, molecule, models, on_progress)
    scratch = _scratch_models(store, molecule, models)
    errors = {labels: errors_of(model_id) for labels, model_id in scratch.items()}
    worth = labels_needed(errors_of(models.final), errors, seed=molecule.validation.seed)
    return LearningCurve(
        tuple(CurvePoint(n, scratch[n], found.force_mae, found.energy_mae) for n, found in errors.items()), worth
    )


def has_curve(store: Store, molecule: MoleculeSettings, models: Models) -> bool:
    """Whether a model with clearly fewer accurate labels exists, or the budget is too small for one."""
    data = training_set(store, molecule)
    labels = len(data.train_ids) + len(data.valid_ids)
    return labels < 2 * LEAST_LABELS or min(_scratch_models(store, molecule, models)) <= APART * labels


def _train_with_half(store: Store, molecule: MoleculeSettings, models: Models, on_progress: Progress | None) -> None:
    """Train the scratch model of half the budget."""
    from asteroid.training.run import train_model

    with lock(store, f"training {molecule.model_name}", on_wait=waiting(on_progress)):
        if has_curve(store, molecule, models):
            return
        # Selections are ordered, so this is the first half of the frames.
        fewer = training_set(store, molecule.with_change(_with_half_the_budget))
        if len(fewer.train_ids) < 2 or not fewer.valid_ids:
            return
        train_model(
            store,
            molecule.model_name,
            fewer,
            strategy=BASELINE,
            settings=molecule.training,
            on_progress=training_notes(on_progress),
        )


def _with_half_the_budget(molecule: MoleculeSettings) -> MoleculeSettings:
    half = molecule.budget.accurate // 2
    return replace(molecule, budget=molecule.budget.model_copy(update={"accurate": half}))


def _scratch_models(store: Store, molecule: MoleculeSettings, models: Models) -> dict[int, str]:
    """Ids of finished models that differ from the scratch model only in their labels, by their number of accurate
    labels.

    For each number: the scratch model itself, otherwise the newest. Models trained on test frames do not count.
    """
    frames, _, _ = training_frames(store, molecule)
    cards = read_cards(store, molecule.model_name)
    own = next(card for card in cards if card.model_id == models.scratch)
    alike = [
        card
        for card in cards
        if (card.strategy, card.accurate) == (BASELINE, own.accurate)
        and _same_settings(card, own)
        and not {*card.frames.accurate} & {*frames.test}
    ]
    alike.sort(key=lambda card: (card.model_id == models.scratch, card.created))
    counts = {len(card.frames.accurate): card for card in alike}
    return {labels: counts[labels].model_id for labels in sorted(counts)}


def _same_settings(card: Card, other: Card) -> bool:
    """Whether the settings that both have are equal; settings added by a later version had their defaults before."""
    ours, theirs = card.settings, other.settings
    return all(ours[name] == theirs[name] for name in ours.keys() & theirs.keys())
