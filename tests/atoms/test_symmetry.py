import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from dftopt.atoms.symmetry import find_symmetry, no_symmetry, stars
from dftopt.errors import InputError


def low_symmetry():
    cell = [[3.0, 0.1, 0], [0.4, 3.3, 0.2], [-0.3, 0.5, 4.1]]
    return Atoms("SiC", cell=cell, scaled_positions=[[0, 0, 0], [0.31, 0.4, 0.6]])


CRYSTALS = {
    "diamond": (bulk("Si"), "Fd-3m (227)", 48),
    "hcp": (bulk("Mg"), "P6_3/mmc (194)", 24),
    "fcc": (bulk("Al"), "Fm-3m (225)", 48),
    "zincblende": (bulk("GaAs", "zincblende", a=5.65), "F-43m (216)", 24),
    "supercell": (bulk("Si", cubic=True), "Fd-3m (227)", 192),
    "low": (low_symmetry(), "P1 (1)", 1),
}
CASES = pytest.mark.parametrize("name", CRYSTALS)


def symmetry_of(atoms, **options):
    return find_symmetry(atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers, **options)


def sphere(atoms, radius=4.0):
    """All |G| <= radius (1/angstrom, with 2 pi)."""
    box = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    lengths = np.linalg.norm(box @ (2 * np.pi * atoms.cell.reciprocal().array), axis=1)
    return box[lengths < radius + 1e-9]


def random_hermitian(G, rng):
    rho = rng.normal(size=(len(G), 2)) @ [1, 1j]
    minus = np.array([np.flatnonzero(np.all(G == -g, axis=1))[0] for g in G])
    return rho + rho[minus].conj(), minus


def density_at(rho, G, x):
    return np.exp(2j * np.pi * x @ G.T) @ rho


@CASES
def test_group(name):
    atoms, international, order = CRYSTALS[name]
    symmetry = symmetry_of(atoms)
    assert len(symmetry) == order and symmetry.international == international
    assert np.array_equal(symmetry.rotations[0], np.eye(3)) and np.allclose(symmetry.translations[0], 0)
    assert np.array_equal(symmetry.permutations[0], np.arange(len(atoms)))
    x = atoms.get_scaled_positions()
    for w, t, p in zip(symmetry.rotations, symmetry.translations, symmetry.permutations, strict=True):
        away = x @ w.T + t - x[p]
        assert np.allclose(away, np.round(away), atol=1e-10)
        assert sorted(p) == list(range(len(atoms)))


@CASES
def test_star_average_equals_the_sum_over_all_operations(name):
    """(P rho)(x) is the mean of rho(W x + t), written in real space, where no convention of phases can hide."""
    atoms = CRYSTALS[name][0]
    symmetry, G, rng = symmetry_of(atoms), sphere(atoms), np.random.default_rng(0)
    rho, minus = random_hermitian(G, rng)
    averaged = stars(symmetry, G).average(rho)
    x = rng.uniform(size=(7, 3))
    images = np.mean(
        [density_at(rho, G, x @ w.T + t) for w, t in zip(symmetry.rotations, symmetry.translations, strict=True)],
        axis=0,
    )
    assert np.allclose(density_at(averaged, G, x), images, atol=1e-10)
    assert np.allclose(averaged[minus], averaged.conj(), atol=1e-12)


@CASES
def test_star_average_is_a_projection_that_keeps_the_charge(name):
    atoms = CRYSTALS[name][0]
    G, rng = sphere(atoms), np.random.default_rng(1)
    orbits = stars(symmetry_of(atoms), G)
    rho = rng.normal(size=(2, len(G), 2)) @ [1, 1j]
    once = orbits.average(rho)
    assert np.allclose(orbits.average(once), once, atol=1e-12)
    zero = np.flatnonzero(np.all(G == 0, axis=1))[0]
    assert np.allclose(once[:, zero], rho[:, zero])
    other = rng.normal(size=(len(G), 2)) @ [1, 1j]
    assert np.isclose(np.vdot(other, once[0]), np.vdot(orbits.average(other), rho[0]))  # orthogonal
    norms = np.sum(np.abs(orbits.phases) ** 2, axis=1)
    assert np.allclose(norms * (norms - 1), 0, atol=1e-12)
    assert np.all((orbits.members < len(G)).sum(axis=1) == np.bincount(orbits.star_of))


def test_diamond_extinguishes_the_200_reflection():
    """In the primitive cell of diamond the conventional (2 0 0) is (0 1 1) and its images."""
    G = sphere(bulk("Si"))
    orbits = stars(symmetry_of(bulk("Si")), G)
    extinct = G[orbits.v_of == 0]
    assert {tuple(np.abs(g)) for g in extinct.tolist() if np.abs(g).max() == 1} == {(0, 1, 1), (1, 0, 1), (1, 1, 0)}


