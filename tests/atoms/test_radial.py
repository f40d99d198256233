"""Radial integrals and tables against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import spherical_jn

from dftopt.atoms import radial
from dftopt.energy.tabulated import interpolate


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 11])
def test_simpson_is_exact_for_cubic_polynomials(n):
    x = np.linspace(0.0, 1.3, n)
    w = radial.simpson(np.full(n, x[1] - x[0]))
    for power in range(4 if n > 2 else 2):
        assert np.isclose(w @ x**power, 1.3 ** (power + 1) / (power + 1), rtol=1e-14)


def test_simpson_follows_a_logarithmic_mesh():
    r = 1e-4 * np.exp(0.0125 * np.arange(1001))
    assert abs(radial.simpson(0.0125 * r) @ np.exp(-r) + np.exp(-r[-1]) - np.exp(-r[0])) < 1e-9


@pytest.mark.parametrize("l", range(4))
def test_bessel_functions(l):
    x = np.concatenate([np.linspace(1e-2, 8, 801), np.linspace(8, 500, 2000)])
    limit = 1 / np.prod(np.arange(1, 2 * l + 2, 2, dtype=float))
    assert radial.bessel(l, np.zeros(1))[0] == pytest.approx(limit, rel=1e-15)
    assert np.abs(radial.bessel(l, x) - spherical_jn(l, x) / x**l).max() < 1e-13 * limit


@pytest.mark.parametrize("l", range(4))
def test_transform_of_a_gaussian(l):
    a, q = 0.8, np.linspace(0, 12, 25)
    r = np.linspace(0, 10, 1001)
    values = radial.transform(l, q, r, radial.simpson(np.full(1001, 0.01)) * r ** (2 + l) * np.exp(-a * r**2))
    assert np.abs(values - (np.pi / a) ** 1.5 / (2 * a) ** l * np.exp(-(q**2) / (4 * a))).max() < 1e-12


def test_neighbours_weights_are_those_of_the_spline():
    weights = radial.taps()
    for t in (-0.5, -0.2, 0.0, 0.37, 0.5):
        powers = t ** np.arange(radial.DEGREE + 1)
        exact = [float(radial.spline(radial.Fraction(t) - k)) for k in range(-4, 5)]
        assert np.allclose(weights @ powers, exact, rtol=0, atol=1e-16)
        assert np.sum(exact) == pytest.approx(1.0, abs=1e-15)


def oscillating(q):
    """The transform of a function that ends at about 5 bohr."""
    return np.cos(5 * q) * np.exp(-0.02 * q**2)


def test_interpolation_is_exact_and_zero_beyond_the_table():
    table = jnp.asarray(radial.coefficients(oscillating(radial.table_points())))
    q = np.concatenate([[0.0, 0.01, 0.0199999, 0.02, 63.99], np.random.default_rng(0).uniform(0, 64, 5000)])
    assert np.abs(interpolate(table, q**2) - oscillating(q)).max() < 2e-13
    assert np.all(interpolate(table, np.array([64.01, 100.0, 1e6]) ** 2) == 0)


def test_interpolation_has_all_derivatives_at_zero():
    a, b = 5.0, 0.02
    table = jnp.asarray(radial.coefficients(oscillating(radial.table_points())))
    f = lambda v: interpolate(table, jnp.sum(v**2))
    zero = jnp.zeros(3)
    second = -(a**2) - 2 * b
    assert np.all(jax.grad(f)(zero) == 0)
    assert np.allclose(jax.hessian(f)(zero), second * np.eye(3), rtol=0, atol=1e-8)
    in_square = jax.grad(
        lambda u: interpolate(table, u)
    )  # of u = q^2: half the second derivative in q, then 1/12 of the fourth
    assert float(in_square(0.0)) == pytest.approx(second / 2, rel=1e-9)
    assert float(jax.grad(in_square)(0.0)) == pytest.approx((a**4 + 12 * a**2 * b + 12 * b**2) / 12, rel=1e-5)


def test_interpolation_is_smooth_between_and_across_cells():
    table = jnp.asarray(radial.coefficients(oscillating(radial.table_points())))
    f = lambda q: interpolate(table, q**2)
    q = np.array([0.0201, 0.5 * radial.STEP * 25, 1.0, 1.02, 7.3])
    h = 1e-4
    for derivative, order in ((jax.vmap(jax.grad(f)), 1), (jax.vmap(jax.grad(jax.grad(f))), 2)):
        lower = jax.vmap(jax.grad(f)) if order == 2 else f
        numeric = (8 * (lower(q + h) - lower(q - h)) - lower(q + 2 * h) + lower(q - 2 * h)) / (12 * h)
        assert np.allclose(derivative(q), numeric, rtol=0, atol=1e-9), order


def test_tables_are_linear_in_their_values():
    values = np.random.default_rng(1).standard_normal((2, len(radial.table_points())))
    summed = radial.coefficients(values[0] + 2 * values[1])
    assert np.allclose(summed, radial.coefficients(values[0]) + 2 * radial.coefficients(values[1]), atol=1e-10)
