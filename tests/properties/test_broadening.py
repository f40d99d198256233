import numpy as np
import pytest

from dftopt.properties.broadening import gaussians, tetrahedra


def mesh(n):
    return np.stack(np.meshgrid(*[np.arange(m) / m for m in n], indexing="ij"), axis=-1)


def test_gaussians_are_normalized_sums():
    energies = np.linspace(-2, 2, 4001)
    levels, weights = np.array([-0.3, 0.4, 0.4]), np.array([[1.0, 2.0, 0.5], [0.0, 1.0, 0.0]])
    d = gaussians(energies, levels, weights, 0.05)
    np.testing.assert_allclose(np.trapezoid(d, energies), [3.5, 1.0], rtol=1e-9)
    np.testing.assert_allclose(d[1], np.exp(-((energies - 0.4) ** 2) / 0.005) / np.sqrt(2 * np.pi) / 0.05, atol=1e-12)


def test_one_tetrahedron_is_integrated_exactly():
    """Against random points: four levels at the corners, linear levels and weights between them."""
    from dftopt.properties.broadening import _one_band

    rng = np.random.default_rng(0)
    e, w = np.array([[0.3, -0.5, 0.9, 0.1]]), np.array([[[1.0, 0.2, 0.5, 2.0]]])
    points = rng.dirichlet(np.ones(4), 400_000)
    edges = np.linspace(-0.5, 0.9, 15)
    expected = np.histogram(points @ e[0], edges, weights=points @ w[0, 0])[0] / len(points)
    fine = np.linspace(-0.5, 0.9, 28001)
    d = _one_band(fine, e, w)[0]
    cumulated = np.concatenate([[0], np.cumsum(0.5 * (d[1:] + d[:-1]) * np.diff(fine))])
    np.testing.assert_allclose(np.diff(np.interp(edges, fine, cumulated)), expected, atol=1.5e-3)
    assert cumulated[-1] == pytest.approx(w.mean(), abs=1e-6)


def test_simple_cubic_tight_binding():
    energies = np.linspace(-3.05, 3.05, 245)
    center = []
    for n in (8, 16):
        k = mesh((n, n, n))
        e = -np.cos(2 * np.pi * k).sum(axis=-1)[..., None]
        weights = np.stack([np.ones_like(e), np.cos(2 * np.pi * k[..., :1]) ** 2])
        d = tetrahedra(energies, e, weights, np.eye(3))
        np.testing.assert_allclose(np.trapezoid(d, energies), [1, 0.5], atol=2e-3)
        center.append(np.interp(0.0, energies, d[0]))
    exact = 2 * 0.1427131  # lattice Green function of the simple cubic lattice at its centre, over pi
    errors = np.array(center) - exact
    print(errors)
    assert abs(errors[1]) < 0.35 * abs(errors[0]) and abs(errors[1]) < 0.01


def test_tetrahedra_do_not_depend_on_the_choice_of_cell_vectors():
    """Free electrons in an oblique and in a straight cell of the same lattice, below the zone boundary."""
    energies = np.linspace(0.01, 0.3, 60)
    straight, oblique = np.eye(3), np.array([[1.0, 0, 0], [1, 1, 0], [0, -1, 1]])
    values = []
    for cell in (straight, oblique):
        b = 2 * np.pi * np.linalg.inv(cell).T
        k = mesh((24, 24, 24))
        images = np.stack(np.meshgrid(*[np.arange(-2, 2)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        q2 = np.min([np.sum(((k + g) @ b) ** 2, axis=-1) for g in images], axis=0)
        e = 0.5 * q2[..., None] / 15
        values.append(tetrahedra(energies, e, np.ones_like(e), cell))
    exact = np.sqrt(2 * energies) * 15**1.5 / (2 * np.pi**2)
    for d in values:
        assert np.abs(d / exact - 1)[energies > 0.1].max() < 0.06


def test_flat_directions_and_degenerate_corners():
    k = mesh((12, 1, 1))
    e = -np.cos(2 * np.pi * k[..., :1])
    energies = np.linspace(-1.2, 1.2, 4801)
    d = tetrahedra(energies, e, np.ones_like(e), np.eye(3))
    assert np.all(np.isfinite(d)) and np.trapezoid(d, energies) == pytest.approx(1, abs=2e-3)


def test_flat_bands_keep_their_weight():
    e = np.zeros((2, 2, 2, 2))
    e[..., 1] = 0.3
    energies = np.linspace(-1, 1, 48)
    d = tetrahedra(energies, e, np.stack([np.ones_like(e), 0.25 * np.ones_like(e)]), np.eye(3))
    np.testing.assert_allclose(np.trapezoid(d, energies), [2, 0.5], rtol=1e-12)
    assert np.trapezoid(d[0] * energies, energies) == pytest.approx(0.3, rel=1e-12)
