"""Interactions that are cut: kernels, Gaussian charges, ions, vacuum, molecules and slabs."""

import json
from functools import lru_cache
from math import erf, pi, sqrt
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import fcc111, molecule
from ase.units import Bohr
from boxes import SLAB as GAAS
from boxes import gallium_arsenide, pair, potentials_of
from scipy.integrate import quad
from scipy.special import erfc
from test_charged import directional

import dftopt
from dftopt.atoms.structure import from_ase
from dftopt.atoms.vacuum import find_vacuum
from dftopt.energy.coulomb import (
    Coulomb,
    coulomb_kernel,
    dipole_energy,
    ion,
    prepare_dipole,
    slab_kernel,
    sphere_kernel,
)
from dftopt.energy.ewald import ewald, ewald_sums
from dftopt.energy.hartree import hartree
from dftopt.errors import InputError
from dftopt.properties.derivatives import derivative

# ---------------------------------------------------------------------------------------------------- kernels


@pytest.mark.parametrize("G", [0.0, 0.3, 2.7])
def test_sphere_kernel_is_the_transform_of_the_cut_interaction(G):
    R = 6.0
    exact = quad(lambda r: 4 * pi * r * np.sinc(G * r / pi), 0, R, epsabs=1e-12)[0]
    assert float(sphere_kernel(jnp.asarray(G**2), R)) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("along", [0.0, 0.7, 2.0])
@pytest.mark.parametrize("z", [0.0, 1.1, -0.4])
def test_slab_kernel_is_the_transform_of_the_cut_interaction(along, z):
    R, normal = 5.0, np.array([2.0, 2.0, 1.0]) / 3
    if along:  # the transform of 1/r in the plane, and that of a charged plane
        line = lambda t: 2 * pi / along * np.exp(-along * abs(t)) * np.cos(z * t)
    else:
        line = lambda t: -2 * pi * abs(t) * np.cos(z * t)
    exact = 2 * quad(line, 0, R, epsabs=1e-12, limit=200)[0]
    G = along * np.array([1.0, -1.0, 0.0]) / sqrt(2) + z * normal
    assert float(slab_kernel(jnp.asarray(G), jnp.asarray(normal), R)) == pytest.approx(exact, rel=1e-11)


UP = jnp.array([0.0, 0.0, 1.0])
SLOPES = [
    jax.jit(jax.grad(f)) for f in (lambda g: sphere_kernel(jnp.sum(g**2), 4.0), lambda g: slab_kernel(g, UP, 4.0))
]


def test_derivatives_are_finite_at_zero():
    for G in ([0, 0, 0], [0, 0, 0.6], [0.5, 0, 0]):
        for f in SLOPES:
            assert np.all(np.isfinite(f(jnp.array(G, float))))


# ---------------------------------------------------------------------------------------------------- charges in boxes


