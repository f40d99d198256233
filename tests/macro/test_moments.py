"""What an equation does within a long time step, and fits of data of such steps."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import expm, solve_continuous_lyapunov

from dftopt import macro
from dftopt.macro import moments
from dftopt.macro.onsager import Model, initial

A = np.array([[-1.0, 0.6], [-0.3, -0.8]])
D = np.array([[0.5, 0.1], [0.1, 0.3]])


def exact(A, D, h):
    """exp(A h) and the covariance of an Ornstein-Uhlenbeck process after h."""
    stationary = solve_continuous_lyapunov(A, -D)
    E = expm(A * h)
    return E, stationary - E @ stationary @ E.T


def test_moments_of_a_linear_equation_are_exact():
    """Mean and covariance after h; the error falls with the fourth power of two steps more (Heun: with the square)."""
    model = Model(2, 0, "linear", 4)
    params = initial(jax.random.key(0), model, np.ones(2), 1.0)
    L = np.linalg.cholesky(D)
    inverse = lambda x: np.log(np.expm1((x - 0.01) / 0.99)) - 0.5413248546129181
    params |= {"A": jnp.asarray(A), "c": jnp.array([0.2, -0.1])}
    params["sigma"] = jnp.array([inverse(L[0, 0]), L[1, 0], inverse(L[1, 1])])
    y, h = np.array([0.7, -1.2]), 0.8
    E, covariance = exact(A, D, h)
    fixed = -np.linalg.solve(A, [0.2, -0.1])
    mean = fixed + E @ (y - fixed)
    errors = []
    for steps in (8, 16, 32):
        b, S = moments.after(params, model, jnp.asarray(y), jnp.zeros(0), jnp.asarray(h), steps)
        errors.append([np.abs(y + h * b - mean).max(), np.abs(S * h - covariance).max()])
    errors = np.array(errors)
    assert errors[-1].max() < 1e-4
    np.testing.assert_allclose(errors[0] / errors[1], 4, rtol=0.3)
    np.testing.assert_allclose(errors[1] / errors[2], 4, rtol=0.3)


def test_long_steps_do_not_bias_a_fit():
    """Records half a relaxation time apart: the drift of a short step would come out a quarter too weak."""
    rng = np.random.default_rng(0)
    h, count, T = 0.6, 200, 101
    E, covariance = exact(A, D, h)
    C, L = np.linalg.cholesky(solve_continuous_lyapunov(A, -D)), np.linalg.cholesky(covariance)
    z = [rng.normal(size=(count, 2)) @ C.T]
    for _ in range(T - 1):
        z.append(z[-1] @ E.T + rng.normal(size=(count, 2)) @ L.T)
    data = macro.from_trajectories(np.swapaxes(z, 0, 1), h)
    fit = macro.fit(data, form="linear", members=2, epochs=60)
    Z = rng.normal(size=(200, 2)) @ C.T
    b, short = Z @ A.T, Z @ ((E - np.eye(2)) / h).T
    rms = lambda x: np.sqrt(np.mean(x**2))
    assert rms(short - b) > 0.2 * rms(b)
    assert rms(fit.drift(Z) - b) < 0.04 * rms(b)
    assert np.abs(fit.diffusion(Z)[0] - D).max() < 0.03 * D.max()
