"""Collinear spin: limits that must hold, and magnetic minima of atoms in a small box."""

from dataclasses import replace
from functools import lru_cache

import jax
import numpy as np
import pytest
from ase import Atoms
from systems import METAL, aluminium, aluminium_result, silicon, silicon_result

import dftopt
from dftopt.energy.free_energy import energies
from dftopt.energy.prepared import key_of, prepare, prepare_arrays, static_arrays
from dftopt.errors import InputError
from dftopt.minimization.moments import aufbau, filled_bands, patterns, starting_moments
from dftopt.properties.derivatives import _orbitals, derivative

QUIET = {"progress": False}


def box(symbols: str, moments=None, xc="LDA", **options):
    """One atom in a box of 3.5 angstrom, or two far apart in a longer one: one shape each."""
    n = len(Atoms(symbols))
    atoms = Atoms(symbols, positions=[[0, 0, 0], [0.4, 0.2, 3.1]][:n], cell=[3.5, 3.5, 3 * n + 0.5], pbc=True)
    if moments is not None:
        atoms.set_initial_magnetic_moments(moments)
    model = dftopt.Model(atoms, xc=xc, spinpol=True)
    return model, dftopt.PlaneWaves(model, ecut=6.0, symmetry=False, **options)


@lru_cache
def hydrogen():
    return dftopt.minimize(*box("H"), tol=1e-11, **QUIET)


def spin_polarized(model, basis, moments):
    atoms = model.atoms.copy()
    atoms.set_initial_magnetic_moments(moments)
    polarized = dftopt.Model(atoms, xc=model.xc, spinpol=True)
    return polarized, dftopt.PlaneWaves(polarized, ecut=basis.ecut, kpts=basis.kpoints.size)


@pytest.mark.slow
def test_silicon_loses_its_moment():
    result = dftopt.minimize(*spin_polarized(*silicon(), [0, 0]), tol=1e-12, **QUIET)
    plain = silicon_result()
    assert result.magnetization == 0 and result.absolute_magnetization < 1e-5
    for name in ("kinetic", "local", "nonlocal_", "hartree", "xc", "free"):
        assert float(getattr(result.energies, name)) == pytest.approx(float(getattr(plain.energies, name)), abs=2e-6)
    assert float(result.energies.free) == pytest.approx(float(plain.energies.free), abs=1e-10)
    np.testing.assert_allclose(result.eigenvalues[:, :, :4], np.repeat(plain.eigenvalues[:, :, :4], 2, 0), atol=1e-6)
    assert result.gap.indirect == pytest.approx(plain.gap.indirect, abs=1e-6)


@pytest.mark.slow
def test_aluminium_loses_its_moment():
    result = dftopt.minimize(*spin_polarized(*aluminium(), [0.5]), **QUIET, **METAL)
    plain = aluminium_result()
    assert result.converged and abs(result.magnetization) < 1e-5
    assert float(result.energies.free) == pytest.approx(float(plain.energies.free), abs=1e-10)
    assert float(result.energies.entropy) == pytest.approx(float(plain.energies.entropy), abs=1e-7)
    assert result.fermi_level == pytest.approx(plain.fermi_level, abs=1e-6)
    np.testing.assert_allclose(result.stress(), plain.stress(), atol=1e-8)


@pytest.mark.slow
def test_fixed_magnetization_of_a_metal():
    model, basis = spin_polarized(*aluminium(), [0.5])
    at = lambda m: dftopt.minimize(model, basis, magnetization=m, **QUIET, **METAL)
    low, mid, high = at(0.38), at(0.4), at(0.42)
    assert mid.magnetization == pytest.approx(0.4, abs=1e-10)
    up, down = mid.fermi_levels
    slope = (float(high.energies.free) - float(low.energies.free)) / 0.04  # dA/dM = (mu_up - mu_down) / 2
    assert slope == pytest.approx((up - down) / 2, rel=2e-4)
    assert float(mid.energies.free) > float(aluminium_result().energies.free)


