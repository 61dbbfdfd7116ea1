import numpy as np
import pytest
from ase.build import molecule
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from asteroid.configuration import Configuration
from asteroid.units import BOLTZMANN
from asteroid.validation.distributions import (
    FEWEST,
    Samples,
    boltzmann_weights,
    compare_distributions,
    internal_coordinate,
    wasserstein,
)

values = st.lists(st.floats(-100, 100), min_size=1, max_size=12).map(np.array)


def largest(found, kind):
    return max((d for d in found.distances if d.kind == kind), key=lambda d: d.value, default=None)


def samples(positions: np.ndarray, groups: int = 10, weights: np.ndarray | None = None) -> Samples:
    count = len(positions)
    return Samples(positions, np.arange(count) % groups, np.ones(count) if weights is None else weights)


def shaken(rest: Configuration, count: int, *, seed: int, width: float = 0.03) -> np.ndarray:
    random = np.random.default_rng(seed)
    return rest.positions + random.normal(0, width, (count, *rest.positions.shape))


@given(values, values)
def test_on_a_line_the_distance_is_scipy_s(first: np.ndarray, second: np.ndarray) -> None:
    u, v = np.linspace(1, 2, len(first)), np.linspace(2, 1, len(second))
    expected = wasserstein_distance(first, second, u, v)
    assert wasserstein(first, u, second, v) == pytest.approx(expected, abs=1e-9)


@given(values, values, st.floats(-180, 180))
def test_on_a_circle_the_distance_does_not_depend_on_where_it_is_cut(
    first: np.ndarray, second: np.ndarray, turn: float
) -> None:
    u, v = np.ones(len(first)), np.ones(len(second))
    here = wasserstein(first, u, second, v, period=360.0)
    there = wasserstein(*_turned(first, turn), *_turned(second, turn), period=360.0)
    assert there == pytest.approx(here, abs=1e-6)
    assert here <= wasserstein(first, u, second, v) + 1e-9


def _turned(angles: np.ndarray, turn: float) -> tuple[np.ndarray, np.ndarray]:
    return (angles + turn + 180) % 360 - 180, np.ones(len(angles))


def test_weights_turn_one_harmonic_ensemble_into_another() -> None:
    """Drawn from a spring k, weighed to 2k: the variance is that of 2k."""
    temperature, spring = 300.0, 1.0
    x = np.random.default_rng(0).normal(0, np.sqrt(BOLTZMANN * temperature / spring), 20000)
    weights = boltzmann_weights(spring * x**2, 0.5 * spring * x**2, temperature)
    assert weights.mean() == pytest.approx(1.0)
    assert (weights * x**2).mean() == pytest.approx(BOLTZMANN * temperature / (2 * spring), rel=0.05)
    # <w>²/<w²> with w = exp(−kx²/2k_BT): 1/√2 squared, over 1/√3.
    effective = samples(np.zeros((20000, 1, 3)), weights=weights).effective
    assert effective / 20000 == pytest.approx(np.sqrt(3) / 2, rel=0.02)


def test_bonds_angles_and_dihedrals_are_ase_s(ethanol: Configuration) -> None:
    atoms = ethanol.to_atoms()
    positions = ethanol.positions[None]
    assert internal_coordinate(positions, (0, 1))[0] == pytest.approx(atoms.get_distance(0, 1))
    assert internal_coordinate(positions, (0, 1, 2))[0] == pytest.approx(atoms.get_angle(0, 1, 2))
    for four in ((0, 1, 2, 3), (6, 0, 1, 2)):
        apart = internal_coordinate(positions, four)[0] - atoms.get_dihedral(*four)
        assert (apart + 180) % 360 - 180 == pytest.approx(0.0, abs=1e-6)


def test_two_draws_of_one_ensemble_differ_by_no_more_than_noise_explains(ethanol: Configuration) -> None:
    ours, theirs = (samples(shaken(ethanol, 400, seed=seed)) for seed in (1, 2))
    found = compare_distributions(ethanol, ours, theirs, temperature=300, source="x", seed=0)
    assert {d.kind for d in found.distances} == {"bond", "angle", "dihedral"}
    for distance in found.distances:
        assert distance.value < 3 * distance.noise
        assert distance.low <= distance.value <= distance.high


@pytest.mark.long
def test_the_noise_of_a_dihedral_that_turns_once_a_trajectory_is_that_of_trajectories_not_of_frames() -> None:
    peroxide = molecule("H2O2")
    rest = Configuration.from_atoms(peroxide)
    random = np.random.default_rng(3)

    def draw() -> Samples:
        """12 trajectories of 30 frames between two wells of equal depth, a quarter of the way round from each other."""
        frames = []
        for _ in range(12):
            turned = np.arange(30) < random.integers(-30, 30)
            if random.random() < 0.5:
                turned = ~turned
            for angle in np.where(turned, 60.0, 150.0) + random.normal(0, 5, 30):
                peroxide.set_dihedral(2, 0, 1, 3, angle, indices=[3])
                frames.append(peroxide.positions + random.normal(0, 0.01, (4, 3)))
        return Samples(np.array(frames), np.repeat(np.arange(12), 30), np.ones(360))

    found = []
    for _ in range(16):
        distances = compare_distributions(rest, draw(), draw(), temperature=300, source="x", seed=0).distances
        (dihedral,) = [d for d in distances if d.kind == "dihedral"]
        found.append((dihedral.value, dihedral.noise))
    values, noises = np.array(found).T
    assert np.sqrt((values**2).mean()) == pytest.approx(np.sqrt((noises**2).mean()), rel=0.35)
    assert (values > 3 * noises).sum() <= 1


