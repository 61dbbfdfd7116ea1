"""Count what a run still has to do, from the settings and the store.

Sampling, labels and certificate are counted per molecule, trainings and rounds per model. Counts are upper bounds:
sampling may drop frames, trainings may stop early, and the accurate minimum is often found before its last label.
:mod:`asteroid.plan.labels` and :mod:`asteroid.plan.machine` measure the costs.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from asteroid.configuration import SYMBOLS
from asteroid.engines.pyscf.hessian import has_analytic_hessian
from asteroid.groups import plan_groups
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.settings import SamplingSettings
from asteroid.stages.certificates import lacks_certificate
from asteroid.stages.common import LEAST_LABELS
from asteroid.stages.curve import has_curve
from asteroid.stages.evidence import read_asked
from asteroid.stages.hessians import hessian_frames
from asteroid.stages.level_shares import planned_labels
from asteroid.stages.minima import MINIMUM_LABELS
from asteroid.stages.models import Models, trained_models, training_set
from asteroid.stages.own_md import SPECTRUM_REPLICAS
from asteroid.stages.pilot import FRAMES, pilot_levels
from asteroid.stages.round_files import read_record, read_rounds, training_settings, trains_on
from asteroid.store import Store
from asteroid.store.models import read_cards
from asteroid.store.round_records import Further
from asteroid.strategies import BASELINE, Phase, strategy_named
from asteroid.training.member import MEMBER

RELAXATION_STEPS = 40
"""Gradients from an MMFF94 structure to a minimum of the cheap level, and from there to the model's: 10 to 60 for
molecules of 3 to 20 atoms."""

HESSIAN = 1
"""Cost of an analytic Hessian per atom, in labels: 0.9 for HF/6-31G* of water."""

IN_FIELDS = 6
"""Gradients in an electric field beside an analytic Hessian, which give the derivatives of the dipole."""

JUDGED_EVERY = {"nve": 1.0, "spectrum": 2.0, "nvt": 5.0, "exploration": 10.0}
"""fs between two recorded frames of a model's MD."""

SCAN_GRADIENTS = 24 * 15
"""Gradients of a torsion scan: 24 points, each relaxed in some 15 steps."""


@dataclass(frozen=True)
class Sampling:
    """Remaining gradients of the cheap level.

    Args:
        search: for conformers, in one process.
        gradients: of all groups, in parallel.
    """

    search: int
    gradients: int
    groups: int
    frames: int


@dataclass(frozen=True)
class MD:
    """A batch of trajectories of a model: replicas, steps, and steps between two recorded frames."""

    replicas: int
    steps: int
    interval: int


@dataclass(frozen=True)
class Certificate:
    """Remaining work for the certificate of a model on one molecule.

    Args:
        times: largest number of certificates: one, and one after each round that a failed one orders. The other counts
            are for one certificate.
        minimum: accurate labels of the search for the accurate minimum, one after another.
        evidence: further accurate labels: of the model's own MD, torsions and vibrations.
        hessian: cost of the analytic Hessian in labels, see :data:`HESSIAN`.
        gradients: of the model, one by one, for torsion scans.
    """

    times: int = 0
    minimum: int = 0
    evidence: int = 0
    hessian: int = 0
    gradients: int = 0
    md: tuple[MD, ...] = ()


@dataclass(frozen=True)
class Training:
    """Remaining trainings of one model.

    Args:
        phases: of all trainings, including the baseline and all rounds; ``optional`` where not certain.
        kernels, sure_kernels: largest and smallest number of kernels for the accurate labels of one molecule.
        members: phases of the committees of all rounds.
        gradients: of the model of each round, one by one, for its minimum and Hessian.
        md: of exploration.
    """

    phases: tuple[Phase, ...]
    kernels: int
    sure_kernels: int
    members: tuple[Phase, ...]
    gradients: int
    md: tuple[MD, ...]


def count_sampling(store: Store, molecule: MoleculeSettings, atoms: int) -> Sampling:
    """Remaining sampling; groups are sampled as a whole."""
    from asteroid.sampling.plan import missing_groups, stored_conformers

    settings = molecule.sampling
    conformers, search = len(stored_conformers(store, molecule)), 0
    groups = missing_groups(store, molecule) if conformers else plan_groups(settings)
    if not conformers:
        conformers = 1 if molecule.geometry else settings.conformers
        search = conformers * (1 if molecule.geometry else 2) * RELAXATION_STEPS
    md = [group for group in groups if group.method == "md"]
    gradients = sum(_trajectory_steps(settings, group.frames) for group in md)
    if len(md) < len(groups):
        gradients += conformers * 6 * atoms
    return Sampling(search, gradients, len(groups), sum(group.frames for group in groups))


def _trajectory_steps(settings: SamplingSettings, frames: int) -> int:
    return round((settings.equilibration + (frames - 1) * settings.interval) / settings.timestep) if frames else 0


