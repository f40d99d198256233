"""What can be wrong with an input, fault by fault: an error that names it and the remedy, before anything is allocated."""

import time
import warnings

import numpy as np
import potential_files
import pytest
import systems
from ase import Atoms
from ase.build import bulk
from ase.io import write

import dftopt
from dftopt.errors import DFTOptWarning, InputError


def silicon():
    return bulk("Si", a=5.43)


BOX = {"cell": [5.0, 5.0, 5.0], "pbc": True}


def refused(what, message):
    with pytest.raises(InputError) as error:
        what()
    text = str(error.value)
    assert "\n\n" not in text
    for part in [message] if isinstance(message, str) else message:
        assert part in text


@pytest.mark.parametrize("number", [0, 200, -3])
def test_unknown_element(basis, number):
    atoms = Atoms(numbers=[14, number], positions=[[0, 0, 0], [2, 2, 2]], **BOX)
    refused(lambda: basis(atoms), ("atom 1", str(number), "is not an element"))


def test_element_that_no_family_has(basis):
    refused(lambda: basis(bulk("Fr", "bcc", a=6.0)), ("no GTH pseudopotential for Fr", "covers H He Li"))
    potentials = {"pseudopotentials": {"Si": "GTH-BLYP-q14"}}
    refused(lambda: basis(of=potentials), ("Did you mean GTH-BLYP-q4?", "GTH-PBE-q4"))


