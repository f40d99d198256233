import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import simpson
from scipy.special import erf, gamma, spherical_jn

from dftopt.atoms import gth, spherical_atom
from dftopt.atoms.atomic_orbitals import atomic_orbitals, free_atom
from dftopt.errors import InputError

PYSCF = json.loads((Path(__file__).parents[1] / "references/pyscf_atoms.json").read_text())
R, W = spherical_atom.quadrature()
FINE = np.linspace(0, 60, 30001)


@pytest.mark.parametrize("case", [c for c in PYSCF if c != "source"])
def test_energy_and_levels_are_those_of_pyscf(case):
    atom = free_atom(gth.load(*case.split()))
    expected = PYSCF[case]
    levels = {
        l: [o.energy for o in atom.orbitals if o.l == "spdf".index(l) and o.occupation] for l in expected["levels"]
    }
    print(f"{atom.energy - expected['energy']:.1e}")
    assert atom.energy == pytest.approx(expected["energy"], abs=1e-5)
    for l, e in expected["levels"].items():
        print(l, np.array(levels[l]) - e)
        np.testing.assert_allclose(levels[l], e, atol=4e-6)


def test_eigenvalues_are_derivatives_of_the_energy_in_the_occupations():
    potential = spherical_atom.radial_potential(gth.load("Si", "GTH-PBE-q4"))
    solve = lambda s, p: spherical_atom.solve(potential, {0: [s], 1: [p]}, "PBE", "Si")
    solutions, _ = solve(2.0, 2.0)
    h = 0.01
    for l, (up, down) in enumerate([((2 + h, 2.0), (2 - h, 2.0)), ((2.0, 2 + h), (2.0, 2 - h))]):
        slope = (solve(*up)[1] - solve(*down)[1]) / (2 * h)
        assert solutions[l].levels[0] == pytest.approx(slope, abs=2e-6)


def test_levels_of_one_electron_in_a_coulomb_potential():
    r, _ = spherical_atom.quadrature()
    coulomb = spherical_atom.RadialPotential(-1 / r, (), (0 * r, 0 * r), 0.02)
    solutions, _ = spherical_atom.solve(coulomb, {0: [0.0, 0.0], 1: [0.0]}, "none", "H")
    np.testing.assert_allclose([*solutions[0].levels, *solutions[1].levels], [-1 / 2, -1 / 8, -1 / 8], atol=2e-6)


@pytest.mark.parametrize("case", [("Si", "GTH-PBE-q4"), ("Ti", "GTH-PBE-q12")])
def test_orbitals_are_orthonormal_and_fourier_transforms_are_integrals(case):
    orbitals = atomic_orbitals(gth.load(*case))
    for o in orbitals:
        for other in orbitals:
            if other.l == o.l:
                assert np.sum(W * R**2 * o.radial(R) * other.radial(R)) == pytest.approx(float(o is other), abs=1e-9)
        for q in (0.02, 0.4, 3.0, 9.0):
            integral = 4 * np.pi / q**o.l * simpson(FINE**2 * spherical_jn(o.l, q * FINE) * o.radial(FINE), x=FINE)
            assert o.fourier(q**2) == pytest.approx(integral, abs=1e-8)


def test_density_integrates_to_the_valence_and_its_transform_is_an_integral():
    potential = gth.load("Fe", "GTH-PBE-q16")
    atom = free_atom(potential)
    assert np.sum(4 * np.pi * W * R**2 * atom.density(R)) == pytest.approx(16, abs=1e-9)
    q = np.array([0.0, 0.123, 2.5, 17.3])
    shells = 4 * np.pi * FINE**2 * atom.density(FINE)
    integral = [simpson(np.sinc(x * FINE / np.pi) * shells, x=FINE) for x in q]
    np.testing.assert_allclose(atom.density_fourier(q**2), integral, atol=1e-8)


@pytest.mark.parametrize(
    ("element", "name", "shells"),
    [
        ("H", "GTH-PADE-q1", "1s"),
        ("Na", "GTH-PADE-q1", "3s 3p"),
        ("Na", "GTH-PADE-q9", "2s 3s 2p 3p"),
        ("Si", "GTH-PADE-q4", "3s 3p"),
        ("Ti", "GTH-PBE-q12", "3s 4s 3p 4p 3d"),
        ("Zn", "GTH-PBE-q12", "4s 3d 4p"),
        ("Ga", "GTH-PBE-q3", "4s 4p"),
        ("Ce", "GTH-PBE-q12", "5s 6s 5p 6p 5d 4f"),
    ],
)
def test_shells_are_named_as_in_the_real_atom(element, name, shells):
    potential = gth.load(element, name)
    orbitals = atomic_orbitals(potential)
    assert sorted(o.name for o in orbitals) == sorted(shells.split())
    assert sum(o.occupation for o in orbitals) == potential.charge
    assert all(o.energy < 0 for o in orbitals)


@dataclass(frozen=True, eq=False)
class Table:
    """A potential on a mesh, with the attributes of those read from files."""

    element: str
    name: str
    charge: float
    electrons: tuple
    r: np.ndarray
    v_local: np.ndarray
    channels: tuple
    projector_points: int
    functional: object = None
    core: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class TableChannel:
    l: int
    values: np.ndarray
    h: np.ndarray


def tabulated(potential, electrons):
    r = np.linspace(0, 12, 2401)
    x = r / potential.rloc
    v = -potential.charge * np.append(np.sqrt(2 / np.pi) / potential.rloc, erf(x[1:] / np.sqrt(2)) / r[1:])
    v += np.exp(-(x**2) / 2) * np.polynomial.polynomial.polyval(x**2, potential.cloc)
    channels = []
    for c in potential.channels:
        rows = []
        for i in range(1, c.n + 1):
            a = c.l + (4 * i - 1) / 2
            norm = np.sqrt(2 / gamma(a)) / c.r**a
            rows.append(norm * r ** (c.l + 2 * i - 1) * np.exp(-(r**2) / (2 * c.r**2)))
        channels.append(TableChannel(c.l, np.array(rows), np.array(c.h)))
    return Table(potential.element, potential.name, potential.charge, electrons, r, v, tuple(channels), 2001)


@pytest.mark.parametrize("electrons", [(2, 1, 10), ()])
def test_a_table_of_a_potential_gives_the_same_atom(electrons):
    potential = gth.load("Ga", "GTH-PBE-q13")
    same, own = free_atom(tabulated(potential, electrons)), free_atom(potential)
    assert [o.name for o in same.orbitals] == [o.name for o in own.orbitals]
    assert same.energy == pytest.approx(own.energy, abs=2e-5)
    for a, b in zip(same.orbitals, own.orbitals, strict=True):
        assert a.energy == pytest.approx(b.energy, abs=5e-6)
        assert np.sum(W * R**2 * a.radial(R) * b.radial(R)) == pytest.approx(1, abs=1e-8)


def test_an_atom_that_does_not_converge_is_named(monkeypatch):
    monkeypatch.setattr(spherical_atom, "STEPS", 2)
    with pytest.raises(InputError, match="free atom of He with .* did not converge in 2 steps"):
        free_atom(gth.load("He", "GTH-BLYP-q2"))


@pytest.mark.slow
def test_every_potential_of_the_table_has_an_atom():
    potentials = {p for p in gth.table().values() if p.name.startswith(("GTH-PADE", "GTH-PBE"))}
    for potential in potentials:
        orbitals = atomic_orbitals(potential)
        assert sum(o.occupation for o in orbitals) == potential.charge, potential.name
        assert max(o.energy for o in orbitals) < 0, potential.name
