"""Potentials from files in the energy: against the same potentials in closed form, other codes, and differences."""

import json
from functools import lru_cache
from pathlib import Path

import jax
import numpy as np
import pytest
from potential_files import CORE, WIDTH, WRITERS, logarithmic_mesh, psp8, uniform_mesh, upf1, upf2
from systems import ECUT, low_symmetry_silicon

import dftopt
from dftopt.atoms import gth, potentials, tabulated
from dftopt.energy import local, nonlocal_
from dftopt.energy.coulomb import coulomb_kernel
from dftopt.energy.free_energy import energies
from dftopt.energy.prepared import prepare
from dftopt.energy.tabulated import interpolate
from dftopt.properties.derivatives import _orbitals, derivative

PBE, PADE = gth.load("Si", "GTH-PBE"), gth.load("Si", "GTH-PADE")
REFERENCES = json.loads((Path(__file__).parents[1] / "references/core_correction.json").read_text())["cases"]
TERMS = ("kinetic", "local", "nonlocal_", "hartree", "xc", "ewald", "total")


def potential(text: str):
    return potentials.from_bytes(text.encode(), "Si.upf")


@lru_cache
def model_of(text: str, symmetry: bool = True):
    model = dftopt.Model(low_symmetry_silicon()[0].atoms, pseudopotentials=potential(text))
    return model, dftopt.PlaneWaves(model, ecut=ECUT, kpts=(2, 1, 1), symmetry=symmetry)


@lru_cache
def result_of(text: str, symmetry: bool = True, tol: float = 1e-13):
    return dftopt.minimize(*model_of(text, symmetry), tol=tol, maxiter=1000, progress=False)


@lru_cache
def closed_form():
    return dftopt.minimize(*low_symmetry_silicon(), tol=1e-13, progress=False)


@pytest.mark.parametrize("name", WRITERS)
def test_tables_are_the_closed_form(name):
    element = gth.load("Mo", "GTH-PBE-q14")  # s, p and d, two projectors each
    p = potential(WRITERS[name][0](element))
    q = np.random.default_rng(0).uniform(-6, 6, (3, 200, 3)) * np.array([1e-3, 0.5, 1.0])[:, None, None]
    G2 = np.sum(q**2, axis=-1)
    a, b = p.parameters(), element.parameters()
    kernel = coulomb_kernel(G2)
    v = local.form_factor(G2, b, kernel)
    assert np.all(np.abs(local.form_factor(G2, a, kernel) - v) < 1e-9 + 1e-13 * np.abs(v))
    assert abs(local.alpha(a) - local.alpha(b)) < 1e-9
    v = [
        np.einsum("pkg,pq,qkh->kgh", x.conj(), nonlocal_.species_coupling(e.layout, y), x)
        for e, y in ((p, a), (element, b))
        for x in [nonlocal_.species_projectors(e.layout, y, q)]
    ]
    assert np.abs(v[0] - v[1]).max() < 1e-9 * np.abs(v[1]).max()


@pytest.mark.parametrize(
    ("write", "mesh", "limit"),
    [
        (upf2, uniform_mesh(), 1e-12),
        (upf2, logarithmic_mesh(dx=0.025), 1e-10),
        (upf1, logarithmic_mesh(), 1e-10),
        (psp8, uniform_mesh(6.0, 0.02), 1e-12),
    ],
)
def test_energies_of_the_same_orbitals_are_those_of_the_closed_form(write, mesh, limit):
    exact = closed_form()
    psi, f, _ = _orbitals(exact)
    ours = energies(psi, f, prepare(*model_of(write(PBE, mesh))))
    for term in TERMS:
        assert abs(getattr(ours, term) - getattr(exact.energies, term)) < limit, term


def test_minimum_forces_and_stress_are_those_of_the_closed_form():
    ours, exact = result_of(upf2(PBE)), closed_form()
    assert ours.converged and ours.model.functional.name == "PBE"
    assert abs(ours.energies.total - exact.energies.total) < 1e-11
    assert np.abs(ours.eigenvalues - exact.eigenvalues).max() < 1e-7  # first order in the distance to the minimum
    assert np.abs(ours.forces() - exact.forces()).max() < 1e-7
    assert np.abs(ours.stress() - exact.stress()).max() < 1e-9


def files():
    return {
        "UPF 2, LDA": upf2(PADE, None, True, functional="SLA  PW   NOGX NOGC"),
        "psp8, PBE": psp8(PBE, None, True, pspxc=-101130),
    }


