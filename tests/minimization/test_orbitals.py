import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dftopt.minimization.orbitals import ORTHONORMALIZATIONS, loewdin, overlap, to_complex, to_real


def coefficients(seed=0, shape=(2, 3, 4, 20)):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=shape) + 1j * rng.normal(size=shape))


@pytest.mark.parametrize("name", ORTHONORMALIZATIONS)
def test_orthonormal_and_same_span(name):
    c = coefficients()
    psi = ORTHONORMALIZATIONS[name](c)
    np.testing.assert_allclose(overlap(psi, psi), np.broadcast_to(np.eye(4), (2, 3, 4, 4)), atol=1e-13)
    np.testing.assert_allclose(jnp.einsum("...ij,...ig->...jg", overlap(psi, c), psi), c, atol=1e-12)
    again = ORTHONORMALIZATIONS[name](psi)  # an orthonormal set is a fixed point
    np.testing.assert_allclose(again, psi, atol=1e-13)


@pytest.mark.parametrize("name", ORTHONORMALIZATIONS)
def test_derivative_at_an_orthonormal_point(name):
    # there C^H C is degenerate: the naive derivative through its eigenvectors would be wrong or NaN
    orth = ORTHONORMALIZATIONS[name]
    psi, d, v = orth(coefficients()), coefficients(1), coefficients(2)
    value = lambda t: jnp.sum((v.conj() * orth(psi + t * d)).real ** 2)
    h = 1e-4
    slope = float(jax.grad(value)(0.0))
    assert float(jax.jvp(value, (0.0,), (1.0,))[1]) == pytest.approx(slope, rel=1e-12)
    assert float(value(h) - value(-h)) / (2 * h) == pytest.approx(slope, rel=1e-6)


def test_loewdin_is_the_nearest():
    c = coefficients(shape=(4, 20))
    near = loewdin(c)
    distance = jnp.linalg.norm(near - c)
    for name in ("qr", "cholesky"):
        assert distance < jnp.linalg.norm(ORTHONORMALIZATIONS[name](c) - c)


def test_real_parameters_round_trip():
    c = coefficients()
    np.testing.assert_array_equal(to_complex(to_real(c)), c)
