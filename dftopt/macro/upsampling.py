r"""Snapshots of a large system from those of a small one, by doubling: `macro.upsample`.

Doubling joins two snapshots of the same macroscopic state, each shifted at random, along one axis of the lattice. Inside of
either half everything is as it was; where they meet, at two seams, neighbours do not know of each other. The microscopic
dynamics runs in a band around the seams, with all the rest frozen, until pairs of sites across a seam are distributed as
pairs in the small system, to a tolerance or to the noise of the snapshots at hand, and as long again, so that the rest of a
seam, which decays like an exponential, is far below that. No longer: while the rest is frozen the band keeps an equilibrium,
but it would leave a stationary state that is none, or a transient.

The two halves are independent, so a mean over the sites has half the variance after doubling, as it should; correlations
longer than the small system are not made up.

A simulator may know a better way (`host.mended`): on the lattice of an alloy atoms near the seams are exchanged until bonds
across them are those that either half had, also in a transient, where no dynamics would leave the state alone.
"""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.errors import DFTOptWarning, InputError
from dftopt.macro import checks, random
from dftopt.macro.simulator import as_simulator

DISTANCES = (1, 2, 3, 4)  # of the pairs across a seam that are compared
PATIENCE = 12  # intervals without improvement
RARE = 0.01  # of the sites: fewer of a kind (vacancies) tell nothing of a seam


def upsample(
    small_snapshots,
    factor: int = 8,
    sim=None,
    seed: int = 0,
    *,
    groups=None,
    apart: bool = False,
    width: int | None = None,
    tolerance: float = 0.02,
    interval: float | None = None,
    longest: int = 64,
) -> Any:
    """Snapshots of a system with `factor` times the sites.

    Args:
        small_snapshots: (S, *sites, ...) states of the small system, all in the same macroscopic state, or in `groups`.
        factor: in sites, a power of 2.
        sim: the simulator of the large system: the axes are doubled up to its `sites`. With the sites of the small one the
            shortest axis is doubled each time.
        seed: whole number.
        groups: (S,) labels; only snapshots of one label (a time, a temperature) are joined with each other.
        apart: no snapshot is part of two large ones: these are independent of each other, and `factor` times fewer.
        width: sites on either side of a seam that relax; default the simulator's `seam`, else 8.
        tolerance: of pair statistics at the seam against those of the small system, relative.
        interval: of time between two comparisons; default 32 times the simulator's `dt`.
        longest: number of intervals after which relaxation is given up.

    Returns:
        (S, *large sites, ...) NumPy arrays, S / factor of them with `apart`. The numbers of each conserved kind (the
        simulator's `conserved`: groups of integer codes) are those of the snapshots that were joined.

    Raises:
        InputError: a factor that is no power of 2, snapshots of another shape than the lattice, NaN, no time unit known, or `apart` with
            fewer snapshots in a group than `factor`.

    Warns:
        DFTOptWarning: seams still differ from the bulk after `longest` intervals; by how much.
    """
    sim = as_simulator(sim) if sim is not None else None
    if sim is None or not getattr(sim, "sites", ()):
        raise InputError(
            "macro.upsample needs sim=, a simulator with a lattice (`sites`): its dynamics heals the seams."
        )
    state = np.asarray(small_snapshots)
    axes = _axes(state, factor, tuple(sim.sites))
    width = checks.whole("width", getattr(sim, "seam", 8) if width is None else width)
    checks.whole("longest", longest)
    checks.number("tolerance", tolerance, above=0)
    interval = 32 * sim.dt if interval is None and hasattr(sim, "dt") else interval
    if interval is None:
        raise InputError(
            "interval= is needed: a time in which neighbours react to each other, in the simulator's unit."
        )
    checks.number("interval", interval, above=0)
    labels = np.zeros(len(state), int) if groups is None else np.unique(groups, return_inverse=True)[1]
    if labels.shape != (len(state),):
        raise InputError(f"groups must have one label per snapshot, {len(state)}; it has the shape {np.shape(groups)}.")
    fewest = int(np.unique(labels, return_counts=True)[1].min())
    if apart and fewest < factor:
        raise InputError(
            f"apart: {factor} snapshots make one large one, and a group has {fewest}. Take more, or a smaller factor."
        )
    rng = np.random.default_rng([checks.whole("seed", seed, low=0), 4])
    k = len(sim.sites)
    for level, axis in enumerate(axes):
        compare = _comparison(sim, axis, k, state)
        reference = compare(state, False)
        first, second = _halves(labels, rng) if apart else (np.arange(len(labels)), _partners(labels, rng))
        labels = labels[first]
        state = np.concatenate([_shifted(state[first], k, rng), _shifted(state[second], k, rng)], axis + 1)
        counts = _counts(sim, state)
        near = _near(state.shape[1 : 1 + k], axis, width)
        if hasattr(getattr(sim, "host", None), "mended"):
            state = sim.host.mended(state, (seed, 1000 + level), axis)
        else:
            state = _healed(sim, state, near, compare, reference, (seed, 1000 + level), interval, tolerance, longest)
        state = _restored(sim, state, counts, near, rng)
    return state


