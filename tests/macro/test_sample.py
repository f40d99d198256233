"""Partial evolution: the factor, both estimators, the check of the time step, and a user's own simulator."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dftopt import macro
from dftopt.errors import DFTOptWarning, InputError
from dftopt.macro.clocks import ring
from dftopt.macro.random import below

CURIE_WEISS = macro.CurieWeiss(1024, 0.9, 0.1)
TIMES = np.arange(0.0, 6.0, 0.5)


def relative(values, exact):
    """Mean ratio of estimates to exact values, and its standard error."""
    ratio = values / exact
    return ratio.mean() - 1, ratio.std() / np.sqrt(len(ratio))


@pytest.mark.parametrize("patch", [8, None])
def test_both_estimators_meet_the_exact_drift_and_diffusion(patch):
    """At dt = 1/64 sweep the black box is 1.5 % low in D at m = 0 (and exact rates are exact)."""
    for estimator in ("rates", "steps"):
        data = macro.sample(CURIE_WEISS, 100, patch, seed=1, estimator=estimator, times=TIMES, replicas=4, check=False)
        assert data.factor[0] == (16 if patch else 1) and data.estimator == estimator and data.n == 1024
        m = data.z0[:, 0]
        b, D = np.asarray(CURIE_WEISS.drift(m)), np.asarray(CURIE_WEISS.diffusion(m))
        bias, error = relative(data.D_hat[:, 0, 0], D)
        assert -0.02 - 3 * error < bias < 3 * error + 1e-12 and error < 0.03
        slope = (data.b_hat[:, 0] * b).sum() / (b * b).sum() - 1
        error = (data.b_hat[:, 0] - b).std() / np.sqrt((b * b).sum())
        assert abs(slope) < 3 * error + 0.01 and error < 0.06
        if estimator == "rates" and patch is None:
            np.testing.assert_allclose(data.b_hat[:, 0], b, atol=1e-12)
            np.testing.assert_allclose(data.D_hat[:, 0, 0], D, rtol=1e-12)


def test_noise_of_steps_is_the_factor_times_that_of_the_system():
    """Covariance of z1 among replicas is K Sigma dt, for patches of any size."""
    scale = []
    for patch in (4, 16, None):
        data = macro.sample(CURIE_WEISS, 50, patch, seed=2, dt=1 / 256, times=TIMES, replicas=8, check=False)
        away = data.z1 - data.z1.mean(1, keepdims=True)
        D = np.asarray(CURIE_WEISS.diffusion(data.z0[:, 0]))
        ratio = (away**2).sum((1, 2)) / 7 / (data.factor * data.dt * D)
        assert abs(ratio.mean() - 1) < 3 * ratio.std() / np.sqrt(len(ratio)) + 0.005
        scale.append(data.factor[0])
    assert scale == [64, 4, 1]


def test_every_site_lies_in_equally_many_patches():
    from dftopt.macro.partial_evolution import corners

    ising = macro.Ising(6)
    for block, patches in (((2, 2), 4), ((3, 3), 4), ((4, 4), 2)):
        where = corners(ising, block, 3000, patches, seed=0)
        count = np.zeros((6, 6))
        for i in range(block[0]):
            for j in range(block[1]):
                np.add.at(count, ((where[..., 0] + i) % 6, (where[..., 1] + j) % 6), 1)
        mean = 3000 * patches * np.prod(block) / 36
        assert abs(count.sum() - 36 * mean) < 1e-9 and abs(count / mean - 1).max() < 5 / np.sqrt(mean)
    tiling = corners(ising, (3, 3), 100, 4, seed=0)  # all four tiles: every site exactly once
    assert all(len({tuple((c - w[0]) % 6) for c in w}) == 4 for w in tiling)


def test_too_long_a_step_is_said_with_its_bias():
    """0.94 of the diffusion at 1/16 sweep, near m = 0 (Glauber rates)."""
    sim = macro.CurieWeiss(1024, 0.0)
    with pytest.warns(DFTOptWarning, match="the step is too long against a sweep"):
        macro.sample(sim, 40, 16, seed=3, dt=0.25, times=[3.0, 4.0, 5.0])
    states = macro.trajectories(sim, 200, [4.0], seed=0, snapshots=True).states[:, 0]
    for dt in (1 / 4, 1 / 64):
        report = macro.lag_check(sim, states, patch=16, dt=dt)
        expected = (1 - np.exp(-2 * dt)) / (2 * dt) - 1  # a free spin: variance 1 - exp(-2 dt) in place of 2 dt
        value, error = report.diffusion_bias
        assert report.exact and abs(value - expected) < 3 * error + 0.003 and error < 0.03
        assert bool(report.message) == (dt == 1 / 4)


def persistent(tau):
    """A user's simulator whose velocity persists for tau: its diffusion appears only at lags beyond tau."""

    def step(state, key, dt):
        count = 64
        h = dt / count

        def micro(x, k):
            velocity = x[1] - x[1] * h / tau + jnp.sqrt(2 * h) / tau * jax.random.normal(k)
            return jnp.stack([x[0] + h * velocity, velocity]), None

        return jax.lax.scan(micro, state, jax.random.split(key, count))[0]

    def initial(key):
        return jnp.stack([0.0, jax.random.normal(key) / jnp.sqrt(tau)])

    return macro.Simulator(step, lambda state: state[:1], initial=initial, names=("position",))


