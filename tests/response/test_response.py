"""Linear response of a result: against central differences, against what symmetry demands, and against ABINIT."""

import json
from functools import lru_cache
from pathlib import Path

import jax
import numpy as np
import pytest
from ase.build import bulk
from ase.units import Bohr
from test_differentiable import insulator, metal

import dftopt
from dftopt.properties.linear_response.second import voigt_strains

REFERENCE = json.loads((Path(__file__).parents[1] / "references" / "si_dfpt.json").read_text())


def words(error) -> str:
    return " ".join(str(error.value).split())


@lru_cache
def of(system):
    f = system()
    options = {"temperature": 0.04, "nbands": 6} if system is metal else {}
    result = dftopt.minimize(f.model, f.basis, tol=1e-12, progress=False, **options)
    return dftopt.response(result)


def central(f, name, direction, h):
    at = lambda t: np.asarray(f({**f.parameters, **{k: f.parameters[k] + t * v for k, v in direction.items()}})[name])
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def test_force_constants_are_derivatives_of_forces():
    f, r = insulator(), of(insulator)
    d = np.random.default_rng(0).normal(size=(2, 3))
    pushed = -(r.force_constants(asr=False) @ d.ravel()).reshape(2, 3)
    numeric = central(f, "forces", {"positions": d}, 1e-3)
    assert np.abs(pushed - pushed.mean(axis=0) - numeric).max() < 1e-6 * np.abs(numeric).max()
    assert np.abs(r.force_constants(asr=True).reshape(6, 2, 3).sum(axis=1)).max() < 1e-12
    assert max(s.residual for s in r.solves) < 1e-11


@pytest.mark.slow
def test_the_hessian_of_the_energy_is_the_matrix_of_force_constants():
    f = insulator()
    energy = lambda x: f({**f.parameters, "positions": x})["energy"]
    hessian = jax.hessian(energy)(f.parameters["positions"]).reshape(6, 6)
    assert np.abs(hessian - of(insulator).force_constants()).max() < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("system", [insulator, metal])
def test_clamped_elastic_constants_are_derivatives_of_the_stress(system):
    f, r = system(), of(system)
    eta = np.random.default_rng(1).normal(size=6) * 0.3
    strain = np.einsum("a,aij->ij", eta, voigt_strains())
    stress = r.result.stress()
    # d/de of (1/V) dA/de (1 + e)^T: the stress is that of the deformed cell
    numeric = central(f, "stress", {"strain": strain}, 5e-4)
    numeric = numeric + stress * np.trace(strain)
    numeric = numeric - 0.5 * (stress @ strain + strain @ stress)
    voigt = np.array([np.sum(numeric * s) for s in voigt_strains()])
    found = r.elastic(relaxed=False, convention="energy") @ eta
    assert np.abs(found - voigt).max() < 1e-6 * np.abs(voigt).max()


@pytest.mark.slow
def test_the_response_of_a_cubic_crystal_is_cubic():
    model = dftopt.Model(bulk("Si", a=5.43), xc="LDA")
    result = dftopt.minimize(model, dftopt.PlaneWaves(model, ecut=3.0, kpts=(2, 2, 2)), tol=1e-10, progress=False)
    r = dftopt.response(result)
    modes = r.phonons()
    assert np.abs(modes[:3]).max() < 1e-2
    assert np.ptp(modes[3:]) < 1e-4
    c = r.elastic()
    cubic = np.zeros((6, 6))
    cubic[:3, :3] = c[0, 1]
    cubic[np.arange(6), np.arange(6)] = np.repeat([c[0, 0], c[3, 3]], 3)
    assert np.abs(c - cubic).max() < 1e-9
    assert r.elastic(relaxed=False)[3, 3] > c[3, 3]
    assert np.abs(r.dielectric() - r.dielectric()[0, 0] * np.eye(3)).max() < 1e-6
    charges = r.born_charges()
    assert np.abs(charges - charges[0, 0, 0] * np.eye(3)).max() < 1e-6
    assert np.abs(r.phonons_towards([1, 2, 3]) - modes).max() < 1e-2  # no polar modes in silicon


def test_what_does_not_exist_is_refused():
    with pytest.raises(dftopt.InputError) as error:
        of(metal).dielectric()  # the response itself is computed only where it is asked for
    assert "A metal screens" in words(error)
    f = insulator()
    short = dftopt.minimize(f.model, f.basis, maxiter=3, progress=False)
    with pytest.raises(dftopt.NotConverged):
        dftopt.response(short)
    with pytest.raises(dftopt.NotConverged) as stopped:
        dftopt.response(of(insulator).result, progress=lambda: True).phonons()
    assert "interrupted after 0 linear solves" in words(stopped) or "interrupted after" in words(stopped)


@pytest.mark.slow
def test_silicon_against_the_linear_response_of_abinit():
    atoms = bulk("Si", a=2 * 5.131551291421279 * Bohr)
    atoms.set_masses([REFERENCE["phonon_gamma"]["mass_u"]] * 2)
    model = dftopt.Model(atoms, xc="LDA")
    basis = dftopt.PlaneWaves(model, ecut=15.0, kpts=(4, 4, 4), fft=(27, 27, 27))
    r = dftopt.response(dftopt.minimize(model, basis, tol=1e-12, progress=False))
    assert r.phonons()[3:] == pytest.approx(np.full(3, REFERENCE["phonon_gamma"]["optical_cm1"]), abs=0.05)
    c, expected = r.elastic(relaxed=False), REFERENCE["elastic_rigid_ion_Ha_bohr3"]
    assert c[0, 0] == pytest.approx(expected["C11"], abs=1e-7)
    assert c[0, 1] == pytest.approx(expected["C12"], abs=1e-7)
    assert c[3, 3] == pytest.approx(expected["C44"], abs=1e-7)
    assert abs(r.internal_strain()[0, 0, 3]) == pytest.approx(REFERENCE["internal_strain_Ha_bohr"], abs=1e-5)
    assert r.dielectric()[0, 0] == pytest.approx(REFERENCE["dielectric_tensor_eps_inf"], abs=0.02)
    assert r.born_charges()[0, 0, 0] == pytest.approx(REFERENCE["Z_star_no_ASR"], abs=0.01)
