"""Labels of every frame: right, in order, none lost, whatever ends the run."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

import dftopt
from dftopt.calculator import label
from dftopt.cli.main import main
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV

FLAGS = ["--xc", "LDA", "--occupations", "fixed", "--ecut", "120eV", "--kpts", "2", "1", "1", "--tol", "1e-11"]


def rattled(seed: int, symbols="Si2", a=5.43) -> Atoms:
    atoms = bulk("Si", a=a)
    atoms.rattle(0.05, seed=seed)
    atoms.info["source"] = f"frame {seed}"
    atoms.arrays["site"] = np.array([seed, -seed])
    return atoms


def frames() -> list[Atoms]:
    """Two kinds of cell, one frame twice, one impossible, one with labels of another code."""
    bad = rattled(2)
    bad.positions[1] = bad.positions[0]
    old = rattled(4)
    old.calc = SinglePointCalculator(old, energy=-1.0, forces=np.ones((2, 3)))
    return [rattled(0), rattled(1, a=5.40), bad, rattled(0), old]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A labelled set; one frame fails, so that the status is 1."""
    folder = tmp_path_factory.mktemp("label")
    write(folder / "set.extxyz", frames())
    assert main(["label", str(folder / "set.extxyz"), "--out", str(folder / "labelled.extxyz"), *FLAGS]) == 1
    return folder


def test_every_frame_is_there_in_order(folder):
    found = read(folder / "labelled.extxyz", ":")
    assert [a.info["source"] for a in found] == [a.info["source"] for a in frames()]
    assert [a.info["dftopt_status"] for a in found] == ["converged", "converged", "failed", "converged", "converged"]
    for a, b in zip(found, frames(), strict=True):
        np.testing.assert_allclose(a.positions, b.positions, atol=1e-8)
        np.testing.assert_array_equal(a.arrays["site"], b.arrays["site"])


def test_failures_are_listed_and_carry_no_labels(folder):
    report = json.loads((folder / "labelled.json").read_text())
    assert report["frames"] == 5 and report["labelled"] == 4 and report["converged"] is False
    assert [f["index"] for f in report["failed"]] == [2] and "on one site" in report["failed"][0]["reason"]
    failed = read(folder / "labelled.extxyz", 2)
    assert failed.calc is None and "on one site" in failed.info["dftopt_reason"]


def test_labels_are_those_of_the_library_in_the_conventions_of_ase(folder):
    found = read(folder / "labelled.extxyz", ":")
    model = dftopt.Model(frames()[0], xc="LDA")
    result = dftopt.minimize(
        model, dftopt.PlaneWaves(model, ecut=120 / HARTREE_IN_EV, kpts=(2, 1, 1)), tol=1e-12, progress=False
    )
    for atoms in (found[0], found[3]):
        assert atoms.get_potential_energy() == pytest.approx(result.energies.zero * HARTREE_IN_EV, abs=1e-8)
        assert atoms.calc.results["free_energy"] == pytest.approx(result.energies.free * HARTREE_IN_EV, abs=1e-8)
        unit = HARTREE_IN_EV / BOHR_IN_ANGSTROM
        np.testing.assert_allclose(atoms.get_forces(), result.forces() * unit, atol=2e-5)
        np.testing.assert_allclose(
            atoms.get_stress(voigt=False), result.stress() * unit / BOHR_IN_ANGSTROM**2, atol=5e-7
        )
    assert found[4].get_potential_energy() < -100  # not the label of the other code


