"""Training: labels of two levels of theory become one MACE model.

The data flow is one line: :mod:`dataset` (store → graphs) → :mod:`fit` (the one training loop) → :mod:`session` (stages
that survive a kill) → :mod:`strategies` (what is trained on what, with the weights of :mod:`bias`) → :mod:`run` (from
what :mod:`inputs` reads in the store to model and card in it). Import the modules by name: they bring torch, this
package and the definitions in :mod:`strategies` do not.
"""
