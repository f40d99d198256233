r"""Trust-region Newton for molecules: the free energy at fixed occupations, by products with its Hessian.

At orthonormal orbitals psi the energy of $\mathrm{orth}(\psi + v)$, v orthogonal to the filled orbitals, is $A + \langle g, v\rangle +
\frac12 \langle v, H v\rangle$ to second order, $H v$ the tangent part of the derivative of the gradient along v: forward
differentiation of the gradient that the other minimizers use, exact. The model is minimized within a radius by conjugate
gradients, preconditioned by level differences, which stop at its border where the curvature is negative: Newton's steps leave saddle
points that they see and converge quadratically at a minimum, also where steps along gradients are slow.

References:
    Steihaug, SIAM J. Numer. Anal. 20, 626 (1983); Absil, Baker, Gallivan, Found. Comput. Math. 7, 303 (2007).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.minimization.descent import CONVERGED, DIVERGED, RUNNING, STUCK, Evaluation, Trace
from dftopt.minimization.molecular_problem import SMALLEST
from dftopt.minimization.trees import axpy, choose, dot, scale

PRODUCTS = 40  # with the Hessian, of one step at most
LARGEST, FIRST, SMALLEST_RADIUS = 2.0, 0.5, 1e-9
ACCEPTED = 1e-4  # of the predicted decrease
ROUNDOFF = 4e-14


class State(NamedTuple):
    """Where a minimization stands: like `descent.State` in what others read of it."""

    x: Any
    at: Evaluation
    radius: Any
    error: Any
    iterations: Any
    evaluations: Any
    status: Any


def _metric(problem, x, data, h):
    """About the diagonal of the Hessian (s, k, b, n): level differences; it preconditions, and measures steps."""
    molecule, _, frame = data
    own = jnp.diagonal(h, axis1=-2, axis2=-1)
    return 2 * molecule.degeneracy * jnp.sqrt((frame.levels[:, None, None] - own[..., None]) ** 2 + SMALLEST**2)


def _perp(problem, x, v):
    """The part orthogonal to the filled orbitals, zero where there are none."""
    present = problem.fixed_occupations(x["psi"].shape[:3])[..., None]
    return {"perp": problem.project({"perp": v}, x)["perp"] * present}


def product(problem, x, data, v):
    """H v at x for a tangent v."""
    moved = lambda psi: problem.evaluate({"psi": psi, "occ": ()}, data).gradient["perp"]
    return _perp(problem, x, jax.jvp(moved, (x["psi"],), (v["perp"],))[1])


class _Inner(NamedTuple):
    s: Any  # the step
    hs: Any
    r: Any  # gradient of the model there
    d: Any  # direction
    rz: Any
    ss: Any  # products with the metric
    sd: Any
    dd: Any
    n: Any
    done: Any


def model_step(problem, x, data, at: Evaluation, radius):
    """The step that lowers the quadratic model within the radius, H times it, its length, and the number of products."""
    metric = _metric(problem, x, data, at.info["h"])

    def precondition(r):
        return _perp(problem, x, r["perp"] / metric)

    g = at.gradient
    size = jnp.sqrt(dot(g, g))
    zero = scale(0.0, g)
    z = precondition(g)
    rz = dot(g, z)
    nothing = jnp.zeros(())
    first = _Inner(zero, zero, g, scale(-1.0, z), rz, nothing, nothing, rz, jnp.zeros((), int), jnp.asarray(False))

    def body(c: _Inner):
        hd = product(problem, x, data, c.d)
        curvature = dot(c.d, hd)
        alpha = c.rz / jnp.where(curvature != 0, curvature, 1.0)
        longer = c.ss + 2 * alpha * c.sd + alpha**2 * c.dd
        outside = (curvature <= 0) | (longer >= radius**2)
        root = jnp.sqrt(jnp.maximum(c.sd**2 + c.dd * (radius**2 - c.ss), 0.0))
        step = jnp.where(outside, (root - c.sd) / c.dd, alpha)
        s, hs = axpy(step, c.d, c.s), axpy(step, hd, c.hs)
        r = axpy(step, hd, c.r)
        z = precondition(r)
        rz = dot(r, z)
        beta = rz / c.rz
        length = jnp.sqrt(dot(r, r))
        small = length <= size * jnp.minimum(0.1, size)
        return _Inner(
            s, hs, r, axpy(beta, c.d, scale(-1.0, z)), rz, c.ss + 2 * step * c.sd + step**2 * c.dd, beta * (c.sd + step * c.dd),
            rz + beta**2 * c.dd, c.n + 1, outside | small,
        )  # fmt: skip

    end = jax.lax.while_loop(lambda c: (c.n < PRODUCTS) & ~c.done, body, first)
    return end.s, end.hs, jnp.sqrt(end.ss), end.n


def _error(at: Evaluation):
    """About twice the decrease of a Newton step, as of the other minimizers: <gradient, direction>."""
    return 2 * dot(at.gradient, at.direction)


@partial(jax.jit, static_argnames="problem")
def start(problem, x, data) -> State:
    """The state at a first point."""
    at = problem.evaluate(x, data)
    count = jnp.zeros((), int)
    finite = jnp.isfinite(at.value)
    status = jnp.where(finite, RUNNING, DIVERGED)
    return State(x, at, jnp.asarray(FIRST), _error(at), count, count + 1, status)


def run(problem, state: State, data, tol, evaluations: int) -> tuple[State, Trace]:
    """Steps until that many evaluations are spent, and their record; see `descent.run`."""
    rows, limit = [], int(state.evaluations) + evaluations
    while int(state.status) == RUNNING and int(state.evaluations) < limit:
        before = int(state.iterations)
        state = step(problem, state, data, tol)
        rows.append((float(state.at.value), float(state.error), int(state.iterations) > before))
    return state, Trace(*(np.array(column) for column in zip(*rows, strict=True)))


@partial(jax.jit, static_argnames="problem")
def step(problem, s: State, data, tol) -> State:
    """One trust-region step; products with the Hessian count as two evaluations each."""
    d, hd, length, n = model_step(problem, s.x, data, s.at, s.radius)
    predicted = -(dot(s.at.gradient, d) + 0.5 * dot(d, hd))
    x, _ = problem.retract(s.x, d, 1.0)
    new = problem.evaluate(x, data)
    noise = ROUNDOFF * jnp.abs(s.at.value)
    ratio = (s.at.value - new.value + noise) / (predicted + noise)
    good = jnp.isfinite(new.value) & (ratio > ACCEPTED)
    radius = jnp.where(ratio < 0.25, 0.25 * jnp.minimum(length, s.radius), s.radius)
    radius = jnp.where((ratio > 0.75) & (length > 0.99 * s.radius), jnp.minimum(2 * s.radius, LARGEST), radius)
    radius = jnp.where(good | (ratio < 0.25), radius, 0.25 * s.radius)
    at = choose(good, new, s.at)
    error = jnp.where(good, _error(new), s.error)
    status = jnp.where(error <= tol, CONVERGED, jnp.where(radius < SMALLEST_RADIUS, STUCK, RUNNING))
    return State(choose(good, x, s.x), at, radius, error, s.iterations + good, s.evaluations + 1 + 2 * n, status)
