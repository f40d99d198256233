"""Many structures in one call: each as its own run gives it, whatever its neighbours do."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import dftopt
from dftopt.errors import InputError
from dftopt.minimization import several

METAL = {"temperature": 0.01, "nbands": 7, "tol": 1e-11, "progress": False}


def aluminium(n: int) -> tuple[list, list]:
    """Pairs of atoms of different edges, every second one with a magnesium atom: fewer electrons, the same arrays."""
    models = []
    for i in range(n):
        atoms = Atoms(["Al", "Mg" if i % 2 else "Al"], cell=[3.2 + 0.01 * i] * 3, pbc=True)
        atoms.set_scaled_positions([[0, 0, 0], [0.5, 0.5, 0.5 + 0.01 * i]])
        models.append(dftopt.Model(atoms, xc="LDA", pseudopotentials={"Mg": "GTH-PADE-q2"} if i % 2 else None))
    return models, dftopt.PlaneWaves.alike(models, ecut=3.0, kpts=(1, 1, 2))


@pytest.fixture(scope="module")
def alone():
    return [dftopt.minimize(m, b, **METAL) for m, b in zip(*aluminium(5), strict=True)]


def same(a, b) -> None:
    assert a.verdict == b.verdict and a.converged
    assert float(a.energies.free) == pytest.approx(float(b.energies.free), abs=1e-11)
    np.testing.assert_allclose(a.eigenvalues, b.eigenvalues, atol=1e-7)
    np.testing.assert_allclose(a.occupations, b.occupations, atol=1e-6)
    np.testing.assert_allclose(a.forces(), b.forces(), atol=2e-6)
    assert (a.stats.evaluations, a.stats.ffts) == (b.stats.evaluations, b.stats.ffts)


@pytest.fixture
def few_places(monkeypatch):
    """Two places, so that structures have to wait for each other."""
    seen = []

    def places(n):
        seen.append(n)
        return several.Places(1, 2, 1)

    monkeypatch.setattr(several, "_places", places)
    return seen


def test_results_are_those_of_each_alone(alone, few_places):
    models, bases = aluminium(5)
    assert len({(b.nk, b.fft, b.npw) for b in bases}) == 1
    steps: list = []
    together = dftopt.minimize(models, bases, **{**METAL, "progress": steps.append})
    assert 5 in few_places  # they were computed together
    for a, b, model in zip(together, alone, models, strict=True):
        same(a, b)
        assert a.model is model
    assert {s.structure for s in steps} == set(range(5))
    last = {s.structure: s.free_energy for s in steps}
    assert [last[i] for i in range(5)] == pytest.approx([float(r.energies.free) for r in alone], abs=1e-9)


def test_one_structure_at_once_or_all(alone, monkeypatch):
    """As an accelerator computes them."""
    monkeypatch.setattr(several, "_places", lambda n: several.Places(1, 3, 3))
    for a, b in zip(dftopt.minimize(*aluminium(3), **METAL), alone, strict=False):
        same(a, b)


def test_what_has_ended_goes_on_nowhere(few_places):
    """One is told to stop, one may only evaluate so often: the others do not notice."""
    models, bases = aluminium(3)
    stop = lambda step: step.structure == 1
    results = dftopt.minimize(models, bases, **{**METAL, "progress": stop})
    assert [r.converged for r in results] == [True, False, True]
    assert "interrupted" in results[1].verdict
    short = dftopt.minimize(models, bases, **METAL, maxiter=4)
    assert [r.stats.evaluations for r in short] == [4] * 3 and not any(r.converged for r in short)


def test_starts_of_their_own(alone, few_places):
    """Earlier results as starts, which stay as they are."""
    models, bases = aluminium(3)
    again = dftopt.minimize(models, bases, **METAL, start=list(alone[:3]))
    for a, b in zip(again, alone, strict=False):
        assert float(a.energies.free) == pytest.approx(float(b.energies.free), abs=1e-11)
        assert a.stats.evaluations < b.stats.evaluations
        assert np.isfinite(np.asarray(b.point["psi"])).all()


def test_a_start_is_not_used_up(alone):
    """The descent writes over its state; the result it began from is the caller's."""
    model, basis = alone[0].model, alone[0].basis
    for _ in range(2):
        dftopt.minimize(model, basis, **METAL, start=alone[0])
    assert np.isfinite(np.asarray(alone[0].point["psi"])).all()


def test_insulators_spins_and_real_orbitals(few_places):
    """T = 0, where empty bands come afterwards; open shells, whose channels fill unequally; and Gamma alone."""
    models = []
    for i in range(2):
        atoms = bulk("Si", a=5.4 + 0.01 * i)
        atoms.rattle(0.02, seed=i)
        models.append(dftopt.Model(atoms, xc="LDA"))
    bases = dftopt.PlaneWaves.alike(models, ecut=3.0)
    given = {"tol": 1e-11, "progress": False}
    for a, m, b in zip(dftopt.minimize(models, bases, **given), models, bases, strict=True):
        same(a, dftopt.minimize(m, b, **given))
    boxes = [
        dftopt.Model(Atoms("Li", cell=[4 + 0.01 * i] * 3, pbc=True, magmoms=[1]), pseudopotentials="GTH-PADE-q1", xc="LDA", spinpol=True)
        for i in range(2)
    ]  # fmt: skip
    bases = dftopt.PlaneWaves.alike(boxes, ecut=3.0)
    for a, m, b in zip(dftopt.minimize(boxes, bases, **given), boxes, bases, strict=True):
        same(a, dftopt.minimize(m, b, **given))
        assert a.magnetization == pytest.approx(1.0)


def test_nothing_is_compiled_for_the_next_list(few_places):
    dftopt.minimize(*aluminium(3), **METAL)
    assert all(r.stats.compilations == 0 for r in dftopt.minimize(*aluminium(3), **METAL))


def test_arrivals_are_told(few_places, capsys):
    dftopt.minimize(*aluminium(3), **{**METAL, "progress": True})
    told = [line for line in capsys.readouterr().err.splitlines() if "arrived" in line]
    assert told[-1] == "3 of 3 structures of one shape have arrived"


def test_what_is_wrong_is_told_before_anything_starts():
    models, bases = aluminium(2)
    with pytest.raises(InputError, match="start = 'warm'"):
        dftopt.minimize(models, bases, **METAL, start=["atomic", "warm"])
    with pytest.raises(InputError, match="structure 1 of 2.*ecut"):
        huge = dftopt.Model(Atoms("Al", cell=[900.0] * 3, pbc=True), xc="LDA")
        dftopt.PlaneWaves.alike([models[0], huge], ecut=200.0)
    with pytest.raises(InputError, match="progress = 3"):
        dftopt.minimize(models, bases, **{**METAL, "progress": 3})
    with pytest.raises(InputError, match="leave out like"):
        dftopt.PlaneWaves.alike(models, ecut=3.0, like=bases[0])


def test_devices_share_structures():
    """Two devices, in a process that has them."""
    code = (
        "import dftopt; dftopt.use_cores(2)\n"
        "from test_several import METAL, aluminium, same\n"
        "models, bases = aluminium(3)\n"
        "together = dftopt.minimize(models, bases, **METAL)\n"
        "import jax; assert jax.local_device_count() == 2\n"
        "for a, m, b in zip(together, models, bases): same(a, dftopt.minimize(m, b, **METAL))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
