"""Exchange-correlation functionals: pure functions of density, gradient and kinetic energy density."""

import dftopt.precision  # noqa: F401  (double precision before any array exists)
from dftopt.xc.file_names import from_libxc_ids, from_pspxc, from_short_name
from dftopt.xc.functional import Functional, functional

__all__ = ["Functional", "from_libxc_ids", "from_pspxc", "from_short_name", "functional"]
