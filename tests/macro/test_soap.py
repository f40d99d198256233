"""The optimizer of training, and the polynomials that a drift without structure starts from."""

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.macro import soap
from dftopt.macro.likelihood import Batch, cubic
from dftopt.macro.networks import monomials
from dftopt.macro.onsager import Model
from dftopt.macro.statistics import features


def test_bases_follow_the_eigenvectors_of_a_covariance():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(3, 6, 6)) * [10, 5, 2, 1, 0.3, 0.1]
    P = jnp.asarray(A @ A.swapaxes(1, 2))
    Q = jnp.broadcast_to(jnp.eye(6), P.shape)
    follow = jax.jit(soap._iterated)
    for _ in range(300):
        Q = follow(P, Q)
    np.testing.assert_allclose(Q.swapaxes(1, 2) @ Q, np.broadcast_to(np.eye(6), P.shape), atol=1e-12)
    inside = np.asarray(Q.swapaxes(1, 2) @ P @ Q)
    np.testing.assert_allclose(inside - inside * np.eye(6), 0, atol=1e-6 * abs(inside).max())
    np.testing.assert_allclose(follow(0 * P, Q), Q, atol=1e-12)  # no gradient: nothing turns


def test_a_badly_conditioned_problem_is_solved():
    """A matrix and a vector per copy; curvatures of 1 to 1e6 in directions that are not those of the entries."""
    rng = np.random.default_rng(1)
    turn = lambda n: np.linalg.qr(rng.normal(size=(n, n)))[0]
    A, B = (jnp.asarray(turn(n) * np.logspace(0, -1.5, n) @ turn(n)) for n in (8, 5))
    goal = {"W": jnp.asarray(rng.normal(size=(2, 8, 5))), "c": jnp.asarray(rng.normal(size=(2, 8)))}

    def value(x):
        away = jax.tree.map(lambda a, b: a - b, x, goal)
        return jnp.sum((A @ away["W"] @ B) ** 2) + jnp.sum((away["c"] @ A.T) ** 2)

    @jax.jit
    def hundred(x, state):
        def one(_, carry):
            x, state = carry
            change, state = soap.step(jax.grad(value)(x), state)
            return jax.tree.map(lambda a, u: a - 0.02 * u, x, change), soap.turned(state)

        return jax.lax.fori_loop(0, 100, one, (x, state))

    x = jax.tree.map(jnp.zeros_like, goal)
    first, state = value(x), soap.start(x)
    for _ in range(6):
        x, state = hundred(x, state)
    assert value(x) < 1e-3 * first


def test_least_squares_finds_a_cubic_drift():
    rng = np.random.default_rng(2)
    y = rng.normal(size=(800, 2))
    np.testing.assert_allclose(jax.vmap(lambda x: monomials(x, 10))(jnp.asarray(y)), features(y), rtol=1e-12)
    truth = rng.normal(size=(10, 2))
    drift = features(np.clip(y, -4, 4)) @ truth
    parts = (y, y[:, :0], drift, np.ones(800), np.tile(np.eye(2), (800, 1, 1)), np.ones(800))
    rows = Batch(*map(jnp.asarray, parts))
    found = cubic(Model(2, 0, "network", 4), (np.zeros(2), np.eye(2)), rows, jnp.eye(2), np.ones((2, 800)))
    np.testing.assert_allclose(found, np.tile(truth, (2, 1, 1)), atol=1e-10)
    few = Batch(*(x[:100] for x in rows))  # 20 snapshots per coefficient
    assert cubic(Model(2, 0, "network", 4), (np.zeros(2), np.eye(2)), few, jnp.eye(2), np.ones((1, 100))).shape[1] == 3
