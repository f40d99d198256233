"""Sums over lattices of small integers."""

import jax
import jax.numpy as jnp


def total(values: jax.Array) -> jax.Array:
    """Exact sum of small integers (below 2^24 in all) as float64; single precision is ten times as fast as integers."""
    kind = jnp.float32 if values.size < 1 << 22 else jnp.int32
    return jnp.sum(values, dtype=kind).astype(jnp.float64)
