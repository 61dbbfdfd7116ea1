"""Asteroid's training loop in its own process, for :mod:`benchmarks.training_speed`.

Prints one line after each evaluation, as ``mace_run_train`` does.
"""

import json
import sys
import time

import numpy as np
import torch

from asteroid.configuration import Configuration
from asteroid.settings import ModelSettings
from asteroid.training.dataset import DTYPES, LabelledFrame, fit_reference_energies, to_graph
from asteroid.training.fit import StageSettings, fit
from asteroid.training.held_out import HeldOut
from asteroid.training.model import accelerate, build_model


def main() -> None:
    request = json.load(sys.stdin)
    torch.set_num_threads(1)
    data = np.load(request["data"])
    numbers = sorted(set(data["Z"].tolist()))
    settings, dtype = ModelSettings(**request["model"]), DTYPES[request["precision"]]
    parts = []
    for frames in (slice(request["train"]), slice(request["train"], request["train"] + request["valid"])):
        rows = zip(data["R"][frames], data["E"][frames], data["F"][frames], strict=True)
        parts.append([LabelledFrame(Configuration(data["Z"], r), float(e), f) for r, e, f in rows])
    references = fit_reference_energies(parts[0])
    train, valid = (
        [
            to_graph(
                frame.configuration,
                frame.energy - references.of(frame.configuration),
                frame.forces,
                numbers=numbers,
                r_max=settings.r_max,
                dtype=dtype,
            )
            for frame in part
        ]
        for part in parts
    )
    scale = float(np.sqrt(np.mean(np.square(data["F"][: request["train"]]))))
    neighbours = sum(graph.edge_index.shape[1] for graph in train) / sum(int(graph.num_nodes) for graph in train)
    model = build_model(numbers, settings, scale=scale, avg_num_neighbors=neighbours, seed=0, dtype=dtype)
    model = accelerate(model, torch.device(request["device"]))
    stage = StageSettings(**request["stage"])

    def tell(_: str, step: int, steps: int, held_out: HeldOut | None) -> None:
        if held_out is not None and held_out.force_mae is not None:
            print(f"step {step} mae {1000 * held_out.force_mae} at {time.time()}", flush=True)

    fit(model, train, valid, stage, on_progress=tell)


if __name__ == "__main__":
    main()
