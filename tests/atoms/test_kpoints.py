import warnings

import numpy as np
import pytest
import spglib
from ase.build import bulk
from ase.calculators.calculator import kptdensity2monkhorstpack
from ase.units import Bohr

from dftopt.atoms.kpoints import explicit, from_input, mesh, size_from_density, size_from_spacing
from dftopt.atoms.symmetry import find_symmetry, no_symmetry
from dftopt.errors import InputError

CRYSTALS = {
    "fcc": bulk("Al"),
    "bcc": bulk("Fe"),
    "hcp": bulk("Mg"),
    "diamond": bulk("Si"),
    "cubic": bulk("Si", cubic=True),
}
GAMMA, HALF = (0, 0, 0), (0.5, 0.5, 0.5)


def symmetry_of(atoms):
    return find_symmetry(atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)


def spglib_count(atoms, size, shift):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
        return len(np.unique(spglib.get_ir_reciprocal_mesh(size, cell, is_shift=(2 * np.array(shift)).astype(int))[0]))


@pytest.mark.parametrize(
    ("name", "size", "shift"),
    [(name, (n, n, n), GAMMA) for name in CRYSTALS for n in (1, 2, 3, 4, 5, 8)]
    + [("bcc", (4, 4, 4), HALF), ("cubic", (4, 4, 4), HALF)]
    + [("hcp", (4, 4, 4), (0, 0, 0.5)), ("hcp", (6, 6, 3), GAMMA)],
)
def test_count_and_group_of_symmetric_meshes(name, size, shift):
    atoms = CRYSTALS[name]
    symmetry = symmetry_of(atoms)
    points = mesh(size, shift, symmetry)
    assert len(points) == spglib_count(atoms, size, shift)
    assert len(points.symmetry) == len(symmetry)
    assert points.n_full == np.prod(size)
    assert np.isclose(points.weights.sum(), 1, atol=1e-14)


def test_known_counts():
    aluminium, silicon = symmetry_of(bulk("Al")), symmetry_of(bulk("Si"))
    assert len(mesh((4, 4, 4), GAMMA, aluminium)) == 8
    assert len(mesh((8, 8, 8), GAMMA, aluminium)) == 29
    assert len(mesh((4, 4, 4), HALF, silicon)) == 10


def test_mesh_that_breaks_the_symmetry_is_kept():
    aluminium = symmetry_of(bulk("Al"))
    for size, shift, order in [((2, 3, 2), GAMMA, 4), ((4, 4, 4), HALF, 12)]:
        points = mesh(size, shift, aluminium)
        assert len(points.symmetry) == order
        assert points.symmetry.international == "subgroup of Fm-3m (225)"
        assert points.size == size and points.shift == shift


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("size", [(4, 4, 4), (2, 3, 2), (4, 4, 2), (3, 2, 5)])
@pytest.mark.parametrize("shift", [GAMMA, HALF, (0, 0, 0.5), (1 / 3, 0, 0), (1 / 3, 1 / 3, 1 / 3)])
@pytest.mark.parametrize("time_reversal", [True, False])
def test_symmetric_functions_have_the_same_mean_on_both_meshes(name, size, shift, time_reversal):
    """f(k) = sum over an orbit of cos(2 pi k.R + phi) for random lattice vectors R has the crystal's symmetry.

    Time reversal makes f even, which is the phase phi = 0.
    """
    symmetry = symmetry_of(CRYSTALS[name])
    rng = np.random.default_rng(5)
    vectors = rng.integers(-6, 7, size=(30, 3))
    orbit = np.einsum("sij,rj->sri", np.unique(symmetry.rotations, axis=0), vectors)
    phase = 0.0 if time_reversal else rng.uniform(size=30)

    def mean(points):
        angles = np.einsum("ki,sri->ksr", points.k, orbit) + phase
        return points.weights @ np.cos(2 * np.pi * angles).mean(axis=1)

    full = mesh(size, shift, symmetry, reduce=False)
    reduced = mesh(size, shift, symmetry, time_reversal=time_reversal)
    assert np.allclose(mean(full), mean(reduced), atol=1e-12)
    assert len(reduced) <= len(full) and reduced.n_full == full.n_full


def test_functions_without_symmetry_need_the_average_over_the_group_kept():
    """The mean over the full mesh equals the mean over reduced points and the operations of `symmetry`."""
    symmetry = symmetry_of(bulk("Al"))
    vectors = np.random.default_rng(6).integers(-4, 5, size=(20, 3))
    for size, shift in [((2, 3, 2), GAMMA), ((4, 4, 4), HALF), ((4, 4, 4), (1 / 3, 1 / 3, 1 / 3))]:
        full, reduced = mesh(size, shift, symmetry, reduce=False), mesh(size, shift, symmetry)
        images = np.concatenate([reduced.k @ w for w in reduced.symmetry.rotations])
        weights = np.tile(reduced.weights, len(reduced.symmetry)) / len(reduced.symmetry)
        even = lambda k: np.cos(2 * np.pi * k @ vectors.T)
        assert np.allclose(full.weights @ even(full.k), weights @ even(images), atol=1e-12)


