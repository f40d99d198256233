"""Which functional and potentials a model takes from names, files and folders."""

import warnings

import pytest
from ase.build import bulk
from potential_files import psp8, uniform_mesh, upf1, upf2

import dftopt
from dftopt.atoms import gth, potentials
from dftopt.atoms.tabulated import Tabulated

SMALL = uniform_mesh(8.0, 0.1)
NACL = bulk("NaCl", "rocksalt", a=5.64)


def write(folder, element: str, name: str, writer=upf2, **options):
    path = folder / name
    path.write_text(writer(gth.load(element, "GTH-PBE"), SMALL, **options))
    return path


def test_the_functional_is_what_the_files_name(tmp_path):
    for functional, name in (
        ("PBE", "PBE"),
        ("SLA  PZ   NOGX NOGC", "lda_x+lda_c_pz"),
        ("PBESOL", "PBEsol"),
        ("", "PBE"),
    ):
        path = write(tmp_path, "Si", "Si.upf", functional=functional)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = dftopt.Model(bulk("Si"), pseudopotentials={"Si": str(path)})
        assert model.functional.name == name and model.notes == ()
        assert model.potentials["Si"].path == str(path) and model.n_electrons == 8


def test_another_functional_than_the_files_gives_one_warning(tmp_path):
    na, cl = write(tmp_path, "Na", "Na.upf"), write(tmp_path, "Cl", "Cl.psp8", psp8, pspxc=7)
    with pytest.warns(dftopt.DFTOptWarning) as told:
        model = dftopt.Model(NACL, xc="PBEsol", pseudopotentials={"Na": na, "Cl": cl})
    assert len(told) == 1 and told[0].filename == __file__
    assert "Na.upf of Na was made for the functional PBE, not for PBEsol" in str(told[0].message)
    assert len(model.notes) == 2 and "Cl.psp8 of Cl was made for the functional LDA" in model.notes[1]
    assert model.functional.name == "PBEsol"


def test_files_that_disagree_are_refused(tmp_path):
    na, cl = write(tmp_path, "Na", "Na.upf"), write(tmp_path, "Cl", "Cl.psp8", psp8, pspxc=7)
    with pytest.raises(dftopt.InputError, match=r"different functionals \(Na.upf PBE, Cl.psp8 LDA\)"):
        dftopt.Model(NACL, pseudopotentials={"Na": na, "Cl": cl})


def test_an_unknown_functional_has_to_be_chosen(tmp_path):
    path = write(tmp_path, "Si", "Si.upf", functional="MINE")
    with pytest.raises(dftopt.InputError, match="'MINE'.*Name one with xc"):
        dftopt.Model(bulk("Si"), pseudopotentials=str(path))
    with pytest.warns(dftopt.DFTOptWarning, match="made for the functional MINE, not for PBE"):
        assert dftopt.Model(bulk("Si"), xc="PBE", pseudopotentials=str(path)).potentials["Si"].xc is None


def test_files_and_names_go_together(tmp_path):
    cl = write(tmp_path, "Cl", "Cl.UPF", upf1)
    model = dftopt.Model(NACL, pseudopotentials={"Cl": cl, "Na": "GTH-PBE-q9"})
    assert model.potentials["Na"].name == "GTH-PBE-q9" and isinstance(model.potentials["Cl"], Tabulated)
    assert model.n_electrons == 16
    assert dftopt.Model(NACL, pseudopotentials={"Cl": cl}).potentials["Na"].name.startswith("GTH-PBE")


def test_a_folder_gives_the_file_of_each_element(tmp_path):
    write(tmp_path, "Na", "Na_ONCV_PBE-1.0.upf")
    write(tmp_path, "Cl", "cl.pbe.psp8", psp8)
    write(tmp_path, "Si", "C_other.upf")
    (tmp_path / "Na.txt").write_text("no potential")
    model = dftopt.Model(NACL, pseudopotentials=str(tmp_path))
    assert [p.name for p in model.potentials.values()] == ["Na_ONCV_PBE-1.0.upf", "cl.pbe.psp8"]
    write(tmp_path, "Na", "Na-sp.upf")
    with pytest.raises(dftopt.InputError, match=r"holds Na-sp.upf, Na_ONCV_PBE-1.0.upf. Name the file"):
        dftopt.Model(NACL, pseudopotentials=tmp_path)
    with pytest.raises(dftopt.InputError, match="no UPF or psp8 file of it"):
        dftopt.Model(bulk("Al"), pseudopotentials=tmp_path)


def test_wrong_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, "Si", "Si.upf")
    for chosen, message in (
        ({"Al": "missing.upf"}, f"there is no such file \\(looked for {tmp_path}/missing.upf\\)"),
        ({"Al": "no/where.psp8"}, "no such file"),
        ({"Al": str(path)}, "Si.upf is a potential of Si"),
        ({"Si": str(path)}, "not in the structure"),
        ({"Al": "GTH-PBE-q99"}, "There is no pseudopotential"),
    ):
        with pytest.raises(dftopt.InputError, match=message):
            dftopt.Model(bulk("Al"), pseudopotentials=chosen)
    assert dftopt.Model(bulk("Si"), pseudopotentials="Si.upf").potentials["Si"].given == str(path)


def test_large_files_are_refused_unread(tmp_path):
    path = tmp_path / "Si.upf"
    with path.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(dftopt.InputError, match="1024 MiB"):
        potentials.read(path)


def test_a_changed_file_is_another_potential(tmp_path):
    path = write(tmp_path, "Si", "Si.upf")
    first = potentials.read(path)
    assert potentials.read(path) is first  # tables are made once
    write(tmp_path, "Si", "Si.upf", with_core=True)
    assert potentials.read(path).core is not None and potentials.read(path).identity != first.identity
