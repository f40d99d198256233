import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import METAL, aluminium, aluminium_result, silicon, silicon_result

import dftopt
from dftopt.energy.prepared import prepare
from dftopt.errors import InputError
from dftopt.minimization.problem import Problem
from dftopt.minimization.smearing import SMEARINGS
from dftopt.minimization.unconstrained import evaluate, parameters_of, value


def test_free_energy_is_the_scalar_and_stationary_at_the_minimum():
    model, basis = aluminium()
    r = aluminium_result()
    p = dftopt.free_energy_parameters(r)
    a, g = jax.jit(jax.value_and_grad(lambda p: dftopt.free_energy(p, model, basis, temperature=0.01)))(p)
    assert float(a) == pytest.approx(r.energies.free, abs=1e-12)
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(g)) < 1e-6
    moved = jax.tree.map(lambda x: x + 0.01 * np.random.default_rng(0).normal(size=x.shape), p)
    assert float(dftopt.free_energy(moved, model, basis, temperature=0.01)) > float(a)
    s = dftopt.free_energy_parameters(silicon_result())
    assert float(dftopt.free_energy(s, *silicon())) == pytest.approx(silicon_result().energies.free, abs=1e-12)


def test_free_energy_refuses_what_has_no_minimum():
    with pytest.raises(InputError, match="fermi-dirac"):
        dftopt.free_energy(
            dftopt.free_energy_parameters(aluminium_result()), *aluminium(), smearing="marzari-vanderbilt"
        )


@pytest.mark.parametrize("parametrization", ["auxiliary", "capped-simplex", "row-norm"])
def test_closed_form_gradients_are_those_of_automatic_differentiation(parametrization):
    # directional derivatives of A(parameters) by AD, of A along the retraction by differences, and the closed form
    model, basis = aluminium(symmetry=False)
    data = (prepare(model, basis), jnp.asarray(0.01))
    problem = Problem(parametrization, SMEARINGS["fermi-dirac"])
    r = dftopt.minimize(
        model, basis, parametrization=parametrization, start="random", maxiter=4, progress=False, **METAL
    )
    x = r.point
    at = evaluate(problem, x, data)
    d = jax.tree.map(lambda z: -z, at.direction)
    slope = sum(
        float(jnp.sum((a.conj() * b).real))
        for a, b in zip(jax.tree.leaves(at.gradient), jax.tree.leaves(d), strict=True)
    )
    along = jax.jit(lambda t: problem.evaluate(problem.retract(x, d, t)[0], data).value)
    h = 1e-3
    numeric = (8 * (along(h) - along(-h)) - (along(2 * h) - along(-2 * h))) / (12 * h)
    assert slope < 0
    assert float(numeric) == pytest.approx(slope, rel=1e-6)
    params = parameters_of(problem, x)
    a, g = jax.jit(jax.value_and_grad(lambda p: value(problem, p, data)))(params)
    assert float(a) == pytest.approx(float(at.value), abs=1e-12)
    rng = np.random.default_rng(1)
    v = jax.tree.map(lambda y: jnp.asarray(rng.normal(size=y.shape)), params)
    exact = sum(float(jnp.sum(a * b)) for a, b in zip(jax.tree.leaves(g), jax.tree.leaves(v), strict=True))
    step = jax.jit(lambda t: value(problem, jax.tree.map(lambda a, b: a + t * b, params, v), data))
    h = 1e-4
    numeric = (8 * (step(h) - step(-h)) - (step(2 * h) - step(-2 * h))) / (12 * h)
    assert float(numeric) == pytest.approx(exact, rel=1e-6)


def test_degenerate_auxiliary_hamiltonian_has_finite_exact_derivatives():
    model, basis = aluminium(symmetry=False)
    data = (prepare(model, basis), jnp.asarray(0.01))
    problem = Problem("auxiliary", SMEARINGS["fermi-dirac"])
    params = dftopt.free_energy_parameters(dftopt.minimize(model, basis, maxiter=2, progress=False, **METAL))
    flat = jnp.zeros_like(params["occupations"]).at[..., 0].set(0.1 * jnp.eye(8))  # all levels equal
    params = {**params, "occupations": flat}
    g = jax.grad(lambda o: value(problem, {**params, "occupations": o}, data))(flat)
    v = jnp.asarray(np.random.default_rng(0).normal(size=flat.shape))
    exact = float(jnp.sum(g * v))
    h = 1e-5
    step = lambda t: float(value(problem, {**params, "occupations": flat + t * v}, data))
    assert np.isfinite(exact)
    assert (step(h) - step(-h)) / (2 * h) == pytest.approx(exact, rel=1e-5)
