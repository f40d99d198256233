"""Lowest eigenvectors in a fixed potential by minimizing a trace with unequal weights.

The minimizer of sum_i w_i <psi_i|H|psi_i> over orthonormal psi with w_1 > w_2 > ... > 0 is the set of the lowest
eigenvectors in order (trace inequality of von Neumann). Each step minimizes it exactly over the span of the orbitals,
their preconditioned residuals and the last change; in a subspace the minimizer does not depend on the weights, only on
their order, and comes from a small dense problem. H is applied once per step.

References:
    Brockett, Linear Algebra Appl. 146, 79 (1991); Knyazev, SIAM J. Sci. Comput. 23, 517 (2001).
"""

import jax
import jax.numpy as jnp

from dftopt.minimization.orbitals import cholesky_qr, overlap, teter

SHORT = (
    1e-6  # H of a shorter row, a difference of longer ones, is too inaccurate: normalized again and again it diverges
)
LOOSE = 0.03  # hartree; a buffer band that is settled to this no longer hides a level below those that are wanted


def _rows(m, x):
    """Linear combinations sum_j x_j m_ji of rows."""
    return m.T @ x


def _orthogonalize(x, hx, against, h_against):
    """Project x off `against` and normalize its rows; rows too short for H x to be accurate are dropped."""
    m = overlap(against, x)
    x, hx = x - _rows(m, against), hx - _rows(m, h_against)
    norm = jnp.sqrt(jnp.sum(x.real**2 + x.imag**2, axis=-1, keepdims=True))
    scale = jnp.where(norm > SHORT, 1 / jnp.where(norm > SHORT, norm, 1.0), 0.0)
    return x * scale, hx * scale


RIDGE = 1e-11  # squared length below which a direction is noise
TOP = 1e3  # hartree; where such directions are put


def _lowest(s, hs, nb):
    """Coefficients of the lowest nb Ritz vectors in the span of the rows of s; rows of length 0 or 1.

    The ridge keeps the overlap positive where rows are nearly dependent, and moves what it adds to the top of the
    spectrum. It changes Ritz values by about RIDGE * TOP; the caller takes Rayleigh quotients.
    """
    eye = jnp.eye(len(s))
    o, h = overlap(s, s), overlap(s, hs)
    absent = jnp.diag((jnp.diagonal(o).real < 0.5).astype(float)) + RIDGE * eye
    lower = jnp.linalg.cholesky(0.5 * (o + o.conj().T) + absent)
    solve = lambda m: jax.scipy.linalg.solve_triangular(lower, m, lower=True)
    a = solve(solve(0.5 * (h + h.conj().T) + TOP * absent).conj().T)
    e, c = jnp.linalg.eigh(0.5 * (a + a.conj().T))
    return e[:nb], jax.scipy.linalg.solve_triangular(lower.conj().T, c[:, :nb], lower=False)


def minimize_trace(
    apply_h,
    psi,
    half_q2,
    mask,
    steps: int,
    tol: float,
    n_converge: int | None = None,
    settled: int = 0,
):
    """Lowest eigenpairs at one k point.

    Args:
        apply_h: function (bands, npw) -> H psi.
        psi: starting orbitals (bands, npw), full rank.
        half_q2: |k + G|^2 / 2 (npw,), for the preconditioner.
        mask: 1 on plane waves (npw,).
        steps: at most this many steps.
        tol: stop when every residual norm ||H psi - eps psi|| of the first `n_converge` bands is below, hartree.
        n_converge: bands that have to converge; default all. The others only have to settle (`LOOSE`).
        settled: lowest bands that have converged before: they only mix with the others, H is not applied to them again,
            and their residuals are not looked at.

    Returns:
        psi, H psi, eigenvalues (bands,), residual norms (bands,), steps taken.
    """
    nb = psi.shape[0]
    n_converge = nb if n_converge is None else n_converge
    limits = jnp.where(jnp.arange(nb) < n_converge, tol, jnp.maximum(tol, LOOSE))
    limits = jnp.where(jnp.arange(nb) < settled, jnp.inf, limits)
    psi = cholesky_qr(psi)
    hpsi = apply_h(psi)
    e, c = _lowest(psi, hpsi, nb)
    psi, hpsi = _rows(c, psi), _rows(c, hpsi)

    def residual(psi, hpsi, e):
        r = hpsi - e[:, None] * psi
        return r, jnp.sqrt(jnp.sum(r.real**2 + r.imag**2, axis=-1))

    def step(state):
        psi, hpsi, e, p, hp, norms, n = state
        moving = psi[settled:]
        r, _ = residual(moving, hpsi[settled:], e[settled:])
        active = (norms[settled:] > 0.1 * tol)[:, None]  # converged bands no longer bring directions of their own
        ekin = jnp.sum((moving.real**2 + moving.imag**2) * half_q2, axis=-1)
        z = teter(half_q2, 1.5 * ekin) * r * mask
        z = z - _rows(overlap(psi, z), psi)
        norm = jnp.sqrt(jnp.sum(z.real**2 + z.imag**2, axis=-1, keepdims=True))
        z = jnp.where(active, z / jnp.where(norm > 1e-30, norm, 1.0), 0.0)
        hz = apply_h(z)
        p, hp = _orthogonalize(jnp.where(active, p, 0.0), hp, psi, hpsi)
        s, hs = jnp.concatenate([psi, z, p]), jnp.concatenate([hpsi, hz, hp])
        e, c = _lowest(s, hs, nb)
        p, hp = _rows(c[nb:], s[nb:]), _rows(c[nb:], hs[nb:])
        psi, hpsi = _rows(c[:nb], psi) + p, _rows(c[:nb], hpsi) + hp
        # roundoff of the small problem accumulates: orthonormalize the orbitals themselves
        lower = jnp.linalg.cholesky(overlap(psi, psi))
        solve = lambda x: jax.scipy.linalg.solve_triangular(lower.conj(), x, lower=True)
        psi, hpsi = solve(psi), solve(hpsi)
        e = jnp.sum((psi.conj() * hpsi).real, axis=-1)
        _, norms = residual(psi, hpsi, e)
        return psi, hpsi, e, p[settled:], hp[settled:], norms, n + 1

    def unfinished(state):
        return (state[-1] < steps) & jnp.any(state[-2] > limits)

    zero = jnp.zeros_like(psi[settled:])
    start = (psi, hpsi, e, zero, zero, residual(psi, hpsi, e)[1], 0)
    psi, hpsi, e, _, _, norms, n = jax.lax.while_loop(unfinished, step, start)
    return psi, hpsi, e, norms, n
