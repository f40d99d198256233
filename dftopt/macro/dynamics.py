r"""Trajectories of a learned equation.

A step of length h is $y^* = y + b(y) h + \sigma(y) \Delta B$, $y' = y + \frac12 [b(y) + b(y^*)] h + \sigma(y) \Delta B$: Heun
for the drift, Ito for the noise; weak order 2 where the noise is additive. Each trajectory follows one member of the
ensemble (the next one the next member, also where many start from one state), so that the spread of trajectories holds the
uncertainty of the equation; or all follow the mean of the members, at as many times the cost: the best single equation,
also where a rare excursion leads one member to states that it has not seen. Networks run in single precision: the
rounding is far below the noise of a step.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.errors import InputError
from dftopt.macro import checks, onsager
from dftopt.macro.random import child, key_words, normals
from dftopt.macro.whole_system import check_times
from dftopt.precision import cores_here

STIFFNESS = 0.2  # step times the fastest local rate
AT_ONCE = 256  # trajectories of one member per compiled batch: it stays in the cache


def simulate(
    fit, Z0, times, n: int = 1, seed: int = 0, *, parameters=None, step: float | None = None, equation: str = "members"
) -> np.ndarray:
    """Trajectories of a fit.

    Args:
        fit: from `macro.fit`.
        Z0: start (d,), or starts (n, d).
        times: (T,) when to record, in the simulator's unit; 0 is the start itself.
        n: number of trajectories.
        seed: whole number.
        parameters: external parameters.
        step: longest step; default 0.2 over the fastest rate at which the drift brings nearby states together.
        equation: "members" (each trajectory that of one member) or "mean" (drift and sigma averaged over members).

    Returns:
        (n, T, d).

    Raises:
        InputError: wrong shapes or times; trajectories that left the finite numbers (an equation is used far from its data).
    """
    checks.whole("n", n)
    checks.whole("seed", seed, low=0)
    checks.choice("equation", equation, ("members", "mean"))
    times = check_times(None, times)
    Z0 = np.asarray(Z0, float)
    if Z0.ndim == 2 and len(Z0) not in (1, n):
        raise InputError(f"Z0 has {len(Z0)} starts for n = {n} trajectories: give one start, or {n}.")
    y0, q = fit.scaled(Z0, parameters)
    step = longest_step(fit, q) if step is None else step
    checks.number("step", step, above=0, remedy="It is a time step in the simulator's unit.")
    gaps = np.diff(times, prepend=0.0)
    batches = -(-n // (fit.members * AT_ONCE))
    size = -(-n // (fit.members * batches))  # all of one shape
    each = batches * size
    index = np.minimum(np.arange(fit.members * each), n - 1)
    start = jnp.broadcast_to(y0, (n, fit.dimension))[index].reshape(each, fit.members, -1).swapaxes(0, 1)
    counts = np.ceil(gaps / step - 1e-9).astype(int)
    h = np.divide(gaps, counts, out=np.zeros_like(gaps), where=counts > 0) / fit.scales.time
    single = jax.tree.map(lambda x: x.astype(jnp.float32), fit.params)

    def batch(first: int) -> np.ndarray:
        part, key = start[:, first : first + size], child(jax.random.key(seed), first)
        return np.asarray(
            _run(fit.model, equation == "mean", single, part, q, jnp.asarray(counts), jnp.asarray(h), key)
        )

    with ThreadPoolExecutor(cores_here()) as pool:  # small arrays: XLA itself would use one core
        parts = list(pool.map(batch, range(0, each, size)))
    y = np.concatenate(parts, 2)  # (T, members, each, d)
    z = fit.scales.z(y.transpose(2, 1, 0, 3).reshape(fit.members * each, len(times), -1)[:n].astype(float))
    if not np.isfinite(z).all():
        raise InputError(
            "Trajectories of the learned equation left the finite numbers: start nearer to the data, or take a shorter step."
        )
    return z


def longest_step(fit, q) -> float:
    """Time step by the stiffness of the drift over the states of the data."""
    rate = np.quantile(np.abs(np.linalg.eigvals(slopes(fit, q))).max(-1), 0.95)
    return float(STIFFNESS * fit.scales.time / max(rate, 1e-6))


def slopes(fit, q) -> np.ndarray:
    """Jacobians (points, d, d) of the drift of every member at states of the data, in scaled units."""
    y = jnp.asarray(fit.scales.y(fit.states[:: max(1, len(fit.states) // 256)][:256]))
    return np.asarray(_slopes(fit.model, fit.params, y, q)).reshape(-1, fit.dimension, fit.dimension)


@partial(jax.jit, static_argnums=0)
def _slopes(model, params, y, q):
    of_points = jax.vmap(jax.jacfwd(onsager.drift, 2), (None, None, 0, None))
    return jax.vmap(of_points, (0, None, None, None))(params, model, y, q)


@partial(jax.jit, static_argnums=(0, 1))
def _run(model, mean, params, y, q, counts, h, key):
    words = key_words(key)
    q = q.astype(jnp.float32)
    if mean:
        average = lambda f: lambda *args: jnp.mean(jax.vmap(f, (0, None, None, None))(*args), 0)
        each = lambda f: jax.vmap(jax.vmap(average(f), (None, None, 0, None)), (None, None, 0, None))
    else:
        each = lambda f: jax.vmap(jax.vmap(f, (None, None, 0, None)), (0, None, 0, None))
    drift, sigma = each(onsager.drift), each(onsager.sigma)

    def inside(y):
        """A step that would end beyond an absorbing state ends there."""
        if not model.absorbing:
            return y
        alive = y[..., model.absorbing[0]] > 0
        carried = jnp.array(model.absorbing)
        return y.at[..., carried].set(jnp.where(alive[..., None], jnp.maximum(y[..., carried], 0), 0))

    def record(carry, x):
        count, h = x

        def one(_, carry):
            y, i = carry
            kick = jnp.sqrt(h) * normals(words, y.shape, i).astype(jnp.float32)
            noise = jnp.sum(sigma(params, model, y, q) * kick[..., None, :], -1)
            b = drift(params, model, y, q)
            ahead = inside(y + h * b + noise)
            return inside(y + 0.5 * h * (b + drift(params, model, ahead, q)) + noise), i + 1

        carry = jax.lax.fori_loop(0, count, one, carry)
        return carry, carry[0]

    start = (y.astype(jnp.float32), jnp.zeros((), jnp.uint32))
    return jax.lax.scan(record, start, (counts, h.astype(jnp.float32)))[1]
