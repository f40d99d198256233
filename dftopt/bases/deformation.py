r"""Smooth invertible maps of space that leave the nuclei where they are, for local-scaling transformations.

A map is a composition of layers $x \to x + u(x)$ with displacements that vanish at the nuclei,

$$u(x) = \sum_a q_a(x) \sum_m e^{-\beta_m r_a^2} (A_{am} d_a + b_{am} \sqrt{\beta_m}\, r_a^2), \qquad d_a = x - R_a, \quad
q_a = \prod_{b \ne a} (1 - e^{-r_b^2 / w^2}),$$

A any matrices, b any vectors: the family is closed under rotations, reflections and exchange of equal atoms. A layer whose
Jacobian is a contraction plus the identity, $|\nabla u| < 1$, is invertible, by iteration.

References:
    Petkov, Stoitsov, Kryachko, Int. J. Quantum Chem. 29, 149 (1986); Behrmann et al., ICML 2019 (arXiv 1811.00995).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

WIDTHS = (0.12, 0.4, 1.3, 4.5, 15.0)  # beta, bohr^-2
MASK = 0.8  # w, bohr


class Places(NamedTuple):
    """Where points go.

    Attributes:
        x: (p, 3) images of points.
        jacobian: (p, 3, 3) dx_i/ds_j.
        determinant: (p,)
        slope: (p, 3) gradient in s of the logarithm of the determinant.
        stretch: (p,) largest norm of the displacement's Jacobian in any layer; below 1 the map is invertible.
    """

    x: Float[Array, "p 3"]
    jacobian: Float[Array, "p 3 3"]
    determinant: Float[Array, " p"]
    slope: Float[Array, "p 3"]
    stretch: Float[Array, " p"]


def identity(atoms: int, layers: int = 1, widths: int = len(WIDTHS)) -> dict[str, Array]:
    """Parameters `matrix` (layers, atoms, widths, 3, 3) and `vector` (layers, atoms, widths, 3) of the identity."""
    return {"matrix": jnp.zeros((layers, atoms, widths, 3, 3)), "vector": jnp.zeros((layers, atoms, widths, 3))}


def displacement(
    x: Float[Array, " 3"], matrix, vector, positions: Float[Array, "atoms 3"], widths
) -> Float[Array, " 3"]:
    """U at one point, by one layer, bohr."""
    d = x - positions
    r2 = jnp.sum(d * d, axis=1)
    away = -jnp.expm1(-r2 / MASK**2)
    others = jnp.prod(jnp.where(np.eye(len(positions), dtype=bool), 1.0, away), axis=1)
    decay = others[:, None] * jnp.exp(-widths * r2[:, None])
    return jnp.einsum("am,amij,aj->i", decay, matrix, d) + jnp.einsum(
        "am,ami,a,m->i", decay, vector, r2, jnp.sqrt(widths)
    )


def _determinant(m):
    """Of (3, 3): a polynomial, with derivatives of any order."""
    return jnp.dot(m[0], jnp.cross(m[1], m[2]))


def mapped(s: Float[Array, "p 3"], theta: dict, positions: Float[Array, "atoms 3"], widths) -> Places:
    """Points under the map, with its first derivatives and the gradient of its determinant."""
    eye = jnp.eye(3)

    def layer(state, parameters):
        x, jacobian, determinant, slope, stretch = state
        matrix, vector = parameters
        u = lambda y: displacement(y, matrix, vector, positions, widths)

        def log_determinant(y):
            du = jax.jacfwd(u)(y)
            det = _determinant(eye + du)
            return jnp.log(det), (du, det)

        def at(y):
            gradient, (du, det) = jax.jacfwd(log_determinant, has_aux=True)(y)
            return u(y), du, det, gradient

        moved, du, det, gradient = jax.vmap(at)(x)
        return (
            x + moved,
            jacobian + jnp.einsum("pik,pkj->pij", du, jacobian),
            determinant * det,
            slope + jnp.einsum("pk,pkj->pj", gradient, jacobian),
            jnp.maximum(stretch, jnp.sqrt(jnp.sum(jax.lax.stop_gradient(du) ** 2, axis=(1, 2)))),
        ), None

    n = len(s)
    state = (s, jnp.broadcast_to(eye, (n, 3, 3)), jnp.ones(n), jnp.zeros((n, 3)), jnp.zeros(n))
    for i in range(theta["matrix"].shape[0]):
        state, _ = layer(state, (theta["matrix"][i], theta["vector"][i]))
    return Places(*state)


def inverse(r: Float[Array, "p 3"], theta: dict, positions, widths, steps: int = 40) -> Float[Array, "p 3"]:
    """The points that the map takes to r, by Newton's steps of each layer, the last one first."""
    for matrix, vector in zip(theta["matrix"][::-1], theta["vector"][::-1], strict=True):
        u = lambda y, a=matrix, b=vector: displacement(y, a, b, positions, widths)

        def one(target, u=u):
            step = lambda _, y: y + jnp.linalg.solve(jnp.eye(3) + jax.jacfwd(u)(y), target - y - u(y))
            start = jax.lax.fori_loop(0, steps // 2, lambda _, y: target - u(y), target)
            return jax.lax.fori_loop(0, steps // 8, step, start)

        r = jax.vmap(one)(r)
    return r