def test_equal_channels_are_no_spin():
    """The same orbitals in both channels: each energy, and the potentials through its gradient in the orbitals."""
    plain = silicon_result()
    model, basis = spin_polarized(*silicon(), [0, 0])
    psi, f, prepared = _orbitals(plain)
    value = jax.jit(lambda psi, f, prepared: energies(psi, f, prepared))
    one, two = value(psi, f, prepared), value(np.concatenate([psi] * 2), np.concatenate([f] * 2), prepare(model, basis))
    for name in ("kinetic", "local", "nonlocal_", "hartree", "xc", "total"):
        assert float(getattr(two, name)) == pytest.approx(float(getattr(one, name)), abs=1e-12)


def test_hydrogen_has_one_electron():
    result = hydrogen()
    assert result.converged and result.magnetization == 1 and result.options.filled == (1, 0)
    assert np.all(result.occupations[1] == 0) and result.occupations[0].sum() == 1
    rho = result.density()
    assert rho[0].mean() * result.model.structure.volume == pytest.approx(1, abs=1e-12)
    assert np.abs(rho[1]).max() < 1e-15
    assert result.absolute_magnetization == pytest.approx(1, abs=1e-12)
    assert result.fermi_level == pytest.approx(
        0.5 * (result.eigenvalues[0, 0, 0] + result.eigenvalues[1, 0, 0]), abs=1e-9
    )


@pytest.mark.parametrize("orthonormalization", ["qr", pytest.param("loewdin", marks=pytest.mark.slow)])
def test_channels_of_different_size_in_all_orthonormalizations(orthonormalization):
    result = dftopt.minimize(*box("H"), tol=1e-11, orthonormalization=orthonormalization, **QUIET)
    assert float(result.energies.free) == pytest.approx(float(hydrogen().energies.free), abs=1e-9)


def test_free_energy_is_stationary_where_channels_differ():
    result = hydrogen()
    parameters = dftopt.free_energy_parameters(result)
    value, gradient = jax.value_and_grad(lambda p: dftopt.free_energy(p, result.model, result.basis))(parameters)
    assert float(value) == pytest.approx(float(result.energies.free), abs=1e-12)
    assert max(float(np.abs(g).max()) for g in jax.tree.leaves(gradient)) < 1e-4


@pytest.mark.slow
def test_low_temperature_limit():
    cold = dftopt.minimize(*box("H", [1]), temperature=0.002, tol=1e-11, **QUIET)
    assert float(cold.energies.free) == pytest.approx(float(hydrogen().energies.free), abs=1e-9)
    assert cold.magnetization == pytest.approx(1, abs=1e-9)


def test_helium_triplet_falls_to_the_singlet():
    result = dftopt.minimize(*box("He", [2]), **QUIET)
    assert result.options.filled == (1, 1) and result.magnetization == 0 and result.converged
    fixed = dftopt.minimize(*box("He", [2]), magnetization=2, **QUIET)
    assert fixed.magnetization == 2 and float(fixed.energies.free) > float(result.energies.free) + 0.3


@lru_cache
def stretched(xc, moments=(1.0, -1.0)):
    model, basis = box("HH", list(moments), xc)
    return dftopt.minimize(model, basis, temperature=0.005, tol=1e-14, **QUIET)


def test_spin_up_and_down_are_equivalent():
    one, other = stretched("PBE"), stretched("PBE", (-1.0, 1.0))
    assert one.absolute_magnetization > 1.5 and abs(one.magnetization) < 1e-6  # a broken-symmetry minimum
    assert float(one.energies.free) == pytest.approx(float(other.energies.free), abs=1e-9)
    np.testing.assert_allclose(one.density(), other.density()[::-1], atol=1e-5)


