"""Trajectories of the whole system: many at once, one compiled loop over the recorded times."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.errors import InputError
from dftopt.macro import checks, random
from dftopt.macro.simulator import as_simulator

LARGEST = 8  # GiB of snapshots


@dataclass(frozen=True)
class Trajectories:
    """What `trajectories` returns.

    Args:
        times: (T,) in the simulator's unit.
        z: (N, T, d) macroscopic coordinates.
        states: microscopic states (N, T, ...), None unless asked for.
    """

    times: np.ndarray
    z: np.ndarray
    states: Any = None


def trajectories(sim, count: int = 200, times=None, seed: int = 0, *, start=None, snapshots=False) -> Trajectories:
    """Simulate the whole system.

    Args:
        sim: a simulator (see `dftopt.macro.simulator`).
        count: number of trajectories; with `start` its length.
        times: (T,) increasing, when to record; 0 is the start itself. Default: the simulator's `times`.
        seed: whole number; the same seed gives the same trajectories.
        start: states (count, ...); default: the simulator's `initial`.
        snapshots: keep the microscopic states.

    Returns:
        Trajectories of independent noise.

    Raises:
        InputError: no start or times known, wrong shapes, times that do not increase, more than 8 GiB of snapshots, a step
            that changes the shape or the type of a state, or that ends in NaN (said where).
    """
    sim = as_simulator(sim)
    times = check_times(sim, times)
    start = check_start(sim, start, count, seed)
    count = len(jax.tree.leaves(start)[0])
    memory = len(times) * sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(start)) / 2**30
    if snapshots and memory > LARGEST:
        raise InputError(
            f"{count} trajectories with {len(times)} snapshots each would take {memory:.0f} GiB (limit {LARGEST}): record fewer "
            "times, or sample fewer trajectories at a time with different seeds and put them together with macro.join."
        )
    steps = np.diff(times, prepend=0.0)
    if getattr(sim, "host", None) is not None:
        z, states = _run_on_host(sim.host, np.asarray(start), seed, steps, snapshots)
    else:
        z, states = _run(sim, start, random.child(jax.random.key(seed), 1), jnp.asarray(steps), snapshots)
    z = np.asarray(z).swapaxes(0, 1)
    if not np.isfinite(z).all():
        i, t = np.argwhere(~np.isfinite(z))[0][:2]
        raise InputError(
            f"The simulator left the finite numbers: trajectory {i} at time {times[t]:g}. Its own time step is too long, or "
            "its parameters or the start are outside of what it can do."
        )
    kept = jax.tree.map(lambda a: np.asarray(a).swapaxes(0, 1), states) if snapshots else None
    return Trajectories(times, z, kept)


def _run_on_host(host, states, seed, steps, snapshots):
    z, kept = [], []
    for i, dt in enumerate(steps):
        states = host.step(states, [seed, 1, i], dt) if dt > 0 else states
        z.append(host.observe(states))
        kept += [states] if snapshots else []
    return np.stack(z), np.stack(kept) if snapshots else None


@partial(jax.jit, static_argnames="snapshots")
def _run(sim, states, key, steps, snapshots):
    count = len(jax.tree.leaves(states)[0])

    def record(states, x):
        i, dt = x
        keys = random.split(random.child(key, i), count)
        states = jax.lax.cond(dt > 0, lambda s: jax.vmap(sim.step, (0, 0, None))(s, keys, dt), lambda s: s, states)
        return states, (jax.vmap(sim.observe)(states), states if snapshots else None)

    return jax.lax.scan(record, states, (jnp.arange(len(steps)), steps))[1]


@partial(jax.jit, static_argnames="count")
def _initial(sim, key, count):
    return jax.vmap(sim.initial)(random.split(key, count))


def check_times(sim, times) -> np.ndarray:
    """Times (T,), float64.

    Raises:
        InputError: as `trajectories`.
    """
    if times is None:
        times = getattr(sim, "times", None)
    if times is None:
        raise InputError("times= is needed: when to record, in the simulator's own time unit. 0 is the start itself.")
    times = np.atleast_1d(np.asarray(times, float))
    if times.ndim != 1 or not np.isfinite(times).all() or times[0] < 0 or (np.diff(times) <= 0).any():
        raise InputError(f"times must grow from 0 or later; they are {np.array2string(times, threshold=6)}.")
    return times


def check_start(sim, start, count, seed):
    """States (count, ...), checked against what `step` and `observe` do to them.

    Raises:
        InputError: as `trajectories`.
    """
    if start is None:
        if getattr(sim, "initial", None) is None:
            raise InputError(
                "start= is needed: states (trajectories, ...); this simulator has no initial(key) of its own."
            )
        checks.whole("trajectories", count, remedy="It is the number of independent starts.")
        start = _initial(sim, random.child(jax.random.key(checks.whole("seed", seed, low=0)), 0), count)
    elif getattr(sim, "initial", None) is not None:
        start = _like(jax.eval_shape(sim.initial, jax.random.key(0)), start)
    start = jax.tree.map(jnp.asarray, start)
    leaves = jax.tree.leaves(start)
    if not leaves or any(a.ndim == 0 or len(a) != len(leaves[0]) or len(a) == 0 for a in leaves):
        raise InputError("start must be states (trajectories, ...): every array with the same first axis, not empty.")
    if any(jnp.issubdtype(a.dtype, jnp.inexact) and not bool(jnp.isfinite(a).all()) for a in leaves):
        raise InputError("start holds NaN or infinity.")
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), start)
    sites = tuple(getattr(sim, "sites", ()))
    if any(a.shape[: len(sites)] != sites for a in jax.tree.leaves(one)):
        raise InputError(
            f"start has states of the shape {[a.shape for a in jax.tree.leaves(one)]}; the lattice is {sites}."
        )
    try:
        after = jax.eval_shape(sim.step, one, jax.random.key(0), 1.0)
    except TypeError as error:
        raise InputError(f"step cannot take a state like {one}: {str(error).splitlines()[0]}") from error
    if jax.tree.map(lambda a: (a.shape, a.dtype), after) != jax.tree.map(lambda a: (a.shape, a.dtype), one):
        raise InputError(f"step must return a state like the one it is given, {one}; it returns {after}.")
    z = jax.eval_shape(sim.observe, one)
    if getattr(z, "ndim", None) != 1:
        raise InputError(f"observe must return one axis of coordinates (d,); it returns {z}. For one: value[None].")
    return start


def _like(own, start):
    """`start` in the types of the simulator's own states, if that changes no value."""
    if len(jax.tree.leaves(own)) != len(jax.tree.leaves(start)):
        return start
    with np.errstate(invalid="ignore"):
        cast = jax.tree.map(lambda o, a: np.asarray(a).astype(o.dtype), own, start)
    same = jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), cast, jax.tree.map(np.asarray, start))
    return cast if all(jax.tree.leaves(same)) else start
