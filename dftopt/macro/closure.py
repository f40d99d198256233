r"""Closure: coordinates learned next to the observables, so that together they obey an equation of their own.

The encoder sees features of a microscopic state: those the simulator offers (`features(state) -> (F,)`, invariant under the
symmetries of the problem), else the state itself as one row of numbers. They are reduced to principal components x, and the
learned coordinates are $u = W [x_{1..k} + r(x) - p(z)]$ with r a small residual network, zero at the start: training begins
from the principal components. On a lattice x + r belongs to a patch, and that of the whole system is the mean over the
patches that tile it: invariant under permutations and translations of patches by construction, and a partial evolution
changes one term of it. p is the polynomial of the observables z that is nearest over the data, and W is such that u has
covariance 1, at every step of training: what the observables say already, the scale and the rotation of u are then no freedom
by which a likelihood could grow without meaning.

Trained is, together, the likelihood of the increments of z and of u under an equation without structure (noise of z and u
independent: a u that repeats z gains nothing), and the error of a decoder that recovers the components x from z and u. With
u of unit variance, high likelihood means increments of small noise: slow coordinates. The equation is thrown away;
`macro.fit` learns its own on the coordinates found. The number k is chosen by what matters in the end: the held-out likelihood of
the observables alone given (z, u), which can be compared between numbers (`choose_closure`).

References:
    Chen et al., arXiv 2308.04119 (PCA-ResNet); arXiv 2511.12842 (averages over patches).
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dftopt.errors import InputError
from dftopt.macro import checks
from dftopt.macro.data import Increments, rolled
from dftopt.macro.networks import Layers, apply, cholesky, network, solve_lower
from dftopt.macro.onsager import Model, drift, initial, sigma
from dftopt.macro.statistics import features

COMPONENTS = 12
STEPS, BATCH, RATE, WIDTH = 1500, 512, 3e-3, 32
RECONSTRUCTION = 0.5  # weight of the decoder's error, each component of unit variance


@dataclass(frozen=True)
class Closure:
    """An encoder.

    Args:
        mean: (F,) of the features.
        components: (P, F) principal components, each scaled to unit variance of patches.
        layers: residual network P -> k.
        of_z: centre, spread (d,) and triangular factor (Q, Q) of the orthonormal polynomials of the observables.
        slope: (Q, k) what is taken off of these.
        factor: (k, k) lower triangular, W its inverse.
        explained: share of the variance of the features that the P components hold.
        recovered: share of the variance of the components that the decoder recovers on held-out data.
        log_likelihood: held-out, per row, of the observables' increments.
        error: its standard error over trajectories.
        block: sites per axis of the patches it sees; None: the whole system.
    """

    mean: np.ndarray
    components: np.ndarray
    layers: Layers
    of_z: tuple[np.ndarray, np.ndarray, np.ndarray]
    slope: np.ndarray
    factor: np.ndarray
    explained: float
    recovered: float
    log_likelihood: float
    error: float
    block: tuple[int, ...] | None = None

    def coordinates(self, z: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Learned coordinates (S, k) from observables z (S, d) and features (S, K, F) of the K patches."""
        x = (np.asarray(features, float) - self.mean) @ self.components.T
        e = np.asarray(_encode_all(self.layers, jnp.asarray(x.reshape(-1, x.shape[-1])), len(self.factor)))
        e = e.reshape(*x.shape[:-1], -1).mean(1) - polynomials(self.of_z, z) @ self.slope
        return np.linalg.solve(self.factor, e[..., None])[..., 0]


def polynomials(of_z, z: np.ndarray) -> np.ndarray:
    """Orthonormal polynomials (..., Q) of observables z (..., d), the constant among them."""
    centre, spread, L = of_z
    flat = ((z - centre) / spread).reshape(-1, z.shape[-1])
    return np.linalg.solve(L, features(flat, 3 if z.shape[-1] == 1 else 2).T).T.reshape(*z.shape[:-1], -1)


