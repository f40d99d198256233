"""Increments of equations that are known exactly."""

import numpy as np

from dftopt.macro import Increments


def increments(
    b, D, states, *, estimator="rates", replicas=2, dt=0.01, factor=4.0, seed=0, groups=20, parameters=None, names=()
):
    """One row per state, of drift b(z) (S, d) and diffusion D(z) (S, d, d): exact rates, or Gaussian steps."""
    rng = np.random.default_rng(seed)
    S, d = states.shape
    L = np.linalg.cholesky(D * factor * dt)
    z1 = states[:, None] + dt * b[:, None] + np.einsum("sij,srj->sri", L, rng.normal(size=(S, replicas, d)))
    b_hat, D_hat = b, D
    if estimator == "steps":
        away = z1 - z1.mean(1, keepdims=True)
        b_hat = (z1.mean(1) - states) / dt
        D_hat = np.einsum("sri,srj->sij", away, away) / (replicas - 1) / (factor * dt) if replicas > 1 else None
    return Increments(
        states=states,
        trajectory=np.arange(S) * groups // S,
        time=np.zeros(S),
        snapshot=np.arange(S),
        z1=z1,
        dt=np.full(S, dt),
        factor=np.full(S, factor),
        n=1,
        b_hat=b_hat,
        D_hat=D_hat,
        estimator=estimator,
        parameters=parameters,
        parameter_names=() if parameters is None else tuple(f"q{i}" for i in range(parameters.shape[1])),
        names=names,
    )


def double_well(S=2000, seed=0, tilt=0.0):
    """States, drift, diffusion and potential of dx = (x - x^3 + tilt) dt + sqrt(2 T (1 + x^2/4)) dB with T div M added."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1.8, 1.8, (S, 1))
    T = 0.1
    M = 1 + x**2 / 4
    slope = x**3 - x - tilt
    return x, -M * slope + T * x / 2, 2 * T * M[:, :, None], T
