"""The pipeline as named steps, each of which asks the store what is missing and computes only that.

``sample → select → label (cheap, accurate) → train → compare minima → certify``. Flows and the command line call these
functions and nothing deeper. Each takes references and settings, leaves its result in the store, and can be killed and
called again. Those that need torch run in a child process of their own, which keeps torch away from quantum chemistry
and from Prefect's event loop; all others import neither.
"""

import contextlib
import hashlib
import importlib
import io
import itertools
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid.configuration import Configuration, Frame, Origin
from asteroid.errors import AsteroidError, InputError
from asteroid.labelling import check_supported, engines_for
from asteroid.levels import Family, LevelOfTheory
from asteroid.manifest import Manifest, MoleculeSettings, load_manifest
from asteroid.processes import Progress, call_in_process
from asteroid.records import Attempt
from asteroid.store import Store

if TYPE_CHECKING:
    from asteroid.labelling.campaign import CampaignSummary
    from asteroid.sampling import SamplingSummary

LABEL_TIME_LIMIT = 12 * 3600.0
"""s: a label that takes longer is taken for hung."""

MINIMUM_LABELS = 4
"""At most so many accurate labels are spent on finding the accurate minimum."""


# -- before anything is spent ------------------------------------------------------------------------------------------


def load_checked(manifest: str | Path) -> Manifest:
    """Load a manifest and ask the labellers, too, whether they can do what it wants.

    Raises:
        InputError: with every problem, one line each.
    """
    loaded = load_manifest(manifest)
    problems = []
    for index, molecule in enumerate(loaded.molecules):
        for key, level in (("cheap", molecule.cheap), ("accurate", molecule.accurate)):
            try:
                check_supported(level, charge=molecule.charge, multiplicity=molecule.multiplicity)
            except InputError as error:
                problems.append(f"{manifest}: molecules[{index}] ({molecule.name}): {key}: {error}")
    if problems:
        raise InputError(problems)
    return loaded


# -- configurations and labels -----------------------------------------------------------------------------------------


def sample(
    store: Store, molecule: MoleculeSettings, *, workers: int, on_progress: Progress | None = None
) -> "SamplingSummary":
    """Sample whatever batches of configurations are not in the store yet.

    Raises:
        InputError: when another molecule has this name in the store.
    """
    from asteroid import sampling
    from asteroid.sampling.plan import identity

    path, this = f"molecules/{molecule.name}.json", identity(molecule)
    if not store.exists(path):
        store.write_json(path, this)
    elif (there := store.read_json(path)) != this:
        different = ", ".join(
            f"{key} {there.get(key)} (now {this.get(key)})" for key in there if there[key] != this.get(key)
        )
        raise InputError(
            f"{molecule.name}: the store has another molecule of this name, with {different}; write another name"
        )
    return sampling.sample(store, molecule, workers=workers, on_progress=_counted(on_progress))


def select(store: Store, molecule: MoleculeSettings) -> None:
    """Choose which frames get a cheap and which an accurate label."""
    from asteroid.sampling.choose import choose_accurate, choose_cheap

    choose_cheap(store, molecule)
    choose_accurate(store, molecule)


def label(
    store: Store,
    molecule: MoleculeSettings,
    level: LevelOfTheory,
    *,
    shard: int = 0,
    shards: int = 1,
    workers: int,
    on_progress: Progress | None = None,
) -> "CampaignSummary":
    """Label one shard of the selected frames that have not been tried yet."""
    from asteroid.labelling.campaign import run_campaign

    return run_campaign(
        store,
        molecule.name,
        level,
        engine=molecule.engine if molecule.engine in engines_for(level) else None,
        shard=shard,
        shards=shards,
        workers=workers,
        time_limit=LABEL_TIME_LIMIT,
        on_progress=_counted(on_progress),
    )


def expected_label_seconds(store: Store, molecule: MoleculeSettings, level: LevelOfTheory) -> float:
    """Core-seconds that one label is likely to take: as measured for this molecule, else a guess for the method."""
    table = store.attempts(molecule.name, level)
    if table.num_rows:
        return float(np.mean(table["wall_seconds"].to_numpy() * table["cores"].to_numpy()))
    return _GUESSED_SECONDS[level.family]


_GUESSED_SECONDS: dict[Family, float] = {
    "semiempirical": 0.01,
    "hf": 5.0,
    "dft": 15.0,
    "mp2": 15.0,
    "ccsd": 20.0,
    "ccsd(t)": 30.0,
}


# -- models ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Models:
    """The models of one molecule that belong together.

    Args:
        final: model id by the manifest's strategy.
        scratch: model id trained on the same accurate labels alone: the baseline, and the teacher of ``weighted``.
    """

    final: str
    scratch: str


