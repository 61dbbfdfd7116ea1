"""The card of a model that nobody trained."""

from typing import Any

from asteroid.store.models import Card, CardFrames


def bare_card(**changes: Any) -> Card:
    """Of a scratch model that has seen no frame, but for the changes."""
    blank: dict[str, Any] = {
        "model_id": "0123456789abcdef",
        "molecule": "water",
        "strategy": "scratch",
        "cheap": None,
        "accurate": "gfn2-xtb",
        "seed": 5,
        "created": "2026-01-02T03:04:05+00:00",
        "asteroid_version": "0.1.0",
        "settings": {},
        "frames": CardFrames(accurate_train=(), accurate_valid=(), cheap=0),
        "reference_energies": {},
        "history": (),
        "weights": None,
        "valid_force_mae": 0.1,
        "valid_energy_mae": 0.01,
        "seconds": {},
        "core_seconds": 0.0,
        "device": "cpu",
        "precision": "float32",
        "parameters": 12345,
        "parents": {},
    }
    return Card(**(blank | changes))
