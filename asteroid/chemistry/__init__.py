"""Structures: from SMILES and files, their bonds and parts, their small motions, and what holds a cluster together."""
