"""Phonons against second differences of the energy, and against linear response of another code."""

import json

import numpy as np
import pytest
from ase.build import bulk
from ase.units import Bohr, _amu, _c, _e

from dftopt.calculator import phonons
from dftopt.calculator.journal import Journal
from dftopt.calculator.series import Series
from dftopt.cli.main import main
from dftopt.errors import InputError

KEYWORDS = {"xc": "LDA", "ecut": 120.0, "kpts": (2, 2, 2), "occupations": {"name": "fixed"}, "tol": phonons.TOL}
CM1 = 1e10 * np.sqrt(_e / _amu) / (2 * np.pi * _c * 100)  # of sqrt(eV / angstrom^2 / u)


def springs(cells, first=3.0, second=0.7):
    """Forces of springs between nearest and second neighbours of the simple cubic lattice, by hand."""
    out = []
    for cell in cells:
        n = round(len(cell) ** (1 / 3))
        u = cell.positions - np.round(cell.positions / 2.0) * 2.0
        index = {tuple(np.round(p / 2.0).astype(int) % n): i for i, p in enumerate(cell.positions)}
        forces = np.zeros_like(u)
        for site, i in index.items():
            for axis in range(3):
                for sign in (1, -1):
                    step = np.array(site)
                    step[axis] += sign
                    j = index[tuple(step % n)]
                    forces[i] += second * (u[j] - u[i])
                    forces[i, axis] += (first - second) * (u[j] - u[i])[axis]
        out.append(forces)
    return out


def test_springs_of_a_cubic_lattice():
    """omega^2 m = 2 K (1 - cos q_x) + 2 k (1 - cos q_y) + 2 k (1 - cos q_z) for motion along x."""
    atoms = bulk("Po", "sc", a=2.0)
    phonon = phonons.prepare(atoms, (4, 4, 4), 0.01)
    cells = phonons.displaced(phonon)
    assert len(cells) == 1  # symmetry leaves one
    path = atoms.cell.bandpath("GXMGR", npoints=33)
    found = phonons.solve(phonon, springs(cells), path, (8, 8, 8))
    c = 2 * (1 - np.cos(2 * np.pi * path.kpts))
    stiffness = 0.7 * c.sum(axis=1)[:, None] + (3.0 - 0.7) * c
    expected = np.sort(np.sqrt(stiffness / atoms.get_masses()[0]) * CM1, axis=1)
    np.testing.assert_allclose(found.bands * phonons.THZ_IN_PER_CM, expected, atol=1e-3)
    assert found.is_stable
    np.testing.assert_allclose(np.trapezoid(found.dos, found.dos_frequencies), 3.0, rtol=0.01)


def test_negative_springs_are_imaginary_modes():
    atoms = bulk("Po", "sc", a=2.0)
    phonon = phonons.prepare(atoms, (2, 2, 2))
    found = phonons.solve(
        phonon, springs(phonons.displaced(phonon), second=-0.2), atoms.cell.bandpath("GXMGR", npoints=9), (4, 4, 4)
    )
    assert not found.is_stable and found.lowest[0] < phonons.IMAGINARY
    assert np.count_nonzero(np.abs(found.lowest[1]) == 0.5) > 0


@pytest.mark.parametrize(
    ("size", "supercell", "expected"), [((4, 4, 4), (2, 2, 2), (2, 2, 2)), ((5, 5, 3), (2, 1, 3), (3, 5, 1))]
)
def test_the_mesh_of_a_supercell_is_no_coarser(size, supercell, expected):
    assert phonons.supercell_mesh(size, supercell) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(((2, 0, 2), 0.01), "supercell"), (((1, 1, 1), 5.0), "distance"), (((1, 1, 1), -0.01), "distance")],
)
def test_wrong_input(arguments, message):
    with pytest.raises(InputError, match=message):
        phonons.prepare(bulk("Si"), *arguments)


def test_moments_take_part_in_the_symmetry():
    atoms = bulk("Fe", "bcc", a=2.87, cubic=True)
    atoms.set_initial_magnetic_moments([2.0, -2.0])
    cells = phonons.displaced(phonons.prepare(atoms, (1, 1, 1)))
    assert all(sorted(c.get_initial_magnetic_moments()) == [-2.0, 2.0] for c in cells)
    atoms.set_initial_magnetic_moments([2.0, 1.0])
    assert len(phonons.displaced(phonons.prepare(atoms, (1, 1, 1)))) > len(cells) - 1


def silicon(u: float):
    """The two atoms moved apart by u angstrom along [011]."""
    atoms = bulk("Si", a=5.43)
    step = 0.5 * u * np.array([0, 1, 1]) / np.sqrt(2)
    atoms.positions += [step, -step]
    return atoms


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    return Series(KEYWORDS, Journal(tmp_path_factory.mktemp("phonons") / "work.journal", KEYWORDS))