def _basis(z):
    centre, spread = z.mean(0), z.std(0)
    Q = features((z - centre) / spread, 3 if z.shape[1] == 1 else 2)
    return centre, spread, np.linalg.cholesky(Q.T @ Q / len(Q) + 1e-9 * np.eye(Q.shape[1]))


def features_of(state, function, axes: int) -> np.ndarray:
    """Features (*axes, F) of states with `axes` leading axes: those of `function`, else the states as rows of numbers."""
    leaves = [np.asarray(a) for a in jax.tree.leaves(state)]
    lead = leaves[0].shape[:axes]
    if function is None:
        return np.concatenate([a.reshape(*lead, -1).astype(float) for a in leaves], -1)
    flat = jax.tree.map(lambda a: jnp.asarray(a).reshape(-1, *a.shape[axes:]), state)
    return np.asarray(_features(function, flat)).reshape(*lead, -1)


@partial(jax.jit, static_argnums=0)
def _features(function, states):
    return jax.vmap(function)(states)


@dataclass(frozen=True)
class _Rows:
    """Features, or their components, of snapshots and of evolved patches.

    Args:
        x0: (S, K, F) of the K patches of each snapshot.
        which: (m,) the patch of the snapshot that evolved.
        x1: (m, R, F) after.
    """

    x0: np.ndarray
    which: np.ndarray
    x1: np.ndarray


