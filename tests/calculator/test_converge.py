"""The rule that recommends a setting, and one real series."""

import csv
import json

import numpy as np
import pytest
from ase.build import bulk
from ase.units import Hartree

from dftopt.calculator import converge
from dftopt.calculator.converge import Axis, Point
from dftopt.cli.main import main
from dftopt.errors import InputError


def series(values, accuracy=1.0):
    points = [Point(i, np.atleast_1d(np.asarray(v, float)), 10.0 * np.max(v), 1, 0.1) for i, v in enumerate(values)]
    return Axis("ecut", tuple(points), accuracy)


@pytest.mark.parametrize(
    ("values", "recommended"),
    [
        ([8.0, 2.0, 0.4, 0.1, 0.0], 2),
        ([8.0, 2.0, 0.4, 0.1], None),  # only one later value agrees
        ([0.0, 8.0, 0.1, 0.0, 0.0], 2),  # agrees with the last by chance: not with all
        ([0.0, 0.8, 0.0], None),  # more than half the accuracy
        ([1.0], None),
        ([[0.0, 5.0], [0.0, 0.2], [0.0, 0.1], [0.0, 0.0]], 1),  # the worst component counts
    ],
)
def test_recommended_agrees_with_all_later_ones(values, recommended):
    assert series(values).recommended == recommended


def test_errors_are_the_largest_later_deviation():
    np.testing.assert_allclose(series([3.0, 0.0, 1.0]).errors, [3.0, 1.0, np.nan])


def test_it_ends_as_soon_as_a_setting_is_recommended():
    seen = []
    compute = lambda n: Point(n, np.array([2.0**-n]), 0.0, 1, 0.0)
    axis = converge.raise_until("kpts", range(100), 0.1, compute, lambda a: seen.append(len(a.points)))
    assert seen == list(range(1, len(axis.points) + 1))
    assert axis.recommended == len(axis.points) - 3  # the first that can be
    assert abs(axis.points[axis.recommended].value[0]) < 0.1


def test_it_says_when_the_settings_end():
    axis = converge.raise_until(
        "kpts", range(5), 1e-9, lambda n: Point(n, np.array([1.0 / (n + 1)]), 0, 1, 0), lambda _: None
    )
    assert axis.recommended is None and len(axis.points) == 5


def test_cutoffs_are_whole_hartree_from_half_the_default():
    found = np.array(converge.cutoffs(19 * Hartree)) / Hartree
    np.testing.assert_allclose(found, np.round(found), atol=1e-9)
    assert found[0] in (9, 10) and 44 <= found[-1] <= 47.5 and np.all(np.diff(found) == 2)
    assert np.array(converge.cutoffs(3.0 * Hartree))[0] >= 2 * Hartree - 1e-9


def test_meshes_rise():
    found = converge.meshes(bulk("Cu", a=3.6))
    assert all(np.prod(b) > np.prod(a) for a, b in zip(found, found[1:], strict=False)) and len(found) > 5
    slab = converge.meshes(bulk("Si", cubic=True).repeat((1, 1, 6)))
    assert all(m[2] <= m[0] for m in slab)


def test_forces_of_one_atom_and_unknown_quantities_are_refused():
    with pytest.raises(InputError, match="single atom"):
        converge.check(bulk("Al"), "forces")
    with pytest.raises(InputError, match="energy, forces, stress"):
        converge.check(bulk("Si"), "dipole")


INPUT = """
xc = "LDA"
kpts = [2, 1, 1]
occupations = "fixed"
tol = 1e-11
[structure]
symbols = ["Si", "Si"]
cell = [[0, 2.715, 2.715], [2.715, 0, 2.715], [2.715, 2.715, 0]]
positions = [[0.08, 0.02, 0.05], [1.47, 1.45, 1.31]]
"""
ARGUMENTS = ["--quantity", "forces", "--only", "ecut", "--ecuts", "120eV", "124eV", "127eV"]  # one shape of arrays


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A series whose accuracy is not reached; `status` is kept beside it."""
    folder = tmp_path_factory.mktemp("converge")
    (folder / "si.toml").write_text(INPUT)
    status = main(
        ["converge", str(folder / "si.toml"), *ARGUMENTS, "--accuracy", "1e-5eV/A", "--out", str(folder / "out")]
    )
    assert status == 1
    return folder


def test_what_is_not_reached_is_said_with_status_1(folder):
    data = json.loads((folder / "out/converge.json").read_text())
    assert data["converged"] is False and data["recommended"] == {"ecut_eV": None}
    assert "is not converged: up to" in (folder / "out/converge.log").read_text()


def test_resumed_with_another_accuracy_it_computes_nothing(folder, capsys):
    arguments = ["converge", str(folder / "si.toml"), *ARGUMENTS, "--out", str(folder / "out")]
    assert main([*arguments, "--accuracy", "2eV/A"]) == 2  # results are there
    assert "--resume" in capsys.readouterr().err
    assert main([*arguments, "--accuracy", "2eV/A", "--resume"]) == 0
    printed = capsys.readouterr().out
    assert "3 finished calculations found" in printed and "recommended     --ecut 4.4" in printed
    data = json.loads((folder / "out/converge.json").read_text())
    assert data["converged"] is True and data["recommended"]["ecut_eV"] == 120
    rows = data["series"]["ecut"]
    assert [len(row["value"]) for row in rows] == [6, 6, 6] and rows[-1]["error"] is None
    changes = [np.abs(np.subtract(b["value"], a["value"])).max() for a, b in zip(rows, rows[1:], strict=False)]
    assert rows[1]["error"] == pytest.approx(changes[1])
    with (folder / "out/converge-ecut.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(row["ecut_eV"]) for row in table] == [120, 124, 127]
    assert (folder / "out/converge.png").read_bytes().startswith(b"\x89PNG")


def test_its_journal_belongs_to_its_keywords(folder, capsys):
    arguments = ["converge", str(folder / "si.toml"), *ARGUMENTS, "--out", str(folder / "out"), "--resume"]
    assert main([*arguments, "--xc", "PBE"]) == 2
    assert "parameters.xc" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--accuracy=-1meV"], "positive"),
        (["--accuracy", "1GPa"], "not an energy"),
        (["--ecuts", "5Ha", "6Ha"], "at least 3"),
        (["--ecuts", "5Ha", "6Ha", "4Ha"], "have to rise"),
        (["--meshes", "2x2", "3x3x3", "4x4x4"], "written as 4x4x4"),
        (["--quantity", "stress", "--accuracy", "1meV"], "not a pressure"),
    ],
)
def test_wrong_input(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "si.toml").write_text(INPUT)
    assert main(["converge", "si.toml", *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert [p.name for p in tmp_path.iterdir()] == ["si.toml"]


def test_dry_run_lists_the_settings(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "si.toml").write_text(INPUT)
    assert (
        main(
            ["converge", "si.toml", "--dry-run", "--ecuts", "4Ha", "5Ha", "6Ha", "--meshes", "1x1x1", "2x2x2", "3x3x3"]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "cutoffs         4, 5, 6 Ha" in printed and "1x1x1, 2x2x2, 3x3x3" in printed and "2 structures" in printed
    assert [p.name for p in tmp_path.iterdir()] == ["si.toml"]
