"""Interactions that are cut: kernels, Gaussian charges, ions, vacuum, molecules and slabs."""

from math import erf, pi, sqrt

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.units import Bohr
from scipy.integrate import quad
from scipy.special import erfc

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


def test_derivatives_are_finite_at_zero():
    normal = jnp.array([0.0, 0.0, 1.0])
    for G in ([0, 0, 0], [0, 0, 0.6], [0.5, 0, 0]):
        for f in (lambda g: sphere_kernel(jnp.sum(g**2), 4.0), lambda g: slab_kernel(g, normal, 4.0)):
            assert np.all(np.isfinite(jax.grad(f)(jnp.array(G, float))))


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
    energy = lambda f, cell: ewald(f, charges, cell, ewald_sums(s.cell, v), Coulomb(v.radius, "2d", 2))
    exact = parry(x, charges, PLANE, 0.4)
    assert exact == pytest.approx(parry(x, charges, PLANE, 0.6), rel=1e-13)
    assert float(energy(s.frac, s.cell)) == pytest.approx(exact, rel=1e-13)
    shifted = s.frac + [0.3, -1.2, 0.4]  # across the faces of the cell
    moved = from_ase(Atoms("H3", scaled_positions=shifted, cell=atoms.cell, pbc=True))
    w = find_vacuum(moved, "2d", pbc=(True, True, False), force=True)
    e = ewald(moved.frac, charges, s.cell, ewald_sums(s.cell, w), Coulomb(w.radius, "2d", 2))
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
