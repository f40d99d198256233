"""What can go wrong while a calculation runs and in its files: nothing is silently wrong, nothing is lost."""

import json
import os
import subprocess
import sys
import threading

import jax
import numpy as np
import optax
import pytest
from ase.build import bulk
from systems import silicon as small_silicon
from systems import silicon_result

import dftopt
from dftopt.errors import InputError, NotConverged


def silicon():
    return bulk("Si", a=5.43)


FAST = "ecut = 120.0\nkpts = [1, 1, 1]\nxc = 'LDA'\noccupations = 'fixed'"


def test_not_converged(cli, tmp_path):
    status, text = cli(FAST + "\nmaxiter = 2")
    assert status == 1 and "not converged: 2 evaluations reached" in text
    data = json.loads((tmp_path / "out/input/result.json").read_text())
    assert data["converged"] is False and np.isfinite(data["energies"]["free"])
    saved = dftopt.load(tmp_path / "out/input/result.h5")
    assert saved.status == "not converged"
    with pytest.raises(NotConverged, match="would be wrong .* Continue it with"):
        saved.forces()
    assert np.isfinite(saved.forces(allow_unconverged=True)).all()
    with pytest.raises(NotConverged):
        saved.stress()


def test_divergence():
    """Steps that are far too long: the last good point stays, and the verdict says what happened."""
    result = dftopt.minimize(*small_silicon(), minimizer=optax.sgd(1e300), maxiter=60, progress=False)
    assert not result.converged and "not finite" in result.verdict
    assert np.isfinite(float(result.energies.free)) and np.isfinite(result.eigenvalues).all()


def test_interrupted_and_killed_runs_go_on(tmp_path):
    """A run that was ended from outside and the same call again; kill -9 itself is in the slow tests."""
    path = tmp_path / "si"
    first = dftopt.minimize(*small_silicon(), tol=1e-12, checkpoint=path, progress=lambda step: step.evaluations > 1)
    assert first.status == "interrupted"
    second = dftopt.minimize(*small_silicon(), tol=1e-12, checkpoint=path, progress=False)
    assert float(second.energies.free) == pytest.approx(float(silicon_result().energies.free), abs=1e-8)


def test_interrupt_from_the_keyboard_saves(tmp_path):
    def press(step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dftopt.minimize(*small_silicon(), tol=1e-12, checkpoint=tmp_path / "si", progress=press)
    assert (tmp_path / "si").exists()


def test_files_of_another_calculation(tmp_path):
    other = dftopt.Model(silicon().repeat((1, 1, 2)), xc="LDA")
    basis = dftopt.PlaneWaves(other, ecut=4.0, kpts=(1, 1, 1))
    with pytest.raises(InputError, match="start"):
        dftopt.minimize(other, basis, start=silicon_result(), progress=False)


def test_full_disk(tmp_path):
    """A limit on the size of files stands for a disk that is full: older files are intact."""
    script = """
import resource, sys
import dftopt
from dftopt.errors import InputError
sys.path.insert(0, sys.argv[2])
from systems import silicon
r = dftopt.minimize(*silicon(), maxiter=2, progress=False)
r.save(sys.argv[1])
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    r.save(sys.argv[1])
except InputError as error:
    print(error)
"""
    path = tmp_path / "si.h5"
    tests = os.path.dirname(os.path.dirname(__file__))
    run = subprocess.run([sys.executable, "-c", script, str(path), tests], capture_output=True, text=True)
    assert "cannot be written" in run.stdout and "untouched" in run.stdout, run.stderr
    assert dftopt.load(path).stats["evaluations"] == 2
    assert os.listdir(tmp_path) == ["si.h5"]


def test_folder_that_cannot_be_made(cli, tmp_path):
    (tmp_path / "file").write_text("")
    status, text = cli(FAST, '[structure]\nbulk = "Si"\na = 5.43', "--out", "file/out")
    assert status == 2 and "'file/out' cannot be written" in text and "iteration" not in text


def test_results_are_not_overwritten(cli, tmp_path):
    (tmp_path / "out/input").mkdir(parents=True)
    (tmp_path / "out/input/result.json").write_text("{}")
    status, text = cli(FAST)
    assert status == 2 and "exists already" in text and "--overwrite" in text
    assert (tmp_path / "out/input/result.json").read_text() == "{}"


def test_single_precision_is_never_silent():
    """The package switches double precision on; a user who switched it off again is told."""
    script = "import dftopt, jax; dftopt.Model; jax.config.update('jax_enable_x64', False)\n" + (
        "from ase.build import bulk\nm = dftopt.Model(bulk('Si', a=5.43), xc='LDA')\nb = dftopt.PlaneWaves(m, ecut=4.0)\n"
        "try: r = dftopt.minimize(m, b, maxiter=1, progress=False); print(r.psi.dtype)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "InputError" in run.stdout and "jax_enable_x64" in run.stdout, run.stdout


def test_platform_that_is_absent():
    run = subprocess.run(
        [sys.executable, "-m", "dftopt.cli.main", "info"],
        env={**os.environ, "JAX_PLATFORMS": "cuda"}, capture_output=True, text=True,
    )  # fmt: skip
    assert "Traceback" not in run.stderr
    assert run.returncode in (0, 2)


def test_derivatives_of_what_is_not_a_minimum():
    result = dftopt.minimize(*small_silicon(), maxiter=2, progress=False)
    with pytest.raises(NotConverged):
        result.forces()


def test_calculator_notices_changes():
    """What it remembers belongs to these atoms and keywords alone; see also tests/calculator/test_ase_calculator.py."""
    atoms = silicon()
    atoms.calc = dftopt.DFTOpt(xc="LDA", ecut=120, kpts=(1, 1, 1), occupations={"name": "fixed"}, txt=None)
    first = atoms.get_potential_energy()
    atoms.set_cell(atoms.cell * 1.02, scale_atoms=True)
    second = atoms.get_potential_energy()
    fresh = atoms.copy()
    fresh.calc = dftopt.DFTOpt(xc="LDA", ecut=120, kpts=(1, 1, 1), occupations={"name": "fixed"}, txt=None)
    assert abs(second - first) > 1e-3
    assert second == pytest.approx(fresh.get_potential_energy(), abs=1e-6)


def test_odd_paths(tmp_path):
    folder = tmp_path / "Größe und 空格" / ("x" * 200)
    folder.mkdir(parents=True)
    silicon_result().save(folder / "ré sult.h5")
    assert dftopt.load(folder / "ré sult.h5").converged


def test_same_input_twice():
    a, b = (dftopt.minimize(*small_silicon(), progress=False) for _ in range(2))
    assert float(a.energies.free) == float(b.energies.free)
    np.testing.assert_array_equal(a.eigenvalues, b.eigenvalues)


def test_threads_of_one_process(tmp_path):
    """Two minimizations at a time, as a web service would run them."""
    found = []
    work = lambda: found.append(float(dftopt.minimize(*small_silicon(), progress=False).energies.free))
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]


def test_no_nan_reaches_a_user():
    leaves = jax.tree.leaves(vars(silicon_result().energies))
    assert np.isfinite(np.array(leaves, float)).all()
