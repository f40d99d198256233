import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import fcc100
from ase.io.cube import read_cube
from ase.io.xsf import read_xsf
from slabs import slab
from systems import aluminium_result, silicon, silicon_result

import dftopt
from dftopt.energy.prepared import prepare
from dftopt.errors import DFTOptWarning, InputError, NotConverged
from dftopt.properties import planar, volumetric
from dftopt.properties.volumetric_files import write_field
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV

PWSCF = json.loads((Path(__file__).parents[1] / "references/pwscf_slab.json").read_text())


def test_densities_count_electrons():
    r = silicon_result()
    cell = r.model.structure.volume
    total = volumetric.density(r)
    assert total.shape == r.basis.fft
    assert total.mean() * cell == pytest.approx(8, abs=1e-8)
    np.testing.assert_allclose(volumetric.density(r, "up") + volumetric.density(r, "down"), total)
    np.testing.assert_array_equal(volumetric.density(r, "spin"), 0)


def test_orbitals_are_orthonormal_and_make_the_density():
    r = silicon_result()
    psi = [volumetric.orbital(r, band) for band in range(4)]
    overlaps = np.array([[np.vdot(a, b) for b in psi] for a in psi]) * r.model.structure.volume / psi[0].size
    np.testing.assert_allclose(overlaps, np.eye(4), atol=1e-10)
    every = lambda k: sum(np.abs(volumetric.orbital(r, band, k)) ** 2 for band in range(4))
    summed = sum(2 * w * every(k) for k, w in enumerate(r.weights))
    np.testing.assert_allclose(summed.mean(), volumetric.density(r).mean(), rtol=1e-10)


def test_the_phase_of_an_orbital():
    r = silicon_result()
    lowest = volumetric.orbital(r, 0)  # Gamma, not degenerate
    assert np.abs(lowest.imag).max() < 1e-8 < lowest.real.max()
    step = np.roll(volumetric.orbital(r, 0, 1).reshape(-1), 1)
    assert abs(np.sum(step**2).imag) < 1e-8


def test_orbital_has_its_bloch_phase():
    r = silicon_result()
    k = np.flatnonzero(np.abs(r.kpoints).sum(axis=1) > 0)[0]
    psi = volumetric.orbital(r, 0, int(k))
    c = np.fft.fftn(
        psi
        * np.exp(
            -2j
            * np.pi
            * np.einsum("a,axyz->xyz", r.kpoints[k], np.indices(psi.shape) / np.reshape(psi.shape, (3, 1, 1, 1)))
        )
    )
    energy = 0.0
    G = np.stack(np.meshgrid(*[np.fft.fftfreq(n, 1 / n) for n in psi.shape], indexing="ij"), axis=-1)
    q2 = np.sum(((G + r.kpoints[k]) @ (2 * np.pi * np.linalg.inv(r.model.structure.cell).T)) ** 2, axis=-1)
    energy = np.sum(np.abs(c) ** 2 * q2 / 2) / np.sum(np.abs(c) ** 2)
    inside = np.abs(c[q2 / 2 > r.basis.ecut * (1 + 1e-9)])
    assert inside.max() < 1e-10 * np.abs(c).max() and 0 < energy < r.basis.ecut


def test_potentials_add_up_and_give_the_levels():
    r = aluminium_result()
    parts = [volumetric.potential(r, which) for which in ("local", "hartree")]
    electrostatic, ks = volumetric.potential(r, "electrostatic"), volumetric.potential(r)
    np.testing.assert_allclose(sum(parts), electrostatic, atol=1e-12)
    np.testing.assert_allclose(electrostatic + volumetric.potential(r, "xc")[0], ks[0], atol=1e-12)
    assert abs(electrostatic.mean()) < 1e-12
    rho = volumetric.density(r)
    per_point = r.model.structure.volume / rho.size
    assert 0.5 * np.sum(parts[1] * rho) * per_point == pytest.approx(r.energies.hartree, abs=1e-8)
    alpha = float(prepare(r.model, r.basis).alpha_z)
    assert np.sum(parts[0] * rho) * per_point + alpha == pytest.approx(r.energies.local, abs=1e-7)


def test_xc_potential_of_lda_is_a_function_of_the_density():
    r = aluminium_result()
    from pyscf.dft.libxc import eval_xc

    rho = volumetric.density(r)
    expected = volumetric._in_sphere(eval_xc("lda,pw", rho.reshape(-1))[1][0].reshape(rho.shape), r)
    np.testing.assert_allclose(volumetric.potential(r, "xc")[0], expected, atol=1e-7)


