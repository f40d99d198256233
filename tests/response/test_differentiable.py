"""The differentiable minimum against central differences of its own minima, and forward against reverse mode."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from transposes import check_transposes

import dftopt

SHEAR = np.array([[0.01, 0.02, 0], [0, -0.015, 0.01], [0.005, 0, 0.02]])


def sheared(atoms):
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + SHEAR), scale_atoms=True)
    return atoms


@lru_cache
def insulator():
    atoms = sheared(bulk("Si", a=5.43))
    atoms.positions[0] += [0.11, -0.07, 0.05]
    model = dftopt.Model(atoms, xc="PBE")
    return dftopt.differentiable(model, dftopt.PlaneWaves(model, ecut=3.0))


@lru_cache
def metal():
    model = dftopt.Model(sheared(bulk("Al", a=4.05)), xc="LDA")
    basis = dftopt.PlaneWaves(model, ecut=3.0, kpts=(3, 1, 1))
    return dftopt.differentiable(model, basis, temperature=0.04, nbands=6)


@lru_cache
def ferromagnet():
    """A free moment, 0.8 of 1: half the occupations of either spin respond."""
    atoms = sheared(bulk("H", "sc", a=4.0))
    atoms.set_initial_magnetic_moments([1.0])
    model = dftopt.Model(atoms, xc="LDA", spinpol=True)
    basis = dftopt.PlaneWaves(model, ecut=3.0, kpts=(2, 1, 1))
    return dftopt.differentiable(model, basis, temperature=0.015, nbands=4)


@lru_cache
def box():
    """A molecule in a box."""
    atoms = sheared(Atoms(cell=[3.0, 3.2, 3.5], pbc=True) + molecule("H2"))
    atoms.positions[0] += [0.05, -0.03, 0.04]
    model = dftopt.Model(atoms, xc="PBE")
    return dftopt.differentiable(model, dftopt.PlaneWaves(model, ecut=4.0))


SYSTEMS = {"insulator": insulator, "metal": metal, "ferromagnet": ferromagnet, "box": box}
STEP = {
    "positions": 4e-3, "strain": 1.5e-3, "rloc": 2e-3, "r": 2e-3, "cloc": 1e-2, "h": 1e-2, "kappa": 2e-2, "mu": 5e-3,
    "beta": 1.5e-3, "temperature": 2e-4, "electrons": 2e-3, "fractions": 5e-3,
}  # fmt: skip
FINER = 4e-4  # strain of metals: their levels far above the Fermi level, compared as well, bend more


def along(f, path, entry, t):
    """Parameters with t added to one entry of the leaf that `path` leads to."""

    def change(where, leaf):
        keys = tuple(getattr(p, "key", getattr(p, "idx", None)) for p in where)
        return leaf.at[entry].add(t) if keys == path else leaf

    return jax.tree_util.tree_map_with_path(change, f.parameters)


def outputs(f, names):
    """Several outputs of one minimum."""

    def values(p):
        found = f(p)
        return {name: found[name] for name in names}

    return values


def numeric(f, names, path, entry):
    h = next(STEP[key] for key in reversed(path) if key in STEP)
    if path == ("strain",) and float(f.parameters["temperature"]) > 0:
        h = FINER
    a = [outputs(f, names)(along(f, path, entry, m * h)) for m in (1, -1, 2, -2)]
    return jax.tree.map(lambda p, m, pp, mm: np.asarray((8 * (p - m) - (pp - mm)) / (12 * h)), *a)


CASES = {
    "insulator": [
        (("positions",), (0, 0)),
        (("strain",), (0, 0)),
        (("pseudopotentials", "Si", "rloc"), ()),
        (("pseudopotentials", "Si", "h", 0), (0, 0)),
        (("xc", "gga_x_pbe", "kappa"), ()),
        (("xc", "gga_c_pbe", "beta"), ()),
    ],
    "metal": [
        (("strain",), (0, 1)),
        (("temperature",), ()),
        (("electrons",), ()),
        (("pseudopotentials", "Al", "cloc"), (0,)),
    ],
    "ferromagnet": [(("strain",), (0, 0)), (("temperature",), ()), (("electrons",), ())],
    "box": [(("positions",), (0, 0)), (("strain",), (1, 1)), (("pseudopotentials", "H", "rloc"), ())],
}
ALL = {
    "insulator": ("energy", "forces", "stress", "density", "eigenvalues", "gap"),
    "metal": ("free_energy", "energy", "stress", "density", "eigenvalues", "occupations", "fermi_level"),
    "ferromagnet": ("free_energy", "stress", "density", "eigenvalues", "magnetization", "fermi_level"),
    "box": ("energy", "forces", "stress", "density", "eigenvalues", "gap"),
}
FEW = {
    "insulator": ("energy", "forces", "density", "gap"),
    "metal": ("free_energy", "density", "fermi_level"),
    "ferromagnet": ("free_energy", "magnetization", "fermi_level"),
    "box": ("energy", "forces", "density"),
}
SLOW = pytest.mark.slow
COMPLETE = pytest.param(ALL, marks=SLOW, id="all outputs")  # each output is compiled
LONGER = ("ferromagnet", "box")


@pytest.mark.parametrize("chosen", [pytest.param(FEW, id="few outputs"), COMPLETE])
@pytest.mark.parametrize(
    ("system", "path", "entry"),
    [pytest.param(s, *c, marks=SLOW if s in LONGER else ()) for s, cases in CASES.items() for c in cases],
)
def test_forward_derivatives_are_those_of_central_differences(system, path, entry, chosen):
    f, names = SYSTEMS[system](), chosen[system]
    direction = jax.tree.map(jnp.subtract, along(f, path, entry, 1.0), f.parameters)
    _, exact = jax.jvp(outputs(f, names), (f.parameters,), (direction,))
    close = numeric(f, names, path, entry)
    for name in names:
        error, scale = np.abs(exact[name] - close[name]).max(), max(np.abs(close[name]).max(), 1e-3)
        print(f"{system} d {name} / d {path}: {scale:.3e}, relative error {error / scale:.1e}")
        assert error < 1e-6 * scale, (name, error / scale)


@pytest.mark.parametrize("chosen", [pytest.param(FEW, id="few outputs"), COMPLETE])
@pytest.mark.parametrize("system", ["insulator", *(pytest.param(s, marks=SLOW) for s in ("metal", *LONGER))])
def test_reverse_mode_is_the_transpose_of_forward_mode(system, chosen):
    f = SYSTEMS[system]()
    p = {name: f.parameters[name] for name in ("positions", "strain", "pseudopotentials", "xc")}
    values_at = lambda p: outputs(f, [name for name in chosen[system] if name != "gap"])({**f.parameters, **p})
    check_transposes(f, values_at, p, seed=1)


def test_batches_have_the_numbers_of_one_at_a_time():
    f, names = insulator(), FEW["insulator"]
    p = f.parameters
    values = lambda x: outputs(f, names)({**p, "positions": x})
    direction = jnp.ones((2, 3)).at[0, 0].set(2.0)
    x = jnp.stack([p["positions"], p["positions"].at[1, 2].add(0.02)])
    scalar = lambda x: sum(jnp.sum(jnp.cos(v)) for v in values(x).values())
    for each in (lambda x: jax.jvp(values, (x,), (direction,)), jax.grad(scalar)):
        together = jax.vmap(each)(x)
        for i in range(2):
            assert all(
                np.allclose(a[i], b, rtol=1e-9, atol=1e-12)
                for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(each(x[i])), strict=True)
            )


def test_a_second_structure_of_the_same_shape_compiles_nothing(caplog):
    def derivatives(f):
        p, names = f.parameters, FEW["insulator"]
        values = lambda x: outputs(f, [name for name in names if name != "gap"])({**p, "positions": x})
        jax.jvp(values, (p["positions"],), (jnp.ones((2, 3)).at[0, 0].set(2.0),))
        jax.vjp(values, p["positions"])[1](values(p["positions"]))

    first = dftopt.differentiable(insulator().model, insulator().basis)  # whose minimum no test has found before
    derivatives(first)
    atoms = insulator().model.atoms.copy()
    atoms.positions[1] += [0.02, 0.03, -0.04]
    model = dftopt.Model(atoms, xc="PBE")
    second = dftopt.differentiable(model, dftopt.PlaneWaves(model, ecut=3.0, like=first.basis))
    with jax.log_compiles(), caplog.at_level("WARNING"):
        derivatives(second)
        jax.jit(lambda x: x / 3.25)(1.0)  # is counted
    assert sum("Finished XLA compilation" in r.getMessage() for r in caplog.records) == 1
