"""Trust-region Newton: products with the Hessian, quadratic convergence, and down from a saddle point."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms

import dftopt
from dftopt.energy.molecule import prepare
from dftopt.minimization import molecular_newton as newton
from dftopt.minimization.molecular_problem import Frame, MolecularProblem
from dftopt.minimization.trees import dot


@pytest.fixture(scope="module")
def stretched():
    """Hydrogen at 2.5 angstrom: its closed shell is a saddle point."""
    model = dftopt.Model(Atoms("H2", positions=[[0, 0, 0], [0, 0, 2.5]]), xc="LDA", spinpol=True)
    basis = dftopt.Gaussians(model, basis="6-31g", grid=0)
    options = {"magnetization": 0, "tol": 1e-11, "progress": False}
    return model, basis, options, dftopt.minimize(model, basis, **options)


def test_product_is_the_difference_of_gradients(stretched):
    model, basis, _, r = stretched
    problem, frame = MolecularProblem(r.options.problem), Frame(r.psi[:, 0], jnp.asarray(r.eigenvalues[:, 0]))
    data = (prepare(model, basis, 0.0), jnp.zeros(()), frame)
    nb, n = max(r.options.filled), basis.nao
    random = np.random.default_rng(0)
    x = {"psi": jnp.broadcast_to(jnp.eye(nb, n), (2, 1, nb, n)), "occ": ()}
    x = problem.retract(x, {"perp": jnp.asarray(0.1 * random.normal(size=x["psi"].shape))}, 1.0)[0]
    u, v = (newton._perp(problem, x, jnp.asarray(random.normal(size=x["psi"].shape))) for _ in range(2))
    product = jax.jit(lambda w: newton.product(problem, x, data, w))
    hv = product(v)
    assert abs(dot(u, hv) - dot(v, product(u))) < 1e-12  # symmetric, not only at the minimum
    energy = jax.jit(lambda t: problem.evaluate(problem.retract(x, v, t)[0], data).value)
    h = 2e-3
    second = lambda s: (energy(s) - 2 * energy(0.0) + energy(-s)) / s**2
    assert abs((4 * second(h) - second(2 * h)) / 3 - dot(v, hv)) < 1e-6 * abs(dot(v, hv))


def test_down_from_a_saddle_point(stretched):
    model, basis, options, closed = stretched
    found = dftopt.stability(closed)
    assert not found.stable
    low = dftopt.minimize(model, basis, start=found.restart, minimizer="newton", **options)
    assert low.converged and dftopt.stability(low).stable
    assert low.energies.total < closed.energies.total - 1e-3
    same = dftopt.minimize(model, basis, start=found.restart, minimizer="lbfgs", **options)
    assert abs(low.energies.total - same.energies.total) < 1e-9
    assert low.errors[-1] < 1e3 * low.errors[-2] ** 2 + 1e-18  # quadratic
    assert low.stats["iterations"] <= same.stats["iterations"]
