"""Errors and warnings that a person can act on: each names the input, its value and the remedy."""


class DFTOptError(Exception):
    """Base of all errors that dftopt raises on purpose."""


class InputError(DFTOptError, ValueError):
    """An input is wrong; nothing was started. The CLI exits with status 2."""


class NotConverged(DFTOptError, RuntimeError):
    """A result was asked for that needs a converged minimum. The CLI exits with status 1."""


class DFTOptWarning(UserWarning):
    """Something is legal but probably not what was meant."""
