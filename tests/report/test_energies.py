"""Conformers and barriers as a table, and the infrared section, of a certificate that has them or not."""

from dataclasses import replace

import numpy as np
import pytest

from asteroid.report.energies import conformer_rows, energy_table, torsion_rows
from asteroid.report.infrared_plots import infrared_figures
from asteroid.store import records
from asteroid.validation.certificate import Certificate
from asteroid.validation.conformers import ConformerEnergy
from asteroid.validation.evidence import Evidence
from asteroid.validation.harmonic import Frequencies
from asteroid.validation.infrared import DipoleErrors, Infrared, InfraredSpectrum, Lines
from asteroid.validation.torsions import TorsionComparison, compare_torsion
from tests.report.pages import Page, write
from tests.validation.certificates import make_certificate

TURNS = np.arange(-165.0, 181.0, 15.0)


def profile(kcal: dict[int, float], heights: np.ndarray) -> TorsionComparison:
    """A scan with accurate energies, kcal/mol, at some turns."""
    labelled = {int(np.flatnonzero(turn == TURNS)[0]): energy * 0.0433641 for turn, energy in kcal.items()}
    return compare_torsion("H0–C1–O2–H3", TURNS, heights * 0.0433641, 0.0, labelled, asked=len(kcal))


def test_a_methyl_group_has_one_barrier_and_no_other_minimum() -> None:
    threefold = 0.5 * (1 - np.cos(np.radians(3 * TURNS)))
    (row,) = torsion_rows([profile({60: 1.1}, threefold)])
    assert row.name == "H0–C1–O2–H3, barrier at 60°"
    table = energy_table([row], cheap="gfn2-xtb")
    assert table.heads == ("accurate (kcal/mol)", "model (kcal/mol)", "accurate (kJ/mol)", "model (kJ/mol)")
    assert table.rows[0][1] == ("1.10", "1.00", "4.60", "4.18")


def test_a_butane_has_its_gauche_minimum_and_both_barriers() -> None:
    radians = np.radians(TURNS)
    # Anti at 0, gauche near 120, syn at 180.
    heights = 0.7 * (1 - np.cos(radians)) + 1.6 * (1 - np.cos(3 * radians))
    rows = torsion_rows([profile({180: 4.9, 30: 1.0}, heights)])
    # Of the two barriers and gauche minima that mirror each other, one is shown.
    assert [row.name.split(", ")[1] for row in rows] == [
        "minimum at −120°",
        "barrier at −60°",
        "point at 30°",
        "barrier at 180°",
    ]
    assert [row.accurate is not None for row in rows] == [row.name.endswith(("30°", "180°")) for row in rows]


def test_a_failed_scan_has_no_row() -> None:
    assert torsion_rows([compare_torsion("A", [0.0], [0.0], 0.0, {}, asked=1)]) == []


def test_conformers_have_energies_at_both_levels() -> None:
    rows = conformer_rows(
        [ConformerEnergy("a", 0.0, 0.0), ConformerEnergy("b", 0.0433641, None), ConformerEnergy("c", None, -0.001, 0)]
    )
    table = energy_table(rows, cheap="gfn2-xtb")
    assert table.heads[:2] == ("gfn2-xtb (kcal/mol)", "model (kcal/mol)")
    assert [cells[:2] for _, cells in table.rows] == [("0.00", "0.00"), ("1.00", "–"), ("–", "−0.02")]
    assert table.rows[2][0] == "conformer 3 (relaxes to 1)"


def infrared(*, accurate: bool = True) -> Infrared:
    places = np.linspace(0, 4000, 50)
    return Infrared(
        errors=DipoleErrors(7, 0.0123, 0.456, 0.789, 0.95, 26, 261),
        model=Lines(np.array([1600.0, 3700.0]), np.array([61.4, 8.2])),
        accurate=Lines(np.array([1590.0, 3710.0]), np.array([59.3, 9.1])) if accurate else None,
        spectrum=InfraredSpectrum(places, np.exp(-(((places - 1600) / 100) ** 2)), 301.0, 33.0, 8),
    )


def with_infrared(found: Infrared | None) -> Certificate:
    """With the frequencies of the Hessian that gave the accurate lines, if there are any."""
    accurate = found and found.accurate
    frequencies = accurate and Frequencies(accurate.wavenumbers, found.model.wavenumbers, np.ones(2), 10.0, 10.0, 18)
    return make_certificate(evidence=Evidence(infrared=found, frequencies=frequencies))


def test_the_report_shows_errors_and_lines_of_both_levels(store) -> None:
    page = Page(write(store, with_infrared(infrared())))
    for expected in ("Infrared spectrum", "26 accurate labels and 261 cheap ones", "0.46", "61.4", "59.3", "8 NVE"):
        assert expected in page.text
    assert "frequencies: true" not in page.text
    assert "1590 1600 +10 59.3 61.4" in page.text, "one table has both frequencies and intensities"
    alone = Page(write(store, with_infrared(infrared(accurate=False))))
    assert "frequencies: true" in alone.text
    assert "59.3" not in alone.text


def test_a_certificate_without_them_has_neither_section(store) -> None:
    page = Page(write(store, with_infrared(None)))
    assert "Infrared" not in page.text
    assert "Conformers and barriers" not in page.text


def test_figures_depend_on_what_they_show() -> None:
    found = infrared()
    figures = infrared_figures(found)
    alone = infrared_figures(infrared(accurate=False))
    assert all(figure.startswith(b"\x89PNG") for figure in figures.values())
    assert figures["infrared_lines"] != alone["infrared_lines"]
    assert infrared_figures(replace(found, model=None, accurate=None, spectrum=None)) == {}


@pytest.mark.parametrize("found", [infrared(), infrared(accurate=False), None])
def test_a_certificate_is_read_as_it_was_written(found: Infrared | None, store) -> None:
    records.write(store, "reports/water/a-b/certificate.json", with_infrared(found), nulls=True)
    back = records.read(store, Certificate, "reports/water/a-b/certificate.json").evidence.infrared
    assert (back is None) == (found is None)
    if back is not None and found is not None:
        assert back.errors == found.errors
        assert (back.accurate is None) == (found.accurate is None)
        np.testing.assert_array_equal(back.model.intensities, found.model.intensities)


def test_a_certificate_from_before_dipoles_is_read(store) -> None:
    content = records.to_json(with_infrared(infrared()), nulls=True)
    del content["evidence"]["infrared"], content["evidence"]["conformers"]
    store.write_json("reports/water/a-b/certificate.json", content)
    evidence = records.read(store, Certificate, "reports/water/a-b/certificate.json").evidence
    assert (evidence.infrared, evidence.conformers) == (None, ())
