r"""Is the time step short enough? Drift and diffusion from partial evolutions over several lags.

For a Markov process $b(\tau) = E[z_\tau - z_0]/\tau$ and $D(\tau) = \mathrm{Cov}[z_\tau]/(K\tau)$ tend to their values at
$\tau = 0$ linearly. Two things bend them:

- a step that is long against a sweep of the patch: spins relax within it, and D falls in proportion to $\tau$;
- microscopic moves that are correlated (a vacancy that jumps back, a velocity that persists): D runs from the value of
  single moves to that of many, and stays there. Then the value on that plateau is the macroscopic one.
"""

from dataclasses import dataclass

import jax
import numpy as np

from dftopt.errors import InputError
from dftopt.macro.partial_evolution import block_of, corners, evolve, factor_of
from dftopt.macro.simulator import as_simulator

LAGS = (0.25, 0.5, 1.0, 2.0, 4.0)
TOLERANCE = 0.03


@dataclass(frozen=True)
class LagReport:
    """What `lag_check` measured.

    Args:
        lags: (5,) in the simulator's time unit; the third is dt.
        diffusion: (5,) mean over snapshots and coordinates of D(lag), relative to that at dt.
        diffusion_error: (5,) standard errors.
        drift: (5,) the component of b(lag) along b, relative to that at dt.
        drift_error: (5,) standard errors.
        diffusion_bias: D(dt) / D(0) - 1, and its standard error.
        drift_bias: b(dt) / b(0) - 1, and its standard error.
        exact: D(0) and b(0) are from explicit rates, not extrapolated.
        message: empty if the time step may stay.
    """

    lags: np.ndarray
    diffusion: np.ndarray
    diffusion_error: np.ndarray
    drift: np.ndarray
    drift_error: np.ndarray
    diffusion_bias: tuple[float, float]
    drift_bias: tuple[float, float]
    exact: bool
    message: str


def lag_check(
    sim,
    states,
    *,
    patch: int | None = None,
    dt: float,
    seed: int = 0,
    snapshots: int | None = None,
    replicas: int | None = None,
) -> LagReport:
    """Measure the bias of a time step.

    Args:
        sim: a simulator.
        states: microscopic snapshots (S, ...), of which `snapshots` are used.
        patch: edge of the patch, as in `macro.sample`.
        dt: the time step, in the simulator's unit.
        seed: whole number.
        snapshots: how many are used; default 256 of a lattice, 64 where there is none.
        replicas: of each, even; default 64 or 32.

    Returns:
        The report.

    Raises:
        InputError: a patch that does not fit, or replicas that cannot be halved.
    """
    sim = as_simulator(sim)
    block = block_of(sim, patch)
    factor = factor_of(sim, block)
    lattice = bool(getattr(sim, "sites", ()))
    snapshots = snapshots or (256 if lattice else 64)
    replicas = replicas or (64 if lattice else 32)
    if replicas < 4 or replicas % 2:
        raise InputError(f"replicas = {replicas} must be even and at least 4: two halves are compared.")
    S = len(jax.tree.leaves(states)[0])
    rng = np.random.default_rng([seed, 3])
    used = rng.choice(S, snapshots, replace=S < snapshots)
    states = jax.tree.map(lambda a: a[used], states)
    where = np.zeros((snapshots, 1, 0), int) if block is None else corners(sim, block, snapshots, 1, seed + 1)
    rates = hasattr(sim, "events") and not getattr(sim, "correlated", False)
    D, halves = [], []
    for i, lag in enumerate(LAGS):
        z0, z1, sums, _ = evolve(
            sim,
            states,
            where,
            (seed, 100 + i),
            lag * dt,
            factor,
            block=block,
            replicas=replicas,
            batch=8,
            rates=rates,
            keep=False,
        )
        away = np.asarray(z1)[:, 0] - np.asarray(z0)[:, None]
        D.append(away.var(1, ddof=1) / (factor * lag * dt))
        halves.append(away.reshape(snapshots, 2, -1, away.shape[-1]).mean(2) / (lag * dt))
    D0, b0 = (np.einsum("sii->si", np.asarray(sums[1])[:, 0]), np.asarray(sums[0])[:, 0]) if rates else (None, None)
    return _report(np.array(D), np.array(halves), D0, b0, dt)


def _report(D, halves, D0, b0, dt):
    """From D (lags, S, d), halves of b (lags, S, 2, d), and their exact values (S, d) or None."""
    lags = np.array(LAGS)
    scale = D.mean((0, 1)) + 1e-300
    noise = (D / scale).mean(-1).T  # (S, lags)
    b = halves.mean(2) / np.sqrt(scale)
    reference = halves[-1] / np.sqrt(scale)  # the longest lag is the least noisy
    along = np.einsum("lsd,sd->sl", b, reference[:, 0])
    along[:, -1] = np.einsum("sd,sd->s", reference[:, 1], reference[:, 0])
    exact = D0 is not None
    if exact:
        along = np.einsum("lsd,sd->sl", b, b0 / np.sqrt(scale))
        noise0, along0 = (D0 / scale).mean(-1), np.einsum("sd,sd->s", b0, b0 / scale)
    fit = np.linalg.pinv(np.vander(lags, 3, increasing=True))  # quadratic in the lag
    at_dt, at_0 = np.ones(3) @ fit, fit[0]
    one = np.eye(len(lags))[2]
    D_bias = _ratio(noise @ one, noise0) if exact else _ratio(noise @ at_dt, noise @ at_0)
    b_bias = _ratio(along @ one, along0) if exact else _ratio(along @ at_dt, along @ at_0)
    table = [_ratio(noise[:, i], noise @ one) for i in range(len(lags))]
    drift = [_ratio(along[:, i], along @ one) for i in range(len(lags))]
    message = ""
    if max(_excess(D_bias), _excess(b_bias)) > 0:
        numbers = ", ".join(f"{1 + value:.3f} at {lag * dt:.3g}" for lag, (value, _) in zip(lags, table, strict=True))
        message = (
            f"The time step dt = {dt:.4g} biases what is learned: diffusion by {_percent(D_bias)}, drift by "
            f"{_percent(b_bias)} against {'the explicit rates' if exact else 'the limit of short steps'}. Diffusion over "
            f"several lags, relative to dt: {numbers}. If it changes in proportion to the lag, the step is too long against a "
            "sweep of the patch: shorten dt. If it levels off at long lags, microscopic moves are correlated, and the level is "
            "the macroscopic value: take dt from there."
        )
    return LagReport(
        lags * dt,
        np.array([1 + value for value, _ in table]),
        np.array([error for _, error in table]),
        np.array([1 + value for value, _ in drift]),
        np.array([error for _, error in drift]),
        D_bias,
        b_bias,
        exact,
        message,
    )


def _ratio(a, b):
    """mean(a) / mean(b) - 1 and its standard error, from values per snapshot; unknown where b is lost in its noise."""
    if b.mean() < 4 * b.std(ddof=1) / np.sqrt(len(b)):
        return 0.0, np.inf
    r = a.mean() / b.mean()
    error = (a - r * b).std(ddof=1) / np.sqrt(len(a)) / b.mean()
    return float(r - 1), float(error)


def _excess(bias):
    """Positive where a bias is beyond the tolerance and beyond doubt."""
    value, error = bias
    return min(abs(value) - TOLERANCE, abs(value) - 3 * error)


def _percent(bias):
    return f"{100 * bias[0]:+.1f} +- {100 * bias[1]:.1f} %" if np.isfinite(bias[1]) else "less than its noise"
