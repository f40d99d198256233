"""Exponents and contraction coefficients as parameters of the energy: integrals, derivatives, and a basis optimized."""

import jax
import numpy as np
import pytest
from ase import Atoms
from cases import result
from jax.flatten_util import ravel_pytree

import dftopt
from dftopt.bases import primitives, quadrature


@pytest.fixture(scope="module")
def oxygen():
    """UKS with s, p and d functions."""
    model = dftopt.Model(Atoms("O", magmoms=[2]), xc="PBE", spinpol=True)
    basis = dftopt.Gaussians(model, basis="cc-pvdz", grid=0)
    return dftopt.minimize(model, basis, magnetization=2, tol=1e-13, progress=False)


def test_integrals_and_values_are_those_of_the_basis(oxygen):
    mol = oxygen.basis.mol
    p, params = primitives.pattern(mol), dftopt.basis_parameters(oxygen.basis)
    of = primitives.integrals(params["exponents"], p)
    b = primitives.contraction(params, p, of.overlap)
    for ours, name in zip(of[:3], ("int1e_ovlp", "int1e_kin", "int1e_nuc"), strict=True):
        assert np.abs(b.T @ ours @ b - mol.intor(name)).max() < 1e-12
    (i, j), c = np.tril_indices(len(b)), np.asarray(b)
    whole = np.zeros((len(c),) * 4)
    whole[i[:, None], j[:, None], i, j] = whole[j[:, None], i[:, None], i, j] = of.repulsion
    whole[:, :, j, i] = whole[:, :, i, j]
    ours = np.einsum("ijkl,ip,jq,kr,ls->pqrs", whole, c, c, c, c, optimize=True)
    assert np.abs(ours - mol.intor("int2e")).max() < 1e-11
    points = np.random.default_rng(0).normal(size=(20, 3))
    ours = jax.jit(primitives.values, static_argnames="p")(params, p, points, b)
    assert np.abs(ours - quadrature.values(mol, points, 1)).max() < 1e-12


def test_energy_is_that_of_the_result_and_its_gradient_that_of_differences(oxygen):
    params = dftopt.basis_parameters(oxygen.basis)
    value, gradient = jax.value_and_grad(dftopt.basis_energy)(params, oxygen)
    assert abs(value - oxygen.energies.free) < 1e-11
    flat, rebuild = ravel_pytree(params)
    slopes = np.asarray(ravel_pytree(gradient)[0])
    energy = lambda i, h: float(dftopt.basis_energy(rebuild(flat.at[i].add(h)), oxygen))
    for i in (0, len(flat) // 2 - 1, len(flat) - 30, len(flat) - 8):  # coefficients come first
        h = 1e-3 * max(0.1, abs(float(flat[i])))
        one, two = ((energy(i, k * h) - energy(i, -k * h)) / (2 * k * h) for k in (1, 2))
        assert abs((4 * one - two) / 3 - slopes[i]) < 1e-6 * max(abs(slopes[i]), 1e-3)


def test_gradient_is_that_of_the_minimal_energy(oxygen):
    params = dftopt.basis_parameters(oxygen.basis)
    slope = jax.grad(dftopt.basis_energy)(params, oxygen)["exponents"]["O"]
    p, l, h = primitives.pattern(oxygen.basis.mol), len(slope) - 1, 2e-3
    energies = []
    for step in (h, -h):
        moved = tuple(e + step * (i == l) for i, e in enumerate(params["exponents"]["O"]))
        shells = primitives.as_basis({**params, "exponents": {"O": moved}}, p)
        basis = dftopt.Gaussians(oxygen.model, basis=shells, grid=0)
        energies.append(
            dftopt.minimize(oxygen.model, basis, start=oxygen, magnetization=2, tol=1e-13, progress=False).energies.free
        )
    assert abs((energies[0] - energies[1]) / (2 * h) - slope[l][0]) < 1e-6 * abs(slope[l][0]) + 1e-7


def test_best_gaussian_of_helium():
    """One Gaussian for two electrons that repel and do not exchange: E = 3 a - k sqrt(a), by hand."""
    model = dftopt.Model(Atoms("He"), xc="none")
    basis = dftopt.Gaussians(model, basis={"He": [[0, [1.0, 1.0]]]}, grid=0)
    found = dftopt.optimize_basis(model, basis, tol=1e-7)
    k = 8 * np.sqrt(2 / np.pi) - 4 / np.sqrt(np.pi)
    assert found.converged
    assert abs(found.result.energies.total + k**2 / 12) < 1e-10
    assert abs(found.basis.name["He"][0][1][0] - (k / 6) ** 2) < 1e-6
    assert np.all(found.history >= found.result.energies.total)


def test_result_in_a_basis_of_ones_own_is_kept(tmp_path):
    model = dftopt.Model(Atoms("He"), xc="none")
    r = dftopt.minimize(model, dftopt.Gaussians(model, basis={"He": [[0, [1.0, 1.0]]]}, grid=0), progress=False)
    r.save(tmp_path / "he.h5")
    assert dftopt.load(tmp_path / "he.h5").basis.name == r.basis.name
    assert "shells of its own" in repr(r.basis)


@pytest.mark.parametrize(
    "shells", [[], [[0]], [[0, [1.0]]], [[0, [-1.0, 1.0]]], [["s", [1.0, 1.0]]], [[0, [1.0, 1.0], [2.0]]]]
)
def test_wrong_shells(shells):
    with pytest.raises(dftopt.InputError, match="basis of He: the shell"):
        dftopt.Gaussians(dftopt.Model(Atoms("He")), basis={"He": shells})


def test_wrong_options():
    r = result("H2O-cold")
    with pytest.raises(dftopt.InputError, match="nothing to vary"):
        dftopt.optimize_basis(r.model, r.basis, exponents=False, coefficients=False)
    model = dftopt.Model(Atoms("HI", positions=[[0, 0, 0], [0, 0, 1.6]]))
    with pytest.raises(dftopt.InputError, match="core potentials"):
        dftopt.basis_parameters(dftopt.Gaussians(model, basis="def2-svp", grid=0))
