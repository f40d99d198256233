"""Compiled steps of several structures of one shape: each device takes an equal share of them, and no two ever meet.

On a CPU a device computes its structures one after another, so that each one's arrays stay in the cache; an accelerator
computes all of them at once. Those that are finished take no part.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from dftopt.bases.devices import AXIS, mesh
from dftopt.minimization import descent
from dftopt.minimization import start as starting
from dftopt.minimization.refine import Seen, Settled, potential_seen


def members(function, devices: int, width: int, stacked, everywhere):
    """Results of `function(one, everywhere)` for each of the stacked structures, `width` at once on each device."""

    def some(stacked, everywhere):
        one = lambda x: function(x, everywhere)
        return jax.lax.map(one, stacked, batch_size=width if width > 1 else None)

    return _on_each(some, devices, stacked, everywhere)


def _on_each(function, devices: int, stacked, everywhere):
    """`function(share, everywhere)` on each device with its share of the structures."""
    if devices == 1:
        return function(stacked, everywhere)
    by_member = PartitionSpec(AXIS)
    split = jax.shard_map(
        function,
        mesh=mesh(devices, local=True),
        in_specs=(by_member, PartitionSpec()),
        out_specs=by_member,
        check_vma=False,
    )
    return split(stacked, everywhere)


@partial(jax.jit, static_argnames=("block", "wanted", "devices", "width"))
def begin(stacked, steps, tol, block: int, wanted: int, devices: int, width: int):
    """Orbitals relaxed a little in the potential of a starting density, and their levels.

    Args:
        stacked: orbitals (s, k, b, npw), densities on the grid and `Prepared` of each structure.
        steps: of the trace minimization.
        tol: its limit, hartree.
        block: bands transformed at once.
        wanted: bands that have to converge.
        devices: that share the structures.
        width: structures at once on a device.
    """

    def one(x, limits):
        psi, density, prepared = x
        potential = starting.potential_of(density, prepared)
        psi, e, _, _ = starting.lowest_orbitals(psi, potential, prepared.orbitals, *limits, block, wanted, 0)
        return psi, e

    return members(one, devices, width, stacked, (steps, tol))


@partial(jax.jit, static_argnames=("problem", "method", "n", "devices", "width"), donate_argnames="states")
def run(problem, states, data, temperature, method, n: int, devices: int, width: int):
    """A chunk of a descent, see `descent.run`: `data` are `Prepared`, tolerances and limits of passes of each structure."""

    def one(x, temperature):
        state, (prepared, tol, limit) = x
        return descent.run(problem, state, (prepared, temperature), tol, method, n, limit)

    return members(one, devices, width, (states, data), temperature)


@partial(jax.jit, static_argnames=("block", "wanted", "first", "devices", "width"))
def settle(stacked, steps, tol, block: int, wanted: int, first: int, devices: int, width: int) -> tuple[Seen, Settled]:
    """Potential and settled bands; see `refine`.

    Args:
        stacked: all bands (s, k, b, npw), those of the minimum with their occupations, and `Prepared` of each structure.
        steps: of the trace minimization at most.
        tol: its limit, hartree.
        block: bands transformed at once.
        wanted: bands that have to converge.
        first: bands taken as converged.
        devices: that share the structures.
        width: structures at once on a device.
    """

    def one(x, limits):
        full, psi, f, prepared = x
        seen = potential_seen(psi, f, prepared)
        found = starting.lowest_orbitals(full, seen.potential, prepared.orbitals, *limits, block, wanted, first)
        return seen, Settled(*found)

    return members(one, devices, width, stacked, (steps, tol))


def stack(trees: list, devices: int):
    """Structures side by side, each where it is computed."""
    return spread(_stack(trees), devices)


def spread(stacked, devices: int):
    """Arrays that lead with structures, each part where it is used."""
    if devices == 1:
        return jax.tree.map(jnp.asarray, stacked)
    return jax.device_put(stacked, NamedSharding(mesh(devices, local=True), PartitionSpec(AXIS)))


@jax.jit
def _stack(trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@partial(jax.jit, static_argnames="devices", donate_argnums=0)
def put(stacked, i, one, devices: int):
    """Structures with another one in place i."""

    def set_one(stacked, everywhere):
        place, one = everywhere
        held = len(jax.tree.leaves(stacked)[0])
        here = place - (held * jax.lax.axis_index(AXIS) if devices > 1 else 0)
        write = lambda s: jax.tree.map(lambda a, b: a.at[jnp.clip(here, 0, held - 1)].set(b), s, one)
        return jax.lax.cond((here >= 0) & (here < held), write, lambda s: s, stacked)

    return _on_each(set_one, devices, stacked, (i, one))


def take(stacked, i: int, devices: int):
    """The structure in place i, bound to no device; nothing else is moved."""
    if devices == 1:
        return _take(stacked, i)
    part, place = divmod(i, len(jax.tree.leaves(stacked)[0]) // devices)
    whole = lambda a: next(
        s.data for s in a.addressable_shards if (s.index[0].start or 0) == part * (len(a) // devices)
    )
    return jax.tree.map(
        lambda a: jnp.asarray(np.array(np.asarray(whole(a))[place])), stacked
    )  # a copy: `put` writes here


@jax.jit
def _take(stacked, i):
    return jax.tree.map(lambda a: a[i], stacked)
