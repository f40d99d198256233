r"""Closure: coordinates learned next to the observables, so that together they obey an equation of their own.

The encoder sees features of a microscopic state: those the simulator offers (`features(state) -> (F,)`, invariant under the
symmetries of the problem), else the state itself as one row of numbers. They are reduced to principal components x, and the
learned coordinates are $u = W(z) [x_{1..k} + r(x) - p(z)]$ with r a small residual network, zero at the start: training begins
from the principal components. Where the system evolves as a whole, these are first freed of what the observables z say of
them (mean 0 and variance 1 at every z), and turned so that the slowest come first: what is fast has variance, too. On a
lattice x + r belongs to a patch, and that of the whole system is the mean over the patches that tile it: invariant under
permutations and translations of patches by construction, and a partial evolution changes one term of it. p is the function
of z that is nearest over the data, and W such that u has covariance 1, for one observable at every z, at every step of
training: what the observables say already, the scale and the rotation of u are then no freedom by which a likelihood could
grow without meaning, as by a slow coordinate that repeats a slow observable, or one that rests somewhere.

Trained is, together, the likelihood of the increments of z and of u under an equation without structure (noise of z and u
independent: a u that repeats z gains nothing), and the error of a decoder that recovers the components x from z and u. With
u of unit variance and a noise of u that is the same everywhere, high likelihood means high correlation with what follows:
slow coordinates. (With a noise that depends on u it would grow without end, by a u that rests but for rare leaps.) The
equation is thrown away;
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
from dftopt.macro.components import components_of, features_of_rows, free, projected
from dftopt.macro.data import Increments
from dftopt.macro.given import basis, freed, functions, weights, what_is_given
from dftopt.macro.networks import Layers, apply, cholesky, network, solve_lower
from dftopt.macro.onsager import Model, drift, initial, sigma

EPOCHS, STEPS = 150, (1500, 6000)  # at least and at most; beyond, the held-out likelihood of 20,000 rows grows no more
BATCH, RATE, WIDTH = 512, 3e-3, 32
SMALL = 1e-6
OWN = ("mean", "components", "slope", "covariance")  # arrays of a closure
RECONSTRUCTION = 0.5  # weight of the decoder's error, each component of unit variance


@dataclass(frozen=True)
class Closure:
    """An encoder.

    Args:
        mean: (F,) of the features.
        components: (P, F) principal components, each scaled to unit variance of patches.
        layers: residual network P -> k.
        of_z: centre, spread (d,), triangular factor (Q, Q) and knots of the orthonormal functions of the observables.
        slope: (Q, k) what is taken off of these.
        covariance: (knots, k, k) given z, whose interpolation is L L^T, W the inverse of L.
        given: mean (Q, P) and variance (knots, P) of the components given z, and the turn (P, P) that brings the slowest
            first; empty where patches evolve.
        explained: share of the variance of the features that the P components hold.
        recovered: share of the variance of the components that the decoder recovers on held-out data.
        log_likelihood: held-out, per row, of the observables' increments.
        error: its standard error over trajectories.
        block: sites per axis of the patches it sees; None: the whole system.
    """

    mean: np.ndarray
    components: np.ndarray
    layers: Layers
    of_z: tuple[np.ndarray, ...]
    slope: np.ndarray
    covariance: np.ndarray
    given: tuple[np.ndarray, ...]
    explained: float
    recovered: float
    log_likelihood: float
    error: float
    block: tuple[int, ...] | None = None

    def coordinates(self, z: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Learned coordinates (S, k) from observables z (S, d) and features (S, K, F) of the K patches."""
        x = (np.asarray(features, float) - self.mean) @ self.components.T
        x = freed(x, np.asarray(z)[:, None], self.of_z, self.given) if self.given else x
        e = np.asarray(_encode_all(self.layers, jnp.asarray(x.reshape(-1, x.shape[-1])), self.covariance.shape[-1]))
        e = e.reshape(*x.shape[:-1], -1).mean(1) - functions(self.of_z, z) @ self.slope
        return self.whitened(z, e)

    def whitened(self, z: np.ndarray, e: np.ndarray) -> np.ndarray:
        """W(z) e for z (..., d) and e (..., k)."""
        return np.linalg.solve(_factors(np.linalg.cholesky, weights(self.of_z, z), self.covariance), e[..., None])[
            ..., 0
        ]