class Charges:
    """Gaussian charges on a grid: (charge, width, position in bohr) in a cell."""

    def __init__(self, cell, fft, charges):
        self.cell, self.charges = np.asarray(cell, float), charges
        self.volume = abs(np.linalg.det(self.cell))
        axes = [np.fft.fftfreq(fft[0], 1 / fft[0]), np.fft.fftfreq(fft[1], 1 / fft[1]), np.arange(fft[2] // 2 + 1.0)]
        self.axes = axes
        self.multiplicity = np.where((axes[2] == 0) | (axes[2] == fft[2] / 2), 1.0, 2.0)
        m = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        self.G = m @ (2 * pi * np.linalg.inv(self.cell).T)
        self.G2 = np.sum(self.G**2, axis=-1)
        one = lambda q, w, x: q * np.exp(-1j * self.G @ np.array(x, float) - self.G2 * w**2 / 2) / self.volume
        self.rho_G = sum(one(*c) for c in charges)

    def energy(self, kernel):
        return float(hartree(self.rho_G, kernel, self.multiplicity, self.volume))

    def alone(self):
        """Energy in empty space: sum over pairs of q q' erf(d / sqrt(2 (w^2 + w'^2))) / d."""
        total = 0.0
        for q, w, x in self.charges:
            for p, v, y in self.charges:
                d, s = np.linalg.norm(np.subtract(x, y)), sqrt(2 * (w**2 + v**2))
                total += 0.5 * q * p * (erf(d / s) / d if d else 2 / (s * sqrt(pi)))
        return total


MOLECULE = [(2.0, 0.6, (0, 0, 0)), (-0.7, 0.8, (1.5, 0.4, -1.0)), (-0.6, 0.7, (-0.3, 1.4, 0.8))]


@pytest.mark.parametrize("cell", [18 * np.eye(3), [[19, 0, 0], [-8, 18, 0], [1, 2, 20]]], ids=["cube", "oblique"])
def test_charges_in_a_sphere_interact_as_in_empty_space(cell):
    c = Charges(cell, (48, 48, 48), MOLECULE)
    R = 9.0 if cell[0][1] == 0 and cell[1][0] == 0 else 0.5 * 19.0
    s = from_ase(Atoms("H", cell=np.asarray(cell) * Bohr, pbc=True))
    assert find_vacuum(s, "0d").radius == pytest.approx(R)
    assert c.energy(sphere_kernel(c.G2, R)) == pytest.approx(c.alone(), abs=1e-9)


def test_the_long_ranged_potential_uses_the_same_kernel():
    # an electron cloud of charge -2 around Gaussian ions of charge 1 and 1.5: -sum Z N erf(d / sqrt(2 (w^2 + v^2))) / d
    cloud, ions = (2.0, 0.9, (0.2, 0.1, 0)), [(1.0, 0.5, (0, 0, 0)), (1.5, 0.7, (1.0, 1.0, 0.5))]
    c = Charges(18 * np.eye(3), (48, 48, 48), [cloud])
    kernel = sphere_kernel(c.G2, 9.0)
    v = sum(Z * ion(kernel, c.G2, w) * np.exp(-1j * c.G @ np.array(x)) for Z, w, x in ions)
    found = float(np.sum(c.multiplicity * (np.conj(v) * c.rho_G).real))
    pair = lambda w, x: (np.linalg.norm(np.subtract(cloud[2], x)), sqrt(2 * (cloud[1] ** 2 + w**2)))
    exact = -sum(Z * cloud[0] * erf(d / s) / d for Z, w, x in ions for d, s in [pair(w, x)])
    assert found == pytest.approx(exact, abs=1e-9)


SLAB = [(2.0, 0.6, (0, 0, 0)), (-1.2, 0.8, (1.0, 0.4, -1.2)), (-0.8, 0.7, (2.3, 1.4, 0.9))]
PLANE = np.array([[5.0, 0.0, 0.0], [1.5, 6.0, 0.0]])


def slab(height, tilt=0.0):
    n = 24 * round(height / 9)
    return Charges([*PLANE, [tilt, 0.7 * tilt, height]], (24, 27, n), SLAB)


@pytest.mark.parametrize("tilt", [0.0, 3.0])
def test_a_slabs_energy_does_not_depend_on_the_vacuum(tilt):
    up = jnp.array([0.0, 0.0, 1.0])
    low, high = slab(18.0, tilt), slab(27.0, tilt)
    a, b = (c.energy(slab_kernel(c.G, up, 0.5 * c.cell[2, 2])) for c in (low, high))
    assert a == pytest.approx(b, abs=1e-9)


def test_dipole_correction_is_the_limit_of_one_slab():
    up, c = jnp.array([0.0, 0.0, 1.0]), slab(27.0)
    exact = c.energy(slab_kernel(c.G, up, 13.5))
    plain = c.energy(coulomb_kernel(c.G2))
    q, z = np.array([s[0] for s in SLAB]), np.array([s[2][2] for s in SLAB])
    assert exact - plain == pytest.approx(2 * pi * (q @ z) ** 2 / c.volume, abs=1e-9)
    # the same from the density: half of the charges as ions, the rest as electrons (of either sign)
    frac = np.array([s[2] for s in SLAB]) @ np.linalg.inv(c.cell)
    d = prepare_dipole(frac, q / 2, c.cell, 0.0, c.axes[2], c.multiplicity, 2)
    assert plain + float(dipole_energy(-c.rho_G / 2, d, c.volume)) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("axis", [0, 1])
def test_dipole_along_the_other_axes(axis):
    turn = lambda x: tuple(np.roll(x, axis + 1, axis=-1))
    charges = [(q, w, turn(x)) for q, w, x in SLAB]
    cell = np.roll(np.roll(np.array([*PLANE, [0, 0, 27.0]]), axis + 1, axis=0), axis + 1, axis=1)
    c = Charges(cell, turn((24, 27, 72)), charges)
    q, z = np.array([s[0] for s in SLAB]), np.array([s[2][2] for s in SLAB])
    frac = np.array([s[2] for s in charges]) @ np.linalg.inv(c.cell)
    d = prepare_dipole(frac, q / 2, c.cell, 0.0, c.axes[axis], np.ones(len(c.axes[axis])), axis)
    assert float(dipole_energy(-c.rho_G / 2, d, c.volume)) == pytest.approx(2 * pi * (q @ z) ** 2 / c.volume, abs=1e-10)


# ---------------------------------------------------------------------------------------------------- ions


def parry(x, charges, a, eta):
    """Two-dimensional Ewald sum, a charged plane having the potential -2 pi sigma |z| (Parry, Surf. Sci. 49, 433, 1975)."""
    area, b = abs(np.linalg.det(a[:, :2])), 2 * pi * np.linalg.inv(a[:, :2]).T
    n = np.array([(i, j) for i in range(-14, 15) for j in range(-14, 15)])
    R, G = n @ a, n[np.any(n != 0, axis=1)] @ b
    g, total = np.linalg.norm(G, axis=1), -eta / sqrt(pi) * np.sum(charges**2)
    for i, j in np.ndindex(len(x), len(x)):
        d, qq = x[i] - x[j], 0.5 * charges[i] * charges[j]
        r = np.linalg.norm(d + R, axis=1)
        r = r[r > 1e-9]
        waves = sum(np.exp(s * g * d[2]) * erfc(g / (2 * eta) + s * eta * d[2]) for s in (1, -1))
        total += qq * np.sum(erfc(eta * r) / r) + qq * pi / area * np.sum(np.cos(G @ d[:2]) / g * waves)
        total -= qq * 2 * pi / area * (d[2] * erf(eta * d[2]) + np.exp(-((eta * d[2]) ** 2)) / (eta * sqrt(pi)))
    return total


@pytest.mark.parametrize("height", [14.0, 40.0])
def test_ions_of_a_slab_are_a_two_dimensional_ewald_sum(height):
    charges = np.array([3.0, 5.0, 1.0])
    x = np.array([[0.0, 0.0, 0.0], [2.1, 1.0, 2.2], [1.0, 4.0, -1.0]])
    atoms = Atoms("H3", positions=x * Bohr, cell=np.array([*PLANE, [1.0, 0.0, height]]) * Bohr, pbc=True)
    s = from_ase(atoms)
    v = find_vacuum(s, "2d", pbc=(True, True, False), force=True)
    assert v.extent == pytest.approx(3.2)
    sums = ewald_sums(s.cell, v)
    energy = jax.jit(lambda f: ewald(f, charges, s.cell, sums, Coulomb(v.radius, "2d", 2)))
    exact = parry(x, charges, PLANE, 0.4)
    assert exact == pytest.approx(parry(x, charges, PLANE, 0.6), rel=1e-13)
    assert float(energy(s.frac)) == pytest.approx(exact, rel=1e-13)
    shifted = s.frac + [0.3, -1.2, 0.4]  # across the faces of the cell
    moved = from_ase(Atoms("H3", scaled_positions=shifted, cell=atoms.cell, pbc=True))
    w = find_vacuum(moved, "2d", pbc=(True, True, False), force=True)
    sums = ewald_sums(s.cell, w)
    e = jax.jit(lambda f: ewald(f, charges, s.cell, sums, Coulomb(w.radius, "2d", 2)))(moved.frac)
    assert float(e) == pytest.approx(exact, rel=1e-13)


def test_ions_of_a_molecule_split_by_the_cell():
    atoms = molecule("CH3OH")
    atoms.set_cell([16.0, 16.0, 17.0])
    atoms.positions += [0.2, 8.0, -0.1]
    atoms.wrap(pbc=True)
    s = from_ase(atoms)
    v, z = find_vacuum(s, "0d"), s.numbers.astype(float)
    d = molecule("CH3OH").get_all_distances()[np.triu_indices(6, 1)] / Bohr
    exact = np.sum(np.outer(z, z)[np.triu_indices(6, 1)] / d)
    assert float(ewald(s.frac, z, s.cell, ewald_sums(s.cell, v), Coulomb(v.radius, "0d"))) == pytest.approx(
        exact, rel=1e-13
    )
    assert v.extent == pytest.approx(d.max())


# ---------------------------------------------------------------------------------------------------- vacuum


def lithium_fluoride(**changes):
    atoms = Atoms("LiF", positions=[[0, 0, 0], [0, 0, 1.6]], cell=[16.0, 16.0, 16.0], pbc=False)
    atoms.positions += changes.pop("at", 8.0)
    for name, value in changes.items():
        setattr(atoms, name, value)
    return atoms


def vacuum_of(atoms, coulomb, **options):
    return find_vacuum(from_ase(atoms), coulomb, pbc=atoms.pbc, **options)


def test_a_molecule_is_made_whole():
    for at in (0.0, 15.2, 8.0, [-3.0, 20.0, 7.7]):
        v = vacuum_of(lithium_fluoride(at=at), "0d")
        assert v.extent * Bohr == pytest.approx(1.6) and v.radius * Bohr == pytest.approx(8.0)
        assert v.tail * Bohr == pytest.approx(3.2) and v.isolated == (True, True, True)


def test_the_axis_of_a_slab():
    slab = fcc111("Al", (1, 1, 3), vacuum=10.0)
    slab.pbc = (True, True, False)
    v = vacuum_of(slab, "2d")
    assert v.axis == 2 and v.repeated == (True, True, False) and v.middle % 1 == pytest.approx(0.5)
    assert v.extent * Bohr == pytest.approx(np.ptp(slab.positions[:, 2]))
    slab.pbc = True  # then the widest vacuum
    assert vacuum_of(slab, "2d").axis == 2
    turned = Atoms(slab.numbers, cell=np.roll(slab.cell.array, 1, axis=0), positions=slab.positions, pbc=True)
    assert vacuum_of(turned, "2d").axis == 0


def test_rotations_that_leave_the_plane_are_not_used():
    atoms = Atoms("Ne", cell=[16.0] * 3, pbc=True)
    model = dftopt.Model(atoms, xc="LDA")
    assert len(dftopt.PlaneWaves(model, ecut=4, coulomb="0d").crystal_symmetry) == 48
    assert len(dftopt.PlaneWaves(model, ecut=4, coulomb="2d").crystal_symmetry) == 16
    assert len(dftopt.PlaneWaves(model, ecut=4, dipole_correction=True).crystal_symmetry) == 16


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {}, r"not periodic along a, b and c .*coulomb = '0d' \(molecules\)"),
        ({}, {"coulomb": "2d"}, "slabs, which repeat along two axes, but atoms.pbc = .*coulomb = '0d'"),
        ({}, {"coulomb": "1d"}, "coulomb = '1d' is unknown; did you mean"),
        ({"pbc": (False, True, True)}, {}, "not periodic along a .*'2d' \\(slabs\\)"),
        ({}, {"coulomb": "0d", "kpts": (2, 1, 1)}, "nothing is repeated along a, so k points"),
        ({}, {"coulomb": "0d", "shift": (0, 0, 0.5)}, "nothing is repeated along c, so k points"),
        ({"pbc": True}, {"coulomb": "2d", "dipole_correction": True}, "goes with coulomb = 'periodic'"),
        ({"cell": [9.0, 9.0, 9.0]}, {"coulomb": "0d"}, r"reach over 1.60 angstrom.* is 9.00 angstrom.*at least 15.2 angstrom"),
        ({"cell": [9.0, 9.0, 9.0], "pbc": (1, 1, 0)}, {"coulomb": "2d"}, "slab is 1.60 angstrom thick.*at least 15.2"),
        ({"cell": [3.0, 3.0, 4.0], "pbc": (1, 1, 0)}, {"dipole_correction": True}, "2.40 angstrom thick, too thin"),
    ],
)  # fmt: skip
def test_refusals(change, options, message):
    model = dftopt.Model(lithium_fluoride(**change), xc="LDA")
    with pytest.raises(InputError, match=message):
        dftopt.PlaneWaves(model, ecut=4, **options)


