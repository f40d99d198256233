import json

import numpy as np
import pytest
from ase.build import bulk
from ase.spectrum.band_structure import BandStructure

from dftopt.calculator import plots, plots_projected
from dftopt.calculator.band_axis import BandAxis
from dftopt.properties.dos import DOS
from dftopt.properties.pdos import FatBands
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


def test_two_spins_and_parts(tmp_path, bands, dos):
    path = bands.path
    both = BandStructure(path, np.concatenate([bands.energies, bands.energies + 1]), reference=3.0)
    values = np.concatenate([dos.values, 2 * dos.values])
    parts = {"Al s": 0.25 * values, "Al p": 0.5 * values}
    polarized = DOS(dos.energies, values, 0.1, 0.01, parts)
    files = plots.bands_and_dos(tmp_path / "bands.svg", both, polarized, "Al")
    assert [f.name for f in files] == ["bands.svg", "bands.json", "dos.csv"]
    text = files[0].read_text()
    assert "spin up" in text and "spin down" in text and "↓" in text
    assert np.shape(json.loads(files[1].read_text())["energies_eV"]) == (2, len(path.kpts), 2)
    header, *rows = files[2].read_text().splitlines()
    names = ["energy_eV", "up_per_eV_cell", "down_per_eV_cell", "Al_s_up_per_eV_cell", "Al_s_down_per_eV_cell"]
    assert header.split(",")[:5] == names and len(header.split(",")) == 7 and len(rows) == 50
    row = np.array(rows[7].split(","), float)
    np.testing.assert_allclose(row[1:] * HARTREE_IN_EV, [1, 2, 0.25, 0.5, 0.5, 1], rtol=1e-6)
    assert plots.dos_alone(tmp_path / "dos.svg", polarized)[0].read_text().count("Al p") == 1


def test_bands_are_not_joined_across_a_jump(bands):
    axis = BandAxis.of(bands.path)
    assert len(axis.pieces) == 2 and axis.labels == ["L", "Γ", "X|K", "Γ"]
    assert axis.pieces[0][1] == axis.pieces[1][0] and axis.pieces[-1][1] == len(bands.path.kpts)
    end = axis.pieces[0][1]
    assert axis.x[end - 1] == axis.x[end]


def test_fat_bands(tmp_path, bands, dos):
    shape = bands.energies.shape
    weights = {"Al s": np.full(shape, 0.3), "Al p": np.linspace(0, 0.6, np.prod(shape)).reshape(shape)}
    fat = FatBands(bands, weights, 1 - sum(weights.values()))
    with_parts = DOS(dos.energies, dos.values, 0.1, 0.01, {"Al s": 0.3 * dos.values, "Al p": 0.2 * dos.values})
    files = plots_projected.fat_bands_and_dos(tmp_path / "bands.svg", fat, with_parts, "Al")
    assert [f.name for f in files] == ["bands.svg", "bands.json", "dos.csv"]
    assert "Al s" in files[0].read_text() and "total" in files[0].read_text()
    data = json.loads(files[1].read_text())
    np.testing.assert_allclose(data["weights"]["Al p"], weights["Al p"])
    np.testing.assert_allclose(data["spilled"], fat.spilled)
    both = BandStructure(bands.path, np.repeat(bands.energies, 2, axis=0), reference=3.0)
    many = {f"X{i} s": np.full(both.energies.shape, 0.1 + i / 100) for i in range(8)}
    alone = plots_projected.fat_bands_and_dos(tmp_path / "two.svg", FatBands(both, many, 0.0 * both.energies))
    assert [f.name for f in alone] == ["two.svg", "two.json"]
    text = alone[0].read_text()
    assert "↑" in text and "X7 s" in text and "X1 s" not in text  # the largest six


def test_width_of_a_cable_is_the_weight(bands):
    from matplotlib.figure import Figure

    panel = Figure().subplots()
    weights = np.stack([np.full(len(bands.path.kpts), 0.25), np.full(len(bands.path.kpts), 0.5)])
    plots_projected._draw_cable(panel, BandAxis.of(bands.path), bands.energies[0, :, 0], weights, [0, 1])
    widths = [np.unique(c.get_linewidths()) for c in panel.collections]
    np.testing.assert_allclose(np.ravel(widths) / plots_projected.WIDEST, [0.75, 0.25, 0.75, 0.25])  # two pieces