@dataclass(frozen=True)
class TrainingFrames:
    """Frame ids that train and judge a model; every one has an accepted label."""

    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]
    cheap: tuple[str, ...]


def training_frames(
    store: Store, molecule: MoleculeSettings
) -> tuple[TrainingFrames, dict[str, Attempt], dict[str, Attempt]]:
    """Which frames train, stop and judge a model, with the accepted accurate and cheap labels.

    As many accurate ones as the budget says, in the order in which they were chosen: a smaller budget than was once
    spent means a smaller model's data. Cheap labels of held-out frames exist to measure the bias and never train.
    """
    budget = molecule.budget
    accurate = store.labels(molecule.name, molecule.accurate)
    cheap = store.labels(molecule.name, molecule.cheap)
    splits = {frame.frame_id: frame.split for frame in store.frames(molecule.name)}
    chosen = store.selected(molecule.name, molecule.accurate)

    def of(split: str, most: int) -> tuple[str, ...]:
        usable = (i for i in chosen if splits[i] == split and i in accurate and accurate[i].forces is not None)
        return tuple(sorted(itertools.islice(usable, most)))

    frames = TrainingFrames(
        of("train", budget.train),
        of("valid", budget.valid),
        of("test", budget.test),
        tuple(sorted(i for i in cheap if splits.get(i) == "train")),
    )
    return frames, accurate, cheap


def trained_models(store: Store, molecule: MoleculeSettings) -> Models | None:
    """The models that these settings and the labels now in the store lead to, if they have been trained."""
    path = _models_path(store, molecule)
    return Models(**store.read_json(path)) if store.exists(path) else None


def _models_path(store: Store, molecule: MoleculeSettings) -> str:
    """An index entry named by everything a training starts from, so that looking it up needs no torch."""
    frames, accurate, cheap = training_frames(store, molecule)
    foundation = molecule.training.foundation
    inputs = {
        "levels": [str(molecule.cheap), str(molecule.accurate)],
        "training": molecule.training.model_dump(mode="json", exclude={"device", "foundation"}),
        "foundation": hashlib.sha256(Path(foundation).read_bytes()).hexdigest() if foundation else None,
        "accurate": [[i, accurate[i].energy] for i in (*frames.train, *frames.valid)],
        "cheap": [[i, cheap[i].energy] for i in frames.cheap],
    }
    return f"models/{molecule.name}/index/{_digest(inputs)}.json"


def train_in_child(store: str, molecule: MoleculeSettings, *, on_progress: Progress | None = None) -> dict[str, Any]:
    """:func:`train` in a process of its own; returns the final model's card."""
    return call_in_process(train, store, molecule, on_progress=on_progress)


def train(store_url: str, molecule: MoleculeSettings, *, on_progress: Progress | None = None) -> dict[str, Any]:
    """Train the scratch model, then the manifest's strategy, and find the final model's minimum. Needs torch.

    Raises:
        TrainingError: when too few frames have labels.
    """
    _import_mace()
    from asteroid.training.run import train_model

    store = Store(store_url)
    frames, _, _ = training_frames(store, molecule)
    path = _models_path(store, molecule)

    def run(strategy: Any) -> dict[str, Any]:
        return train_model(
            store,
            molecule.name,
            strategy=strategy,
            cheap=molecule.cheap,
            accurate=molecule.accurate,
            train_ids=frames.train,
            valid_ids=frames.valid,
            cheap_ids=frames.cheap,
            settings=molecule.training,
            on_progress=_training_notes(on_progress),
        )

    scratch = run("scratch")
    final = run(molecule.training.strategy)
    _find_minimum(store, molecule, final["model_id"])
    store.write_json(path, asdict(Models(final["model_id"], scratch["model_id"])))
    return final


# -- the model's minimum and the accurate one
# ---------------------------------------------------------------------------


def _find_minimum(store: Store, molecule: MoleculeSettings, model_id: str) -> None:
    """Optimise with the model from the lowest conformer; geometry and Hessian are kept: what follows needs no torch."""
    from asteroid.training.run import load_calculator
    from asteroid.validation.minimum import find_minimum, hessian

    path = f"models/{molecule.name}/{model_id}/minimum.json"
    if store.exists(path):
        return
    calculator = load_calculator(store, molecule.name, model_id, device=molecule.training.device)
    found, converged = find_minimum(calculator, _starting_structure(store, molecule))
    second = hessian(calculator, found) if converged else None
    store.write_json(
        path,
        {
            "positions": found.positions.tolist(),
            "hessian": None if second is None else second.tolist(),
            "converged": converged,
        },
    )


def _starting_structure(store: Store, molecule: MoleculeSettings) -> Configuration:
    from asteroid.sampling.plan import stored_conformers

    conformers = stored_conformers(store, molecule)
    if not conformers:
        raise AsteroidError(f"{molecule.name}: the store has no conformer to start from; run the sampling stage")
    return conformers[0]