@pytest.mark.slow
def test_optical_mode_is_the_second_difference_of_the_energy(series):
    """A(u) - A(0) = k u^2 / 2 + q u^4 / 4, so that forces at u give k + q u^2 = mu omega^2, mu = m / 2."""
    atoms = silicon(0.0)
    energy = {u: series(silicon(u))["free_energy"] for u in (0.0, 0.02, 0.04)}
    phonon = phonons.prepare(atoms, (1, 1, 1))
    forces = [series(cell)["forces"] for cell in phonons.displaced(phonon)]
    optical = phonons.solve(phonon, forces, [[0, 0, 0]], (2, 2, 2)).gamma[3:] * phonons.THZ_IN_PER_CM
    k1, k2 = (2 * (energy[u] - energy[0.0]) / u**2 for u in (0.02, 0.04))
    k, q = (4 * k1 - k2) / 3, 2 * (k2 - k1) / (0.04**2 - 0.02**2)
    expected = CM1 * np.sqrt((k + q * phonons.DISTANCE**2) / (0.5 * atoms.get_masses()[0]))
    np.testing.assert_allclose(optical, expected, rtol=2e-5)  # 0.01 cm^-1


def test_the_command(series, tmp_path, capsys):
    """Through the command line, with the numbers that are known already; then again, then with other keywords."""
    bulk("Si", a=5.43).write(tmp_path / "Si.vasp")
    flags = [
        "--xc",
        "LDA",
        "--ecut",
        "120eV",
        "--kpts",
        "2",
        "2",
        "2",
        "--occupations",
        "fixed",
        "--supercell",
        "1",
        "1",
        "1",
    ]
    arguments = ["phonons", str(tmp_path / "Si.vasp"), *flags, "--out", str(tmp_path / "out"), "--path", "GXKGL"]
    assert main([*arguments, "--dry-run"]) == 0
    assert "displacements   1, with" in capsys.readouterr().out
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "no imaginary modes" in printed and "largest force" in printed
    data = json.loads((tmp_path / "out/phonons.json").read_text())
    assert data["stable"] is True and len(data["gamma_cm1"]) == 6
    np.testing.assert_allclose(data["gamma_cm1"][:3], 0, atol=1e-2)
    np.testing.assert_allclose(data["gamma_cm1"][3:], data["gamma_cm1"][3], atol=1e-3)
    for name in ("phonons.png", "phonons-bands.json", "phonons-dos.csv", "phonopy_params.yaml"):
        assert (tmp_path / "out" / name).stat().st_size > 100
    assert main([*arguments, "--resume"]) == 0
    assert "2 finished calculations found" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/phonons.json").read_text()) == data
    assert main([*arguments, "--resume", "--distance", "0.02A"]) == 2
    assert "distance is 0.01 there and 0.02 here" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--supercell", "2", "2", "0"], "supercell"), (["--distance", "3A"], "distance"), (["--path", "GQ"], "special points"),
        (["--mesh", "0", "1", "1"], "--mesh"), (["--charge", "1"], "charge"),
    ],
)  # fmt: skip
def test_wrong_flags(flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bulk("Si").write("Si.vasp")
    assert main(["phonons", "Si.vasp", "--ecut", "120eV", "--kpts", "2", "2", "2", *flags]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert [p.name for p in tmp_path.iterdir()] == ["Si.vasp"]


@pytest.mark.slow
def test_silicon_at_gamma_against_linear_response():
    """510.505 cm^-1: ABINIT 9.6.2, linear response, GTH-PADE-q4, LDA (Perdew-Wang 92), 15 hartree, 4x4x4, FFT 27, m = 28.0855 u."""
    atoms = bulk("Si", a=10.263102582842558 * Bohr)
    atoms.set_masses([28.0855] * 2)
    keywords = {"xc": "LDA", "ecut": 15 * 27.211386024367243, "kpts": (4, 4, 4), "occupations": {"name": "fixed"}}
    series = Series({**keywords, "fft": (27, 27, 27), "tol": phonons.TOL})
    phonon = phonons.prepare(atoms, (1, 1, 1))
    forces = [series(cell)["forces"] for cell in phonons.displaced(phonon)]
    found = phonons.solve(phonon, forces, [[0, 0, 0]], (2, 2, 2)).gamma * phonons.THZ_IN_PER_CM
    print(found)
    np.testing.assert_allclose(found[3:], 510.5048, atol=1.0)
    np.testing.assert_allclose(found[:3], 0.0, atol=0.01)