def _axes(state, factor, sites):
    """Which axis is doubled, one after another."""
    checks.whole("factor", factor, remedy="It counts sites: 8 turns 16 x 16 sites into 64 x 32.")
    doublings = factor.bit_length() - 1
    if factor != 1 << doublings:
        raise InputError(f"factor = {factor} is no power of 2: the system is doubled.")
    if state.ndim < 1 + len(sites) or len(state) == 0:
        raise InputError(
            f"small_snapshots has the shape {state.shape}; it must be (snapshots, *sites), sites like {sites}."
        )
    if state.dtype.kind == "f" and not np.isfinite(state).all():
        raise InputError("small_snapshots holds NaN or infinity.")
    shape = state.shape[1 : 1 + len(sites)]
    goal = sites if shape != sites else (factor * max(sites),) * len(sites)  # no goal: keep the lattice square
    small, axes = list(shape), []
    for _ in range(doublings):
        axes.append(max(range(len(sites)), key=lambda a: goal[a] / small[a]))
        small[axes[-1]] *= 2
    if shape != sites and tuple(small) != sites:
        raise InputError(
            f"Snapshots of {shape} sites times {factor} do not make the lattice {sites} of the simulator, axis by axis in powers "
            "of 2: change the factor, or the size of the simulator."
        )
    return axes


