import jax
import jax.numpy as jnp
import numpy as np
import pytest
from densities import kinetic, squared

from dftopt.xc import functional
from dftopt.xc.functional import TERMS

ADJUSTABLE = "+".join(name for name, term in TERMS.items() if term.parameters)


@pytest.mark.parametrize(
    ("name", "spin"), [("PBE", 2), *(pytest.param(ADJUSTABLE, spin, marks=pytest.mark.slow) for spin in (1, 2))]
)
def test_derivative_in_each_parameter(name, spin):
    xc = functional(name)
    rng = np.random.default_rng(0)
    rho_s = rng.uniform(0.01, 0.5, (spin, 50))
    gradients = rng.normal(size=(spin, 3, 50)) * rho_s[:, None]
    sigma, tau_s = squared(gradients), kinetic(rho_s, gradients)
    defaults = xc.parameters()
    assert set(defaults) == set(xc.terms)

    @jax.jit
    def energy(parameters):
        return jnp.sum(xc.energy_density(rho_s, sigma, tau_s, parameters=parameters))

    slopes = jax.grad(energy)(defaults)
    total = abs(float(energy(defaults)))
    for term, values in defaults.items():
        for key, value in values.items():
            h = 2e-3 * (abs(value) or 0.1)
            e = [energy({**defaults, term: {**values, key: value + k * h}}) for k in (-2, -1, 1, 2)]
            numeric = (e[0] - 8 * e[1] + 8 * e[2] - e[3]) / (12 * h)
            error = abs(float(slopes[term][key]) - float(numeric))
            assert error <= 1e-9 * abs(float(numeric)) + 1e-14 * total / h, (term, key)
            assert slopes[term][key] != 0, (term, key)


@pytest.mark.parametrize("key", ["kappa", "mu"])
def test_a_parameter_is_that_of_libxc(key):
    """PBE with the kappa or the mu of its reparametrizations is revPBE or PBEsol."""
    other = {"kappa": "gga_x_pbe_r", "mu": "gga_x_pbe_sol"}[key]
    rho_s, sigma = np.array([[0.1]]), np.array([[0.02]])
    replaced = {"gga_x_pbe": {key: functional(other).parameters()[other][key]}}
    changed = functional("gga_x_pbe").energy_density(rho_s, sigma, parameters=replaced)
    np.testing.assert_allclose(changed, functional(other).energy_density(rho_s, sigma), rtol=1e-15)
