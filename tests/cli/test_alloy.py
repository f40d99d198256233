"""dftopt alloy: a binary of the example, and a campaign with the effective medium theory of ASE."""

import json
from pathlib import Path

import numpy as np
import pytest

from dftopt.alloy import ClusterExpansion
from dftopt.cli.main import main

DATA = Path(__file__).parents[2] / "examples" / "nbmota.extxyz.gz"
INPUT = """
[energies]
file = "{data}"
key = "formation_energy"
select = {{ pair = "NbTa" }}
pure = {{ Nb = 0.0, Ta = 0.0 }}
[expansion]
parent = {{ bulk = "Nb", crystalstructure = "bcc", a = 3.3 }}
cutoffs = [3.4]
folds = 5
[equilibrium]
composition = {{ Nb = 0.5, Ta = 0.5 }}
temperatures = [300, 600]
size = [3, 3, 3]
samples = 20
equilibration = 20
[kinetics]
composition = {{ Nb = 0.5, Ta = 0.5 }}
temperatures = [1500, 2000]
barriers = {{ Nb = 0.6, Ta = 0.7 }}
size = [3, 3, 3]
samples = 8
equilibration = 200
[ordering]
composition = {{ Nb = 0.5, Ta = 0.5 }}
temperatures = [1500, 2000]
barriers = {{ Nb = 0.6, Ta = 0.7 }}
size = [4, 4, 4]
trajectories = 30
vacancy_formation = 2.9
"""


def test_report_of_an_alloy(tmp_path, capsys):
    file = tmp_path / "nbta.toml"
    file.write_text(INPUT.format(data=DATA))
    out = tmp_path / "out"
    assert main(["alloy", str(file), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "cross-validated" in text and "tracer diffusion" in text
    names = {p.name for p in out.iterdir()}
    pictures = ("hull", "cross_validation", "order", "diffusion")
    assert {f"{p}{s}" for p in pictures for s in (".png", ".csv")} | {
        "expansion.json",
        "alloy.json",
        "ordering.npz",
        "landscape.png",
        "relaxation.png",
        "alloy.log",
    } <= names
    data = json.loads((out / "alloy.json").read_text())
    assert data["expansion"]["cv_rmse_eV_per_atom"] < 2e-3
    assert np.shape(data["equilibrium"]["sro"]) == (2, 3, 2, 2)
    assert len(data["kinetics"]["temperatures"]) == 2
    slow = [row["relaxation_jumps_per_site"] for row in data["ordering"]["temperatures"]]
    assert data["ordering"]["coordinates"] == ["alpha Nb-Ta"] and all(0.1 < time < 10 for time in slow)
    assert data["ordering"]["temperatures"][0]["relaxation_s"] > data["ordering"]["temperatures"][1]["relaxation_s"]
    assert ClusterExpansion.load(out / "expansion.json").species == ("Nb", "Ta")
    assert main(["alloy", str(file), "--out", str(out)]) == 2  # nothing is lost
    assert "exists already" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[energies]", "[energy]", 'did you mean "energies"'),
        ("cutoffs = [3.4]", "cutof = [3.4]", "cutof"),
        ("trajectories = 30", "trajectories = 30\nduration = -2", "duration = -2"),
        ("formation_energy", "energie", "has no energie"),
        ("NbTa", "NbW", "no structures"),
        ("Nb = 0.0", "W = 0.0", "'W' is not one of the species"),
        ("300, 600", "-300, 600", "must be positive"),
        ("Ta = 0.7", "Ta = -0.7", "The barrier of Ta is -0.7"),
        ("Ta = 0.5", "W = 0.5", "'W' is not one of the species"),
        ("size = [3, 3, 3]", "size = [2, 2, 2]", "smaller than the interaction"),
        ("a = 3.3 }", "a = 3.3, x = 1 }", "x"),
        ("[3.4]", "[3.4", "not valid TOML"),
    ],
)
def test_wrong_input(tmp_path, capsys, old, new, words):
    file = tmp_path / "wrong.toml"
    file.write_text(INPUT.format(data=DATA).replace(old, new))
    assert main(["alloy", str(file), "--out", str(tmp_path / "out")]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


CAMPAIGN = """
[campaign]
species = ["Cu", "Au"]
cutoffs = [3.0]
parent = { bulk = "Cu", crystalstructure = "fcc", a = 3.85 }
atoms = 3
wanted = 30.0
"""


def test_campaign(tmp_path, capsys, monkeypatch):
    from ase.calculators.emt import EMT

    from dftopt.cli import alloy_campaign

    def energy(keywords):
        def compute(atoms):
            atoms.calc = EMT()
            return atoms.get_potential_energy()

        return compute

    monkeypatch.setattr(alloy_campaign, "_energy_of", energy)  # the loop, not the density functional theory
    file = tmp_path / "cu_au.toml"
    file.write_text(CAMPAIGN + "calculations = 3\n")
    arguments = ["alloy", "campaign", str(file), "--out", str(tmp_path / "out")]
    assert main(arguments) == 1  # three are too few
    assert main(arguments) == 2
    assert "--resume" in capsys.readouterr().err
    file.write_text(CAMPAIGN)
    assert main([*arguments, "--resume"]) == 0
    data = json.loads((tmp_path / "out" / "campaign.json").read_text())
    assert data["converged"] and all(r["status"] == "done" for r in data["structures"])
    assert (tmp_path / "out" / "hull.png").exists()
    assert main(["alloy", "campaign", str(file), "extra"]) == 2
    file.write_text(CAMPAIGN.replace("30.0", "1e-3"))
    capsys.readouterr()
    assert main([*arguments, "--resume"]) == 1  # nothing is left that another run could compute
    assert "no ordering is left: raise atoms" in capsys.readouterr().out
    file.write_text(CAMPAIGN.replace("30.0", "0"))
    assert main([*arguments, "--overwrite"]) == 2
    assert "positive number of meV" in " ".join(capsys.readouterr().err.split())


def test_patches_of_larger_crystals():
    from types import SimpleNamespace

    from dftopt.cli.alloy_ordering import patch_of

    sizes = {(8, 8, 8): None, (16, 8, 8): 8, (16, 16, 16): 8, (12, 12, 12): None, (4, 4, 4): None}
    assert {size: patch_of(SimpleNamespace(sites=size)) for size in sizes} == sizes


def test_a_quench_that_has_not_come_to_its_end_is_told():
    from dftopt.cli.alloy_ordering import RECORDS, drifting

    noise = 0.01 * np.random.default_rng(0).normal(size=(40, RECORDS, 2))
    falls = np.exp(-np.arange(RECORDS) / 8.0)[:, None] * [0.2, 0.0]
    assert drifting(noise) == "" and "raise duration" in drifting(noise + falls)
