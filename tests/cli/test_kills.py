"""Workflows killed again and again at odd moments: with --resume they end where an undisturbed one does."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from test_relax_eos import BULK, KEYS, STRUCTURE

FLOWS = {  # command: structure, flags, the file that grows with finished pieces, kills, numbers of the result, and how equal
    "relax": (STRUCTURE, ["--fmax", "1meV/A"], "relax.traj", 5, ["free_energy_eV"], 1e-6),
    "eos": (BULK, ["--points", "7"], "eos.journal", 3, ["V0_angstrom3", "B0_GPa"], 1e-5),
    # 1e-9 hartree/bohr of forces, first order in the distance to the minimum
    "phonons": (
        STRUCTURE,
        ["--supercell", "1", "1", "1", "--tol", "1e-14"],
        "phonons.journal",
        3,
        ["gamma_raw_cm1"],
        0.01,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", FLOWS)
def test_kill_9_loses_no_piece(command, write, tmp_path):
    structure, flags, grows, kills, numbers, equal = FLOWS[command]
    write(KEYS, structure)
    rng = np.random.default_rng(len(command))

    def start(folder: str, *more: str) -> subprocess.Popen:
        arguments = [command, "input.toml", "--out", folder, *flags, *more]
        return subprocess.Popen([sys.executable, "-m", "dftopt.cli.main", *arguments], stdout=subprocess.DEVNULL)

    def found(folder: str) -> np.ndarray:
        data = json.loads((tmp_path / folder / f"{command}.json").read_text())
        return np.concatenate([np.ravel(data[key]) for key in numbers])

    assert start("undisturbed").wait() == 0
    pieces, killed = tmp_path / "killed" / grows, 0
    for _ in range(kills):
        before = pieces.stat().st_size if pieces.exists() else 0
        process = start("killed", "--resume")
        while process.poll() is None:
            if pieces.exists() and pieces.stat().st_size > before:  # after the next piece, somewhere in the one after
                time.sleep(0.1 * rng.random())
                os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(0.002)
        killed += process.wait() == -signal.SIGKILL
    assert killed >= 2  # the others had ended by themselves
    assert start("killed", "--resume").wait() == 0
    np.testing.assert_allclose(found("killed"), found("undisturbed"), rtol=0, atol=equal)
