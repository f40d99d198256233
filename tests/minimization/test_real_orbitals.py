"""At Gamma alone orbitals are real functions, and two are transformed at once: the same numbers as for complex ones."""

import jax
import numpy as np
import pytest
from ase import Atoms

import dftopt
from dftopt.bases.real_waves import opposite, plane_waves, real_waves
from dftopt.energy.free_energy import apply_hamiltonian, orbital_terms
from dftopt.energy.prepared import prepare
from dftopt.minimization import ground_state
from dftopt.minimization.start import lowest_orbitals, random_orbitals


def helium_hydride(xc):
    atoms = Atoms("HeH", [[0, 0, 0], [0.1, 0.3, 0.9]], cell=[3.2, 3.4, 3.6], pbc=True)
    atoms.set_initial_magnetic_moments([0.0, 1.0])
    model = dftopt.Model(atoms, xc=xc, spinpol=True)
    return model, dftopt.PlaneWaves(model, ecut=5.0)


@pytest.mark.parametrize("xc", ["LDA", "r2SCAN"])
def test_pairs_of_real_functions(xc):
    model, basis = helium_hydride(xc)
    real, plain = prepare(model, basis, real=True), prepare(model, basis)
    G = basis.spheres[0]
    minus = np.asarray(real.orbitals.minus[0])
    np.testing.assert_array_equal(G[minus[: len(G)]], -G)
    psi = random_orbitals(jax.random.key(0), (2, 1, 3, basis.npw), real.orbitals)  # an odd number: one has no partner
    f = np.random.default_rng(0).random((2, 1, 3))
    waves = plane_waves(psi, minus)
    np.testing.assert_allclose(real_waves(waves, minus), psi, atol=1e-14)
    np.testing.assert_allclose(np.sum(np.abs(waves) ** 2, -1), np.sum(psi**2, -1), rtol=1e-12)
    for a, b in zip(orbital_terms(psi, f, real.orbitals, 2), orbital_terms(waves, f, plain.orbitals, 2), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * np.abs(b).max())
    fields = (2,) if xc == "r2SCAN" else ()
    v = np.random.default_rng(1).normal(size=(2, *fields, *basis.fft))
    a, b = apply_hamiltonian(psi, v, real.orbitals, 2), np.asarray(apply_hamiltonian(waves, v, plain.orbitals, 2))
    np.testing.assert_allclose(plane_waves(a, minus), b, atol=1e-12 * np.abs(b).max())


@pytest.mark.parametrize(("xc", "temperature"), [("LDA", 0.0), ("r2SCAN", 0.02)])
def test_the_same_minimum(monkeypatch, xc, temperature):
    model, basis = helium_hydride(xc)
    options = {"temperature": temperature, "tol": 1e-13, "progress": False, "nbands": 5}
    real = dftopt.minimize(model, basis, **options)
    psi = np.asarray(real.psi)
    minus = opposite(basis.spheres[0], basis.npw)
    np.testing.assert_allclose(psi, plane_waves(real_waves(psi, minus), minus), atol=1e-14)
    with monkeypatch.context() as patch:
        patch.setattr(ground_state, "are_real", lambda *_: False)
        plain = dftopt.minimize(model, basis, **options)
    assert real.converged and plain.converged
    assert float(real.energies.free) == pytest.approx(float(plain.energies.free), abs=1e-10)
    np.testing.assert_allclose(real.eigenvalues[..., :4], plain.eigenvalues[..., :4], atol=1e-7)
    np.testing.assert_allclose(real.forces(), plain.forces(), atol=1e-6)
    again = dftopt.minimize(model, basis, start=plain, **options)  # complex orbitals are gone on from as such
    assert float(again.energies.free) == pytest.approx(float(plain.energies.free), abs=1e-10)
    assert again.stats.evaluations < 5


def test_settled_bands_are_left_alone():
    model, basis = helium_hydride("LDA")
    prepared = prepare(model, basis)
    psi = random_orbitals(jax.random.key(1), (2, 1, 6, basis.npw), prepared.orbitals)
    v = 0.1 * np.random.default_rng(2).normal(size=(2, *basis.fft))
    psi, e, norms, steps = lowest_orbitals(psi, v, prepared.orbitals, 200, 1e-7, 8, 3)
    other, e2, norms2, steps2 = lowest_orbitals(psi, v, prepared.orbitals, 200, 1e-6, 8, 5, 2)
    assert np.all(np.asarray(norms2)[..., :5] < 1e-6) and np.all(np.asarray(steps2) > 0)
    np.testing.assert_allclose(np.asarray(e2)[..., :2], np.asarray(e)[..., :2], atol=1e-10)
    overlap = np.einsum("skig,skig->ski", np.asarray(psi)[:, :, :2].conj(), np.asarray(other)[:, :, :2])
    np.testing.assert_allclose(np.abs(overlap), 1, atol=1e-9)
