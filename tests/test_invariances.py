"""What must not change the energy, and by how much the grid of the functional lets it."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from systems import METAL, aluminium, aluminium_result, low_symmetry_silicon, rattled_aluminium

import dftopt
from dftopt.energy.free_energy import energies
from dftopt.energy.prepared import fractional_kG, prepare
from dftopt.minimization.orbitals import cholesky_qr
from dftopt.minimization.start import random_orbitals

TIGHT = {"tol": 1e-13, "progress": False}
MESH = [[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]]  # the points of a 2x1x1 mesh


def crystal() -> Atoms:
    """Displaced and sheared silicon about its centre of inversion, which is on every grid."""
    atoms = low_symmetry_silicon()[0].atoms.copy()
    atoms.translate(-atoms.positions.mean(axis=0))
    return atoms


def solve(atoms, kpts=(2, 1, 1), fft=(18, 18, 18), xc="LDA", ecut=6.0, symmetry=False, weights=None, **options):
    model = dftopt.Model(atoms, xc=xc)
    basis = dftopt.PlaneWaves(model, ecut=ecut, kpts=kpts, fft=fft, symmetry=symmetry, weights=weights)
    return dftopt.minimize(model, basis, **(TIGHT | options))


@lru_cache
def reference():
    return solve(crystal())


def same(result, energy, tol):
    assert result.converged, result.verdict
    print(f"{float(result.energies.free) - energy:.1e}")  # pytest -s shows it
    assert result.energies.free == pytest.approx(energy, abs=tol)


# ------------------------------------------------------------------------------------------------- translation


def translated_energies(xc, n, shifts):
    """Energies of the same orbitals, carried along with the atoms, on an n^3 grid; for a rough density."""
    model = dftopt.Model(crystal(), xc=xc)
    basis = dftopt.PlaneWaves(model, ecut=6.0, kpts=(2, 1, 1), fft=(n, n, n), symmetry=False)
    prepared = prepare(model, basis)
    psi = cholesky_qr(random_orbitals(jax.random.key(0), (1, basis.nk, 4, basis.npw), prepared.orbitals))
    kG = fractional_kG(basis.kpoints.k, basis.spheres, basis.npw)
    f = jnp.ones(psi.shape[:3])
    energy = jax.jit(lambda p, q: energies(p, f, q).free)
    inputs, out = model.inputs(), []
    for d in shifts:  # fractional
        moved = inputs | {"positions": inputs["positions"] + d @ model.structure.cell}
        phase = np.exp(-2j * np.pi * kG @ d)
        out.append(float(energy(psi * phase[None, :, None], prepare(model, basis, moved))))
    return np.array(out)


SHIFTS = np.array([[0, 0, 0], [0.013, 0.0, 0.0], [0.021, -0.37, 0.44], [0.5, 0.25, 1 / 3]])


def test_translation_is_exact_without_a_functional():
    # the grid holds all products of two orbitals: every other term is evaluated without error
    a = translated_energies("none", 18, SHIFTS)
    np.testing.assert_allclose(a, a[0], atol=1e-11)


@pytest.mark.parametrize("xc", ["LDA", "PBE"])
def test_translation_is_broken_by_the_grid_of_the_functional_alone(xc):
    errors = [np.abs(np.diff(translated_energies(xc, n, SHIFTS))).max() for n in (18, 36)]
    print(xc, errors)
    assert 1e-9 < errors[0] < 1e-2  # the same on every code's grid: E_xc is not quadratic in the orbitals
    assert errors[1] < 1e-2 * errors[0]


def test_translation_by_a_grid_step_is_exact():
    a = translated_energies("LDA", 18, np.array([[0, 0, 0], [1 / 18, -5 / 18, 0.5]]))
    assert a[1] == pytest.approx(a[0], abs=1e-11)


@pytest.mark.parametrize("n", [18, pytest.param(45, marks=pytest.mark.slow)])
def test_translation_of_the_minimum(n):
    limit = {18: 3e-6, 45: 1e-9}[n]
    moved = crystal()
    moved.translate([0.17, -0.31, 0.53])
    grid = (n, n, n)
    same(solve(moved, fft=grid), (reference() if n == 18 else solve(crystal(), fft=grid)).energies.free, limit)


# ------------------------------------------------------------------------------------------------- other names for the same


def random_rotation(seed=4):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def test_rotation():
    turned = crystal()
    q = random_rotation()
    turned.set_cell(turned.cell.array @ q.T, scale_atoms=True)
    r = solve(turned)
    same(r, reference().energies.free, 1e-10)
    np.testing.assert_allclose(r.forces(), reference().forces() @ q.T, atol=1e-6)
    np.testing.assert_allclose(r.stress(), q @ reference().stress() @ q.T, atol=1e-8)


def test_mirror_image():
    turned = crystal()
    turned.set_cell(turned.cell.array * [1, 1, -1], scale_atoms=True)  # left-handed vectors
    assert np.linalg.det(turned.cell.array) < 0 < np.linalg.det(crystal().cell.array)
    same(solve(turned), reference().energies.free, 1e-10)


def test_positions_outside_the_cell_and_order_of_atoms():
    moved = crystal()[::-1]
    moved.positions += np.array([[2, -1, 0], [-3, 0, 5]]) @ moved.cell.array
    r = solve(moved)
    same(r, reference().energies.free, 1e-10)
    np.testing.assert_allclose(r.forces(), reference().forces()[::-1], atol=1e-6)


def test_permutation_of_a_metal():
    model, basis = rattled_aluminium()
    order = [2, 0, 3, 1]
    other = dftopt.Model(model.atoms[order], xc="LDA")
    waves = dftopt.PlaneWaves(other, ecut=basis.ecut, kpts=(1, 1, 1))
    options = TIGHT | {"temperature": 0.01}
    a, b = dftopt.minimize(model, basis, **options), dftopt.minimize(other, waves, **options)
    same(b, a.energies.free, 1e-10)
    np.testing.assert_allclose(b.forces(), a.forces()[order], atol=1e-6)


@pytest.mark.parametrize(
    "M", [[[0, 1, 0], [1, 0, 0], [0, 0, 1]], [[1, -1, 0], [0, 1, 0], [0, 0, 1]]], ids=["swapped", "sheared"]
)
def test_other_vectors_of_the_same_lattice(M):
    # a' = M a and k' = M k; a grid of n^3 points is the same set of points for every unimodular M
    atoms, M = crystal(), np.array(M)
    other = Atoms(atoms.numbers, atoms.positions, cell=M @ atoms.cell.array, pbc=True)
    same(solve(other, kpts=np.array(MESH) @ M.T, weights=[0.5, 0.5]), reference().energies.free, 1e-9)


def test_supercell_with_the_folded_mesh():
    double = make_supercell(crystal(), np.diag([2, 1, 1]))
    r = solve(double, kpts=(1, 1, 1), fft=(36, 18, 18), symmetry=True)
    assert len(r.basis.kpoints.symmetry) == 4  # inversion, and the translation by half the cell
    same(r, 2 * reference().energies.free, 1e-9)
    folded = np.sort(reference().eigenvalues[0, :, :4].ravel())
    np.testing.assert_allclose(r.eigenvalues[0, 0, :8], folded, atol=1e-7)
    np.testing.assert_allclose(r.stress(), reference().stress(), atol=1e-8)


# ------------------------------------------------------------------------------------------------- symmetry


def compare_symmetry(a, b):
    same(b, a.energies.free, 1e-9)
    np.testing.assert_allclose(b.forces(), a.forces(), atol=1e-6)
    np.testing.assert_allclose(b.stress(), a.stress(), atol=1e-8)


def test_symmetry_changes_nothing():
    # every operation of aluminium maps a grid of n^3 points onto itself: exact
    a, b = aluminium_result(), dftopt.minimize(*aluminium(symmetry=False), progress=False, **METAL)
    assert len(a.weights) < len(b.weights) == 8
    compare_symmetry(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("n", [18, 20])
def test_symmetry_with_fractional_translations(n):
    # translations by a quarter map the grid of 20^3 points onto itself, that of 18^3 onto points between, which the
    # energy feels in second order only
    a, b = (solve(bulk("Si", a=5.43), kpts=(2, 2, 2), fft=(n, n, n), symmetry=s) for s in (True, False))
    compare_symmetry(a, b)


def test_time_reversal():
    # reduced by inversion or by time reversal: the same two of three points
    model = dftopt.Model(crystal(), xc="LDA")
    basis = dftopt.PlaneWaves(model, ecut=6.0, kpts=(3, 1, 1), fft=(18, 18, 18))
    assert len(basis.kpoints.k) == 2
    e = dftopt.eigenvalues_at(
        reference(), [[0.11, -0.2, 0.4], [-0.11, 0.2, -0.4], [0.89, 0.2, -0.4], [1.11, -0.2, 0.4]]
    )
    np.testing.assert_allclose(e[:, 1:], e[:, [0, 0, 0]], atol=1e-7)


@pytest.mark.slow
def test_mesh_that_breaks_the_symmetry_is_kept_as_asked():
    atoms = bulk("Si", a=5.43)
    a, b = (solve(atoms, kpts=(2, 3, 2), fft=(20, 20, 20), symmetry=s) for s in (True, False))
    assert a.basis.kpoints.size == (2, 3, 2) and len(a.weights) < len(b.weights) == 12
    assert 1 < len(a.basis.kpoints.symmetry) < 48
    compare_symmetry(a, b)
    assert np.abs(a.stress() - np.eye(3) * np.trace(a.stress()) / 3).max() > 1e-7  # less than cubic, and kept
