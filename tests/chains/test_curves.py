"""The law by which a correction's error falls, from few frames."""

import numpy as np
import pytest

from asteroid.chains.curves import EXPONENTS, USUAL, fit_errors


def test_a_power_law_is_found_and_its_exponent_is_believed_within_bounds_alone() -> None:
    law = fit_errors([(n, 0.5 * n**-USUAL) for n in (4, 6, 8, 11)])
    assert law.exponent == pytest.approx(USUAL)
    assert law.error(100) == pytest.approx(0.5 * 100**-USUAL)
    steep = fit_errors([(n, 0.5 * n**-3.0) for n in (4, 6, 8, 11)])
    assert steep.exponent == (EXPONENTS[1] + USUAL) / 2
    assert steep.error(11) == pytest.approx(0.5 * 11**-3.0), "through what was measured with most labels"
    rising = fit_errors([(4, 0.1), (6, 0.1), (8, 0.12), (11, 0.11)])
    assert rising.exponent == (EXPONENTS[0] + USUAL) / 2
    assert np.isfinite(rising.factor)
