"""Every figure of a certificate's evidence is drawn, and depends on what it shows."""

from dataclasses import replace

import numpy as np
import pytest

from asteroid.report import certificate_plots as plots
from asteroid.validation.certificate import Certificate
from asteroid.validation.distributions import Samples, compare_distributions
from asteroid.validation.evidence import Evidence
from asteroid.validation.harmonic import Frequencies
from asteroid.validation.on_policy import OnPolicy
from asteroid.validation.spectra import power_spectrum
from asteroid.validation.torsions import compare_torsion
from tests.validation.certificates import WATER, make_certificate, measured

PNG = b"\x89PNG"


def full_certificate() -> Certificate:
    random = np.random.default_rng(0)
    draws = [
        Samples(WATER.positions + random.normal(0, 0.02, (60, 3, 3)), np.arange(60) % 6, np.ones(60)) for _ in range(2)
    ]
    evidence = Evidence(
        on_policy=OnPolicy(measured()[0], (300.0,) * 6 + (600.0,) * 6, 12, 0),
        frequencies=Frequencies(np.array([1600.0]), np.array([1610.0]), np.ones(1), 10.0, 10.0, 18),
        torsions=(compare_torsion("A", [-15, 0, 15], [0.01, 0.0, 0.01], 0.0, {2: 0.011}, asked=1),),
        distributions=(compare_distributions(WATER, *draws, temperature=300, source="x", seed=0),),
        spectrum=power_spectrum(random.normal(0, 0.02, (1, 50, 3, 3)), [16, 1, 1], interval=2.0, temperature=300),
    )
    return make_certificate(evidence=evidence)


@pytest.fixture(scope="module")
def content() -> Certificate:
    return full_certificate()


def test_each_kind_of_evidence_has_its_figure(content: Certificate) -> None:
    evidence = content.evidence
    figures = [
        plots.frequency_deviations(evidence.frequencies),
        plots.torsion_profile(evidence.torsions[0]),
        plots.distributions(evidence.distributions[0], "bond"),
        plots.distributions(evidence.distributions[0], "angle"),
        plots.power_spectrum(evidence.spectrum, content.minimum.frequencies),
    ]
    assert all(figure is not None and figure.startswith(PNG) for figure in figures)
    assert len(set(figures)) == len(figures)


def test_what_a_molecule_or_its_labels_do_not_have_has_no_figure(content: Certificate) -> None:
    assert plots.distributions(content.evidence.distributions[0], "dihedral") is None


def test_a_torsion_without_labels_is_still_drawn(content: Certificate) -> None:
    torsion = content.evidence.torsions[0]
    bare = plots.torsion_profile(replace(torsion, points=np.zeros(0, dtype=int), accurate=np.zeros(0)))
    assert bare.startswith(PNG)
    assert bare != plots.torsion_profile(torsion)
