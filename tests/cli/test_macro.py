"""dftopt macro: from a file to an equation, pictures and numbers."""

import json

import numpy as np
import pytest

from dftopt import macro
from dftopt.cli.main import main

FAST = ["--epochs", "20", "--members", "2"]


@pytest.fixture
def recorded(tmp_path):
    """Trajectories of a particle in two wells."""
    rng = np.random.default_rng(0)
    z = np.zeros((40, 60, 1))
    z[:, 0, 0] = rng.uniform(-1.5, 1.5, 40)
    for i in range(1, 60):
        x = z[:, i - 1]
        z[:, i] = x + 0.05 * (x - x**3) + np.sqrt(0.2 * 0.05) * rng.normal(size=x.shape)
    np.savez(tmp_path / "measured.npz", z=z, times=0.05 * np.arange(60))
    (tmp_path / "wells.toml").write_text('form = "fdr"\n[trajectories]\nfile = "measured.npz"\nnames = ["position"]\n')
    return tmp_path / "wells.toml"


def test_recorded_trajectories_to_a_report(recorded, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["macro", str(recorded), *FAST]) in (0, 1)
    out = capsys.readouterr().out
    folder = tmp_path / "out" / "wells"
    report = json.loads((folder / "macro.json").read_text())
    assert (
        report["status"] in out
        and report["names"] == ["position"]
        and report["converged"] == ("Training converged" in out)
    )
    assert report["form"] == "fdr" and report["mean_trajectory_error"]["position"] < 1
    fit = macro.load(folder / "macro.fit")
    assert fit.names == ("position",) and fit.drift([[1.4]])[0, 0] < 0
    for name in ("drift", "landscape", "trajectories", "calibration"):
        assert (folder / f"{name}.png").stat().st_size > 5000
    share = np.loadtxt(folder / "calibration.csv", delimiter=",", skiprows=1)
    assert abs(share[:, 1] - share[:, 0]).max() < 0.05  # the noise is that of the data
    assert main(["macro", str(recorded), *FAST]) == 2  # results are not replaced unasked
    assert "exists already" in " ".join(capsys.readouterr().err.split())


def test_dry_run_of_a_simulator(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cw.toml").write_text('[simulator]\nname = "CurieWeiss"\nn = 64\nbeta = 1.2\n[sample]\npatch = 4\n')
    assert main(["macro", "cw.toml", "--dry-run", "--form", "linear"]) == 0
    out = capsys.readouterr().out
    assert "CurieWeiss(n=64, beta=1.2" in out and "patch = 4" in out and "form = linear" in out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('[simulator]\nname = "CurieWeis"', "name = 'CurieWeis' in [simulator] is unknown; valid: CurieWeiss"),
        ('[simulator]\nname = "CurieWeiss"\nbta = 1.0', "'bta' in [simulator] is unknown"),
        ('[simulator]\nname = "CurieWeiss"\nbeta = -1.0', "beta = -1.0 must be at least 0"),
        ('[simulator]\nname = "CurieWeiss"\n[sample]\ntrajectory = 3', "'trajectory' in [sample] is unknown"),
        ('frm = "fdr"', "'frm' in in.toml is unknown"),
        ('form = "fdr"', "needs either a [simulator] table or a [trajectories] table"),
        ('[trajectories]\nfile = "none.npz"', "none.npz"),
        ("simulator = 3", "has to be a table"),
    ],
)
def test_wrong_input(text, match, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.toml").write_text(text)
    assert main(["macro", "in.toml"]) == 2
    assert match in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
