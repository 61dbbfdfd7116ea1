"""Check training: its device, and whether weights of frames reach the loss.

Some losses of MACE ignore weights or normalise them away. So the gradient of a training step is compared with the
weighted sum of the gradients of its frames.
"""

import copy
import importlib.util
from dataclasses import dataclass

import numpy as np

from asteroid.configuration import Configuration
from asteroid.doctor.check import Check, skipped
from asteroid.processes import call_in_process
from asteroid.stages.common import import_mace

WEIGHTS = (0.5, 1.5)
"""Weights of two frames, with mean 1 as in training."""

TOLERANCE = 1e-9
"""Relative, for sums in double precision."""


@dataclass(frozen=True)
class Training:
    """Result of the check of training.

    Args:
        deviation: relative, of the gradient with weights from the weighted sum of the gradients of both frames.
        effect: relative change of the gradient by the weights.
    """

    device: str
    deviation: float
    effect: float


def check_training() -> list[Check]:
    """Check the training device, and that weights have an effect."""
    if importlib.util.find_spec("mace") is None:
        return [skipped("training", "mace-torch", "train")]
    found = call_in_process(examine_training)
    checks = [Check("training device", "ok", found.device)]
    weights = f"the gradient of frames weighted {WEIGHTS[0]:g} and {WEIGHTS[1]:g} is their weighted sum to "
    weights += f"{found.deviation:.0e}"
    if found.deviation > TOLERANCE or found.effect < 100 * TOLERANCE:
        advice = "train no weighted model; reinstall mace-torch as constraints.txt says"
        return [*checks, Check("weights", "failed", f"{weights}; they change it by {found.effect:.0e}", advice)]
    return [*checks, Check("weights", "ok", f"{weights}; they change it by {100 * found.effect:.0f} %")]


def examine_training() -> Training:
    """Run one training step on two frames, and on each of them alone. Needs torch."""
    import_mace()
    import torch
    from mace.modules import ScaleShiftMACE

    from asteroid.settings import ModelSettings
    from asteroid.training.dataset import to_graph
    from asteroid.training.fit import StageSettings, fit
    from asteroid.training.model import build_model, choose_device

    water = Configuration(np.array([8, 1, 1]), np.array([[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]]))
    stretched = water.with_positions(water.positions * 1.1)
    small = ModelSettings(channels=2, max_l=0, max_ell=1, correlation=1, interactions=1)
    model = build_model([1, 8], small, scale=1.0, avg_num_neighbors=2.0, seed=0, dtype=torch.float64)
    settings = StageSettings(
        name="weights",
        steps=1,
        batch_size=2,
        learning_rate=1e-9,
        energy_weight=1.0,
        forces_weight=100.0,
        ema_decay=0.99,
        clip=float("inf"),
        keep_best=False,
        patience=1,
        evaluate_every=1,
        seed=0,
    )

    def gradient(*frames: tuple[Configuration, float]) -> torch.Tensor:
        fresh: ScaleShiftMACE = copy.deepcopy(model)
        graphs = [
            to_graph(c, -1.0, np.zeros((3, 3)), weight, numbers=[1, 8], r_max=small.r_max, dtype=torch.float64)
            for c, weight in frames
        ]
        fit(fresh, graphs, graphs, settings)
        return torch.cat([p.grad.flatten() for p in fresh.parameters() if p.grad is not None])

    weighted = gradient((water, WEIGHTS[0]), (stretched, WEIGHTS[1]))
    expected = (WEIGHTS[0] * gradient((water, 1.0)) + WEIGHTS[1] * gradient((stretched, 1.0))) / 2
    equal = gradient((water, 1.0), (stretched, 1.0))
    size = float(expected.norm())
    device = choose_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"torch {torch.__version__} finds no GPU"
    return Training(
        f"{device.type}: {name}", float((weighted - expected).norm()) / size, float((weighted - equal).norm()) / size
    )
