"""Orbitals deformed by a map of space: orthonormal for any map, the plain energy for the identity, below it at the end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from cases import result
from pyscf import gto

import dftopt
from dftopt.bases import even_tempered, quadrature
from dftopt.energy import deformed
from dftopt.energy.molecule import energies_and_hpsi, prepare
from dftopt.minimization import local_scaling as module

ONE = jnp.full((1, 1), 2.0)


@pytest.fixture(scope="module")
def plain():
    model = dftopt.Model(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]]), xc="PBE")
    return dftopt.minimize(model, dftopt.Gaussians(model, basis="6-31g", grid=1), tol=1e-12, progress=False)


@pytest.fixture(scope="module")
def found(plain):
    return dftopt.local_scaling(plain, tol=1e-12, maxiter=50)


def some_map(size: float):
    keys = jax.random.split(jax.random.key(0))
    zero = module.deformation.identity(2)
    return {name: size * jax.random.normal(k, zero[name].shape) for name, k in zip(zero, keys, strict=True)}


def test_identity_gives_the_plain_energy(plain):
    psi = jnp.asarray(plain.psi[:, 0, :1])
    d = deformed.deformable(plain.model, plain.basis)
    here = module._energies(psi, ONE, module.deformation.identity(2), d)
    there = energies_and_hpsi(psi[:, None], jnp.ones((1, 1, 1)), prepare(plain.model, plain.basis))[0]
    for name in ("kinetic", "local", "hartree", "xc", "total"):
        assert abs(getattr(here, name) - getattr(there, name)) < 1e-12


def test_energy_falls_and_a_finer_grid_agrees(plain, found):
    assert found.gain > 1.5e-3
    assert np.all(np.diff(found.history) < 1e-12)
    assert abs(found.history[0] - plain.energies.total) < 1e-10
    assert abs(found.energies_on(4, highest=5, ratio=1.7).total - found.energies_on(3).total) < 1e-6
    limit = -1.1665  # PBE without error of a basis set: no orbitals are below it
    assert limit < found.energies_on(4).total < plain.energies.total - 1.5e-3


def test_deformed_orbitals_are_orthonormal_and_have_these_energies(found):
    """On points r of a grid of their own, through the inverse map; the Hartree energy with PySCF's fitting functions."""
    assert np.abs(found.overlap(4) - 1).max() < 1e-8
    points = np.random.default_rng(0).normal(size=(50, 3)) * 2
    places = found.places(found.preimages(points))
    assert np.abs(places.x - points).max() < 1e-12 and float(places.stretch.max()) < 1
    basis = found.result.basis
    grid = quadrature.points(basis.mol, 4)
    g = found.orbitals(grid.coords)[0, 0]
    e = found.energies_on(4)
    assert abs(grid.weights @ np.sum(g[1:] ** 2, axis=0) - e.kinetic) < 1e-6
    rho = 2 * grid.weights * g[0] ** 2
    distance = np.linalg.norm(grid.coords[:, None] - basis.mol.atom_coords(), axis=-1)
    assert abs(-rho @ np.sum(1 / distance, axis=1) - e.local) < 1e-6
    aux = gto.M(atom=basis.mol.atom, unit="Bohr", basis="cc-pv5z-jkfit", verbose=0)
    b = gto.intor_cross("int2c2e", aux, gto.fakemol_for_charges(grid.coords)) @ rho
    assert abs(0.5 * b @ np.linalg.solve(aux.intor("int2c2e"), b) - e.hartree) < 2e-6


def test_gradient_is_that_of_differences(plain):
    d = deformed.deformable(plain.model, plain.basis)
    theta, direction = some_map(0.02), some_map(1.0)
    psi = jnp.asarray(plain.psi[:, 0, :1])
    value = lambda t: module._energies(psi, ONE, jax.tree.map(lambda a, b: a + t * b, theta, direction), d).total
    slope = jax.grad(value)(0.0)
    h = 1e-4
    third = lambda step: (value(step) - value(-step)) / (2 * step)
    assert abs((4 * third(h) - third(2 * h)) / 3 - slope) < 1e-6 * abs(slope)


def test_potentials_are_those_of_the_integrals():
    mol = result("H2O-cold").basis.mol
    aux = even_tempered.functions(mol)
    random = np.random.default_rng(0)
    points, rho = random.normal(size=(40, 3)) * 2, random.normal(size=40)
    b = gto.intor_cross("int2c2e", aux, gto.fakemol_for_charges(points)) @ rho
    f = even_tempered.fit(aux)
    ours = f.root.T @ (jax.jit(even_tempered.potentials)(jnp.asarray(points), jnp.asarray(mol.atom_coords()), f) @ rho)
    there = b @ np.linalg.solve(aux.intor("int2c2e"), b)
    assert abs(ours @ ours - there) < 1e-6 * there  # nearly dependent functions are left out of ours


def test_fit_of_water_is_close_to_exact_integrals():
    r = result("H2O-cold")
    mol, d, aux = r.basis.mol, r.density_matrix()[0], even_tempered.functions(r.basis.mol)
    whole, n = mol + aux, mol.nbas
    b = np.einsum("ijp,ij->p", whole.intor("int3c2e", shls_slice=(0, n, 0, n, n, n + aux.nbas)), d)
    exact = np.einsum("ij,ijkl,kl->", d, mol.intor("int2e"), d, optimize=True)
    assert 0 < 0.5 * (exact - b @ np.linalg.solve(aux.intor("int2c2e"), b)) < 3e-6


@pytest.mark.parametrize(
    ("options", "said"), [({"layers": 0}, "layers = 0"), ({"widths": (-1.0,)}, "widths"), ({"tol": 0}, "tol")]
)
def test_wrong_options(plain, options, said):
    with pytest.raises(dftopt.InputError, match=said):
        dftopt.local_scaling(plain, **options)


def test_occupations_at_a_temperature():
    with pytest.raises(dftopt.InputError, match="temperature = 0"):
        dftopt.local_scaling(result("O2-hot"))
