"""Forces or energies alone: the rule buys what gains more for the same core-seconds."""

import pytest

from asteroid.acquisition.spending import FEWEST, compare_labels
from asteroid.store.round_records import Option
from asteroid.training.dataset import LabelledFrame
from asteroid.training.strategies.delta import differences
from tests.training.conftest import Labels


def halves(water: Labels) -> tuple[list[LabelledFrame], list[LabelledFrame]]:
    levels = differences(water.accurate, {frame.frame_id: frame for frame in water.cheap})
    return levels[:24], levels[24:]


def bought(water: Labels, *, forces: float, energy: float) -> tuple[str, tuple[Option, ...]]:
    train, held_out = halves(water)
    found = compare_labels(train, held_out, seconds_with_forces=forces, seconds_energy=energy, seed=0)
    return found.kind, found.options


def test_at_the_same_price_forces_win_and_at_a_hundredth_of_it_energies_do(water: Labels) -> None:
    assert bought(water, forces=10.0, energy=10.0)[0] == "forces"
    assert bought(water, forces=10.0, energy=0.1)[0] == "energies"


def test_gains_are_those_of_the_labels_and_rates_go_with_their_cost(water: Labels) -> None:
    (forces, energies), (dear, cheap) = (bought(water, forces=f, energy=e)[1] for f, e in ((10.0, 2.0), (10.0, 1.0)))
    assert forces == dear
    assert energies.gain == cheap.gain
    assert cheap.gain_per_core_hour == pytest.approx(2 * energies.gain_per_core_hour)
    # Ten numbers say more than one, and one says something.
    assert 1 > forces.gain > energies.gain > 0


def test_too_few_labels_tell_nothing(water: Labels) -> None:
    train, held_out = halves(water)
    few = compare_labels(train[: FEWEST - 1], held_out, seconds_with_forces=10.0, seconds_energy=1e-6, seed=0)
    assert (few.kind, few.options) == ("forces", ())
