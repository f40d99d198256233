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
    text = (folder / "out" / "response.log").read_text()
    for part in ("modes at Gamma", "elastic constants (GPa)", "dielectric tensor", "Born charges", "linear solves"):
        assert part in text
    assert (folder / "out" / "response.png").stat().st_size > 5000
    assert (folder / "out" / "response.csv").read_text().startswith("mode,gamma_cm1,q_q_cm1")


def test_results_are_not_replaced_and_a_direction_has_to_be_one(folder, capsys):
    assert main(["response", str(folder / "si.toml"), "--out", str(folder / "out")]) == 2
    assert main(["response", str(folder / "si.toml"), "--out", str(folder / "new"), "--direction", "0", "0", "0"]) == 2
    assert "no direction" in " ".join(capsys.readouterr().err.split())
