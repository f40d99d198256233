#!/usr/bin/env python3
"""Derivatives of results in inputs against central differences of our own minima, forward and reverse.

    python benchmarks/derivatives_of_results.py [insulator metal ferromagnet box molecule ...]

Small cells without symmetry at low cutoffs. Each row: an output, the input that it is differentiated in, the size of the
derivative (largest entry), its relative error against a four-point difference, and how far a random projection of it in
forward mode is from the same in reverse mode.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from chosen import chosen

import dftopt

SHEAR = np.eye(3) + [[0.01, 0.02, 0.0], [0.0, -0.015, 0.01], [0.005, 0.0, 0.02]]


def sheared(atoms: Atoms) -> Atoms:
    atoms.set_cell(atoms.cell.array @ SHEAR, scale_atoms=True)
    return atoms


def insulator():
    atoms = sheared(bulk("Si", a=5.43))
    atoms.positions[0] += [0.11, -0.07, 0.05]
    model = dftopt.Model(atoms, xc="PBE")
    return dftopt.differentiable(model, dftopt.PlaneWaves(model, ecut=3.0))


def metal():
    model = dftopt.Model(sheared(bulk("Al", a=4.05)), xc="LDA")
    basis = dftopt.PlaneWaves(model, ecut=3.0, kpts=(3, 1, 1))
    return dftopt.differentiable(model, basis, temperature=0.04, nbands=6)


def ferromagnet():
    atoms = sheared(bulk("H", "sc", a=4.0))
    atoms.set_initial_magnetic_moments([1.0])
    model = dftopt.Model(atoms, xc="LDA", spinpol=True)
    basis = dftopt.PlaneWaves(model, ecut=3.0, kpts=(2, 1, 1))
    return dftopt.differentiable(model, basis, temperature=0.015, nbands=4)  # its moment is 0.8


def box():
    atoms = molecule("H2", cell=np.diag([3.0, 3.2, 3.5]) @ SHEAR, pbc=True)
    atoms.positions[0] += [0.05, -0.03, 0.04]
    model = dftopt.Model(atoms, xc="PBE")
    return dftopt.differentiable(model, dftopt.PlaneWaves(model, ecut=5.0))


def gaussians():
    atoms = molecule("H2O")
    atoms.positions += 0.05 * np.random.default_rng(0).normal(size=(3, 3))
    model = dftopt.Model(atoms, xc="PBE")
    return dftopt.differentiable(model, dftopt.Gaussians(model, basis="sto-3g", grid=0, density_fit=False))


# name: (function, [(input, step)], outputs)
SYSTEMS = {
    "insulator": (
        insulator,
        [(("positions",), 2e-3), (("strain",), 1e-3), (("xc", "gga_x_pbe", "kappa"), 1e-2)],
        ("energy", "forces", "gap"),
    ),
    "metal": (
        metal,
        [(("strain",), 1e-3), (("temperature",), 5e-4), (("electrons",), 1e-2)],
        ("free_energy", "fermi_level", "density"),
    ),
    "ferromagnet": (
        ferromagnet,
        [(("strain",), 1e-3), (("temperature",), 1.5e-4)],
        ("free_energy", "magnetization", "eigenvalues"),
    ),
    "box": (
        box,
        [(("positions",), 2e-3), (("pseudopotentials", "H", "rloc"), 1e-3)],
        ("energy", "forces", "density", "eigenvalues"),
    ),
    "molecule": (
        gaussians,
        [(("positions",), 1e-3), (("xc", "gga_x_pbe", "kappa"), 5e-3)],
        ("energy", "dipole", "eigenvalues"),
    ),
}


def moved(f, path, t):
    """Parameters moved by t along a fixed direction of one of them."""

    def change(where, leaf):
        if tuple(getattr(p, "key", getattr(p, "idx", None)) for p in where) != path:
            return leaf
        return leaf + t * (np.random.default_rng(1).normal(size=leaf.shape) if leaf.ndim else 1.0)

    return jax.tree_util.tree_map_with_path(change, f.parameters)


def rows(name: str):
    """(input, output, size, relative error, dot-product error) of one system."""
    make, inputs, outputs = SYSTEMS[name]
    f = make()
    for path, h in inputs:
        values = lambda t, path=path: {key: found[key] for found in [f(moved(f, path, t))] for key in outputs}
        primal, exact = jax.jvp(values, (0.0,), (1.0,))
        a = [values(m * h) for m in (1, -1, 2, -2)]
        for key in outputs:
            close = (8 * (a[0][key] - a[1][key]) - (a[2][key] - a[3][key])) / (12 * h)
            weights = jnp.asarray(np.random.default_rng(2).normal(size=np.shape(primal[key])))
            back = jax.grad(lambda t, values=values, key=key, weights=weights: jnp.vdot(weights, values(t)[key]))(0.0)
            forward = float(jnp.vdot(weights, exact[key]))
            size = float(np.abs(close).max())
            error = float(np.abs(exact[key] - close).max()) / size
            yield ".".join(path), key, size, error, abs(forward - float(back)) / max(abs(forward), 1e-30)
    print(
        f"{name}: {len(f.solves)} linear solves, at most {max(s.products for s in f.solves)} products, largest residual "
        f"{max(s.residual for s in f.solves):.0e}"
    )


def main() -> int:
    systems = chosen(__doc__, SYSTEMS)
    dftopt.enable_compilation_cache()
    print("system       input                 output          size        error     forward - reverse")
    worst = [0.0, 0.0]
    for name in systems:
        for where, key, size, error, dot in rows(name):
            print(f"{name:12s} {where:21s} {key:13s} {size:10.3e} {error:9.1e} {dot:9.1e}", flush=True)
            worst = [max(worst[0], error), max(worst[1], dot)]
    print(f"largest relative error {worst[0]:.1e}; largest difference of forward and reverse mode {worst[1]:.1e}")
    return int(worst[0] > 1e-6 or worst[1] > 1e-10)


if __name__ == "__main__":
    sys.exit(main())
