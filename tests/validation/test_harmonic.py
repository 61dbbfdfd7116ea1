"""Frequencies of two levels, and of published labels, against what is known from elsewhere."""

import datetime as dt
from collections.abc import Callable
from itertools import combinations_with_replacement, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asteroid.chemistry.vibrations import displacements, hessian_from_forces, normal_modes, rigid_and_internal_modes
from asteroid.configuration import Configuration, Frame, Origin
from asteroid.levels import LevelOfTheory
from asteroid.settings import ModelSettings, TrainingSettings
from asteroid.store import Store
from asteroid.store.rows import Attempt
from asteroid.validation.harmonic import compare_frequencies
from asteroid.validation.minimum import find_minimum, model_hessian, rotation_onto
from tests.validation.certificates import WATER

DATA = Path(__file__).parents[3] / "shared" / "data" / "ch2o_vpt2"


def minimum_and_hessian(calculator: Any) -> tuple[Configuration, np.ndarray]:
    found, _ = find_minimum(calculator, WATER, fmax=0.001)
    return found, model_hessian(calculator, found)


def turned(minimum: Configuration, second: np.ndarray) -> tuple[Configuration, np.ndarray]:
    """The same molecule, lying in space in another way."""
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    rotation *= np.linalg.det(rotation)
    blocks = np.kron(np.eye(len(minimum.numbers)), rotation)
    return minimum.with_positions(minimum.positions @ rotation.T + 1.0), blocks @ second @ blocks.T


def test_the_same_minimum_turned_in_space_has_the_same_modes(gfn: Callable[[int], Any]) -> None:
    one = minimum_and_hessian(gfn(2))
    found = compare_frequencies(turned(*one), one, labels=18)
    assert found.worst < 1e-4
    np.testing.assert_allclose(found.overlaps, 1.0, atol=1e-6)
    assert (len(found.accurate), found.labels) == (3, 18)


def test_deviations_are_those_of_the_frequencies_themselves(gfn: Callable[[int], Any]) -> None:
    model, accurate = minimum_and_hessian(gfn(1)), minimum_and_hessian(gfn(2))
    found = compare_frequencies(model, accurate)
    apart = np.abs(normal_modes(*model).wavenumbers - normal_modes(*accurate).wavenumbers)
    # Water's three modes are far apart and alike by both methods.
    assert found.mean == pytest.approx(apart.mean())
    assert found.worst == pytest.approx(apart.max())
    assert found.overlaps.min() > 0.95


def test_a_mode_is_compared_with_the_one_it_resembles_not_with_the_one_of_its_rank(gfn: Callable[[int], Any]) -> None:
    minimum, second = minimum_and_hessian(gfn(2))
    modes = normal_modes(minimum, second)
    # The bend stiffened until it lies between the two stretches' places.
    root = np.repeat(np.sqrt(modes.masses), 3)
    bend = modes.vectors[0].ravel() * root
    stiffer = second + (1.2 * modes.frequencies[2] ** 2 - modes.frequencies[0] ** 2) * np.outer(bend, bend)
    found = compare_frequencies((minimum, stiffer), (minimum, second))
    np.testing.assert_allclose(found.model[1:], found.accurate[1:], atol=0.1)
    assert found.model[0] > found.accurate[2]


def test_labels_of_displaced_geometries_make_the_hessian_of_the_method(gfn: Callable[[int], Any]) -> None:
    minimum, second = minimum_and_hessian(gfn(2))
    forces = []
    for displaced in displacements(minimum):
        atoms: Any = displaced.to_atoms()
        atoms.calc = gfn(2)
        forces.append(atoms.get_forces())
    # eV/Å²: forces from a cold start and from the last geometry's differ by 1e-4 eV/Å, divided by twice the step.
    np.testing.assert_allclose(hessian_from_forces(forces), second, atol=0.02)


