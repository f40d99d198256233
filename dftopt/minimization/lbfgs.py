"""Limited-memory BFGS on a manifold, with the problem's preconditioner as the first inverse Hessian.

References:
    Liu and Nocedal, Math. Program. 45, 503 (1989); Huang, Gallivan, Absil, SIAM J. Optim. 25, 1660 (2015).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dftopt.minimization.descent import Evaluation
from dftopt.minimization.trees import axpy, choose, dot, scale


class Pairs(NamedTuple):
    """Steps s, changes of gradient y and of preconditioned gradient Py, newest first; rho = 1/<s, y> or 0."""

    s: Any
    y: Any
    py: Any
    rho: Any


@dataclass(frozen=True)
class LBFGS:
    """Remembers `history` pairs, each as large as two to three sets of orbitals."""

    history: int = 5
    curvature: float = 0.8
    first_step: float = 0.5
    longest: float = 4.0

    def memory(self, at: Evaluation):
        """Empty pairs."""
        zero = jax.tree.map(lambda x: jnp.zeros((self.history, *x.shape), x.dtype), at.gradient)
        same = jax.tree.map(lambda x: jnp.zeros((self.history, *x.shape), x.dtype), at.direction)
        return Pairs(same, zero, same, jnp.zeros(self.history))

    def direction(self, memory: Pairs, problem, frame, x, d, step, old: Evaluation, gz_old, new: Evaluation, gz, first):
        """Two-loop recursion; the pairs travel along the retraction."""
        carry = lambda v: problem.transport(v, x, frame)
        # what is remembered only turns with the bands: its part along them is of second order, and projecting all pairs anew
        # would cost as much as the Hamiltonian in large cells
        s, y, py = (problem.turn(v, frame) for v in (memory.s, memory.y, memory.py))
        s_new = scale(step, d)
        y_new = axpy(-1.0, carry(old.gradient), new.gradient)
        py_new = axpy(-1.0, carry(old.direction), new.direction)
        sy = dot(s_new, y_new)
        good = ~first & (sy > 1e-12 * jnp.sqrt(dot(s_new, s_new) * dot(y_new, y_new)))
        push = lambda old, row: jnp.concatenate([row[None], old[:-1]])
        pushed = Pairs(
            jax.tree.map(push, s, s_new),
            jax.tree.map(push, y, y_new),
            jax.tree.map(push, py, py_new),
            push(memory.rho, 1 / jnp.where(good, sy, 1.0)),
        )
        pairs = choose(good, pushed, Pairs(s, y, py, memory.rho))
        pick = lambda tree, i: jax.tree.map(lambda v: v[i], tree)
        q, r = new.gradient, new.direction
        alphas = []
        for i in range(self.history):
            alpha = pairs.rho[i] * dot(pick(pairs.s, i), q)
            q, r = axpy(-alpha, pick(pairs.y, i), q), axpy(-alpha, pick(pairs.py, i), r)
            alphas.append(alpha)
        for i in reversed(range(self.history)):
            beta = pairs.rho[i] * dot(pick(pairs.y, i), r)
            r = axpy(alphas[i] - beta, pick(pairs.s, i), r)
        return scale(-1.0, problem.project(r, x)), pairs
