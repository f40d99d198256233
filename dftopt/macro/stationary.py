"""Long times of a learned equation: its stationary density and its relaxation times."""

import numpy as np
from scipy.linalg import eigh, eigh_tridiagonal
from scipy.stats import gaussian_kde

from dftopt.errors import InputError
from dftopt.macro.statistics import features, standard

GRID = {1: 2000, 2: 160, 3: 48}
MARGIN = 1.0  # of the spread, around the data


def stationary_density(fit, Z, parameters=None, seed: int = 0) -> np.ndarray:
    r"""Stationary density p(z) at points (batch, d), normalized over the region of the data and a margin of one spread.

    One coordinate: $p \propto \Sigma^{-1} \exp \int 2 b / \Sigma$, exact for the learned equation in every form. The form
    "fdr" in up to three: $e^{-V/T}$. Else a kernel density of simulated states.

    Raises:
        InputError: as `fit.drift`.
    """
    Z = np.atleast_2d(np.asarray(Z, float))
    d = fit.dimension
    fit.scaled(Z, parameters)
    if d == 1:
        axis = _axes(fit, Z)[0]
        b, D = fit.drift(axis[:, None], parameters)[:, 0], fit.diffusion(axis[:, None], parameters)[:, 0, 0]
        slope = 2 * b / D
        log_p = np.concatenate([[0], np.cumsum(0.5 * (slope[1:] + slope[:-1]) * np.diff(axis))]) - np.log(D)
        p = np.exp(log_p - log_p.max())
        return np.interp(Z[:, 0], axis, p / np.trapezoid(p, axis))
    if fit.model.form == "fdr" and d in GRID:
        axes = _axes(fit, Z)
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, d)
        V = fit.potential(points, parameters)
        cell = np.prod([a[1] - a[0] for a in axes])
        return np.exp(-(fit.potential(Z, parameters) - V.min()) / fit.temperature) / (
            cell * np.exp(-(V - V.min()) / fit.temperature).sum()
        )
    return gaussian_kde(long_run(fit, parameters, seed)[:, ::5].reshape(-1, d).T)(Z.T)


def relaxation_times(fit, parameters=None, count: int = 3, seed: int = 0) -> np.ndarray:
    r"""The `count` slowest relaxation times.

    One coordinate: eigenvalues of the generator $p^{-1} \partial (\tfrac12 \Sigma p\, \partial)$ on a grid. Else from
    correlations in time of cubic polynomials of simulated stationary states: the generalized eigenvalues l of the
    correlations at a lag of about the slowest time give the times -lag / ln l, which is a lower bound.

    Args:
        fit: a fit.
        parameters: external parameters.
        count: how many.
        seed: whole number.

    Raises:
        InputError: parameters missing, or more times asked for than there are polynomials.
    """
    if fit.dimension == 1:
        axis = _axes(fit, fit.states[:1])[0]
        p = stationary_density(fit, axis[:, None], parameters) + 1e-300
        D = fit.diffusion(axis[:, None], parameters)[:, 0, 0]
        flow = 0.25 * (D[1:] + D[:-1]) / (axis[1] - axis[0]) ** 2  # times sqrt(p p') between two cells
        up, down = flow * np.sqrt(p[1:] / p[:-1]), flow * np.sqrt(p[:-1] / p[1:])
        rates = eigh_tridiagonal(
            np.append(up, 0) + np.append(0, down), -flow, True, select="i", select_range=(1, count)
        )
        return 1 / np.sort(rates)
    paths = long_run(fit, parameters, seed)
    F = features(standard(paths.reshape(-1, fit.dimension)))[:, 1:]
    if count > F.shape[1]:
        raise InputError(f"count = {count}: cubic polynomials in {fit.dimension} coordinates give {F.shape[1]} times.")
    F = (F - F.mean(0)).reshape(*paths.shape[:2], -1)
    lag, times = 5, np.zeros(count)
    for _ in range(2):
        first, later = F[:, :-lag].reshape(-1, F.shape[-1]), F[:, lag:].reshape(-1, F.shape[-1])
        C0 = (first.T @ first + later.T @ later) / (2 * len(first))
        C1 = (first.T @ later + later.T @ first) / (2 * len(first))
        values = eigh(C1, C0 + 1e-9 * np.trace(C0) * np.eye(len(C0)), eigvals_only=True)[::-1][:count]
        times = -lag / np.log(np.clip(values, 1e-6, 1 - 1e-9))
        lag = int(np.clip(times[0], 1, F.shape[1] // 2))
    return times * _interval(fit, parameters)


def long_run(fit, parameters=None, seed: int = 0, n: int = 500, records: int = 200) -> np.ndarray:
    """Simulated states (n, records, d) from states of the data, the first half of the time left out."""
    rng = np.random.default_rng([seed, 6])
    start = fit.states[rng.choice(len(fit.states), n)]
    times = _interval(fit, parameters) * np.arange(2 * records)
    return fit.simulate(start, times, n, seed, parameters=parameters)[:, records:]


def _interval(fit, parameters):
    """A fifth of the time in which the slowest linear motion around the data decays."""
    from dftopt.macro.dynamics import slopes

    values = -np.linalg.eigvals(slopes(fit, fit.scaled_parameters(parameters)).mean(0)).real
    return 0.2 * fit.scales.time / max(values.min(), 0.1)


def _axes(fit, Z):
    low = np.minimum(fit.states.min(0) - MARGIN * fit.scales.spread, Z.min(0))
    high = np.maximum(fit.states.max(0) + MARGIN * fit.scales.spread, Z.max(0))
    return [np.linspace(a, b, GRID[fit.dimension]) for a, b in zip(low, high, strict=True)]