def published(level: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Atomic numbers (4,), positions (3601, 4, 3) Å, energies (3601,) eV and forces eV/Å of formaldehyde."""
    data = np.load(DATA / f"ch2o_{level}_avtz_3601.npz")
    return data["Z"][0][:4], data["R"][:, :4], data["E"], data["F"][:, :4]


def force_field_frequencies(level: str) -> np.ndarray:
    """Harmonic frequencies, cm⁻¹, of a polynomial of fifth order fitted to published energies alone, by least squares.

    The fit leaves 0.03 meV; one of sixth order has the same frequencies within 2 cm⁻¹.
    """
    numbers, positions, energies, _ = published(level)
    lowest = Configuration(numbers, positions[energies.argmin()])
    _, inside = rigid_and_internal_modes(lowest.positions, np.ones(4))
    rest = lowest.positions - lowest.positions.mean(axis=0)
    moves = []
    for geometry in positions:
        aligned = (geometry - geometry.mean(axis=0)) @ rotation_onto(lowest.with_positions(geometry), lowest)
        moves.append(inside.T @ (aligned - rest).ravel())
    q, heights = np.array(moves), energies - energies.min()
    powers = [t for order in range(6) for t in combinations_with_replacement(range(6), order)]
    columns = np.array([np.prod(q[:, list(t)], axis=1) for t in powers]).T
    # The frequencies are the bottom's, so that counts most.
    weights = 1 / (heights + 0.1)
    terms = dict(zip(powers, np.linalg.lstsq(columns * weights[:, None], heights * weights)[0], strict=True))

    def derivative(term: tuple[int, ...], by: tuple[int, ...], at: np.ndarray) -> float:
        left, factor = list(term), 1.0
        for variable in by:
            factor *= left.count(variable)
            if not factor:
                return 0.0
            left.remove(variable)
        return factor * float(np.prod(at[left]))

    def derivatives(order: int, at: np.ndarray) -> np.ndarray:
        found = np.zeros((6,) * order)
        for by in product(range(6), repeat=order):
            found[by] = sum(c * derivative(t, by, at) for t, c in terms.items())
        return found

    bottom = np.zeros(6)
    for _ in range(3):
        bottom = bottom - np.linalg.solve(derivatives(2, bottom), derivatives(1, bottom))
    minimum = lowest.with_positions(rest + (inside @ bottom).reshape(4, 3))
    return normal_modes(minimum, inside @ derivatives(2, bottom) @ inside.T).wavenumbers


needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"the published labels are not in {DATA}")


@needs_data
def test_published_ccsd_t_labels_have_harmonic_frequencies_a_little_above_the_measured_fundamentals() -> None:
    found = force_field_frequencies("cc")
    # Shimanouchi, Tables of Molecular Vibrational Frequencies I (NSRDS-NBS 39, 1972). Anharmonicity takes 1 to 2 % from
    # bends and C=O, and 5 % from C-H stretches, off the harmonic values.
    measured = np.array([1167, 1249, 1500, 1746, 2782, 2843])
    ratio = found / measured
    assert ((ratio[:4] > 1.005) & (ratio[:4] < 1.025)).all()
    assert ((ratio[4:] > 1.04) & (ratio[4:] < 1.065)).all()


@needs_data
@pytest.mark.long
def test_a_model_trained_on_published_ccsd_t_labels_has_their_harmonic_frequencies(tmp_path: Path) -> None:
    """CCSD(T)/aug-cc-pVTZ, frozen core: Käser, Boittier, Upadhyay and Meuwly, doi:10.1021/acs.jctc.1c00249."""
    from asteroid.training.run import load_calculator
    from tests.training.conftest import train_model

    numbers, positions, energies, forces = published("cc")
    level, store = LevelOfTheory.parse("ccsd(t)/aug-cc-pvtz"), Store(tmp_path / "store")
    chosen = np.random.default_rng(0).permutation(len(energies))[:250]
    frames = [Frame(Configuration(numbers, positions[i]), Origin("import"), "g", "train") for i in chosen]
    store.add_frames("formaldehyde", frames, batch="published")
    now = dt.datetime.now(dt.UTC)
    labels = [
        Attempt(frame_id=frame.frame_id, status="ok", energy=float(energies[i]), forces=forces[i], time=now)
        for frame, i in zip(frames, chosen, strict=True)
    ]
    store.add_attempts("formaldehyde", level, labels)
    ids = [frame.frame_id for frame in frames]
    model = ModelSettings(channels=16, max_l=1, correlation=2)
    card = train_model(
        store,
        "formaldehyde",
        strategy="scratch",
        cheap=LevelOfTheory.parse("gfn2-xtb"),
        accurate=level,
        train_ids=ids[:200],
        valid_ids=ids[200:],
        cheap_ids=(),
        settings=TrainingSettings(model=model, scratch_steps=4000),
    )
    calculator = load_calculator(store, "formaldehyde", card.model_id, device="cpu")
    lowest = Configuration(numbers, positions[energies.argmin()])
    minimum, converged = find_minimum(calculator, lowest)
    assert converged
    found = normal_modes(minimum, model_hessian(calculator, minimum)).wavenumbers
    # Bias between levels, MP2 say, is tens of cm⁻¹; 200 labels and a minute of training leave this.
    np.testing.assert_allclose(found, force_field_frequencies("cc"), atol=12)