# ---------------------------------------------------------------------------------------------------- whole calculations

QUIET = pytest.mark.filterwarnings("ignore:nbands = :dftopt.errors.DFTOptWarning")
KINDS = {
    "0d": ({"coulomb": "0d"}, -1, False),
    "2d": ({"coulomb": "2d"}, 0, (True, True, False)),
    "dipole": ({"dipole_correction": True}, 0, True),
}


@lru_cache
def boxed(kind):
    options, charge, pbc = KINDS[kind]
    atoms = pair()
    atoms.pbc = pbc
    model = dftopt.Model(atoms, xc="LDA", charge=charge, force=True, pseudopotentials=potentials_of(atoms))
    basis = dftopt.PlaneWaves(model, ecut=4.0, symmetry=False, fft=(24, 24, 24), **options)
    return dftopt.minimize(model, basis, temperature=0.01, nbands=6, tol=1e-16, maxiter=600, progress=False)


@QUIET
@pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.slow) if k != "0d" else k for k in KINDS])
def test_forces_and_stress_are_derivatives_of_the_energy(kind):
    r = boxed(kind)
    slopes = derivative(r, ("positions", "strain"))
    rng = np.random.default_rng(5)
    along = {"positions": rng.normal(size=(2, 3)), "strain": 0.3 * rng.normal(size=(3, 3))}
    along["strain"] += along["strain"].T
    if kind == "2d":  # what the stress tells: strains of the plane
        along["strain"][2] = along["strain"][:, 2] = 0
    if kind == "0d":
        along.pop("strain")
    exact = sum(float(np.sum(slopes[k] * along[k])) for k in along)
    assert exact == pytest.approx(directional(r, along), rel=1e-6)
    np.testing.assert_allclose(r.forces(), -(slopes["positions"] - np.mean(slopes["positions"], axis=0)), atol=1e-12)
    if kind == "0d":
        with pytest.raises(InputError, match="a molecule alone in space has no stress"):
            r.stress()
        return
    stress = np.array(slopes["strain"]) / r.model.structure.volume
    if kind == "2d":
        stress[2] = stress[:, 2] = 0
    np.testing.assert_allclose(r.stress(), stress, atol=1e-12)