def count_labels(store: Store, molecule: MoleculeSettings, to_sample: int) -> dict[LevelOfTheory, int]:
    """Remaining labels by level, without those of the certificate.

    Args:
        to_sample: number of frames that are still to be sampled; each gets a cheap label.
    """
    stored = [frame for frame in store.frames(molecule.name) if frame.split != "certificate"]
    ids = {frame.frame_id for frame in stored}
    # All frames are labelled at the cheap level, selected or not.
    wanted = {molecule.cheap: to_sample + (len(stored) or molecule.sampling.conformers)}
    wanted |= {level: n for level, n in molecule.ladder_labels.items() if level.family != "imported"}
    wanted |= dict.fromkeys(pilot_levels(store, molecule)[1:], FRAMES)
    wanted[molecule.accurate] = molecule.accurate_labels("test")
    if not molecule.is_only_judged:
        wanted[molecule.accurate] += planned_labels(store, molecule)
    counts = {}
    for level, count in wanted.items():
        chosen = ids.intersection(store.selected(molecule.name, level))
        # A label that failed is not computed again.
        pending = ids.intersection(store.pending(molecule.name, level, forces=molecule.label_settings(level).forces))
        counts[level] = max(0, count - len(chosen)) + len(pending)
    # A part of a composite level has labels of all its training frames.
    shared = min(counts[molecule.accurate], molecule.accurate_labels("train")) if molecule.accurate.parts else 0
    between = set(counts).intersection(molecule.accurate.computed).difference({molecule.cheap, molecule.accurate})
    return counts | {level: max(0, counts[level] - shared) for level in between}


def missing_atoms(
    store: Store, molecule: MoleculeSettings, level: LevelOfTheory, numbers: Iterable[int]
) -> list[tuple[LevelOfTheory, int]]:
    """Free atoms of a molecule's elements that are missing, each with the level; none are needed in between."""
    if level.family == "imported" or level not in (molecule.cheap, molecule.accurate):
        return []
    there = {part: store.atoms(part) for part in level.computed}
    return [(part, z) for part, known in there.items() for z in sorted(set(numbers)) if SYMBOLS[z] not in known]


def count_certificate(store: Store, molecule: MoleculeSettings, atoms: int) -> Certificate:
    """Remaining work for the model's certificate on this molecule."""
    if not lacks_certificate(store, molecule):
        return Certificate()
    settings, models = molecule.validation, trained_models(store, molecule)
    bonds = _rotatable_bonds(molecule) if settings.torsion_points else 0
    vibrations = settings.frequencies and molecule.label_settings(molecule.accurate).forces
    analytic = has_analytic_hessian(molecule.accurate)
    step, highest = settings.timestep, len(settings.temperatures)
    nve, nvt = (max(2, round(1000 * length / step)) for length in (settings.nve_ps, settings.nvt_ps))
    fine, coarse, spectrum = (max(1, round(JUDGED_EVERY[name] / step)) for name in ("nve", "nvt", "spectrum"))
    return Certificate(
        times=1 + _further_certificates(store, molecule),
        minimum=_minimum_labels(store, molecule, models),
        evidence=_evidence_labels(store, molecule, models, bonds, 6 * atoms if vibrations and not analytic else 0),
        hessian=HESSIAN * atoms + (0 if molecule.charge else IN_FIELDS) if vibrations and analytic else 0,
        gradients=bonds * SCAN_GRADIENTS,
        md=(
            MD(1, nve, fine),
            MD(1, 2 * nve, 2 * fine),
            MD(settings.replicas * highest, nvt, coarse),
            MD(min(settings.replicas, SPECTRUM_REPLICAS), nve, spectrum),
        ),
    )


def _minimum_labels(store: Store, molecule: MoleculeSettings, models: Models | None) -> int:
    """Largest number of remaining accurate labels in the search for the accurate minimum, which needs forces."""
    if not molecule.label_settings(molecule.accurate).forces:
        return 0
    if models is None:
        return MINIMUM_LABELS
    labels = store.labels(molecule.name, molecule.accurate)
    steps = [f for f in store.frames(molecule.name, split="certificate") if f.origin.method == "minimum"]
    had = [f for f in steps if f.origin.parameters["model_id"] == models.final and f.frame_id in labels]
    return MINIMUM_LABELS - len(had)


def _evidence_labels(
    store: Store, molecule: MoleculeSettings, models: Models | None, bonds: int, displaced: int
) -> int:
    """Largest number of remaining accurate labels of the certificate, without those of the minimum.

    Args:
        displaced: of a Hessian by finite differences.
    """
    settings = molecule.validation
    asked = read_asked(store, molecule, models.final) if models else None
    if models is None or asked is None:
        return settings.on_policy + settings.torsion_points * bonds + displaced
    labels = store.labels(molecule.name, molecule.accurate)
    had = sum(i in labels for i in hessian_frames(store, molecule, models.final))
    return sum(i not in labels for i in asked.frame_ids) + displaced - had