def test_identity_alone_changes_nothing():
    G = sphere(bulk("Al"))
    rho = np.random.default_rng(2).normal(size=len(G)) + 0j
    assert np.allclose(stars(no_symmetry(1), G).average(rho), rho)


def test_structure_factor_has_the_symmetry_found():
    for atoms, _, _ in CRYSTALS.values():
        G = sphere(atoms)
        factor = np.exp(-2j * np.pi * G @ atoms.get_scaled_positions().T) @ atoms.numbers
        assert np.allclose(stars(symmetry_of(atoms), G).average(factor), factor, atol=1e-9)


def test_open_set_is_refused():
    atoms = bulk("Al")
    with pytest.raises(InputError, match="not closed under the symmetry"):
        stars(symmetry_of(atoms), sphere(atoms)[1:])


def test_translations_are_closed_despite_noise_in_the_positions():
    atoms = bulk("Si", cubic=True)
    atoms.translate([0.123, 0.456, 0.789])
    atoms.rattle(1e-6, seed=3)
    symmetry = symmetry_of(atoms)
    assert len(symmetry) == 192
    operations = {}
    for w, t in zip(symmetry.rotations, symmetry.translations, strict=True):
        operations.setdefault(w.tobytes(), []).append(t)
    for w, t in zip(symmetry.rotations[:40], symmetry.translations[:40], strict=True):
        for w2, t2 in zip(symmetry.rotations, symmetry.translations, strict=True):
            away = w @ t2 + t - np.array(operations[(w @ w2).tobytes()])
            assert np.abs(away - np.round(away)).max(axis=1).min() < 1e-13


def test_moments_tell_species_apart():
    iron = bulk("Fe", cubic=True)
    assert len(symmetry_of(iron)) == 96
    assert len(symmetry_of(iron, moments=[2.0, 2.0])) == 96
    antiferromagnet = symmetry_of(iron, moments=[2.0, -2.0])
    assert len(antiferromagnet) == 48
    assert np.all(antiferromagnet.permutations == [0, 1])


def test_forces_and_stress_against_a_symmetric_potential():
    """Forces of a pair potential on a crystal with free parameters are symmetric; noise is averaged away."""
    atoms = bulk("Si", cubic=True)
    atoms.positions[:, 2] *= 1.02
    atoms.positions[1::2, 2] += 0.05
    atoms.positions[::3, 1] += 0.03
    x, cell = atoms.get_scaled_positions(), atoms.cell.array
    symmetry = find_symmetry(cell, x, atoms.numbers)
    shifts = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    d = (x[None, :, None] - x[:, None, None] + shifts) @ cell
    weight = np.exp(-np.sum(d**2, axis=-1))
    forces = np.einsum("ijs,ijsc->ic", weight, d)
    stress = np.einsum("ijs,ijsc,ijsd->cd", weight, d, d)
    assert np.allclose(symmetry.symmetrize_forces(forces, cell), forces, atol=1e-8)
    assert np.allclose(symmetry.symmetrize_stress(stress, cell), stress, atol=1e-8)


@CASES
def test_symmetrized_forces_and_stress_are_fixed_points(name):
    atoms = CRYSTALS[name][0]
    symmetry, cell, rng = symmetry_of(atoms), atoms.cell.array, np.random.default_rng(4)
    forces = symmetry.symmetrize_forces(rng.normal(size=(len(atoms), 3)), cell)
    stress = symmetry.symmetrize_stress(rng.normal(size=(3, 3)), cell)
    assert np.allclose(symmetry.symmetrize_forces(forces, cell), forces)
    assert np.allclose(symmetry.symmetrize_stress(stress, cell), stress)
    if name in ("diamond", "fcc", "zincblende", "supercell"):
        assert np.allclose(forces, 0) and np.allclose(stress, np.eye(3) * stress[0, 0])


def test_hcp_stress_keeps_two_components():
    magnesium = bulk("Mg")
    stress = symmetry_of(magnesium).symmetrize_stress(np.diag([1.0, 3.0, 5.0]), magnesium.cell.array)
    assert np.allclose(stress, np.diag([2.0, 2.0, 5.0]))


def test_subset_says_so():
    symmetry = symmetry_of(bulk("Si"))
    part = symmetry.subset([0, 1])
    assert len(part) == 2 and part.international == "subgroup of Fd-3m (227)"
    assert part.subset([0]).international == part.international
    assert symmetry.subset(np.ones(48, dtype=bool)).international == "Fd-3m (227)"


def test_nothing_found_is_the_identity():
    symmetry = find_symmetry(np.eye(3) * 5, [[0, 0, 0], [0, 0, 0]], [1, 1])  # spglib refuses atoms on one site
    assert len(symmetry) == 1 and symmetry.permutations.shape == (1, 2)
