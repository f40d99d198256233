"""Descent on a manifold, one energy-and-gradient evaluation per pass: the loop that all our minimizers share.

The problem supplies points, tangents, a preconditioned gradient, a retraction and a transport; nothing here knows
of k points, plane waves or occupations. A method (`cg`, `lbfgs`) supplies the next direction. A pass evaluates the
trial point x + t d. Where the slope along d has fallen enough and the value has not risen, the point is accepted (most
steps take one evaluation); else t is corrected by the secant of the two slopes. Slopes stay accurate when differences
of values drown in roundoff.

References:
    Hager and Zhang, Pacific J. Optim. 2, 35 (2006); Payne et al., Rev. Mod. Phys. 64, 1045 (1992).
"""

from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from dftopt.minimization.trees import choose, dot, scale

RUNNING, CONVERGED, STUCK, DIVERGED = 0, 1, 2, 3
INTERRUPTED = -1  # from outside
_MAX_TRIES = 8
_ROUNDOFF = 4e-14  # relative noise of a free energy that is a sum of terms larger than itself


class Evaluation(NamedTuple):
    """What a problem returns at a point.

    Attributes:
        value: what is minimized.
        gradient: its derivative, a tangent.
        direction: the preconditioned gradient (a step of -1 along it should be about right).
        info: whatever else is worth keeping.
    """

    value: Any
    gradient: Any
    direction: Any
    info: Any


class State(NamedTuple):
    """Where a minimization stands; a pytree of arrays."""

    x: Any
    at: Evaluation
    d: Any
    memory: Any
    slope: Any
    step: Any
    gz: Any
    error: Any
    tries: Any
    restarted: Any
    iterations: Any
    evaluations: Any
    status: Any


class Trace(NamedTuple):
    """Record of a chunk, one row per evaluation; rows of rejected trial points have `accepted` false."""

    value: Any
    error: Any
    accepted: Any


class Method(Protocol):
    """A rule for directions, hashable.

    Attributes:
        curvature: a point is accepted where |slope| has fallen to this fraction.
        first_step: trial step of the first line search.
        longest: largest step.
    """

    @property
    def curvature(self) -> float:
        """See `Method`."""

    @property
    def first_step(self) -> float:
        """See `Method`."""

    @property
    def longest(self) -> float:
        """See `Method`."""

    def memory(self, at: Evaluation, frame):
        """What the rule remembers before the first step; `at` and `frame` have the right shapes."""

    def direction(
        self, memory, problem, frame, x, d, step, old: Evaluation, gz_old, new: Evaluation, gz, accept, first
    ):
        """The next direction, a tangent at x, and the memory.

        Args:
            memory: from the step before.
            problem: for its transport.
            frame: rotation of the bands by the retraction that led to x.
            x: the new point.
            d: the direction just followed, turned with the bands.
            step: how far it was followed.
            old: evaluation at the point before.
            gz_old: its <gradient, direction>.
            new: evaluation at x.
            gz: its <gradient, direction>.
            accept: false where x will be rejected: then only the memory counts, and must remain what it was.
            first: true where there is no point before.
        """


def start(problem, x, data, method: Method, where=None) -> State:
    """The state before the first evaluation: a step of zero length that is always accepted.

    `where` is applied to it: a hashable function that says on which devices its arrays are.
    """
    return _start(
        problem, jax.tree.map(jnp.copy, x), data, method, where
    )  # `run` uses up its state, but x is the caller's


@partial(jax.jit, static_argnames=("problem", "method", "where"))
def _start(problem, x, data, method: Method, where) -> State:
    at = jax.eval_shape(problem.evaluate, x, data)
    at = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), at)
    _, frame = jax.eval_shape(problem.retract, x, at.direction, jnp.zeros(()))
    state = before(method)._replace(x=x, at=at, d=at.direction, memory=method.memory(at, frame))
    return state if where is None else where(state)


def before(method: Method) -> State:
    """The numbers of a state before the first evaluation; points and tangents are the caller's."""
    zero, one, count = jnp.zeros(()), jnp.ones(()), jnp.zeros((), int)
    at = Evaluation(zero, None, None, None)
    numbers = (zero, one * method.first_step, one, one * jnp.inf, count, count, count, count, count)
    return State(None, at, None, None, *numbers)


def _pass(problem, data, tol, method: Method, s: State) -> tuple[State, Trace]:
    first = s.evaluations == 0
    t = jnp.where(first, 0.0, s.step)
    x, frame = problem.retract(s.x, s.d, t)
    new = problem.evaluate(x, data)
    d = problem.turn(s.d, frame)
    slope, gz = dot(new.gradient, d), dot(new.gradient, new.direction)
    trial = judge(problem.is_minimum, method, s, new.value, slope)
    proposed, memory = method.direction(s.memory, problem, frame, x, d, t, s.at, s.gz, new, gz, trial.accept, first)
    now, how = go_on(method, s, trial, tol, gz, dot(new.gradient, proposed))
    next_d = choose(how.steepest, scale(-1.0, new.direction), proposed)
    retry_d = choose(how.again, scale(-1.0, s.at.direction), s.d)
    accept = trial.accept
    state = now._replace(
        x=choose(accept, x, s.x), at=choose(accept, new, s.at), d=choose(accept, next_d, retry_d), memory=memory
    )
    return state, Trace(state.at.value, state.error, accept)