@QUIET
def test_dipole_energy_and_moment():
    r = boxed("dipole")
    axis, volume = r.basis.vacuum.axis, r.model.structure.volume
    p = r.dipole()
    assert p[axis] != 0 and r.energies.dipole == pytest.approx(2 * pi * p[axis] ** 2 / volume, rel=1e-10)
    e = r.energies
    assert e.total == pytest.approx(
        e.kinetic + e.local + e.nonlocal_ + e.hartree + e.xc + e.ewald + e.dipole, abs=1e-13
    )
    assert boxed("0d").energies.dipole == 0


@QUIET
def test_a_result_in_a_file_keeps_its_box(tmp_path):
    r = boxed("0d")
    r.save(tmp_path / "ion.h5")
    again = dftopt.load(tmp_path / "ion.h5")
    assert again.model.charge == -1 and again.basis.vacuum.coulomb == "0d" and again.notes == r.notes
    np.testing.assert_allclose(again.forces(), r.forces(), atol=1e-14)


PWSCF = json.loads((Path(__file__).parent / "references/pwscf_boxes.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["periodic", "dipole", "2d"])
def test_a_slab_by_quantum_espresso(kind):
    atoms = gallium_arsenide()
    options = {"dipole_correction": True} if kind == "dipole" else {"coulomb": kind}
    model = dftopt.Model(atoms, xc="LDA", pseudopotentials=potentials_of(atoms))
    basis = dftopt.PlaneWaves(model, **GAAS, symmetry=False, **options)
    r, theirs = dftopt.minimize(model, basis, tol=1e-12, maxiter=600, progress=False), PWSCF[f"slab {kind}"]
    assert r.converged, r.verdict
    # pw.x cuts the ions' Gaussians in its Ewald sum at 8 angstrom, ours is exact (see above): 2.7e-7 Ha
    assert r.energies.free == pytest.approx(theirs["energy"], abs=2e-7 if kind == "2d" else 1e-7)
    np.testing.assert_allclose(r.forces(), theirs["forces"], atol=1e-6)
    if "stress" in theirs:
        np.testing.assert_allclose(r.stress()[:2, :2], np.array(theirs["stress"])[:2, :2], atol=1e-8)
    single = {"periodic": -8.3361394, "dipole": -8.3361349, "2d": -8.3361331}[kind]
    assert r.energies.free == pytest.approx(single, abs=1e-6)


@pytest.mark.slow
def test_a_molecule_with_a_dipole():
    atoms = molecule("H2O", cell=[10.0] * 3)
    atoms.center()
    model = dftopt.Model(atoms, xc="LDA")
    # PySCF 2.14, lda_x + lda_c_pw, all electrons, aug-cc-pVQZ (aug-cc-pVTZ: -0.7355); at 20, 32, 45 and 60 hartree ours
    # is -0.668, -0.707, -0.724 and -0.732
    r = dftopt.minimize(model, dftopt.PlaneWaves(model, ecut=60.0, coulomb="0d"), tol=1e-9, progress=False)
    np.testing.assert_allclose(r.dipole(), [0, 0, -0.7347], atol=0.01)
    r = dftopt.minimize(model, dftopt.PlaneWaves(model, ecut=20.0, coulomb="0d"), tol=1e-9, progress=False)
    # energies without copies do not depend on the box; it may be oblique, and the molecule anywhere in it
    moved = atoms.copy()
    moved.set_cell([[10, 0, 0], [2, 11, 0], [0, -3, 12]])
    moved.positions += 6.0
    moved.wrap(pbc=True)
    model = dftopt.Model(moved, xc="LDA")
    other = dftopt.minimize(model, dftopt.PlaneWaves(model, ecut=20.0, coulomb="0d"), tol=1e-9, progress=False)
    np.testing.assert_allclose(other.dipole(), r.dipole(), atol=5e-3)
