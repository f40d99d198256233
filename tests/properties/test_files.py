import os

import h5py
import jax
import numpy as np
import pytest
from systems import METAL, aluminium_result, silicon, silicon_result

import dftopt
from dftopt.errors import InputError
from dftopt.properties import containers, files

RESULTS = {"silicon": (silicon_result, {"tol": 1e-12}), "aluminium": (aluminium_result, METAL)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "result.h5"


@pytest.mark.parametrize("name", RESULTS)
def test_round_trip(name, path):
    r = RESULTS[name][0]()
    r.save(path)
    again = dftopt.load(path)
    assert vars(again.energies) == vars(r.energies)
    assert (again.converged, again.verdict, again.fermi_level) == (r.converged, r.verdict, r.fermi_level)
    assert again.diagonality == r.diagonality and again.options == r.options and dict(again.stats) == dict(r.stats)
    for field in ("eigenvalues", "occupations", "history", "errors", "psi", "potential", "kpoints", "weights"):
        np.testing.assert_array_equal(getattr(again, field), getattr(r, field))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(np.all(a == b)), again.point, r.point))
    assert again.basis.fft == r.basis.fft and again.model.atoms == r.model.atoms
    np.testing.assert_array_equal(again.forces(), r.forces())
    np.testing.assert_array_equal(again.stress(), r.stress())
    assert again.gap == r.gap or name == "aluminium"
    assert os.listdir(path.parent) == ["result.h5"]  # nothing half-written stays


@pytest.mark.parametrize("name", RESULTS)
def test_continues_from_a_file(name, path):
    r, options = RESULTS[name][0](), RESULTS[name][1]
    r.save(path)
    again = dftopt.load(path)
    more = dftopt.minimize(again.model, again.basis, start=again, progress=False, **options)
    assert more.stats.iterations <= 1 and more.converged
    assert more.energies.free == pytest.approx(r.energies.free, abs=1e-12)


def test_explicit_points_and_an_unconverged_state_are_kept(path):
    model = silicon()[0]
    basis = dftopt.PlaneWaves(model, ecut=6.0, kpts=silicon()[1].kpoints.k, weights=[0.125, 0.5, 0.375])
    r = dftopt.minimize(model, basis, tol=1e-12, maxiter=1, progress=False)
    r.save(path)
    again = dftopt.load(path)
    assert not again.converged and "maxiter" in again.verdict
    np.testing.assert_array_equal(again.kpoints, r.kpoints)
    np.testing.assert_array_equal(again.weights, r.weights)


def test_a_result_of_changed_inputs_is_refused(path):
    changed = silicon()[0].inputs()
    r = dftopt.minimize(*silicon(), tol=1e-12, inputs=changed, start=silicon_result(), progress=False)
    with pytest.raises(InputError, match="changed inputs"):
        r.save(path)
    assert not path.exists()


def test_a_missing_file_is_named(path):
    with pytest.raises(InputError, match="There is no file .*result.h5"):
        dftopt.load(path)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read|is not"):
        dftopt.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all\n" * 100], ids=["empty", "text"])
def test_garbage_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged or not a result"):
        dftopt.load(path)


@pytest.mark.parametrize("part", [0.02, 0.5, 0.99])
def test_a_truncated_file_is_refused(path, part):
    silicon_result().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(InputError, match="damaged or not a result"):
        dftopt.load(path)


def test_changed_bytes_are_noticed(path):
    """One bit in a hundred places: another result is never read."""
    silicon_result().save(path)
    whole, rng = bytearray(path.read_bytes()), np.random.default_rng(0)
    refused = 0
    for at in rng.integers(len(whole), size=100):
        changed = bytearray(whole)
        changed[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            again = dftopt.load(path)
        except InputError as error:
            assert str(path) in str(error)
            refused += 1
        else:  # between the parts of a file
            assert vars(again.energies) == vars(silicon_result().energies)
            np.testing.assert_array_equal(again.psi, silicon_result().psi)
    assert refused > 50


def test_arrays_larger_than_the_file_are_not_allocated(path):
    silicon_result().save(path)
    with h5py.File(path, "a") as f:
        del f["psi"]
        f.create_dataset("psi", shape=(10**7, 10**7), dtype=complex, chunks=(10, 10))
    with pytest.raises(InputError, match="damaged: its arrays claim 1.6e"):
        dftopt.load(path)


def test_another_kind_of_file_is_refused(path):
    with h5py.File(path, "w") as f:
        f["data"] = np.arange(3)
    with pytest.raises(InputError, match="not a result of dftopt"):
        dftopt.load(path)


def test_a_newer_version_asks_for_an_upgrade(path):
    silicon_result().save(path)
    with h5py.File(path, "a") as f:
        f.attrs["version"] = containers.VERSION + 1
    with pytest.raises(InputError, match="upgrade"):
        dftopt.load(path)


@pytest.mark.parametrize("lost", ["psi", "point/psi", "atoms/numbers", "eigenvalues"])
def test_a_file_without_a_part_is_refused(path, lost):
    silicon_result().save(path)
    with h5py.File(path, "a") as f:
        del f[lost]
    with pytest.raises(InputError, match="damaged"):
        dftopt.load(path)


@pytest.mark.parametrize("change", [{"attrs": "setup"}, {"attrs": "version"}, {"json": "{"}, {"json": "{}"}], ids=str)
def test_a_file_with_damaged_attributes_is_refused(path, change):
    silicon_result().save(path)
    with h5py.File(path, "a") as f:
        if "attrs" in change:
            del f.attrs[change["attrs"]]
        else:
            f.attrs["setup"] = change["json"]
    with pytest.raises(InputError, match="damaged"):
        dftopt.load(path)


def test_a_write_that_fails_leaves_the_older_file(path, monkeypatch):
    silicon_result().save(path)
    before = path.read_bytes()

    def full(f, result):
        f["half"] = np.zeros(1000)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_write", full)
    with pytest.raises(InputError, match="No space left.*older file there is untouched"):
        aluminium_result().save(path)
    assert path.read_bytes() == before and os.listdir(path.parent) == ["result.h5"]


def test_a_folder_that_does_not_exist_or_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        silicon_result().save(tmp_path / "missing" / "result.h5")
    if os.geteuid() == 0:
        return  # root may write anywhere
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot be written"):
        silicon_result().save(locked / "result.h5")
