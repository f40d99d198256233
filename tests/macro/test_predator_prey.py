"""Predator and prey: the deterministic limit, the linear theory of fluctuations, and patches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import solve_discrete_lyapunov

from dftopt import macro
from dftopt.errors import InputError
from dftopt.macro import random

N = 24
step = jax.jit(jax.vmap(lambda sim, s, key, dt: sim.step(s, key, dt), (None, 0, 0, None)))


def bumps(n):
    x = 2 * np.pi * np.arange(n) / n
    return np.stack([0.5 + 0.2 * np.cos(x), 0.6 + 0.1 * np.sin(2 * x)], -1)


def rhs(t, y):
    u, v = y.reshape(N, 2).T
    lap = np.roll(v, 1) - 2 * v + np.roll(v, -1)
    return np.stack([u * (1 - u - v), 3 * v * (u - 0.4) + lap / 0.8**2], -1).ravel()


def test_without_noise_it_is_the_differential_equation():
    """Euler steps err in first order: halving them and extrapolating meets an adaptive integrator."""
    start = bumps(N)
    exact = solve_ivp(rhs, (0, 5), start.ravel(), rtol=1e-11, atol=1e-12).y[:, -1].reshape(N, 2)
    key = random.split(jax.random.key(0), 1)
    ends = [
        np.asarray(step(macro.PredatorPrey(N, 0.0, 0.8, h), jnp.asarray(start[None]), key, 5.0)[0])
        for h in (0.01, 0.005, 0.0025)
    ]
    errors = [abs(end - exact).max() for end in ends]
    assert errors[0] < 1e-2 and 1.9 < errors[0] / errors[1] < 2.1
    first, second = 2 * ends[1] - ends[0], 2 * ends[2] - ends[1]
    assert abs((4 * second - first) / 3 - exact).max() < 1e-6


def test_fluctuations_are_those_of_the_linear_theory():
    """Small noise: every Fourier mode is a discrete Ornstein-Uhlenbeck process of known covariance."""
    h, noise, copies = 0.05, 1e-3, 64
    sim = macro.PredatorPrey(N, noise, 1.0, h)
    state = jnp.tile(jnp.array([0.4, 0.6]), (copies, N, 1))
    records = []
    for i in range(41):
        state = step(sim, state, random.split(jax.random.key(i), copies), 10.0)
        records.append(np.asarray(state) - [0.4, 0.6])
    modes = np.fft.fft(np.array(records[4:]), axis=2)  # (time, copies, mode, 2)
    for k in (0, 1, 4, 12):
        A = np.eye(2) + h * np.array([[-0.4, -0.4], [1.8, -2 * (1 - np.cos(2 * np.pi * k / N))]])
        exact = solve_discrete_lyapunov(A, h * noise**2 * np.eye(2) * N)
        both = np.concatenate([modes[:, :, k], modes[:, :, -k]], 1)
        per_copy = np.einsum("tci,tcj->cij", both, both.conj()).real / len(both)
        error = per_copy.std(0) / np.sqrt(copies)
        assert (abs(per_copy.mean(0) - exact) < 4 * error + 0.01 * np.sqrt(np.outer(*[np.diag(exact)] * 2))).all()
        assert (np.diag(error) < 0.1 * np.diag(exact)).all()


def test_variance_of_the_means_falls_as_one_over_n():
    variance = []
    for n in (24, 96):
        sim = macro.PredatorPrey(n, micro_dt=0.05)
        state = jnp.tile(jnp.array([0.4, 0.6]), (192, n, 1))
        means = []
        for i in range(12):
            state = step(sim, state, random.split(jax.random.key(i), 192), 10.0)
            means.append(np.asarray(state.mean(1)))
        variance.append(np.array(means[3:]).var((0, 1)))
    assert (abs(variance[0] / variance[1] / 4 - 1) < 0.2).all()


def test_patches_see_frozen_neighbours_and_all_cells_equally():
    """Without noise the mean over all shifts of a patch gives the drift of the whole, with first order in dt left."""
    sim = macro.PredatorPrey(N, 0.0)
    start = jnp.asarray(bumps(N))
    whole = sim.observe(sim.step(start, jax.random.key(0), 0.01)) - sim.observe(start)
    evolve = jax.jit(lambda x: sim.step_patch(x, jax.random.key(0), 0.01, (6,)))
    parts = []
    for shift in range(N):
        x = jnp.roll(start, -shift, 0)
        after = evolve(x)
        np.testing.assert_array_equal(after[6:], x[6:])
        parts.append(sim.observe(after) - sim.observe(x))
    np.testing.assert_allclose(4 * np.mean(parts, 0), whole, rtol=1e-10)
    where = jnp.arange(N) < 6
    np.testing.assert_allclose(sim.step_where(start, jax.random.key(0), 0.01, where), evolve(start), atol=1e-15)
    data = macro.sample(macro.PredatorPrey(100), 40, 20, seed=0, dt=0.01, times=[0.0, 5.0], replicas=8, check=False)
    ratio = np.einsum("mii->mi", data.D_hat) / (0.02**2 / 100)
    assert data.factor[0] == 5 and (abs(ratio.mean(0) - 1) < 4 * ratio.std(0) / np.sqrt(len(ratio))).all()
    assert abs(data.D_hat[:, 0, 1].mean()) < 4 * data.D_hat[:, 0, 1].std() / np.sqrt(len(ratio))


def test_starts_stay_where_densities_are_positive():
    paths = macro.trajectories(macro.PredatorPrey(100, micro_dt=0.05), 64, [0.0, 2.0, 4.0, 6.0, 10.0], snapshots=True)
    assert paths.states.min() > 0 and paths.z[:, 0].min() > 0.15


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n": 2}, "n = 2"),
        ({"noise": -0.1}, "noise = -0.1"),
        ({"dx": 0.1}, "micro_dt = 0.01 is unstable with dx = 0.1"),
        ({"micro_dt": 0.0}, "micro_dt = 0.0"),
    ],
)
def test_unphysical_parameters_are_refused(arguments, match):
    with pytest.raises(InputError, match=match):
        macro.PredatorPrey(**arguments)
