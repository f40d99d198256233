"""Vectors as pytrees: inner product and linear combinations."""

import jax
import jax.numpy as jnp


def dot(a, b):
    """Real inner product Re sum conj(a) b over all leaves."""
    parts = jax.tree.map(lambda x, y: jnp.sum((x.conj() * y).real), a, b)
    return sum(jax.tree.leaves(parts), jnp.zeros(()))


def axpy(alpha, x, y):
    """Alpha x + y."""
    return jax.tree.map(lambda u, v: alpha * u + v, x, y)


def scale(alpha, x):
    """Alpha x."""
    return jax.tree.map(lambda u: alpha * u, x)


def choose(condition, a, b):
    """Leaf by leaf a where the scalar condition holds, else b."""
    return jax.tree.map(lambda u, v: jnp.where(condition, u, v), a, b)
