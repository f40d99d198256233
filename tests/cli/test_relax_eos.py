"""`dftopt relax` and `dftopt eos`: from a file to results on disk, interrupted and continued."""

import json

import ase.io
import numpy as np
import pytest
from ase.units import GPa, Hartree

import dftopt
from dftopt.calculator.relax import relax
from dftopt.cli.main import main

KEYS = 'xc = "LDA"\necut = "5 Ha"\nkpts = [2, 2, 2]\ntxt = "-"\n'
STRUCTURE = """
[structure]
symbols = ["Si", "Si"]
cell = [[0.0, 2.715, 2.715], [2.715, 0.0, 2.715], [2.715, 2.715, 0.0]]
positions = [[0.0, 0.0, 0.0], [1.4375, 1.3775, 1.3075]]
"""
BULK = '[structure]\nbulk = "Si"'


def test_relax_stops_and_goes_on(write, tmp_path, capsys):
    file = write(KEYS, STRUCTURE)
    assert main(["relax", file, "--steps", "2", "--fmax", "2meV/A"]) == 1
    text = capsys.readouterr().out
    assert "kept            P-1 (2)" in text and "ended after 2 steps" in text and "more --steps" in text
    folder = tmp_path / "out" / "input"
    assert len(ase.io.read(folder / "relax.traj", ":")) == 3
    assert main(["relax", file, "--fmax", "2meV/A"]) == 2  # nothing is lost by mistake
    assert "--resume" in capsys.readouterr().err
    assert main(["relax", file, "--fmax", "2meV/A", "--resume"]) == 0
    text = capsys.readouterr().out
    assert text.count("known") == 3 and "converged in" in text and "pressure" in text
    data = json.loads((folder / "relax.json").read_text())
    assert data["converged"] and data["steps"][-1]["fmax"] < 2e-3 and len(data["steps"]) > 3
    frames = ase.io.read(folder / "relax.traj", ":")
    assert len(frames) == len(data["steps"])
    last = ase.io.read(folder / "relax.extxyz")
    assert np.linalg.norm(last.get_forces(), axis=1).max() < 2e-3
    np.testing.assert_allclose(data["structure"]["positions"], last.positions, atol=1e-7)
    crystal = ase.io.read(folder / "relax.cif")
    assert crystal.get_distance(0, 1, mic=True) == pytest.approx(np.sqrt(3) / 4 * 5.43, abs=2e-3)
    result = dftopt.load(folder / "result.h5")
    assert result.energies.free * Hartree == pytest.approx(data["free_energy_eV"]) and result.converged
    for name in ("relax.png", "relax.csv", "relax.log"):
        assert (folder / name).stat().st_size > 0
    stress = np.array(data["stress_hartree_per_bohr3"])
    assert np.abs(stress).max() > 0 and np.allclose(stress, stress.T)


def test_eos_is_interrupted_and_reads_finished_volumes_back(write, tmp_path, capsys, monkeypatch):
    file = write(KEYS, BULK)
    import dftopt.cli.eos_work as eos_work

    real = eos_work.equation_of_state

    def stopped(*args, stop, report, **kwargs):
        done = []

        def tell(point):
            done.append(point)
            report(point)

        return real(*args, stop=lambda: len(done) == 2, report=tell, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(eos_work, "equation_of_state", stopped)
        assert main(["eos", file, "--points", "5"]) == 1
    captured = capsys.readouterr()
    assert "--resume" in captured.err and "2 finished calculations" in captured.out
    assert main(["eos", file, "--points", "5", "--range", "5%", "--resume"]) == 2
    assert "another calculation" in capsys.readouterr().err
    status = main(["eos", file, "--points", "5", "--resume"])
    text = capsys.readouterr().out
    folder = tmp_path / "out" / "input"
    data = json.loads((folder / "eos.json").read_text())
    assert text.count("known") == 2 and len(data["points"]) == 5
    assert [p["factor"] for p in data["points"]] == pytest.approx([0.94, 0.97, 1.0, 1.03, 1.06])
    assert status == (0 if data["converged"] else 1) and data["verdict"] in text
    if data["converged"]:
        assert data["B0_GPa"] > 0 and "V0 =" in text
    columns = np.genfromtxt(folder / "eos.csv", delimiter=",", names=True)
    np.testing.assert_allclose(columns["free_energy_eV"], [p["free_energy"] for p in data["points"]])
    assert (folder / "eos.png").stat().st_size > 0 and data["input"]["kpts"]["size"] == [2, 2, 2]


@pytest.mark.parametrize("command", ["relax", "eos"])
def test_dry_runs_start_nothing(command, write, tmp_path, capsys):
    extra = ["--cell", "volume", "--fix", "0"] if command == "relax" else ["--relax"]
    assert main([command, write(KEYS, STRUCTURE), "--dry-run", *extra]) == 0
    text = capsys.readouterr().out
    assert "forecast" in text and not (tmp_path / "out").exists()
    wanted = (
        ["positions and the volume of the cell", "fixed           atoms 0"]
        if command == "relax"
        else ["7, from 0.94 to 1.06"]
    )
    assert all(words in text for words in wanted)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["relax", "--fmax", "0"], "fmax"),
        (["relax", "--fix", "0", "7"], "from 0 to 1"),
        (["relax", "--pressure", "1GPa"], "change its volume"),
        (["relax", "--cell", "plane"], "xy plane"),
        (["relax", "--steps", "0"], "steps"),
        (["eos", "--points", "2"], "at least 4"),
        (["eos", "--range", "90%"], "between 0.3"),
        (["eos", "--range", "x"], "fraction"),
    ],
)
def test_wrong_input_starts_nothing(arguments, words, write, tmp_path, capsys):
    command, *rest = arguments
    file = write(KEYS, STRUCTURE)
    try:
        status = main([command, file, *rest])
    except SystemExit as stop:
        status = stop.code
    assert status == 2 and words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_atoms_are_fixed_by_the_input_file(write, capsys):
    assert main(["relax", write(KEYS, STRUCTURE + "fix = [1]\n"), "--dry-run"]) == 0
    assert "fixed           atoms 1" in capsys.readouterr().out
    assert main(["relax", write(KEYS, STRUCTURE + "fix = [2]\n"), "--dry-run"]) == 2
    assert "from 0 to 1" in capsys.readouterr().err


def test_a_corrected_structure_is_told(write, capsys):
    moved = STRUCTURE.replace("1.4375, 1.3775, 1.3075", "1.3579, 1.3575, 1.3575")
    assert main(["relax", write(KEYS, moved), "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "kept            Fd-3m (227)" in text and "corrected by" in text
    assert main(["relax", write(KEYS, moved), "--dry-run", "--no-symmetry"]) == 0
    assert "kept            no symmetry" in capsys.readouterr().out


def test_units_of_the_defaults_are_those_of_the_library():
    import inspect

    from dftopt.cli import relax as command
    from dftopt.cli.main import parser

    defaults = inspect.signature(relax).parameters
    flags = parser("relax", command).parse_args(["x"])
    assert (flags.fmax, flags.smax, flags.steps) == tuple(defaults[n].default for n in ("fmax", "smax", "steps"))
    assert 0.1 * GPa == pytest.approx(6.24e-4, rel=1e-2)
