"""What the figures of a report say: one legend entry a temperature, smooth curves, and named quantities."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from asteroid.quantities import format_number
from asteroid.report import answer_plots
from asteroid.report.dynamics_plots import draw_temperatures
from asteroid.report.groups import group_lines
from asteroid.report.smoothing import best_bandwidth, smooth
from asteroid.validation.line import make_line
from tests.validation.certificates import make_certificate, measured


def replica(temperature, frames=20, reason=None):
    steps = np.arange(float(frames))
    one = measured()[2].nve
    return replace(one, temperature=temperature, times=10 * steps, temperatures=temperature + steps, reason=reason)


def test_a_temperature_has_one_entry_in_the_legend_however_many_its_replicas():
    axes = Figure().add_subplot()
    draw_temperatures(axes, [replica(t) for t in (300.0, 600.0) for _ in range(8)])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["300 K, mean of 8", "600 K, mean of 8"]


def test_replicas_that_ended_early_are_marked_and_averaged_as_long_as_they_ran():
    axes = Figure().add_subplot()
    draw_temperatures(axes, [replica(300.0), replica(300.0, frames=5, reason="bond broken"), replica(300.0, frames=0)])
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["300 K, mean of 3", "ended here"]
    mean = next(line for line in axes.lines if line.get_label() == labels[0])
    assert list(mean.get_ydata()) == [300.0 + k for k in range(20)]


def peaks(curve):
    """Those higher than a tenth of the highest: a lone value in a tail is a bump of any smooth curve."""
    inner = curve[1:-1]
    return int(((inner > curve[:-2]) & (inner > curve[2:]) & (inner > 0.1 * curve.max())).sum())


@pytest.mark.parametrize(("means", "period"), [([0.0], None), ([-60.0, 60.0, 175.0], 360.0)])
def test_seventy_values_show_the_peaks_of_their_distribution_and_no_others(means, period):
    right, places = {"histogram": 0, "curve": 0}, np.linspace(-180, 180, 721)
    for seed in range(20):
        random = np.random.default_rng(seed)
        values = random.choice(means, 70) + random.normal(0, 15.0, 70)
        values = (values + 180) % 360 - 180 if period else values
        limits = (-180.0, 180.0) if period else (values.min(), values.max())
        density, edges = np.histogram(values, 60, limits, density=True)
        centres = (edges[1:] + edges[:-1]) / 2
        bandwidth = best_bandwidth(centres, density, 70, period=period)
        curve = smooth(centres, density, places, bandwidth, period=period)
        assert np.trapezoid(curve, places) == pytest.approx(1.0, abs=0.01)
        right["histogram"] += peaks(density) == len(means)
        right["curve"] += peaks(curve) == len(means)
    assert right["histogram"] == 0
    # A 95 % likelihood ratio excludes the right bandwidth now and then: 77 of 80 draws.
    assert right["curve"] >= 18


@pytest.mark.parametrize(
    ("quantity", "unit", "value", "said"),
    [
        ("Accurate force at the model's minimum", "eV/Å", 0.0712, "71.2 meV/Å"),
        ("Distance to the accurate minimum", "Å", 0.213, "0.213 Å"),
        ("Distance to the accurate minimum", "Å", 8.03e-5, "8.03 × 10⁻⁵ Å"),
    ],
)
def test_a_failed_bar_names_its_quantity_and_unit(monkeypatch, quantity, unit, value, said):
    drawn = []
    monkeypatch.setattr(answer_plots, "to_png", lambda figure: drawn.append(figure) or b"")
    line = make_line(quantity, value, unit, value / 2, "<=")
    answer_plots.accuracy(group_lines(replace(make_certificate(), lines=(line,))))
    texts = [text.get_text() for text in drawn[0].axes[0].texts]
    assert {"Minimum", quantity, said} <= set(texts)


@pytest.mark.parametrize(("value", "said"), [(8.03e-5, "8.03 × 10⁻⁵"), (-2e-7, "−2.00 × 10⁻⁷"), (1.7e-16, "0")])
def test_small_numbers_are_written_as_people_write_them(value, said):
    assert format_number(value) == said
