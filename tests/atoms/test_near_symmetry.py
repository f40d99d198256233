"""Symmetry that a file or a relaxation has almost lost."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111

import dftopt
from dftopt.atoms.structure import from_ase
from dftopt.atoms.symmetry import find_symmetry, near_symmetry, symmetrized
from dftopt.units import BOHR_IN_ANGSTROM


def near(atoms, **options):
    s = from_ase(atoms)
    return near_symmetry(s.cell, s.frac, s.numbers, **options)


def exact(found, atoms):
    return Atoms(atoms.numbers, cell=found.cell * BOHR_IN_ANGSTROM, scaled_positions=found.frac, pbc=True)


def rounded(atoms, digits):
    return Atoms(
        atoms.numbers, positions=np.round(atoms.positions, digits), cell=np.round(atoms.cell.array, digits), pbc=True
    )


CRYSTALS = {
    "diamond": (bulk("Si", a=5.431), "Fd-3m (227)", 48),
    "hcp": (bulk("Mg", a=3.2094, c=5.2105), "P6_3/mmc (194)", 24),
    "supercell": (bulk("NaCl", "rocksalt", a=5.6402, cubic=True), "Fm-3m (225)", 192),
}


@pytest.mark.parametrize("digits", [2, 3, 4])
@pytest.mark.parametrize("name", ["diamond", "hcp"])
def test_a_file_that_was_rounded(name, digits):
    atoms, group, order = CRYSTALS[name]
    if name == "diamond":
        atoms = atoms.copy()
        atoms.rotate(17, (1, 2, 3), rotate_cell=True)  # else rounding leaves it cubic
    given = rounded(atoms, digits)
    found = near(given)
    assert found.symmetry.international == group and len(found.symmetry) == order > found.order
    assert max(found.displacement, found.stretch) < 10.0**-digits
    again = exact(found, given)
    s = from_ase(again)
    assert len(find_symmetry(s.cell, s.frac, s.numbers, symprec=1e-10)) == order
    assert near(again) is None
    moved = again.positions - given.positions
    assert np.linalg.norm(moved, axis=1).max() < 2 * 10.0**-digits


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("amplitude", [2e-5, 1e-3])
def test_rattled_a_little(name, amplitude):
    atoms, group, order = CRYSTALS[name]
    given = atoms.copy()
    given.rattle(amplitude, seed=4)
    found = near(given)
    assert found.symmetry.international == group and len(found.symmetry) == order
    back = (found.frac - from_ase(atoms).frac) @ atoms.cell.array
    back -= back.mean(axis=0)  # the rattled crystal as a whole may have moved
    assert np.abs(back).max() < 1e-9
    assert 0.3 * amplitude < found.displacement < 5 * amplitude and found.stretch < 1e-12


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("amplitude", [0.03, 0.1])
def test_no_alarm_for_what_is_displaced_on_purpose(name, amplitude):
    for seed in range(5):
        given = CRYSTALS[name][0].copy()
        given.rattle(amplitude, seed=seed)
        given.set_cell(
            given.cell.array @ (np.eye(3) + 0.02 * np.random.default_rng(seed).normal(size=(3, 3))), scale_atoms=True
        )
        assert near(given) is None


@pytest.mark.parametrize("name", CRYSTALS)
def test_no_alarm_for_the_exact_crystal(name):
    assert near(CRYSTALS[name][0]) is None


def test_the_nearest_cell_is_not_turned():
    atoms = bulk("Al", cubic=True)
    strain = 1e-3 * np.array([[1, 0.3, -0.5], [0.3, -1.2, 0.2], [-0.5, 0.2, 0.7]])
    given = atoms.copy()
    given.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    found = near(given)
    assert found.symmetry.international == "Fm-3m (225)"
    a = found.cell * BOHR_IN_ANGSTROM
    np.testing.assert_allclose(a @ a.T, a[0] @ a[0] * np.eye(3), atol=1e-12)
    turn = np.linalg.solve(atoms.cell.array, a)
    np.testing.assert_allclose(turn, turn[0, 0] * np.eye(3), atol=2e-6)  # no rotation to first order in the strain
    assert found.stretch == pytest.approx(np.linalg.norm(a - given.cell.array, axis=1).max())


def test_an_exact_crystal_stays_itself():
    s = from_ase(CRYSTALS["hcp"][0])
    cell, frac = symmetrized(s.cell, s.frac, find_symmetry(s.cell, s.frac, s.numbers))
    np.testing.assert_allclose(cell, s.cell, atol=1e-14)
    np.testing.assert_allclose(frac, s.frac, atol=1e-14)


def test_moments_tell_atoms_apart():
    atoms = bulk("Fe", cubic=True)
    atoms.positions[1] += 1e-3
    assert near(atoms).symmetry.international == "Im-3m (229)"
    found = near(atoms, moments=[2.0, -2.0])
    assert found.symmetry.international == "Pm-3m (221)"


def test_basis_and_notes_name_it():
    model = dftopt.Model(rounded(bulk("Mg"), 3), xc="LDA")
    basis = dftopt.PlaneWaves(model, ecut=4, kpts=(2, 2, 1))
    text = str(basis.near_symmetry)
    assert "misses P6_3/mmc (194) with 24" in text and "angstrom" in text
    assert dftopt.PlaneWaves(model, ecut=4, kpts=(2, 2, 1), symmetry=False).near_symmetry is None


def test_a_slab_keeps_its_axis():
    slab = fcc111("Al", (1, 1, 2), vacuum=6.0)
    slab.pbc = (True, True, False)
    slab.positions[1, 0] += 2e-3
    basis = dftopt.PlaneWaves(dftopt.Model(slab, xc="LDA"), ecut=4, kpts=(2, 2, 1), coulomb="2d")
    assert basis.near_symmetry.symmetry.international == "P-3m1 (164)"
