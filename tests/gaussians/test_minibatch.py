"""Random batches of quadrature points: without bias, and a start for the deterministic minimization."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms

import dftopt
from dftopt.bases import quadrature
from dftopt.energy import quadrature_xc
from dftopt.energy.molecule import energies_and_hpsi, prepare
from dftopt.minimization import minibatch
from dftopt.minimization.molecule import natural_orbitals


@pytest.fixture(scope="module")
def hydrogen():
    model = dftopt.Model(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]]), xc="LDA")
    basis = dftopt.Gaussians(model, basis="6-31g", grid=0)
    occupations, orbitals = natural_orbitals(model, basis)[0]
    psi, w = jnp.asarray(orbitals[None, :1]), jnp.full((1, 1), 2.0)
    density = orbitals.T @ np.diag(2 * occupations) @ orbitals
    return model, basis, prepare(model, basis), psi, w, density


def batch(basis, coords, weights):
    return jnp.asarray(np.ascontiguousarray(quadrature.values(basis.mol, coords, 0))), weights, coords


def test_all_points_give_the_energy(hydrogen):
    _, basis, m, psi, w, _ = hydrogen
    p = basis.points
    everything = batch(basis, p.coords, p.weights)
    exact = energies_and_hpsi(psi[:, None], jnp.ones((1, 1, 1)), m)[0].total
    assert abs(minibatch.estimate(psi, w, (everything,), m, False) - exact) < 1e-12


@pytest.mark.parametrize("kind", minibatch.SAMPLINGS)
def test_batches_have_no_bias(hydrogen, kind):
    _, basis, m, psi, w, density = hydrogen
    p = basis.points
    sampler = minibatch.sampler(basis, kind, density)
    assert abs(sampler.probability.sum() - 1) < 1e-12
    value = jax.jit(jax.value_and_grad(lambda c, b: minibatch.estimate(c, w, (b,), m, False)))
    exact, slope = value(psi, batch(basis, p.coords, p.weights))
    random = np.random.default_rng(0)
    found = [value(psi, batch(basis, *sampler.draw(random, 256))) for _ in range(200)]
    energies, slopes = np.array([e for e, _ in found]), np.array([g for _, g in found])
    assert abs(energies.mean() - exact) < 4 * energies.std() / np.sqrt(200)
    assert np.all(np.abs(slopes.mean(axis=0) - slope) < 4.5 * slopes.std(axis=0) / np.sqrt(200) + 1e-12)
    values = quadrature.values(basis.mol, p.coords, 0)
    x = quadrature_xc.fields(jnp.einsum("sbi,icp->sbcp", psi, values), w, "lda")
    terms = p.weights * np.asarray(quadrature_xc.energy_density(x, m.functional, m.xc))
    spread = np.sqrt((np.sum(terms**2 / sampler.probability) - terms.sum() ** 2) / 256)
    assert abs(energies.std() / spread - 1) < 0.2
    assert kind == "uniform" or spread < 0.1  # hartree; uniform batches scatter by more than twice as much


def test_pairs_have_no_bias(hydrogen):
    _, basis, m, psi, w, density = hydrogen
    p = basis.points
    sampler = minibatch.sampler(basis, "importance", density)
    value = jax.jit(lambda a, b: minibatch.estimate(psi, w, (a, b), m, True))
    everything = batch(basis, p.coords, p.weights)
    exact = float(value(everything, everything))
    random = np.random.default_rng(1)
    draw = lambda: batch(basis, *sampler.draw(random, 256))
    energies = np.array([float(value(draw(), draw())) for _ in range(200)])
    assert abs(energies.mean() - exact) < 4 * energies.std() / np.sqrt(200)


def test_warm_up_and_finish(hydrogen):
    model, basis, *_ = hydrogen
    warm = dftopt.warm_up(model, basis, steps=40, batch=256, growth=1.0, seed=3)
    again = dftopt.warm_up(model, basis, steps=40, batch=256, growth=1.0, seed=3)
    assert np.array_equal(warm.energies, again.energies)
    result = dftopt.minimize(model, basis, start=warm, progress=False)
    assert result.converged
    assert abs(warm.energies[-10:].mean() - result.energies.total) < 5 * warm.spread + 0.02
    assert result.energies.total <= dftopt.minimize(model, basis, progress=False).energies.total + 1e-8


@pytest.mark.parametrize(
    ("options", "said"),
    [({"steps": 0}, "steps = 0"), ({"sampling": "stratified"}, "sampling"), ({"hartree": "grid"}, "hartree")],
)
def test_wrong_options(hydrogen, options, said):
    with pytest.raises(dftopt.InputError, match=said):
        dftopt.warm_up(*hydrogen[:2], **options)