def _rotatable_bonds(molecule: MoleculeSettings) -> int:
    from asteroid.sampling.conformers import starting_configuration
    from asteroid.validation.torsions import rotatable_bonds

    try:
        return len(rotatable_bonds(starting_configuration(molecule), molecule.smiles))
    except ValueError:
        # The pipeline then needs none.
        return 0


def count_training(store: Store, model: MoleculeSettings, atoms: int) -> Training:
    """Remaining trainings; an interrupted training counts from its start.

    Args:
        atoms: of all molecules together.
    """
    training, rounds_of, models = model.training, model.acquisition, trained_models(store, model)
    strategy, baseline = strategy_named(training.strategy), [*strategy_named(BASELINE).phases(training)]
    rounds = _rounds(store, model, trained=models is not None)
    found: list[Phase] = []
    members: list[Phase] = []
    if rounds:
        found += [] if _has_baseline(store, model) else baseline
        found += [] if strategy.is_baseline else strategy.phases(training)
    if rounds_of is not None:
        later = training
        if trains_on(model):
            # A model that starts from another has no warm restarts.
            later = training_settings(model, start="the model of the round before")
            later = later.model_copy(update={"warm_restarts": 0})
        # The baseline is trained for each certificate, and as a teacher in each round.
        each = [*(baseline if strategy.needs_teacher else []), *strategy.phases(later)]
        again = baseline * (2 if model.validation.curve else 1) * _further_certificates(store, model)
        # Any round may be the last, so further rounds are optional.
        found += [replace(phase, optional=True) for phase in (*each * (rounds - 1), *again)]
        committee = [replace(phase, optional=True) for phase in MEMBER.phases(training)]
        members = committee * rounds_of.committee * (rounds - 1)
    if lacks_certificate(store, model) and _needs_curve(store, model, models):
        found += baseline
    kernels = strategy.kernels(training)
    return Training(
        phases=tuple(found),
        kernels=rounds * kernels,
        sure_kernels=min(1, rounds) * kernels,
        members=tuple(members),
        gradients=rounds * (RELAXATION_STEPS + 6 * atoms),
        md=_exploration(model) * len(model.trained_on) * max(0, rounds - 1),
    )


def _rounds(store: Store, model: MoleculeSettings, *, trained: bool) -> int:
    """Largest number of remaining trainings: one, or one per round, including rounds ordered by certificates."""
    settings = model.acquisition
    if settings is None:
        return 0 if trained else 1
    later = sum(member.budget.accurate - settings.initial for member in model.trained_on)
    batches = math.ceil(max(0, later) / settings.batch)
    return max(0, min(settings.rounds + settings.certify_rounds, 1 + batches) - len(read_rounds(store, model)))


def _further_certificates(store: Store, model: MoleculeSettings) -> int:
    """Number of rounds that failed certificates may still order, each with its own certificate."""
    if model.acquisition is None:
        return 0
    ordered = sum(read_record(store, model, Further, n) is not None for n in range(len(read_rounds(store, model))))
    return max(0, min(model.acquisition.certify_rounds - ordered, _rounds(store, model, trained=False)))


def _exploration(model: MoleculeSettings) -> tuple[MD, ...]:
    """MD of the exploration in one round."""
    settings, step = model.acquisition, model.sampling.timestep
    if settings is None:
        return ()
    replicas = settings.replicas * len(settings.temperatures)
    every = max(1, round(JUDGED_EVERY["exploration"] / step))
    # The committee evaluates each recorded frame.
    return (MD(replicas, round(1000 * settings.ps / step * (1 + settings.committee / every)), every),)


def _has_baseline(store: Store, model: MoleculeSettings) -> bool:
    """Whether the store has a baseline of these settings, from an interrupted run."""
    data = training_set(store, model)
    # The baseline always starts from random weights.
    settings = {**model.training.model_dump(mode="json"), "strategy": BASELINE, "foundation": None}
    wanted = settings, str(model.accurate), sorted(data.train_ids), sorted(data.valid_ids)
    return wanted in (
        (card.settings, card.accurate, sorted(card.frames.accurate_train), sorted(card.frames.accurate_valid))
        for card in read_cards(store, model.model_name)
    )


def _needs_curve(store: Store, model: MoleculeSettings, models: Models | None) -> bool:
    """Whether the baseline will be trained with half of the accurate labels, for the learning curve."""
    if not model.validation.curve or model.training.strategy == BASELINE:
        return False
    if models is None:
        return model.budget.accurate >= 2 * LEAST_LABELS
    return not has_curve(store, model, models)
