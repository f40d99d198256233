"""Every notebook runs from top to bottom, with small settings, and shows what it says."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"


def run(name: str, monkeypatch) -> dict:
    """The names of a notebook after its last cell."""
    monkeypatch.setenv("DFTOPT_SMALL", "1")
    names: dict = {}
    for cell in json.loads((FOLDER / f"{name}.ipynb").read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{name}, {cell['id']}", "exec"), names)
    plt.close("all")
    return names


def test_self_diagonalization(monkeypatch):
    names = run("self_diagonalization", monkeypatch)
    assert names["spread"] < 1e-9
    assert all(r.converged and r.diagonality < 1e-4 for r in names["runs"].values())
    assert names["sizes"]["aluminium"][-1] < 1e-2 * names["sizes"]["aluminium"][0]
    assert max(names["errors"].values()) < 1e-4  # eV, against exact diagonalization


def test_first_calculation(monkeypatch):
    names = run("first_calculation", monkeypatch)
    assert names["a0"] == pytest.approx(5.501, abs=2e-3)  # far too low a cutoff and mesh
    assert names["steps"][-1][1] < 0.01 < names["steps"][0][1]
    assert names["bond"] == pytest.approx(names["a0"] * 3**0.5 / 4, abs=2e-3)


def test_convergence(monkeypatch):
    names = run("convergence", monkeypatch)
    assert np.all(names["differences"][1:] < 0.2 * names["totals"][1:])
    assert np.all(np.array(names["of_energy"]) < 3 * np.array(names["tolerances"]))  # tol bounds the predicted error
    assert np.all(np.array(names["of_forces"]) < 3 * np.sqrt(names["tolerances"]))


def test_curie_weiss(monkeypatch):
    names = run("curie_weiss", monkeypatch)
    assert names["errors"][0] < 0.02 and names["errors"][1] < 0.1
    assert sorted(names["wells"]) == pytest.approx([-0.507, 0.507], abs=0.02)


def test_polymer(monkeypatch):
    names = run("polymer", monkeypatch)
    assert names["fit"].names == ("extension", "closure 1") and names["points"]


@pytest.mark.slow  # two minutes of compilation on one core; its parts are compared in tests/response
def test_derivatives(monkeypatch):
    names = run("derivatives", monkeypatch)
    values, slopes, strains = names["values"], names["slopes"], names["strains"]
    assert slopes[1] == pytest.approx((values[2] - values[0]) / (strains[2] - strains[0]), rel=0.05)
    assert abs(names["value"] - names["wanted"]) < 1e-6
    assert np.ptp(names["r"].phonons()[3:]) < 1e-3


OWN = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}


@pytest.mark.parametrize("name", sorted({p.stem for p in FOLDER.glob("*.ipynb")} - OWN))
def test_others_run(name, monkeypatch):
    run(name, monkeypatch)
