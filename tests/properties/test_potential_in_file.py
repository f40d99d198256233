"""Saved results hold the files of their potentials."""

import hashlib
import warnings

import h5py
import numpy as np
import pytest
from potential_files import psp8
from systems import low_symmetry_silicon

import dftopt
from dftopt.atoms import gth
from dftopt.properties.containers import seal


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A result whose potential's file is gone."""
    folder = tmp_path_factory.mktemp("saved")
    path = folder / "Si core.psp8"
    path.write_text(psp8(gth.load("Si", "GTH-PBE"), None, True, pspxc=7))
    with pytest.warns(dftopt.DFTOptWarning):
        model = dftopt.Model(low_symmetry_silicon()[0].atoms, xc="PBE", pseudopotentials=str(path))
    result = dftopt.minimize(model, dftopt.PlaneWaves(model, ecut=6.0, kpts=(2, 1, 1)), tol=1e-9, progress=False)
    result.save(folder / "si.h5")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()
    return result, folder / "si.h5", digest


def test_a_result_loads_without_the_file_of_its_potential(saved):
    result, path, digest = saved
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that the file was made for LDA was told when it was computed
        again = dftopt.load(path)
    assert again.energies == result.energies and again.model.notes == result.model.notes != ()
    p, q = result.model.potentials["Si"], again.model.potentials["Si"]
    assert q.identity == p.identity and q.sha256 == digest and q.given == p.given
    assert np.array_equal(p.tables["core"], q.tables["core"])
    assert np.array_equal(result.forces(), again.forces())
    more = dftopt.minimize(again.model, again.basis, tol=1e-9, start=again, progress=False)
    assert more.energies.total == pytest.approx(result.energies.total, abs=1e-8)


def test_a_damaged_potential_in_a_result_is_refused(saved, tmp_path):
    _, path, _ = saved
    broken = tmp_path / "broken.h5"
    broken.write_bytes(path.read_bytes())
    with h5py.File(broken, "r+") as f:
        raw = f["potentials/Si"]
        raw[:] = np.where(np.arange(len(raw)) > 20000, ord("x"), raw[:]).astype(np.uint8)
    with pytest.raises(dftopt.InputError, match="its checksum is wrong"):
        dftopt.load(broken)
    with h5py.File(broken, "r+") as f:
        seal(f)
    with pytest.raises(dftopt.InputError, match="Si core.psp8"):
        dftopt.load(broken)
