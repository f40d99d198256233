"""Independent exponential clocks: asynchronous dynamics of a lattice, exact in time.

Every site has a clock that rings at the same rate; together they ring after exponential waiting times at uniformly random
sites, so the number of attempts in dt is Poisson. (A fixed number instead would lower the diffusion of a mean over n
sites by b^2 / n, with b its drift.) What an attempt does is up to the model; if the events of a site have different rates,
its clock rings at their largest sum and an attempt may do nothing.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dftopt.macro.random import Words, key_words, uniform, words

Attempt = Callable[[jax.Array, Words, jax.Array], jax.Array]


def ring(state, key: jax.Array, expected: jax.Array, attempt: Attempt):
    """Run all attempts of a time interval, one after another.

    Fast when many states run at once (`vmap`): the loop is as long for all of them, and nothing is copied.

    Args:
        state: any pytree.
        key: JAX key of this interval.
        expected: mean number of attempts: sites x rate x dt.
        attempt: `attempt(state, words, rings) -> state` with three random words; does nothing where `rings` is False
            (the interval is over).

    Returns:
        The state at the end of the interval.
    """
    seed = key_words(key)
    expected = jnp.asarray(expected, jnp.float64)
    most = jnp.ceil(expected + 8 * jnp.sqrt(expected) + 10).astype(jnp.int32)  # more happen once in 10^14 intervals

    def body(i, carry):
        state, clock = carry
        w = words(seed, i.astype(jnp.uint32))
        clock = clock - jnp.log(uniform(w[0])).astype(jnp.float64)
        return attempt(state, w[1:], clock < expected), clock

    return jax.lax.fori_loop(0, most, body, (state, jnp.zeros(())))[0]