class Trial(NamedTuple):
    """A trial point: its value and slope, whether it is accepted and finite, and the step that the secant proposes."""

    value: Any
    slope: Any
    accept: Any
    finite: Any
    secant: Any


class How(NamedTuple):
    """Which direction is next: of an accepted point the steepest one, of a rejected one the steepest once again."""

    steepest: Any
    again: Any


def judge(is_minimum: bool, method: Method, s: State, value, slope) -> Trial:
    """Whether a trial point is accepted: where the slope along the step has fallen enough and the value has not risen."""
    first = s.evaluations == 0
    t = jnp.where(first, 0.0, s.step)
    finite = jnp.isfinite(value) & jnp.isfinite(slope)
    noise = _ROUNDOFF * jnp.abs(value) + 1e-15
    descends = (value <= s.at.value + noise) if is_minimum else jnp.asarray(True)
    flat = jnp.abs(slope) <= method.curvature * jnp.abs(s.slope)
    accept = first | (finite & descends & (flat | (s.tries >= 3)))
    # secant of the slopes; a slope that has not risen asks for a longer step
    rise = slope - s.slope
    secant = jnp.where(rise > 0, -t * s.slope / jnp.where(rise > 0, rise, 1.0), 4 * t)
    secant = jnp.where(finite, secant, 0.1 * t)
    secant = jnp.where(~descends & (secant >= t), 0.3 * t, secant)
    secant = jnp.clip(secant, 0.05 * t, jnp.minimum(4 * t, method.longest))
    return Trial(value, slope, accept, finite, secant)


def go_on(method: Method, s: State, trial: Trial, tol, gz, down) -> tuple[State, How]:
    """The state with the numbers after a trial point, with <gradient, preconditioned gradient> and the slope of the proposed direction."""
    first = s.evaluations == 0
    t = jnp.where(first, 0.0, s.step)
    accept, secant = trial.accept, trial.secant
    steepest = ~(down < -0.05 * gz)  # also where the slope is NaN
    next_slope = jnp.where(steepest, -gz, down)
    next_step = jnp.where(first, method.first_step, jnp.clip(secant, 0.3 * t, 3 * t))
    # half the first-order decrease of a step, times 4: many more follow; at least twice that of the next step
    error = jnp.maximum(2 * jnp.maximum(next_step, 0.3) * gz, jnp.abs(next_slope))

    # rejected: another step along d, then once more along steepest descent, then give up
    exhausted = s.tries >= _MAX_TRIES
    again = exhausted & (s.restarted == 0)
    retry_slope = jnp.where(again, -s.gz, s.slope)
    retry_step = jnp.where(again, 0.1 * method.first_step, secant)

    done = jnp.where(accept & (error <= tol) & trial.finite, CONVERGED, RUNNING)
    done = jnp.where(~accept & exhausted & (s.restarted == 1), jnp.where(trial.finite, STUCK, DIVERGED), done)
    done = jnp.where(first & ~trial.finite, DIVERGED, done)
    one = jnp.ones((), int)
    now = s._replace(
        slope=jnp.where(accept, next_slope, retry_slope),
        step=jnp.where(accept, next_step, retry_step),
        gz=jnp.where(accept, gz, s.gz),
        error=jnp.where(accept, error, s.error),
        tries=jnp.where(accept | again, 0, s.tries + 1),
        restarted=jnp.where(accept, 0, s.restarted + again),
        iterations=s.iterations + jnp.where(accept & ~first, one, 0),
        evaluations=s.evaluations + one,
        status=done.astype(s.status.dtype),  # with the type it came with: or the next call is compiled again
    )
    return now, How(steepest, again)


@partial(jax.jit, static_argnames=("problem", "method", "n"), donate_argnames="state")
def run(problem, state: State, data, tol, method: Method, n: int, limit) -> tuple[State, Trace]:
    """At most `limit` <= n passes, compiled; stops by itself when converged or stuck. The state given is used up.

    Args:
        problem: static, with `evaluate(x, data)`, `retract(x, d, t)`, `turn(v, frame)`, `project(v, x)`,
            `transport(v, x, frame)` (both) and `is_minimum`.
        state: from `start` or an earlier call.
        data: traced arrays handed to `evaluate`.
        tol: stop when the predicted error of the value is below.
        method: the rule for directions.
        n: rows of the record (static).
        limit: passes of this call.

    Returns:
        The state and the record of the passes (rows after the end hold NaN).
    """
    record = Trace(jnp.full(n, jnp.nan), jnp.full(n, jnp.nan), jnp.zeros(n, bool))

    def body(carry):
        state, record, i = carry
        state, row = _pass(problem, data, tol, method, state)
        return state, Trace(*(a.at[i].set(b) for a, b in zip(record, row, strict=True))), i + 1

    def more(carry):
        return (carry[2] < limit) & (carry[0].status == RUNNING)

    state, record, _ = jax.lax.while_loop(more, body, (state, record, 0))
    return state, record
