"""Energy: one file per piece of physics, and their sum."""

import dftopt.precision  # noqa: F401  (double precision before any array exists)
