r"""Increments over a time step that is not short: what an equation does within it.

Over a step h the increments of $dy = b\,dt + \sigma\,dB$ have a mean $b_h h$ and a covariance $\Sigma_h h$ that are not
$b h$ and $\sigma\sigma^T h$: within h a fast coordinate relaxes, and the slower the estimate, the more. A Gaussian follows
here the equation over h: its 2 d sigma points, $m \pm \sqrt d L_i$ with $L L^T$ its covariance, move with the drift
(Heun's rule), the noise of half a step is added before and after. Where the drift is linear and the noise constant that is
exact but for the steps of Heun's rule.

Training keeps the likelihood of a short step and corrects its data instead (deferred correction): increments $\bar b$ are
taken for $b + A (\bar b - b_h)$, and their scatter $\bar D$ for $A \bar D A^T$, $A = L_\Sigma L_{\Sigma_h}^{-1}$. Where b
and $\Sigma$ reproduce the data over h, they are then the most likely ones; on the way there the correction is renewed.
It converges as $1 - e^{-kh}$ for a rate k: nothing is corrected where k h > 1.

References:
    Julier, Uhlmann, Proceedings of the IEEE 92, 401 (2004): sigma points.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.macro.likelihood import Batch
from dftopt.macro.networks import cholesky, product, solve_lower, square
from dftopt.macro.onsager import Model, drift, sigma

SHORT, LONG = 0.02, 1.0  # step times the fastest rate of relaxation: nothing is corrected below, nor can be beyond
RESOLVED = 0.5  # the same of one step of Heun's rule
STEPS = (2, 4, 8, 16)  # of it within h, at most
LOST = 3.0  # noise of an equation over that of its increments: beyond, a row stays as it is
AT_ONCE = 1024  # snapshots


def after(
    params: dict, model: Model, y: jax.Array, q: jax.Array, h: jax.Array, steps: int
) -> tuple[jax.Array, jax.Array]:
    """Mean (d,) and covariance (d, d) of increments from y over h, both over h."""
    d, part = len(y), h / steps
    noise = lambda x: square(sigma(params, model, x, q))

    def flow(x):
        first = drift(params, model, x, q)
        return x + 0.5 * part * (first + drift(params, model, x + part * first, q))

    def step(i, carry):
        m, P, N = carry
        L = jnp.sqrt(d) * cholesky(P + jnp.where(i == 0, 0.5, 1.0) * part * N)
        x = jax.vmap(flow)(jnp.concatenate([m + L.T, m - L.T]))
        m = x.mean(0)
        return m, (x - m).T @ (x - m) / (2 * d), jax.vmap(noise)(x).mean(0)

    m, P, N = jax.lax.fori_loop(0, steps, step, (y, jnp.zeros((d, d), y.dtype), noise(y)))
    return (m - y) / h, P / h + 0.5 * N / steps


def steps_for(params, model: Model, rows: Batch, h) -> int:
    """Steps within h that resolve the relaxation of the drift at the data.

    0 where h is short, and where it is so long that increments no longer tell how something relaxed: the corrections would
    not converge, and what is learned is the equation of steps of this length.
    """
    some = slice(None, None, max(1, len(rows.y) // 256))
    slopes = np.asarray(_slopes(model, params, rows.y[some], rows.q[some]), float)
    rate = np.quantile(np.abs(np.linalg.eigvals(slopes)).max(-1), 0.9, axis=1).mean()
    fastest = float(rate * np.max(np.asarray(h)))
    return 0 if not SHORT < fastest < LONG else next((n for n in STEPS if fastest <= RESOLVED * n), STEPS[-1])


@partial(jax.jit, static_argnums=0)
def _slopes(model, params, y, q):
    return jax.vmap(jax.vmap(jax.jacfwd(drift, 2), (None, None, 0, 0)), (0, None, None, None))(params, model, y, q)


def corrected(params, model: Model, rows: Batch, h: jax.Array, steps: int) -> tuple[jax.Array, jax.Array]:
    """Drift (E, S, d) and scatter (E, S, d, d) for the likelihood of a short step, of every member of an ensemble."""
    y, q, b, D = rows.y, rows.q, rows.b, rows.D
    pad = -len(y) % AT_ONCE
    whole = (y, q, b, D, jnp.asarray(h, y.dtype))
    filled = tuple(jnp.concatenate([x, jnp.repeat(x[-1:], pad, 0)]) for x in whole)
    out = [_corrected(model, steps, params, *(x[i : i + AT_ONCE] for x in filled)) for i in range(0, len(y), AT_ONCE)]
    return jnp.concatenate([x[0] for x in out], 1)[:, : len(y)], jnp.concatenate([x[1] for x in out], 1)[:, : len(y)]


@partial(jax.jit, static_argnums=(0, 1))
def _corrected(model, steps, params, y, q, b, D, h):
    def one(params, y, q, b, D, h):
        b_h, D_h = after(params, model, y, q, h, steps)
        L = sigma(params, model, y, q)
        of_h = cholesky(D_h)
        away = solve_lower(of_h, b - b_h)
        bias = (
            solve_lower(L, drift(params, model, y, q) - b) + away
        )  # of the step: an equation in training may run away
        new = b + product(L, bias / jnp.maximum(1.0, jnp.sqrt(h * (bias @ bias))))
        half = product(L, solve_lower(of_h, D))
        scatter = product(half, solve_lower(of_h, L.T))
        # what has relaxed within h says nothing of how
        fine = jnp.isfinite(new).all() & (jnp.diagonal(L) < LOST * jnp.diagonal(of_h)).all()
        return jnp.where(fine, new, b), jnp.where(fine, 0.5 * (scatter + scatter.T), D)

    return jax.vmap(jax.vmap(one, (None, 0, 0, 0, 0, 0)), (0, None, None, None, None, None))(params, y, q, b, D, h)
