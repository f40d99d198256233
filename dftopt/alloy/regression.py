"""Linear regression with a prior and grouped cross-validation: ridge, LASSO and automatic relevance determination."""

from dataclasses import dataclass

import numpy as np

from dftopt.errors import InputError

METHODS = ("ridge", "lasso", "ard")
RIDGE = 10.0 ** np.arange(-9, 1.01, 0.5)
LASSO = 10.0 ** np.arange(-6, -1.99, 0.25)  # of the largest correlation with the target
SIZES = 30  # resampled fits of the uncertainty of LASSO


@dataclass(frozen=True, eq=False)
class Regression:
    """A fit.

    Args:
        coefficients: (C,).
        covariance: (C, C) of their posterior, or of resampled fits for LASSO.
        strength: of the prior: the ridge or LASSO parameter chosen by cross-validation; NaN for ARD.
        cv_rmse: root mean square error of each row predicted from the other folds.
        cv_predictions: (rows,) these predictions.
        rmse: of the rows fitted.
        fold: (rows,) the fold of each row.
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    strength: float
    cv_rmse: float
    cv_predictions: np.ndarray
    rmse: float
    fold: np.ndarray


def groups_of(X: np.ndarray) -> np.ndarray:
    """(rows,) labels, the same for rows that are equal to 1e-8: configurations that the model cannot tell apart."""
    return np.unique(np.round(X, 8) + 0.0, axis=0, return_inverse=True)[1].reshape(-1)


def folds_of(groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(rows,) fold of each row: whole groups, dealt out at random.

    Raises:
        InputError: fewer groups than folds, or fewer than two folds.
    """
    labels = np.unique(groups)
    if folds < 2 or folds > len(labels):
        raise InputError(
            f"folds = {folds}: cross-validation needs at least 2 and at most as many folds as there are different "
            f"configurations, {len(labels)}."
        )
    fold = np.empty(len(labels), int)
    fold[np.random.default_rng([seed, 10]).permutation(len(labels))] = np.arange(len(labels)) % folds
    return fold[np.searchsorted(labels, groups)]


def regress(X, y, free, method="ridge", folds=10, seed=0) -> Regression:
    r"""Coefficients of $y = X c$ with a prior on all but the `free` columns.

    ridge: $\min |y - Xc|^2 + \lambda N \sum c^2$. lasso: $\min |y - Xc|^2/2 + \lambda \sum |c|$. ard: a Gaussian prior of its
    own width for each coefficient and the noise, all from the evidence. $\lambda$ is that of the least cross-validated error.

    Args:
        X: (rows, C).
        y: (rows,).
        free: (C,) booleans: columns without a prior (the constant and the points).
        method: one of the three.
        folds: of the cross-validation; equal rows are in one fold.
        seed: of the folds.

    References:
        MacKay, Neural Comput. 4, 415 (1992); Tipping, J. Mach. Learn. Res. 1, 211 (2001).
    """
    if method not in METHODS:
        raise InputError(f"method = {method!r} is unknown; valid: {', '.join(METHODS)}.")
    groups = groups_of(X)
    fold = folds_of(groups, folds, seed)
    if method == "ard":
        held = np.empty(len(y))
        for k in range(folds):
            held[fold == k] = X[fold == k] @ _ard(X[fold != k], y[fold != k], free)[0]
        coefficients, covariance = _ard(X, y, free)
        strength = np.nan
    else:
        path = _ridge_path if method == "ridge" else _lasso_path
        strengths = RIDGE if method == "ridge" else LASSO * abs(X.T @ y).max()
        every = np.empty((len(strengths), len(y)))
        for k in range(folds):
            every[:, fold == k] = path(X[fold != k], y[fold != k], free, strengths) @ X[fold == k].T
        best = int(np.sqrt(np.mean((every - y) ** 2, 1)).argmin())
        held, strength = every[best], float(strengths[best])
        coefficients = path(X, y, free, strengths[: best + 1] if method == "ridge" else strengths[best:])[
            -1 if method == "ridge" else 0
        ]
    cv_rmse = float(np.sqrt(np.mean((held - y) ** 2)))
    if method == "ridge":
        # the noise is the error on unseen rows: what is left in the fitted ones would be too small
        precision = X.T @ X + strength * len(y) * np.diag(np.where(free, 0.0, 1.0))
        covariance = cv_rmse**2 * _inverse(precision)
    elif method == "lasso":
        rng = np.random.default_rng([seed, 11])
        labels = np.unique(groups)
        samples = []
        for _ in range(SIZES):
            weight = np.bincount(rng.integers(len(labels), size=len(labels)), minlength=len(labels))[groups]
            rows = np.repeat(np.arange(len(y)), weight)
            samples.append(_lasso_path(X[rows], y[rows], free, np.array([strength]), start=coefficients)[0])
        covariance = np.cov(np.array(samples).T)
    rmse = float(np.sqrt(np.mean((X @ coefficients - y) ** 2)))
    return Regression(coefficients, covariance, strength, cv_rmse, held, rmse, fold)


