r"""What the likelihood of increments needs of them: sums over the rows of each snapshot.

A row of snapshot z (`dftopt.macro.data`) has replicas $z_1 \sim N(z + b_I\,dt,\; K\Sigma\,dt)$ with $b_I$ the drift that the
patch I sees. K is known, so the covariance of an amplified increment holds no number to be tuned. Rows of one snapshot
share z, hence b and $\Sigma$: mean and scatter of theirs are sufficient, and the log-likelihood of the snapshot is

$$ -\tfrac12 (\bar b - b)^T C^{-1} (\bar b - b) - \tfrac12 \ln\det C - \tfrac w2 [\ln\det\Sigma + \mathrm{tr}\,\Sigma^{-1}\bar D], $$

- replicas (R >= 2): $\bar D$ is their scatter, w its degrees of freedom, $C = \Sigma / \sum (R\,dt/K) + C_0$; the spread of
  $b_I$ over patches is in neither. C only weighs: no gradient of $\Sigma$ passes through it.
- no replicas: the plain likelihood of the rows, $C = \Sigma / \sum (dt/K)$, whose gradient is taken.
- explicit rates: $\bar b$ and $\bar D$ have no noise of time steps; $C = C_0$ is their spread around a cubic polynomial,
  and w = 2 / (relative variance of $\bar D$), the degrees of freedom of a scatter of that accuracy.
"""

from dataclasses import dataclass, field
from itertools import combinations_with_replacement

import numpy as np

from dftopt.errors import InputError
from dftopt.macro.data import Increments

FLOOR = 0.01  # of the rms drift: no network of this size is meant to be more accurate than that
MOST_FREEDOM = 500.0


@dataclass(frozen=True)
class Statistics:
    """Sums over the rows of S snapshots, in the user's units.

    Args:
        z: (S, d) states.
        q: (S, p) those external parameters that vary.
        parameter_names: theirs.
        b: (S, d) mean drift.
        a: (S,) such that the covariance of b is a Sigma + C0.
        D: (S, d, d) scatter per unit time.
        w: (S,) its degrees of freedom.
        C0: (d, d).
        full: no replicas: the gradient of C is taken.
        group: (S,) trajectories, that are kept together.
        absorbing: of the data; snapshots of a system that has died out are left out.
        h: (S,) time step of rows that evolve the whole system, over which the equation has to be followed; 0 of others.
    """

    z: np.ndarray
    q: np.ndarray
    parameter_names: tuple[str, ...]
    b: np.ndarray
    a: np.ndarray
    D: np.ndarray
    w: np.ndarray
    C0: np.ndarray
    full: bool
    group: np.ndarray
    absorbing: tuple[int, ...] = ()
    h: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.z)

    def of(self, index) -> "Statistics":
        """Those of some snapshots."""
        own = {name: getattr(self, name)[index] for name in ("z", "q", "b", "a", "D", "w", "group", "h")}
        rest = {name: getattr(self, name) for name in ("parameter_names", "C0", "full", "absorbing")}
        return Statistics(**own, **rest)


def statistics(data: Increments) -> Statistics:
    """Collect the rows of each snapshot.

    Raises:
        InputError: too few snapshots for the number of coordinates; a diffusion that is singular.
    """
    d = data.dimension
    data = data.rows(alive(data.absorbing, data.z0))
    used, place, rows = np.unique(data.snapshot, return_inverse=True, return_counts=True)
    total = lambda x: _sum(place, x, len(used))
    z, q = data.states[used], np.asarray(data.parameters)[used]
    varies = np.ptp(q, axis=0) > 0
    q, names = q[:, varies], tuple(n for n, v in zip(data.parameter_names, varies, strict=True) if v)
    _enough(len(used), d, q.shape[1])
    assert data.b_hat is not None  # sample and from_trajectories give it
    a: np.ndarray = np.zeros(len(used))
    w: np.ndarray = np.ones(len(used))
    if data.estimator == "rates":
        b, D = total(data.b_hat) / rows[:, None], total(data.D_hat) / rows[:, None, None]
    else:
        R = data.replicas
        weight = R * data.dt / data.factor
        sums = total(weight)
        b = total(weight[:, None] * data.b_hat) / sums[:, None]
        a = 1 / sums
        if R > 1:
            w = (R - 1.0) * rows
            D = (R - 1) * total(data.D_hat) / w[:, None, None]
        else:
            away = data.b_hat - b[place]
            w = 1.0 * rows - 1
            D = total(weight[:, None, None] * np.einsum("mi,mj->mij", away, away)) / np.maximum(w, 1)[:, None, None]
    full = data.estimator != "rates" and data.replicas == 1
    alone = data.estimator != "rates" and bool((data.factor == 1).all())  # an amplified increment is that of a patch
    h = total(data.dt) / rows if alone and not data.absorbing else np.zeros(len(used))
    scatter = D if not full else D + np.einsum("si,sj->sij", b, b) / a[:, None, None]  # singular where nothing moves
    _not_singular(scatter.mean(0), z, data.names)
    # rates vanish with the activity, and so does the variance of what the coordinates leave open
    first = z[:, data.absorbing[0]] / z[:, data.absorbing[0]].std() if data.absorbing else np.ones(len(z))
    trend, residual = _cubic(per_activity(data.absorbing, z), q, b / np.sqrt(first)[:, None], np.sqrt(first))
    size = np.sqrt((trend**2).mean(0)) + 1e-300
    C0 = np.diag((FLOOR * size) ** 2)
    if data.estimator == "rates":
        C0 = C0 + np.cov(residual.T).reshape(d, d)
        D1 = D / first[:, None, None]
        relative = np.einsum("sii,i->s", D1, 1 / np.einsum("sii->i", D1) * len(D)) / d
        left = _cubic(per_activity(data.absorbing, z), q, relative[:, None], np.ones(len(z)))[1]
        w = w * min(max(2 / (left.var() + 1e-12), 1.0), MOST_FREEDOM)
    group = data.trajectory[used]
    if len(np.unique(group)) < 5:  # time blocks of long trajectories
        group = np.arange(len(used)) * 20 // len(used)
    return Statistics(z, q, names, b, a, D, w, C0, full, group, data.absorbing, h)