def _partners(labels, rng):
    """Another snapshot of the same label for each (itself where there is no other)."""
    out = np.arange(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        out[members] = np.roll(members, 1)
    return out


def _halves(labels, rng):
    """Pairs of snapshots of one label, each in one pair; where their number is odd, one is left out."""
    first, second = [], []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        half = len(members) // 2
        first.append(members[:half])
        second.append(members[half : 2 * half])
    return np.concatenate(first), np.concatenate(second)


def _shifted(state, k, rng):
    return np.stack([np.roll(s, tuple(rng.integers(0, s.shape[:k])), tuple(range(k))) for s in state])


def _near(sites, axis, width):
    """Mask of the sites within `width` of a seam: at the beginning and in the middle of the axis."""
    half = sites[axis] // 2
    x = np.arange(sites[axis]) % half
    near = (x < width) | (x >= half - width)
    return np.broadcast_to(near.reshape([-1 if a == axis else 1 for a in range(len(sites))]), sites)


def _pairs(state, axis, k, seams):
    """Mean difference of pairs along an axis (S, distances, components): across the seams, or of all pairs.

    Squared for real numbers; for codes 1 where they are unlike.
    """
    length = state.shape[axis + 1]
    half = length // 2
    out = []
    for r in DISTANCES:
        other = np.roll(state, -r, axis + 1)
        apart = (state - other) ** 2 if state.dtype.kind == "f" else (state != other).astype(float)
        if seams:
            apart = np.take(apart, [x % length for end in (half, length) for x in range(end - r, end)], axis + 1)
        out.append(apart.mean(tuple(range(1, k + 1))).reshape(len(state), -1))
    return np.stack(out, 1)


def _comparison(sim, axis, k, state):
    """Pair statistics `(state, seams) -> (S, ...)` for seams across an axis."""
    if not hasattr(sim, "links"):
        return lambda state, seams: _pairs(state, axis, k, seams)
    codes, counts = np.unique(state, return_counts=True)
    codes = codes[counts > RARE * state.size]
    return lambda state, seams: _linked(state, axis, codes, sim.links(axis), seams)


def _linked(state, axis, codes, links, seams):
    """Frequencies of unlike pairs of codes (S, kinds of bonds, pairs) at the ends of bonds one cell along an axis."""
    length = state.shape[axis + 1]
    pairs = [(a, b) for i, a in enumerate(codes) for b in codes[i + 1 :]]
    at = [length // 2 - 1, length - 1] if seams else np.arange(length)
    out = np.zeros((len(state), len(links), len(pairs)))
    for kind, bonds in enumerate(links):
        for b, step, c in bonds:
            here = np.take(state[..., b], at, axis + 1)
            there = np.take(np.roll(state[..., c], tuple(-x for x in step), (1, 2, 3)), at, axis + 1)
            for p, (x, y) in enumerate(pairs):
                out[:, kind, p] += (((here == x) & (there == y)) | ((here == y) & (there == x))).mean((1, 2, 3))
        out[:, kind] /= len(bonds)
    return out


def _healed(sim, state, near, compare, reference, seed, interval, tolerance, longest):
    """State after the band has relaxed; see `upsample`."""
    bulk = reference.mean(0)

    def deviation(state):
        """The largest over distances and components: relative to what is allowed, and to the bulk value."""
        seam = compare(state, True)
        noise = np.sqrt((seam.var(0) + reference.var(0)) / max(len(seam) - 1, 1))
        away = abs(seam.mean(0) - bulk)
        return float(np.max(away / np.maximum(np.maximum(tolerance * bulk, 2 * noise), 1e-12))), float(
            np.max(away / np.maximum(bulk, 1e-12))
        )

    def relaxed(state, i):
        if getattr(sim, "host", None) is not None:
            return sim.host.step_where(state, [*seed, i], interval, near)
        key = random.child(random.child(jax.random.key(seed[0]), seed[1]), i)
        return np.asarray(_relax(sim, state, jnp.asarray(near), key, interval))

    best, used = (*deviation(state), state, 0), 0
    while best[0] > 1 and used < longest and used < best[3] + PATIENCE:
        state = relaxed(state, used)
        used += 1
        best = min(best, (*deviation(state), state, used), key=lambda x: x[0])
    if best[0] <= 1:  # as long again: what is left of the seam is the square of the tolerance, not up to all of it
        for i in range(used, 2 * used):
            state = relaxed(state, i)
        return state
    warnings.warn(
        f"Seams still differ from the bulk after {used} intervals of {interval:g}: pair statistics by {100 * best[1]:.1f} %. "
        "Raise longest or width, shorten interval, or start from larger systems: correlations may be as long as the small "
        "one, or the macroscopic state changes while seams heal.",
        DFTOptWarning,
        stacklevel=3,
    )
    return best[2]


@jax.jit
def _relax(sim, states, near, key, dt):
    """States after dt with the dynamics of the sites `near` alone."""

    def one(state, key):
        if hasattr(sim, "step_where"):
            return sim.step_where(state, key, dt, near)
        after = sim.step(state, key, dt)
        return jnp.where(near.reshape(near.shape + (1,) * (state.ndim - near.ndim)), after, state)

    return jax.vmap(one)(jnp.asarray(states), random.split(key, len(states)))


def _counts(sim, state):
    """Numbers of each conserved kind in every snapshot (S, kinds)."""
    sites = tuple(range(1, state.ndim))
    return np.stack(
        [np.isin(state, codes).sum(sites) for codes in getattr(sim, "conserved", ())] or [np.zeros(len(state))], 1
    )


def _restored(sim, state, counts, near, rng):
    """Change the least number of sites near the seams, so that every conserved kind has its number again."""
    kinds = getattr(sim, "conserved", ())
    state = state.copy()
    for snapshot, excess in zip(state, _counts(sim, state) - counts, strict=True):
        lacking = [codes for codes, e in zip(kinds, excess, strict=False) for _ in range(int(max(-e, 0)))]
        surplus = [
            site
            for codes, e in zip(kinds, excess, strict=False)
            if e > 0
            for site in rng.permutation(np.argwhere(np.isin(snapshot, codes) & near))[: int(e)]
        ]
        for site, codes in zip(surplus, lacking, strict=True):
            present = snapshot[np.isin(snapshot, codes)]
            snapshot[tuple(site)] = rng.choice(present) if present.size else codes[0]
    return state
