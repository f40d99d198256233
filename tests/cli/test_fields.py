"""`dftopt fields`, and the flags of `dos` and `bands` that project on atomic orbitals."""

import json

import numpy as np
import pytest
from ase.io.cube import read_cube
from slabs import slab
from systems import aluminium_result, silicon_result

from dftopt.cli.main import main
from dftopt.properties.planar import work_function
from dftopt.properties.projections import loewdin_charges
from dftopt.properties.volumetric import density, orbital, potential
from dftopt.units import HARTREE_IN_EV


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Files of results by name."""
    folder = tmp_path_factory.mktemp("saved")
    files = {}
    for name, result in (("si", silicon_result), ("al", aluminium_result), ("slab", slab)):
        files[name] = str(folder / f"{name}.h5")
        result().save(files[name])
    return files


def cube(path):
    with path.open() as file:
        return read_cube(file)["data"]


def test_the_density_is_the_default(saved, tmp_path, capsys):
    assert main(["fields", saved["si"], "--out", str(tmp_path)]) == 0
    np.testing.assert_allclose(cube(tmp_path / "density.cube"), density(silicon_result()), rtol=1e-5)
    assert json.loads((tmp_path / "fields.json").read_text())["files"] == ["density.cube"]
    assert "density.cube" in capsys.readouterr().out
    assert main(["fields", saved["si"], "--out", str(tmp_path)]) == 2
    assert "exists already" in " ".join(capsys.readouterr().err.split())  # whatever the width of the path


def test_fields_orbitals_and_planes(saved, tmp_path):
    words = ["kohn-sham", "--orbital", "0", "3", "--k", "1", "--plane", "0", "1", "1", "--size", "8A"]
    assert main(["fields", saved["si"], *words, "--out", str(tmp_path)]) == 2  # one line
    words = ["kohn-sham", "--orbital", "0", "3", "--k", "1", "--plane", "--size", "8A"]
    assert main(["fields", saved["si"], *words, "--out", str(tmp_path), "--overwrite"]) == 0
    names = {p.name for p in tmp_path.iterdir()}
    assert {"kohn-sham.cube", "kohn-sham.png", "kohn-sham.csv"} <= names
    assert {"orbital-k1-band0.cube", "orbital-k1-band3.png"} <= names
    r = silicon_result()
    np.testing.assert_allclose(cube(tmp_path / "kohn-sham.cube"), potential(r)[0], rtol=1e-5)
    square = np.abs(orbital(r, 0, 1)) ** 2
    np.testing.assert_allclose(cube(tmp_path / "orbital-k1-band0.cube"), square, rtol=1e-4, atol=1e-9)
    words = ["--orbital", "0", "--part", "real", "--format", "xsf", "--json", str(tmp_path / "x.json")]
    assert main(["fields", saved["si"], *words, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "orbital-k0-band0.xsf").exists() and (tmp_path / "x.json").exists()


def test_work_function(saved, tmp_path, capsys):
    assert main(["fields", saved["slab"], "--work-function", "--out", str(tmp_path)]) == 0
    data = json.loads((tmp_path / "fields.json").read_text())["work_function"]
    w = work_function(slab()).value * HARTREE_IN_EV
    assert data["work_function_eV"] == pytest.approx(w, abs=1e-6)
    assert f"{w:.4f} eV" in capsys.readouterr().out
    assert (tmp_path / "potential.png").exists() and (tmp_path / "potential.csv").exists()


def test_fermi_surface_and_charges(saved, tmp_path, capsys):
    assert main(["fields", saved["al"], "--fermi-surface", "--charges", "--out", str(tmp_path)]) == 0
    assert "BANDGRID_3D" in (tmp_path / "fermi-surface.bxsf").read_text()
    found = json.loads((tmp_path / "fields.json").read_text())["loewdin"]
    expected = loewdin_charges(aluminium_result())
    np.testing.assert_allclose(found["populations"], expected.populations, atol=1e-7)
    assert f"{expected.electrons[0]:8.4f}" in capsys.readouterr().out


def test_projected_density_of_states(saved, tmp_path):
    words = ["--projected", "--tetrahedra", "--out", str(tmp_path), "--json", str(tmp_path / "dos.json")]
    assert main(["dos", saved["si"], *words]) == 0
    header = (tmp_path / "dos.csv").read_text().splitlines()[0]
    assert header == "energy_eV,states_per_eV_cell,Si_s_states_per_eV_cell,Si_p_states_per_eV_cell"
    assert list(json.loads((tmp_path / "dos.json").read_text())["parts_per_eV_cell"]) == ["Si s", "Si p"]


def test_fat_bands(saved, tmp_path):
    words = ["--fat", "atom l", "--path", "GX", "--npoints", "4", "--out", str(tmp_path)]
    assert main(["bands", saved["si"], *words]) == 0
    data = json.loads((tmp_path / "bands.json").read_text())
    assert list(data["weights"]) == ["Si0 s", "Si0 p", "Si1 s", "Si1 p"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fields", "si", "charge"], "no field 'charge'"),
        (["fields", "si", "--orbital", "99"], "bands 0 to"),
        (["fields", "si", "--orbital", "1", "--k", "99"], "k points 0 to"),
        (["fields", "si", "--plane", "1", "2"], "three atoms"),
        (["fields", "si", "--work-function"], "vacuum"),
        (["fields", "si", "--fermi-surface"], "no band crosses"),
        (["fields", "POSCAR"], "not a saved result"),
        (["dos", "si", "--projected", "colour"], "by = 'colour'"),
        (["dos", "si", "--tetrahedra", "--broadening", "0.1eV"], "tetrahedra have none"),
        (["bands", "si", "--fat", "colour"], "by = 'colour'"),
    ],
)
def test_wrong_requests_are_refused(saved, tmp_path, capsys, words, said):
    words = [saved.get(w, w) if i == 1 else w for i, w in enumerate(words)]
    assert main([*words, "--out", str(tmp_path)]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
