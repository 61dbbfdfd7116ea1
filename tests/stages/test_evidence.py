"""What a certificate asks the accurate level for. GFN2 plays the model, HF the accurate level, on hydrogen peroxide."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asteroid import stages
from asteroid.chemistry.bonds import bonded
from asteroid.chemistry.vibrations import displacements, normal_modes
from asteroid.configuration import Frame, Origin
from asteroid.errors import AsteroidError
from asteroid.labelling.review import FEWEST
from asteroid.levels import LevelOfTheory
from asteroid.manifest import BudgetSettings, ModelSettings, MoleculeSettings, SamplingSettings, ValidationSettings
from asteroid.sampling import sample
from asteroid.sampling.choose import choose_cheap
from asteroid.simulation.trajectories import StoredTrajectories
from asteroid.stages import own_md as own
from asteroid.stages.hessians import accurate_hessian, compare_modes, compute_hessian, lacks_hessian, propose_hessian
from asteroid.stages.minima import MINIMUM_LABELS, minimum_or_start, propose_minimum, starting_structure
from asteroid.stages.models import training_frames
from asteroid.stages.on_policy import propose_on_policy
from asteroid.stages.torsions import compare_torsions, propose_torsions
from asteroid.store import Store, paths
from asteroid.store.models import write_model
from asteroid.validation.dynamics import run_dynamics
from asteroid.validation.minimum import find_minimum, model_hessian
from asteroid.validation.torsions import rotatable_bonds, scan
from tests.cards import bare_card

MODEL = "0123456789abcdef"
NAME = "peroxide"


def peroxide(**changes: Any) -> MoleculeSettings:
    settings = {"temperatures": (300.0,), "nve_ps": 0.02, "nvt_ps": 0.2, "replicas": 2, "frequencies": True}
    return MoleculeSettings(
        name=NAME,
        smiles="OO",
        accurate=LevelOfTheory.parse("hf/sto-3g"),
        sampling=SamplingSettings(frames=10, methods=("normal-modes",), conformers=1),
        budget=BudgetSettings(accurate=5, test=1),
        validation=ValidationSettings(**(settings | changes)),
    )


def gfn2() -> Any:
    from tblite.ase import TBLite

    return TBLite(method="GFN2-xTB", verbosity=0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Sampled hydrogen peroxide, with the minimum, the scan and the trajectories of its model."""
    from asteroid.stages.common import import_mace

    import_mace()
    import torch

    from asteroid.training.model import build_model

    store, molecule = Store(tmp_path_factory.mktemp("store")), peroxide()
    sample(store, molecule)
    found, converged = find_minimum(gfn2(), starting_structure(store, molecule))
    assert converged
    folder = f"models/{NAME}/{MODEL}"
    content = {"positions": found.positions.tolist(), "hessian": model_hessian(gfn2(), found).tolist()}
    store.write_json(f"{folder}/minimum.json", content | {"converged": True})
    (torsion,) = rotatable_bonds(found, "OO")
    profile = scan(gfn2(), found, torsion, bonded(found))
    scanned = {
        "name": torsion.name,
        "atoms": torsion.atoms,
        "turns": profile.turns.tolist(),
        "energies": profile.energies.tolist(),
        "positions": [geometry.positions.tolist() for geometry in profile.geometries],
    }
    store.write_json(f"{folder}/torsions.json", {"scans": [scanned]})
    # The trajectories are there, so this module is never asked for forces.
    buffer = io.BytesIO()
    size = ModelSettings(channels=2, max_l=0, max_ell=1, correlation=1, interactions=1)
    torch.save(build_model([1, 8], size, scale=(1.0,), avg_num_neighbors=1.0, seed=0, dtype=torch.float64), buffer)
    write_model(store, bare_card(model_id=MODEL, molecule=NAME), buffer.getvalue())
    stored = StoredTrajectories(store, own.trajectories_folder(molecule, MODEL), found.numbers.tolist())
    run_dynamics(gfn2(), found, molecule.validation, stored=stored)
    stored.save("spectrum", stored.load("nvt") or [])
    return store


def test_frames_of_own_md_are_for_the_certificate_alone(store: Store) -> None:
    molecule = peroxide(on_policy=3)
    ids = propose_on_policy(store, molecule, MODEL)
    assert len(ids) == 3
    frames = store.frames(NAME, ids=ids)
    assert {frame.split for frame in frames} == {"certificate"}
    assert {(f.origin.method, f.origin.parameters["model_id"]) for f in frames} == {("on-policy", MODEL)}
    # Past the equilibration of half of 200 fs.
    assert min(f.origin.parameters["time"] for f in frames) >= 100
    assert set(ids) <= set(store.pending(NAME, molecule.accurate))
    choose_cheap(store, molecule)
    assert not set(ids) & set(store.selected(NAME, molecule.cheap))
    assert propose_on_policy(store, molecule, MODEL) == ids
    assert propose_on_policy(store, peroxide(on_policy=0), MODEL) == []


def test_labels_of_own_md_never_train_whatever_the_budget(store: Store) -> None:
    molecule = peroxide(on_policy=3)
    ids = propose_on_policy(store, molecule, MODEL)
    stages.label(store, molecule, molecule.accurate, workers=1)
    assert set(ids) <= set(store.labels(NAME, molecule.accurate))
    frames, _, _ = training_frames(store, molecule)
    assert not set(ids) & {*frames.train, *frames.valid, *frames.test, *frames.cheap}


