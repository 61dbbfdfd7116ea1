"""What the viewer of a report gets, and where the points of its plots lie."""

import re
from dataclasses import replace

import numpy as np
import pytest

from asteroid.chemistry.structures import parse_smiles
from asteroid.configuration import Frame, Origin
from asteroid.report import structures
from asteroid.report.drawing import draw_molecule
from asteroid.report.parity import FORCE, Points, parity_svg, report_parity
from asteroid.report.structures import collect_structures
from asteroid.simulation.replicas import Replica
from asteroid.simulation.trajectories import StoredTrajectories
from asteroid.store import Store, records
from asteroid.store.records import FoundMinimum, Identity
from asteroid.validation.evidence import Evidence
from asteroid.validation.on_policy import OnPolicy
from tests.validation.certificates import (
    WATER,
    displaced,
    make_card,
    make_certificate,
    make_energy_only_certificate,
    measured,
)

MODEL = "models/water/0123456789abcdef"


@pytest.fixture
def store(tmp_path) -> Store:
    """With the test frames of the certificate, the model's minimum and two trajectories."""
    store = Store(tmp_path / "store")
    frames = [Frame(c, Origin("md", temperature=600.0), "group-1", "test") for c in displaced(12, seed=1)]
    store.add_frames("water", frames, batch="batch")
    records.write(store, f"{MODEL}/minimum.json", FoundMinimum(WATER.positions, None, True))
    StoredTrajectories(store, f"{MODEL}/md-1", WATER.numbers.tolist()).save("nvt", [turning(), turning("bond broken")])
    return store


def turning(reason: str | None = None) -> Replica:
    """Rigid water that turns by 90° and moves away in 100 frames of 5 fs."""
    angles = np.linspace(0, np.pi / 2, 100)
    turns = np.array([[[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]] for a in angles])
    positions = WATER.positions @ turns + 10 * angles[:, None, None]
    series = np.zeros(100)
    return Replica(
        ensemble="nvt",
        temperature=600.0,
        timestep=0.5,
        seed=0,
        start="x",
        times=5.0 * np.arange(100),
        positions=positions,
        potential_energies=series,
        total_energies=series,
        temperatures=series,
        reason=reason,
        survived=0.5,
        requested=0.5,
    )


def test_minimum_trajectories_and_all_frames_can_be_shown_the_worst_first(store):
    shown = collect_structures(store, "water", make_certificate(), f"{MODEL}/md-1")
    assert [key for key in shown.scenes if not key.startswith("test-")] == ["minimum", "md", "broken"]
    errors, keys = measured()[0], [key for key in shown.scenes if key.startswith("test-")]
    rows = [int(key.partition("-")[2]) for key in keys]
    largest = [np.abs(errors.predicted_forces[i] - errors.reference_forces[i]).max() for i in rows]
    assert len(largest) == 12
    assert largest == sorted(largest, reverse=True)
    assert "bond broken" in shown.scenes["broken"].words
    assert "the last 0.295 ps" in shown.scenes["md"].words
    assert shown.worst[0].source == "Held-out frame (MD, 600 K)"
    assert f"force error up to {1000 * largest[0]:.3g} meV/Å" in shown.worst[0].words


def test_a_trajectory_is_shown_without_rotation_and_translation(store):
    positions = collect_structures(store, "water", make_certificate(), f"{MODEL}/md-1").scenes["md"].positions
    assert positions.shape == (structures.MD_FRAMES, 3, 3)
    # Rigid, so nothing is left.
    assert np.ptp(positions, axis=0).max() < 1e-9


