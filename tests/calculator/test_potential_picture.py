"""`dftopt info` of a potential: what is printed, drawn and written."""

import json

import matplotlib.image
import numpy as np
import pytest
from potential_files import CORE, WIDTH, psp8, upf2

from dftopt.atoms import gth, potentials
from dftopt.atoms.cutoff import estimated_cutoff
from dftopt.calculator import potential_picture
from dftopt.cli.main import main


@pytest.fixture(scope="module")
def silicon():
    return potentials.from_bytes(psp8(gth.load("Si", "GTH-PBE"), None, True).encode(), "Si.psp8")


def test_description(silicon):
    text = potential_picture.describe(silicon)
    core = np.pi**1.5 * CORE * WIDTH**3
    for part in ("Si, 4 valence electrons", "PBE, in the file: pspxc = 11", "2 of s, 1 of p", f"yes, {core:.3f} electrons",
                 "601 points from 0 to 6 bohr", silicon.sha256, "4.0000 electrons"):  # fmt: skip
        assert part in text


def test_picture_and_its_numbers(silicon, tmp_path):
    files = potential_picture.draw(tmp_path / "potential.png", silicon)
    assert [f.name for f in files] == ["potential.png", "potential.json"]
    picture = matplotlib.image.imread(files[0])
    assert picture.shape[0] > 400 and picture[..., :3].mean() > 0.85  # light
    data = json.loads(files[1].read_text())
    assert data["valence_electrons"] == 4 and len(data["r_bohr"]) == len(data["v_local_hartree"])
    assert [p["number"] for p in data["projectors"]] == [2, 1] and data["functional"] == "PBE"


def test_potentials_without_projectors_core_or_density_are_drawn_too(tmp_path):
    text = upf2(gth.load("H", "GTH-PBE"))
    text = text[: text.index("  <PP_RHOATOM")] + "</UPF>"
    p = potentials.from_bytes(text.encode(), "H.upf")
    assert p.channels == () and p.density is None
    assert "none: the potential is local" in potential_picture.describe(p)
    assert potential_picture.draw(tmp_path / "h.png", p)[0].stat().st_size > 5000


def test_estimated_cutoffs_are_those_of_the_closed_form_within_reason(silicon):
    assert 10 <= estimated_cutoff(silicon) <= 25 and 10 <= gth.estimated_cutoff(gth.load("Si", "GTH-PBE")) <= 25
    oxygen = potentials.from_bytes(psp8(gth.load("O", "GTH-PBE")).encode(), "O.psp8")
    assert estimated_cutoff(oxygen) > 2.5 * estimated_cutoff(silicon)


def test_info_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "si-potential").write_text(upf2(gth.load("Si", "GTH-PBE")))  # recognized by its content
    for _ in range(2):  # a picture is replaced
        assert main(["info", "si-potential"]) == 0
    out = capsys.readouterr().out
    assert "UPF 2" in out and "out/si-potential/potential.png" in out
    assert (tmp_path / "out/si-potential/potential.png").exists()
    assert main(["info", "si-potential", "--out", "here", "--json", "numbers.json"]) == 0
    assert (tmp_path / "here/potential.png").exists() and json.loads((tmp_path / "numbers.json").read_text())[
        "element"
    ] == "Si"
    (tmp_path / "bad.upf").write_text(upf2(gth.load("Si", "GTH-PBE"), is_paw="T"))
    assert main(["info", "bad.upf"]) == 2
    assert 'is_paw="T"' in capsys.readouterr().err