@pytest.mark.parametrize("xc", ["PBE", *(pytest.param(x, marks=pytest.mark.slow) for x in ("LDA", "SCAN"))])
def test_forces_and_stress_of_a_broken_symmetry_minimum(xc):
    result = stretched(xc)
    model, basis = result.model, result.basis
    run = lambda inputs: float(
        dftopt.minimize(model, basis, temperature=0.005, tol=1e-14, start=result, inputs=inputs, **QUIET).energies.free
    )
    step = 1e-3

    def slope(name, direction):
        moved = [model.inputs() for _ in range(2)]
        for inputs, sign in zip(moved, (1, -1), strict=True):
            inputs[name] = inputs[name] + sign * step * direction
        half = [model.inputs() for _ in range(2)]
        for inputs, sign in zip(half, (1, -1), strict=True):
            inputs[name] = inputs[name] + sign * step / 2 * direction
        coarse, fine = (run(moved[0]) - run(moved[1])) / (2 * step), (run(half[0]) - run(half[1])) / step
        return (4 * fine - coarse) / 3

    along = np.zeros((2, 3))
    along[1] = [0.9, 0.3, -0.2]
    gradient = derivative(result, ("positions", "strain"))
    expected = float(np.sum(np.asarray(gradient["positions"]) * along))
    assert slope("positions", along) == pytest.approx(expected, rel=1e-6, abs=1e-8)
    strain = np.array([[0.3, 0.2, 0.0], [0.2, -0.1, 0.1], [0.0, 0.1, 0.5]])
    expected = float(np.sum(np.asarray(gradient["strain"]) * strain))
    assert slope("strain", strain) == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_slope_of_a_meta_gga_with_spin():
    """Forces are partial derivatives: at any orbitals, not only at the minimum, whose difference is the slow test above."""
    psi, f, _ = _orbitals(stretched("PBE"))
    model, basis = box("HH", [1.0, -1.0], "SCAN")
    key, arrays = key_of(model, basis), static_arrays(basis)
    along = {"positions": np.array([[0.0, 0.0, 0.0], [0.9, 0.3, -0.2]]), "strain": np.diag([0.3, -0.1, 0.5])}

    @jax.jit
    def total(t):
        inputs = model.inputs() | {name: model.inputs()[name] + t * d for name, d in along.items()}
        return energies(psi, f, prepare_arrays(inputs, arrays, key)).total

    h = 1e-3
    near, far = ((total(x) - total(-x)) / (2 * x) for x in (h, 2 * h))
    assert float(jax.jit(jax.grad(total))(0.0)) == pytest.approx(float(4 * near - far) / 3, rel=1e-7)


def test_slope_in_a_fixed_magnetization():
    """dA/dM = (mu_up - mu_down) / 2."""
    at = lambda m: dftopt.minimize(*box("HH", [1.0, 1.0], "PBE"), temperature=0.02, magnetization=m, tol=1e-11, **QUIET)
    low, mid, high = at(0.98), at(1.0), at(1.02)
    up, down = mid.fermi_levels
    slope = (float(high.energies.free) - float(low.energies.free)) / 0.04
    assert mid.magnetization == pytest.approx(1.0, abs=1e-10) and slope == pytest.approx((up - down) / 2, rel=1e-3)


def test_a_broken_symmetry_minimum_is_stable():
    found = dftopt.stability(stretched("PBE"))
    assert found.stable and found.curvature > -1e-6


def test_starts_keep_the_lowest():
    model, basis = box("HH", [1.0, 1.0], "PBE")
    result = dftopt.minimize(model, basis, temperature=0.005, starts=3, seed=1, **QUIET)
    assert float(result.energies.free) == pytest.approx(float(stretched("PBE").energies.free), abs=1e-7)
    assert result.starts[0].free > float(result.energies.free) + 5e-3 and result.starts[
        0
    ].magnetization == pytest.approx(2)
    assert len(result.starts) == 3
    assert min(s.free for s in result.starts) == pytest.approx(float(result.energies.free), abs=1e-12)
    assert result.starts[0].moments == (1.0, 1.0) and any(s.moments[0] * s.moments[1] < 0 for s in result.starts)


