import json

import numpy as np
import pytest
from ase.build import bulk
from ase.spectrum.band_structure import BandStructure

from dftopt.calculator import plots
from dftopt.properties.dos import DOS
from dftopt.units import HARTREE_IN_EV


@pytest.fixture
def bands():
    """Free electrons, along a path with a jump."""
    path = bulk("Al").cell.bandpath("LGX,KG", npoints=20)
    energies = np.sum(path.cartesian_kpts()[:, None] ** 2, axis=2)[None] * np.array([100.0, 200.0])
    return BandStructure(path, energies, reference=3.0)


@pytest.fixture
def dos():
    energies = np.linspace(-0.5, 0.5, 50)
    return DOS(energies, np.ones((1, 50)), 0.1, 0.01)


def test_bands_beside_dos(tmp_path, bands, dos):
    files = plots.bands_and_dos(tmp_path / "bands.png", bands, dos, "Al")
    assert [f.name for f in files] == ["bands.png", "bands.json", "dos.csv"]
    data = json.loads(files[1].read_text())
    assert [p["label"] for p in data["special_points"]] == ["L", "Γ", "X|K", "Γ"]
    np.testing.assert_allclose(data["energies_eV"], bands.energies)
    assert data["reference_eV"] == 3.0
    columns = np.loadtxt(files[2], delimiter=",", skiprows=1)
    np.testing.assert_allclose(columns[0], [-0.6 * HARTREE_IN_EV, 1 / HARTREE_IN_EV], rtol=1e-6)


def test_bands_alone(tmp_path, bands):
    files = plots.bands_and_dos(tmp_path / "bands.png", bands)
    assert [f.name for f in files] == ["bands.png", "bands.json"]
    assert files[0].read_bytes().startswith(b"\x89PNG")


def test_dos_alone(tmp_path, dos):
    assert [f.name for f in plots.dos_alone(tmp_path / "dos.png", dos)] == ["dos.png", "dos.csv"]


@pytest.mark.parametrize("n", [0, 1, 5])
def test_convergence(tmp_path, n):
    history = -1 + 10.0 ** -np.arange(n)
    picture, table = plots.convergence(tmp_path / "convergence.png", history, 10.0 ** -np.arange(n), natoms=2)
    assert picture.exists()
    rows = np.loadtxt(table, delimiter=",", skiprows=1, ndmin=2) if n else []
    assert len(rows) == n


@pytest.mark.parametrize(("name", "label"), [("G", "Γ"), ("X", "X"), ("X1", "X$_{1}$")])
def test_labels(name, label):
    assert plots._label(name) == label
