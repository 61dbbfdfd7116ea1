"""``delta``: the difference of the levels alone. Its model needs the cheap method at run time.

The cheap level brings most of the physics and the model only what is missing, so this is an upper bound for recipes
that put both into one model. :func:`asteroid.training.run.load_calculator` adds model and cheap method up.
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

    A constant between the levels is no matter: like any labels, differences are learnt relative to reference energies
    of their own.

    Args:
        cheap: labels by frame id; frames that have none there are left out.
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
    scratch.STRATEGY,  # What it learns from is all that sets it apart.
    name="delta",
    how="learnt as the difference from {cheap}, which it needs at run time",
    aid=CHEAP_METHOD,
    needs_paired=True,
    learns_difference=True,
)
