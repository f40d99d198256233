import time

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from dftopt.atoms import checks
from dftopt.atoms.checks import check_atoms, check_moments, check_positive, memory_limit_gib, nearest
from dftopt.errors import InputError

BOX = [5.0, 5.0, 7.98]


def boxed(symbols, positions, cell=BOX):
    return Atoms(symbols, positions=positions, cell=cell, pbc=True)


def refuse(atoms, message, **options):
    with pytest.raises(InputError, match=message) as caught:
        check_atoms(atoms, **options)
    return str(caught.value)


SOUND = [bulk("Si"), bulk("Cu"), bulk("H", "fcc", a=1.2), molecule("H2O", vacuum=4, pbc=True)]


@pytest.mark.parametrize("atoms", SOUND)
def test_sound_structures_pass(atoms):
    check_atoms(atoms)


def test_left_handed_cells_pass():
    check_atoms(Atoms("Si", cell=np.diag([5.0, -5.0, 5.0]), pbc=True))


def test_no_atoms():
    refuse(Atoms(cell=BOX, pbc=True), "no atoms")


def test_values_that_are_not_finite():
    refuse(boxed("HH", [[0, 0, 0], [0, np.nan, 2]]), "position of hydrogen atom 1 is .*nan")
    atoms = bulk("Si")
    atoms.cell.array[1, 2] = np.inf
    refuse(atoms, "cell vector b is .*inf")


def test_unknown_elements():
    refuse(boxed("HX", [[0, 0, 0], [2, 2, 2]]), r'atom 1 has the atomic number 0 \("X"\)')
    atoms = bulk("Si")
    atoms.numbers[1] = 119
    refuse(atoms, "atom 1 has the atomic number 119, which")


def test_partial_occupancy():
    atoms = bulk("Si")
    atoms.info["occupancy"] = {"0": {"Si": 0.7, "Ge": 0.3}}
    refuse(atoms, r"site 0 .* \(Si 0.7, Ge 0.3")
    atoms.info["occupancy"] = {"0": {"Si": 0.9}}
    refuse(atoms, "partially occupied")
    atoms.info["occupancy"] = {"0": {"Si": 1.0}}
    check_atoms(atoms)


def test_cell_without_volume():
    refuse(molecule("H2O"), r"cell volume is zero \(a, b and c are zero\).*center\(vacuum")
    refuse(Atoms("H", cell=[5, 5, 0], pbc=True), r"cell volume is zero \(c is zero\)")
    refuse(Atoms("H", cell=[[5, 0, 0], [0, 5, 0], [5, 5, 0]], pbc=True), "lie in a plane")
    check_atoms(molecule("H2O"), periodic=(False, False, False))


def test_missing_periodic_axes():
    slab = bulk("Si")
    slab.pbc = (True, True, False)
    refuse(slab, r"not periodic along c .*Set atoms.pbc = True.*center\(vacuum")
    check_atoms(slab, periodic=(True, True, False), needs_cell=True)
    refuse(molecule("H2O", vacuum=4), "not periodic along a, b and c")


def test_close_atoms_through_the_boundary():
    atoms = boxed("H4", [[0, 0, 0.01], [2, 2, 2], [4, 2, 4], [0, 0, 7.94]])
    message = refuse(atoms, "two hydrogen atoms 0 and 3 are 0.05 angstrom apart")
    assert "(through the cell boundary along c); half the sum of their covalent radii is 0.31" in message
    assert "Move one of them, or enlarge the cell (c is 7.98 angstrom)" in message
    check_atoms(atoms, force=True)
    check_atoms(atoms, periodic=(False, False, False))


def test_close_atoms_inside_the_cell():
    message = refuse(boxed("HSi", [[0, 0, 0], [0, 0, 0.3]]), "hydrogen atom 0 and the silicon atom 1 are 0.3 angstrom")
    assert "boundary" not in message and "enlarge" not in message


def test_atoms_on_one_site_never_pass():
    for force in (False, True):
        refuse(boxed("HH", [[0, 0, 0], [5, 5, 0]]), "on one site.*along a and b", force=force)
        refuse(Atoms("HH", positions=np.zeros((2, 3))), "on one site", force=force, periodic=(False,) * 3)


def test_own_images_in_tiny_and_skewed_cells():
    tiny = Atoms("Si", cell=[5, 5, 0.5], pbc=True)
    refuse(tiny, r"silicon atom 0 is 0.5 angstrom from its own image \(through the cell boundary along c\)")
    check_atoms(tiny, force=True)
    skewed = Atoms("Si", cell=[[5, 0, 0], [0, 5, 0], [5.1, 5, 0.1]], pbc=True)
    refuse(skewed, "is 0.14 angstrom from its own image .*along a, b and c")
    refuse(Atoms("Si", cell=[5, 5, 1e-5], pbc=True), "own image", force=True)


def test_large_cells_are_fast():
    atoms = bulk("Si", cubic=True) * (8, 8, 8)
    start = time.perf_counter()
    check_atoms(atoms)
    assert time.perf_counter() - start < 5


def test_moments():
    assert np.array_equal(check_moments(None, 8, 2), [0, 0])
    assert np.array_equal(check_moments([1, -1], 8, 2), [1, -1])
    for moments, message in [
        ([1], "1 magnetic moments for 2 atoms"),
        ([1, np.nan], "moment of atom 1 is nan"),
        ([5, 4], "sum to 9 bohr magnetons, more than the 8 electrons"),
        (np.zeros((2, 3)), "collinear"),
    ]:
        with pytest.raises(InputError, match=message):
            check_moments(moments, 8, 2)


NOT_POSITIVE = ["15", b"15", True, np.True_, np.nan, np.inf, -1.0, 0, None, [1.0], 1 + 0j, np.array([2.0])]


@pytest.mark.parametrize("value", NOT_POSITIVE)
def test_positive_refuses(value):
    with pytest.raises(InputError, match=r"^ecut = .* has to be a finite positive number, in hartree. Try 15.$"):
        check_positive("ecut", value, "hartree", "Try 15.")


def test_positive_accepts():
    assert check_positive("ecut", 15) == 15.0
    assert check_positive("ecut", np.float32(0.5)) == 0.5
    assert check_positive("ecut", np.array(2.0)) == 2.0
    assert check_positive("temperature", 0, "hartree", allow_zero=True) == 0.0
    with pytest.raises(InputError, match="temperature = -1 .*zero or positive"):
        check_positive("temperature", -1, "hartree", allow_zero=True)


def test_nearest():
    assert nearest("pbesl", ["PBE", "PBEsol", "SCAN"]).startswith('did you mean "PBEsol"?')
    assert nearest("fermi dirac", ["gaussian", "fermi-dirac"]).endswith("Valid: gaussian, fermi-dirac.")
    assert nearest("zzz", ["LDA"]) == "Valid: LDA."


def test_memory_limit(tmp_path, monkeypatch):
    assert 0.01 < memory_limit_gib() < 1e6
    limit = tmp_path / "memory.max"
    limit.write_text(f"{2**27}\n")
    monkeypatch.setattr(checks, "_cgroup_files", lambda: [limit, tmp_path / "absent"])
    assert memory_limit_gib() == 0.125
    limit.write_text("max\n")
    assert memory_limit_gib() > 0.125
