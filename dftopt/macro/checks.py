"""Checks of what a person hands in."""

import jax
import numpy as np

from dftopt.errors import InputError


def number(name: str, value, *, low=None, high=None, above=None, remedy: str = "") -> None:
    """A finite number within bounds (`low`, `high` allowed themselves, `above` not); traced values pass.

    Raises:
        InputError: it is not.
    """
    if isinstance(value, jax.core.Tracer) or type(value) is object or value is None:
        return
    try:
        x = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{name} = {value!r} must be a number. {remedy}".strip()) from None
    bounds = []
    if low is not None:
        bounds.append((x >= low, f"at least {low:g}"))
    if above is not None:
        bounds.append((x > above, f"larger than {above:g}"))
    if high is not None:
        bounds.append((x <= high, f"at most {high:g}"))
    if not np.isfinite(x) or not all(good for good, _ in bounds):
        words = " and ".join(text for _, text in bounds) or "finite"
        raise InputError(f"{name} = {value!r} must be {words}. {remedy}".strip())


def whole(name: str, value, *, low: int = 1, remedy: str = "") -> int:
    """A whole number of at least `low`.

    Raises:
        InputError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise InputError(f"{name} = {value!r} must be a whole number of at least {low}. {remedy}".strip())
    return int(value)


def choice(name: str, value, valid: tuple[str, ...]) -> None:
    """One of a few words.

    Raises:
        InputError: it is not.
    """
    if value not in valid:
        raise InputError(f"{name} = {value!r} is unknown; valid: {', '.join(valid)}.")
