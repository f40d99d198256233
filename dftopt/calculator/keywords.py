"""Values of keywords: copied, compared, written as plain data."""

import copy
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ase.calculators.calculator import equal


def own(value):
    """A copy of containers, so that a later change of the caller's does not reach us; anything else as it is."""
    return copy.deepcopy(value) if isinstance(value, (dict, list, tuple, np.ndarray)) else value


def same(a, b) -> bool:
    """Whether two values are equal, arrays and nested containers too."""
    try:
        return bool(equal(a, b))
    except ValueError:  # ragged lists: the check of the keyword explains them
        return False


def plain(value):
    """Only what JSON knows; other objects are named by their type."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str, np.generic)):
        return value
    return type(value).__name__
