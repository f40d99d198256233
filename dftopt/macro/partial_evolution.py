r"""Partial evolution: one patch moves, its surroundings stay, and the factor between their noises is known.

$z_1 = \phi(x) + K [\phi(x \text{ with patch } I \text{ evolved}) - \phi(x)]$. With $\phi$ intensive, a microscopic event e
of rate $r_e$ changes it by $\Delta_e$; drift and diffusion of the whole system are $b = \sum_e r_e \Delta_e$ and
$\Sigma = \sum_e r_e \Delta_e \Delta_e^T$. If every event lies in the same fraction 1/K of all patches that may be drawn,
the mean over patches of $K \sum_{e \in I}$ is the sum over all e, hence $E[z_1 - z_0] = b\,dt$ and
$E_I \mathrm{Cov}[z_1 | x, I] = K \Sigma\,dt$ to first order in dt, without any factor to be tuned.

An event belongs to one site: a flip to its own, an exchange of two neighbours to the first of them, also where the second
lies outside of the patch. So exchange moves across the border are not dropped, and K is the number of sites over those of
the patch for every kind of move. A simulator that does drop them says so by `factor(block)`: all moves over allowed moves.
"""

from functools import partial
from math import prod

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.errors import InputError
from dftopt.macro import checks, random


def block_of(sim, patch: int | None) -> tuple[int, ...] | None:
    """Sites per axis of a patch; None for the whole system.

    Raises:
        InputError: no lattice, or a patch larger than it.
    """
    if patch is None:
        return None
    sites = tuple(getattr(sim, "sites", ()))
    if not sites:
        raise InputError(
            f"patch = {patch}: this simulator has no lattice (`sites`). patch=None evolves the whole system."
        )
    checks.whole("patch", patch, remedy="It is the edge of a patch in sites; None evolves the whole system.")
    block = tuple(sim.block(patch)) if hasattr(sim, "block") else (patch,) * len(sites)
    if any(b > s for b, s in zip(block, sites, strict=True)):
        raise InputError(
            f"patch = {patch} needs {block} sites; the lattice has {sites}. Take a smaller one, or None for all."
        )
    return None if block == sites else block


def factor_of(sim, block: tuple[int, ...] | None) -> float:
    """K: all events over those of a patch."""
    if block is None:
        return 1.0
    return float(sim.factor(block)) if hasattr(sim, "factor") else prod(sim.sites) / prod(block)


def corners(sim, block, snapshots: int, patches: int, seed: int) -> np.ndarray:
    """First sites (snapshots, patches, axes) of patches: different tiles of a randomly shifted tiling where it fits.

    Every site then lies in a patch with the same probability. Where patches do not tile the lattice, each is shifted
    independently.
    """
    rng = np.random.default_rng([seed, 2])
    sites = np.array(sim.sites)
    counts = sites // np.array(block)
    if (counts * np.array(block) != sites).any() or patches > counts.prod():
        return rng.integers(0, sites, (snapshots, patches, len(sites)))
    tiles = np.argsort(rng.random((snapshots, int(counts.prod()))), axis=1)[:, :patches]
    index = np.stack(np.unravel_index(tiles, tuple(counts)), -1)
    return (index * np.array(block) + rng.integers(0, sites, (snapshots, 1, len(sites)))) % sites


