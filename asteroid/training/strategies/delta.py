"""``delta``: Δ-learning. The model predicts the difference of the levels and needs the cheap method at run time.

Its accuracy is a bound for strategies without a cheap method at run time.
:func:`asteroid.training.run.load_calculator` adds model and cheap method.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from asteroid.strategies import CHEAP_METHOD
from asteroid.training.strategies import scratch

if TYPE_CHECKING:
    from asteroid.training.dataset import LabelledFrame


def differences(accurate: Sequence[LabelledFrame], cheap: Mapping[str, LabelledFrame]) -> list[LabelledFrame]:
    """Accurate − cheap, in energy (eV) and, where both labels have them, in forces (eV/Å).

    A constant between the levels does not matter: differences have their own reference energies.

    Args:
        cheap: labels by frame id; frames without one are left out.
    """
    pairs = [(frame, cheap[frame.frame_id]) for frame in accurate if frame.frame_id in cheap]
    return [
        dataclasses.replace(
            above,
            energy=above.energy - below.energy,
            forces=None if above.forces is None or below.forces is None else above.forces - below.forces,
        )
        for above, below in pairs
    ]


STRATEGY = dataclasses.replace(
    scratch.STRATEGY,  # Only the labels differ.
    name="delta",
    how="learnt as the difference from {cheap}, which it needs at run time",
    aid=CHEAP_METHOD,
    needs_paired=True,
    learns_difference=True,
)
