"""Atoms: structure, symmetry and k points, pseudopotentials, checks of the input."""
