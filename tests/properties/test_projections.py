import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from scipy.special import gamma
from systems import METAL, aluminium_result, silicon, silicon_result

import dftopt
from dftopt.atoms.atomic_orbitals import AtomicOrbital
from dftopt.atoms.symmetry import find_symmetry
from dftopt.errors import InputError, NotConverged
from dftopt.properties.fermi_surface import fermi_surface
from dftopt.properties.pdos import fat_bands, pdos
from dftopt.properties.projections import loewdin_charges, projections, rotation_matrices
from dftopt.properties.volumetric import density, orbital, potential

PROJWFC = json.loads((Path(__file__).parents[1] / "references/projwfc.json").read_text())


def orbitals_of_reference():
    """The compact orbitals that projwfc.x was given."""
    out = {}
    for element, (_, shells) in PROJWFC["orbitals"].items():
        made = []
        for label, (l, a, c) in shells.items():
            overlap = gamma(l + 1.5) / (2 * np.add.outer(a, a) ** (l + 1.5))
            norm = np.sqrt(np.array(c) @ overlap @ np.array(c))
            made.append(AtomicOrbital(int(label[0]), l, 0.0, 0.0, np.array(a), np.array(c) / norm))
        out[element] = tuple(made)
    return out


def displaced_silicon():
    atoms = bulk("Si", a=5.43)
    atoms.positions[0] += [0.05, -0.03, 0.02]
    return atoms


@lru_cache
def tetragonal_aluminium(symmetry: bool = True, angle: float = 0.0):
    """p_z differs from p_x and p_y, d has four levels."""
    atoms = bulk("Al", a=4.05)
    atoms.set_cell(atoms.cell.array * [1, 1, 1.06], scale_atoms=True)
    atoms.rotate(angle, (1, -2, 3), rotate_cell=True)
    model = dftopt.Model(atoms, xc="LDA")
    basis = dftopt.PlaneWaves(model, ecut=6.0, kpts=(2, 2, 2), symmetry=symmetry)
    return dftopt.minimize(model, basis, progress=False, **METAL)


@lru_cache
def polarized_aluminium():
    """With 0.6 bohr magnetons."""
    model = dftopt.Model(bulk("Al", a=4.05), xc="LDA", spinpol=True)
    basis = dftopt.PlaneWaves(model, ecut=6.0, kpts=(2, 2, 2))
    return dftopt.minimize(model, basis, progress=False, magnetization=0.6, **METAL)


SLOW = pytest.mark.slow


@pytest.mark.parametrize("case", [pytest.param("GaAs", marks=SLOW), pytest.param("Si", marks=SLOW), "Al"])
def test_charges_are_those_of_quantum_espresso(case):
    if case == "Al":
        result = aluminium_result()
    else:
        atoms = bulk("GaAs", "zincblende", a=5.65) if case == "GaAs" else displaced_silicon()
        chosen = {e: PROJWFC["orbitals"][e][0] for e in atoms.get_chemical_symbols()}
        model = dftopt.Model(atoms, xc="LDA", pseudopotentials=chosen)
        basis = dftopt.PlaneWaves(model, ecut=8.0 if case == "GaAs" else 6.0, kpts=(2, 2, 2))
        result = dftopt.minimize(model, basis, tol=1e-10, progress=False)
    assert result.energies.free == pytest.approx(PROJWFC[case]["energy"], abs=2e-7)
    orbitals = {e: o for e, o in orbitals_of_reference().items() if e in result.model.potentials}
    charges, p = loewdin_charges(result, orbitals), projections(result, orbitals)
    assert charges.spilling == pytest.approx(PROJWFC[case]["spilling"], abs=6e-5)
    by_direction = p.grouped("atom m")
    for atom, expected in enumerate(PROJWFC[case]["atoms"]):
        got = dict(zip("spd", charges.populations[0, atom], strict=False))
        got["charge"] = charges.electrons[atom]
        for name, weights in by_direction.items():
            symbol, direction = name.split()
            if symbol == f"{result.model.structure.symbols[atom]}{atom}" and direction != "s":
                shell = "p" if len(direction) == 1 else "d"
                name = shell + {"zx": "xz"}.get(direction, direction)
                got[name] = 2 * np.einsum("k,kb,kb", p.k_weights, p.occupations[0], weights[0])
        for name, value in expected.items():
            assert got[name] == pytest.approx(value, abs=6e-5), name


def test_moments_are_those_of_quantum_espresso():
    result, expected = polarized_aluminium(), PROJWFC["Al polarized"]
    assert result.energies.free == pytest.approx(expected["energy"], abs=2e-7)
    charges = loewdin_charges(result, {"Al": orbitals_of_reference()["Al"]})
    assert charges.spilling == pytest.approx(expected["spilling"], abs=6e-5)
    atom = expected["atoms"][0]
    for spin, name in enumerate(("up", "down")):
        for l, letter in enumerate("spd"):
            assert charges.populations[spin, 0, l] == pytest.approx(atom[name][letter], abs=6e-5)
    assert charges.moments[0] == pytest.approx(sum(atom["polarization"].values()), abs=2e-4)
    assert charges.electrons[0] == pytest.approx(atom["charge"], abs=6e-5)
    own = loewdin_charges(result)
    assert own.electrons.sum() == pytest.approx(3 * (1 - own.spilling), abs=1e-12)
    assert 0.5 < own.moments[0] < 0.6  # part of it is spilled


