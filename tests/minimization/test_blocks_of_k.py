"""A block of k points on the device at a time: the minimum of the whole zone, and its derivatives."""

from functools import lru_cache

import numpy as np
import pytest
from ase import Atoms
from systems import METAL, aluminium, aluminium_result, low_symmetry_silicon, silicon

import dftopt
from dftopt.minimization import on_disk
from dftopt.minimization.forecast import forecast
from dftopt.minimization.zone import Zone


def same(a, b, forces=1e-6):
    """Two results of one calculation, each to its own accuracy."""
    assert a.converged and b.converged
    assert abs(a.energies.free - b.energies.free) < 1e-10
    n = a.eigenvalues.shape[2] - 2  # the last ones are the least converged
    np.testing.assert_allclose(a.eigenvalues[..., :n], b.eigenvalues[..., :n], atol=1e-6)
    np.testing.assert_allclose(a.occupations, b.occupations, atol=1e-6)
    np.testing.assert_allclose(a._forces, b._forces, atol=forces)
    np.testing.assert_allclose(a.stress(), b.stress(), atol=1e-8)
    np.testing.assert_allclose(a.density(), b.density(), atol=1e-6)


@lru_cache
def in_blocks():
    model, basis = aluminium(symmetry=False)
    options = {**METAL, "tol": 1e-13}
    return dftopt.minimize(model, basis, **options, kpoints_at_once=3, progress=False)  # 3, 3 and 2


def test_metal_in_blocks_is_that_of_the_whole_zone():
    model, basis = aluminium(symmetry=False)
    assert basis.nk == 8
    same(in_blocks(), dftopt.minimize(model, basis, **{**METAL, "tol": 1e-13}, progress=False))


def test_symmetry_holds_across_blocks():
    found = in_blocks()
    assert abs(found.energies.free - aluminium_result().energies.free) < 1e-10
    assert len(Zone.of_device(found.model, found.basis, None, 3).blocks) == 3


def test_result_goes_on_in_memory_and_back(tmp_path):
    model, basis = aluminium(symmetry=False)
    whole = dftopt.minimize(model, basis, **METAL, start=in_blocks(), progress=False)
    assert whole.stats["evaluations"] <= 6
    again = dftopt.minimize(model, basis, **METAL, start=whole, kpoints_at_once=3, progress=False)
    assert again.stats["evaluations"] <= 6
    in_blocks().save(tmp_path / "blocks.h5")
    loaded = dftopt.load(tmp_path / "blocks.h5")
    assert loaded.options.kpoints_at_once == 3
    np.testing.assert_allclose(loaded.stress(), in_blocks().stress(), atol=1e-12)


def test_a_checkpoint_goes_on(tmp_path):
    model, basis = aluminium(symmetry=False)
    options = {**METAL, "tol": 1e-13, "kpoints_at_once": 3, "checkpoint": tmp_path / "state.npz"}
    first = dftopt.minimize(model, basis, **options, progress=lambda step: step.iterations == 4)
    assert first.status == "interrupted"
    found = dftopt.minimize(model, basis, **options, progress=False)
    assert found.converged and len(found.history) > len(first.history)
    np.testing.assert_allclose(found.history[: len(first.history)], first.history, rtol=0, atol=0)
    assert abs(found.energies.free - in_blocks().energies.free) < 1e-11


@pytest.mark.slow
def test_insulator_gga_and_metagga():
    for xc in ("PBE", "r2SCAN"):
        model, basis = low_symmetry_silicon(xc)
        whole = dftopt.minimize(model, basis, tol=1e-13, progress=False)
        same(dftopt.minimize(model, basis, tol=1e-13, kpoints_at_once=1, progress=False), whole)


@pytest.mark.slow
def test_spins_with_different_numbers_of_bands():
    model = dftopt.Model(Atoms("N", positions=[[1, 1, 1]], cell=[4, 4, 4], pbc=True), xc="LDA", spinpol=True)
    basis = dftopt.PlaneWaves(model, ecut=8, kpts=(1, 1, 4))
    options = {"magnetization": 3, "tol": 1e-13, "progress": False}
    same(dftopt.minimize(model, basis, **options, kpoints_at_once=2), dftopt.minimize(model, basis, **options))


@pytest.mark.slow
def test_rotations_of_their_own():
    model, basis = aluminium(symmetry=False)
    options = {**METAL, "parametrization": "capped-simplex", "progress": False}
    same(dftopt.minimize(model, basis, **options, kpoints_at_once=2), dftopt.minimize(model, basis, **options))


def test_a_run_that_is_stopped_says_so():
    model, basis = aluminium(symmetry=False)
    seen = []
    stop = lambda step: seen.append(step) or len(seen) == 3
    found = dftopt.minimize(model, basis, **METAL, kpoints_at_once=3, progress=stop)
    assert found.status == "interrupted" and len(seen) == 3
    assert len(found.history) == sum(len(s.accepted) for s in seen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kpoints_at_once": 0}, "kpoints_at_once = 0 has to be a whole number"),
        ({"kpoints_at_once": 2, "minimizer": "lbfgs"}, "goes with minimizer = 'cg'"),
        ({"kpoints_at_once": 2, "temperature": 0.01, "parametrization": "row-norm"}, "mixes all k points"),
    ],
)
def test_what_does_not_go_with_it(options, message):
    model, basis = silicon(symmetry=False)
    with pytest.raises(dftopt.InputError, match=message):
        dftopt.minimize(model, basis, **options)


def test_a_full_disk_is_refused(monkeypatch):
    monkeypatch.setattr(on_disk.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(dftopt.InputError, match="Set TMPDIR to a larger disk"):
        on_disk.OnDisk().make("psi", (1, 10, 2, 8), complex)


def test_too_many_k_points_are_refused_with_the_remedy(monkeypatch):
    from dftopt.atoms import checks

    model, basis = silicon(symmetry=False)
    between = 0.5 * (forecast(model, basis)["memory_gib"] + forecast(model, basis, kpoints_at_once=1)["memory_gib"])
    monkeypatch.setattr(checks, "memory_limit_gib", lambda: between)
    with pytest.raises(dftopt.InputError, match="Or give kpoints_at_once"):
        dftopt.minimize(model, basis)
