import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dftopt.energy.ewald import EwaldSums, ewald, ewald_sums

FCC = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2


@pytest.mark.parametrize(
    ("cell", "frac", "charges", "distance", "madelung"),
    [  # Madelung constants referred to the nearest-neighbour distance (Kittel; Borwein and Borwein)
        (FCC, [[0, 0, 0], [0.5, 0.5, 0.5]], [1, -1], 0.5, 1.7475645946331822),
        (np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [1, -1], np.sqrt(3) / 2, 1.7626747730709848),
        (FCC, [[0, 0, 0], [0.25, 0.25, 0.25]], [1, -1], np.sqrt(3) / 4, 1.6380550533887942),
    ],
    ids=["NaCl", "CsCl", "ZnS"],
)
def test_madelung_constants(cell, frac, charges, distance, madelung):
    a = 9.3
    e = ewald(jnp.array(frac), jnp.array(charges, float), jnp.array(a * cell), ewald_sums(a * cell))
    assert float(e) == pytest.approx(-madelung / (distance * a), rel=1e-13)


def test_wigner_lattice():
    # one unit charge per simple-cubic cell in a neutralizing background: -2.837297479 / 2L
    e = ewald(jnp.zeros((1, 3)), jnp.ones(1), 7 * jnp.eye(3), ewald_sums(7 * np.eye(3)))
    assert float(e) == pytest.approx(-2.8372974794806 / 14, rel=1e-12)


def test_does_not_depend_on_the_splitting_or_on_the_choice_of_cell():
    rng = np.random.default_rng(0)
    cell = 6 * np.eye(3) + rng.normal(size=(3, 3))
    frac, z = rng.normal(size=(3, 3)) * 2, np.array([4.0, 1.0, 6.0])
    sums = ewald_sums(cell)
    e = float(ewald(jnp.array(frac), jnp.array(z), jnp.array(cell), sums))
    from dftopt.atoms.structure import reciprocal
    from dftopt.bases.grid import lattice_points

    eta = 1.3 * sums.splitting
    other = EwaldSums(eta, lattice_points(cell, 6.5 / eta + 15), lattice_points(reciprocal(cell), 13 * eta))
    assert float(ewald(jnp.array(frac), jnp.array(z), jnp.array(cell), other)) == pytest.approx(e, rel=1e-13)
    skew = np.array([[1, 0, 0], [2, 1, 0], [0, -1, 1]])
    new = skew @ cell
    moved = frac @ np.linalg.inv(skew)
    assert float(ewald(jnp.array(moved), jnp.array(z), jnp.array(new), ewald_sums(new))) == pytest.approx(e, rel=1e-12)
    doubled = np.diag([2, 1, 1]) @ cell
    twice = np.concatenate([frac * [0.5, 1, 1], frac * [0.5, 1, 1] + [0.5, 0, 0]])
    e2 = ewald(jnp.array(twice), jnp.array([*z, *z]), jnp.array(doubled), ewald_sums(doubled))
    assert float(e2) / 2 == pytest.approx(e, rel=1e-12)


def test_forces_and_stress_are_finite_differences():
    cell = np.array([[6.0, 0.5, 0], [0, 7, 1], [0.3, 0, 8]])
    frac, z, sums = np.array([[0, 0, 0], [0.3, 0.4, 0.6]]), jnp.array([3.0, 5.0]), ewald_sums(cell)
    energy = lambda f, s: ewald(f, z, jnp.array(cell) @ (jnp.eye(3) + s).T, sums)
    g, s = jax.grad(energy, (0, 1))(jnp.array(frac), jnp.zeros((3, 3)))
    h = 1e-4
    for i, j in [(0, 0), (1, 2)]:
        d = np.zeros((2, 3))
        d[i, j] = h
        assert float(energy(frac + d, np.zeros((3, 3))) - energy(frac - d, np.zeros((3, 3)))) / (
            2 * h
        ) == pytest.approx(float(g[i, j]), rel=1e-6)
    for i, j in [(0, 0), (1, 2)]:
        d = np.zeros((3, 3))
        d[i, j] = h
        assert float(energy(frac, d) - energy(frac, -d)) / (2 * h) == pytest.approx(float(s[i, j]), rel=1e-6)
