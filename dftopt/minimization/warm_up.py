"""What a stochastic warm-up leaves to the minimization that follows it."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class WarmUp:
    """Where a stochastic warm-up ended: pass it to `minimize(..., start=...)`.

    Attributes:
        coefficients: (spin, 1, orbital, function), orthonormal.
        energies: (steps,) estimates of the free energy, one batch each; hartree.
        sizes: (steps,) points of each batch.
        spread: standard deviation of the estimate at the end, over batches of the last size; hartree.
    """

    coefficients: np.ndarray
    energies: np.ndarray
    sizes: np.ndarray
    spread: float
