"""Bases: plane waves, their grids and transforms."""

import dftopt.precision  # noqa: F401  (double precision before any array exists)
