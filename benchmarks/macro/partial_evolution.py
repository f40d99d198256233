"""Drift and diffusion from partial evolution: the bias of the time step, and both estimators over patch sizes.

python benchmarks/macro/partial_evolution.py
"""

import time

import jax
import numpy as np

from dftopt import macro


def print_time_steps():
    """One free spin relaxes to 1 - exp(-2 dt) of its variance where 2 dt is expected: the ratio is exact at m = 0."""
    sim = macro.CurieWeiss(4096, 0.0)
    states = macro.trajectories(sim, 256, [4.0], seed=0, snapshots=True).states[:, 0]
    print("Curie-Weiss at m = 0, patches of 16 x 16: D / D exact from replicas, by attempts per spin in one step")
    for dt in (1.0, 1 / 4, 1 / 16, 1 / 64):
        value, error = macro.lag_check(sim, states, patch=16, dt=dt, snapshots=256, replicas=128).diffusion_bias
        expected = (1 - np.exp(-2 * dt)) / (2 * dt)
        print(f"  {dt:8.4f}: {1 + value:.3f} +- {error:.3f}, expected {expected:.3f}", flush=True)


def print_curie_weiss():
    print("\nCurie-Weiss 64 x 64, 200 trajectories of 30 sweeps, dt = 1/64: slope of b_hat against b, D_hat against D")
    print(
        "  beta  field patch     K    rows   rates: b              D                 steps: b             D                  s"
    )
    for beta, field in ((0.9, 0.0), (1.2, 0.0), (1.2, 0.1)):
        sim = macro.CurieWeiss(4096, beta, field)
        for patch in (8, 16, 32, 64):
            line, clock = "", time.perf_counter()
            for estimator in ("rates", "steps"):
                data = macro.sample(sim, 200, patch, seed=1, estimator=estimator, check=False, replicas=4)
                m = data.z0[:, 0]
                b, D = np.asarray(sim.drift(m)), np.asarray(sim.diffusion(m))
                slope, error = (data.b_hat[:, 0] @ b) / (b @ b), (data.b_hat[:, 0] - b).std() / np.sqrt(b @ b)
                ratio = data.D_hat[:, 0, 0] / D
                line += f"  {slope:.4f} +- {error:.4f}  {ratio.mean():.4f} +- {ratio.std() / np.sqrt(len(m)):.4f}"
            wall = time.perf_counter() - clock
            print(
                f"  {beta:4.1f} {field:6.1f} {patch:5d} {data.factor[0]:5.0f} {len(data):7d} {line}  {wall:5.1f}",
                flush=True,
            )


def print_ising():
    print(
        "\nIsing 64 x 64, T = 2.5, dt = 1/64: sum over rows of D_hat and of b_hat b against those of the rates of all spins"
    )
    sim = macro.Ising(64, 2.5)
    events = jax.jit(jax.vmap(sim.events))
    for patch in (8, 16, 32):
        for estimator in ("rates", "steps"):
            data = macro.sample(
                sim,
                50,
                patch,
                seed=2,
                times=np.arange(0, 50, 5.0),
                estimator=estimator,
                check=False,
                replicas=4,
                snapshots=True,
            )
            rates, change = (np.asarray(x) for x in events(data.snapshots))
            b = (rates * change[..., 0]).sum((1, 2, 3))[data.snapshot]
            D = (rates * change[..., 0] ** 2).sum((1, 2, 3))[data.snapshot]
            slope, error = (data.b_hat[:, 0] @ b) / (b @ b), (data.b_hat[:, 0] - b).std() / np.sqrt(b @ b)
            ratio = data.D_hat[:, 0, 0] / D
            print(
                f"  patch {patch:2d} {estimator}: b {slope:.4f} +- {error:.4f}, "
                f"D {ratio.mean():.4f} +- {ratio.std() / np.sqrt(len(D)):.4f}",
                flush=True,
            )


if __name__ == "__main__":
    print_time_steps()
    print_curie_weiss()
    print_ising()