def test_correlated_microscopic_moves_are_said():
    sim = persistent(0.2)
    with pytest.warns(DFTOptWarning, match="microscopic moves are correlated"):
        data = macro.sample(sim, 20, dt=0.1, times=[1.0, 2.0])
    assert data.names == ("position",) and data.factor[0] == 1 and data.n == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        macro.sample(noisy_line(120), 20, dt=0.01, times=[1.0, 2.0])


def noisy_line(n):
    """A user's lattice of independent relaxing cells: one function step and observe, and the lattice's shape."""

    def step(x, key, dt):
        return x * jnp.exp(-dt) + jnp.sqrt((1 - jnp.exp(-2 * dt)) / 2) * jax.random.normal(key, x.shape)

    def initial(key):
        return jax.random.normal(key, (n,)) + 1

    return macro.Simulator(step, lambda x: x.mean(keepdims=True), initial=initial, sites=(n,))


def test_a_users_own_lattice_is_sampled_by_patches():
    data = macro.sample(noisy_line(120), 100, patch=20, seed=0, dt=0.01, times=[0.0, 0.5], replicas=8, check=False)
    assert data.factor[0] == 6 and len(data) == 100 * 2 * 6
    bias, error = relative(data.D_hat[:, 0, 0], 1 / 120)
    assert abs(bias + 0.01) < 3 * error + 0.01 and error < 0.02
    slope = -(data.b_hat * data.z0).sum() / (data.z0**2).sum()
    assert abs(slope - 1) < 0.1


class Exchange:
    """Pairs of neighbours on a ring swap at rate 1; a patch drops the pairs that cross its border."""

    sites, dt, times = (48,), 1 / 64, (0.0,)

    def observe(self, x):
        return jnp.mean(x * jnp.roll(x, 1)).astype(float)[None]

    def initial(self, key):
        return jnp.where(jax.random.uniform(key, self.sites) < 0.5, 1, -1)

    def factor(self, block):
        return 48 / (block[0] - 1)

    def step(self, x, key, dt):
        return self.swaps(x, key, dt, 48)

    def step_patch(self, x, key, dt, block):
        return self.swaps(x, key, dt, block[0] - 1)

    def swaps(self, x, key, dt, bonds):
        def attempt(x, words, rings):
            i = below(words[0], bonds)
            j = (i + 1) % 48
            a, b = x[i], x[j]
            return x.at[i].set(jnp.where(rings, b, a)).at[j].set(jnp.where(rings, a, b))

        return ring(x, key, bonds * dt, attempt)


def test_exchange_moves_count_possible_over_allowed_moves():
    """D = sum over pairs of the squared change; with K = sites over sites of the patch it would be a quarter too low."""
    sim = Exchange()
    data = macro.sample(sim, 400, 4, seed=0, replicas=8, patches=12, check=False, snapshots=True)
    assert data.factor[0] == 16
    x = np.asarray(data.snapshots)
    change = (np.roll(x, -1, 1) - x) * (np.roll(x, 1, 1) - np.roll(x, -2, 1)) / 48  # of the swap of i and i + 1
    D, b = (change**2).sum(1)[data.snapshot], change.sum(1)[data.snapshot]
    ratio = data.D_hat[:, 0, 0].mean() / D.mean()
    assert abs(ratio - 1) < 3 * data.D_hat[:, 0, 0].std() / np.sqrt(len(data)) / D.mean() + 0.02
    slope = (data.b_hat[:, 0] * b).sum() / (b * b).sum()
    assert abs(slope - 1) < 4 * (data.b_hat[:, 0] - b).std() / np.sqrt((b * b).sum())


