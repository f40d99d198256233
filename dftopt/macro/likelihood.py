"""Minus the log-likelihood of the statistics of snapshots, in scaled units."""

from math import comb
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.macro.networks import cholesky, monomials, solve_lower, square
from dftopt.macro.onsager import SEEN, Model, activity, drift, raw, sigma
from dftopt.macro.scales import Scales
from dftopt.macro.statistics import Statistics, alive


class Batch(NamedTuple):
    """Snapshots in scaled units; see `dftopt.macro.statistics`."""

    y: jax.Array
    q: jax.Array
    b: jax.Array
    a: jax.Array
    D: jax.Array
    w: jax.Array


def batch(s: Statistics, scales: Scales) -> tuple[Batch, jax.Array]:
    """Statistics in scaled units, and the scaled C0."""
    pair = np.multiply.outer(scales.spread, scales.spread)
    rows = Batch(
        jnp.asarray(scales.y(s.z)),
        jnp.asarray(scales.q(s.q)),
        jnp.asarray(s.b * scales.time / scales.spread),
        jnp.asarray(s.a * scales.time),
        jnp.asarray(s.D * scales.time / pair),
        jnp.asarray(s.w),
    )
    return rows, jnp.asarray(s.C0 * scales.time**2 / pair)


def loss(params: dict, model: Model, row: Batch, C0: jax.Array, full: bool) -> tuple[jax.Array, jax.Array]:
    """Of one snapshot (no axis of rows), the parts of drift and of noise; constants are left out."""
    b = drift(params, model, row.y, row.q)
    L = sigma(params, model, row.y, row.q)
    D = square(L)
    C = row.a * D if full else row.a * jax.lax.stop_gradient(D) + activity(model, row.y) * C0
    of_C = cholesky(C)
    x = solve_lower(of_C, row.b - b)
    part = solve_lower(L, solve_lower(L, row.D).T)  # L^-1 D L^-T
    noise = 2 * jnp.sum(jnp.log(jnp.diagonal(L))) + jnp.trace(part)
    return 0.5 * x @ x + jnp.sum(jnp.log(jnp.diagonal(of_C))), 0.5 * row.w * noise


def cubic(model: Model, inputs, rows: Batch, C0: jax.Array, counts) -> np.ndarray:
    """Weighted least squares of the drift by polynomials of what networks see, up to the third degree: (E, F, d).

    The degree is the largest for which there are 20 snapshots per coefficient, at least 1.

    Args:
        model: what is trained.
        inputs: centre and matrix of what is seen (`dftopt.macro.onsager`).
        rows: snapshots.
        C0: see `dftopt.macro.statistics`.
        counts: (E, S) how often a member sees a snapshot.
    """
    centre, white = inputs
    y, q, b, a, D = (np.asarray(x, float) for x in (rows.y, rows.q, rows.b, rows.a, rows.D))
    x = (np.asarray(jax.vmap(raw, (None, 0, 0))(model, jnp.asarray(y), jnp.asarray(q))) - centre) @ white.T
    sizes = [comb(x.shape[1] + degree, degree) for degree in (1, 2, 3)]
    size = max(sizes[0], *(s for s in sizes if 20 * s <= len(x))) if len(x) >= 20 * sizes[0] else sizes[0]
    active = np.asarray(activity(model, jnp.asarray(y)))
    F = np.asarray(jax.vmap(monomials, (0, None))(jnp.asarray(np.clip(x, -SEEN, SEEN)), size)) * active[:, None]
    out = np.zeros((len(counts), size, model.d))
    for j in range(model.d):
        weight = 1 / np.sqrt(a * D[:, j, j].mean() + active * float(C0[j, j]) + 1e-30)
        for e, count in enumerate(np.asarray(counts, float)):
            scale = weight * np.sqrt(count)
            out[e, :, j] = np.linalg.lstsq(F * scale[:, None], b[:, j] * scale, rcond=1e-7)[0]
    return out


def standardized(fit, data) -> np.ndarray:
    r"""Increments of data in units of what a fit predicts: $L^{-1} (z_1 - z_0 - b\,dt) / \sqrt{K dt}$, $L L^T = \Sigma$.

    Those of all rows and replicas of a snapshot are summed and divided by the root of their number, since a patch alone may
    see no more than a few events in dt. Independent standard normal numbers (snapshots, d) if drift and diffusion are right.

    Args:
        fit: from `macro.fit`; of data with varying parameters those of each row are used.
        data: Increments in the coordinates of the fit.
    """
    data = data.rows(alive(data.absorbing, data.z0))
    z0 = data.z0
    varied = [data.parameter_names.index(name) for name in fit.parameter_names]
    settings, which = np.unique(data.parameters[data.snapshot][:, varied], axis=0, return_inverse=True)
    out = np.zeros(data.z1.shape)
    for i, values in enumerate(settings):
        rows = np.flatnonzero(which.reshape(-1) == i)
        b = fit.drift(z0[rows], values if varied else None)
        L = np.linalg.cholesky(fit.diffusion(z0[rows], values if varied else None))
        scale = np.sqrt(data.factor * data.dt)[rows, None, None]
        away = (data.z1[rows] - (z0[rows] + b * data.dt[rows, None])[:, None]) / scale
        out[rows] = np.linalg.solve(L[:, None], away[..., None])[..., 0]
    used, place, count = np.unique(data.snapshot, return_inverse=True, return_counts=True)
    total = np.zeros((len(used), data.dimension))
    np.add.at(total, place, out.sum(1))
    return total / np.sqrt(count * data.replicas)[:, None]