def test_two_spins_in_what_is_drawn_and_written(tmp_path):
    result = polarized_aluminium()
    d, fat = pdos(result, method="tetrahedron"), fat_bands(result, "GX", npoints=3, nbands=4)
    assert d.values.shape == (2, 800) and d.parts["Al p"].shape == (2, 800)
    np.testing.assert_allclose(np.trapezoid(d.values, d.energies), [8, 8], rtol=1e-2)
    assert fat.weights["Al s"].shape == fat.bands.energies.shape == (2, 3, 4)
    assert np.all(fat.bands.energies[0] < fat.bands.energies[1])
    surface = fermi_surface(result)
    assert surface.fermi_levels == result.fermi_levels and surface.levels.shape[0] == 2
    assert surface.crossing(0) and surface.crossing(1)
    up, down = (potential(result)[s].mean() for s in (0, 1))
    assert up < down  # exchange
    psi = [orbital(result, 0, 0, spin) for spin in (0, 1)]
    assert np.abs(psi[0] - psi[1]).max() > 1e-4
    volume = result.model.structure.volume
    assert density(result, "spin").mean() * volume == pytest.approx(0.6, abs=1e-8)
    assert density(result, "up").mean() * volume == pytest.approx(1.8, abs=1e-8)


def test_sum_rules():
    for result, electrons in ((silicon_result(), 8), (aluminium_result(), 3)):
        p, charges = projections(result), loewdin_charges(result)
        assert p.weights.min() >= 0 and p.weights.sum(axis=-1).max() <= 1 + 1e-12
        np.testing.assert_allclose(p.spilled + sum(p.grouped("atom l").values()), 1, atol=1e-12)
        assert charges.electrons.sum() == pytest.approx(electrons * (1 - charges.spilling), abs=1e-12)
        filled = np.einsum("k,skb,skb", p.k_weights, p.occupations, p.spilled) * 2 / electrons
        assert charges.spilling == pytest.approx(filled, abs=1e-10)
        assert 0 < charges.spilling < 0.02
        np.testing.assert_allclose(charges.charges, charges.valence - charges.electrons)
        np.testing.assert_array_equal(charges.moments, 0)


def test_equivalent_atoms_and_directions_are_equal():
    charges = loewdin_charges(silicon_result())
    np.testing.assert_allclose(charges.populations[0, 0], charges.populations[0, 1], atol=1e-10)
    p = projections(silicon_result()).grouped("m")
    for direction in "yz":
        np.testing.assert_allclose(
            p[direction].sum(axis=-1), p["x"].sum(axis=-1), atol=1e-2
        )  # bands beyond are cut off
        np.testing.assert_allclose(p[direction][..., :4].sum(axis=-1), p["x"][..., :4].sum(axis=-1), atol=1e-8)


@pytest.mark.slow
def test_a_reduced_mesh_gives_the_charges_of_the_full_one():
    reduced, full = tetragonal_aluminium(True), tetragonal_aluminium(False)
    assert len(reduced.weights) < len(full.weights) == 8
    sums = []
    for result in (reduced, full):
        p = projections(result, orbitals_of_reference())
        sums.append(np.einsum("k,skb,skbo->o", p.k_weights, p.occupations, p.weights))
    print(sums)
    np.testing.assert_allclose(sums[0], sums[1], atol=2e-7)
    assert abs(sums[0][2] - sums[0][3]) > 1e-2  # p_z and p_x


def test_charges_do_not_change_when_the_crystal_is_turned():
    a, b = (loewdin_charges(tetragonal_aluminium(angle=x), orbitals_of_reference()) for x in (0.0, 37.0))
    np.testing.assert_allclose(a.populations, b.populations, atol=1e-6)
    assert a.spilling == pytest.approx(b.spilling, abs=1e-6)


def test_rotations_of_real_harmonics_are_orthogonal_and_a_representation():
    cell = bulk("Si", a=5.43).cell.array
    matrices = find_symmetry(cell, np.array([[0.0, 0, 0], [0.25] * 3]), [14, 14]).cartesian(cell)
    assert len(matrices) == 48
    for l in range(4):
        d = rotation_matrices(l, matrices)
        np.testing.assert_allclose(d @ d.transpose(0, 2, 1), np.eye(2 * l + 1) * np.ones((48, 1, 1)), atol=1e-12)
        product = rotation_matrices(l, (matrices[5] @ matrices[17])[None])[0]
        np.testing.assert_allclose(product, d[5] @ d[17], atol=1e-12)
        if l == 1:
            np.testing.assert_allclose(np.trace(d, axis1=1, axis2=2), np.trace(matrices, axis1=1, axis2=2), atol=1e-12)


def test_names_of_groups():
    p = projections(silicon_result())
    assert list(p.grouped("element l")) == ["Si s", "Si p"]
    assert list(p.grouped("l element")) == ["Si s", "Si p"]
    assert list(p.grouped("atom shell m")) == [f"Si{i} {s}" for i in (0, 1) for s in ("3s", "3p_y", "3p_z", "3p_x")]
    assert list(p.grouped("atom")) == ["Si0", "Si1"]
    assert list(p.grouped("m")) == ["s", "y", "z", "x"]
    for by in ("colour", "", "atom atom", 3):
        with pytest.raises(InputError, match="by = "):
            p.grouped(by)


def test_what_cannot_be_projected_is_named():
    unfinished = dftopt.minimize(*silicon(), tol=1e-12, maxiter=1, progress=False)
    with pytest.raises(NotConverged, match="did not converge"):
        projections(unfinished)
    twice = orbitals_of_reference()["Al"]
    with pytest.raises(InputError, match="linearly dependent"):
        projections(aluminium_result(), {"Al": (*twice, twice[0])})
