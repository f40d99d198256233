"""Linear response of a polar insulator, a metal and a ferromagnet against ABINIT's, on identical input."""

import json
from pathlib import Path

import numpy as np
import pytest
from solids import SOLIDS, basis_of

import dftopt

REFERENCE = json.loads((Path(__file__).parents[1] / "references" / "abinit_response.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SOLIDS))
def test_second_derivatives_are_those_of_abinit(name):
    solid, basis = SOLIDS[name], basis_of(name)
    expected = {key: np.array(value) for key, value in REFERENCE[name].items()}
    options = {"temperature": solid.temperature, "nbands": solid.nbands} if solid.temperature else {}
    result = dftopt.minimize(basis.model, basis, tol=1e-12, progress=False, **options)
    assert float(result.energies.free) == pytest.approx(expected["free_energy"], abs=1e-7 * len(result.model.atoms))
    r = dftopt.response(result)
    assert np.abs(r.force_constants() - expected["force_constants"]).max() < 1e-6
    assert np.abs(r.elastic(relaxed=False) - expected["elastic_rigid_ion"]).max() < 1e-7
    coupling = r.internal_strain()
    coupling = (coupling - coupling.mean(axis=0)).reshape(-1, 6)  # ABINIT lets the sum over atoms vanish
    assert np.abs(coupling - expected["internal_strain"]).max() < 1e-6
    if not solid.temperature:
        assert np.abs(r.dielectric() - expected["dielectric"]).max() < 1e-5
        assert np.abs(r.born_charges().reshape(-1, 3) - expected["born_charges"]).max() < 1e-6
        longitudinal, transverse = r.phonons_towards([1, 0, 0]), r.phonons()
        assert longitudinal[:5] == pytest.approx(transverse[:5], abs=1e-3)
        charge = r.born_charges(asr=True)[0, 0, 0]
        mu = 1 / np.sum(1 / (result.model.atoms.get_masses() * 1822.888486))
        split = 4 * np.pi * charge**2 / (mu * result.model.structure.volume * r.dielectric()[0, 0])
        assert longitudinal[5] ** 2 - transverse[5] ** 2 == pytest.approx(split * 219474.6313632**2, rel=1e-6)
