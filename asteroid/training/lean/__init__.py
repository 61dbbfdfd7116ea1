"""MACE's energy from MACE's own weights in a fraction of the operations: what training steps and predictions compute.

Half of MACE's time goes into its symmetric contraction, the rest into hundreds of small operations. For batches of one
composition the same polynomial needs few: radial functions once for each pair of atoms, products of components that
commute once for each sorted monomial, and no scatter, since every sum over neighbours is a gather, and so are its
derivatives. The model stays a plain MACE module; energies, forces and parameter gradients are equal to rounding.

- :mod:`~asteroid.training.lean.model`: the whole energy, and which models it is known for;
- :mod:`~asteroid.training.lean.layer`: one interaction with the product after it;
- :mod:`~asteroid.training.lean.algebra`: monomials, spherical harmonics, gathers.
"""

from asteroid.training.lean.model import LeanMACE, Unsupported

__all__ = ["LeanMACE", "Unsupported"]