def test_a_torsion_is_measured_by_accurate_energies_above_the_minimum(store: Store) -> None:
    molecule = peroxide(torsion_points=2)
    wanted = propose_torsions(store, molecule, MODEL)
    assert propose_torsions(store, molecule, MODEL) == wanted
    assert propose_torsions(store, peroxide(torsion_points=0), MODEL) == ()
    (before,) = compare_torsions(store, molecule, MODEL, wanted)
    propose_minimum(store, molecule, MODEL)
    stages.label(store, molecule, molecule.accurate, workers=1)
    (found,) = compare_torsions(store, molecule, MODEL, wanted)
    labels = store.labels(NAME, molecule.accurate)
    base = labels[minimum_or_start(store, molecule, MODEL).frame_id].energy
    heights = [labels[i].energy - base for i in wanted[0].points.values()]
    assert before.worst is None
    assert sorted(found.accurate) == pytest.approx(sorted(heights))
    assert found.worst == pytest.approx(np.abs(found.energies[found.points] - found.accurate).max())


@pytest.mark.long
def test_frequencies_from_labels_are_those_of_the_analytic_hessian(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyscf import gto, scf

    from asteroid.units import BOHR, HARTREE

    # Near enough to GFN2's water for its minimum to be reached in a few steps.
    level = LevelOfTheory.parse("hf/6-31g*")
    molecule = dataclasses.replace(peroxide(), name="water", smiles="O", accurate=level)
    store = Store(tmp_path / "store")
    sample(store, molecule)
    found, _ = find_minimum(gfn2(), starting_structure(store, molecule))
    content = {"positions": found.positions.tolist(), "hessian": model_hessian(gfn2(), found).tolist()}
    store.write_json(f"models/water/{MODEL}/minimum.json", content | {"converged": True})
    assert not propose_hessian(store, molecule, MODEL), "there is no accurate minimum yet"
    for _ in range(MINIMUM_LABELS):
        if not propose_minimum(store, molecule, MODEL):
            break
        stages.label(store, molecule, molecule.accurate, workers=1)
    monkeypatch.setattr("asteroid.stages.hessians.has_analytic_hessian", lambda level: False)
    unasked = dataclasses.replace(molecule, validation=ValidationSettings())
    assert not propose_hessian(store, unasked, MODEL)
    assert propose_hessian(store, molecule, MODEL)
    none, reason = compare_modes(store, molecule, MODEL)
    assert none is None
    assert "18 of 18" in reason
    stages.label(store, molecule, molecule.accurate, workers=1)
    assert not propose_hessian(store, molecule, MODEL)
    compared, _ = compare_modes(store, molecule, MODEL)
    assert compared is not None
    assert compared.labels == 18
    of_labels, _ = accurate_hessian(store, molecule, MODEL)
    assert of_labels is not None

    (batch,) = [name for name in store.frame_batches("water") if name.startswith("hessian-")]
    (centre,) = store.frames("water", ids=[batch.removeprefix("hessian-")])
    atoms = list(zip(centre.configuration.symbols, centre.configuration.positions, strict=True))
    mean_field = scf.RHF(gto.M(atom=atoms, basis="6-31g*", verbose=0)).run(conv_tol=1e-12)
    second = mean_field.Hessian().kernel().transpose(0, 2, 1, 3).reshape(9, 9) * HARTREE / BOHR**2
    analytic = normal_modes(centre.configuration, second).wavenumbers
    np.testing.assert_allclose(compared.accurate, analytic, atol=1.0)

    monkeypatch.undo()
    assert not propose_hessian(store, molecule, MODEL), "this level needs no labels for it"
    monkeypatch.setattr("asteroid.stages.hessians.trained_models", lambda *_: stages.Models(MODEL, MODEL))
    assert lacks_hessian(store, molecule)
    with pytest.raises(AsteroidError, match=r"Hessian of frame .* is missing"):
        compare_modes(store, molecule, MODEL)
    compute_hessian(store, molecule)
    assert not lacks_hessian(store, molecule)
    again, _ = compare_modes(store, molecule, MODEL)
    assert again is not None
    assert again.labels == 0
    np.testing.assert_allclose(again.accurate, analytic, atol=0.01)
    analytic_too, _ = accurate_hessian(store, molecule, MODEL)
    assert analytic_too is not None
    np.testing.assert_allclose(of_labels.dipole_derivatives, analytic_too.dipole_derivatives, atol=1e-3)
    folder = paths.analytic_hessians("water", str(molecule.accurate))
    (kept,) = store.names(folder)
    assert store.read_json(f"{folder}/{kept}")["core_seconds"] > 0


@pytest.mark.long
def test_many_labels_about_one_minimum_make_no_outliers_of_the_others(store: Store) -> None:
    molecule = peroxide()
    stages.select(store, molecule)
    rest = minimum_or_start(store, molecule, MODEL)
    near = [Frame(c, Origin("hessian"), "near", "certificate") for c in displacements(rest)]
    store.add_frames(NAME, near, batch="near")
    ids = [frame.frame_id for frame in near]
    store.select(NAME, molecule.accurate, ids, name="near", criterion="hessian")
    stages.label(store, molecule, molecule.accurate, workers=1)
    assert len(store.labels(NAME, molecule.accurate)) > FEWEST
    assert stages.review_labels(store, molecule, molecule.accurate) == []
