"""Hartree energy of a molecule: a quadratic form of the density matrix, with exact integrals or a fitted density."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Repulsion:
    """Integrals of pairs of functions i >= j, see `bases.integrals.TwoElectron`.

    Attributes:
        integrals: (ij|kl) as (pairs, pairs), or (P|ij) as (auxiliary, pairs), hartree.
        i, j: functions of each pair.
        metric: lower Cholesky factor of (P|Q); None for exact integrals.
    """

    integrals: Float[Array, "m pairs"]
    i: Int[Array, " pairs"]
    j: Int[Array, " pairs"]
    metric: Float[Array, "m m"] | None


def hartree_and_potential(
    density: Float[Array, "nao nao"], r: Repulsion
) -> tuple[Float[Array, ""], Float[Array, "nao nao"]]:
    r"""Hartree energy of a density matrix and its derivative, the matrix J.

    $E_H = \frac12 \sum D_{ij} (ij|kl) D_{kl}$, or with a fitted density $\frac12 b^T V^{-1} b$, $b_P = \sum (P|ij) D_{ij}$,
    $V_{PQ} = (P|Q)$, which is a lower bound of it.

    References:
        Dunlap, Connolly, Sabin, J. Chem. Phys. 71, 3396 (1979).
    """
    d = density[r.i, r.j] * jnp.where(r.i == r.j, 1.0, 2.0)
    if r.metric is None:
        potential = r.integrals @ d
    else:
        potential = jax.scipy.linalg.cho_solve((r.metric, True), r.integrals @ d) @ r.integrals
    full = jnp.zeros_like(density).at[r.i, r.j].set(potential).at[r.j, r.i].set(potential)
    return 0.5 * jnp.sum(d * potential), full
