"""Linear systems with a symmetric positive operator that is only applied."""

import jax
import jax.numpy as jnp

from dftopt.minimization.trees import axpy, dot

PATIENCE = 30  # steps without a smaller residual, after which roundoff has won


def solve_positive(product, precondition, b, tol, limit):
    """The solution of product(v) = b, from zero by preconditioned conjugate gradients; relative residual, products.

    Ends where the preconditioned norm of the residual has fallen by `tol`, or does not fall any more. Compiled into
    whatever calls it.

    Args:
        product: the operator, on a tree of arrays.
        precondition: an approximate inverse of it, symmetric and positive.
        b: right-hand side.
        tol: relative.
        limit: of products.
    """
    start = precondition(b)
    size = dot(b, start)

    def more(s):
        _, _, _, rz, n, best, since = s
        return (n < limit) & (rz > tol**2 * size) & (since < PATIENCE)

    def step(s):
        v, r, d, rz, n, best, since = s
        hd = product(d)
        alpha = rz / dot(d, hd)
        v, r = axpy(alpha, d, v), axpy(-alpha, hd, r)
        q = precondition(r)
        new = dot(r, q)
        lower = new < best
        return v, r, axpy(new / rz, d, q), new, n + 1, jnp.where(lower, new, best), jnp.where(lower, 0, since + 1)

    state = (jax.tree.map(jnp.zeros_like, b), b, start, size, 0, size, 0)
    v, _, _, rz, n, _, _ = jax.lax.while_loop(more, step, state)
    return v, jnp.sqrt(rz / jnp.where(size > 0, size, 1.0)), n
