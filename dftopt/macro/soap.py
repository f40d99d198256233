r"""The optimizer of training: Adam in the eigenbasis of the gradients' covariance.

Small networks that have to be accurate to a percent are badly conditioned: Adam, which scales every weight by itself, is not
done after ten times the steps. Here every matrix of weights W has running means $L$ of $G G^T$ and $R$ of $G^T G$ over its
gradients G; the step of Adam is taken for $U_L^T W U_R$, with the eigenvectors U of both, and turned back. Between two
updates of the bases these follow by one step of orthogonal iteration, written with matrix products alone.

References:
    Vyas, Morwani, Zhao, Kwun, Shapira, Brandfonbrener, Janson, Kakade, SOAP (arXiv 2409.11321).
"""

from collections import defaultdict
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

MEAN, SQUARE = 0.95, 0.99  # memory of the mean and of the squares of gradients
FLOOR = 1e-5  # of the mean eigenvalue of a covariance: the order of what carries no gradient does not matter


class Memory(NamedTuple):
    """Of all matrices of one shape (k, m, n), k of them, each of one network and member.

    Args:
        mean: of gradients.
        square: of gradients in the bases.
        L: (k, m, m) mean of G G^T.
        R: (k, n, n) mean of G^T G.
        left: (k, m, m) orthonormal columns.
        right: (k, n, n).
    """

    mean: jax.Array
    square: jax.Array
    L: jax.Array
    R: jax.Array
    left: jax.Array
    right: jax.Array


def start(params: Any) -> tuple[list[Memory], jax.Array]:
    """Memory for parameters whose leaves have a leading axis of independent copies (members of an ensemble)."""

    def of(G):
        k, m, n = G.shape
        eye = lambda size: jnp.broadcast_to(jnp.eye(size, dtype=G.dtype), (k, size, size))
        return Memory(
            jnp.zeros_like(G), jnp.zeros_like(G), jnp.zeros_like(eye(m)), jnp.zeros_like(eye(n)), eye(m), eye(n)
        )

    return [of(G) for G in _stacked(params)], jnp.zeros((), jnp.float32)


def step(gradient: Any, state: tuple[list[Memory], jax.Array]) -> tuple[Any, tuple[list[Memory], jax.Array]]:
    """Change of the parameters for a rate of -1, and the new memory."""
    memory, count = state
    count = count + 1
    out, new = [], []
    for G, old in zip(_stacked(gradient), memory, strict=True):
        transposed = G.swapaxes(1, 2)
        mean = MEAN * old.mean + (1 - MEAN) * G
        square = SQUARE * old.square + (1 - SQUARE) * (old.left.swapaxes(1, 2) @ G @ old.right) ** 2
        inside = old.left.swapaxes(1, 2) @ mean @ old.right / (1 - MEAN**count)
        inside = inside / (jnp.sqrt(square / (1 - SQUARE**count)) + 1e-8)
        out.append(old.left @ inside @ old.right.swapaxes(1, 2))
        L = SQUARE * old.L + (1 - SQUARE) * G @ transposed
        R = SQUARE * old.R + (1 - SQUARE) * transposed @ G
        new.append(Memory(mean, square, L, R, old.left, old.right))
    return _apart(out, gradient), (new, count)


def turned(state: tuple[list[Memory], jax.Array]) -> tuple[list[Memory], jax.Array]:
    """Memory whose bases have followed the covariances by one orthogonal iteration."""
    memory, count = state
    return [m._replace(left=_iterated(m.L, m.left), right=_iterated(m.R, m.right)) for m in memory], count


def _iterated(P: jax.Array, Q: jax.Array) -> jax.Array:
    """Orthonormal columns of P Q (k, n, n), column after column (Gram-Schmidt, twice)."""
    n = P.shape[1]
    if n == 0:  # weights of no inputs
        return Q
    trace = jnp.trace(P, axis1=1, axis2=2)[:, None, None]
    eye = jnp.eye(n, dtype=P.dtype)
    A = jnp.where(trace > 0, P / jnp.where(trace > 0, trace, 1) + FLOOR / n * eye, eye) @ Q

    def column(i, out):
        x = A[:, :, i]
        x = x / (jnp.linalg.norm(x, axis=1, keepdims=True) + 1e-30)
        for _ in range(2):  # once leaves rounding where columns are nearly parallel
            x = x - jnp.einsum("kij,kj->ki", out, jnp.einsum("kij,ki->kj", out, x))
            x = x / (jnp.linalg.norm(x, axis=1, keepdims=True) + 1e-30)
        return out.at[:, :, i].set(x)

    return jax.lax.fori_loop(0, n, column, jnp.zeros_like(A))


def _matrix(leaf: jax.Array) -> tuple[int, int, int]:
    """Copies, rows and columns of a leaf (copies, ...): a vector has one column."""
    return len(leaf), *((1, 1) if leaf.ndim == 1 else (leaf.shape[1], leaf.size // (len(leaf) * leaf.shape[1])))


def _groups(leaves) -> list[list[int]]:
    """Places of leaves of equal shapes: few operations to compile."""
    out: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for i, leaf in enumerate(leaves):
        out[_matrix(leaf)].append(i)
    return list(out.values())


def _stacked(tree: Any) -> list[jax.Array]:
    leaves = jax.tree.leaves(tree)
    return [jnp.concatenate([leaves[i].reshape(_matrix(leaves[i])) for i in group]) for group in _groups(leaves)]


def _apart(stacks: list[jax.Array], like: Any) -> Any:
    """The inverse of `_stacked`."""
    leaves, tree = jax.tree.flatten(like)
    out = list(leaves)
    for stack, group in zip(stacks, _groups(leaves), strict=True):
        for part, i in zip(jnp.split(stack, len(group)), group, strict=True):
            out[i] = part.reshape(leaves[i].shape)
    return jax.tree.unflatten(tree, out)
