"""Train one MACE model from labels of two levels of theory.

:mod:`inputs` reads labels from the store, :mod:`dataset` makes graphs of them, :mod:`fit` is the training loop,
:mod:`session` runs it in resumable stages, :mod:`strategies` are the recipes, and :mod:`run` stores model and card.
The modules import torch; this package and the definitions in :mod:`strategies` do not.
"""
