"""Values on the grid in blocks: the same sums whichever functions are left out, and matrices that fit their energies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms

import dftopt
from dftopt.bases import integrals, quadrature
from dftopt.energy.molecule import energies_and_hpsi, hamiltonian, prepare

ENERGIES = jax.jit(energies_and_hpsi)


@pytest.fixture(scope="module")
def pair():
    """Two hydrogen molecules far from each other, spin polarized."""
    atoms = Atoms("H4", positions=[[0, 0, 0], [0, 0, 0.74], [20, 0, 0], [20, 0.74, 0]])
    model = dftopt.Model(atoms, xc="PBE", spinpol=True)
    basis = dftopt.Gaussians(model, basis="def2-svp", grid=0)
    random = np.random.default_rng(0)
    psi = random.normal(size=(2, 1, 3, basis.nao))
    lower = np.linalg.cholesky(np.einsum("skbi,ij,skcj->skbc", psi, basis.overlap, psi))
    psi = np.linalg.solve(lower, psi)
    return model, basis, jnp.asarray(psi), jnp.asarray([[[1.0, 0.7, 0.0]], [[0.9, 0.2, 0.1]]])


def test_functions_that_are_left_out_do_not_matter(pair, monkeypatch):
    model, basis, psi, f = pair
    whole = ENERGIES(psi, f, prepare(model, basis))
    monkeypatch.setattr(quadrature, "UNSCREENED", 0)
    monkeypatch.setattr(quadrature, "BLOCK_BYTES", 2**16)
    m = prepare(model, basis)
    assert min(b.values.shape[1] for b in m.blocks) < basis.nao  # some are left out
    part = ENERGIES(psi, f, m)
    assert abs(part[0].free - whole[0].free) < 1e-9
    assert np.abs(part[1] - whole[1]).max() < 1e-8
    assert np.abs(hamiltonian(psi, f, m) - hamiltonian(psi, f, prepare(model, basis))).max() < 1e-8


@pytest.mark.parametrize(("element", "basis"), [("Ne", "cc-pvqz"), ("I", "def2-tzvp")])
def test_functions_beyond_their_reach_are_negligible(element, basis):
    mol = dftopt.Gaussians(dftopt.Model(Atoms(element), xc="PBE"), basis=basis).mol
    reach, ends = quadrature._reach(mol), mol.ao_loc_nr()
    away = np.random.default_rng(0).normal(size=(40, 3))
    away /= np.linalg.norm(away, axis=1)[:, None]
    for shell, distance in enumerate(reach):
        seen = lambda r, of=slice(ends[shell], ends[shell + 1]): np.abs(quadrature.values(mol, r * away, 1)[of]).max()
        assert seen(distance) < quadrature.NEGLIGIBLE < seen(0.97 * distance)  # and not farther than it has to be


def test_memory_is_foreseen(monkeypatch):
    atoms = Atoms("H20", positions=[[2.0 * i, 0.5 * (i % 2), 0] for i in range(20)])
    mol = dftopt.Gaussians(dftopt.Model(atoms, xc="PBE"), basis="def2-svp", grid=0).mol
    monkeypatch.setattr(quadrature, "UNSCREENED", 0)
    monkeypatch.setattr(quadrature, "BLOCK_BYTES", 2**16)
    made = quadrature.blocks(mol, quadrature.points(mol, 3), 1)
    held = sum(b.values.size for b in made) / sum(b.values.shape[0] * b.values.shape[3] for b in made) / 4
    assert 0.7 < quadrature.functions_per_point(mol, 3) / held < 1.3
    fitted = integrals.fitted(mol, integrals.auxiliary(mol, "gga"))
    monkeypatch.setattr(integrals, "SHELLS_AT_ONCE", 0)
    assert integrals.fitted_gib(mol, "gga") == pytest.approx(fitted.integrals.nbytes / 2**30, rel=1e-12)


def test_matrix_and_orbitals_see_one_hamiltonian(pair):
    model, basis, psi, f = pair
    m = prepare(model, basis)
    _, hpsi, n = ENERGIES(psi, f, m)
    assert np.abs(np.einsum("skbi,sij->skbj", psi, hamiltonian(psi, f, m)) - hpsi).max() < 1e-12
    assert np.abs(n[:2] - f.sum(axis=(1, 2))).max() < 1e-2


def test_hpsi_is_the_derivative_of_the_energy(pair):
    model, basis, psi, f = pair
    m = prepare(model, basis)
    step, direction = 1e-4, jnp.asarray(np.random.default_rng(1).normal(size=psi.shape))
    energy = lambda c: ENERGIES(c, f, m)[0].free
    difference = (energy(psi + step * direction) - energy(psi - step * direction)) / (2 * step)
    slope = 2 * jnp.sum(f[..., None] * ENERGIES(psi, f, m)[1] * direction)
    assert abs(difference - slope) < 1e-6 * abs(slope)


def test_fitted_density_is_a_lower_bound(pair):
    model, basis, psi, f = pair
    fitted = dftopt.Gaussians(model, basis="def2-svp", grid=0, density_fit=True)
    exact_energy = float(ENERGIES(psi, f, prepare(model, basis))[0].hartree)
    fitted_energy = float(ENERGIES(psi, f, prepare(model, fitted))[0].hartree)
    assert 0 < exact_energy - fitted_energy < 1e-2
