"""Structures from SMILES and files, their bonds, fragments and vibrations, and the wall around a cluster in MD."""
