"""Training in a process of its own, where nothing has been compiled yet: for :mod:`tests.training.test_fit`."""

import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import torch

from asteroid.manifest import ModelSettings
from asteroid.training.dataset import LabelledFrame, fit_reference_energies, to_graph
from asteroid.training.fit import StageSettings, State, fit
from asteroid.training.model import build_model


def train(
    frames: Sequence[LabelledFrame],
    held_out: Sequence[LabelledFrame],
    stage: StageSettings,
    *,
    resume: bytes | None = None,
) -> tuple[list[dict[str, Any]], list[bytes]]:
    """The history of a traced training, and its checkpoints."""
    references = fit_reference_energies(frames)
    train, valid = (
        [
            to_graph(
                f.configuration,
                f.energy - references.of(f.configuration),
                f.forces,
                numbers=[1, 8],
                r_max=4.5,
                dtype=torch.float32,
            )
            for f in part
        ]
        for part in (frames, held_out)
    )
    settings = ModelSettings(channels=16, max_l=1, correlation=2)
    model = build_model([1, 8], settings, scale=1.0, avg_num_neighbors=2.0, seed=0, dtype=torch.float32)
    kept: list[bytes] = []

    def keep(state: State) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        kept.append(buffer.getvalue())

    state = None if resume is None else torch.load(io.BytesIO(resume), weights_only=True)
    result = fit(model, train, valid, stage, traced=True, resume=state, checkpoint=keep)
    return [dataclasses.asdict(line) for line in result.history], kept
