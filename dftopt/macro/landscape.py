r"""The landscape of a learned potential: its stationary points, and the paths between its minima.

Points are found by Newton's method from many states of the data, and kept where the data is. Paths are found by the string
method: images relax along $-\nabla V$ and are spread equally again; the highest image is refined to the saddle by Newton's
method. All of it in scaled coordinates; heights do not depend on the scale.

In the form "fdr" minima are the most probable states, and a barrier over T governs the time of a transition. In the form
"onsager" the points are the fixed points of the drift; heights are one choice of many (`dftopt.macro.onsager`).

References:
    E, Ren, Vanden-Eijnden, J. Chem. Phys. 126, 164103 (2007).
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.macro.fitted import padded
from dftopt.macro.onsager import potential

STARTS = 256
IMAGES = 51
NEAR = 0.15  # of the spread: points nearer than that are one
OUTSIDE = 0.3  # of the spread: points farther from any state are not supported by data


@dataclass(frozen=True)
class StationaryPoint:
    """Where grad V = 0.

    Args:
        z: (d,) coordinates.
        value: V there.
        index: number of directions in which V falls: 0 for a minimum, 1 for a saddle.
        curvatures: (d,) eigenvalues of the Hessian of V in coordinates divided by their spread.
        value_spread: standard deviation over members of V there (each with its own constant).
        z_spread: (d,) standard deviation over members of the position of their own nearest point.
        found_by: share of the members that have a point of this index nearby.
    """

    z: np.ndarray
    value: float
    index: int
    curvatures: np.ndarray
    value_spread: float
    z_spread: np.ndarray
    found_by: float


@dataclass(frozen=True)
class Barrier:
    """A minimum-energy path between two minima.

    Args:
        start: one minimum.
        saddle: the highest point of the path, with `value` and `z`.
        end: the other minimum.
        height: V at the saddle minus V at `start`; from the other side it is `saddle.value - end.value`.
        height_spread: standard deviation of the height over members, each with its own points.
        path: (images, d).
        values: (images,) V along it.
    """

    start: StationaryPoint
    saddle: StationaryPoint
    end: StationaryPoint
    height: float
    height_spread: float
    path: np.ndarray
    values: np.ndarray


def stationary_points(fit, parameters=None) -> list[StationaryPoint]:
    """All stationary points of V where the data is, sorted by index and value.

    Args:
        fit: with a potential.
        parameters: external parameters.

    Raises:
        InputError: a form without potential, or parameters missing.
    """
    fit.needs_potential()
    q = fit.scaled_parameters(parameters)
    states = fit.scales.y(fit.states)
    rng = np.random.default_rng(0)
    starts = states[rng.choice(len(states), STARTS, replace=len(states) < STARTS)]
    points = _distinct(_newton(fit, None, starts, q), states)
    of_members = [_newton(fit, member, points, q) for member in range(fit.members)] if len(points) else []
    out = []
    for i, y in enumerate(points):
        curvatures = np.linalg.eigvalsh(_hessian(fit, None, y[None], q)[0])
        index = int((curvatures < 0).sum())
        own = [own[i] for own in of_members]
        same = [
            bool(np.isfinite(x).all())
            and np.linalg.norm(x - y) < 1.0
            and int((np.linalg.eigvalsh(_hessian(fit, m, x[None], q)[0]) < 0).sum()) == index
            for m, x in enumerate(own)
        ]
        found = np.array([x for x, s in zip(own, same, strict=True) if s]) if any(same) else y[None]
        z = fit.scales.z(y)
        value, value_spread = fit.potential(z, parameters, spread=True)
        out.append(
            StationaryPoint(
                z,
                float(value),
                index,
                curvatures * fit.unit,
                float(value_spread),
                fit.scales.spread * found.std(0),
                float(np.mean(np.array(same))),
            )
        )
    return sorted(out, key=lambda p: (p.index, p.value))


def barriers(fit, parameters=None) -> list[Barrier]:
    """Paths over one saddle between minima; pairs whose path passes through a third minimum are left out.

    Args:
        fit: with a potential.
        parameters: external parameters.

    Raises:
        InputError: as `stationary_points`.
    """
    points = stationary_points(fit, parameters)
    q = fit.scaled_parameters(parameters)
    minima = [p for p in points if p.index == 0]
    out = []
    for i, start in enumerate(minima):
        for end in minima[i + 1 :]:
            path = string(fit, start.z, end.z, parameters)
            values = fit.potential(path, parameters)
            others = [p.z for p in minima if p is not start and p is not end]
            away = [np.linalg.norm((path - z) / fit.scales.spread, axis=1).min() for z in others]
            top = int(values.argmax())
            if (away and min(away) < 2 * NEAR) or top in (0, len(path) - 1):
                continue
            y = _newton(fit, None, fit.scales.y(path[top])[None], q)[0]
            saddles = [p for p in points if p.index == 1]
            near = [np.linalg.norm(fit.scales.y(p.z) - y) for p in saddles]
            if not near or not np.isfinite(y).all() or min(near) > NEAR:
                continue
            saddle = saddles[int(np.argmin(near))]
            out.append(
                Barrier(
                    start, saddle, end, saddle.value - start.value, _height_spread(fit, start, saddle, q), path, values
                )
            )
    return sorted(out, key=lambda b: b.height)


def string(fit, start, end, parameters=None) -> np.ndarray:
    """Minimum-energy path (images, d) between two minima, by the string method."""
    q = fit.scaled_parameters(parameters)
    first = np.linspace(fit.scales.y(np.asarray(start)), fit.scales.y(np.asarray(end)), IMAGES)
    hessians = np.linalg.eigvalsh(_hessian(fit, None, first, q))
    step = 0.2 / max(np.abs(hessians).max(), 1e-9)
    return fit.scales.z(np.asarray(_string(fit.model, fit.params, jnp.asarray(first), q, step)))


def _height_spread(fit, start, saddle, q):
    heights = []
    for member in range(fit.members):
        ends = _newton(fit, member, fit.scales.y(np.stack([start.z, saddle.z])), q)
        if (
            np.isfinite(ends).all()
            and np.linalg.norm(ends - fit.scales.y(np.stack([start.z, saddle.z])), axis=1).max() < 1
        ):
            V = np.asarray(_value(fit.model, _pick(fit, member), padded(jnp.asarray(ends)), q)) * fit.unit
            heights.append(V[1] - V[0])
    return float(np.std(heights)) if heights else float("nan")


def _pick(fit, member):
    """Parameters of one member, or of all; with the axis of members."""
    return fit.params if member is None else jax.tree.map(lambda x: x[member : member + 1], fit.params)


def _newton(fit, member, y, q, steps: int = 60):
    """Stationary points (k, d) from starts; NaN where none was reached."""
    params, y = _pick(fit, member), np.array(y)
    for _ in range(steps):
        g = np.asarray(_gradient(fit.model, params, padded(jnp.asarray(y)), q))[: len(y)]
        values, vectors = np.linalg.eigh(_hessian(fit, member, y, q))
        size = np.maximum(np.abs(values), 1e-6 * np.abs(values).max(-1, keepdims=True) + 1e-12)
        inverse = np.where(values < 0, -1.0, 1.0) / size
        move = -np.einsum("kij,kj,klj,kl->ki", vectors, inverse, vectors, g)
        length = np.linalg.norm(move, axis=1, keepdims=True)
        y = y + move * np.minimum(1, 0.2 / np.maximum(length, 1e-300))
        if np.nanmax(length) < 1e-10:
            break
    y[length[:, 0] > 1e-6] = np.nan
    return y


def _distinct(points, states):
    """Points that differ from each other and lie where the data is."""
    kept: list[np.ndarray] = []
    some = states[:: max(1, len(states) // 5000)]
    for y in points[np.isfinite(points).all(1)]:
        inside = np.linalg.norm(some - y, axis=1).min() < OUTSIDE
        if inside and all(np.linalg.norm(y - other) > NEAR for other in kept):
            kept.append(y)
    return np.array(kept).reshape(-1, states.shape[1])


def _hessian(fit, member, y, q):
    return np.asarray(_hessians(fit.model, _pick(fit, member), padded(jnp.asarray(y)), q))[: len(y)]


def _mean_potential(model, params, y, q):
    return jnp.mean(jax.vmap(potential, (0, None, None, None))(params, model, y, q))


@partial(jax.jit, static_argnums=0)
def _value(model, params, y, q):
    return jax.vmap(_mean_potential, (None, None, 0, None))(model, params, y, q)


@partial(jax.jit, static_argnums=0)
def _gradient(model, params, y, q):
    return jax.vmap(jax.grad(_mean_potential, 2), (None, None, 0, None))(model, params, y, q)


@partial(jax.jit, static_argnums=0)
def _hessians(model, params, y, q):
    return jax.vmap(jax.hessian(_mean_potential, 2), (None, None, 0, None))(model, params, y, q)


@partial(jax.jit, static_argnums=0)
def _string(model, params, path, q, step):
    part = jnp.linspace(0.0, 1.0, len(path))

    def move(_, path):
        path = path.at[1:-1].add(-step * _gradient(model, params, path[1:-1], q))
        arc = jnp.concatenate([jnp.zeros(1), jnp.cumsum(jnp.linalg.norm(jnp.diff(path, axis=0), axis=1))])
        return jax.vmap(jnp.interp, (None, None, 1), 1)(part, arc / arc[-1], path)

    return jax.lax.fori_loop(0, 1500, move, path)
