"""A minimization that is ended, by whatever, goes on from its file."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from systems import METAL, aluminium, aluminium_result, low_symmetry_silicon, silicon, silicon_result

import dftopt
from dftopt.errors import DFTOptWarning, InputError
from dftopt.minimization import checkpoint as saving

QUIET = {"progress": False, "tol": 1e-12}


def interrupted(path, model, basis, **options):
    return dftopt.minimize(model, basis, checkpoint=path, **{**QUIET, **options, "maxiter": 6})


def test_it_goes_on(tmp_path):
    path = tmp_path / "si.checkpoint"
    first = interrupted(path, *silicon())
    assert not first.converged and first.stats["evaluations"] == 6
    second = dftopt.minimize(*silicon(), checkpoint=path, **QUIET)
    assert second.converged
    assert float(second.energies.free) == pytest.approx(float(silicon_result().energies.free), abs=1e-10)
    assert second.stats["evaluations"] < silicon_result().stats["evaluations"] + 6
    assert second.history[0] == first.history[0] and np.all(np.diff(second.history) < 1e-12)
    third = dftopt.minimize(*silicon(), checkpoint=path, **QUIET)  # it stays when the minimum is reached
    assert third.converged and third.stats["evaluations"] <= second.stats["evaluations"] + 2


def test_a_metal_goes_on(tmp_path):
    path = tmp_path / "al"
    assert not interrupted(path, *aluminium(), **METAL).converged
    second = dftopt.minimize(*aluminium(), checkpoint=path, progress=False, **METAL)
    assert float(second.energies.free) == pytest.approx(float(aluminium_result().energies.free), abs=1e-10)
    assert second.fermi_level == pytest.approx(aluminium_result().fermi_level, abs=1e-7)


def test_another_calculation_is_refused(tmp_path):
    path = tmp_path / "si"
    interrupted(path, *silicon())
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"belongs to another calculation: its .* Give another path"):
        dftopt.minimize(*low_symmetry_silicon("LDA"), checkpoint=path, **QUIET)
    with pytest.raises(InputError, match="its temperature"):
        dftopt.minimize(*silicon(), temperature=0.01, checkpoint=path, **QUIET)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text"])
def test_damage_is_noticed(tmp_path, damage):
    path = tmp_path / "si"
    interrupted(path, *silicon())
    whole = path.read_bytes()
    middle = len(whole) // 2
    broken = {
        "truncated": whole[:middle],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "empty": b"",
        "text": b"not a checkpoint",
    }[damage]
    path.write_bytes(broken)
    with pytest.raises(InputError, match=f"{path} is damaged .* no older one is whole"):
        dftopt.minimize(*silicon(), checkpoint=path, **QUIET)
    assert path.read_bytes() == broken
    path.with_name("si.previous").write_bytes(whole)
    with pytest.warns(DFTOptWarning, match="saved before it, is used"):
        again = dftopt.minimize(*silicon(), checkpoint=path, **QUIET)
    assert float(again.energies.free) == pytest.approx(float(silicon_result().energies.free), abs=1e-10)


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="cannot be written: No such file"):
        interrupted(tmp_path / "missing" / "si", *silicon())
    with pytest.raises(InputError, match="is a folder"):
        interrupted(tmp_path, *silicon())


def test_a_full_disk_ends_nothing(tmp_path, monkeypatch):
    path = tmp_path / "si"
    interrupted(path, *silicon())
    before = path.read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "packed", full)
    with pytest.warns(DFTOptWarning, match="No space left on device.*untouched"):
        result = dftopt.minimize(*silicon(), checkpoint=path, **QUIET)
    assert result.converged and path.read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


HOLD = """
import sys, time
from pathlib import Path
from dftopt.locks import hold
lock = hold(Path(sys.argv[1]), "", "")
print(1, flush=True)
time.sleep(60)
"""


def test_one_process_at_a_time(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "si.lock")], stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"1\n"
        with pytest.raises(InputError, match=f"process {other.pid}.* writes to checkpoint = .*or give another path"):
            interrupted(tmp_path / "si", *silicon())
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


def test_every_start_has_its_own_file(tmp_path):
    from ase import Atoms

    model = dftopt.Model(
        Atoms("H", cell=[4, 4, 4], pbc=True, magmoms=[1.0]),
        xc="LDA",
        spinpol=True,
        pseudopotentials={"H": "GTH-PADE-q1"},
    )
    basis = dftopt.PlaneWaves(model, ecut=5.0, kpts=(1, 1, 1))
    result = dftopt.minimize(model, basis, starts=2, checkpoint=tmp_path / "h", tol=1e-6, progress=False)
    assert len(result.starts) == 2
    kept = sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".previous")
    assert kept == ["h.0", "h.0.lock", "h.1", "h.1.lock"]


KILLED = """
import sys
sys.path.insert(0, sys.argv[2])
from systems import silicon
import dftopt
from dftopt.minimization import checkpoint, loop
checkpoint.EVERY, loop.CHUNK, loop.LONGEST = 0.0, 2, 0.0
checkpoint.Checkpoint.due = lambda self: True
result = dftopt.minimize(*silicon(), checkpoint=sys.argv[1], tol=1e-12, progress=lambda step: print(step.iterations, flush=True))
print("energy", repr(float(result.energies.free)))
"""


@pytest.mark.slow
def test_kill_9_at_twenty_moments(tmp_path):
    """No file is ever broken, and the energy is the same."""
    seen, rng = set(), np.random.default_rng(0)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "si"), os.path.dirname(os.path.dirname(__file__))]
    for _ in range(20):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            seen.add(line)
            time.sleep(rng.uniform(0, 0.05))
            if rng.uniform() < 0.3:
                break
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        for path in (tmp_path / "si", tmp_path / "si.previous"):
            assert not path.exists() or saving.unpacked(path)
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert len(seen) > 3
    assert float(printed.split()[-1]) == pytest.approx(float(silicon_result().energies.free), abs=1e-8)
