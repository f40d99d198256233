import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dftopt.errors import InputError
from dftopt.minimization.smearing import SMEARINGS, chemical_potential, count, smearing


@pytest.mark.parametrize("name", SMEARINGS)
def test_entropy_and_occupation_belong_together(name):
    # s'(x) = x f'(x) makes the free energy stationary; f goes from 1 to 0
    kind = SMEARINGS[name]
    x = jnp.linspace(-12, 12, 201) + 1e-3
    ds = jax.vmap(jax.grad(kind.entropy))(x)
    df = jax.vmap(jax.grad(kind.occupation))(x)
    np.testing.assert_allclose(ds, x * df, atol=1e-12)
    f = kind.occupation(jnp.array([-800.0, -40.0, 40.0, 800.0]))
    np.testing.assert_allclose(f, [1, 1, 0, 0], atol=1e-15)
    s = kind.entropy(jnp.array([-800.0, 800.0]))
    np.testing.assert_allclose(s, 0, atol=1e-15)


def test_fermi_dirac_entropy_is_minus_f_ln_f():
    x = jnp.linspace(-5, 5, 11)
    f = 1 / (1 + np.exp(x))
    np.testing.assert_allclose(
        SMEARINGS["fermi-dirac"].entropy(x), -f * np.log(f) - (1 - f) * np.log(1 - f), rtol=1e-13
    )


@pytest.mark.parametrize("name", SMEARINGS)
@pytest.mark.parametrize("temperature", [1e-4, 0.01, 0.2])
def test_chemical_potential_counts_the_electrons(name, temperature):
    e = jnp.asarray(np.sort(np.random.default_rng(1).normal(size=(1, 5, 7)), axis=-1))
    w = jnp.asarray(2 * np.array([1, 2, 3, 4, 5]) / 15)[None, :, None]
    mu = chemical_potential(e, w, jnp.array([6.3]), temperature, SMEARINGS[name])
    assert count(e, mu, w, temperature, SMEARINGS[name]).item() == pytest.approx(6.3, abs=1e-12)


def test_unknown_smearing_lists_the_known():
    with pytest.raises(InputError, match="fermi-dirac"):
        smearing("fermi")


@pytest.mark.parametrize("name", list(SMEARINGS))
def test_each_spin_has_its_own_chemical_potential_where_the_magnetization_is_fixed(name):
    rng = np.random.default_rng(0)
    e, w = jnp.asarray(rng.normal(size=(2, 3, 6))), jnp.asarray([0.25, 0.5, 0.25])[None, :, None]
    both = chemical_potential(e, w, jnp.array([3.3, 1.4]), 0.05, SMEARINGS[name])
    for s, n in enumerate((3.3, 1.4)):
        alone = chemical_potential(e[s : s + 1], w, jnp.array([n]), 0.05, SMEARINGS[name])
        assert float(both[s]) == pytest.approx(float(alone[0]), abs=1e-12)
