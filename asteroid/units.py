"""Units and the constants that convert them: one set, ASE's (CODATA 2014).

Everything outside :mod:`asteroid.labelling` is in eV, Å, fs, K and e·Å. Quantum chemistry programs work in atomic
units, and each brings constants of its own year; they are converted with these and with no others, so that labels from
two programs agree to the last digit.
"""

HARTREE = 27.211386024367243
"""eV"""

BOHR = 0.5291772105638411
"""Å"""

HARTREE_PER_BOHR = HARTREE / BOHR
"""eV/Å"""

KILOJOULE_PER_MOLE = 0.010364269574711572
"""eV"""

KILOCALORIE_PER_MOLE = 4.184 * KILOJOULE_PER_MOLE
"""eV"""

BOLTZMANN = 8.617330337217213e-05
"""eV/K"""

FEMTOSECOND = 0.09822694788464063
"""ASE's time unit, Å·sqrt(u/eV)"""

INVERSE_CENTIMETRE = 0.0001239841973964072
"""eV"""

HBAR = 0.06465415105180661
"""eV·Å·sqrt(u/eV): ħ in eV and ASE's time unit"""


def angular_frequency_to_wavenumber(omega: float) -> float:
    """Convert an angular frequency in sqrt(eV/(u·Å²)) to cm⁻¹.

    >>> round(angular_frequency_to_wavenumber(1.0), 2)
    521.47
    """
    return HBAR * omega / INVERSE_CENTIMETRE