def alive(absorbing: tuple[int, ...], z: np.ndarray) -> np.ndarray:
    """(m,) states z (m, d) that have not died out."""
    return z[:, absorbing[0]] > 0 if absorbing else np.ones(len(z), bool)


def per_activity(absorbing: tuple[int, ...], z: np.ndarray) -> np.ndarray:
    """Coordinates (S, d), the absorbing ones but the first divided by it."""
    out = z.copy()
    for i in absorbing[1:]:
        out[:, i] /= z[:, absorbing[0]]
    return out


def features(x: np.ndarray, degree: int = 3) -> np.ndarray:
    """Monomials (S, F) of x (S, k) up to a degree."""
    columns = [np.ones(len(x))]
    for order in range(1, degree + 1):
        columns += [
            np.prod(x[:, pick], 1) for pick in map(list, combinations_with_replacement(range(x.shape[1]), order))
        ]
    return np.stack(columns, 1)


def standard(x: np.ndarray) -> np.ndarray:
    """Columns of x (S, k) with mean 0 and variance 1; columns that do not vary become 0."""
    spread = x.std(0)
    return (x - x.mean(0)) / np.where(spread > 0, spread, 1)


def _cubic(z, q, b, factor):
    """Drift b (S, d) by `factor` times a cubic polynomial of z and q, and what is left."""
    F = features(standard(np.concatenate([z, q], 1))) * factor[:, None]
    fit = F @ np.linalg.lstsq(F, b, rcond=1e-8)[0]
    return fit, b - fit


def _sum(place, x, count):
    out = np.zeros((count, *x.shape[1:]))
    np.add.at(out, place, x)
    return out


def _enough(count, d, p):
    needed = 20 * (1 + d + p + d * (d + 1) // 2)
    if count < needed:
        raise InputError(
            f"{count} snapshots are too few to learn drift and diffusion in {d} coordinates{f' and {p} parameters' if p else ''}: "
            f"at least {needed} are needed. Sample more trajectories, or more times of each."
        )


def _not_singular(D, z, names):
    spread = z.std(0)
    if (spread == 0).any():
        i = int(np.argmin(spread))
        raise InputError(
            f"Coordinate {_name(names, i)} never changes: it is {z[0, i]:g} in every snapshot. Leave it out."
        )
    scaled = D / np.outer(spread, spread)
    size = np.sqrt(np.maximum(np.diagonal(scaled), 1e-300))
    values, vectors = np.linalg.eigh(scaled / np.outer(size, size))
    if np.diagonal(scaled).min() <= 0 or values[0] < 1e-8:
        vector = vectors[:, 0] if np.diagonal(scaled).min() > 0 else np.eye(len(D))[np.argmin(np.diagonal(scaled))]
        along = " + ".join(f"{v:.2f} {_name(names, i)}" for i, v in enumerate(vector) if abs(v) > 0.05)
        raise InputError(
            f"The diffusion is singular: nothing is random along {along} (in units of their spread). A density does not exist "
            "then. Leave out a coordinate that the others determine, or one that moves without noise."
        )


def _name(names, i):
    return names[i] if i < len(names) else f"{i}"
