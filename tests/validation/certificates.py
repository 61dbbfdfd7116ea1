"""A certificate from real calculations, quick to make: GFN1-xTB plays the model of GFN2-xTB."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from tblite.ase import TBLite

from asteroid.configuration import Configuration
from asteroid.settings import ThresholdSettings, ValidationSettings
from asteroid.store.models import Candidate, Card, CardFrames, Evaluation, Weights
from asteroid.validation.certificate import Certificate, certify
from asteroid.validation.dynamics import Dynamics, SurvivalAt, run_dynamics
from asteroid.validation.errors import Errors, measure_errors
from asteroid.validation.minimum import (
    MinimumComparison,
    ModelMinimum,
    compare_minima,
    find_minimum,
    model_hessian,
    next_geometry,
)
from asteroid.validation.survival import kaplan_meier
from tests.cards import bare_card

WATER = Configuration([8, 1, 1], [[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]])


def as_if_longer(dynamics: Dynamics, *, replicas: int = 30, ps: float = 0.5) -> Dynamics:
    """The same, had NVE been longer and had there been so many replicas at 300 and 600 K, none of which failed."""
    nve = replace(dynamics.nve, requested=0.2)
    nvt = tuple(replace(dynamics.nvt[0], temperature=t, requested=ps, survived=ps) for t in (300.0, 600.0))
    survival = kaplan_meier([ps] * replicas, [False] * replicas)
    at = tuple(SurvivalAt(t, survival, *survival.at_end) for t in (300.0, 600.0))
    return replace(dynamics, nve=nve, nvt=nvt, survival=at)


def displaced(count: int, *, seed: int = 0) -> list[Configuration]:
    """Water with every coordinate displaced by 0.05 Å."""
    rng = np.random.default_rng(seed)
    return [WATER.with_positions(WATER.positions + rng.normal(0, 0.05, (3, 3))) for _ in range(count)]


def label(number: int, configurations: list[Configuration]) -> tuple[list[float], list[np.ndarray]]:
    """Energies (eV) and forces (eV/Å) of GFN1-xTB or GFN2-xTB."""
    calculator: Any = TBLite(method=f"GFN{number}-xTB", verbosity=0)
    energies, forces = [], []
    for configuration in configurations:
        atoms: Any = configuration.to_atoms()
        atoms.calc = calculator
        energies.append(float(atoms.get_potential_energy()))
        forces.append(atoms.get_forces())
    return energies, forces


@cache
def measured() -> tuple[Errors, Errors, Dynamics, MinimumComparison]:
    """Errors of the model and of a worse one (the same with noise), dynamics, and minimum."""
    configurations = displaced(12, seed=1)
    energies, forces = label(2, configurations)
    shifted, predicted = label(1, configurations)
    # Without the constant by which the two methods' zeros of energy differ, as fitted reference energies would do.
    shifted = list(np.array(shifted) + np.mean(np.array(energies) - shifted))
    noise = np.random.default_rng(2)
    common: dict[str, Any] = {"reference_energies": energies, "reference_forces": forces}
    ids = [c.frame_id for c in configurations]
    errors = measure_errors(ids, predicted_energies=shifted, predicted_forces=predicted, **common)
    worse = [f + noise.normal(0, 2.0, f.shape) for f in predicted]
    scratch = measure_errors(ids, predicted_energies=shifted, predicted_forces=worse, **common)

    calculator: Any = TBLite(method="GFN1-xTB", verbosity=0)
    minimum, _ = find_minimum(calculator, WATER)
    dynamics = as_if_longer(
        run_dynamics(
            calculator, minimum, ValidationSettings(nve_ps=0.1, nvt_ps=0.02, replicas=2, temperatures=(600.0,))
        )
    )
    curvature = model_hessian(calculator, minimum)
    labelled = [(minimum, label(2, [minimum])[1][0])]
    for _ in range(3):
        geometry = next_geometry(curvature, labelled)
        labelled.append((geometry, label(2, [geometry])[1][0]))
    return errors, scratch, dynamics, compare_minima(curvature, labelled)


def measured_on_energies_alone() -> tuple[Errors, Errors]:
    """The errors of :func:`measured`, had the accurate labels no forces."""
    models = []
    for errors in measured()[:2]:
        models.append(
            measure_errors(
                errors.frame_ids,
                reference_energies=errors.reference_energies,
                predicted_energies=errors.predicted_energies,
                reference_forces=[None] * errors.frames,
                predicted_forces=errors.predicted_forces,
            )
        )
    return models[0], models[1]


def make_energy_only_certificate(**changes: Any) -> Certificate:
    """A certificate, and what led to it, of a model whose accurate labels are energies alone."""
    errors, scratch = measured_on_energies_alone()
    minimum = ModelMinimum(measured()[3].frequencies)
    options: dict[str, Any] = {"errors": errors, "scratch_errors": scratch, "minimum": minimum}
    return make_certificate(**(options | {"accurate_forces": False} | changes))


def make_energy_only_card(**changes: Any) -> Card:
    """The card of such a model."""
    card = make_card()
    assert card.weights is not None
    candidates = (Candidate(0.2, valid_energy_mae=0.0123), Candidate(None, valid_energy_mae=0.0145))
    energy_only: dict[str, Any] = {
        "frames": replace(card.frames, energy_only=10),
        "history": tuple(replace(line, valid_force_mae=None) for line in card.history),
        "weights": replace(card.weights, candidates=candidates),
        "valid_force_mae": None,
    }
    return replace(card, **(energy_only | changes))


def make_card(**changes: Any) -> Card:
    """A card as :func:`asteroid.training.run.train_model` writes it."""
    ids = tuple(c.frame_id for c in displaced(10))
    stages = (("gamma-1", 3), ("pretrain", 5), ("finetune", 5))
    values = 50 * np.exp(-np.linspace(0, 4, 50)) / np.exp(-np.linspace(0, 4, 50)).sum()
    weights = Weights(
        gamma=0.2,
        candidates=(Candidate(0.2, 0.1), Candidate(None, 0.12)),
        effective_sample_size=41.5,
        frame_ids=tuple(f"cheap-{i}" for i in range(50)),
        disagreement=tuple(np.linspace(0.1, 0.9, 50).tolist()),
        values=tuple(values.tolist()),
    )
    card = bare_card(
        strategy="weighted",
        cheap="gfn1-xtb",
        settings={"strategy": "weighted", "learning_rate": 0.01},
        frames=CardFrames(accurate_train=ids[:8], accurate_valid=ids[8:], cheap=50),
        reference_energies={"H": -10.5, "O": -110.25},
        history=tuple(
            Evaluation(stage, 100 * (k + 1), 0.01, 1.0 / (k + 1), 0.5 / (k + 1), 0.01)
            for stage, lines in stages
            for k in range(lines)
        ),
        weights=weights,
        seconds={"pretrain": 40.0, "finetune": 20.0},
        core_seconds=60.0,
        parents={"teacher": "fedcba9876543210"},
    )
    return replace(card, **changes)


def make_scratch_card(**changes: Any) -> Card:
    """The card of the teacher, which is also the model compared with."""
    scratch: dict[str, Any] = {
        "model_id": "fedcba9876543210",
        "strategy": "scratch",
        "cheap": None,
        "weights": None,
        "parents": {},
        "history": tuple(replace(line, stage="scratch") for line in make_card().history[3:8]),
        "core_seconds": 7200.0,
    }
    return make_card(**(scratch | changes))


def make_certificate(*, loose: bool = True, with_scratch: bool = True, **changes: Any) -> Certificate:
    """A certificate that passes (``loose``) or fails on its force error."""
    errors, scratch, dynamics, minimum = measured()
    thresholds = ThresholdSettings(
        force_mae=5.0 if loose else 1e-4, energy_mae=1.0, nve_drift=0.01, minimum_force=5.0, minimum_rmsd=0.5
    )
    options: dict[str, Any] = {
        "errors": errors,
        "scratch_errors": scratch if with_scratch else None,
        "dynamics": dynamics,
        "minimum": minimum,
        "thresholds": thresholds,
    }
    card = make_card()
    return certify(card, card.molecule, **(options | changes))
