"""Training strategies: one file each, with a definition and a short recipe.

:mod:`asteroid.strategies` finds them by name. Torch is imported inside the functions.
"""
