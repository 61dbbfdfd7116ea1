"""What a pipeline still has to do for one molecule: arithmetic on its settings and on what the store holds.

Counts are the most that a run may need: sampling may drop frames, early stopping may end a training, and the accurate
minimum is often found before its last label.
"""

import math
from collections.abc import Set
from dataclasses import dataclass, replace

from asteroid import paths
from asteroid.engines.pyscf.hessian import has_analytic_hessian
from asteroid.groups import plan_groups
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.settings import SamplingSettings, TrainingSettings, ValidationSettings
from asteroid.stages.certificates import is_certified
from asteroid.stages.common import LEAST_LABELS
from asteroid.stages.curve import has_curve
from asteroid.stages.evidence import read_asked
from asteroid.stages.hessians import hessian_frames
from asteroid.stages.minima import MINIMUM_LABELS
from asteroid.stages.models import Models, trained_models, training_frames
from asteroid.stages.own_md import SPECTRUM_REPLICAS
from asteroid.stages.rounds import read_rounds, training_settings, trains_on
from asteroid.store import Store
from asteroid.training.bias import QUANTILES, TRIAL_STEPS

RELAXATION_STEPS = 40
"""Gradients from an MMFF94 structure to a minimum of the cheap level: 10 to 60 for molecules of 3 to 20 atoms."""

MODEL_RELAXATION_STEPS = 40
"""Gradients from the cheap level's minimum to the model's."""


@dataclass(frozen=True)
class Phase:
    """One stage of a training.

    Args:
        least_steps: where early stopping can end it at the earliest.
    """

    name: str
    steps: int
    least_steps: int
    batch_size: int


@dataclass(frozen=True)
class Work:
    """What is left of one molecule, at most.

    Args:
        conformer_gradients: of the cheap level, one after another in one process.
        sampling_gradients: of the cheap level, in groups side by side.
        sampling_groups: how many groups those are.
        frames: still to be sampled.
        cheap_labels, accurate_labels: to compute, on all workers.
        minimum_labels: accurate ones, each of which waits for the one before.
        evidence_labels: accurate ones of the finished model's own MD, torsions and vibrations, on all workers.
        phases: of training.
        minimum_gradients: of each round's model, for its minimum and its Hessian, and to explore.
        validation_gradients: of the finished model, for its MD.
    """

    conformer_gradients: int
    sampling_gradients: int
    sampling_groups: int
    frames: int
    cheap_labels: int
    accurate_labels: int
    minimum_labels: int
    evidence_labels: int
    phases: tuple[Phase, ...]
    minimum_gradients: int
    validation_gradients: int


def remaining(store: Store, molecule: MoleculeSettings, atoms: int) -> Work:
    """What the store still lacks.

    A training that was interrupted counts from the start of its model, although it goes on from its checkpoint.
    """
    conformer_gradients, sampling_gradients, groups, frames = _sampling(store, molecule, atoms)
    certified = is_certified(store, molecule)
    models = trained_models(store, molecule)
    rounds = _rounds(store, molecule, trained=models is not None)
    phases = _phases(molecule.training, _has_scratch_model(store, molecule)) if rounds else ()
    phases = (*phases, *_further_rounds(molecule, rounds - 1))
    if not certified and _needs_curve(store, molecule, models):
        phases = (*phases, _alone(molecule.training))
    return Work(
        conformer_gradients=conformer_gradients,
        sampling_gradients=sampling_gradients,
        sampling_groups=groups,
        frames=frames,
        cheap_labels=_cheap_labels(store, molecule, frames),
        accurate_labels=_accurate_labels(store, molecule),
        minimum_labels=0 if certified else _minimum_labels(store, molecule),
        evidence_labels=0 if certified else _evidence_labels(store, molecule, models, atoms),
        phases=phases,
        minimum_gradients=rounds * (MODEL_RELAXATION_STEPS + 6 * atoms) + max(0, rounds - 1) * _exploration(molecule),
        validation_gradients=0 if certified else _md_steps(molecule.validation),
    )


def _sampling(store: Store, molecule: MoleculeSettings, atoms: int) -> tuple[int, int, int, int]:
    """Gradients of the conformer search and of the groups, how many groups and how many frames."""
    from asteroid.sampling.plan import missing_groups, stored_conformers

    settings = molecule.sampling
    conformers = len(stored_conformers(store, molecule))
    search = 0
    if not conformers:
        conformers = 1 if molecule.geometry else settings.conformers
        search = conformers * (1 if molecule.geometry else 2) * RELAXATION_STEPS
        groups = plan_groups(settings)
    else:
        groups = missing_groups(store, molecule)
    md = [group for group in groups if group.method == "md"]
    gradients = sum(_trajectory_steps(settings, group.frames) for group in md)
    if len(md) < len(groups):
        gradients += conformers * 6 * atoms
    return search, gradients, len(groups), sum(group.frames for group in groups)


