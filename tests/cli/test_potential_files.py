"""Input files that name UPF and psp8 files: found beside the input, told in the log, kept in the JSON; or exit status 2."""

import json

import pytest
from potential_files import psp8, uniform_mesh, upf2

from dftopt.atoms import gth
from dftopt.cli.main import main

SILICON = gth.load("Si", "GTH-PADE")
INPUT = """
ecut = "4 Ha"
kpts = [1, 1, 1]
occupations = { name = "fixed" }
pseudopotentials = { Si = "potentials/Si.upf" }
XC

[structure]
bulk = "Si"
a = 5.43
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An input in one folder, its potential beside it, and work in another."""
    (tmp_path / "inputs/potentials").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "inputs/si.toml").write_text(INPUT.replace("XC", ""))
    return tmp_path / "inputs"


def test_a_run_with_a_file(folder, capsys):
    text = upf2(SILICON, uniform_mesh(10.0, 0.05), with_core=True, functional="SLA PZ NOGX NOGC")
    (folder / "potentials/Si.upf").write_text(text)
    (folder / "si.toml").write_text(INPUT.replace("XC", 'xc = "LDA"'))
    with pytest.warns(Warning, match="was made for the functional lda_x.lda_c_pz, not for LDA"):
        assert main(["run", "../inputs/si.toml", "--tol", "1e-5"]) == 0
    printed = capsys.readouterr().out
    assert "Si.upf (sha256 " in printed and "with core correction" in printed
    assert "Si.upf of Si was made for the functional lda_x+lda_c_pz, not for LDA" in printed
    data = json.loads((folder.parent / "work/out/si/result.json").read_text())
    assert data["notes"] == ["Si.upf of Si was made for the functional lda_x+lda_c_pz, not for LDA"]
    assert data["potentials"]["Si"].startswith("Si.upf (sha256 ")
    assert data["input"]["xc"] == "LDA" and data["input"]["pseudopotentials"]["Si"].endswith("potentials/Si.upf")


def test_the_functional_of_the_file_is_the_default(folder, capsys):
    (folder / "potentials/Si.upf").write_text(upf2(SILICON, functional="SLA PZ NOGX NOGC"))
    assert main(["run", "../inputs/si.toml", "--dry-run"]) == 0
    assert "lda_x+lda_c_pz" in capsys.readouterr().out
    assert main(["run", "../inputs/si.toml", "--dry-run", "--pseudopotentials", "Si=GTH-PBE-q4"]) == 0
    assert "functional      PBE" in capsys.readouterr().out
    assert main(["run", "../inputs/si.toml", "--dry-run", "--pseudopotentials", "../inputs/potentials"]) == 0
    assert "lda_x+lda_c_pz" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no such file (looked for "),
        ("", "neither UPF"),
        (upf2(SILICON)[:9000], "truncated"),
        (upf2(SILICON, is_ultrasoft="T"), 'is_ultrasoft="T"'),
        (psp8(SILICON, extension=3), "extension_switch = 3"),
        (upf2(gth.load("Al", "GTH-PADE")), "a potential of Al"),
        (upf2(SILICON, functional="NEW"), "'NEW'"),
    ],
)
def test_wrong_files_are_refused_before_anything_starts(folder, capsys, text, message):
    if text is not None:
        (folder / "potentials/Si.upf").write_text(text)
    assert main(["run", "../inputs/si.toml"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert message in told and "Si.upf" in told.replace("Si. upf", "Si.upf")
    assert not (folder.parent / "work/out").exists()
