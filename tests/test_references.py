"""Energies, forces, stress and eigenvalues of other codes with the same potentials, cutoff, grid and k points.

Each of these files in `references/` holds the numbers, the code and version that made them and the text of its input.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.units import Bohr

import dftopt

FOLDER = Path(__file__).parent / "references"
QUICK = ("emin_si_vwn", "al_lda_gauss", "si_lda_displaced")
CASES = [
    pytest.param(f.stem, marks=() if f.stem in QUICK else pytest.mark.slow, id=f.stem)
    for f in sorted(FOLDER.glob("*.json"), key=lambda f: (f.stem not in QUICK, f.stem))
    if {"setup", "reference"} <= json.loads(f.read_text()).keys()
]

# What two independent codes agree to with identical inputs; energy per atom, all in hartree and bohr.
TOLERANCES = {
    "lda": {"energy": 1e-7, "force": 1e-6, "stress": 1e-8, "level": 1e-6},
    "gga": {"energy": 1e-6, "force": 5e-6, "stress": 2e-8, "level": 5e-6},
    "mgga": {"energy": 5e-6, "force": 2e-5, "stress": 1e-7, "level": 2e-5},
}


def solved(name):
    case = json.loads((FOLDER / f"{name}.json").read_text())
    s = case["setup"]
    cell = np.array(s["cell_bohr"]) * Bohr
    atoms = Atoms(s["symbols"], cell=cell, scaled_positions=s["fractional"], pbc=True)
    atoms.set_initial_magnetic_moments(s.get("moments", [0] * len(atoms)))
    model = dftopt.Model(atoms, xc=s["xc"], pseudopotentials=s["pseudopotentials"], spinpol="moments" in s)
    grid = {"fft": s["fft"], "symmetry": s.get("symmetry", True)}
    basis = dftopt.PlaneWaves(model, ecut=s["ecut"], kpts=s["kpts"], shift=s["shift"], **grid)
    options = {key: s[key] for key in ("nbands", "temperature", "smearing") if key in s}
    result = dftopt.minimize(model, basis, tol=1e-12, progress=False, **options)
    assert result.converged, result.verdict
    tolerances = dict(TOLERANCES.get(model.functional.kind, TOLERANCES["lda"]))
    tolerances["energy"] = case.get("energy_tolerance", tolerances["energy"])
    return result, case["reference"], tolerances


def index_of(result, k):
    """Our k point for each one of the reference: equal up to symmetry, time reversal and a reciprocal vector."""
    rotations, found = result.basis.kpoints.symmetry.rotations, []
    for point in np.asarray(k):
        star = np.concatenate([[sign * point @ W for W in rotations] for sign in (1, -1)])
        away = result.kpoints[:, None] - star[None]
        same = np.all(np.abs(away - np.rint(away)) < 1e-6, axis=2).any(axis=1)
        assert same.any(), f"no k point equivalent to {point}"
        found.append(int(np.flatnonzero(same)[0]))
    return found


def check(what, mine, theirs, tol):
    error = float(np.abs(np.asarray(mine) - np.asarray(theirs)).max())
    print(f"  {what} {error:.1e}")  # pytest -s shows the agreement
    assert error <= tol, f"{what} differs by {error:.2e}, more than {tol:.0e}"


@pytest.mark.filterwarnings("ignore::dftopt.errors.DFTOptWarning")  # bands and filling are those of the reference
@pytest.mark.parametrize("name", CASES)
def test_agreement(name):
    r, ref, tol = solved(name)
    n = len(r.model.atoms)
    print(f"\n{name}: {r.stats.wall_seconds:.1f} s")
    check("energy per atom", r.energies.free / n, ref["free"] / n, tol["energy"])
    for part, value in ref.get("components", {}).items():
        check(part, getattr(r.energies, part) / n, value / n, 10 * tol["energy"])
    if "entropy" in ref:
        check("entropy", r.energies.entropy / n, ref["entropy"] / n, 10 * tol["energy"])
    check("forces", r.forces(), ref["forces"], tol["force"])
    if "stress" in ref:
        check("stress", r.stress(), ref["stress"], tol["stress"])
    if "pressure_part_of_stress" in ref:
        check("pressure", np.trace(r.stress()) / 3, ref["pressure_part_of_stress"], tol["stress"])
    if "fermi_level" in ref:
        check("Fermi level", r.fermi_level, ref["fermi_level"], 5 * tol["level"])
    if "eigenvalues" in ref:
        index = index_of(r, ref["k"])
        extra = 2 if r.options.temperature > 0 else 0
        theirs = np.array(ref["eigenvalues"]).reshape(r.model.nspin, len(index), -1)
        bands = min(theirs.shape[-1], int(np.ceil(r.occupations.sum(-1).max() - 1e-6)) + extra)
        check("eigenvalues", r.eigenvalues[:, index, :bands], theirs[:, :, :bands], tol["level"])
    if "magnetization" in ref:
        check("magnetization", abs(r.magnetization), abs(ref["magnetization"]), 1e-3)
