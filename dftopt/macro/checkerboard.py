r"""Glauber dynamics of all sites of one colour at once: where that is allowed, and how wrong it is elsewhere.

The generator of independent clocks is a sum over sites, $\mathcal L = \mathcal L_e + \mathcal L_o$ over the even and the odd
sites of a checkerboard. While the odd ones are frozen, an even site sees constant neighbours, and all even sites are
independent: after a time h each has been attempted with probability $a = 1 - e^{-h}$, and then it is a fresh heat-bath
draw. So $e^{h \mathcal L_e}$ is done **exactly** in one parallel pass. What is not exact is the composition

$$ e^{h(\mathcal L_e + \mathcal L_o)} = e^{h \mathcal L_e / 2} e^{h \mathcal L_o} e^{h \mathcal L_e / 2} + O(h^3) . $$

- Equilibrium: each factor obeys detailed balance with the Gibbs distribution, and so does the palindrome. Averages are
  exact with any h; `sweeps` takes a = 1, the fastest.
- Dynamics: the order of events within h is that of the colours; correlations in time carry an error of order $h^2$
  (measured in benchmarks/macro/ising.py). One full sweep at a time (h large) is a different dynamics.
- Not at all: where a move touches two sites of different colour (exchange moves, Kawasaki, vacancies), where neighbours
  of the same colour interact (next-nearest neighbours, an odd edge with periodic boundaries), or where every site feels
  all others (Curie-Weiss).
"""

import jax
import jax.numpy as jnp

from dftopt.macro.random import key_words, threshold, words


def pick(table: jax.Array, k: jax.Array) -> jax.Array:
    """table[k] for five entries, without a gather in the inner loop."""
    return jnp.where(
        k < 2, jnp.where(k < 1, table[0], table[1]), jnp.where(k < 3, table[2], jnp.where(k < 4, table[3], table[4]))
    )


def evolve(state: jax.Array, key: jax.Array, dt, temperature, field, splitting) -> jax.Array:
    """Spins (rows, columns) after dt sweeps in splitting steps of at most `splitting`."""
    steps = jnp.maximum(jnp.ceil(dt / splitting - 1e-9), 1).astype(jnp.int32)
    h = dt / steps
    whole, half = _thresholds(temperature, field, 1 - jnp.exp(-h)), _thresholds(temperature, field, 1 - jnp.exp(-h / 2))
    seed, index = _start(state, key)
    parts = _even(_split(state), words(seed, index, 0), half)

    def step(i, parts):
        w = jax.lax.optimization_barrier(words(seed, index, i + 1))  # once per step, not once per colour
        parts = jax.lax.optimization_barrier(_odd(parts, w, whole))
        last = [jnp.where(i == steps - 1, b, a) for a, b in zip(whole, half, strict=True)]
        return _even(parts, w, last)

    return _join(jax.lax.fori_loop(0, steps, step, parts))


def sweeps(state: jax.Array, key: jax.Array, count, temperature, field) -> jax.Array:
    """Spins after `count` heat-bath sweeps of both colours: for equilibrium averages only."""
    table = _thresholds(temperature, field, jnp.ones(()))
    seed, index = _start(state, key)

    def step(i, parts):
        w = jax.lax.optimization_barrier(words(seed, index, i))
        return _odd(jax.lax.optimization_barrier(_even(parts, w, table)), w, table)

    return _join(jax.lax.fori_loop(0, count, step, _split(state)))


def _start(state, key):
    quarter = (state.shape[0] // 2, state.shape[1] // 2)
    return key_words(key), jnp.arange(quarter[0] * quarter[1], dtype=jnp.uint32).reshape(quarter)


def _thresholds(temperature, field, attempted):
    """For 0 to 4 neighbours up: a word below the first sets the spin up, one not below the second sets it down."""
    up = (1 + jnp.tanh((2.0 * jnp.arange(5) - 4 + field) / temperature)) / 2
    return threshold(attempted * up), threshold(attempted * up + 1 - attempted)


def _split(state):
    """The four sublattices by parity of row and column, 1 for up; the first and the last are even."""
    s = (state > 0).astype(jnp.uint8)
    return s[0::2, 0::2], s[0::2, 1::2], s[1::2, 0::2], s[1::2, 1::2]


def _join(parts):
    a, b, c, d = parts
    rows = jnp.stack([jnp.stack([a, b], -1), jnp.stack([c, d], -1)], 1)  # (rows / 2, 2, columns / 2, 2)
    return jnp.where(rows > 0, 1, -1).astype(jnp.int8).reshape(2 * a.shape[0], 2 * a.shape[1])


def _updated(spin, neighbours, word, table):
    up, down = (pick(t, neighbours) for t in table)
    return jnp.where(word < up, jnp.uint8(1), jnp.where(word >= down, jnp.uint8(0), spin))


def _even(parts, w, table):
    a, b, c, d = parts
    of_a = b + jnp.roll(b, 1, 1) + c + jnp.roll(c, 1, 0)
    of_d = c + jnp.roll(c, -1, 1) + b + jnp.roll(b, -1, 0)
    return _updated(a, of_a, w[0], table), b, c, _updated(d, of_d, w[1], table)


def _odd(parts, w, table):
    a, b, c, d = parts
    of_b = a + jnp.roll(a, -1, 1) + d + jnp.roll(d, 1, 0)
    of_c = d + jnp.roll(d, 1, 1) + a + jnp.roll(a, -1, 0)
    return a, _updated(b, of_b, w[2], table), _updated(c, of_c, w[3], table), d
