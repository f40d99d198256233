"""Small fully connected networks as plain pytrees, and the linear algebra of small matrices.

Matrices here have the size of the macroscopic space, 1 to about 6: their factors are written out, which compiles to a few
fused operations for a whole batch, where a batched LAPACK call would be a call per matrix.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

Layers = tuple[dict[str, jax.Array], ...]


def network(key: jax.Array, sizes: Sequence[int], last: float = 0.1) -> Layers:
    """Weights of a network.

    Args:
        key: random key.
        sizes: of input, hidden layers and output.
        last: scale of the output weights: small, so that a fit starts from what the biases say.

    Returns:
        One dictionary per layer.
    """
    keys = jax.random.split(key, len(sizes) - 1)
    scales = [1.0] * (len(sizes) - 2) + [last]
    return tuple(
        {"weight": scale * jax.random.normal(k, (o, i)) / i**0.5, "bias": jnp.zeros(o)}
        for k, i, o, scale in zip(keys, sizes[:-1], sizes[1:], scales, strict=True)
    )


def apply(layers: Layers, x: jax.Array) -> jax.Array:
    """Output for one input (i,): tanh between the layers, none after the last. It is bounded."""
    for layer in layers[:-1]:
        x = jnp.tanh(layer["weight"] @ x + layer["bias"])
    return layers[-1]["weight"] @ x + layers[-1]["bias"]


def apply_along(layers: Layers, x: jax.Array, directions: Sequence[jax.Array]) -> tuple[jax.Array, list[jax.Array]]:
    """Output for one input (i,), and its derivatives along directions (i,) of the input: faster than one jvp for each."""
    slopes = list(directions)
    for layer in layers[:-1]:
        x = jnp.tanh(layer["weight"] @ x + layer["bias"])
        slopes = [(1 - x * x) * (layer["weight"] @ s) for s in slopes]
    return layers[-1]["weight"] @ x + layers[-1]["bias"], [layers[-1]["weight"] @ s for s in slopes]


def monomials(x: jax.Array, count: int) -> jax.Array:
    """The first `count` monomials of x (i,): 1, x_1, x_2, ..., x_1^2, x_1 x_2, ..., by rising degree."""
    out, last = [jnp.ones((), x.dtype)], [(jnp.ones((), x.dtype), 0)]
    while len(out) < count:
        last = [(term * x[j], j) for term, least in last for j in range(least, len(x))]
        out += [term for term, _ in last]
    return jnp.stack(out[:count])


def lower(entries: jax.Array, d: int) -> jax.Array:
    """Lower triangular matrix (d, d) from its d (d + 1) / 2 entries, row by row."""
    rows = [
        [entries[i * (i + 1) // 2 + j] if j <= i else jnp.zeros((), entries.dtype) for j in range(d)] for i in range(d)
    ]
    return jnp.stack([jnp.stack(row) for row in rows])


def product(A: jax.Array, b: jax.Array) -> jax.Array:
    """A b for a small matrix A (d, d) and b, (d,) or (d, k)."""
    return sum(A[:, j] * b[j] if b.ndim == 1 else A[:, j, None] * b[j] for j in range(A.shape[1]))  # type: ignore[return-value]


def square(L: jax.Array) -> jax.Array:
    """L L^T."""
    return product(L, L.T)


def cholesky(A: jax.Array) -> jax.Array:
    """L with L L^T = A, for a small positive definite A (d, d)."""
    d = A.shape[-1]
    L: list[list[jax.Array]] = [[jnp.zeros((), A.dtype)] * d for _ in range(d)]
    for i in range(d):
        for j in range(i + 1):
            rest = A[i, j] - sum((L[i][k] * L[j][k] for k in range(j)), jnp.zeros((), A.dtype))
            L[i][j] = jnp.sqrt(rest) if i == j else rest / L[j][j]
    return jnp.stack([jnp.stack(row) for row in L])


def solve_lower(L: jax.Array, b: jax.Array) -> jax.Array:
    """Solution x of L x = b; b is (d,) or (d, k)."""
    x: list[jax.Array] = []
    for i in range(L.shape[-1]):
        rest = b[i]
        for j in range(i):
            rest = rest - L[i, j] * x[j]
        x.append(rest / L[i, i])
    return jnp.stack(x)