def test_the_second_start_computes_nothing_but_what_is_new(folder, tmp_path, capsys):
    for name in ("labelled.journal", "labelled.extxyz", "labelled.json", "labelled.log"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    write(tmp_path / "set.extxyz", [frames()[1], rattled(7), frames()[0]])
    arguments = ["label", str(tmp_path / "set.extxyz"), "--out", str(tmp_path / "labelled.extxyz"), *FLAGS]
    assert main(arguments) == 2
    assert "--resume" in capsys.readouterr().err
    before = (tmp_path / "labelled.journal").read_text().count("\n")
    assert main([*arguments, "--resume"]) == 0
    assert (tmp_path / "labelled.journal").read_text().count("\n") == before + 1
    old, new = read(folder / "labelled.extxyz", ":"), read(tmp_path / "labelled.extxyz", ":")
    assert new[0].get_potential_energy() == old[1].get_potential_energy()
    assert new[2].get_potential_energy() == old[0].get_potential_energy()
    assert main([*arguments, "--resume", "--ecut", "130eV"]) == 2
    assert "parameters.ecut" in capsys.readouterr().err


def test_failures_are_tried_again_when_asked(folder, capsys):
    arguments = ["label", str(folder / "set.extxyz"), "--out", str(folder / "labelled.extxyz"), *FLAGS, "--resume"]
    before = (folder / "labelled.journal").read_text().count("\n")
    assert main(arguments) == 1
    assert (folder / "labelled.journal").read_text().count("\n") == before
    assert main([*arguments, "--retry"]) == 1
    assert (folder / "labelled.journal").read_text().count("\n") == before + 1


@pytest.mark.parametrize("seed", [0, 1])
def test_atoms_are_sorted_by_element_and_back(seed):
    atoms = Atoms("GaAsGaAs", np.random.default_rng(seed).random((4, 3)), cell=np.eye(3) * 5, pbc=True)
    bare, back = label.sorted_by_element(atoms)
    assert bare.get_chemical_symbols() == ["Ga", "Ga", "As", "As"]
    np.testing.assert_array_equal(bare.positions[back], atoms.positions)


def test_frames_of_one_kind_come_one_after_another():
    kinds = [bulk("Si"), bulk("Al"), bulk("Si", a=5.5), bulk("Si"), bulk("Al")]
    found = label.order(kinds)
    assert sorted(found) == list(range(5))
    assert [kinds[i].get_chemical_formula() for i in found] == ["Si2", "Si2", "Si2", "Al", "Al"]
    assert found.index(3) == found.index(0) + 1  # the same cell


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.extxyz"], "no file"),
        (["set.extxyz", "--out", "labelled.h5"], "ends in .extxyz"),
        (["set.extxyz", "--out", "set.extxyz", "--overwrite"], "is the input itself"),
        (["set.extxyz", "--ecut", "0eV"], "no frame can be computed"),
        (["set.extxyz", "--magmoms", "1"], "initial_magmoms"),
        (["set.extxyz", "--input", "keys.toml"], 'did you mean "ecut"'),
        (["keys.toml"], "--input keys.toml"),
    ],
)
def test_wrong_input(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("set.extxyz", [rattled(0)])
    (tmp_path / "keys.toml").write_text("ecutt = 100")
    assert main(["label", *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["keys.toml", "set.extxyz"]


def test_a_frame_that_says_it_is_charged_is_not_computed_neutral(tmp_path, capsys):
    charged = rattled(0)
    charged.info["charge"] = 1
    write(tmp_path / "set.extxyz", [charged, rattled(0)])
    assert main(["label", str(tmp_path / "set.extxyz"), "--out", str(tmp_path / "out.extxyz"), *FLAGS]) == 1
    assert "charge = 1" in json.loads((tmp_path / "out.json").read_text())["failed"][0]["reason"]


def test_dry_run_lists_the_kinds(tmp_path, capsys):
    write(tmp_path / "set.extxyz", frames())
    assert main(["label", str(tmp_path / "set.extxyz"), "--dry-run", *FLAGS]) == 0
    printed = capsys.readouterr().out
    assert "5 in" in printed and "Si2" in printed and "for all (rough)" in printed
    assert [p.name for p in tmp_path.iterdir()] == ["set.extxyz"]


@pytest.mark.slow
def test_kill_9_loses_nothing(folder, tmp_path):
    """Killed again and again at odd moments: the file is that of an undisturbed run."""
    write(tmp_path / "set.extxyz", frames())
    arguments = ["label", str(tmp_path / "set.extxyz"), "--out", str(tmp_path / "labelled.extxyz"), *FLAGS, "--resume"]
    journal, rng = tmp_path / "labelled.journal", np.random.default_rng(0)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-m", "dftopt.cli.main", *arguments], stdout=subprocess.DEVNULL)
        before, begun = journal.stat().st_size if journal.exists() else 0, time.monotonic()
        while process.poll() is None and time.monotonic() - begun < 300:
            if journal.exists() and journal.stat().st_size > before:  # after the next frame, somewhere in the one after
                time.sleep(0.2 * rng.random())
                os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(0.005)
        process.wait()
    assert main(arguments) == 1
    for a, b in zip(read(folder / "labelled.extxyz", ":"), read(tmp_path / "labelled.extxyz", ":"), strict=True):
        assert a.info["dftopt_status"] == b.info["dftopt_status"]
        if a.calc is not None:
            assert a.get_potential_energy() == pytest.approx(b.get_potential_energy(), abs=1e-8)