def _trajectory_steps(settings: SamplingSettings, frames: int) -> int:
    return round((settings.equilibration + (frames - 1) * settings.interval) / settings.timestep) if frames else 0


def _cheap_labels(store: Store, molecule: MoleculeSettings, to_sample: int) -> int:
    """Of frames to sample, and of stored ones without an attempt, chosen or not: all will be."""
    stored = [frame for frame in store.frames(molecule.name) if frame.split != "certificate"]
    chosen = set(store.selected(molecule.name, molecule.cheap))
    new = sum(frame.frame_id not in chosen for frame in stored)
    conformers = 0 if stored else molecule.sampling.conformers
    return to_sample + conformers + new + _pending(store, molecule, molecule.cheap)


def _accurate_labels(store: Store, molecule: MoleculeSettings) -> int:
    """Of frames that the budget still allows, and of chosen ones without an attempt; not of minima."""
    budget = molecule.budget
    minima = {frame.frame_id for frame in store.frames(molecule.name, split="certificate")}
    chosen = set(store.selected(molecule.name, molecule.accurate)) - minima
    return max(0, budget.accurate + budget.test - len(chosen)) + _pending(store, molecule, molecule.accurate, minima)


def _pending(store: Store, molecule: MoleculeSettings, level: LevelOfTheory, other: Set[str] = frozenset()) -> int:
    """Chosen frames without an attempt: one that failed is not computed again."""
    pending = store.pending(molecule.name, level, forces=molecule.label_settings(level).forces)
    return len(set(pending) - other)


def _minimum_labels(store: Store, molecule: MoleculeSettings) -> int:
    """Accurate labels that the search for the accurate minimum may still take; it needs their forces."""
    if not molecule.label_settings(molecule.accurate).forces:
        return 0
    models = trained_models(store, molecule)
    if models is None:
        return MINIMUM_LABELS
    labels = store.labels(molecule.name, molecule.accurate)
    steps = [f for f in store.frames(molecule.name, split="certificate") if f.origin.method == "minimum"]
    had = [f for f in steps if f.origin.parameters["model_id"] == models.final and f.frame_id in labels]
    return MINIMUM_LABELS - len(had)


def _evidence_labels(store: Store, molecule: MoleculeSettings, models: Models | None, atoms: int) -> int:
    """Accurate labels that the certificate may still ask for beside those of the minimum."""
    settings, hessian = molecule.validation, 0
    forces = molecule.label_settings(molecule.accurate).forces
    if settings.frequencies and forces and not has_analytic_hessian(molecule.accurate):
        hessian = 6 * atoms
    asked = read_asked(store, molecule, models.final) if models else None
    if models is None or asked is None:
        return settings.on_policy + settings.torsion_points * _rotatable_bonds(molecule) + hessian
    labels = store.labels(molecule.name, molecule.accurate)
    displaced = hessian_frames(store, molecule, models.final)
    had = sum(i in labels for i in displaced)
    return sum(i not in labels for i in asked.frame_ids) + hessian - had


def _rotatable_bonds(molecule: MoleculeSettings) -> int:
    from asteroid.sampling.conformers import starting_configuration
    from asteroid.validation.torsions import rotatable_bonds

    if not molecule.validation.torsion_points:
        return 0
    try:
        return len(rotatable_bonds(starting_configuration(molecule), molecule.smiles))
    except ValueError:
        # As little as the pipeline then asks for.
        return 0


BATCHED = 12
"""Steps of one replica in a batch of MD that take as long as one gradient by the ASE calculator (``python -m
benchmarks.simulation``, 16 replicas: 14 of ethanol, 35 of formaldehyde)."""
ALONE = 4
"""The same of a replica by itself: 5 and 7."""


def _md_steps(settings: ValidationSettings) -> int:
    """Gradients by the ASE calculator that take as long as the MD of a certificate.

    NVE with the time step and with half of it, one replica each; NVT at each temperature, and NVE for the spectrum, in
    batches.
    """
    alone = 3 * settings.nve_ps / ALONE
    replicas = settings.replicas * len(settings.temperatures)
    batched = (settings.nvt_ps * replicas + settings.nve_ps * min(settings.replicas, SPECTRUM_REPLICAS)) / BATCHED
    return math.ceil(1000 * (alone + batched) / settings.timestep)


