"""The JSON of a comparison, from errors that follow known power laws."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from asteroid.comparison.result import Result
from asteroid.comparison.summary import summarise

COUNTS, SEEDS = (25, 50, 100), (0, 1, 2)

LAWS = {"scratch": 2.0, "unweighted": 1.0, "weighted": 0.95, "corrected": 0.6, "delta": 0.4}
"""Force error of each variant with 25 labels, in units of 50 meV/Å; it is proportional to 1/(number of labels)."""

LEVELS = {"molecule": "formaldehyde", "cheap": "gfn2-xtb", "accurate": "ccsd(t)/cc-pvdz"}


def make_result(variant: str, n: int, seed: int, **values: Any) -> Result:
    return Result(**LEVELS, variant=variant, n_accurate=n, seed=seed, **values)


def make_comparison(
    laws: Mapping[str, float] = LAWS,
    *,
    seeds: tuple[int, ...] = SEEDS,
    noise: float = 0.03,
    more: tuple[Result, ...] = (),
    **changes: Any,
) -> dict[str, Any]:
    """What ``asteroid compare`` writes for these variants.

    Args:
        noise: standard deviation of the logarithm of an error, from seed to seed.
        more: further results.
    """
    rng = np.random.default_rng(3)
    results = []
    for variant, law in laws.items():
        for n in COUNTS:
            for seed in seeds:
                force = 0.05 * law * 25 / n * float(np.exp(rng.normal(0, noise)))
                results.append(
                    make_result(
                        *(variant, n, seed),
                        **{"force_mae": force, "force_rmse": 1.5 * force},
                        **{"energy_mae": force / 10, "energy_rmse": force / 7},
                        label_core_hours=0.02 * n,
                        training_core_hours=0.1 if variant == "scratch" else 0.4,
                        seconds=100.0,
                        cheap_labels=0 if variant == "scratch" else 1000,
                        model_id="0123456789abcdef",
                        needs="gfn2-xtb" if variant == "delta" else None,
                        force_groups=tuple((force * k, 100) for k in (90, 100, 110)),
                    )
                )
    settings = {"test_frames": 1000, "pretrain_steps": 4000, "notes": []}
    return {"settings": settings, "basis": "Intervals are 95%."} | summarise([*results, *more]) | changes
