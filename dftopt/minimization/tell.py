"""What is said while a minimization runs."""

import sys
from collections.abc import Callable

from dftopt.errors import InputError
from dftopt.minimization.loop import Step


def teller(progress, natoms: int) -> Callable[[Step], object]:
    """What is called with each step: the user's function, a line on the terminal, or nothing.

    Raises:
        InputError: neither a function nor a truth value.
    """
    if callable(progress):
        return progress
    if progress is not None and not isinstance(progress, bool):
        raise InputError(
            f"progress = {progress!r} has to be true or false, or a function that is called with each step."
        )
    if progress is False or (progress is None and not sys.stderr.isatty()):
        return lambda step: None

    def tell(step: Step) -> None:
        text = f"iteration {step.iterations:4d}   A = {step.free_energy:.10f} Ha   error {step.error / natoms:8.1e} Ha/atom"
        print(text, file=sys.stderr)

    return tell


def arrivals(progress, n: int) -> Callable[[int], None]:
    """What is called with the number of structures, of `n` at once, that have arrived: a line on the terminal, or nothing."""
    silent = callable(progress) or progress is False or (progress is None and not sys.stderr.isatty())

    def tell(arrived: int) -> None:
        if not silent:
            print(f"{arrived} of {n} structures of one shape have arrived", file=sys.stderr)

    return tell