@pytest.mark.slow
def test_a_saddle_point_without_moments_leads_on():
    lowest = stretched("PBE")
    plain_model = dftopt.Model(lowest.model.atoms, xc="PBE")
    plain_basis = dftopt.PlaneWaves(plain_model, ecut=6.0, symmetry=False)
    options = {"temperature": 0.005, "tol": 1e-10, **QUIET}
    plain = dftopt.minimize(plain_model, plain_basis, **options)
    both = {name: np.repeat(np.asarray(plain.point[name]), 2, axis=0) for name in ("psi", "occ")}
    symmetric = replace(lowest, point=both, energies=plain.energies)
    found = dftopt.stability(symmetric)
    assert found.curvature < -1e-3 and not found.stable
    lower = dftopt.minimize(lowest.model, lowest.basis, start=found.restart, **options)
    assert float(lower.energies.free) == pytest.approx(float(lowest.energies.free), abs=1e-8)
    assert float(lower.energies.free) < float(plain.energies.free) - 1e-3
    assert dftopt.stability(lowest).stable


def test_patterns_respect_the_symmetry_of_the_k_points():
    atoms = silicon()[0].atoms.copy()
    atoms.set_initial_magnetic_moments([1, 1])
    model = dftopt.Model(atoms, xc="LDA", spinpol=True)
    joined = patterns(model, dftopt.PlaneWaves(model, ecut=4.0), 4, 0)
    assert len(joined) == 4 and all(m[0] == m[1] for m in joined)
    free = patterns(model, dftopt.PlaneWaves(model, ecut=4.0, symmetry=False), 3, 0)
    assert any(m[0] == -m[1] for m in free)
    with_sublattices = atoms.copy()
    with_sublattices.set_initial_magnetic_moments([1, -1])
    magnetic = dftopt.Model(with_sublattices, xc="LDA", spinpol=True)
    assert len(dftopt.PlaneWaves(magnetic, ecut=4.0).crystal_symmetry) < len(
        dftopt.PlaneWaves(model, ecut=4.0).crystal_symmetry
    )


def test_starting_moments_of_free_atoms():
    model = dftopt.Model(Atoms("OAl", positions=[[0, 0, 0], [0, 0, 2]], cell=[5] * 3, pbc=True), spinpol=True)
    np.testing.assert_array_equal(starting_moments(model), [2, 1])
    assert filled_bands(model, 0.0, None) == (6, 3)
    assert filled_bands(model, 0.01, 1.0) == (5, 4)


def test_aufbau():
    e = np.array([[[0.0, 1.0, 2.0]], [[0.5, 1.5, 2.5]]])
    assert aufbau(e, np.ones(1), 4) == (2, 2) and aufbau(e, np.ones(1), 3) == (2, 1)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"magnetization": 0.0}, "whole number is needed"),
        ({"magnetization": 9.0}, "more than the 1 electrons"),
        ({"magnetization": float("nan")}, "finite"),
        ({"starts": 0}, "at least 1"),
        ({"temperature": 0.01, "parametrization": "row-norm", "magnetization": 1.0}, "cannot hold a magnetization"),
    ],
)
def test_wrong_options(options, words):
    with pytest.raises(InputError, match=words):
        dftopt.minimize(*box("H"), **options)


def test_options_that_need_spin():
    model, basis = silicon()
    for options in ({"magnetization": 0.0}, {"starts": 2}):
        with pytest.raises(InputError, match="spinpol=True"):
            dftopt.minimize(model, basis, **options)
    odd = dftopt.Model(box("H")[0].atoms, xc="LDA")
    with pytest.raises(InputError, match="odd number.*spinpol=True"):
        dftopt.minimize(odd, dftopt.PlaneWaves(odd, ecut=6.0))


def test_moments_beyond_the_electrons():
    atoms = box("H")[0].atoms.copy()
    atoms.set_initial_magnetic_moments([3])
    with pytest.raises(InputError, match="3 bohr magnetons"):
        dftopt.Model(atoms, spinpol=True)


def test_results_of_spin_are_saved(tmp_path):
    result = replace(hydrogen(), starts=())
    result.save(tmp_path / "h.h5")
    again = dftopt.load(tmp_path / "h.h5")
    assert again.magnetization == 1 and again.options.filled == (1, 0) and again.model.nspin == 2
    np.testing.assert_allclose(again.forces(), result.forces(), atol=1e-12)
    bands = dftopt.bands(again, path="GX", npoints=4, nbands=2)
    assert bands.energies.shape == (2, 4, 2) and np.all(bands.energies[0, :, 0] < bands.energies[1, :, 0])