def test_full_mesh_order_and_range():
    points = mesh((2, 1, 3), GAMMA, no_symmetry(1), reduce=False)
    third = 1 / 3
    expected = [[0, 0, 0], [0, 0, third], [0, 0, -third], [0.5, 0, 0], [0.5, 0, third], [0.5, 0, -third]]
    assert np.allclose(points.k, expected)
    assert len(points.symmetry) == 1 and np.allclose(points.weights, 1 / 6)
    assert np.allclose(mesh((1, 1, 1), HALF, no_symmetry(1)).k, [[0.5, 0.5, 0.5]])


def test_time_reversal_without_other_symmetry():
    assert len(mesh((4, 4, 4), GAMMA, no_symmetry(1))) == 36
    assert len(mesh((4, 4, 4), GAMMA, no_symmetry(1), time_reversal=False)) == 64
    assert len(mesh((4, 4, 4), (0.3, 0, 0), no_symmetry(1))) == 64  # -k is not in the mesh


def test_spacing_includes_two_pi():
    cell = np.diag([10.0, 5.0, 40.0])
    assert size_from_spacing(cell, 2 * np.pi / 20) == (2, 4, 1)
    assert size_from_spacing(cell, 2 * np.pi / 21) == (3, 5, 1)
    assert size_from_spacing(cell, 2 * np.pi / 20, periodic=(True, False, True)) == (2, 1, 1)


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("density", [1.0, 2.37, 3.5, 6.1])
def test_density_means_what_ase_means(name, density):
    atoms = CRYSTALS[name]
    expected = tuple(kptdensity2monkhorstpack(atoms, density, even=False))
    assert size_from_density(atoms.cell.array / Bohr, density) == expected


def test_from_input_chooses():
    symmetry = symmetry_of(bulk("Si"))
    assert len(from_input((4, 4, 4), symmetry)) == 8
    points = from_input([[0, 0, 0], [0.5, 0, 0]], symmetry, weights=[0.25, 0.75])
    assert points.size is None and points.shift is None and points.symmetry.permutations.shape == (1, 2)
    assert np.allclose(points.weights, [0.25, 0.75])


@pytest.mark.parametrize(
    ("kpts", "options", "message"),
    [
        ((4, 4), {}, r"has the shape \(2,\)"),
        ((4, 4, 0), {}, "three positive integers"),
        ((4, 4, -1), {}, "three positive integers"),
        ((4, 4, 2.5), {}, "three positive integers"),
        ((4, 4, True), {}, "three positive integers"),
        ((4, 4, np.nan), {}, "nan at"),
        ("444", {}, "shape"),
        ("gamma", {}, "not an array of numbers"),
        ((4, 4, 4), {"shift": (0.5, 0.5)}, "shift"),
        ((4, 4, 4), {"shift": (0.5, np.inf, 0)}, "shift has the value inf"),
        ((4, 4, 4), {"weights": [1.0]}, "which has its own"),
        ([], {}, "empty list"),
        ([[0, 0]], {"weights": [1]}, r"shape \(1, 2\)"),
        ([[0, 0, 0], [0, 0]], {"weights": [1]}, "same length"),
        ([[0, 0, np.nan]], {"weights": [1]}, "nan at"),
        ([[0, 0, 0], [0.5, 0, 0]], {}, r"weights=\[1/2\] \* 2"),
        ([[0, 0, 0], [0.5, 0, 0]], {"weights": [1.0]}, "one weight per point"),
        ([[0, 0, 0], [0.5, 0, 0]], {"weights": [1.5, -0.5]}, r"weights\[1\] = -0.5 is negative"),
        ([[0, 0, 0], [0.5, 0, 0]], {"weights": [0.5, 0.4]}, "sum to 0.9, not 1"),
        ([[0, 0, 0]], {"weights": [np.nan]}, "weights has the value nan"),
        ([[0, 0, 0]], {"weights": [1], "shift": HALF}, "explicit points"),
    ],
)
def test_wrong_input_is_named(kpts, options, message):
    with pytest.raises(InputError, match=message):
        from_input(kpts, no_symmetry(1), **options)


@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf, "0.2", True, None])
def test_wrong_spacing_and_density(value):
    with pytest.raises(InputError, match="spacing = "):
        size_from_spacing(np.eye(3), value)
    with pytest.raises(InputError, match="density = "):
        size_from_density(np.eye(3), value)


def test_explicit_needs_rows():
    with pytest.raises(InputError, match="rows of three"):
        explicit([0.0, 0.0, 0.0], [1.0], 1)
