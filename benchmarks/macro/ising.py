"""Ising model against exact results, and its speed.

    python benchmarks/macro/ising.py [onsager] [torus] [binder] [splitting] [speed]

Without a name all five. `speed` counts CPU seconds of this process: pin it to one core (taskset -c 0) for one core.
"""

import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dftopt import macro
from dftopt.macro import checkerboard, random

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "macro"))
from exact import onsager, torus_free_energy  # noqa: E402  (exact answers in plain NumPy)

CRITICAL = 2 / np.log(1 + np.sqrt(2))


@partial(jax.jit, static_argnames=("L", "records", "between"))
def equilibrium(L, temperatures, key, records, between):
    """Heat-bath sweeps of one lattice per temperature: (records, copies, 2) energy and magnetization per site."""
    observe = jax.vmap(macro.Ising(L, 1.0, observables=("energy", "magnetization")).observe)

    def record(state, i):
        keys = random.split(random.child(key, i), len(temperatures))
        state = jax.vmap(checkerboard.sweeps, (0, 0, None, 0, None))(state, keys, between, temperatures, 0.0)
        return state, observe(state)

    start = jnp.ones((len(temperatures), L, L), jnp.int8)
    return jax.lax.scan(record, start, jnp.arange(records))[1]


def print_onsager(copies=64, L=128, records=200):
    temperatures = np.array([1.8, 2.0, 2.1, 2.4, 2.6, 3.2, 4.0])
    out = np.asarray(equilibrium(L, jnp.repeat(temperatures, copies), jax.random.key(0), records, 20))
    out = out[records // 5 :].mean(0).reshape(len(temperatures), copies, 2)
    mean, error = out.mean(1), out.std(1, ddof=1) / np.sqrt(copies)
    print(
        f"\n{L} x {L}, {copies} lattices: energy and spontaneous magnetization against Onsager and Yang (deviation in sigma)"
    )
    for T, z, e in zip(temperatures, mean, error, strict=True):
        exact = onsager(T)
        text = f"  T = {T:.1f}: energy {z[0]:.5f} +- {e[0]:.5f}, exact {exact[0]:.5f} ({(z[0] - exact[0]) / e[0]:+.1f})"
        if T < CRITICAL:
            text += f"; magnetization {z[1]:.5f} +- {e[1]:.5f}, exact {exact[1]:.5f} ({(z[1] - exact[1]) / e[1]:+.1f})"
        print(text, flush=True)


def print_torus(copies=512, records=400):
    temperatures = np.array([2.0, 2.269185, 3.2, 4.0])
    nodes, weights = np.polynomial.legendre.leggauss(14)
    beta = 1 / temperatures[:, None]
    nodes, weights = (nodes + 1) / 2 * beta, weights / 2 * beta
    T = jnp.asarray(np.repeat(1 / nodes.ravel(), copies))
    energy = np.asarray(equilibrium(6, T, jax.random.key(1), records, 5))[records // 20 :, :, 0].mean(0)
    per_copy = (weights[..., None] * energy.reshape(*nodes.shape, copies)).sum(1) / beta
    print("\n6 x 6 torus: free energy per site, -T ln 2 + T integral of the sampled energy over 1/T")
    for T, values in zip(temperatures, per_copy, strict=True):
        exact, sampled = torus_free_energy(6, T)[0], -T * np.log(2) + values.mean()
        error = values.std(ddof=1) / np.sqrt(copies)
        print(
            f"  T = {T:.6f}: {sampled:.6f} +- {error:.6f}, exact {exact:.6f} ({(sampled - exact) / error:+.1f} sigma)"
        )


def print_binder(copies=256, records=4000):
    temperatures = np.linspace(2.21, 2.33, 7)
    cumulants = {}
    for L, between in ((8, 4), (12, 6), (16, 10), (24, 20)):
        out = np.asarray(equilibrium(L, jnp.repeat(temperatures, copies), jax.random.key(L), records, between))
        m = out[records // 20 :, :, 1].reshape(-1, len(temperatures), copies)
        cumulants[L] = (m**2).mean(0), (m**4).mean(0)
    print("\nBinder cumulant 1 - <m^4> / 3 <m^2>^2: crossing of two sizes (exact critical temperature 2.26919)")
    rng = np.random.default_rng(0)
    x = (temperatures - CRITICAL) / 0.06

    def crossing(small, large, pick):
        U = [
            1 - m4[:, pick].mean(1) / (3 * m2[:, pick].mean(1) ** 2) for m2, m4 in (cumulants[small], cumulants[large])
        ]
        roots = np.roots(np.polyfit(x, U[1] - U[0], 3))
        return float(roots[np.argmin(abs(roots))].real) * 0.06 + CRITICAL

    for small, large in ((8, 16), (12, 24)):
        value = crossing(small, large, slice(None))
        resampled = [crossing(small, large, rng.integers(0, copies, copies)) for _ in range(200)]
        print(f"  L = {small:2d} and {large}: T = {value:.4f} +- {np.std(resampled):.4f}")


def print_splitting(copies=4096):
    """Mean magnetization from m = 1 over 10 sweeps: the checkerboard's splitting against exact clocks."""
    step = jax.jit(jax.vmap(lambda sim, s, k, dt: sim.step(s, k, dt), (None, 0, 0, None)))
    print("\n64 x 64, T = 2.5, m(10 sweeps) from m = 1: checkerboard splitting against exact clocks")
    reference = None
    for method, h in (
        ("clocks", 1.0),
        ("checkerboard", 1.0),
        ("checkerboard", 0.5),
        ("checkerboard", 0.25),
        ("checkerboard", 0.125),
    ):
        m = []
        for part in range(copies // 256):
            keys = random.split(jax.random.key(100 * part + int(8 * h) + len(method)), 256)
            out = step(macro.Ising(64, 2.5, method=method, splitting=h), jnp.ones((256, 64, 64), jnp.int8), keys, 10.0)
            m.append(np.asarray(out).mean((1, 2)))
        m = np.concatenate(m)
        mean, error = m.mean(), m.std() / np.sqrt(copies)
        reference = reference or (mean, error)
        away = f"{mean - reference[0]:+.5f} +- {np.hypot(error, reference[1]):.5f}"
        print(
            f"  {method:12s} {'' if method == 'clocks' else f'h = {h:5.3f}'}: {mean:.5f}, difference {away}", flush=True
        )


def cpu(function, *arguments):
    """CPU and wall seconds of a second call."""
    jax.block_until_ready(function(*arguments))
    start = time.process_time(), time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.process_time() - start[0], time.perf_counter() - start[1]


def print_speed():
    step = jax.jit(jax.vmap(lambda sim, s, k, dt: sim.step(s, k, dt), (None, 0, 0, None)))
    sweeps = jax.jit(jax.vmap(checkerboard.sweeps, (0, 0, None, None, None)))
    print("\nAttempted site updates per CPU second (per wall second)")

    def row(name, updates, seconds):
        print(f"  {name:62s} {updates / seconds[0]:.2e}  ({updates / seconds[1]:.2e})", flush=True)

    for L, copies in ((64, 200), (64, 64), (256, 16)):
        state, keys = jnp.ones((copies, L, L), jnp.int8), random.split(jax.random.key(0), copies)
        n = copies * L * L
        row(
            f"exact clocks, {copies} lattices of {L} x {L}, T = 2.5",
            4 * n,
            cpu(step, macro.Ising(L, 2.5), state, keys, 4.0),
        )
        sim = macro.Ising(L, 2.5, method="checkerboard", splitting=0.25)
        row("  checkerboard dynamics, splitting 0.25", 4 * n, cpu(step, sim, state, keys, 4.0))
        row("  checkerboard sweeps (equilibrium)", 100 * n, cpu(sweeps, state, keys, 100, 2.5, 0.0))
    state, keys = jnp.ones((1, 1024, 1024), jnp.int8), random.split(jax.random.key(0), 1)
    row("checkerboard sweeps, one lattice of 1024 x 1024", 20 * 1024**2, cpu(sweeps, state, keys, 20, 2.5, 0.0))
    print("\nRejection-free against clocks, 64 lattices of 64 x 64 from all up: CPU seconds for 10 sweeps")
    for T in (2.0, 1.0, 0.7, 0.5):
        state, keys = jnp.ones((64, 64, 64), jnp.int8), random.split(jax.random.key(0), 64)
        seconds = [cpu(step, macro.Ising(64, T, method=m), state, keys, 10.0)[0] for m in ("clocks", "rejection-free")]
        print(f"  T = {T}: clocks {seconds[0]:.3f}, rejection-free {seconds[1]:.3f}", flush=True)


if __name__ == "__main__":
    for name in sys.argv[1:] or ["onsager", "torus", "binder", "splitting", "speed"]:
        globals()[f"print_{name}"]()
