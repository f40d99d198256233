"""Vibrations, infrared intensities and polarizability of molecules in Gaussians: against differences, and against PySCF."""

import json
from functools import lru_cache
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from pyscf import dft
from test_differentiable_molecule import hydroxyl, water
from test_response import words

import dftopt
from dftopt.properties.linear_response import vibrations

REFERENCE = json.loads((Path(__file__).parents[1] / "references" / "water_infrared.json").read_text())


@lru_cache
def hydronium():
    """A cation: its dipole moment depends on where it is counted from."""
    places = [[0, 0, 0.1], [0.9, 0, -0.2], [-0.45, 0.8, -0.2], [-0.45, -0.8, -0.25]]
    model = dftopt.Model(Atoms("OH3", places), xc="r2SCAN", charge=1)
    return dftopt.differentiable(model, dftopt.Gaussians(model, basis="sto-3g", grid=0, density_fit=False))


@lru_cache
def iodide():
    """With a core potential."""
    model = dftopt.Model(Atoms("IH", [[0, 0, 0], [0.1, 0, 1.6]]), xc="LDA")
    return dftopt.differentiable(model, dftopt.Gaussians(model, basis="def2-svp", grid=0, density_fit=False))


@lru_cache
def of(system):
    f = system()
    t = 0.03 if system is hydroxyl else 0.0
    return dftopt.response(dftopt.minimize(f.model, f.basis, temperature=t, tol=1e-12, progress=False))


SLOW = pytest.mark.slow


@pytest.mark.parametrize("system", [water, *(pytest.param(s, marks=SLOW) for s in (hydroxyl, hydronium, iodide))])
def test_force_constants_and_charges_are_derivatives_of_forces_and_dipole(system):
    f, r, h = system(), of(system), 2e-3
    x = f.parameters["positions"]
    d = np.random.default_rng(1).normal(size=x.shape)
    found = [f({**f.parameters, "positions": x + m * h * d}) for m in (1, -1, 2, -2)]
    numeric = {
        name: (8 * (found[0][name] - found[1][name]) - (found[2][name] - found[3][name])) / (12 * h)
        for name in ("forces", "dipole")
    }
    pushed = -(r.force_constants() @ d.ravel()).reshape(-1, 3)
    assert np.abs(pushed - numeric["forces"]).max() < 1e-6 * np.abs(numeric["forces"]).max()
    charges = f.basis.mol.atom_charges()
    net = charges.sum() - f.basis.n_electrons
    moved = np.einsum("iab,ia->b", r.born_charges(), d) - net * (charges / charges.sum()) @ d
    assert np.abs(moved - numeric["dipole"]).max() < 1e-6 * np.abs(numeric["dipole"]).max()
    assert np.abs(r.born_charges().sum(axis=0) - net * np.eye(3)).max() < 1e-8
    assert max(s.residual for s in r.solves) < 1e-11


def test_the_polarizability_is_that_of_finite_fields():
    r = of(water)
    mol, grid = r.result.basis.mol, r.result.basis.points

    def moment(field):
        mf = dft.RKS(mol, xc="PBE")
        mf.grids.coords, mf.grids.weights, mf.conv_tol, mf.conv_tol_grad = grid.coords, grid.weights, 1e-13, 1e-9
        core, places = mf.get_hcore(), mol.intor("int1e_r", comp=3)
        mf.get_hcore = lambda *_: core + np.einsum("x,xij->ij", field, places)
        mf.kernel()
        return mf.dip_moment(unit="AU", verbose=0)

    h, axis = 2e-3, np.array([0.6, 0.0, 0.8])
    m = [moment(n * h * axis) for n in (1, -1, 2, -2)]
    numeric = (8 * (m[0] - m[1]) - (m[2] - m[3])) / (12 * h)
    assert np.abs(r.polarizability() @ axis - numeric).max() < 1e-5 * np.abs(numeric).max()


def test_translations_and_rotations_are_no_vibrations():
    r = of(water)
    assert np.abs(r.phonons()[:6]).max() < 1e-3 and r.phonons()[6:].min() > 1000
    assert np.abs(r.infrared()[:6]).max() == 0 and r.infrared()[6:].min() > 0
    positions = np.array([[0.0, 0, -1], [0, 0, 0], [0, 0, 2]])
    flat = vibrations.modes(np.diag(np.arange(1.0, 10)), [1.0, 2.0, 3.0], vibrations.rigid_motions(positions))[0]
    assert (np.abs(flat) < 1e-3).sum() == 5  # a linear molecule has two rotations


@pytest.mark.slow
def test_infrared_intensities_of_water_are_those_of_pyscf():
    model = dftopt.Model(molecule("H2O"), xc="PBE")
    basis = dftopt.Gaussians(model, basis="def2-svp", grid=3, density_fit=False)
    r = dftopt.response(dftopt.minimize(model, basis, tol=1e-12, progress=False))
    expected = {key: np.array(value) for key, value in REFERENCE.items() if key != "source"}
    assert np.abs(r.force_constants() - expected["force_constants"]).max() < 1e-5
    assert np.abs(r.born_charges().reshape(9, 3) - expected["dipole_derivatives"]).max() < 1e-5
    assert r.phonons(asr=False)[6:] == pytest.approx(expected["frequencies"][6:], abs=0.1)
    assert r.infrared(asr=False)[6:] == pytest.approx(expected["infrared"][6:], rel=1e-4)
    assert np.abs(r.polarizability() - expected["polarizability"]).max() < 1e-4


def test_what_a_molecule_does_not_have_is_refused():
    r = of(water)
    for name in ("elastic", "dielectric", "deformation_potentials"):
        with pytest.raises(dftopt.InputError) as error:
            getattr(r, name)
        assert "a molecule in Gaussians has no cell" in words(error)
    with pytest.raises(AttributeError):
        _ = r.nonsense
    fitted = dftopt.Gaussians(r.result.model, basis="sto-3g", grid=0, density_fit=True)
    with pytest.raises(dftopt.InputError) as error:
        dftopt.response(dftopt.minimize(r.result.model, fitted, progress=False))
    assert "exact two-electron integrals" in words(error)
    assert jnp.isfinite(r.result.forces()).all()
