"""D3(BJ): the library's numbers, those of two independent programs, and derivatives."""

import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data.s22 import create_s22_system
from ase.lattice.hexagonal import Graphite
from ase.units import Bohr, Hartree
from systems import ECUT, low_symmetry_silicon

import dftopt
from dftopt.energy.dispersion import D3_NAMES, Dispersion, dispersion
from dftopt.errors import InputError
from dftopt.xc import functional

MOLECULE = (False, False, False)


def arguments(atoms, name="pbe", periodic=(True, True, True)):
    d = Dispersion(name, tuple(int(z) for z in atoms.numbers), periodic)
    cell = atoms.cell.array if atoms.cell.rank == 3 else 10 * np.eye(3)
    return jnp.asarray(atoms.positions / Bohr), jnp.asarray(cell / Bohr), d


def graphite():
    atoms = Graphite("C", latticeconstant={"a": 2.46, "c": 6.7})
    atoms.positions[0] += [0.05, 0.02, 0.1]
    return atoms


def rocksalt():
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    atoms.positions[0] += [0.1, 0.05, 0]
    return atoms


def test_grimmes_program():
    # adenine and thymine stacked, of the S22 set: Grimme's dftd3 (PBE, BJ, two-body) in the tests of ASE 3.29, eV
    x = arguments(create_s22_system("Adenine-thymine_complex_stack"), periodic=MOLECULE)
    assert float(dispersion(*x)) * Hartree == pytest.approx(-1.211193213979179, rel=1e-7)


@pytest.mark.parametrize(
    ("atoms", "energy", "first_force"),
    [  # pw.x 6.7, vdw_corr = 'dft-d3', dftd3_version = 4, dftd3_threebody = .false., PBE, its cutoff of 94.87 bohr: Ry, Ry/bohr
        (graphite(), -0.04608617, (0.00010943, 0.00005147, 0.00016711)),
        (rocksalt(), -0.03224193, (0.00001976, 0.00000980, 0.0)),
    ],
    ids=["graphite", "NaCl"],
)
def test_quantum_espresso(atoms, energy, first_force):
    positions, cell, d = arguments(atoms)
    ours = dispersion(positions, cell, d)
    tail = float(ours) - energy / 2  # pairs beyond 94.87 bohr, which are summed here
    assert -3e-6 * len(atoms) < tail < -0.5e-6 * len(atoms)
    force = -jax.grad(dispersion)(positions, cell, d)[0]
    np.testing.assert_allclose(force, np.array(first_force) / 2, atol=2e-8)  # the tail, and its digits


def test_the_sum_without_cutoff_is_the_limit_of_the_librarys_own():
    from dftd3.interface import DispersionModel, RationalDampingParam

    atoms = rocksalt()
    positions, cell, d = arguments(atoms)

    def cut_at(r):
        model = DispersionModel(atoms.numbers, atoms.positions / Bohr, atoms.cell.array / Bohr, np.full(3, True))
        model.set_realspace_cutoff(r, 40.0, 40.0)
        return float(model.get_dispersion(RationalDampingParam(method="pbe", atm=False), grad=False)["energy"])

    near, far = (cut_at(r) - float(dispersion(positions, cell, d)) for r in (160.0, 240.0))
    assert 0 < far < 3e-7 and near / far == pytest.approx(
        (240 / 160) ** 3, rel=2e-3
    )  # what is left out falls off as R^-3


@pytest.mark.parametrize(
    "periodic", [(True, True, True), (True, True, False), MOLECULE], ids=["crystal", "slab", "molecule"]
)
def test_first_and_second_derivatives(periodic):
    positions, cell, d = arguments(graphite(), periodic=periodic)
    rng = np.random.default_rng(0)
    e = [jnp.asarray(rng.normal(size=(4, 3))), jnp.asarray(0.03 * rng.normal(size=(3, 3)))]
    e[1] = e[1] * np.array(periodic)[:, None]  # cell vectors without copies mean nothing
    value = lambda t: dispersion(positions + t * e[0], cell + t * e[1], d)
    slope, h = jax.grad(value), 2e-5  # so small that no atom crosses 40 bohr, see `dispersion`
    numeric = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)
    assert float(slope(0.0)) == pytest.approx(float(numeric), rel=1e-6)
    assert float(jax.jvp(value, (0.0,), (1.0,))[1]) == pytest.approx(float(slope(0.0)), rel=1e-12)
    h = 4e-3
    curvature = (8 * (slope(h) - slope(-h)) - (slope(2 * h) - slope(-2 * h))) / (12 * h)
    assert float(jax.grad(slope)(0.0)) == pytest.approx(float(curvature), rel=1e-4)


