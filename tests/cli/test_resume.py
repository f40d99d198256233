"""Runs that end early, and what happens when they are started again."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from systems import silicon_result
from test_run import INPUT

import dftopt
from dftopt.cli.main import main

HOLD = """
import fcntl, os, sys, time
file = open(sys.argv[1], "w"); fcntl.lockf(file, fcntl.LOCK_EX); file.write(str(os.getpid())); file.flush()
print("held", flush=True); time.sleep(60)
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the silicon of `test_run` in an empty folder with more flags."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "si.toml").write_text(INPUT.split("[bands]")[0])
    return lambda *flags: main(["run", "si.toml", "--tol", "1e-9", *flags])


def energy(tmp_path) -> float:
    return json.loads((tmp_path / "out/si/result.json").read_text())["energies"]["free"]


def test_an_unfinished_run_goes_on(run, tmp_path, capsys):
    assert run("--maxiter", "4") == 1
    assert "--resume continues it" in capsys.readouterr().out
    assert run() == 2  # nothing is overwritten
    assert "Continue it with --resume" in " ".join(capsys.readouterr().err.split())
    assert run("--resume") == 0
    printed = capsys.readouterr().out
    assert "orbitals of an earlier result: not converged: 4 evaluations" in printed
    assert energy(tmp_path) == pytest.approx(float(silicon_result().energies.free), abs=1e-9)
    assert (tmp_path / "out/si/log.txt").read_text().count("structure       Si2") == 2  # both runs are in the log


def test_a_finished_run_is_finished(run, tmp_path):
    assert run() == 0
    before = energy(tmp_path)
    assert run("--resume") == 0
    assert energy(tmp_path) == pytest.approx(before, abs=1e-10)


def test_there_may_be_nothing_to_resume(run, tmp_path):
    """A script may always say --resume."""
    assert run("--resume") == 0
    assert energy(tmp_path) == pytest.approx(float(silicon_result().energies.free), abs=1e-9)


@pytest.mark.parametrize(
    ("flags", "named"),
    [(["--ecut", "170eV"], "ecut"), (["--kpts", "1", "1", "2"], "k points"), (["--xc", "PBE"], "xc")],
)
def test_another_calculation_is_refused(run, tmp_path, capsys, flags, named):
    assert run("--maxiter", "2") == 1
    before = (tmp_path / "out/si/result.h5").read_bytes()
    assert run("--resume", *flags) == 2
    assert "another calculation" in (error := capsys.readouterr().err) and named in " ".join(error.split())
    assert (tmp_path / "out/si/result.h5").read_bytes() == before


def test_a_damaged_state_is_refused_and_left_alone(run, tmp_path, capsys):
    (tmp_path / "out/si").mkdir(parents=True)
    (tmp_path / "out/si/checkpoint.h5").write_bytes(b"\x89HDF\r\n\x1a\n and then nothing")
    assert run("--resume") == 2
    assert "damaged" in capsys.readouterr().err
    assert (tmp_path / "out/si/checkpoint.h5").exists()
    assert run("--overwrite") == 0
    assert not (tmp_path / "out/si/checkpoint.h5").exists()


def test_walltime_ends_with_the_state_saved(run, tmp_path, capsys):
    assert run("--walltime", "0.001s") == 1
    printed = capsys.readouterr().out
    assert "Interrupted by --walltime" in printed and "not converged: interrupted" in printed
    saved = dftopt.load(tmp_path / "out/si/result.h5")
    assert not saved.converged and saved.stats.iterations > 0
    assert run("--resume", "--walltime", "1h") == 0
    assert energy(tmp_path) == pytest.approx(float(silicon_result().energies.free), abs=1e-9)


def test_two_processes_on_one_folder(run, tmp_path, capsys):
    (tmp_path / "out/si").mkdir(parents=True)
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "out/si/.result.lock")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "held\n"
        assert run() == 2
        assert f"another dftopt (process {other.pid})" in " ".join(capsys.readouterr().err.split())
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    assert run() == 0  # its lock died with it


def test_a_full_disk_loses_no_numbers(run, tmp_path, capsys, monkeypatch):
    """What cannot be written is told after the numbers were printed, and older files are intact."""
    (tmp_path / "out/si").mkdir(parents=True)
    (tmp_path / "out/si/convergence.png").mkdir()  # stands for whatever keeps a file from being written
    assert run("--overwrite") == 1
    captured = capsys.readouterr()
    assert "E(T -> 0)" in captured.out and "not everything could be written" in " ".join(captured.err.split())
    assert energy(tmp_path) == pytest.approx(float(silicon_result().energies.free), abs=1e-9)


@pytest.mark.slow
def test_kill_9_at_any_moment(tmp_path):
    """Killed at odd moments of a run with a checkpoint: --resume gives the same energy."""
    (tmp_path / "si.toml").write_text(INPUT.split("[bands]")[0])
    flags = ["si.toml", "--tol", "1e-11", "--resume", "--save-every", "0.001s"]
    command = [sys.executable, "-m", "dftopt.cli.main", "run", *flags]
    for delay in (0.0, 0.05, 0.3):
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            if line.startswith("iteration"):
                time.sleep(delay)
                os.kill(process.pid, signal.SIGKILL)
                break
        process.stdout.close()
        process.wait()
    assert subprocess.run(command, cwd=tmp_path, stdout=subprocess.DEVNULL).returncode == 0
    assert energy(tmp_path) == pytest.approx(float(silicon_result().energies.free), abs=1e-9)