def _features_of_rows(data: Increments) -> _Rows:
    if data.snapshots is None:
        raise InputError("A closure needs microscopic states: macro.sample(..., snapshots=True) keeps them.")
    if data.block is None:
        before = features_of(data.snapshots, data.features, 1)[:, None]
        return _Rows(before, np.zeros(len(data), int), features_of(data.evolved, data.features, 2))
    _, first = np.unique(data.snapshot, return_index=True)
    if data.corner is None or len(first) < len(data.states):
        raise InputError("A closure needs rows from every snapshot: learn it before rows are picked.")
    corner = data.corner[first]  # the tiles of a snapshot share the shift of its first row
    sites, block = np.array(data.sites), np.array(data.block)
    offset = (data.corner - corner[data.snapshot]) % sites
    if (offset % block).any():
        raise InputError("The patches of a snapshot do not tile it: leave patches= of macro.sample at its default.")
    before = features_of(data.tiles(rolled(data.snapshots, corner)), data.features, 2)
    inner = data.evolved[(slice(None), slice(None), *(slice(b) for b in data.block))]
    which = np.ravel_multi_index(tuple((offset // block).T), tuple(sites // block))
    return _Rows(before, which, features_of(inner, data.features, 2))


def _components(data: Increments) -> tuple[_Rows, np.ndarray, np.ndarray, float]:
    """Principal components of the rows; mean (F,), components (P, F) and the variance they explain."""
    rows = _features_of_rows(data)
    flat = rows.x0.reshape(-1, rows.x0.shape[-1])
    mean = flat.mean(0)
    values, vectors = np.linalg.eigh(np.cov(flat.T).reshape(len(mean), len(mean)))
    order = [i for i in np.argsort(values)[::-1][:COMPONENTS] if values[i] > 1e-10 * values.max()]
    components = vectors[:, order].T / np.sqrt(values[order])[:, None]
    return _project(rows, mean, components), mean, components, float(values[order].sum() / values.sum())


def _project(rows: _Rows, mean, components) -> _Rows:
    return _Rows((rows.x0 - mean) @ components.T, rows.which, (rows.x1 - mean) @ components.T)


def learn(data: Increments, k: int, seed: int = 0) -> tuple[Closure | None, Increments]:
    """Learn k coordinates, and write the data in them.

    Args:
        data: with microscopic states (`macro.sample(..., snapshots=True)`).
        k: number of coordinates; 0 learns none.
        seed: whole number.

    Returns:
        The closure, and the data with d + k coordinates.

    Raises:
        InputError: no microscopic states, patches that do not tile, or more coordinates than components.
    """
    checks.whole("closure", k, low=0, remedy="It is the number of learned coordinates.")
    if k == 0:
        return None, data
    closure, _ = _train(data, k, seed)
    return closure, in_coordinates(closure, data)


def in_coordinates(closure: Closure, data: Increments) -> Increments:
    """Data with the learned coordinates next to the observables; the estimates b_hat and D_hat are those of steps.

    Raises:
        InputError: no microscopic states, or patches that do not tile.
    """
    rows = _project(_features_of_rows(data), closure.mean, closure.components)
    k = len(closure.factor)
    finish = lambda e: np.linalg.solve(closure.factor, e[..., None])[..., 0]

    def encode(x):
        return np.asarray(_encode_all(closure.layers, jnp.asarray(x.reshape(-1, x.shape[-1])), k)).reshape(
            *x.shape[:-1], k
        )

    e0, e1 = encode(rows.x0), encode(rows.x1)
    tiles = rows.x0.shape[1]
    psi = polynomials(closure.of_z, data.states)
    u0 = finish(e0.mean(1) - psi @ closure.slope)
    psi1 = polynomials(closure.of_z, data.z0[:, None] + (data.z1 - data.z0[:, None]) / data.factor[:, None, None])
    change = (e1 - e0[data.snapshot, rows.which][:, None]) / tiles - (
        psi1 - psi[data.snapshot][:, None]
    ) @ closure.slope
    u1 = finish(data.factor[:, None, None] * change) + u0[data.snapshot][:, None]
    states, z1 = np.concatenate([data.states, u0], 1), np.concatenate([data.z1, u1], 2)
    away = z1 - z1.mean(1, keepdims=True)
    R = data.replicas
    D_hat = np.einsum("mri,mrj->mij", away, away) / (R - 1) / (data.factor * data.dt)[:, None, None] if R > 1 else None
    b_hat = (z1.mean(1) - states[data.snapshot]) / data.dt[:, None]
    names = (*(data.names or tuple(f"z{i}" for i in range(data.dimension))), *(f"closure {i + 1}" for i in range(k)))
    more = replace(data, states=states, z1=z1, b_hat=b_hat, D_hat=D_hat, estimator="steps", names=names)
    return replace(more, snapshots=None, evolved=None, features=None)


def choose_closure(data: Increments, largest: int = 3, seed: int = 0) -> tuple[int, list[tuple[int, float, float]]]:
    """How many coordinates the observables need, by their held-out likelihood.

    Args:
        data: with microscopic states.
        largest: number that is tried.
        seed: whole number.

    Returns:
        The smallest number whose held-out likelihood is as good as the best within the standard error of their difference, and
        for each number the log-likelihood per row and the standard error of its difference from that of none.
    """
    scores = [_train(data, k, seed)[1] for k in range(largest + 1)]
    best = max(scores, key=np.mean)
    error = lambda x: float(np.std(x) / max(len(x) - 1, 1) ** 0.5)
    chosen = next(k for k, x in enumerate(scores) if np.mean(best - x) <= error(best - x))
    return chosen, [(k, float(np.mean(x)), error(x - scores[0])) for k, x in enumerate(scores)]


def _train(data: Increments, k: int, seed: int) -> tuple[Closure, np.ndarray]:
    rows, mean, components, explained = _components(data)
    P, d = rows.x0.shape[-1], data.dimension
    if k > P:
        raise InputError(f"closure = {k}: the microscopic states have {P} principal components.")
    spread, centre = data.states.std(0), data.states.mean(0)
    y0 = ((data.states - centre) / spread)[data.snapshot]
    dy = (data.z1 - data.states[data.snapshot][:, None]) / spread
    root = np.sqrt(data.factor * data.dt)
    noise = np.concatenate([(dy / root[:, None, None]).std((0, 1)), np.ones(k)])
    if k:  # the start: principal components themselves
        change = (rows.x1 - rows.x0[data.snapshot, rows.which][:, None])[..., :k] * (data.factor / rows.x0.shape[1])[
            :, None, None
        ]
        noise[d:] = (change / root[:, None, None]).std((0, 1)) / rows.x0.mean(1)[:, :k].std(0)
    model = Model(d + k, 0, "network", WIDTH)
    one, two, three = jax.random.split(jax.random.key(seed), 3)
    params = {
        "encoder": network(one, (P, WIDTH, WIDTH, max(k, 1)), last=0.01),
        "decoder": network(two, (d + k, WIDTH, WIDTH, P)),
        "equation": initial(three, model, noise, 1.0),
    }
    params = jax.tree.map(lambda x: x.astype(jnp.float32), params)
    rng = np.random.default_rng([seed, 7])
    groups = np.unique(data.trajectory)
    held = np.isin(data.trajectory, rng.permutation(groups)[: max(1, len(groups) // 5)])[data.snapshot]
    single = lambda *arrays: tuple(jnp.asarray(a, jnp.float32) for a in arrays)
    own = rows.x0[data.snapshot, rows.which]
    # The patch that evolves enters with its own value; the rest of the mean over patches comes from the snapshot.
    of_z = _basis(data.states)
    psi = polynomials(of_z, data.z0)
    psi1 = polynomials(of_z, data.z0[:, None] + (data.z1 - data.z0[:, None]) / data.factor[:, None, None])
    parts = (y0, dy, rows.x1, own, data.dt, data.factor, psi, psi1 - psi[:, None])
    x0 = jnp.asarray(rows.x0, jnp.float32)
    place = np.flatnonzero(~held)
    batch = min(BATCH, len(place))
    order = np.stack([rng.choice(place, batch, replace=False) for _ in range(STEPS)])
    everything = single(*parts)
    params = _optimize(model, k, params, x0, jnp.asarray(data.snapshot), everything, jnp.asarray(order))
    # W over all snapshots, then the held-out scores
    e = np.asarray(_encode_all(params["encoder"], x0.reshape(-1, P), k), float).reshape(*rows.x0.shape[:2], k).mean(1)
    everywhere = polynomials(of_z, data.states)
    slope = everywhere.T @ e / len(e)
    factor = np.linalg.cholesky(np.cov((e - everywhere @ slope).T).reshape(k, k)) if k else np.zeros((0, 0))
    white = jnp.asarray(slope, jnp.float32), jnp.asarray(factor, jnp.float32)
    test = np.flatnonzero(held)
    value, error = [], []
    for first in range(0, len(test), 4096):
        part = test[first : first + 4096]
        scores = _scores(model, k, params, x0[data.snapshot[part]], tuple(a[part] for a in everything), white)
        value.append(np.asarray(scores[0]))
        error.append(np.asarray(scores[1]))
    likelihood, lost = np.concatenate(value), np.concatenate(error)
    by_group = [
        likelihood[data.trajectory[data.snapshot[test]] == g].mean()
        for g in np.unique(data.trajectory[data.snapshot[test]])
    ]
    layers = jax.tree.map(lambda x: jnp.asarray(x, float), params["encoder"])
    variance = rows.x0.mean(1).var(0).sum()
    return (
        Closure(
            mean, components, layers, of_z, slope, factor, explained, float(1 - lost.mean() / variance),
            float(np.mean(by_group)), float(np.std(by_group) / max(len(by_group) - 1, 1) ** 0.5), data.block,
        ),
        np.array(by_group),
    )  # fmt: skip


def _encode(layers, x, k):
    return x[:k] + apply(layers, x)[:k]


@partial(jax.jit, static_argnums=2)
def _encode_all(layers, x, k):
    return jax.vmap(lambda row: _encode(layers, row, k))(x)


def _coordinates(k, params, x0, parts, white):
    """(B, d + k) coordinates and (B, R, d + k) increments of rows in scaled units."""
    y0, dy, x1, own, _, factor, psi, dpsi = parts
    if k == 0:
        return y0, dy
    encode = lambda x: jax.vmap(lambda row: _encode(params["encoder"], row, k))(x.reshape(-1, x.shape[-1])).reshape(
        *x.shape[:-1], k
    )
    e0 = encode(x0).mean(1)
    slope = psi.T @ e0 / len(e0) if white is None else white[0]
    e0 = e0 - psi @ slope
    if white is None:
        centred = e0 - e0.mean(0)
        L = cholesky(centred.T @ centred / len(e0) + 1e-6 * jnp.eye(k, dtype=e0.dtype))
    else:
        L = white[1]
    change = (encode(x1) - encode(own)[:, None]) / x0.shape[1] - dpsi @ slope
    scale = lambda e: jax.vmap(partial(solve_lower, L))(e.reshape(-1, k)).reshape(e.shape)
    return jnp.concatenate([y0, scale(e0)], 1), jnp.concatenate([dy, scale(factor[:, None, None] * change)], 2)


def _parts_of_loss(model, k, params, x0, parts, white):
    """Minus the log-likelihood of all coordinates and of the observables alone (B,), and the decoder's error (B,)."""
    c, dc = _coordinates(k, params, x0, parts, white)
    d, none = parts[0].shape[1], jnp.zeros(0, c.dtype)
    dt, factor = parts[4], parts[5]

    def one(c, dc, dt, factor):
        b, L = drift(params["equation"], model, c, none), sigma(params["equation"], model, c, none)
        seen = jnp.arange(len(c)) < d
        L = jnp.where(seen[:, None] | jnp.eye(len(c), dtype=bool), L, 0) * jnp.sqrt(
            factor * dt
        )  # see the module's text
        each = 0.5 * jax.vmap(partial(solve_lower, L))(dc - b * dt) ** 2 + jnp.log(jnp.diagonal(L))
        return each.sum(1).mean(), each[:, :d].sum(1).mean()

    both = jax.vmap(one)(c, dc, dt, factor)
    lost = jax.vmap(lambda c, x: jnp.sum((apply(params["decoder"], c) - x) ** 2))(c, x0.mean(1))
    return both, lost


@partial(jax.jit, static_argnums=(0, 1))
def _optimize(model, k, params, x0, snapshot, everything, order):
    optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(optax.cosine_decay_schedule(RATE, STEPS, 0.02)))
    size = jnp.maximum(x0.mean(1).var(0).sum(), 1e-12)

    def objective(params, index):
        part = tuple(a[index] for a in everything)
        (total, _), lost = _parts_of_loss(model, k, params, x0[snapshot[index]], part, None)
        return total.mean() + RECONSTRUCTION * x0.shape[-1] * lost.mean() / size

    def step(carry, index):
        params, state = carry
        updates, state = optimizer.update(jax.grad(objective)(params, index), state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, optimizer.init(params)), order)[0][0]


@partial(jax.jit, static_argnums=(0, 1))
def _scores(model, k, params, x0, parts, white):
    (_, observables), lost = _parts_of_loss(model, k, params, x0, parts, white)
    return -observables, lost


def to_arrays(closure: Closure) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and plain numbers of a closure."""
    arrays = {name: getattr(closure, name) for name in ("mean", "components", "slope", "factor")}
    arrays |= {f"of_z.{i}": x for i, x in enumerate(closure.of_z)}
    arrays |= {
        f"layers.{i}.{name}": np.asarray(x) for i, layer in enumerate(closure.layers) for name, x in layer.items()
    }
    names = ("explained", "recovered", "log_likelihood", "error", "block")
    return arrays, {"layers": len(closure.layers), **{name: getattr(closure, name) for name in names}}


def from_arrays(arrays: dict[str, np.ndarray], header: dict[str, Any]) -> Closure:
    """The inverse of `to_arrays`."""
    layers = tuple(
        {name: jnp.asarray(arrays[f"layers.{i}.{name}"]) for name in ("weight", "bias")}
        for i in range(header["layers"])
    )
    of_z = (arrays["of_z.0"], arrays["of_z.1"], arrays["of_z.2"])
    own: dict[str, Any] = {name: arrays[name] for name in ("mean", "components", "slope", "factor")}
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in header.items() if k != "layers"}
    return Closure(layers=layers, of_z=of_z, **own, **plain)