def _factors(cholesky, w, covariance):
    """Triangular factors (..., k, k) of covariances interpolated with weights (..., knots)."""
    return cholesky((w @ covariance.reshape(len(covariance), -1)).reshape(*w.shape[:-1], *covariance.shape[1:]))


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
    rows = projected(features_of_rows(data), closure.mean, closure.components)
    rows = free(rows, data, closure.of_z, closure.given)
    k = closure.covariance.shape[-1]

    def encode(x):
        return np.asarray(_encode_all(closure.layers, jnp.asarray(x.reshape(-1, x.shape[-1])), k)).reshape(
            *x.shape[:-1], k
        )

    e0, e1 = encode(rows.x0), encode(rows.x1)
    tiles, of_z = rows.x0.shape[1], closure.of_z
    psi, at = functions(of_z, data.states), _later(data)
    own = e0.mean(1) - psi @ closure.slope
    change = (e1 - e0[data.snapshot, rows.which][:, None]) / tiles
    change = change - (functions(of_z, at) - psi[data.snapshot][:, None]) @ closure.slope
    u0 = closure.whitened(data.states, own)
    u1 = u0[data.snapshot][:, None]
    u1 = u1 + data.factor[:, None, None] * (closure.whitened(at, own[data.snapshot][:, None] + change) - u1)
    states, z1 = np.concatenate([data.states, u0], 1), np.concatenate([data.z1, u1], 2)
    away = z1 - z1.mean(1, keepdims=True)
    R = data.replicas
    D_hat = np.einsum("mri,mrj->mij", away, away) / (R - 1) / (data.factor * data.dt)[:, None, None] if R > 1 else None
    b_hat = (z1.mean(1) - states[data.snapshot]) / data.dt[:, None]
    names = (*(data.names or tuple(f"z{i}" for i in range(data.dimension))), *(f"closure {i + 1}" for i in range(k)))
    more = replace(data, states=states, z1=z1, b_hat=b_hat, D_hat=D_hat, estimator="steps", names=names)
    return replace(more, snapshots=None, evolved=None, features=None)


