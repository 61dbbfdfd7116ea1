"""Conversion constants of units, those of ASE (CODATA 2014).

All quantities outside :mod:`asteroid.engines` are in eV, Å, fs, K and e·Å. Results of all quantum chemistry programs
are converted with these constants and not with their own, so that labels of two programs agree to the last digit.
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
"""Å·sqrt(u/eV), the time unit of ASE"""

INVERSE_CENTIMETRE = 0.0001239841973964072
"""eV"""

HBAR = 0.06465415105180661
"""eV·Å·sqrt(u/eV): ħ in eV and the time unit of ASE"""

WAVENUMBER = HBAR / INVERSE_CENTIMETRE
"""cm⁻¹ of the angular frequency 1 sqrt(eV/(u·Å²)), 521.47"""

DEBYE = 0.20819433442462576
"""e·Å"""

INFRARED_INTENSITY = 974.8801
"""km/mol of a normal mode whose dipole changes by 1 e/sqrt(u): N_A e²/(12 ε₀ c² u)"""
