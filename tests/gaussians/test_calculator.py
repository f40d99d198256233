"""Molecules through ASE and the command line."""

import json

import numpy as np
import pytest
from ase.build import molecule
from ase.io.cube import read_cube_data
from ase.units import Hartree
from cases import CASES, atoms_of, result

import dftopt
from dftopt.cli.main import main

WATER = {"mode": "gaussian", "basis": "6-31g", "txt": None}


def test_energy_and_forces():
    atoms = atoms_of("H2O")
    atoms.calc = dftopt.DFTOpt(**WATER, tol=1e-10)
    assert abs(atoms.get_potential_energy() - CASES["H2O-cold"]["energy"] * Hartree) < 1e-6
    assert (
        np.abs(atoms.get_forces() * dftopt.units.BOHR_IN_ANGSTROM / Hartree + CASES["H2O-cold"]["gradient"]).max()
        < 1e-5
    )
    assert abs(atoms.get_charges().sum()) < 1e-9
    evaluations = atoms.calc.result.stats["evaluations"]
    atoms.positions[1, 0] += 0.01
    atoms.get_potential_energy()
    assert atoms.calc.result.stats["evaluations"] < evaluations  # it started from the last orbitals


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"ecut": 300}, "ecut"),
        ({"kpts": (2, 2, 2)}, "kpts"),
        ({"symmetry": False}, "symmetry"),
        ({"mode": "gaussians"}, "gaussian"),
    ],
)
def test_keywords_of_plane_waves(keywords, said):
    atoms = atoms_of("H2O")
    atoms.calc = dftopt.DFTOpt(**{**WATER, **keywords})
    with pytest.raises(dftopt.InputError, match=said):
        atoms.get_potential_energy()


def test_basis_is_not_for_plane_waves():
    atoms = molecule("H2O", vacuum=3, pbc=True)
    atoms.calc = dftopt.DFTOpt(basis="def2-svp", txt=None)
    with pytest.raises(dftopt.InputError, match="mode = 'gaussian'"):
        atoms.get_potential_energy()


def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = 'mode = "gaussian"\nbasis = "6-31g"\n[structure]\nsymbols = "OH2"\n'
    (tmp_path / "water.toml").write_text(text + f"positions = {atoms_of('H2O').positions.tolist()}\n")
    assert main(["run", "water.toml"]) == 0
    out = json.loads((tmp_path / "out/water/result.json").read_text())
    assert abs(out["energies"]["total"] - CASES["H2O-cold"]["energy"]) < 1e-7
    assert out["stress_hartree_per_bohr3"] is None
    said = capsys.readouterr().out
    assert "dipole (debye)" in said and "13 basis functions" in said
    assert {"orbitals.png", "orbitals.csv", "result.h5"} <= {p.name for p in (tmp_path / "out/water").iterdir()}
    assert main(["run", "water.toml", "--resume"]) == 0


def test_cube(tmp_path):
    r = result("H2O-cold")
    path = dftopt.write_molecular_field(tmp_path / "rho.cube", r, spacing=0.3)
    field, atoms = read_cube_data(str(path))
    voxel = atoms.get_volume() / dftopt.units.BOHR_IN_ANGSTROM**3 / field.size
    valence = field[field < 5].sum() * voxel
    assert abs(valence - 10) < 2.5  # a coarse grid does not see the core
    path = dftopt.write_molecular_field(tmp_path / "homo.cube", r, 4, spacing=0.3)
    field, atoms = read_cube_data(str(path))
    assert abs((field**2).sum() * voxel - 1) < 1e-2
    with pytest.raises(dftopt.InputError, match="orbital"):
        dftopt.write_molecular_field(tmp_path / "x.cube", r, 99)


def test_relaxation_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = 'mode = "gaussian"\nbasis = "6-31g"\n[structure]\nsymbols = "OH2"\n'
    (tmp_path / "water.toml").write_text(text + f"positions = {atoms_of('H2O').positions.tolist()}\n")
    assert main(["relax", "water.toml", "--fmax", "0.1"]) == 0
    out = json.loads((tmp_path / "out/water/relax.json").read_text())
    assert out["energies"]["total"] < CASES["H2O-cold"]["energy"] and out["stress_hartree_per_bohr3"] is None
    assert max(abs(f) for row in out["forces_hartree_per_bohr"] for f in row) < 0.1 / 51.4
    assert not (tmp_path / "out/water/relax.cif").exists()


@pytest.mark.parametrize("command", ["converge", "eos", "phonons"])
def test_commands_of_crystals(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "water.toml").write_text('mode = "gaussian"\n[structure]\nmolecule = "H2O"\n')
    assert main([command, "water.toml"]) == 2
    assert "for crystals" in " ".join(capsys.readouterr().err.split())