@pytest.mark.parametrize("suffix", ["cube", "xsf"])
def test_files_read_back(tmp_path, suffix):
    r = slab()  # three different axes
    rho = volumetric.density(r)
    path = write_field(tmp_path / f"density.{suffix}", r.model.atoms, rho, "density, electrons / bohr^3")
    with path.open() as file:
        if suffix == "cube":
            assert file.readline().startswith("density, electrons / bohr^3, dftopt ")
            file.seek(0)
            found = read_cube(file)
            data, atoms = found["data"], found["atoms"]
            bohr3 = abs(np.linalg.det(found["spacing"])) / BOHR_IN_ANGSTROM**3
            assert data.sum() * bohr3 == pytest.approx(6, abs=2e-5)  # six digits of the voxel
        else:
            data, origin, span, atoms = read_xsf(file, read_data=True)
            np.testing.assert_array_equal(origin, 0)
            np.testing.assert_allclose(span, r.model.atoms.cell.array, atol=1e-9)
            np.testing.assert_array_equal(data[-1], data[0])
            np.testing.assert_array_equal(data[:, :, -1], data[:, :, 0])
            data = data[:-1, :-1, :-1]
            assert data.mean() * r.model.structure.volume == pytest.approx(6, abs=1e-6)
    np.testing.assert_allclose(data, rho, rtol=2e-6)
    np.testing.assert_array_equal(atoms.numbers, r.model.atoms.numbers)
    np.testing.assert_allclose(atoms.cell.array, r.model.atoms.cell.array, atol=3e-5)
    np.testing.assert_allclose(atoms.positions, r.model.atoms.positions, atol=1e-6)


def test_density_and_potential_are_those_of_pwscf():
    r = slab()
    assert r.energies.free == pytest.approx(PWSCF["free_energy_hartree"], abs=2e-8)
    rho = volumetric.density(r)
    np.testing.assert_allclose(rho.mean(axis=(0, 1)), PWSCF["density_per_bohr3"], atol=1e-6)
    np.testing.assert_allclose(rho[3, 5], PWSCF["density_per_bohr3_column_3_5"], atol=2e-6)
    v = planar.planar_average(r)
    assert v.axis == 2
    difference = v.values - PWSCF["electrostatic_hartree"]
    print(np.ptp(difference))
    np.testing.assert_allclose(difference, difference.mean(), atol=6e-6)  # the zero of energy is another
    column = volumetric.potential(r, "electrostatic")[3, 5] - PWSCF["electrostatic_hartree_column_3_5"]
    np.testing.assert_allclose(column, difference.mean(), atol=2e-5)
    assert r.fermi_level - difference.mean() == pytest.approx(PWSCF["fermi_eV"] / HARTREE_IN_EV, abs=6e-6)


def test_work_function():
    r = slab()
    w = planar.work_function(r)
    v = np.array(PWSCF["electrostatic_hartree"])
    assert w.flat and w.valence_top is None
    assert w.above.work_function == pytest.approx(w.below.work_function, abs=1e-8)
    average = planar.planar_average(r)
    theirs = planar.PlanarAverage(average.z, v, average.height, 2)
    side = planar._side(theirs, *w.above.region, PWSCF["fermi_eV"] / HARTREE_IN_EV)
    assert float(w) == pytest.approx(side.work_function, abs=6e-6)
    assert float(w) == pytest.approx(v[0] - PWSCF["fermi_eV"] / HARTREE_IN_EV, abs=0.02 / HARTREE_IN_EV)
    assert w.above.region[1] - w.above.region[0] == pytest.approx(w.below.region[1] - w.below.region[0])
    assert abs(w.above.slope) < 1e-3


def test_a_vacuum_that_is_not_flat_is_told(monkeypatch):
    monkeypatch.setattr(planar, "FROM", 0.3)
    with pytest.warns(DFTOptWarning, match="not flat in the vacuum"):
        assert not planar.work_function(slab()).flat


def test_bulk_has_no_work_function():
    with pytest.raises(InputError, match="vacuum along . is .* thick"):
        planar.work_function(silicon_result())


def test_macroscopic_average_is_the_convolution_with_a_box():
    z = np.arange(36) / 36 * 12.0
    wave = lambda m: np.cos(2 * np.pi * m * z / 12.0)
    average = planar.PlanarAverage(z, 0.3 + wave(1) + 2 * wave(4), 12.0, 2)
    np.testing.assert_allclose(average.macroscopic(3.0), 0.3 + np.sin(np.pi / 4) / (np.pi / 4) * wave(1), atol=1e-12)
    np.testing.assert_allclose(average.macroscopic(12.0), 0.3, atol=1e-12)
    twice = average.macroscopic(3.0, 6.0)
    np.testing.assert_allclose(twice, 0.3 + np.sin(np.pi / 4) / (np.pi / 4) * 2 / np.pi * wave(1), atol=1e-12)
    for window in (0.0, -1.0, np.nan):
        with pytest.raises(InputError, match="window"):
            average.macroscopic(window)