def along_bonds(vectors: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(3, 2) components of the vectors at all atoms along both bonds of water."""
    bonds = positions[1:] - positions[0]
    return vectors @ (bonds / np.linalg.norm(bonds, axis=1)[:, None]).T


def test_a_frame_is_shown_where_the_minimum_is(store):
    scenes = collect_structures(store, "water", make_certificate(), None).scenes
    for key, scene in scenes.items():
        # Displaced by 0.05 Å a coordinate.
        assert np.abs(scene.positions[0] - scenes["minimum"].positions[0]).max() < 0.3, key


def test_the_arrows_are_the_force_errors_and_the_longest_has_its_length(store):
    shown = collect_structures(store, "water", make_certificate(), None)
    data, errors, configurations = shown.for_viewer(), measured()[0], displaced(12, seed=1)
    arrows = {key: np.reshape(scene["arrows"], (3, 3)) for key, scene in data["scenes"].items() if scene["arrows"]}
    # In mÅ, rounded.
    longest = max(np.linalg.norm(arrow, axis=1).max() for arrow in arrows.values())
    assert longest == pytest.approx(1000 * structures.LONGEST_ARROW, abs=1)
    for key, arrow in arrows.items():
        row = int(key.partition("-")[2])
        wanted = 1000 * shown.arrow_scale * (errors.predicted_forces[row] - errors.reference_forces[row])
        positions = np.reshape(data["scenes"][key]["frames"], (3, 3))
        # Structures are turned onto the minimum, and the arrows with them: their components along the bonds stay.
        assert along_bonds(arrow, positions) == pytest.approx(along_bonds(wanted, configurations[row].positions), abs=2)
    assert data["symbols"] == ["O", "H", "H"]


def test_a_store_without_the_frames_has_no_scenes_but_all_points(tmp_path):
    shown = collect_structures(Store(tmp_path / "bare"), "water", make_certificate(), f"{MODEL}/md-1")
    assert shown.scenes == {}
    plots = report_parity(make_certificate(), make_card(), shown)
    assert plots["forces"].count('class="point"') == 12
    assert "data-show" not in plots["forces"]


def test_of_many_frames_the_worst_and_a_regular_choice_are_shown(store, monkeypatch):
    monkeypatch.setattr(structures, "MOST_COMPONENTS", 9 * 8)
    every = make_certificate().errors
    shown = collect_structures(store, "water", make_certificate(), None)
    worst = np.argsort(
        [-np.abs(p - f).max() for p, f in zip(every.predicted_forces, every.reference_forces, strict=True)]
    )
    assert {one.frame_id for one in shown.worst} == {every.frame_ids[i] for i in worst[: structures.WORST]}
    assert structures.WORST < len(shown.tested) <= 8


def test_own_md_has_its_own_plot_and_energies_alone_have_no_force_plot(store):
    own = OnPolicy(measured()[0], (300.0,) * 12, 12, 0)
    certificate = make_certificate(evidence=Evidence(on_policy=own))
    plots = report_parity(certificate, make_card(), collect_structures(store, "water", certificate, None))
    assert list(plots) == ["forces", "energies", "own_forces"]
    certificate = make_energy_only_certificate()
    shown = collect_structures(store, "water", certificate, None)
    assert list(report_parity(certificate, make_card(), shown)) == ["energies"]
    assert shown.worst[0].words.startswith("energy error")
    assert shown.scenes[shown.worst[0].key].errors is None


def test_points_lie_on_the_diagonal_where_prediction_and_label_agree():
    values = np.array([-1.0, 0.0, 2.0])
    svg = parity_svg(FORCE, [Points("test-0", values, values + np.array([0.0, 0.0, 0.5]))])
    (path,) = re.findall(r'<path class="point" data-show="test-0" d="([^"]+)"', svg)
    places = np.array([[float(n) for n in pair.split()] for pair in re.findall(r"M([\d.]+ [\d.]+)h0", path)])
    diagonal = re.search(r'class="line" d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)M[\d.]+ ([\d.]+)H', svg)
    left, bottom, right, top, zero = map(float, diagonal.groups())
    expected = bottom + (places[:3, 0] - left) / (right - left) * (top - bottom)
    # Coordinates have one decimal.
    assert places[:2, 1] == pytest.approx(expected[:2], abs=0.1)
    assert places[2, 1] < expected[2] - 5, "a prediction that is too large lies above the diagonal"
    assert places[3:5, 1] == pytest.approx(zero, abs=0.1), "no error lies on the line of the lower panel"
    assert places[5, 1] < zero - 5


def test_a_molecule_is_drawn_from_its_smiles_in_the_colour_of_the_text(store):
    assert draw_molecule(store, "water") is None
    records.write(store, "molecules/water.json", Identity(smiles="CC(=O)Nc1ccc(O)cc1", charge=0, multiplicity=1))
    svg = draw_molecule(store, "water")
    assert svg.startswith("<svg")
    assert "currentColor" in svg
    assert "http" not in svg
    # Eleven heavy atoms have at least as many bonds as atoms in a ring.
    heavy = sum(atom.GetAtomicNum() > 1 for atom in parse_smiles("CC(=O)Nc1ccc(O)cc1").GetAtoms())
    assert svg.count("<path") >= heavy
    records.write(store, "molecules/other.json", Identity(geometry="0" * 64, charge=0, multiplicity=1))
    assert draw_molecule(store, "other") is None


def test_a_trajectory_that_is_too_short_to_play_is_left_out(store):
    short = replace(turning(), times=np.zeros(1), positions=turning().positions[:1])
    series = {name: np.zeros(1) for name in ("potential_energies", "total_energies", "temperatures")}
    StoredTrajectories(store, f"{MODEL}/md-2", WATER.numbers.tolist()).save("nvt", [replace(short, **series)])
    assert "md" not in collect_structures(store, "water", make_certificate(), f"{MODEL}/md-2").scenes