def _inverse(a):
    """Inverse of a positive matrix, with a floor for directions that nothing determines."""
    values, vectors = np.linalg.eigh(a)
    return (vectors / np.maximum(values, 1e-13 * values[-1])) @ vectors.T


def _ridge_path(X, y, free, strengths):
    """(strengths, C)."""
    penalty = np.diag(np.where(free, 0.0, 1.0)) * len(y)
    gram, target = X.T @ X, X.T @ y
    tiny = 1e-13 * np.trace(gram) * np.eye(len(gram))
    return np.array([np.linalg.solve(gram + s * penalty + tiny, target) for s in strengths])


def _lasso_path(X, y, free, strengths, start=None):
    """(strengths, C) by coordinate descent on the normal equations, from the strongest to the weakest."""
    gram, target = X.T @ X, X.T @ y
    out = np.empty((len(strengths), X.shape[1]))
    c = np.zeros(X.shape[1]) if start is None else start.copy()
    diagonal = np.diag(gram).copy()
    used = np.flatnonzero(diagonal > 1e-12 * diagonal.max())
    for i in np.argsort(-strengths, kind="stable"):
        threshold = np.where(free, 0.0, strengths[i])
        for _ in range(500):
            before = c.copy()
            for j in used:
                r = target[j] - gram[j] @ c + diagonal[j] * c[j]
                c[j] = np.sign(r) * max(abs(r) - threshold[j], 0) / diagonal[j]
            if abs(c - before).max() < 1e-6 * max(abs(c).max(), 1e-12):
                break
        out[i] = c
    return out


def _ard(X, y, free, iterations=300):
    """Coefficients and covariance by the fixed point of the evidence; columns whose prior closes are dropped."""
    n, m = X.shape
    gram, target = X.T @ X, X.T @ y
    noise = max(np.var(y) * 0.01, 1e-20)
    widths = np.where(free, 1e12, np.var(y) + 1e-20)  # prior variance
    active = np.diag(gram) > 1e-12
    for _ in range(iterations):
        a = np.flatnonzero(active)
        covariance = np.linalg.inv(gram[np.ix_(a, a)] / noise + np.diag(1 / widths[a]))
        mean = covariance @ target[a] / noise
        determined = np.clip(1 - np.diag(covariance) / widths[a], 1e-12, 1)
        new = widths.copy()
        new[a] = np.where(free[a], 1e12, mean**2 / determined)
        residual = y - X[:, a] @ mean
        noise = max(residual @ residual / max(n - determined.sum(), 1), 1e-20)
        change = abs(np.log(np.maximum(new[a], 1e-30) / widths[a])).max()
        widths = np.maximum(new, 1e-30)
        active &= free | (widths > 1e-10 * np.max(widths[a][~free[a]], initial=0))
        if change < 1e-4:
            break
    out, full = np.zeros(m), np.zeros((m, m))
    out[a], full[np.ix_(a, a)] = mean, covariance
    return out, full