def test_planar_average_of_a_field_along_each_axis():
    r = slab()
    field = np.arange(12.0)[:, None, None] + 100 * np.arange(12)[:, None] + 1000 * np.arange(45)
    for axis in range(3):
        average = planar.planar_average(r, field, axis)
        n = field.shape[axis]
        np.testing.assert_allclose(np.diff(average.values), [1, 100, 1000][axis])
        assert len(average.z) == n and average.height == pytest.approx(
            r.model.atoms.cell.lengths()[axis] / BOHR_IN_ANGSTROM
        )


def test_wrong_requests_are_named(tmp_path):
    r = silicon_result()
    atoms = r.model.atoms
    calls = [
        (lambda: volumetric.density(r, "charge"), "density 'charge'"),
        (lambda: volumetric.potential(r, "ks"), "potential 'ks'"),
        (lambda: volumetric.orbital(r, 99), "band = 99"),
        (lambda: volumetric.orbital(r, 0, -1), "k = -1"),
        (lambda: volumetric.orbital(r, 0, 0, 1), "spin = 1"),
        (lambda: volumetric.orbital(r, 0.5), "band = 0.5"),
        (lambda: write_field(tmp_path / "x.vtk", atoms, np.zeros((2, 2, 2))), "cube or .xsf"),
        (lambda: write_field(tmp_path / "x.cube", atoms, np.zeros((2, 2, 2), complex)), "real numbers"),
        (lambda: write_field(tmp_path / "x.cube", atoms, np.zeros((1, 2, 2, 2))), "shape"),
        (lambda: planar.planar_average(r, None, 3), "axis = 3"),
        (lambda: planar.planar_average(r, np.zeros((1, 2, 2, 2))), "one spin at a time"),
    ]
    for call, words in calls:
        with pytest.raises(InputError, match=words):
            call()
    unfinished = dftopt.minimize(*silicon(), tol=1e-12, maxiter=1, progress=False)
    for call in (volumetric.density, volumetric.potential, lambda x: volumetric.orbital(x, 0)):
        with pytest.raises(NotConverged):
            call(unfinished)


def test_a_straight_line_is_no_wave():
    z = np.arange(40) / 40 * 20.0
    bare = planar.PlanarAverage(z, 0 * z, 20.0, 2, -0.01, 8.0)
    average = planar.PlanarAverage(z, np.cos(2 * np.pi * z / 20.0) + bare.line(z), 20.0, 2, -0.01, 8.0)
    at = np.array([0.3, 8.0, 17.9, 18.1])
    jumped = np.cos(2 * np.pi * at / 20.0) - 0.01 * (at - 8.0 - 20.0 * (at > 18))
    np.testing.assert_allclose(average.at(at), jumped, atol=1e-12)
    np.testing.assert_allclose(average.macroscopic(20.0), bare.line(z), atol=1e-12)


def polar_slab(**coulomb):
    """Sodium on one side of two layers of aluminium."""
    atoms = fcc100("Al", (1, 1, 2), a=4.05, vacuum=7.0)
    atoms.append("Na")
    atoms.positions[-1] = atoms.positions[1] + [0, 0, 2.9]
    atoms.center(vacuum=13.0, axis=2)
    atoms.pbc = True
    model = dftopt.Model(atoms, xc="LDA", pseudopotentials={"Al": "GTH-PADE-q3", "Na": "GTH-PADE-q1"})
    basis = dftopt.PlaneWaves(model, ecut=6.0, kpts=(2, 2, 1), **coulomb)
    return dftopt.minimize(model, basis, temperature=0.01, nbands=10, tol=1e-10, progress=False)


@pytest.mark.slow
def test_two_sides_of_a_polar_slab():
    """The vacuum levels differ by 4 pi p / A, and cutting the interaction gives the same as correcting the dipole."""
    corrected, cut = polar_slab(dipole_correction=True), polar_slab(coulomb="2d")
    w = planar.work_function(corrected)
    assert w.flat
    step = w.below.level - w.above.level
    area = np.linalg.norm(np.cross(*corrected.model.structure.cell[:2]))
    expected = 4 * np.pi * corrected.dipole()[2] / area
    print(step, expected, w)
    assert abs(step) > 0.01
    assert abs(step) == pytest.approx(abs(expected), abs=2e-4)
    other = planar.work_function(cut)
    print(other)
    assert other.above.work_function == pytest.approx(w.above.work_function, abs=1e-3)
    assert other.below.work_function == pytest.approx(w.below.work_function, abs=1e-3)
