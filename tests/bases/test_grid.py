import itertools
import time

import numpy as np
import pytest
from ase.build import bulk
from systems import ECUT, low_symmetry_silicon, silicon

import dftopt
from dftopt.atoms.structure import reciprocal
from dftopt.bases.grid import half_grid, largest_indices, lattice_points, next_smooth, sphere
from dftopt.errors import InputError

CELLS = {
    "fcc": np.array([[0.0, 5.1, 5.1], [5.1, 0.0, 5.1], [5.1, 5.1, 0.0]]),
    "sheared": np.array([[6.0, 0.3, -0.2], [1.9, 7.0, 0.4], [-0.8, 2.5, 5.0]]),
    "left-handed": np.array([[0.0, 0.0, 9.0], [0.0, 4.0, 0.0], [5.0, 0.0, 0.0]]),
}
K = [(0, 0, 0), (0.5, 0.5, 0.5), (0.31, -0.17, 0.44), (1.2, -2.6, 0.0)]


def brute(cell, radius, k, n=14):
    box = np.array(list(itertools.product(range(-n, n + 1), repeat=3)))
    return box[np.linalg.norm((box + np.array(k)) @ reciprocal(cell), axis=1) <= radius * (1 + 1e-12)]


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("k", K, ids=str)
def test_sphere_against_all_vectors_of_a_large_box(cell, k):
    for radius in (1.7, 4.0):
        np.testing.assert_array_equal(sphere(cell, radius, k), brute(cell, radius, k))


def test_points_on_the_surface_belong_to_the_sphere():
    b = 2 * np.pi / 7
    assert len(sphere(7 * np.eye(3), b)) == 7
    assert len(sphere(7 * np.eye(3), b * np.sqrt(2))) == 19
    assert len(sphere(7 * np.eye(3), b * (1 - 1e-9))) == 1


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_largest_indices_bound_the_sphere_tightly(cell):
    # n_i = G . a_i / 2 pi is largest along a_i: the bound holds, and no sphere of this many points comes closer
    for radius in (1.7, 4.0):
        bound = largest_indices(cell, radius)
        reached = np.abs(brute(cell, radius, (0, 0, 0))).max(axis=0)
        assert np.all(reached <= bound) and np.all(reached >= bound - 1)
    assert np.array_equal(largest_indices(cell, 4.0), (4.0 * np.linalg.norm(cell, axis=1) / (2 * np.pi)).astype(int))


def test_next_smooth():
    smooth = sorted(2**a * 3**b * 5**c for a in range(11) for b in range(8) for c in range(6))
    for n in range(1, 400):
        assert next_smooth(n) == next(m for m in smooth if m >= n)


def test_half_grid_holds_every_vector_or_its_negative_once():
    for fft in [(4, 5, 6), (3, 4, 5), (1, 1, 1)]:
        x, y, z = half_grid(fft)
        assert (len(x), len(y), len(z)) == (fft[0], fft[1], fft[2] // 2 + 1)
        np.testing.assert_array_equal(x % fft[0], np.arange(fft[0]))
        assert np.abs(x).max(initial=0) <= fft[0] // 2 and np.all(z >= 0)


def test_lattice_points_against_all_of_a_large_box():
    for vectors in CELLS.values():
        box = np.array(list(itertools.product(range(-12, 13), repeat=3)))
        inside = box[np.linalg.norm(box @ vectors, axis=1) <= 14.0]
        np.testing.assert_array_equal(lattice_points(vectors, 14.0), inside)


def test_the_grid_holds_twice_the_largest_vector():
    for _, basis in (silicon(), low_symmetry_silicon()):
        cell = basis.model.structure.cell
        need = 2 * largest_indices(cell, 2 * np.sqrt(2 * ECUT)) + 1
        assert basis.fft == tuple(next_smooth(n) for n in need)
        products = np.unique(np.concatenate([(s[:, None] - s[None]).reshape(-1, 3) for s in basis.spheres]), axis=0)
        assert np.all(2 * np.abs(products).max(axis=0) + 1 <= basis.fft)  # no product of two orbitals aliases
        inside = {tuple(g) for g in basis.density_sphere.tolist()}
        assert all(tuple(g) in inside for g in products.tolist())


def test_counts_and_padding():
    _, basis = low_symmetry_silicon()
    cell = basis.model.structure.cell
    expected = [len(brute(cell, np.sqrt(2 * ECUT), k)) for k in basis.kpoints.k]
    assert basis.counts.tolist() == expected
    assert basis.npw % 16 == 0 and 0 <= basis.npw - max(expected) < 16
    assert basis.multiplicity.sum() == basis.fft[2]
    q = basis.q(cell)
    for row, count in zip(q, expected, strict=True):
        assert np.all(np.sum(row**2, axis=1) <= 2 * ECUT * (1 + 1e-12)) and not np.any(row[count:])


def test_a_given_grid_is_kept_and_a_small_one_refused():
    model = silicon()[0]
    assert dftopt.PlaneWaves(model, ecut=ECUT, fft=(20, 25, 19)).fft == (20, 25, 19)
    need = 2 * largest_indices(model.structure.cell, 2 * np.sqrt(2 * ECUT)) + 1
    assert dftopt.PlaneWaves(model, ecut=ECUT, fft=need).fft == tuple(need)
    for fft in [(20, 20, need[2] - 1), (20, 20), (20, 20, 20.5), 20, "auto", (20, 20, None)]:
        with pytest.raises(InputError, match="fft = .*at least"):
            dftopt.PlaneWaves(model, ecut=ECUT, fft=fft)


def test_a_cutoff_beyond_the_memory_is_refused_before_anything_is_allocated():
    start = time.perf_counter()
    with pytest.raises(InputError, match="GiB.*Lower ecut"):
        dftopt.PlaneWaves(dftopt.Model(bulk("Si"), xc="LDA"), ecut=1e6)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ecut": 0}, "ecut"),
        ({"ecut": np.nan}, "ecut"),
        ({"coulomb": "slab"}, "periodic"),
        ({"dipole_correction": True}, "dipole_correction"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(InputError, match=words):
        dftopt.PlaneWaves(silicon()[0], **options)


def test_repr_tells_mesh_and_grid():
    assert repr(silicon()[1]) == "PlaneWaves(ecut=6 Ha, k points 2x2x2 -> 3, fft=(18, 18, 18))"
