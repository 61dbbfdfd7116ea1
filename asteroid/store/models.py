"""Trained models as files of the store: the weights, and the card that says what they were made from.

Each knows the other: a card holds the SHA-256 of the weights' file, and that file holds the model's id, which is a hash
of all that determines it. Weights are read through :func:`read_model` alone, which checks the hash: torch opens a file
with flipped bits without a word, as other weights. Needs no torch; :mod:`asteroid.training.run` writes and opens it.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from asteroid.errors import StoreError
from asteroid.store import paths
from asteroid.store.files import Files

Card = dict[str, Any]
"""What a model was made from and its errors, as plain JSON values."""

ID_ATTRIBUTE = "asteroid_model_id"
"""Of the MACE module in the file: the id of its model."""


def has_model(store: Files, molecule: str, model_id: str) -> bool:
    """Whether a finished model is there, with its card."""
    return all(store.exists(paths.model(molecule, model_id, name)) for name in ("card.json", "model.model"))


def teachers_of(card: Mapping[str, Any]) -> list[str]:
    """Ids of the models that taught this one."""
    return [model_id for role, model_id in card["parents"].items() if role.startswith("teacher")]


def write_model(store: Files, card: Card, weights: bytes) -> Card:
    """Store a model, its card last: with it the model is complete. Returns the card with the hash of the weights."""
    whole = {**card, "model_sha256": hashlib.sha256(weights).hexdigest()}
    store.write(paths.model(card["molecule"], card["model_id"]), weights)
    store.write_json(paths.model(card["molecule"], card["model_id"], "card.json"), whole)
    return whole


def read_card(store: Files, molecule: str, model_id: str) -> Card:
    """The card of a finished model.

    Raises:
        StoreError: when there is none, or it is that of another model.
    """
    try:
        card: Card = store.read_json(paths.model(molecule, model_id, "card.json"))
    except FileNotFoundError:
        raise _missing(store, molecule, model_id, "card.json") from None
    if card.get("model_id", model_id) != model_id:
        raise damaged_model(store, molecule, model_id, f"its card is that of model {card['model_id']}")
    return card


def read_model(store: Files, molecule: str, model_id: str) -> bytes:
    """The file of a finished model, as it was written.

    Cards of earlier versions hold no hash: such models are read without a check, as training them again costs more
    than it tells.

    Raises:
        StoreError: when it is not there or has changed since.
    """
    card = read_card(store, molecule, model_id)
    try:
        weights = store.read(paths.model(molecule, model_id))
    except FileNotFoundError:
        raise _missing(store, molecule, model_id, "model.model") from None
    expected = card.get("model_sha256")
    if expected is not None and hashlib.sha256(weights).hexdigest() != expected:
        raise damaged_model(store, molecule, model_id, "its SHA-256 is not the one in its card")
    return weights


def damaged_model(store: Files, molecule: str, model_id: str, what: str) -> StoreError:
    """The error for a model that is not what was written."""
    return StoreError(
        f"{store.location(paths.model(molecule, model_id))} is damaged or foreign ({what}); move its folder out of the "
        "store and run again: the model is trained again"
    )


def _missing(store: Files, molecule: str, model_id: str, name: str) -> StoreError:
    return StoreError(
        f"{store.location(paths.model(molecule, model_id, name))} is missing; put it back, or run again: the model is "
        "trained again"
    )
