"""Upsampling: large snapshots made from small ones against large ones simulated directly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dftopt import macro
from dftopt.errors import DFTOptWarning, InputError
from dftopt.macro import checkerboard, random, upsampling
from dftopt.macro.sir import EMPTY

sweeps = jax.jit(jax.vmap(checkerboard.sweeps, (0, 0, None, None, None)))


def equilibrium(L, T, copies, seed):
    start = macro.Ising(L, T).initial(jax.random.key(seed), 0.0)
    return np.asarray(sweeps(jnp.tile(start, (copies, 1, 1)), random.split(jax.random.key(seed), copies), 400, T, 0.0))


def correlations(state):
    """Mean of s s' at distances 1 to 10 along both axes, (S, 10); the first is minus half of the energy."""
    pairs = [(state * (np.roll(state, r, 1) + np.roll(state, r, 2)) / 2).mean((1, 2)) for r in range(1, 11)]
    return np.stack(pairs, -1)


def across(state, axis, at):
    return (np.take(state, at - 1, axis) * np.take(state, at, axis)).mean(1)


def test_energies_and_correlations_are_those_of_direct_simulation():
    T, copies = 2.8, 160
    sim = macro.Ising(32, T)
    large = macro.upsample(equilibrium(16, T, copies, 1), 4, sim, seed=0)
    direct = equilibrium(32, T, copies, 2)
    assert large.shape == direct.shape and large.dtype == direct.dtype
    a, b = correlations(large), correlations(direct)
    error = np.sqrt((a.var(0) + b.var(0)) / copies)
    assert (abs(a.mean(0) - b.mean(0)) < 3 * error).all() and (error < 0.006).all()
    for axis, at in ((1, 16), (1, 0), (2, 16), (2, 0)):  # the seams themselves
        seam = across(large.astype(float), axis, at)
        assert abs(seam.mean() - b.mean(0)[0]) < 3.5 * seam.std() / np.sqrt(copies)
    m = [32 * 32 * (s.mean((1, 2)) ** 2) for s in (large, direct)]  # susceptibility: halves are independent
    assert abs(m[0].mean() - m[1].mean()) < 3 * np.sqrt((m[0].var() + m[1].var()) / copies)


def test_seams_are_seen_before_they_heal():
    small = equilibrium(16, 2.8, 40, 1)
    joined = np.concatenate([small, np.roll(small, 1, 0)], 1)
    bulk, seam = (upsampling._pairs(x, 0, 2, seams).mean(0)[0, 0] for x, seams in ((small, False), (joined, True)))
    assert bulk < 0.3 and seam > 0.45


def test_people_are_conserved():
    sim = macro.SIRLattice(24, 3.0, 1.0, 2.0, density=0.6)
    start = macro.SIRLattice(12, 3.0, 1.0, 2.0, density=0.6)
    small = jax.jit(jax.vmap(lambda key: start.initial(key, infected=10)))(random.split(jax.random.key(0), 20))
    small = jax.jit(jax.vmap(lambda x, key: start.step(x, key, 0.5)))(small, random.split(jax.random.key(1), 20))
    large = macro.upsample(small, 4, sim, seed=1, width=3)
    assert large.shape == (20, 24, 24) and ((large != EMPTY).sum((1, 2)) == 4 * round(0.6 * 144)).all()


def test_conserved_numbers_are_restored_where_a_black_box_changes_them():
    def step(x, key, dt):
        return jnp.where(jax.random.uniform(key, x.shape) < 0.2, 1, x).astype(x.dtype)  # fills the lattice

    class Box:
        sites, conserved, dt = (8, 8), ((0,), (1, 2)), 1.0
        observe = staticmethod(lambda x: x.mean(keepdims=True).ravel())

        def step(self, x, key, dt):
            return step(x, key, dt)

    small = np.random.default_rng(0).choice([0, 1, 2], p=[0.5, 0.2, 0.3], size=(6, 4, 4)).astype(np.int8)
    small[:, 0] = [0, 0, 1, 2]
    with pytest.warns(DFTOptWarning, match="Seams still differ"):
        large = macro.upsample(small, 4, Box(), seed=0, width=1, longest=2, tolerance=1e-9)
    empty = (small == 0).sum((1, 2))
    assert (large == 0).sum() == 4 * empty.sum()
    assert all(min(empty) * 4 <= count <= max(empty) * 4 for count in (large == 0).sum((1, 2)))


def test_real_numbers_on_a_line():
    """Predator and prey: variance and neighbour correlation of the stationary field from 24 cells to 96."""
    sims = {n: macro.PredatorPrey(n, micro_dt=0.05) for n in (24, 96)}
    paths = {n: macro.trajectories(sim, 96, [30.0], seed=n, snapshots=True).states[:, 0] for n, sim in sims.items()}
    large = macro.upsample(paths[24], 4, sims[96], seed=0)
    assert large.shape == (96, 96, 2)
    for r in (0, 1, 2, 4):
        moments = []
        for x in (large, paths[96]):
            away = x - [0.4, 0.6]
            moments.append((away * np.roll(away, r, 1)).mean(1))
        error = np.sqrt((moments[0].var(0) + moments[1].var(0)) / 96)
        assert (abs(moments[0].mean(0) - moments[1].mean(0)) < 3.5 * error).all()


def test_curie_weiss_has_no_seams_and_groups_stay_apart():
    up, down = np.ones((3, 64), np.int8), -np.ones((3, 64), np.int8)
    large = macro.upsample(np.concatenate([up, down]), 4, macro.CurieWeiss(256), groups=[0, 0, 0, 1, 1, 1], seed=0)
    np.testing.assert_array_equal(large, np.repeat([[1], [-1]], 3, axis=0) * np.ones((6, 256)))
    assert macro.upsample(up, 2, macro.CurieWeiss(64), seed=0).shape == (3, 128)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"factor": 3}, "factor = 3 is no power of 2"),
        ({"factor": 8}, "do not make the lattice \\(16, 16\\)"),
        ({"factor": 0}, "factor = 0"),
        ({"sim": None}, "needs sim="),
        ({"sim": macro.Simulator(lambda x, k, t: x, lambda x: x.mean()[None])}, "needs sim="),
        ({"groups": [0]}, "one label per snapshot"),
        ({"small_snapshots": np.zeros((4, 8))}, "must be \\(snapshots, \\*sites\\)"),
        ({"interval": -1.0}, "interval = -1.0"),
    ],
)
def test_wrong_input_is_refused(arguments, match):
    good = {"small_snapshots": np.ones((4, 8, 8), np.int8), "factor": 4, "sim": macro.Ising(16)}
    with pytest.raises(InputError, match=match):
        macro.upsample(**(good | arguments))