def _rounds(store: Store, molecule: MoleculeSettings, *, trained: bool) -> int:
    """Trainings that are still to come, at most: one, or one in each round, those included that certificates order."""
    settings = molecule.acquisition
    if settings is None:
        return 0 if trained else 1
    batches = math.ceil(max(0, molecule.budget.accurate - settings.initial) / settings.batch)
    return max(0, min(settings.rounds + settings.certify_rounds, 1 + batches) - len(read_rounds(store, molecule)))


def _further_rounds(molecule: MoleculeSettings, rounds: int) -> tuple[Phase, ...]:
    """What each round after the next one trains; any may be the last, so none of it is sure."""
    if molecule.acquisition is None:
        return ()
    training = molecule.training
    member = _phase(training, "member", training.finetune_steps, training.finetune_batch_size, stops=False)
    if trains_on(molecule):
        training = training_settings(molecule, start="the model of the round before")
    # The baseline is trained once, for the certificate, but for weighted, whose teacher it is, in each round.
    phases = _phases(training, has_scratch=training.strategy not in ("weighted", "scratch"))
    each = (*[member] * molecule.acquisition.committee, *phases)
    return tuple(replace(phase, least_steps=0) for phase in each) * rounds


def _exploration(molecule: MoleculeSettings) -> int:
    """Gradients by the ASE calculator that take as long as the MD that explores in one round."""
    settings = molecule.acquisition
    if settings is None:
        return 0
    steps = 1000 * settings.ps / molecule.sampling.timestep
    return math.ceil(steps * settings.replicas * len(settings.temperatures) / BATCHED)


def _has_scratch_model(store: Store, molecule: MoleculeSettings) -> bool:
    """Whether a model of these settings was trained on the accurate labels alone before the pipeline was stopped."""
    frames, _, _ = training_frames(store, molecule)
    # It starts from random weights, whatever the manifest's strategy starts from.
    settings = {**molecule.training.model_dump(mode="json"), "strategy": "scratch", "foundation": None}
    for model_id in store.names(paths.models(molecule.name)):
        path = paths.model(molecule.name, model_id, "card.json")
        if store.exists(path):
            card = store.read_json(path)
            trained = card["accurate"], card["frames"]["accurate_train"], card["frames"]["accurate_valid"]
            if card["settings"] == settings and trained == (str(molecule.accurate), [*frames.train], [*frames.valid]):
                return True
    return False


def _needs_curve(store: Store, molecule: MoleculeSettings, models: Models | None) -> bool:
    """Whether a model of half the accurate labels alone will be trained."""
    if not molecule.validation.curve or molecule.training.strategy == "scratch":
        return False
    if models is None:
        return molecule.budget.accurate >= 2 * LEAST_LABELS
    return not has_curve(store, molecule, models)


def _alone(settings: TrainingSettings) -> Phase:
    """Training on accurate labels alone."""
    return _phase(settings, "scratch", settings.steps_alone, settings.finetune_batch_size, stops=True)


def _phase(settings: TrainingSettings, name: str, steps: int, batch_size: int, *, stops: bool) -> Phase:
    patience = (settings.patience + 1) * settings.evaluate_every
    return Phase(name, steps, min(steps, patience) if stops else steps, batch_size)


def _phases(settings: TrainingSettings, has_scratch: bool) -> tuple[Phase, ...]:
    def phase(name: str, steps: int, batch_size: int, *, stops: bool) -> Phase:
        return _phase(settings, name, steps, batch_size, stops=stops)

    alone = _alone(settings)
    phases = [] if has_scratch else [alone]
    if settings.strategy == "scratch":
        return tuple(phases)
    if settings.strategy == "foundation":
        return (*phases, replace(alone, name="finetune"))
    if settings.strategy == "multihead":
        return (*phases, phase("multihead", settings.steps_together, settings.batch_size, stops=True))
    if settings.strategy == "weighted":
        phases += [alone] * (settings.teachers - 1)
    if settings.strategy == "weighted" and settings.gamma == "auto":
        trial = max(1, round(TRIAL_STEPS * settings.pretrain_steps))
        phases += [phase("gamma", trial, settings.batch_size, stops=False)] * (len(QUANTILES) + 1)
    if settings.strategy == "corrected":
        # Only where its kernel is not nearly exact.
        correction = phase("correction", settings.correction_steps, settings.finetune_batch_size, stops=True)
        phases.append(replace(correction, least_steps=0))
    phases.append(phase("pretrain", settings.pretrain_steps, settings.batch_size, stops=False))
    phases.append(phase("finetune", settings.finetune_steps, settings.finetune_batch_size, stops=True))
    return tuple(phases)
