import json

import numpy as np
import pytest
from ase.build import bulk, fcc100

from dftopt.atoms.structure import from_ase
from dftopt.calculator import plots_fields
from dftopt.properties.planar import PlanarAverage, Side, WorkFunction
from dftopt.properties.slices import cut
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV


@pytest.mark.parametrize(
    "quantity", [plots_fields.DENSITY, plots_fields.SPIN_DENSITY, plots_fields.ORBITAL, plots_fields.POTENTIAL]
)
def test_plane(tmp_path, quantity):
    field = 0.02 + 0.01 * np.cos(2 * np.pi * np.arange(12) / 12)[:, None, None] * np.ones((12, 12, 12))
    field = field - (0.02 if quantity.signed else 0.0)
    section = cut(from_ase(bulk("Si", a=5.43)), field, npoints=31)
    picture, table = plots_fields.plane(tmp_path / "plane.svg", section, quantity, "Si")
    text = picture.read_text()
    assert quantity.name.split(" ")[0] in text and text.count(">Si<") >= 2
    columns = np.loadtxt(table, delimiter=",", skiprows=1)
    assert columns.shape == (31 * 31, 3)
    np.testing.assert_allclose(columns[:, 2], section.values.ravel() * quantity.factor, atol=1e-9)
    np.testing.assert_allclose(columns[[0, -1], 0], section.x[[0, -1]] * BOHR_IN_ANGSTROM, atol=1e-9)


def test_limits_of_the_colours(tmp_path):
    section = cut(from_ase(bulk("Al", a=4.05)), np.random.default_rng(0).random((8, 8, 8)), npoints=21)
    assert plots_fields.plane(tmp_path / "plane.png", section, limits=(0.0, 2.0))[0].exists()


def test_potential_of_a_slab(tmp_path):
    atoms = fcc100("Al", (1, 1, 2), a=4.05, vacuum=5.0)
    structure = from_ase(atoms)
    height = atoms.cell[2, 2] / BOHR_IN_ANGSTROM
    z = np.arange(40) / 40 * height
    average = PlanarAverage(z, -0.2 * np.cos(2 * np.pi * (z / height - 0.5)), height, 2)
    side = Side(0.2, 1e-4, 1e-3, (1.0, 3.0), 0.17)
    levels = WorkFunction(side, side, 0.03, None, True)
    files = plots_fields.potential_of_slab(tmp_path / "potential.svg", average, structure, levels, 4.0, "Al(100)")
    assert [f.suffix for f in files] == [".svg", ".csv", ".json"]
    text = files[0].read_text()
    assert f"{0.17 * HARTREE_IN_EV:.2f} eV" in text and "macroscopic average" in text
    columns = np.loadtxt(files[1], delimiter=",", skiprows=1)
    np.testing.assert_allclose(columns[:, 1], average.values * HARTREE_IN_EV, rtol=1e-9)
    np.testing.assert_allclose(columns[:, 2], average.macroscopic(4.0) * HARTREE_IN_EV, rtol=1e-9)
    data = json.loads(files[2].read_text())
    assert data["work_function_eV"] == pytest.approx(0.17 * HARTREE_IN_EV)
    assert data["above"]["region_A"][1] == pytest.approx(3 * BOHR_IN_ANGSTROM)
    plain = plots_fields.potential_of_slab(tmp_path / "plain.png", average, structure)
    assert [f.suffix for f in plain] == [".png", ".csv"]


def test_the_curve_passes_through_the_points():
    values = np.random.default_rng(1).normal(size=21)
    for slope in (0.0, 0.3):  # with a line that jumps at the ends of the picture
        average = PlanarAverage(np.arange(21) / 21 * 7.0, values, 7.0, 2, slope, 3.5)
        along, curve = plots_fields._curve(average, 0.0)
        inner = slice(plots_fields.FINER, -1, plots_fields.FINER)
        np.testing.assert_allclose(curve[inner], values[1:] * HARTREE_IN_EV, atol=1e-4)
        assert along[-1] == pytest.approx(7.0 * BOHR_IN_ANGSTROM)