def test_kept_microscopic_states_reproduce_the_rows():
    sim = macro.Ising(8, 2.5)
    data = macro.sample(sim, 10, 4, seed=0, dt=0.5, times=[0.0, 1.0, 3.0], snapshots=True, check=False)
    before, after = data.microscopic(slice(None))
    observe = jax.jit(jax.vmap(sim.observe))
    np.testing.assert_allclose(observe(before), data.z0, atol=1e-14)
    z1 = np.asarray(observe(after.reshape(-1, 8, 8))).reshape(len(data), data.replicas, 1)
    np.testing.assert_allclose(data.z0[:, None] + 4 * (z1 - data.z0[:, None]), data.z1, atol=1e-14)
    assert (after[:, :, 4:] == before[:, None, 4:]).all() and (after[:, :, :4, :4] != before[:, None, :4, :4]).any()
    tiles, later = data.tiles(before), data.tiles(after, lead=2)
    assert (later[:, :, 1:] == tiles[:, None, 1:]).all() and tiles.shape == (len(data), 4, 4, 4)


def test_one_seed_one_answer_and_new_parameters_need_no_compilation():
    from dftopt.macro.partial_evolution import _evolve as compiled

    def run(seed, beta):
        return macro.sample(macro.CurieWeiss(64, beta), 6, 4, seed=seed, times=[0.0, 1.0], check=False)

    one, size = run(1, 0.9), compiled._cache_size()
    again, other, warmer = run(1, 0.9), run(2, 0.9), run(1, 0.5)
    assert compiled._cache_size() == size
    np.testing.assert_array_equal(one.z1, again.z1)
    assert (one.z1 != other.z1).any() and (one.z1 != warmer.z1).any()
    assert warmer.parameter_names == ("beta", "field") and (warmer.parameters == [0.5, 0.0]).all()
    both = macro.join([one, warmer])
    assert len(both) == 2 * len(one) and len(np.unique(both.trajectory)) == 12


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"patch": 40}, "patch = 40 needs"),
        ({"patch": 0}, "patch = 0"),
        ({"dt": 0.0}, "dt = 0.0 must be larger than 0"),
        ({"dt": float("nan")}, "dt = nan"),
        ({"trajectories": 0}, "trajectories = 0"),
        ({"replicas": 0}, "replicas = 0"),
        ({"estimator": "exact"}, "estimator = 'exact' is unknown"),
        ({"times": [1.0, 1.0]}, "times must grow"),
        ({"times": [-1.0]}, "times must grow from 0"),
        ({"start": np.zeros((3, 5), np.int8)}, "the lattice is \\(1024,\\)"),
        ({"start": np.zeros((0, 1024), np.int8)}, "not empty"),
        ({"start": np.full((3, 1024), 0.5)}, "step cannot take a state like"),
    ],
)
def test_wrong_input_is_refused(arguments, match):
    with pytest.raises(InputError, match=match):
        macro.sample(CURIE_WEISS, **arguments)


def test_wrong_simulators_are_refused():
    step, observe = lambda x, key, dt: x, lambda x: x.mean(keepdims=True)
    plain = macro.Simulator(step, observe)
    with pytest.raises(InputError, match="start= is needed"):
        macro.sample(plain, times=[0.0], dt=0.1)
    with pytest.raises(InputError, match="times= is needed"):
        macro.sample(plain, start=np.zeros((3, 4)), dt=0.1)
    with pytest.raises(InputError, match="dt= is needed"):
        macro.sample(plain, start=np.zeros((3, 4)), times=[0.0])
    with pytest.raises(InputError, match="has no lattice"):
        macro.sample(plain, start=np.zeros((3, 4)), times=[0.0], dt=0.1, patch=2)
    with pytest.raises(InputError, match='"rates" needs'):
        macro.sample(plain, start=np.zeros((3, 4)), times=[0.0], dt=0.1, estimator="rates")
    with pytest.raises(InputError, match="start holds NaN"):
        macro.sample(plain, start=np.full((3, 4), np.nan), times=[0.0], dt=0.1)
    with pytest.raises(InputError, match="observe must return one axis"):
        macro.trajectories(macro.Simulator(step, jnp.mean), start=np.zeros((3, 4)), times=[0.0])
    with pytest.raises(InputError, match="left the finite numbers: trajectory 0 at time 2"):
        grows = macro.Simulator(
            lambda x, key, dt: 1 / (1 - dt) * jnp.ones_like(x) - jnp.where(dt > 0.9, jnp.inf, 0), observe
        )
        macro.trajectories(grows, start=np.zeros((2, 4)), times=[0.5, 2.0])
    with pytest.raises(InputError, match="would take 15 GiB"):
        macro.sample(plain, start=np.zeros((1000, 1000)), times=np.arange(2000.0), dt=0.1)
    with pytest.raises(InputError, match="two functions"):
        macro.Simulator(step, None)
