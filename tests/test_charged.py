"""Charged cells in a neutralizing background, and charged molecules alone in space."""

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.units import Bohr
from boxes import CHARGED, pair, potentials_of

import dftopt
from dftopt.energy.ewald import image_energy
from dftopt.errors import InputError
from dftopt.properties.derivatives import derivative

PWSCF = json.loads((Path(__file__).parent / "references/pwscf_boxes.json").read_text())
QUICK = ("pair+", "pair-")


@lru_cache
def charged(name, tol=1e-12):
    atoms, charge, ecut, kpts, temperature, bands, fft = CHARGED[name]
    atoms = atoms()
    model = dftopt.Model(atoms, xc="LDA", charge=charge, pseudopotentials=potentials_of(atoms))
    basis = dftopt.PlaneWaves(model, ecut=ecut, kpts=kpts, fft=fft, symmetry=False)
    return dftopt.minimize(model, basis, temperature=temperature, nbands=bands, tol=tol, maxiter=600, progress=False)


@pytest.mark.filterwarnings("ignore:nbands = :dftopt.errors.DFTOptWarning")
@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in CHARGED])
def test_quantum_espresso(name):
    r, theirs = charged(name), PWSCF[name]
    n = len(r.model.atoms)
    errors = {
        "energy per atom": (r.energies.free - theirs["energy"]) / n,
        "hartree": r.energies.hartree - theirs["hartree"],
        "ewald": r.energies.ewald - theirs["ewald"],
        "forces": np.abs(r.forces() - theirs["forces"] + np.mean(theirs["forces"], axis=0)).max(),
        "pressure": np.trace(r.stress()) / 3 - theirs["pressure_part_of_stress"],
    }
    print(name, {k: f"{v:.1e}" for k, v in errors.items()})  # pytest -s
    for what, tolerance in (
        ("energy per atom", 1e-7),
        ("hartree", 1e-6),
        ("ewald", 1e-7),
        ("forces", 1e-6),
        ("pressure", 1e-8),
    ):
        assert abs(errors[what]) < tolerance, what


@pytest.mark.filterwarnings("ignore:nbands = :dftopt.errors.DFTOptWarning")
def test_forces_and_stress_are_derivatives_of_the_energy():
    r = charged("pair+", 1e-16)
    slopes = derivative(r, ("positions", "strain"))
    rng = np.random.default_rng(2)
    along = {"positions": rng.normal(size=(2, 3)), "strain": 0.3 * rng.normal(size=(3, 3))}
    along["strain"] += along["strain"].T
    exact = sum(float(np.sum(slopes[k] * along[k])) for k in along)
    assert exact == pytest.approx(directional(r, along), rel=1e-6)
    np.testing.assert_allclose(r.stress(), slopes["strain"] / r.model.structure.volume, atol=1e-12)


def directional(r, along, h=1e-3):
    """Four-point difference of minima along a change of the inputs."""

    def minimum(t):
        inputs = r.model.inputs()
        for k, d in along.items():
            inputs[k] = inputs[k] + t * d
        o = {k: getattr(r.options, k) for k in ("temperature", "nbands")}
        m = dftopt.minimize(r.model, r.basis, tol=1e-15, maxiter=600, inputs=inputs, start=r, progress=False, **o)
        assert m.converged, m.verdict
        return m.energies.free

    return (8 * (minimum(h) - minimum(-h)) - (minimum(2 * h) - minimum(-2 * h))) / (12 * h)


# ---------------------------------------------------------------------------------------------------- the copies


@pytest.mark.parametrize(
    ("cell", "madelung"),
    [  # Wigner crystals, -M q^2 / r_s with the volume 4 pi r_s^3 / 3 per charge (Fuchs 1935; Drummond et al. 2008)
        (bulk("Po", "sc", a=7.0).cell.array, 0.88005944211),
        (bulk("Fe", "bcc", a=7.0).cell.array, 0.89592925568),
        (bulk("Al", "fcc", a=7.0).cell.array, 0.89587361520),
    ],
    ids=["sc", "bcc", "fcc"],
)
def test_copies_of_a_point_charge(cell, madelung):
    radius = (3 * abs(np.linalg.det(cell)) / (4 * np.pi)) ** (1 / 3)
    assert image_energy(cell, 2.0) == pytest.approx(-4 * madelung / radius, rel=1e-10)


def soft_ion(length, ecut, coulomb):
    """Two electrons around a Gaussian charge of 3 e, -3 erf(r / (0.8 sqrt(2))) / r, in a cube of `length` bohr."""
    atoms = Atoms("Li", positions=[[length / 2 * Bohr] * 3], cell=[length * Bohr] * 3, pbc=coulomb == "periodic")
    model = dftopt.Model(atoms, xc="LDA", charge=1, pseudopotentials="GTH-PADE-q3")
    inputs = model.inputs()
    p = inputs["pseudopotentials"]["Li"]
    p |= {"rloc": np.asarray(0.8), "cloc": np.zeros(4), "h": tuple(np.zeros_like(h) for h in p["h"])}
    basis = dftopt.PlaneWaves(model, ecut=ecut, coulomb=coulomb)
    return dftopt.minimize(model, basis, tol=1e-10, inputs=inputs, progress=False)


@pytest.mark.parametrize(
    ("length", "ecut", "tolerance"), [(16.0, 8.0, 3e-5), pytest.param(22.0, 11.0, 2e-6, marks=pytest.mark.slow)]
)
def test_an_ion_alone_needs_no_correction(length, ecut, tolerance):
    alone, copied = (soft_ion(length, ecut, c) for c in ("0d", "periodic"))
    # PySCF 2.14, 34 even-tempered s Gaussians from 0.02 bohr^-2, ratio 1.35; lda_x + lda_c_pw: energy, level, <r^2>
    energy, level, spread = -2.4614256763, -0.7381608278, 6.0801955690
    assert alone.energies.free == pytest.approx(energy, abs=tolerance)
    assert alone.eigenvalues[0, 0, 0] == pytest.approx(level, abs=4 * tolerance)  # relative to the vacuum
    # Makov and Payne: E = E_0 - q^2 alpha / 2L + 2 pi q Q / 3V with Q = -<r^2>
    shift = image_energy(copied.model.structure.cell, 1.0) - 2 * np.pi * spread / (3 * length**3)
    assert shift < -0.06
    assert copied.energies.free == pytest.approx(energy + shift, abs=tolerance)
    assert "no correction" in " ".join(alone.notes)
    assert f"{-image_energy(copied.model.structure.cell, 1.0):+.6f} Ha" in " ".join(copied.notes)


# ---------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("charge", [np.nan, np.inf, "1", True, None, [1]])
def test_charges_that_are_no_numbers(charge):
    with pytest.raises(InputError, match="charge = "):
        dftopt.Model(bulk("Si"), xc="LDA", charge=charge)


def test_no_electron_left():
    with pytest.raises(InputError, match="charge = 1 leaves 0 of the 1 valence electrons"):
        dftopt.Model(Atoms("H", cell=[6] * 3, pbc=True), xc="LDA", charge=1)


def test_charged_slabs_are_refused():
    model = dftopt.Model(pair(), xc="LDA", charge=1, force=True)
    for options in ({"coulomb": "2d"}, {"dipole_correction": True}):
        with pytest.raises(InputError, match="charge = 1: the field of a charged slab"):
            dftopt.PlaneWaves(model, ecut=4, **options)
