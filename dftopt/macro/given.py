"""What observables say of the components of a state: functions of them, and components freed of these.

A coordinate that is learned next to an observable must not repeat it. Functions of one observable are piecewise linear, so
that no bend is left over; of several, polynomials of the second degree.
"""

import numpy as np

from dftopt.macro.statistics import features as monomials

KNOTS = 8  # of functions of one observable, twice


def functions(of_z, z: np.ndarray) -> np.ndarray:
    """Orthonormal functions (..., Q) of observables z (..., d), the constant among them."""
    centre, spread, L, knots = of_z
    flat = z.reshape(-1, z.shape[-1])
    values = hats(flat[:, 0], knots) if len(knots) else monomials((flat - centre) / spread, 2)
    return np.linalg.solve(L, values.T).T.reshape(*z.shape[:-1], -1)


def hats(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Values (S, Q) of the piecewise linear functions that are 1 at one knot and 0 at all others; constant beyond the ends."""
    return np.stack([np.interp(x, knots, one) for one in np.eye(len(knots))], 1)


def basis(z):
    """Centre, spread, factor and knots: for one observable half of these at quantiles, half evenly over the range."""
    centre, spread, knots = z.mean(0), z.std(0), np.zeros(0)
    if z.shape[1] == 1:
        low, high = np.quantile(z, [0.005, 0.995])
        both = np.concatenate([np.quantile(z, np.linspace(0.005, 0.995, KNOTS)), np.linspace(low, high, KNOTS)])
        knots = np.unique(both[np.argsort(both)])
        knots = knots[np.concatenate([[True], np.diff(knots) > 0.2 * (high - low) / KNOTS])]
    Q = hats(z[:, 0], knots) if len(knots) else monomials((z - centre) / spread, 2)
    return centre, spread, np.linalg.cholesky(Q.T @ Q / len(Q) + 1e-6 * np.eye(Q.shape[1])), knots


def weights(of_z, z: np.ndarray) -> np.ndarray:
    """Nearness (..., Q) of observables z (..., d) to the knots, summing to 1; one for all z where there are none."""
    knots = of_z[3]
    return hats(z[..., 0].ravel(), knots).reshape(*z.shape[:-1], -1) if len(knots) else np.ones((*z.shape[:-1], 1))


def freed(x: np.ndarray, z: np.ndarray, of_z, given) -> np.ndarray:
    """Components x (..., P) freed of what z (..., d) says of them, and turned."""
    mean, variance, turn = given
    return (x - functions(of_z, z) @ mean) / np.sqrt(weights(of_z, z) @ variance) @ turn


def what_is_given(of_z, z, x, z1, x1) -> tuple[np.ndarray, ...]:
    """Mean and variance of components x (m, P) given z (m, d), and the turn to the slowest first; x1 (m, R, P) are later."""
    psi, w = functions(of_z, z), weights(of_z, z)
    mean = psi.T @ x / len(x)
    variance = w.T @ (x - psi @ mean) ** 2 / (w.sum(0)[:, None] + 1e-300) + 1e-8
    given = mean, variance, np.eye(x.shape[1])
    before, after = freed(x, z, of_z, given), freed(x1, z1, of_z, given)
    change = (after - before[:, None]).reshape(-1, x.shape[1])
    spread = np.linalg.cholesky(np.cov(before.T).reshape(x.shape[1], -1) + 1e-6 * np.eye(x.shape[1]))
    back = np.linalg.inv(spread)
    turn = np.linalg.eigh(back @ (change.T @ change) @ back.T)[1]
    return mean, variance, back.T @ turn