def test_a_longer_bond_is_found_at_the_length_that_it_is_longer_by(ethanol: Configuration) -> None:
    stretched = shaken(ethanol, 400, seed=1, width=0.001)
    # The oxygen and its hydrogen move away together.
    stretched[:, [2, 3]] += 0.05 * (stretched[:, [2]] - stretched[:, [1]])
    length = np.linalg.norm(ethanol.positions[1] - ethanol.positions[2])
    reference = samples(shaken(ethanol, 400, seed=2, width=0.001))
    found = compare_distributions(ethanol, samples(stretched), reference, temperature=300, source="x", seed=0)
    worst = largest(found, "bond")
    assert worst is not None
    assert worst.atoms in (((1, 2),), ((2, 1),))
    assert worst.value == pytest.approx(0.05 * length, rel=0.05)


def test_equivalent_atoms_are_one_class(ethanol: Configuration) -> None:
    draw = samples(shaken(ethanol, 50, seed=1))
    found = compare_distributions(ethanol, draw, draw, temperature=300, source="x", seed=0)
    bonds = sorted(len(d.atoms) for d in found.distances if d.kind == "bond")
    # C–C, C–O, O–H, three C–H of the methyl, two of the methylene.
    assert bonds == [1, 1, 1, 2, 3]
    assert all(d.value == pytest.approx(0.0, abs=1e-9) for d in found.distances)


def test_a_molecule_and_its_mirror_image_have_one_ensemble(ethanol: Configuration) -> None:
    gauche = ethanol.to_atoms()
    gauche.set_dihedral(0, 1, 2, 3, 60, indices=[3])
    rest = ethanol.with_positions(gauche.positions)
    here = shaken(rest, 200, seed=1, width=0.01)
    found = compare_distributions(rest, samples(here), samples(here * [1, 1, -1]), temperature=300, source="x", seed=0)
    worst = largest(found, "dihedral")
    assert worst is not None
    assert worst.value < 0.5


def test_a_reference_that_is_worth_few_frames_is_not_compared_with(ethanol: Configuration) -> None:
    positions = shaken(ethanol, 200, seed=1)
    weights = np.full(200, 1e-6)
    weights[: int(FEWEST) - 2] = 1.0
    found = compare_distributions(
        ethanol, samples(positions), samples(positions, weights=weights), temperature=300, source="x", seed=0
    )
    assert found.effective < FEWEST
    assert found.distances == ()


def test_a_single_trajectory_says_nothing_of_its_noise(ethanol: Configuration) -> None:
    ours, alone = samples(shaken(ethanol, 60, seed=1)), samples(shaken(ethanol, 60, seed=2), groups=1)
    found = compare_distributions(ethanol, ours, alone, temperature=300, source="x", seed=0)
    assert all(distance.noise == np.inf for distance in found.distances)


def test_fragments_that_a_model_holds_farther_apart_show_in_their_distances_alone() -> None:
    one = [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]
    rest = Configuration([8, 1, 1] * 2, [*one, *([2.9 + x, 0, 0.5 * y] for x, y, _ in one)])
    reference = shaken(rest, 100, seed=0)
    model = shaken(rest, 100, seed=1)
    model[:, 3:, 0] += 0.2
    found = compare_distributions(rest, samples(model), samples(reference), temperature=300.0, source="", seed=0)
    apart = largest(found, "fragments")
    assert apart is not None
    assert apart.name == "H2O to H2O"
    # Of two means of 100 values of spread 0.03 √2 Å each: 0.006.
    assert apart.value == pytest.approx(0.2, abs=0.02)
    assert apart.noise < 0.02
    for kind, most in (("bond", 0.03), ("angle", 3.0)):
        assert largest(found, kind).value < most


def test_fragments_are_as_far_apart_as_their_heavy_atoms_whichever_has_the_proton() -> None:
    rest = Configuration([7, 1, 1, 1, 1, 17], [[0, 0, 0], [0.9, 0.3, -0.3], [-0.6, 0.8, -0.3], [-0.3, -0.9, -0.3],
                                              [0, 0, 1.7], [0, 0, 3.0]])  # fmt: skip
    model = shaken(rest, 100, seed=0, width=0.01)
    transferred = model.copy()
    transferred[:, 4, 2] -= 0.65
    found = compare_distributions(rest, samples(transferred), samples(model), temperature=300.0, source="", seed=0)
    apart = largest(found, "fragments")
    assert apart is not None
    assert apart.name == "H3N to ClH"
    assert apart.value == 0.0


def test_a_single_molecule_has_no_distances_between_fragments() -> None:
    water = Configuration([8, 1, 1], [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    both = samples(shaken(water, 40, seed=0))
    found = compare_distributions(water, both, both, temperature=300.0, source="", seed=0)
    assert largest(found, "bond") is not None
    assert largest(found, "fragments") is None