def test_translation_and_rotation():
    positions, cell, d = arguments(graphite())
    g, c = jax.grad(dispersion, (0, 1))(positions, cell, d)
    np.testing.assert_allclose(jnp.sum(g, axis=0), 0, atol=1e-14)
    torque = g.T @ positions + c.T @ cell
    np.testing.assert_allclose(torque, torque.T, atol=1e-14)
    assert np.all(jax.grad(dispersion, 1)(*arguments(graphite(), periodic=MOLECULE)) == 0)


def with_and_without():
    """One minimum, read with and without dispersion, which no orbital feels."""
    model, _ = low_symmetry_silicon("PBE")
    bases = [
        dftopt.PlaneWaves(dftopt.Model(model.atoms, xc="PBE", dispersion=x), ecut=ECUT, kpts=(2, 1, 1))
        for x in ("d3bj", None)
    ]
    result = dftopt.minimize(bases[0].model, bases[0], tol=1e-10, progress=False)
    return result, replace(result, model=bases[1].model, basis=bases[1])


def test_energies_forces_and_stress_hold_it():
    result, without = with_and_without()
    assert result.converged
    s = result.model.structure
    d = Dispersion("pbe", (14, 14))
    at = lambda x, strain: dispersion(*(y @ (jnp.eye(3) + strain).T for y in (x, jnp.asarray(s.cell))), d)
    x = (jnp.asarray(s.frac @ s.cell), jnp.zeros((3, 3)))
    e = result.energies
    assert e.dispersion == pytest.approx(float(at(*x)), abs=1e-15) and e.dispersion < -1e-3
    others = e.kinetic + e.local + e.nonlocal_ + e.hartree + e.xc + e.ewald
    assert e.total == pytest.approx(others + e.dispersion, abs=1e-13)
    assert e.free == e.total == e.zero
    g, stress = jax.grad(at, (0, 1))(*x)
    np.testing.assert_allclose(result.forces() - without.forces(), -g, atol=1e-13)
    np.testing.assert_allclose(result.stress() - without.stress(), stress / s.volume, atol=1e-15)
    assert any("D3(BJ)" in note for note in result.notes) and not any("D3(BJ)" in note for note in without.notes)


@pytest.mark.parametrize("name", sorted(set(D3_NAMES.values())))
def test_the_library_knows_all_our_names(name):
    x = arguments(Atoms("Ne2", [[0, 0, 0], [0, 0, 3]]), name, MOLECULE)
    assert -1e-2 < float(dispersion(*x)) < 0


def test_all_functionals_with_parameters_are_offered():
    for name, ours in (("PBE", "pbe"), ("PBEsol", "pbesol"), ("gga_c_pbe+gga_x_pbe", "pbe")):
        assert D3_NAMES[tuple(sorted(functional(name).terms))] == ours


def test_refusals(monkeypatch):
    atoms = bulk("Si")
    with pytest.raises(InputError, match="no parameters for xc = 'LDA'.*pbe"):
        dftopt.Model(atoms, xc="LDA", dispersion="d3bj")
    with pytest.raises(InputError, match="dispersion = 'd4' is unknown"):
        dftopt.Model(atoms, xc="PBE", dispersion="d4")
    monkeypatch.setitem(sys.modules, "dftd3.interface", None)
    with pytest.raises(InputError, match="pip install 'dftd3"):
        dftopt.Model(atoms, xc="PBE", dispersion="d3bj")
