import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import aluminium, low_symmetry_silicon, silicon

from dftopt.bases.transforms import density_of_bands, to_grid
from dftopt.energy.coulomb import coulomb_kernel
from dftopt.energy.fields import coefficients, density
from dftopt.energy.free_energy import apply_hamiltonian, energies, energies_and_hpsi, orbital_terms, weights
from dftopt.energy.hartree import hartree
from dftopt.energy.prepared import prepare
from dftopt.minimization.orbitals import cholesky_qr
from dftopt.minimization.start import atomic_density, random_orbitals


def orbitals_of(system, nb=4, seed=0):
    model, basis = system
    prepared = prepare(model, basis)
    psi = cholesky_qr(random_orbitals(jax.random.key(seed), (1, basis.nk, nb, basis.npw), prepared.orbitals))
    return basis, prepared, psi


def test_transform_matches_the_plain_fft():
    basis, prepared, psi = orbitals_of(low_symmetry_silicon())
    o = prepared.orbitals
    for k, sphere in enumerate(basis.spheres):
        box = np.zeros((4, *basis.fft), complex)
        box[(slice(None), *(sphere % basis.fft).T)] = np.asarray(psi[0, k, :, : len(sphere)])
        plain = np.fft.ifftn(box, axes=(1, 2, 3)) * np.prod(basis.fft)
        np.testing.assert_allclose(to_grid(psi[0, k], o.to_box[k], o.waves), plain, atol=1e-12)


def test_density_integrates_to_the_electrons_and_blocks_do_not_matter():
    basis, prepared, psi = orbitals_of(silicon())
    f = jnp.ones(psi.shape[:3])
    summed, _, _ = orbital_terms(psi, f * weights(prepared), prepared.orbitals, 4)
    rho, rho_G = density(summed, prepared), coefficients(summed, prepared)
    assert float(jnp.mean(rho) * prepared.volume) == pytest.approx(8, rel=1e-13)
    assert float(rho_G[0, 0, 0, 0].real * prepared.volume) == pytest.approx(8, rel=1e-13)
    o = prepared.orbitals
    one = density_of_bands(psi[0, 0], f[0, 0], o.to_box[0], o.waves, 4)
    np.testing.assert_allclose(density_of_bands(psi[0, 0], f[0, 0], o.to_box[0], o.waves, 3), one, atol=1e-11)
    v = jnp.ones((1, *basis.fft))
    np.testing.assert_allclose(apply_hamiltonian(psi, v, o, 3), apply_hamiltonian(psi, v, o, 8), atol=1e-11)


def test_symmetrized_density_equals_that_of_the_full_mesh():
    # orbitals of one k point, density averaged over the group: the average must be idempotent and keep the charge
    _, prepared, psi = orbitals_of(silicon())
    summed, _, _ = orbital_terms(psi, weights(prepared) * jnp.ones((1, 1, 4)), prepared.orbitals, 4)
    rho, rho_G = density(summed, prepared), coefficients(summed, prepared)
    again = prepared.symmetrizer(rho_G[0])
    np.testing.assert_allclose(again, rho_G[0], atol=1e-14)
    W, t = silicon()[1].kpoints.symmetry.rotations, silicon()[1].kpoints.symmetry.translations
    G = silicon()[1].density_sphere[:40]
    n = np.array(silicon()[1].fft)
    full = np.fft.fftn(np.asarray(rho[0])) / np.prod(n)
    for s in range(0, len(W), 5):  # rho_{G W} = exp(2 pi i G t) rho_G
        np.testing.assert_allclose(
            full[tuple((G @ W[s] % n).T)], np.exp(2j * np.pi * G @ t[s]) * full[tuple((G % n).T)], atol=1e-13
        )


@pytest.mark.parametrize("system", [low_symmetry_silicon, silicon, aluminium], ids=lambda s: s.__name__)
def test_hamiltonian_is_the_gradient_of_the_free_energy(system):
    basis, prepared, psi = orbitals_of(system())
    f = jnp.asarray(np.random.default_rng(0).uniform(0.1, 1, psi.shape[:3]))
    g = jax.jit(jax.grad(lambda p: energies(p, f, prepared).free))(psi).conj()
    _, h = jax.jit(energies_and_hpsi)(psi, f, prepared)
    np.testing.assert_allclose(g, 2 * (f * weights(prepared))[..., None] * h, atol=1e-13)


def test_derivatives_forward_reverse_and_second():
    _, prepared, psi = orbitals_of(low_symmetry_silicon())
    f = jnp.ones(psi.shape[:3])
    d = orbitals_of(low_symmetry_silicon(), seed=5)[2]
    value = jax.jit(lambda t: energies(psi + t * d, f, prepared).free)
    first = jax.jit(jax.grad(value))
    h = 1e-3
    slope = float(first(0.0))
    assert float(jax.jit(lambda t: jax.jvp(value, (t,), (1.0,))[1])(0.0)) == pytest.approx(slope, rel=1e-12)
    numeric = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)
    assert float(numeric) == pytest.approx(slope, rel=1e-9)
    second = float(jax.jit(lambda t: jax.jvp(first, (t,), (1.0,))[1])(0.0))  # forward over reverse
    assert float((first(h) - first(-h)) / (2 * h)) == pytest.approx(second, rel=1e-6)


def test_hartree_of_a_gaussian_charge():
    # q^2/(2 sqrt(pi) s) - 2.837297 q^2/2L + 2 pi q^2 s^2/L^3 for a cube of edge L, s the width of the density
    L, s, q, n = 12.0, 0.8, 3.0, 48
    g = 2 * np.pi / L * np.fft.fftfreq(n, 1 / n)
    h = g[: n // 2 + 1].copy()
    h[-1] = abs(h[-1])
    G2 = g[:, None, None] ** 2 + g[None, :, None] ** 2 + h[None, None] ** 2
    rho_G = q / L**3 * np.exp(-G2 * s**2 / 2)
    m = np.r_[1.0, np.full(n // 2 - 1, 2.0), 1.0]
    exact = q**2 / (2 * np.sqrt(np.pi) * s) - 2.8372974794806 * q**2 / (2 * L) + 2 * np.pi * q**2 * s**2 / L**3
    assert float(hartree(rho_G, coulomb_kernel(G2), m, L**3)) == pytest.approx(exact, rel=1e-12)


def test_starting_density_has_the_right_charge():
    for model, basis in (silicon(), aluminium()):
        rho = atomic_density(model, basis)
        assert float(rho.min()) > 0
        assert float(rho.mean() * model.structure.volume) == pytest.approx(model.n_electrons, rel=1e-12)