def propose_minimum(store: Store, molecule: MoleculeSettings, model_id: str) -> bool:
    """Ask for the next accurate label on the way from the model's minimum to the accurate one, if one is needed.

    Returns:
        Whether a label is now pending.
    """
    from asteroid.validation.minimum import CONVERGED, next_geometry

    found = store.read_json(f"models/{molecule.name}/{model_id}/minimum.json")
    if not found["converged"]:
        return False
    path = _minimum_path(store, molecule, model_id)
    labels = store.labels(molecule.name, molecule.accurate)
    if path:
        # Again, because a kill may have come between frame and selection.
        _select_minimum(store, molecule, model_id, path[-1].frame_id, len(path) - 1)
        if path[-1].frame_id in store.pending(molecule.name, molecule.accurate):
            return True
        if len(path) == MINIMUM_LABELS or path[-1].frame_id not in labels:
            return False
        labelled = [(c, _forces(labels[c.frame_id])) for c in path]
        if min(float(np.abs(forces).max()) for _, forces in labelled) < CONVERGED:
            return False
        proposed = next_geometry(np.array(found["hessian"]), labelled)
    else:
        proposed = _starting_structure(store, molecule).with_positions(np.array(found["positions"]))
    step = len(path)
    origin = Origin("minimum", {"model_id": model_id, "step": step}, parent=path[-1].frame_id if path else None)
    store.add_frames(
        molecule.name,
        [Frame(proposed, origin, f"minimum-{model_id}", "certificate")],
        batch=f"minimum-{model_id}-{step}",
    )
    _select_minimum(store, molecule, model_id, proposed.frame_id, step)
    return True


def _select_minimum(store: Store, molecule: MoleculeSettings, model_id: str, frame_id: str, step: int) -> None:
    name = f"minimum-{model_id}-{step}"
    store.select(molecule.name, molecule.accurate, [frame_id], name=name, criterion="minimum")


def _minimum_path(store: Store, molecule: MoleculeSettings, model_id: str) -> list[Configuration]:
    """The geometries labelled on the way to the accurate minimum, the model's own minimum first."""
    steps = [
        frame
        for frame in store.frames(molecule.name, split="certificate")
        if frame.origin.method == "minimum" and frame.origin.parameters["model_id"] == model_id
    ]
    return [f.configuration for f in sorted(steps, key=lambda f: int(f.origin.parameters["step"]))]


# -- certificate and report --------------------------------------------------------------------------------------------


def report_folder(store: Store, molecule: MoleculeSettings, models: Models) -> str:
    """Where a certificate and its report lie: named by the model and by what it was judged with."""
    frames, accurate, _ = training_frames(store, molecule)
    judged = {
        "validation": molecule.validation.model_dump(mode="json"),
        "test": [[i, accurate[i].energy] for i in frames.test],
    }
    return f"reports/{molecule.name}/{models.final}-{_digest(judged)[:8]}"


def is_certified(store: Store, molecule: MoleculeSettings) -> bool:
    models = trained_models(store, molecule)
    return models is not None and store.exists(f"{report_folder(store, molecule, models)}/report.html")


def certify_in_child(store: str, molecule: MoleculeSettings, *, on_progress: Progress | None = None) -> bool:
    """:func:`certify` in a process of its own; returns whether the certificate was passed."""
    return call_in_process(certify, store, molecule, on_progress=on_progress)


def certify(store_url: str, molecule: MoleculeSettings, *, on_progress: Progress | None = None) -> bool:
    """Judge the final model on held-out frames, in MD and at its minimum; write certificate and report. Needs torch."""
    _import_mace()
    from asteroid.report.write import write_report
    from asteroid.training.run import load_calculator, read_card
    from asteroid.validation.certificate import certify as judge
    from asteroid.validation.dynamics import run_dynamics

    store = Store(store_url)
    models = trained_models(store, molecule)
    if models is None:
        raise AsteroidError(f"{molecule.name}: no model has been trained from the labels now in the store")
    if on_progress:
        on_progress("errors on held-out frames", 0, 1)
    folder = report_folder(store, molecule, models)
    card, scratch_card = (read_card(store, molecule.name, i) for i in (models.final, models.scratch))
    calculator = load_calculator(store, molecule.name, models.final, device=molecule.training.device)
    if not store.exists(f"{folder}/certificate.json"):
        minimum, start, note = _compare_minima(store, molecule, models.final)
        certificate = judge(
            card,
            errors=_errors(store, molecule, models.final),
            scratch_errors=_errors(store, molecule, models.scratch) if models.scratch != models.final else None,
            dynamics=run_dynamics(calculator, start, molecule.validation, on_progress=_counted(on_progress, "MD")),
            minimum=minimum,
            thresholds=molecule.validation.thresholds,
            minimum_note=note,
        )
        store.write_json(f"{folder}/certificate.json", certificate.to_json())
    content = store.read_json(f"{folder}/certificate.json")
    write_report(store, molecule.name, certificate=content, card=card, scratch_card=scratch_card, folder=folder)
    return bool(content["passed"])