@lru_cache
def core_corrected(name: str = "psp8, PBE"):
    return result_of(files()[name], symmetry=False, tol=1e-16)


@pytest.mark.parametrize("name", REFERENCES)
def test_core_correction_agrees_with_other_codes(name):
    """Energies, forces and stress of files with core densities."""
    r, reference = core_corrected(name), REFERENCES[name]
    assert r.converged
    for term, value in reference["energies"].items():
        limit = 5e-8 if term == "total" else 2e-7  # the others are first order in the other code's own error
        assert abs(getattr(r.energies, term) - value) < limit, term
    assert np.abs(r.forces() - reference["forces"]).max() < 1e-7
    assert np.abs(r.stress() - reference["stress"]).max() < 2e-9


def test_core_density_is_the_closed_form_on_the_grid():
    model, basis = model_of(files()["psp8, PBE"])
    core_G = np.asarray(prepare(model, basis).core)
    electrons = 2 * CORE * np.pi**1.5 * WIDTH**3
    assert core_G[0, 0, 0].real * model.structure.volume == pytest.approx(electrons, rel=1e-9)
    p = model.potentials["Si"].parameters()
    q2 = np.linspace(0, 49, 50)
    assert np.allclose(interpolate(p["core"], q2), electrons / 2 * np.exp(-q2 * WIDTH**2 / 4), rtol=0, atol=1e-10)
    outside = np.ones(core_G.shape, bool)
    G = basis.density_sphere[basis.density_sphere[:, 2] >= 0]
    outside[G[:, 0], G[:, 1], G[:, 2]] = False
    assert np.all(core_G[outside] == 0)


def test_spin_without_moments_changes_nothing():
    text = files()["psp8, PBE"]
    model = dftopt.Model(low_symmetry_silicon()[0].atoms, pseudopotentials=potential(text), spinpol=True)
    basis = dftopt.PlaneWaves(model, ecut=ECUT, kpts=(2, 1, 1), symmetry=False)
    exact = core_corrected()
    psi, f, _ = _orbitals(exact)
    both = energies(np.concatenate([psi, psi]), np.concatenate([f, f]), prepare(model, basis))
    for term in TERMS:
        assert getattr(both, term) == pytest.approx(getattr(exact.energies, term), abs=1e-11), term


# ------------------------------------------------------------------------------------------------- derivatives


def differences(change, h):
    """Fourth-order central difference of the minimum along a change of the inputs."""
    r = core_corrected()

    def at(t):
        inputs = jax.tree.map(np.array, r.model.inputs())
        change(inputs, t)
        return dftopt.minimize(
            r.model, r.basis, tol=1e-15, maxiter=500, inputs=inputs, start=r, progress=False
        ).energies.free

    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


@lru_cache
def gradient():
    return jax.tree.map(np.asarray, derivative(core_corrected(), ("positions", "strain", "pseudopotentials")))


@pytest.mark.parametrize("axis", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_forces_with_core_correction(axis):
    def change(inputs, t):
        inputs["positions"][0, axis] += t

    exact = gradient()["positions"]
    assert abs(exact[0, axis] - differences(change, 2e-3)) < 1e-6 * np.abs(exact).max()


@pytest.mark.parametrize(
    "where", [(0, 1), *(pytest.param(x, marks=pytest.mark.slow) for x in [(0, 0), (1, 1), (2, 2), (0, 2), (1, 2)])]
)
def test_stress_with_core_correction(where):
    def change(inputs, t):
        inputs["strain"][where] += t

    exact = gradient()["strain"]
    assert abs(exact[where] - differences(change, 5e-4)) < 1e-6 * np.abs(exact).max()


@pytest.mark.parametrize("name", ["core", pytest.param("local", marks=pytest.mark.slow)])
def test_tables_are_inputs_that_can_be_differentiated(name):
    table = core_corrected().model.inputs()["pseudopotentials"]["Si"][name]

    def change(inputs, t):
        inputs["pseudopotentials"]["Si"][name] = table * (1 + t)

    exact = np.vdot(gradient()["pseudopotentials"]["Si"][name], table)
    assert exact == pytest.approx(differences(change, 2e-3), rel=1e-6)


# ------------------------------------------------------------------------------------------------- reach


def test_cutoffs_beyond_the_tables_are_refused():
    model, _ = model_of(files()["psp8, PBE"])
    with pytest.raises(dftopt.InputError, match="more than the 328 hartree"):
        dftopt.PlaneWaves(model, ecut=400.0)
    largest = 2 * np.sqrt(2 * 327) * tabulated.STRAINED
    assert largest <= 64.0