def test_potential_file_that_is_missing(basis, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = {"pseudopotentials": {"Si": "folder/Si.upf"}}
    refused(lambda: basis(of=path), ("there is no such file", str(tmp_path / "folder/Si.upf"), "Give its full path"))


@pytest.fixture
def upf(tmp_path):
    """Writes a UPF of silicon with changes; returns the keyword."""

    def write(change=lambda text: text, **header):
        path = tmp_path / "Si.upf"
        path.write_text(change(potential_files.upf2(potential(), **header)))
        return {"pseudopotentials": {"Si": str(path)}, "xc": None}

    return write


def potential():
    return dftopt.Model(silicon(), xc="LDA").potentials["Si"]


def test_truncated_potential(basis, upf):
    keyword = upf(lambda text: text[: len(text) // 2])
    refused(lambda: basis(of=keyword), ("Si.upf, line", "truncated", "</UPF> is missing"))


def test_corrupted_potential(basis, upf):
    keyword = upf(lambda text: text.replace("E-01", "E-O1", 1))
    refused(lambda: basis(of=keyword), ("Si.upf, line", "PP_"))


def test_potential_of_another_element(basis, upf):
    refused(lambda: basis(of=upf(element="Ge")), ("Ge", "Si"))
    refused(lambda: basis(of=upf(z_valence="15.0")), ("Si.upf",))


@pytest.mark.parametrize(
    ("header", "tag"),
    [
        ({"pseudo_type": "US", "is_ultrasoft": "T"}, "ultrasoft"),
        ({"pseudo_type": "PAW", "is_paw": "T"}, "PAW"),
        ({"has_so": "T"}, "has_so"),
        ({"relativistic": "full"}, "relativistic"),
    ],
)
def test_kinds_of_potentials_that_are_not_supported(basis, upf, header, tag):
    refused(lambda: basis(of=upf(**header)), (tag, "norm-conserving"))


def test_functional_that_differs_from_the_potentials(model, upf):
    with pytest.warns(DFTOptWarning, match=r"PBE.*LDA") as told:
        m = model(**{**upf(), "xc": "LDA"})
    assert len(told) == 1 and any("PBE" in note for note in m.notes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model(**upf()).functional.name == "PBE"


def test_two_atoms_on_one_site(basis):
    atoms = Atoms("Si2", positions=[[0, 0, 0], [5, 5, 5]], **BOX)
    refused(lambda: basis(atoms), ("atoms 0 and 1 are on one site", "through the cell boundary"))


def test_atoms_too_close(basis, model):
    atoms = Atoms("Si2", scaled_positions=[[0, 0, 0], [0.01, 0.01, 0.01]], **BOX)
    refused(lambda: basis(atoms), ("atoms 0 and 1 are 0.0866 angstrom apart", "force"))
    assert model(atoms, force=True)


def test_values_that_are_not_finite(basis):
    nan = Atoms("Si2", positions=[[0, 0, 0], [np.nan, 2, 2]], **BOX)
    refused(lambda: basis(nan), ("position of silicon atom 1", "nan"))
    infinite = Atoms("Si2", positions=[[0, 0, 0], [2, 2, 2]], cell=[5, 5, np.inf], pbc=True)
    refused(lambda: basis(infinite), ("cell vector c", "inf"))


@pytest.mark.parametrize("cell", [np.zeros((3, 3)), np.diag([5.0, 5, 0]), [[5, 0, 0], [0, 5, 0], [5, 5, 0]]])
def test_cell_without_volume(basis, cell):
    refused(lambda: basis(Atoms("Si2", positions=[[0, 0, 0], [2, 2, 2]], cell=cell, pbc=True)), "cell volume is zero")


@pytest.mark.slow  # and, on other systems, in tests/test_invariances.py by default
def test_left_handed_cell(minimize):
    """The mirrored description of the same crystal."""
    right, left = silicon(), silicon()
    left.set_cell(left.cell.array[[1, 0, 2]])
    waves = {"kpts": (2, 2, 2)}
    a, b = (minimize(atoms, waves=waves, tol=1e-15) for atoms in (right, left))  # stress is of first order in psi
    assert float(b.energies.free) == pytest.approx(float(a.energies.free), abs=1e-10)
    np.testing.assert_allclose(b.forces(), a.forces(), atol=1e-8)
    np.testing.assert_allclose(b.stress(), a.stress(), atol=1e-10)


@pytest.mark.slow
def test_skewed_cell(minimize):
    skewed = silicon()
    M = np.array([[1, 2, 0], [0, 1, 0], [3, 0, 1]])
    skewed.set_cell(M @ skewed.cell.array)
    k = dict(weights=[1.0], symmetry=False)
    a = minimize(waves={"kpts": [[0.1, 0.2, 0.3]], **k, "fft": (48, 48, 48)}, tol=1e-11)
    b = minimize(skewed, waves={"kpts": [list(M @ [0.1, 0.2, 0.3])], **k, "fft": (48, 48, 48)}, tol=1e-11)
    assert float(b.energies.free) == pytest.approx(float(a.energies.free), abs=1e-8)


@pytest.mark.slow  # and, on other systems, in tests/test_invariances.py by default
def test_positions_outside_and_cell_rotated(minimize):
    plain = silicon()
    plain.positions[0] += [0.05, 0.03, -0.02]
    other = plain.copy()
    other.positions[1] += other.cell[0] - 2 * other.cell[2]
    other.rotate(37.0, (1, 2, 3), rotate_cell=True)
    a, b = (minimize(atoms, tol=1e-13) for atoms in (plain, other))
    assert float(b.energies.free) == pytest.approx(float(a.energies.free), abs=1e-9)
    turned = Atoms("Si2", positions=a.forces())
    turned.rotate(37.0, (1, 2, 3))
    np.testing.assert_allclose(b.forces(), turned.positions, atol=1e-6)


@pytest.mark.parametrize("ecut", [0, -3, np.nan, np.inf, "20", None])
def test_cutoff_that_is_no_cutoff(basis, ecut):
    refused(lambda: basis(ecut=ecut), ("ecut = ", "hartree"))


def test_cutoff_in_another_unit(basis):
    with pytest.warns(DFTOptWarning, match="500 is in hartree, which is 13606 eV or 1000 Ry"):
        basis(ecut=500.0)


def test_words_where_true_or_false_is_asked(basis, model, cli):
    """ "off" and "no" are true to Python: symmetry would stay on, spins would be polarized."""
    refused(lambda: basis(symmetry="off"), ("symmetry = 'off' has to be true or false",))
    refused(lambda: basis(dipole_correction="no"), ("dipole_correction = 'no'",))
    refused(lambda: model(spinpol="false"), ("spinpol = 'false'",))
    refused(lambda: model(force=1), ("force = 1",))
    status, printed = cli('symmetry = "off"')
    assert status == 2 and "symmetry = 'off' has to be true or false" in printed


def test_fewer_plane_waves_than_bands(minimize):
    refused(lambda: minimize(waves={"ecut": 0.3}), ("only 1 plane waves", "5 bands", "Raise ecut"))


def test_memory_that_no_machine_has(basis, minimize):
    begun = time.process_time()
    refused(lambda: basis(ecut=1e6), ("GiB", "this machine has", "Lower ecut"))
    with pytest.warns(DFTOptWarning, match="hartree"):
        refused(lambda: minimize(silicon().repeat(4), waves={"ecut": 500.0, "symmetry": False}), ("needs about", "GiB"))
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("kpts", [(0, 1, 1), (-1, 2, 2), (2.5, 2, 2), (2, 2), "444", 4, None])
def test_mesh_that_is_no_mesh(basis, kpts):
    refused(lambda: basis(kpts=kpts), ("kpts = ", "three positive integers"))


@pytest.mark.slow  # and, on other systems, in tests/test_invariances.py by default
def test_mesh_that_breaks_the_symmetry(minimize):
    """The plain mesh's answer, with the symmetry that it keeps."""
    a, b = (minimize(waves={"kpts": (1, 2, 1), "fft": (16, 16, 16), "symmetry": s}, tol=1e-12) for s in (True, False))
    assert a.basis.kpoints.size == (1, 2, 1)
    assert float(a.energies.free) == pytest.approx(float(b.energies.free), abs=1e-9)
    np.testing.assert_allclose(a.stress(), b.stress(), atol=1e-9)


def test_weights_and_empty_lists(basis):
    refused(lambda: basis(kpts=[[0, 0, 0], [0.5, 0, 0]], weights=[0.5, 0.4]), ("sum to 0.9", "Divide them"))
    refused(lambda: basis(kpts=[], weights=[]), ("empty list", "at least one point"))


def test_odd_electrons(minimize):
    refused(lambda: minimize(bulk("Al", a=4.05)), ("3 electrons", "spinpol=True", "temperature"))


def test_metal_with_fixed_occupations():
    atoms = silicon()
    atoms.set_cell(atoms.cell * 0.8, scale_atoms=True)  # metallic under pressure
    model = dftopt.Model(atoms, xc="LDA")
    with pytest.warns(
        DFTOptWarning, match="highest filled level .* lies above the lowest empty one .*: this is a metal"
    ):
        result = dftopt.minimize(model, dftopt.PlaneWaves(model, ecut=6.0, kpts=(2, 2, 2)), progress=False)
    assert result.gap.indirect == 0


def test_too_few_bands(minimize):
    refused(lambda: minimize(nbands=3), ("nbands = 3", "at least 4"))
    with pytest.warns(DFTOptWarning, match="nbands = 3: the highest band is still filled to .* Raise nbands"):
        dftopt.minimize(*systems.aluminium(), temperature=0.05, nbands=3, progress=False)


@pytest.mark.parametrize("temperature", [-1e-3, np.nan, "hot"])
def test_temperature_that_is_none(minimize, temperature):
    refused(lambda: minimize(temperature=temperature), "temperature = ")


def test_unknown_smearing(minimize, cli):
    names = ("fermi-dirac", "gaussian", "methfessel-paxton", "marzari-vanderbilt")
    refused(lambda: minimize(temperature=0.01, smearing="gauss"), ('did you mean "gaussian"?', *names))
    status, text = cli('occupations = { name = "gaussian", width = 0 }')
    assert status == 2 and "'fixed' for T = 0" in text


def test_moments_that_cannot_be(basis, minimize, cli):
    atoms = silicon()
    atoms.set_initial_magnetic_moments([20, 20])
    refused(lambda: basis(atoms, {"spinpol": True}), ("sum to 40", "8 electrons"))
    refused(lambda: minimize(of={"spinpol": True}, magnetization=20), ("magnetization = 20", "8 electrons"))
    status, text = cli("", '[structure]\nbulk = "Si"\na = 5.43\nmagmoms = [1]')
    assert status == 2 and "1 numbers for 2 atoms" in text


def test_charged_cell(minimize, model):
    for charge in (1, 0.5):
        result = minimize(of={"charge": charge}, temperature=0.01, maxiter=1)
        assert any("background" in note for note in result.notes)
        assert result.charge_integral == pytest.approx(8 - charge, abs=1e-8)
    refused(lambda: model(charge=np.nan), "charge = nan")
    refused(lambda: model(charge="1"), "charge = '1' must be a number")


def test_unknown_functional(model, cli):
    refused(lambda: model(xc="pbee"), ("'pbee' is not a known functional", "Did you mean 'PBE'"))
    status, text = cli('xc = "pbee"')
    assert status == 2 and "Did you mean 'PBE'" in text


@pytest.mark.parametrize("xc", ["b3lyp", "HSE06", "hyb_gga_xc_pbeh"])
def test_hybrid(model, xc):
    refused(lambda: model(xc=xc), ("hybrid", "exact exchange", "Known: LDA, PBE"))


def test_misspelled_key(cli):
    refused(lambda: dftopt.DFTOpt(ecutt=300), ("'ecutt' is unknown", 'did you mean "ecut"?'))
    status, text = cli("ecutt = 400")
    assert status == 2 and "'ecutt' in input.toml is unknown: did you mean \"ecut\"?" in text


def test_no_atoms(basis):
    refused(lambda: basis(Atoms(**BOX)), "has no atoms")


def test_structure_files_that_cannot_be_read(cli, tmp_path):
    (tmp_path / "bad.cif").write_text("this is no crystal")
    assert cli("", '[structure]\nfile = "bad.cif"')[1].count("bad.cif") >= 1
    status, text = cli("", '[structure]\nfile = "bad.cif"')
    assert status == 2 and "cannot read the structure file" in text
    write(tmp_path / "mixed.cif", silicon())
    lines = (tmp_path / "mixed.cif").read_text()
    (tmp_path / "mixed.cif").write_text(lines.replace(" 1.0000", " 0.5000"))
    status, text = cli("", '[structure]\nfile = "mixed.cif"')
    assert status == 2 and "partially occupied" in text


def test_axes_that_are_not_periodic(basis):
    for pbc, named in (([1, 1, 0], "along c"), (False, "along a, b and c")):
        atoms = Atoms("Si2", positions=[[0, 0, 0], [2, 2, 2]], cell=[5.0] * 3, pbc=pbc)
        refused(lambda atoms=atoms: basis(atoms), (named, "center(vacuum=5.0)", "coulomb"))
