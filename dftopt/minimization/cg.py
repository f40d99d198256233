"""Preconditioned nonlinear conjugate gradients (Polak-Ribiere, restarted where it would not descend).

References:
    Payne et al., Rev. Mod. Phys. 64, 1045 (1992), section IV; Hager and Zhang, Pacific J. Optim. 2, 35 (2006).
"""

from dataclasses import dataclass

import jax.numpy as jnp

from dftopt.minimization.descent import Evaluation
from dftopt.minimization.trees import axpy, dot, scale


@dataclass(frozen=True)
class ConjugateGradients:
    """The default minimizer.

    Attributes:
        conjugate: False for preconditioned steepest descent.
        curvature, first_step, longest: see `descent.Method`.
    """

    conjugate: bool = True
    curvature: float = 0.4
    first_step: float = 0.5
    longest: float = 4.0

    def memory(self, at: Evaluation, frame):
        """Nothing beyond the last direction."""
        return ()

    def direction(
        self, memory, problem, frame, x, d, step, old: Evaluation, gz_old, new: Evaluation, gz, accept, first
    ):
        """-z + beta d, beta = max(0, <g - g_old, z> / <g_old, z_old>)."""
        if not self.conjugate:
            return scale(-1.0, new.direction), memory
        cross = dot(problem.transport(old.gradient, x, frame), new.direction)
        beta = jnp.where(first, 0.0, jnp.maximum(0.0, (gz - cross) / gz_old))
        return axpy(beta, problem.project(d, x), scale(-1.0, new.direction)), memory
