"""Which compiler runs the lattice loops: numba where it is installed, else JAX. Both sample the same distributions."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from dftopt.errors import InputError

ENGINES = ("auto", "numba", "jax")


def engine(name: str = "auto") -> Any:
    """The module `numba_engine` or `jax_engine`.

    Raises:
        InputError: an unknown name, or numba asked for where it is not installed.
    """
    if name not in ENGINES:
        raise InputError(f"engine = {name!r} is unknown; valid: {', '.join(ENGINES)}.")
    there = find_spec("numba") is not None
    if name == "numba" and not there:
        raise InputError("engine = 'numba' needs numba: pip install 'dftopt[alloy]', or use engine = 'jax'.")
    return import_module(f"dftopt.alloy.{'numba' if there and name != 'jax' else 'jax'}_engine")
