"""Exchange-correlation functionals: pure functions of the density and its gradient."""

import dftopt.precision  # noqa: F401  (double precision before any array exists)
from dftopt.xc.functional import Functional, functional

__all__ = ["Functional", "functional"]
