"""Limited-memory BFGS on a manifold, with the problem's preconditioner as the first inverse Hessian.

References:
    Liu and Nocedal, Math. Program. 45, 503 (1989); Huang, Gallivan, Absil, SIAM J. Optim. 25, 1660 (2015).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dftopt.minimization.descent import Evaluation
from dftopt.minimization.trees import axpy, dot, scale


class Pairs(NamedTuple):
    """Steps s, changes of gradient y and of preconditioned gradient Py: a ring of one more than is remembered.

    A trial point writes its pair where none is read, and only an accepted one moves the head; so nothing of size is ever
    copied. All are in single precision, which an approximate Hessian does not notice, and turned back by `frame`, the
    rotation of the bands since the first point; so the pairs stay as they are while the bands turn.
    """

    s: Any
    y: Any
    py: Any
    rho: Any  # 1/<s, y> or 0
    head: Any
    frame: Any


def _single(v):
    return jax.tree.map(lambda a: a.astype(jnp.complex64 if jnp.iscomplexobj(a) else jnp.float32), v)


@dataclass(frozen=True)
class LBFGS:
    """Remembers `history` pairs, each as large as one and a half sets of orbitals."""

    history: int = 5
    curvature: float = 0.8
    first_step: float = 0.5
    longest: float = 4.0

    def memory(self, at: Evaluation, frame):
        """Empty pairs."""
        empty = lambda tree: jax.tree.map(lambda x: jnp.zeros((self.history + 1, *x.shape), x.dtype), _single(tree))
        still = jnp.broadcast_to(jnp.eye(frame.shape[-1], dtype=frame.dtype), frame.shape)
        rho, head = jnp.zeros(self.history + 1), jnp.zeros((), int)
        return Pairs(empty(at.direction), empty(at.gradient), empty(at.direction), rho, head, still)

    def direction(
        self, memory: Pairs, problem, frame, x, d, step, old: Evaluation, gz_old, new: Evaluation, gz, accept, first
    ):
        """Two-loop recursion; only the last direction is projected onto the tangents at x.

        The parts of the pairs along the bands are of second order, and projecting all anew would cost as much as the
        Hamiltonian in large cells.
        """
        backwards = lambda v, turned: problem.turn(v, turned.conj().swapaxes(-1, -2))
        turned = memory.frame @ frame
        q, r = (backwards(v, turned) for v in (new.gradient, new.direction))
        s = backwards(scale(step, d), turned)
        y = axpy(-1.0, backwards(old.gradient, memory.frame), q)
        py = axpy(-1.0, backwards(old.direction, memory.frame), r)
        sy = dot(s, y)
        good = accept & ~first & (sy > 1e-12 * jnp.sqrt(dot(s, s) * dot(y, y)))
        size = self.history + 1
        slot = (memory.head + 1) % size
        write = lambda ring, row: jax.tree.map(lambda a, b: a.at[slot].set(b), ring, _single(row))
        pairs = Pairs(
            write(memory.s, s),
            write(memory.y, y),
            write(memory.py, py),
            jnp.where(good, memory.rho.at[slot].set(1 / jnp.where(good, sy, 1.0)), memory.rho),
            jnp.where(good, slot, memory.head),
            jnp.where(accept, turned, memory.frame),
        )
        places = [(pairs.head - i) % size for i in range(self.history)]
        pick = lambda ring, i: jax.tree.map(lambda a, b: a[i].astype(b.dtype), ring, q)
        alphas = []
        for i in places:
            alpha = pairs.rho[i] * dot(pick(pairs.s, i), q)
            q, r = axpy(-alpha, pick(pairs.y, i), q), axpy(-alpha, pick(pairs.py, i), r)
            alphas.append(alpha)
        for i, alpha in zip(reversed(places), reversed(alphas), strict=True):
            beta = pairs.rho[i] * dot(pick(pairs.y, i), r)
            r = axpy(alpha - beta, pick(pairs.s, i), r)
        return scale(-1.0, problem.project(problem.turn(r, turned), x)), pairs
