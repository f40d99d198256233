"""Occupations without constraints: what they are at a point, and how the free energy changes with their parameters.

Each parametrization satisfies 0 <= f <= 1 and sum w f = N identically (Methfessel-Paxton and cold smearing leave the
interval by construction). All see the Hamiltonian in the space of the orbitals, H_ij, and nothing else.

References:
    Li et al., arXiv 2411.05033 (row norms); Marzari, Vanderbilt, Payne, Phys. Rev. Lett. 79, 1337 (1997);
    Freysoldt, Boeck, Neugebauer, Phys. Rev. B 79, 241103 (2009) (auxiliary Hamiltonian).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.special import xlog1py, xlogy

from dftopt.minimization.smearing import Smearing, against, chemical_potential, per_reservoir


@partial(jax.jit, static_argnames="kind")
def from_levels(e, w, filling, temperature, kind: Smearing):
    """Occupations f (s, k, b), chemical potentials (reservoirs,), -T S of levels e; w (1, k, 1) electrons per full one."""
    mu = chemical_potential(e, w, filling, temperature, kind)
    x = (e - against(mu, e)) / temperature
    return kind.occupation(x), mu, -temperature * jnp.sum(w * kind.entropy(x))


def derivative(e, mu, temperature, kind: Smearing):
    """df/de."""
    _, df = jax.jvp(lambda y: kind.occupation((y - against(mu, y)) / temperature), (e,), (jnp.ones_like(e),))
    return df


def divided_difference(f, e, mu, temperature, kind: Smearing):
    """(f_i - f_j) / (e_i - e_j), (s, k, b, b); the derivative at the mean where levels are (nearly) equal."""
    de = e[..., :, None] - e[..., None, :]
    mean = 0.5 * (e[..., :, None] + e[..., None, :])
    close = jnp.abs(de) < 1e-4 * temperature
    safe = jnp.where(close, 1.0, de)
    return jnp.where(close, derivative(mean, mu, temperature, kind), (f[..., :, None] - f[..., None, :]) / safe)


def level_gradient(h_diag, e, mu, w, temperature, kind: Smearing):
    """dA/de_i at fixed particle number, w f'_i (H_ii - e_i - c), c the f'-weighted mean of H_ii - e_i per reservoir."""
    df = derivative(e, mu, temperature, kind)
    total = per_reservoir(w * df, len(mu))
    safe = jnp.where(jnp.abs(total) > 1e-200, total, 1.0)
    c = jnp.where(jnp.abs(total) > 1e-200, per_reservoir(w * df * (h_diag - e), len(mu)) / safe, 0.0)
    return w * df * (h_diag - e), -w * df * against(c, e)


def auxiliary_gradient(h, f, e, mu, w, temperature, kind: Smearing):
    """DA = tr(G d eta) of the auxiliary Hamiltonian in the frame where it is diagonal, (s, k, b, b)."""
    eye = jnp.eye(h.shape[-1])
    ratio = divided_difference(f, e, mu, temperature, kind)
    h_diag = jnp.real(jnp.diagonal(h, axis1=-2, axis2=-1))
    _, shift = level_gradient(h_diag, e, mu, w, temperature, kind)
    return w[..., None] * (h - e[..., None] * eye) * ratio + shift[..., None] * eye


def rotation_gradient(h, f, w):
    """dA/dX of psi -> psi exp(X), X anti-Hermitian: w (f_j - f_i) H_ij; zero when H is self-diagonalized."""
    return w[..., None] * (f[..., None, :] - f[..., :, None]) * h


def rotation_direction(h, f):
    """Preconditioned rotation: Jacobi's angle H_ij / sqrt((H_ii - H_jj)^2 + 4 |H_ij|^2), damped where f_i = f_j."""
    d = jnp.real(jnp.diagonal(h, axis1=-2, axis2=-1))
    df = f[..., None, :] - f[..., :, None]
    h2 = h.real**2 + h.imag**2
    gap = jnp.sqrt((d[..., :, None] - d[..., None, :]) ** 2 + 4 * h2 + 1e-12)
    return df / (jnp.abs(df) * gap + 1e-4) * h


def cayley(x):
    """(1 - X/2)^{-1} (1 + X/2), unitary for anti-Hermitian X."""
    eye = jnp.eye(x.shape[-1])
    return jnp.linalg.solve(eye - x / 2, eye + x / 2)


def row_norms(u, shape):
    """f_i = sum_j U_ij^2 of a matrix with orthonormal columns: every feasible f, by the theorem of Schur and Horn."""
    return jnp.sum(u**2, axis=1).reshape(shape)


def fermi_dirac_entropy(f):
    """-f ln f - (1 - f) ln(1 - f), finite at 0 and 1 and where rounding puts f beyond them."""
    f = jnp.clip(f, 0.0, 1.0)
    return -xlogy(f, f) - xlog1py(1 - f, -f)


def initial_rows(f, n_columns: int):
    """A matrix with orthonormal columns whose row norms are about f: QR of sqrt(f) times mixed Fourier columns.

    f = 0 and f = 1 are stationary points of the map, so f is kept away from them.
    """
    flat = jnp.clip(f.reshape(-1), 0.02, 0.98)
    n = flat.shape[0]
    rows, columns = jnp.arange(n)[:, None], jnp.arange(n_columns)[None, :]
    # a seeded-free, well mixed orthogonal matrix: the discrete cosine transform
    mixed = jnp.cos(jnp.pi * (rows + 0.5) * (columns + 0.5) / n)
    return orthonormal_columns(jnp.sqrt(flat)[:, None] * mixed)


def orthonormal_columns(m):
    """Q of a real QR with positive diagonal of R."""
    q, r = jnp.linalg.qr(m)
    sign = jnp.where(jnp.diagonal(r) < 0, -1.0, 1.0)
    return q * sign
