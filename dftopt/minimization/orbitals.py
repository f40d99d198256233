"""Orthonormal orbitals from unconstrained coefficients: three maps, one job.

Coefficients are rows, (..., bands, npw). At an orthonormal point, moving along a direction and mapping back is a
retraction, so the same functions serve unconstrained optimizers and Riemannian ones.

References:
    Li et al., D4FT, ICLR 2023; Absil, Mahony, Sepulchre, Optimization Algorithms on Matrix Manifolds (2008).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def overlap(a, b):
    """<a_i|b_j>, (..., bands, bands)."""
    return jnp.einsum("...ig,...jg->...ij", a.conj(), b)


def cholesky_qr(c):
    """Psi = C L^{-H} with C^H C = L L^H: two products and two small factorizations."""
    return inverse_cholesky(overlap(c, c)).conj() @ c  # rows: psi_i = sum_j (L^-1)^*_ij c_j, since <c_i|c_j> = s_ij


def inverse_cholesky(s):
    """L^{-1} of s = L L^H, (..., bands, bands)."""
    lower = jnp.linalg.cholesky(0.5 * (s + s.conj().swapaxes(-1, -2)))
    eye = jnp.broadcast_to(jnp.eye(s.shape[-1], dtype=s.dtype), s.shape)
    return jax.scipy.linalg.solve_triangular(lower, eye, lower=True)


def qr(c):
    """Psi = Q of a Householder QR: the most robust, also for nearly dependent coefficients."""
    q, r = jnp.linalg.qr(c.swapaxes(-1, -2))
    d = jnp.diagonal(r, axis1=-2, axis2=-1)
    sign = jnp.where(jnp.abs(d) > 0, d / jnp.where(jnp.abs(d) > 0, jnp.abs(d), 1.0), 1.0)
    return (q * sign[..., None, :]).swapaxes(-1, -2)


@jax.custom_jvp
def inverse_sqrt(s):
    """S^{-1/2} of Hermitian positive matrices; derivative by divided differences, exact also where S is degenerate."""
    e, u = jnp.linalg.eigh(s)
    return (u / jnp.sqrt(e)[..., None, :]) @ u.conj().swapaxes(-1, -2)


@inverse_sqrt.defjvp
def _inverse_sqrt_jvp(primals, tangents):
    (s,), (ds,) = primals, tangents
    e, u = jnp.linalg.eigh(s)
    root = jnp.sqrt(e)
    # (a^-1/2 - b^-1/2) / (a - b) = -1 / (sqrt(a) sqrt(b) (sqrt(a) + sqrt(b))): no difference of equal numbers
    quotient = -1 / (root[..., :, None] * root[..., None, :] * (root[..., :, None] + root[..., None, :]))
    uh = u.conj().swapaxes(-1, -2)
    return (u / root[..., None, :]) @ uh, u @ (quotient * (uh @ ds @ u)) @ uh


def loewdin(c):
    """Psi = C (C^H C)^{-1/2}: the orthonormal orbitals nearest to C."""
    s = overlap(c, c)
    return jnp.einsum("...ji,...jg->...ig", inverse_sqrt(0.5 * (s + s.conj().swapaxes(-1, -2))), c)


ORTHONORMALIZATIONS: dict[str, Callable] = {"cholesky": cholesky_qr, "qr": qr, "loewdin": loewdin}


def one_by_one(function, x):
    """A function of one k point applied to an array (s, k, ...), one after another.

    For factorizations that do not depend on each other: two batched ones that run at once on XLA's CPU threads can wait
    for each other's threads for ever.
    """
    return jax.lax.map(lambda y: jax.lax.map(function, y), x)


def to_real(c):
    """Complex coefficients as real ones with a trailing axis of 2: what unconstrained optimizers see."""
    return jnp.stack([c.real, c.imag], axis=-1)


def to_complex(x):
    """Inverse of `to_real`."""
    return jax.lax.complex(x[..., 0], x[..., 1])


def teter(half_q2, kinetic_energy):
    r"""Preconditioner: about the inverse of the Hamiltonian, hartree^-1, smooth, 1/T at large kinetic energy T.

    $P = \frac{2}{T_i} \frac{27 + 18x + 12x^2 + 8x^3}{27 + 18x + 12x^2 + 8x^3 + 16x^4}$, $x = |k+G|^2/2T_i$ with $T_i$
    the kinetic energy of the band.

    References:
        Teter, Payne, Allan, Phys. Rev. B 40, 12255 (1989).
    """
    scale = jnp.maximum(kinetic_energy, 1e-2)[..., None]
    x = half_q2 / scale
    p = 27 + x * (18 + x * (12 + 8 * x))
    return 2 / scale * p / (p + 16 * x**4)
