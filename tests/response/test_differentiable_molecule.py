"""Derivatives of the minimum of a molecule in Gaussians against central differences, and forward against reverse mode."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import molecule
from transposes import check_transposes

import dftopt


def displaced(name):
    atoms = molecule(name)
    atoms.positions += 0.05 * np.random.default_rng(0).normal(size=atoms.positions.shape)
    return atoms


@lru_cache
def water():
    """A closed shell at temperature = 0."""
    model = dftopt.Model(displaced("H2O"), xc="PBE")
    return dftopt.differentiable(model, dftopt.Gaussians(model, basis="sto-3g", grid=0, density_fit=False))


@lru_cache
def hydroxyl():
    """A radical at a temperature, with spin."""
    model = dftopt.Model(displaced("OH"), xc="LDA", spinpol=True)
    basis = dftopt.Gaussians(model, basis="sto-3g", grid=0, density_fit=False)
    return dftopt.differentiable(model, basis, temperature=0.03)


def toward(f, path, t):
    """Parameters moved by t along a fixed direction of one of them."""

    def change(where, leaf):
        if tuple(p.key for p in where) != path:
            return leaf
        return leaf + t * np.random.default_rng(1).normal(size=leaf.shape)

    return jax.tree_util.tree_map_with_path(change, f.parameters)


CASES = [
    (water, ("positions",), 1e-3, ("energy", "dipole", "eigenvalues", "gap", "forces")),
    (water, ("xc", "gga_x_pbe", "kappa"), 5e-3, ("energy", "dipole", "forces")),
    pytest.param(
        hydroxyl,
        ("positions",),
        1e-3,
        ("free_energy", "energy", "fermi_level", "dipole", "forces"),
        marks=pytest.mark.slow,
    ),
    pytest.param(hydroxyl, ("temperature",), 3e-4, ("energy", "magnetization", "forces"), marks=pytest.mark.slow),
    pytest.param(hydroxyl, ("electrons",), 3e-3, ("free_energy", "eigenvalues", "occupations"), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("system", "path", "h", "names"), CASES)
def test_forward_derivatives_are_those_of_central_differences(system, path, h, names):
    f = system()
    values = lambda t: {name: found[name] for found in [f(toward(f, path, t))] for name in names}
    _, exact = jax.jvp(values, (0.0,), (1.0,))
    a = [values(m * h) for m in (1, -1, 2, -2)]
    for name in names:
        close = (8 * (a[0][name] - a[1][name]) - (a[2][name] - a[3][name])) / (12 * h)
        error, scale = np.abs(exact[name] - close).max(), max(np.abs(close).max(), 1e-3)
        print(f"{system.__name__} d {name} / d {path[-1]}: {scale:.3e}, relative error {error / scale:.1e}")
        assert error < 1e-6 * scale, (name, error / scale)


def test_reverse_mode_is_the_transpose_of_forward_mode():
    f = water()
    p = {name: f.parameters[name] for name in ("positions", "xc")}
    values_at = lambda p: {
        name: found[name] for found in [f({**f.parameters, **p})] for name in ("energy", "dipole", "forces")
    }
    check_transposes(f, values_at, p, seed=2)


def test_entries_are_those_of_the_result():
    f = water()
    result = dftopt.minimize(f.model, f.basis, tol=1e-12, progress=False)
    own = f(f.parameters)
    assert np.abs(own["forces"] - result.forces()).max() < 1e-6
    assert np.abs(own["dipole"] - result.dipole()).max() < 1e-5


@pytest.mark.slow
def test_the_hessian_of_the_energy_is_the_matrix_of_force_constants():
    f = water()
    energy = lambda x: f({**f.parameters, "positions": x})["energy"]
    hessian = jax.hessian(energy)(f.parameters["positions"]).reshape(9, 9)
    r = dftopt.response(dftopt.minimize(f.model, f.basis, tol=1e-12, progress=False))
    assert np.abs(hessian - r.force_constants()).max() < 1e-9


def test_what_cannot_be_is_refused():
    f = water()
    fitted = dftopt.Gaussians(f.model, basis="sto-3g", grid=0, density_fit=True)
    for call, words in (
        (lambda: dftopt.differentiable(f.model, fitted), "exact two-electron integrals"),
        (lambda: dftopt.differentiable(f.model, f.basis, mix={0: "S"}), "in plane waves"),
        (lambda: f({**f.parameters, "strain": jnp.zeros((3, 3))}), "no continuous input"),
    ):
        with pytest.raises(dftopt.InputError) as error:
            call()
        assert words in " ".join(str(error.value).split())