def _later(data: Increments) -> np.ndarray:
    """Observables (m, R, d) of the whole system once a patch has evolved: increments without their amplification."""
    return data.z0[:, None] + (data.z1 - data.z0[:, None]) / data.factor[:, None, None]


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
    rows, mean, components, explained = components_of(data)
    of_z = basis(data.states)
    given: tuple[np.ndarray, ...] = ()
    if data.block is None:
        own = rows.x0[data.snapshot, 0]
        given = what_is_given(of_z, data.z0, own, data.z1, rows.x1)
        rows = free(rows, data, of_z, given)
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
        "quiet": jnp.log(jnp.asarray(noise[d:])),
    }
    params = jax.tree.map(lambda x: x.astype(jnp.float32), params)
    rng = np.random.default_rng([seed, 7])
    groups = np.unique(data.trajectory)
    held = np.isin(data.trajectory, rng.permutation(groups)[: max(1, len(groups) // 5)])[data.snapshot]
    single = lambda *arrays: tuple(jnp.asarray(a, jnp.float32) for a in arrays)
    own = rows.x0[data.snapshot, rows.which]
    # The patch that evolves enters with its own value; the rest of the mean over patches comes from the snapshot.
    psi = functions(of_z, data.z0)
    near = weights(of_z, data.z0), weights(of_z, _later(data))
    parts = (y0, dy, rows.x1, own, data.dt, data.factor, psi, functions(of_z, _later(data)) - psi[:, None], *near)
    x0 = jnp.asarray(rows.x0, jnp.float32)
    place = np.flatnonzero(~held)
    batch = min(BATCH, len(place))
    steps = int(np.clip(EPOCHS * len(place) // batch, *STEPS))
    order = np.stack([rng.choice(place, batch, replace=False) for _ in range(steps)])
    everything = single(*parts)
    params = _optimize(model, k, params, x0, jnp.asarray(data.snapshot), everything, jnp.asarray(order))
    # W over all snapshots, then the held-out scores
    e = np.asarray(_encode_all(params["encoder"], x0.reshape(-1, P), k), float).reshape(*rows.x0.shape[:2], k).mean(1)
    everywhere = functions(of_z, data.states)
    slope = everywhere.T @ e / len(e)
    e, w = e - everywhere @ slope, weights(of_z, data.states)
    covariance = _covariance(w, e, np)
    white = tuple(jnp.asarray(x, jnp.float32) for x in (slope, covariance))
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
    size = rows.x0.mean(1).var(0).sum()
    return (
        Closure(
            mean, components, layers, of_z, slope, covariance, given, explained, float(1 - lost.mean() / size),
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
    y0, dy, x1, own, _, factor, psi, dpsi, w0, w1 = parts
    if k == 0:
        return y0, dy
    encode = lambda x: jax.vmap(lambda row: _encode(params["encoder"], row, k))(x.reshape(-1, x.shape[-1])).reshape(
        *x.shape[:-1], k
    )
    e0 = encode(x0).mean(1)
    slope = psi.T @ e0 / len(e0) if white is None else white[0]
    e0 = e0 - psi @ slope
    covariance = _covariance(w0, e0, jnp) if white is None else white[1]
    change = (encode(x1) - encode(own)[:, None]) / x0.shape[1] - dpsi @ slope
    L0 = _factors(jax.vmap(cholesky), w0, covariance)
    L1 = _factors(jax.vmap(jax.vmap(cholesky)), w1, covariance)
    solve = jax.vmap(jax.vmap(solve_lower, (0, None)))  # of replicas
    u0, u1 = jax.vmap(solve_lower)(L0, e0), solve(L1, e0)
    change = jax.vmap(jax.vmap(solve_lower))(L1, change) + (u1 - u0[:, None])  # no difference of large numbers
    return jnp.concatenate([y0, u0], 1), jnp.concatenate([dy, factor[:, None, None] * change], 2)


def _covariance(w, e, xp):
    """Covariance (knots, k, k) of e (B, k) of mean 0 near each knot, with weights (B, knots)."""
    pairs = (e[:, :, None] * e[:, None]).reshape(len(e), -1)
    near = (w.T @ pairs / (w.sum(0)[:, None] + SMALL)).reshape(w.shape[1], e.shape[1], e.shape[1])
    return near + SMALL * xp.eye(e.shape[1], dtype=e.dtype)


def _parts_of_loss(model, k, params, x0, parts, white):
    """Minus the log-likelihood of all coordinates and of the observables alone (B,), and the decoder's error (B,)."""
    c, dc = _coordinates(k, params, x0, parts, white)
    d, none = parts[0].shape[1], jnp.zeros(0, c.dtype)
    dt, factor = parts[4], parts[5]

    def one(c, dc, dt, factor):
        b, L = drift(params["equation"], model, c, none), sigma(params["equation"], model, c, none)
        quiet = jnp.diag(jnp.concatenate([jnp.zeros(d), jnp.exp(params["quiet"])]))  # see the module's text
        L = jnp.where(jnp.arange(len(c))[:, None] < d, L, quiet) * jnp.sqrt(factor * dt)
        each = 0.5 * jax.vmap(partial(solve_lower, L))(dc - b * dt) ** 2 + jnp.log(jnp.diagonal(L))
        return each.sum(1).mean(), each[:, :d].sum(1).mean()

    both = jax.vmap(one)(c, dc, dt, factor)
    lost = jax.vmap(lambda c, x: jnp.sum((apply(params["decoder"], c) - x) ** 2))(c, x0.mean(1))
    return both, lost


@partial(jax.jit, static_argnums=(0, 1))
def _optimize(model, k, params, x0, snapshot, everything, order):
    rate = optax.cosine_decay_schedule(RATE, len(order), 0.02)
    optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(rate))
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
    arrays = {name: getattr(closure, name) for name in OWN}
    arrays |= {f"{name}.{i}": x for name in ("of_z", "given") for i, x in enumerate(getattr(closure, name))}
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
    several: dict[str, Any] = {
        name: tuple(arrays[f"{name}.{i}"] for i in range(count) if f"{name}.{i}" in arrays)
        for name, count in (("of_z", 4), ("given", 3))
    }
    own: dict[str, Any] = {name: arrays[name] for name in OWN}
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in header.items() if k != "layers"}
    return Closure(layers=layers, **several, **own, **plain)
