"""Forward and reverse mode of one function are each other's transpose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def check_transposes(f, values_at, p, seed: int) -> None:
    """<w, J v> = <J^T w, v> to 1e-10 for random v and w, and linear solves of `f` to 1e-11.

    Args:
        f: from `dftopt.differentiable`.
        values_at: outputs of it as a function of some inputs.
        p: these inputs.
        seed: of the random numbers.
    """
    random = np.random.default_rng(seed)
    draw = lambda x: jnp.asarray(random.normal(size=x.shape))
    direction = jax.tree.map(draw, p)
    values, change = jax.jvp(values_at, (p,), (direction,))
    weights = jax.tree.map(draw, values)
    (back,) = jax.vjp(values_at, p)[1](weights)
    dot = lambda a, b: float(sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)))
    assert dot(weights, change) == pytest.approx(dot(back, direction), rel=1e-10)
    assert max(s.residual for s in f.solves) < 1e-11
