"""How the error of a model of the accurate labels alone falls with their number, measured on the certificate's frames.

A smaller budget leaves such models behind; where there are none with fewer labels, one is trained with half of them.
:mod:`asteroid.stages.certificates` has this done once a certificate, and the report says how many labels ``scratch``
would have needed.
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
"""Part of the labels that a model may have at most to tell how the error falls: nearer points say nothing about it."""


def measure_curve(
    store: Store,
    molecule: MoleculeSettings,
    models: Models,
    errors_of: Callable[[str], "Errors"],
    *,
    on_progress: Progress | None = None,
) -> "LearningCurve":
    """The learning curve of accurate labels alone, and what the model's help is worth by it. Needs torch.

    Args:
        errors_of: measures a model, by its id, on the certificate's test frames.
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
    """Whether a model of the accurate labels alone has been trained with clearly fewer of them, or cannot be."""
    data = training_set(store, molecule)
    labels = len(data.train_ids) + len(data.valid_ids)
    return labels < 2 * LEAST_LABELS or min(_scratch_models(store, molecule, models)) <= APART * labels


def _train_with_half(store: Store, molecule: MoleculeSettings, models: Models, on_progress: Progress | None) -> None:
    """The model that the same pipeline would have made of half the budget."""
    from asteroid.training.run import train_model

    with lock(store, f"training {molecule.model_name}", on_wait=waiting(on_progress)):
        if has_curve(store, molecule, models):
            return
        fewer = training_set(store, _with_half_the_budget(molecule))
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
    """Selections are ordered: the first half is what half the budget would have chosen."""

    def half(one: MoleculeSettings) -> MoleculeSettings:
        return replace(one, budget=one.budget.model_copy(update={"accurate": one.budget.accurate // 2}))

    return molecule.with_change(half)


def _scratch_models(store: Store, molecule: MoleculeSettings, models: Models) -> dict[int, str]:
    """By their number of accurate labels, the finished models that differ from the scratch model in their labels alone.

    Of several with as many labels, the scratch model itself, else the newest. None that a test frame has trained.
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
    """As far as both say: a later version adds settings, which then had their defaults."""
    ours, theirs = card.settings, other.settings
    return all(ours[name] == theirs[name] for name in ours.keys() & theirs.keys())
