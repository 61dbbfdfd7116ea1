"""Faster evaluation of MACE models, with MACE's own weights, for training and prediction.

Half of MACE's time goes into its symmetric contraction, the rest into hundreds of small operations. Batches of one
composition need far fewer operations: radial functions once per pair of atoms, products once per sorted monomial, and
gathers in place of scatters for sums over neighbours and their derivatives. The model stays a plain MACE module;
energies, forces and parameter gradients are equal to rounding.

- :mod:`~asteroid.training.lean.model`: the whole energy, and the supported architectures;
- :mod:`~asteroid.training.lean.layer`: one interaction with the product after it;
- :mod:`~asteroid.training.lean.algebra`: monomials, spherical harmonics, gathers.
"""

from asteroid.training.lean.model import LeanMACE, Unsupported

__all__ = ["LeanMACE", "Unsupported"]
