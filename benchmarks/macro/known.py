"""Known systems in two and three dimensions: V, M and flux of the fluctuation-dissipation form against those given.

    python benchmarks/macro/known.py [--steps]

Data: drift and diffusion at states from the stationary density at 1.5 T (so that barriers are covered). With
`--steps` from increments with noise (patches of 1/16 of the system, 4 replicas); without, from explicit rates. Errors are
rms over the region that holds 98 % of the density, relative to the rms of the true gradient part M grad V (flux), to the
range of V, and to the rms of M (goal 5 % each; where the truth has no flux, 0.05 of the gradient part). The plain form is
scored on drift and diffusion only: the split into V, M and W is not identifiable there.
"""

import argparse
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import dftopt
from dftopt import macro

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "macro"))
from synthetic import increments  # noqa: E402


def wells(z):
    """Two wells, with a harmonic third coordinate where there is one."""
    x, y = z[0], z[1]
    V = (x**2 - 1) ** 2 + 1.5 * (y - 0.4 * x**2) ** 2
    return V + (z[2] - 0.5 * x) ** 2 if len(z) > 2 else V


def mobility(z):
    """Depends on z, with off-diagonal elements."""
    d = len(z)
    L = jnp.eye(d).at[1, 0].set(0.3 * jnp.sin(z[0])).at[d - 1, d - 1].set(0.8 + 0.2 * jnp.tanh(z[1]))
    return L @ L.T


def turning(z):
    """An antisymmetric matrix that depends on z."""
    d = len(z)
    W = jnp.zeros((d, d)).at[0, 1].set(0.6 + 0.2 * z[1])
    if d > 2:
        W = W.at[1, 2].set(0.5 * jnp.cos(z[0])).at[0, 2].set(0.3)
    return W - W.T


def truth(W, T):
    """Drift, diffusion, V, M and flux of points."""

    def one(z):
        slope, M, A = jax.grad(wells)(z), mobility(z), W(z)
        div = lambda f: jnp.einsum("ijj->i", jax.jacfwd(f)(z))
        flux = A @ slope - T * div(W)
        return -M @ slope + T * div(mobility) - flux, 2 * T * M, wells(z), M, flux, M @ slope

    return jax.jit(jax.vmap(one))


def states(d, T, count, seed):
    """Independent samples of exp(-V / 1.5 T), by rejection."""
    rng = np.random.default_rng(seed)
    out = np.zeros((0, d))
    box = np.array([[-1.8, -1.2, -2.0], [1.8, 1.8, 2.0]])[:, :d]
    V = jax.jit(jax.vmap(wells))
    while len(out) < count:
        z = rng.uniform(box[0], box[1], (100000, d))
        out = np.concatenate([out, z[rng.random(len(z)) < np.exp(-np.asarray(V(jnp.asarray(z))) / (1.5 * T))]])
    return out[:count]


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--samples", type=int, default=8000)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--dimensions", nargs="+", type=int, default=[2, 3])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--rate", type=float, default=1e-2)
    parser.add_argument("--forms", nargs="+", default=["fdr", "onsager"])
    parser.add_argument("--truths", nargs="+", default=["balance", "flux"])
    options = parser.parse_args()
    dftopt.enable_compilation_cache()
    none = lambda z: jnp.zeros((len(z), len(z)))
    T = 0.3
    print("   d  truth     form     seed  V        M        flux     drift    diffusion   cpu s")
    for d in options.dimensions:
        for name in options.truths:
            W = {"balance": none, "flux": turning}[name]
            of = truth(W, T)
            for form in options.forms:
                for seed in range(options.seeds):
                    z = states(d, T, options.samples, seed)
                    b, D, *_ = (np.asarray(x) for x in of(jnp.asarray(z)))
                    more = {"estimator": "steps", "replicas": 4, "dt": 0.01, "factor": 16.0} if options.steps else {}
                    data = increments(b, D, z, seed=seed, groups=40, **more)
                    clock = time.process_time()
                    fit = macro.fit(
                        data,
                        form=form,
                        seed=seed,
                        temperature=T,
                        epochs=options.epochs,
                        members=options.members,
                        rate=options.rate,
                    )
                    clock = time.process_time() - clock
                    test = states(d, T, 4000, 100 + seed)
                    V0 = np.asarray(of(jnp.asarray(test))[2])
                    test = test[V0 < np.quantile(V0, 0.98)]
                    b, D, V, M, flux, slope = (np.asarray(x) for x in of(jnp.asarray(test)))
                    line = f"{rms(fit.drift(test) - b) / rms(b):8.4f} {rms(fit.diffusion(test) - D) / rms(D):8.4f}"
                    if form == "fdr":
                        away = fit.potential(test) - V
                        parts = (
                            f"{rms(away - away.mean()) / np.ptp(V):8.4f} {rms(fit.mobility(test) - M) / rms(M):8.4f}"
                        )
                        parts += f" {rms(fit.flux(test) - flux) / rms(slope):8.4f}"
                    else:
                        parts = " " * 26
                    print(
                        f"   {d}  {name:8s}  {form:8s} {seed:3d} {parts} {line}     {clock:6.1f}  {fit.status}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