def evolve(sim, states, corner, seed, dt, factor, *, block, replicas, batch, rates, keep):
    """Partial evolutions of every snapshot: in JAX, or by the simulator's `host` where no rates are asked for.

    Args:
        sim: the simulator.
        states: snapshots (S, ...).
        corner: (S, P, axes) first sites of patches; (S, P, 0) for the whole system.
        seed: whole numbers, of all evolutions.
        dt: time step.
        factor: K.
        block: sites per axis, None for the whole system.
        replicas: R.
        batch: snapshots at once.
        rates: also b and D from `events`.
        keep: also the microscopic contents of the evolved block.

    Returns:
        z0 (S, d), z1 (S, P, R, d), b and D (S, P, d), (S, P, d, d) or None, evolved (S, P, R, ...) or None.
    """
    host = getattr(sim, "host", None)
    if host is None or rates:
        first, *rest = seed
        key = random.child(jax.random.key(first), *rest)
        return _evolve(
            sim, states, corner, key, dt, factor, block=block, replicas=replicas, batch=batch, rates=rates, keep=keep
        )
    z0, z1, evolved = host.observe(np.asarray(states)), [], []
    for i, state in enumerate(np.asarray(states)):
        after, z = host.step_patches(state, corner[i], [*seed, i], dt, block, replicas)
        z1.append(z0[i] + factor * (z - z0[i]))
        if keep and block is not None:
            axes = tuple(range(1, 1 + corner.shape[-1]))
            after = np.stack([np.roll(a, -c, axes) for a, c in zip(after, corner[i], strict=True)])
            after = after[(slice(None), slice(None), *(slice(b) for b in block))]
        evolved += [after] if keep else []
    return z0, np.stack(z1), None, np.stack(evolved) if keep else None


@partial(jax.jit, static_argnames=("block", "replicas", "batch", "rates", "keep"))
def _evolve(sim, states, corner, key, dt, factor, *, block, replicas, batch, rates, keep):
    margin = getattr(sim, "margin", 0)

    def patch_of(state, where, key):
        axes = tuple(range(len(where)))
        if block is not None:
            state = jax.tree.map(lambda a: jnp.roll(a, -where, axes), state)
        z0 = sim.observe(state)

        def replica(key):
            after = step(sim, state, key, dt, block)
            inner = None
            if keep:
                inner = jax.tree.map(lambda a: a[_inside(block, margin, a.shape)], after)
            return z0 + factor * (sim.observe(after) - z0), inner

        z1, inner = jax.vmap(replica)(random.split(key, replicas))
        return z0, z1, inner

    def snapshot(x):
        state, where, key = x
        z0, z1, inner = jax.vmap(patch_of, (None, 0, 0))(state, where, random.split(key, len(where)))
        return z0[0], z1, _sums(sim, state, where, block, factor) if rates else None, inner

    return jax.lax.map(snapshot, (states, corner, random.split(key, len(corner))), batch_size=batch)


def step(sim, state, key, dt, block):
    """State with the sites [0, block) evolved over dt, the rest frozen."""
    if block is None:
        return sim.step(state, key, dt)
    if hasattr(sim, "step_patch"):
        return sim.step_patch(state, key, dt, block)
    after = sim.step(state, key, dt)
    return jax.tree.map(lambda x, y: x.at[_inside(block, 0, x.shape)].set(y[_inside(block, 0, x.shape)]), state, after)


def _sums(sim, state, where, block, factor):
    """Drift (P, d) and diffusion (P, d, d) from the rates of the events of the patches that begin at `where` (P, axes)."""
    r, change = sim.events(state)
    axes = where.shape[1] or r.ndim - 1
    flat = lambda x, tail: x.reshape(*x.shape[:axes], -1, *tail)
    change = flat(change, change.shape[-1:])
    r = flat(r, ())
    sites = jnp.einsum("...e,...ed->...d", r, change), jnp.einsum("...e,...ed,...ec->...dc", r, change, change)
    if block is None:
        return tuple(jnp.broadcast_to(factor * x.sum(tuple(range(axes))), (len(where), *x.shape[axes:])) for x in sites)

    def of_patches(x):
        """Each site is in one patch or a few: every patch reads its own sites alone."""
        around = jnp.pad(x, [(0, b - 1) for b in block] + [(0, 0)] * (x.ndim - axes), mode="wrap")
        size = (*block, *x.shape[axes:])
        patch = lambda corner: jax.lax.dynamic_slice(around, (*corner, *(0,) * (x.ndim - axes)), size)
        return factor * jax.vmap(lambda corner: patch(corner).sum(tuple(range(axes))))(where)

    return tuple(map(of_patches, sites))


def _inside(block, margin, shape):
    return () if block is None else tuple(slice(min(b + margin, s)) for b, s in zip(block, shape, strict=False))
