"""One small run, looked at from all sides."""

import csv
import json
import tomllib

import numpy as np
import pytest
from ase.build import bulk
from systems import ECUT, silicon_result

import dftopt
from dftopt.cli.main import main

INPUT = f"""
xc = "LDA"
ecut = "{ECUT} Ha"
kpts = [2, 2, 2]
occupations = {{ name = "fixed" }}

[structure]
bulk = "Si"
a = 5.43

[bands]
path = "LGX"
npoints = 8
"""
CONTRACT = {
    "converged", "energies", "energy_eV", "free_energy_eV", "forces_hartree_per_bohr", "stress_hartree_per_bohr3", "input", "stats",
    "fermi_level_hartree", "eigenvalues", "occupations", "kpoints", "weights", "magnetization", "version",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run; `status` in it is the exit status, `printed` what it printed."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "si.toml").write_text(INPUT)
    status = main(["run", str(folder / "si.toml"), "--out", str(folder / "out"), "--tol", "1e-8"])
    assert status == 0
    return folder


@pytest.fixture(scope="module")
def data(folder):
    return json.loads((folder / "out/result.json").read_text())


def test_json_has_the_keys_of_the_contract(data):
    assert data.keys() >= CONTRACT
    assert data["converged"] is True
    assert data["energies"].keys() >= {
        "kinetic", "local", "nonlocal_", "hartree", "xc", "ewald", "entropy", "total", "free", "zero",
    }  # fmt: skip
    assert data["magnetization"] == 0
    assert data["version"] == dftopt.__version__


def test_numbers_are_those_of_the_library(data):
    expected = silicon_result()
    assert data["energies"]["free"] == pytest.approx(float(expected.energies.free), abs=1e-8)
    assert data["energy_eV"] == pytest.approx(float(expected.energies.zero) * 27.211386, rel=1e-7)
    assert np.shape(data["forces_hartree_per_bohr"]) == (2, 3)
    np.testing.assert_allclose(data["stress_hartree_per_bohr3"], expected.stress(), atol=1e-7)
    np.testing.assert_allclose(data["eigenvalues"], expected.eigenvalues, atol=1e-6)
    np.testing.assert_allclose(data["kpoints"], expected.kpoints)


def test_input_in_the_json_reproduces_the_run(data, folder, tmp_path, capsys):
    again = data["input"]
    again.pop("bands")
    lines = [f"{k} = {json.dumps(v)}" for k, v in again.items() if k not in ("structure", "occupations", "kpts")]
    lines += [f"kpts = {{ size = {again['kpts']['size']} }}", 'occupations = { name = "fixed" }', "[structure]"]
    lines += [f"{k} = {json.dumps(v)}" for k, v in again["structure"].items()]
    (tmp_path / "again.toml").write_text("\n".join(lines))
    assert tomllib.loads((tmp_path / "again.toml").read_text())["structure"]["symbols"] == ["Si", "Si"]
    assert main(["run", str(tmp_path / "again.toml"), "--dry-run"]) == 0
    first, second = (folder / "out/log.txt").read_text(), capsys.readouterr().out
    assert first[: first.index("iteration")].split() == second.split()


def test_pictures_and_their_numbers_exist(folder):
    out = folder / "out"
    for name in ("bands.png", "convergence.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    bands = json.loads((out / "bands.json").read_text())
    assert np.shape(bands["energies_eV"])[:2] == (1, 8)
    assert [p["label"] for p in bands["special_points"]] == ["L", "Γ", "X"]
    with (out / "dos.csv").open() as file:
        assert next(csv.reader(file)) == ["energy_eV", "states_per_eV_cell"]
    steps = np.loadtxt(out / "convergence.csv", delimiter=",", skiprows=1)
    assert steps[-1, 2] == 0 and np.all(np.diff(steps[:, 1]) <= 1e-10)


def test_log_says_what_a_physicist_asks(folder):
    log = (folder / "out/log.txt").read_text()
    for text in (
        "Fd-3m (227)", "2x2x2, Gamma-centred: 8 points, 3 after", "GTH-PADE-q4", "ecut 6 Ha = 12 Ry = 163.27 eV", "FFT grid",
        "forecast", "kinetic", "highest filled", "direct gap", "pressure", "largest", "compiling",
    ):  # fmt: skip
        assert text in log
    assert log.splitlines()[-1].startswith("converged to ")


def test_results_are_not_overwritten(folder, capsys):
    before = (folder / "out/result.h5").read_bytes()
    assert main(["run", str(folder / "si.toml"), "--out", str(folder / "out")]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (folder / "out/result.h5").read_bytes() == before


def test_not_converged_is_saved_and_can_be_continued(folder, tmp_path, capsys):
    out = tmp_path / "short"
    assert (
        main(
            [
                "run",
                str(folder / "si.toml"),
                "--maxiter",
                "3",
                "--out",
                str(out),
                "--json",
                str(tmp_path / "short.json"),
            ]
        )
        == 1
    )
    printed = capsys.readouterr().out
    assert "not converged" in printed and f"--start {out / 'result.h5'}" in printed
    short = json.loads((tmp_path / "short.json").read_text())
    assert short["converged"] is False and short["forces_hartree_per_bohr"] is None
    arguments = ["--start", str(out / "result.h5"), "--out", str(out), "--overwrite"]
    assert main(["run", str(folder / "si.toml"), "--tol", "1e-8", *arguments]) == 0
    continued = json.loads((out / "result.json").read_text())
    assert continued["energies"]["free"] == pytest.approx(float(silicon_result().energies.free), abs=1e-8)


def test_bands_and_dos_of_a_saved_result(folder, tmp_path, capsys):
    saved = str(folder / "out/result.h5")
    assert main(["bands", saved, "--path", "LGX", "--npoints", "8", "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "bands.json").read_text()) == json.loads((folder / "out/bands.json").read_text())
    assert main(["dos", saved, "--out", str(tmp_path), "--broadening", "0.3eV"]) == 2  # dos.csv of the bands is there
    assert main(["dos", saved, "--out", str(tmp_path), "--broadening", "0.3eV", "--overwrite"]) == 0
    assert (tmp_path / "dos.png").exists()
    capsys.readouterr()


def test_info(folder, capsys):
    assert main(["info"]) == 0
    assert "jax" in capsys.readouterr().out
    assert main(["info", str(folder / "out/result.h5")]) == 0
    assert "E(T -> 0)" in capsys.readouterr().out
    assert main(["info", str(folder / "si.toml")]) == 0
    assert "forecast" in capsys.readouterr().out


def test_dry_run_of_a_structure_alone_prints_its_choices_and_starts_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dftopt, "minimize", None)
    bulk("Si").write("Si.cif")
    assert main(["run", "Si.cif", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "measured for GTH-PBE-q4 of Si" in printed and "0.2 1/angstrom" in printed and "width 0.1 eV" in printed
    assert [p.name for p in tmp_path.iterdir()] == ["Si.cif"]


@pytest.mark.parametrize(
    ("error", "status", "text"), [(KeyboardInterrupt(), 1, "interrupted"), (KeyError("x"), 1, "please report")]
)
def test_what_goes_wrong_inside_is_one_paragraph(write, monkeypatch, capsys, error, status, text):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(dftopt, "minimize", fail)
    assert main(["run", write()]) == status
    message = capsys.readouterr().err
    assert message.startswith("dftopt: ") and text in message and "Traceback" not in message
    assert main(["run", write(), "--overwrite", "--debug"]) == status
    assert isinstance(error, KeyboardInterrupt) or "Traceback" in capsys.readouterr().err
