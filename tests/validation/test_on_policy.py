import numpy as np
import pytest

from asteroid.validation.on_policy import draw_frames, statistical_inefficiency


def autoregressive(memory: float, count: int, seed: int) -> np.ndarray:
    """A series whose autocorrelation is memory^t."""
    random = np.random.default_rng(seed)
    values = np.empty(count)
    values[0] = random.standard_normal()
    for k in range(1, count):
        values[k] = memory * values[k - 1] + np.sqrt(1 - memory**2) * random.standard_normal()
    return values


@pytest.mark.parametrize("memory", [0.5, 0.9])
def test_the_statistical_inefficiency_of_an_autoregressive_series_is_its_analytic_one(memory: float) -> None:
    found = np.mean([statistical_inefficiency(autoregressive(memory, 4000, seed)) for seed in range(5)])
    # 1 + 2 Σ memory^t = (1 + memory)/(1 − memory); five series of 4000 estimate it to about 10%.
    assert found == pytest.approx((1 + memory) / (1 - memory), rel=0.2)


def test_independent_values_count_one_by_one() -> None:
    assert statistical_inefficiency(np.random.default_rng(0).standard_normal(5000)) < 1.2


def test_a_constant_series_has_no_correlation_to_speak_of() -> None:
    assert statistical_inefficiency(np.full(50, -2000.0)) == 1.0


def test_frames_of_one_trajectory_are_a_correlation_time_apart() -> None:
    series = autoregressive(0.9, 400, seed=3)
    places = draw_frames([series], [300.0], seed=0)[:1000]
    frames = sorted(frame for _, frame in places)
    assert min(np.diff(frames)) >= statistical_inefficiency(series)
    assert len(frames) > 5


def test_temperatures_take_turns_and_a_trajectory_without_frames_gives_none() -> None:
    series = [np.random.default_rng(k).standard_normal(50) for k in range(3)]
    places = draw_frames([*series, np.array([])], [300.0, 600.0, 600.0, 300.0], seed=1)[:6]
    assert [0 if trajectory == 0 else 1 for trajectory, _ in places] == [0, 1] * 3
    assert len(set(places)) == 6


def test_more_frames_begin_with_the_fewer_and_another_seed_draws_others() -> None:
    series = [np.random.default_rng(k).standard_normal(60) for k in range(2)]
    few = draw_frames(series, [300.0, 300.0], seed=5)[:4]
    assert draw_frames(series, [300.0, 300.0], seed=5)[:4] == few
    assert draw_frames(series, [300.0, 300.0], seed=6)[:4] != few


def test_every_frame_is_equally_likely_to_be_drawn() -> None:
    """Otherwise the error over the frames drawn would not be that over the trajectory."""
    series = np.random.default_rng(2).standard_normal(20)
    counts = np.bincount([draw_frames([series], [300.0], seed=s)[:1][0][1] for s in range(2000)], minlength=20)
    assert counts.min() > 0.5 * counts.mean()
    assert counts.max() < 1.5 * counts.mean()


def test_the_statistical_inefficiency_is_the_same_however_large_the_total_energies_are() -> None:
    random = np.random.default_rng(3)
    series = np.zeros(4000)
    for step in range(1, len(series)):
        series[step] = 0.9 * series[step - 1] + random.normal()
    # eV: 55 meV of fluctuation upon the energy of bromomethane.
    series *= 0.055 / series.std()
    # Rounding at 71 000 eV is of order 1e-11.
    assert statistical_inefficiency(series - 71_000.0) == pytest.approx(statistical_inefficiency(series), rel=1e-3)
    assert statistical_inefficiency(series) > 10


def test_a_trajectory_counts_by_how_long_it_lasted_and_not_by_how_fast_it_forgets() -> None:
    fast = np.random.default_rng(0).standard_normal(600)
    slow = autoregressive(0.95, 600, seed=1)
    short = np.random.default_rng(2).standard_normal(60)
    drawn = [t for seed in range(60) for t, _ in draw_frames([fast, slow, short], [300.0] * 3, seed=seed)[:20]]
    counts = np.bincount(drawn, minlength=3)
    # 1200 draws: the standard deviation of a share of one half is 0.014.
    assert counts / counts.sum() == pytest.approx(np.array([600, 600, 60]) / 1260, abs=0.05)


def test_a_trajectory_that_broke_at_once_is_drawn_no_more_often_than_its_frames_deserve() -> None:
    series = [autoregressive(0.9, 400, seed=k) for k in range(4)]
    drawn = [t for seed in range(200) for t, _ in draw_frames([*series, series[0][:2]], [300.0] * 5, seed=seed)]
    # Two frames of 1602.
    assert drawn.count(4) / len(drawn) < 3 * 2 / 1602
