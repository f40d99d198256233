"""Glauber dynamics without rejections: for low temperatures, where most attempts would fail."""

import jax
import jax.numpy as jnp

from dftopt.macro.random import key_words, uniform, words


def evolve(state: jax.Array, key: jax.Array, dt, temperature, field) -> jax.Array:
    """Spins (rows, columns) after dt sweeps: waiting times from the sum of all rates, then one flip in proportion to them.

    The row is drawn from the row sums, the column from the rates of that row; a flip renews three rows: O(rows + columns)
    work per flip. Exact in time (Bortz, Kalos, Lebowitz, J. Comput. Phys. 17, 10 (1975)).
    """
    seed = key_words(key)
    rows = state.shape[0]

    def rates_of(s, row):
        """Rates of one row."""
        centre = s[row].astype(jnp.float64)
        around = s[(row + 1) % rows] + s[(row - 1) % rows] + jnp.roll(s[row], 1) + jnp.roll(s[row], -1)
        return (1 - centre * jnp.tanh((around + field) / temperature)) / 2

    def wait(sums, i):
        return -jnp.log(uniform(words(seed, i)[0])).astype(jnp.float64) / jnp.sum(sums)

    def flip(carry):
        s, sums, clock, i = carry
        _, w1, w2, _ = words(seed, i)
        row = _draw(sums, w1)
        column = _draw(rates_of(s, row), w2)
        s = s.at[row, column].multiply(-1)
        for r in ((row - 1) % rows, row, (row + 1) % rows):
            sums = sums.at[r].set(jnp.sum(rates_of(s, r)))
        return s, sums, clock + wait(sums, i + jnp.uint32(1)), i + jnp.uint32(1)

    sums = jax.vmap(lambda row: jnp.sum(rates_of(state, row)))(jnp.arange(rows))
    start = jnp.zeros((), jnp.uint32)
    return jax.lax.while_loop(lambda c: c[2] < dt, flip, (state, sums, wait(sums, start), start))[0]


def _draw(weights, word):
    """Index in proportion to weights."""
    cumulative = jnp.cumsum(weights)
    # not beyond the last positive weight, whatever the rounding
    return jnp.minimum(jnp.sum(cumulative < uniform(word) * cumulative[-1] * (1 - 1e-12)), weights.size - 1)
