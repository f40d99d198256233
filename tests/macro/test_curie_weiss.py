"""Curie-Weiss: the law of every step against the master equation, drift and diffusion against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import agree
from scipy.linalg import expm

from dftopt import macro
from dftopt.errors import InputError
from dftopt.macro import random

N = 20
step = jax.jit(jax.vmap(lambda sim, s, key, dt: sim.step(s, key, dt), (None, 0, 0, None)))
patch = jax.jit(jax.vmap(lambda sim, s, key, dt: sim.step_patch(s, key, dt, (8,)), (None, 0, 0, None)))


def master(n, frozen_up, frozen, beta, field):
    """Generator of the number of up spins among n that move, beside frozen ones."""
    G = np.zeros((n + 1, n + 1))
    for k in range(n + 1):
        t = np.tanh(beta * ((2 * (k + frozen_up) - n - frozen) / (n + frozen) + field))
        if k < n:
            G[k + 1, k] = (n - k) * (1 + t) / 2
        if k > 0:
            G[k - 1, k] = k * (1 - t) / 2
        G[k, k] = -G[:, k].sum()
    return G


@pytest.mark.parametrize(("beta", "field", "dt"), [(0.9, 0.0, 0.05), (1.3, 0.2, 1.0), (1.3, -0.2, 3.0)])
def test_law_of_a_step(beta, field, dt):
    sim = macro.CurieWeiss(N, beta, field)
    start = jnp.tile(jnp.where(jnp.arange(N) < 14, 1, -1).astype(jnp.int8), (40000, 1))
    up = np.asarray((step(sim, start, random.split(jax.random.key(1), len(start)), dt) > 0).sum(1))
    assert agree(up, np.arange(N + 1), expm(master(N, 0, 0, beta, field) * dt)[:, 14])


def test_law_of_a_patch_beside_frozen_spins():
    sim = macro.CurieWeiss(N, 1.3, 0.1)
    start = jnp.tile(jnp.where(jnp.arange(N) % 3 == 0, 1, -1).astype(jnp.int8), (40000, 1))
    after = np.asarray(patch(sim, start, random.split(jax.random.key(2), len(start)), 0.7))
    assert (after[:, 8:] == np.asarray(start)[:, 8:]).all()
    outside = int((start[0, 8:] > 0).sum())
    G = master(8, outside, N - 8, 1.3, 0.1)
    assert agree((after[:, :8] > 0).sum(1), np.arange(9), expm(G * 0.7)[:, int((start[0, :8] > 0).sum())])


def test_drift_and_diffusion_are_those_of_the_rates():
    sim = macro.CurieWeiss(4096, 1.2, 0.1)
    state = sim.initial(jax.random.key(0), 0.4)
    rates, change = sim.events(state)
    m = sim.observe(state)[0]
    np.testing.assert_allclose(jnp.sum(rates[..., None] * change), sim.drift(m), rtol=1e-12)
    np.testing.assert_allclose(jnp.sum(rates[..., None] * change**2), sim.diffusion(m), rtol=1e-12)
    np.testing.assert_allclose(sim.drift(m), np.tanh(1.2 * (m + 0.1)) - m, rtol=1e-14)
    np.testing.assert_allclose(sim.diffusion(m), 2 / 4096 * (1 - m * np.tanh(1.2 * (m + 0.1))), rtol=1e-14)


def test_starts():
    sim = macro.CurieWeiss(4096)
    assert abs(float(sim.observe(sim.initial(jax.random.key(0), 0.3))[0]) - 0.3) < 0.06
    m = jax.jit(jax.vmap(lambda k: sim.observe(sim.initial(k))[0]))(random.split(jax.random.key(1), 200))
    assert m.min() < -0.8 and m.max() > 0.8


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n": 0}, "n = 0"),
        ({"n": 10.5}, "n = 10.5 must be a whole number"),
        ({"beta": -1.0}, "beta = -1.0 must be at least 0"),
        ({"beta": float("nan")}, "beta = nan"),
        ({"field": "x"}, "field = 'x' must be a number"),
    ],
)
def test_unphysical_parameters_are_refused(arguments, match):
    with pytest.raises(InputError, match=match):
        macro.CurieWeiss(**arguments)