def outcome(store: Store, molecule: MoleculeSettings, models: Models) -> dict[str, Any]:
    """What to tell a person about a certified model: verdict, errors in eV/Å and eV/atom, and where everything lies."""
    from asteroid.report.verdict import benefit_sentence, quality_sentence

    folder = report_folder(store, molecule, models)
    certificate = store.read_json(f"{folder}/certificate.json")
    card = store.read_json(f"models/{molecule.name}/{models.final}/card.json")
    scratch = certificate["scratch_errors"] or certificate["errors"]
    return {
        "molecule": molecule.name,
        "passed": certificate["passed"],
        "quality": quality_sentence(certificate),
        "benefit": benefit_sentence(certificate, card),
        "force_mae": certificate["errors"]["force_mae"]["value"],
        "energy_mae": certificate["errors"]["energy_mae"]["value"],
        "scratch_force_mae": scratch["force_mae"]["value"],
        "scratch_energy_mae": scratch["energy_mae"]["value"],
        "lines": certificate["lines"],
        "model": store.location(f"models/{molecule.name}/{models.final}/model.model"),
        "report": store.location(f"{folder}/report.html"),
        "report_path": f"{folder}/report.html",
        "certificate_path": f"{folder}/certificate.json",
    }


def _errors(store: Store, molecule: MoleculeSettings, model_id: str) -> Any:
    """Errors of a model on the held-out test frames."""
    from asteroid.training.predict import predict
    from asteroid.training.run import load_calculator
    from asteroid.validation.errors import measure_errors

    frames, accurate, _ = training_frames(store, molecule)
    if not frames.test:
        raise AsteroidError(f"{molecule.name}: no test frame has an accepted label at {molecule.accurate}")
    configurations = {f.frame_id: f.configuration for f in store.frames(molecule.name, ids=frames.test)}
    calculator = load_calculator(store, molecule.name, model_id, device=molecule.training.device)
    energies, forces = predict(calculator, [configurations[i] for i in frames.test])
    return measure_errors(
        frames.test,
        reference_energies=np.array([accurate[i].energy for i in frames.test], dtype=float),
        predicted_energies=energies,
        reference_forces=[_forces(accurate[i]) for i in frames.test],
        predicted_forces=forces,
        seed=molecule.validation.seed,
    )


def _compare_minima(store: Store, molecule: MoleculeSettings, model_id: str) -> tuple[Any, Configuration, str]:
    """The comparison of minima (None where there is none, with the reason), and where MD starts."""
    from asteroid.validation.minimum import compare_minima

    found = store.read_json(f"models/{molecule.name}/{model_id}/minimum.json")
    minimum = _starting_structure(store, molecule).with_positions(np.array(found["positions"]))
    if not found["converged"]:
        return None, _starting_structure(store, molecule), "the model's optimisation did not converge"
    labels = store.labels(molecule.name, molecule.accurate)
    path = _minimum_path(store, molecule, model_id)
    labelled = [(c, _forces(labels[c.frame_id])) for c in path if c.frame_id in labels]
    if not labelled or labelled[0][0] is not path[0]:
        return None, minimum, f"the {molecule.accurate} label of the model's minimum failed"
    return compare_minima(np.array(found["hessian"]), labelled), minimum, ""


# -- small helpers -----------------------------------------------------------------------------------------------------


def _import_mace() -> None:
    """Import MACE without the remarks it prints: standard output belongs to ``--json``."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("mace.calculators")


def _forces(attempt: Attempt) -> np.ndarray[Any, np.dtype[np.float64]]:
    if attempt.forces is None:
        raise AsteroidError(f"the label of frame {attempt.frame_id} has no forces")
    return attempt.forces


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _counted(on_progress: Progress | None, note: str = "") -> Callable[[int, int], None] | None:
    """Turn a callback with a note into one that only counts."""
    if on_progress is None:
        return None
    return lambda done, total: on_progress(note, done, total)


def _training_notes(on_progress: Progress | None) -> Callable[[str, int, int, float | None], None] | None:
    """Turn a callback with a note into the one that training calls."""
    if on_progress is None:
        return None

    def show(stage: str, step: int, steps: int, valid_force_mae: float | None) -> None:
        error = "" if valid_force_mae is None else f", held-out force error {1000 * valid_force_mae:.1f} meV/Å"
        on_progress(f"{stage}{error}", step, steps)

    return show
