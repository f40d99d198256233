"""`dftopt response` from the input file to the report, the numbers and the picture."""

import json

import numpy as np
import pytest

from dftopt.cli.main import main

INPUT = """
xc = "LDA"
ecut = "3 Ha"
kpts = [2, 2, 2]
occupations = { name = "fixed" }

[structure]
bulk = "Si"
a = 5.43
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("response")
    (place / "si.toml").write_text(INPUT)
    assert main(["response", str(place / "si.toml"), "--out", str(place / "out"), "--direction", "1", "0", "0"]) == 0
    return place


def test_report_numbers_and_picture_are_written(folder):
    data = json.loads((folder / "out" / "response.json").read_text())
    assert len(data["gamma_cm1"]) == 6
    assert np.ptp(data["gamma_cm1"][3:]) < 1e-3
    assert np.shape(data["elastic_GPa"]) == (6, 6)
    assert data["dielectric"][0][0] > 1
    assert np.allclose(data["longitudinal_cm1"]["q"]["frequencies"], data["gamma_cm1"], atol=0.1)  # not polar
    assert max(s["residual"] for s in data["solves"]) < 1e-11
    levels = data["deformation_potentials"]
    assert levels["valence"]["bands"] == [1, 4]  # three states at Gamma
    assert (
        np.ptp(levels["valence"]["mean_eV"][:3]) < 1e-4
        and levels["conduction"]["energy_hartree"] > levels["valence"]["energy_hartree"]
    )
    text = (folder / "out" / "response.log").read_text()
    for part in (
        "modes at Gamma",
        "elastic constants (GPa)",
        "dielectric tensor",
        "Born charges",
        "deformation potentials",
        "linear solves",
    ):
        assert part in text
    assert (folder / "out" / "response.png").stat().st_size > 5000
    assert (folder / "out" / "response.csv").read_text().startswith("mode,gamma_cm1,q_q_cm1")


def test_results_are_not_replaced_and_a_direction_has_to_be_one(folder, capsys):
    assert main(["response", str(folder / "si.toml"), "--out", str(folder / "out")]) == 2
    assert main(["response", str(folder / "si.toml"), "--out", str(folder / "new"), "--direction", "0", "0", "0"]) == 2
    assert "no direction" in " ".join(capsys.readouterr().err.split())


MOLECULE = """
mode = "gaussian"
basis = "sto-3g"
grid = 0
xc = "LDA"

[structure]
symbols = "HF"
positions = [[0, 0, 0], [0, 0.1, 0.95]]
"""


def test_a_molecule_has_an_infrared_spectrum(tmp_path):
    (tmp_path / "hf.toml").write_text(MOLECULE)
    assert main(["response", str(tmp_path / "hf.toml"), "--out", str(tmp_path / "out")]) == 0
    data = json.loads((tmp_path / "out" / "response.json").read_text())
    assert (np.abs(data["modes_cm1"]) > 100).sum() == 1 and np.count_nonzero(data["infrared_km_per_mol"]) == 1
    assert np.shape(data["polarizability_bohr3"]) == (3, 3) and np.shape(data["dipole_derivatives"]) == (2, 3, 3)
    text = (tmp_path / "out" / "response.log").read_text()
    for part in ("infrared (km/mol)", "polarizability of the electrons", "linear solves"):
        assert part in text
    assert (tmp_path / "out" / "response.csv").read_text().startswith("mode,frequency_cm1,infrared_km_per_mol")
    (tmp_path / "fitted.toml").write_text(MOLECULE.replace("grid = 0", "grid = 0\ndensity_fit = true"))
    assert main(["response", str(tmp_path / "fitted.toml"), "--out", str(tmp_path / "fitted")]) == 2
    assert not (tmp_path / "fitted").exists()
