"""Closures on systems whose hidden coordinate is known."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from synthetic import increments

from dftopt import macro
from dftopt.errors import InputError
from dftopt.macro import closure
from dftopt.macro.components import components_of
from dftopt.macro.given import weights

MIX = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]


def hidden(S=1500, seed=0, K=1):
    """x relaxes towards a hidden slow y; six numbers of the state mix x, y and fast noise."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, S))
    fast = 0.3 * rng.normal(size=(S, 4))
    dt, R = 0.05, 2
    x1 = x[:, None] + dt * 4 * (y - x)[:, None] + np.sqrt(0.2 * dt) * rng.normal(size=(S, R))
    y1 = y[:, None] - dt * 0.2 * y[:, None] + np.sqrt(0.1 * dt) * rng.normal(size=(S, R))
    fast1 = 0.3 * rng.normal(size=(S, R, 4))
    state = np.concatenate([np.stack([x, y], 1), fast], 1) @ MIX
    after = np.concatenate([np.stack([x1, y1], 2), fast1], 2) @ MIX
    data = macro.Increments(
        states=x[:, None],
        trajectory=np.arange(S) // 50,
        time=np.zeros(S),
        snapshot=np.arange(S),
        z1=x1[..., None],
        dt=np.full(S, dt),
        factor=np.ones(S),
        n=1,
        b_hat=(x1.mean(1) - x)[:, None] / dt,
        D_hat=(x1.var(1, ddof=1) / dt)[:, None, None],
        names=("x",),
        snapshots=state,
        evolved=after,
    )
    return data, x, y


def test_the_hidden_coordinate_is_found_and_its_number_chosen():
    data, x, y = hidden()
    found, more = closure.learn(data, 1)
    assert more.names == ("x", "closure 1") and more.dimension == 2
    u = more.states[:, 1]
    near, variance = weights(found.of_z, x[:, None]), found.covariance[:, 0, 0]
    before = u**2 * (near @ variance)  # of the coordinate that was not yet scaled: its variance near each knot
    np.testing.assert_allclose(
        [u.mean(), *(near.T @ before / near.sum(0) / variance)], [0, *np.ones(len(variance))], atol=1e-4
    )
    plane = np.stack([np.ones_like(x), x, y], 1)
    left = u - plane @ np.linalg.lstsq(plane, u, rcond=None)[0]
    assert left.std() < 0.2  # a function of x and y, not of the fast noise
    assert abs(np.corrcoef(u, y)[0, 1]) > 0.9
    np.testing.assert_allclose(found.coordinates(data.states, data.snapshots[:, None]), u[:, None], atol=1e-4)
    arrays, header = closure.to_arrays(found)
    again = closure.from_arrays(arrays, header)
    five = data.states[:5], data.snapshots[:5, None]
    np.testing.assert_array_equal(again.coordinates(*five), found.coordinates(*five))
    chosen, table = macro.choose_closure(data, largest=2)
    assert chosen == 1 and table[1][1] > table[0][1] + 3 * table[0][2]


def test_coordinates_of_patches_are_averages_over_them():
    sim = macro.Ising(16, 2.5)
    data = macro.sample(sim, 6, 8, seed=0, times=np.arange(0, 5.0), snapshots=True, check=False)
    rows, mean, components, _ = components_of(data)
    assert rows.x0.shape[:2] == (30, 4)
    before, after = data.microscopic(np.arange(20))
    own = data.tiles(before)[:, 0].reshape(20, -1)
    np.testing.assert_allclose(rows.x0[data.snapshot[:20], rows.which[:20]], (own - mean) @ components.T, atol=1e-12)
    inside = after[:, :, :8, :8].reshape(20, 2, -1)
    np.testing.assert_allclose(rows.x1[:20], (inside - mean) @ components.T, atol=1e-12)


def test_features_of_a_polymer_know_no_mirror_and_no_direction():
    sim = macro.Polymer()
    x = sim.initial(jax.random.key(0))
    f = sim.features(x)
    for other in (x[::-1], x * jnp.array([-1.0, 1.0, 1.0]), x + 3.0):
        np.testing.assert_allclose(sim.features(other), f, atol=1e-12)
    assert f.shape == (360,)


def test_what_a_closure_refuses():
    data, *_ = hidden(200)
    with pytest.raises(InputError, match="closure = 7: .* have 6 principal components"):
        closure.learn(data, 7)
    with pytest.raises(InputError, match="closure = -1"):
        closure.learn(data, -1)
    plain = macro.from_trajectories(np.random.default_rng(0).normal(size=(5, 30, 1)), 0.1)
    with pytest.raises(InputError, match="needs microscopic states"):
        macro.fit(plain, closure=1)


def test_learned_coordinates_do_not_repeat_an_observable():
    """Given the observable, at each of its values, mean 0 and covariance 1; and the slower of two hidden coordinates first."""
    rng = np.random.default_rng(0)
    S, h = 4000, 0.2
    rates = np.array([0.1, 0.5, 4.0])  # of what is seen, and of two hidden ones
    y0 = rng.normal(size=(S, 3))
    decay = np.exp(-rates * h)
    y1 = decay * y0[:, None] + np.sqrt(1 - decay**2) * rng.normal(size=(S, 2, 3))
    at = lambda y: y[..., :1]
    # features: the hidden ones on top of a bend of the observable, the fast one ten times as large, and wider where z > 0
    seen = lambda y: np.stack(
        [y[..., 1] * (2 + np.tanh(y[..., 0])) + y[..., 0] ** 2, 10 * y[..., 2] + 5 * np.sin(2 * y[..., 0])], -1
    )
    data = replace(
        increments(np.zeros((S, 1)), np.ones((S, 1, 1)), at(y0), estimator="steps", dt=h, factor=1.0),
        z1=at(y1), snapshots=seen(y0), evolved=seen(y1), features=None, block=None,
    )  # fmt: skip
    found, more = closure.learn(data, 1)
    z, u = more.states[:, 0], more.states[:, 1]
    for low, high in ((-2, -0.7), (-0.7, 0), (0, 0.7), (0.7, 2)):
        inside = u[(z > low) & (z < high)]
        assert abs(inside.mean()) < 0.15
        assert abs(inside.std() - 1) < 0.15
    assert abs(np.corrcoef(u, y0[:, 1])[0, 1]) > 0.95
    assert len(found.given) == 3
