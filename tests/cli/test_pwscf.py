"""Inputs of pw.x: what says the same is taken over, what does not is refused by name."""

import numpy as np
import pytest
from ase.build import bulk
from ase.units import Bohr, Rydberg

from dftopt.atoms import kpoints
from dftopt.atoms.symmetry import find_symmetry
from dftopt.cli.main import main
from dftopt.cli.pwscf import is_pwscf, read_pwscf, spread
from dftopt.errors import InputError

# Si of Goedecker, Teter and Hutter (GTH-PADE-q4) in ABINIT's psp10 format, which pw.x reads as *.gth
SILICON = """GTH-PADE-q4 for Si
  14  4  070301 zatom,zion,pspdat
10 1 1 0 2001 0 pspcod,pspxc,lmax,lloc,mmax,r2well
  0.44000000 1 -7.33610297   rloc nloc c1..
  2   nnonloc
  0.42273813 2 5.90692831 -1.26189397  r n h(l=0)
      3.25819622
  0.48427842 1 2.72701346  r n h(l=1)
      0.00000000   k
"""
HYDROGEN = """GTH-PADE-q1 for H
  1  1  070301 zatom,zion,pspdat
10 1 0 0 2001 0 pspcod,pspxc,lmax,lloc,mmax,r2well
  0.20000000 2 -4.18023680 0.72507482   rloc nloc c1..
  1   nnonloc
  0.20000000 1 0.00000000  r n h(l=0)
"""
INPUT = """&CONTROL
 calculation='scf', tstress=.true., outdir="./o", pseudo_dir = "./pseudo/" ! a slash in double quotes
/
&SYSTEM
 ibrav=0, nat=2, ntyp=1, nbnd=8, ecutwfc=30, input_dft='sla+pw+nogx+nogc', SYSTEM_MORE
/
&ELECTRONS
 conv_thr=1d-13, mixing_beta=0.3
/
ATOMIC_SPECIES
Si 28.0855 Si.gth
CELL_PARAMETERS bohr
0 5.13 5.13
5.13 0 5.13
5.13 5.13 0
ATOMIC_POSITIONS crystal
Si 0.03 0 0
Si 1/4 0.25 0.25
K_POINTS automatic
4 4 4 0 0 0
"""


@pytest.fixture
def pw(tmp_path):
    """Writes an input with changes (old, new), and reads it."""
    (tmp_path / "pseudo").mkdir()
    (tmp_path / "pseudo" / "Si.gth").write_text(SILICON)

    def pw(*changes, more="occupations='fixed'", given=None):
        text = INPUT.replace("SYSTEM_MORE", more)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "scf.in"
        path.write_text(text)
        assert is_pwscf(path)
        return read_pwscf(path, given)

    return pw


def test_what_says_the_same_is_taken_over(pw):
    found = pw()
    assert found.parameters == {
        "ecut": 30 * Rydberg, "spinpol": False, "occupations": {"name": "fixed"}, "nbands": 8, "pseudopotentials": {"Si": "GTH-PADE-q4"},
        "xc": "LDA", "symmetry": True, "kpts": {"size": (4, 4, 4), "shift": (0, 0, 0)},
    }  # fmt: skip
    np.testing.assert_allclose(found.atoms.cell.array, 5.13 * Bohr * (1 - np.eye(3)), rtol=1e-8)  # ASE: CODATA 2006
    np.testing.assert_allclose(found.atoms.get_scaled_positions(), [[0.03, 0, 0], [0.25] * 3], atol=1e-12)
    assert found.atoms.get_masses().tolist() == [28.0855] * 2
    assert any("GTH-PADE-q4" in note for note in found.notes)


@pytest.mark.parametrize(
    ("word", "name"),
    [("m-v", "marzari-vanderbilt"), ("mp", "methfessel-paxton"), ("fd", "fermi-dirac"), ("gauss", "gaussian")],
)
def test_smearing(pw, word, name):
    found = pw(more=f"occupations='smearing', smearing='{word}', degauss=0.02")
    assert found.parameters["occupations"] == {"name": name, "width": 0.02 * Rydberg}


def test_starting_magnetization_is_a_fraction_of_the_valence_or_bohr_magnetons(pw):
    two = (("ntyp=1", "ntyp=2"), ("Si 28.0855 Si.gth", "Si1 28.0855 Si.gth\nSi2 28.0855 Si.gth"))
    moved = (("Si 0.03", "Si1 0.03"), ("Si 1/4", "Si2 1/4"))
    spin = (
        "occupations='smearing', degauss=0.01, nspin=2, starting_magnetization(1)=0.25, starting_magnetization(2)=-1.5"
    )
    found = pw(*two, *moved, more=spin)
    assert found.parameters["spinpol"] is True
    assert found.atoms.get_initial_magnetic_moments().tolist() == [1.0, -1.5]
    ignored = pw(more="occupations='fixed', starting_magnetization(1)=0.5")
    assert ignored.parameters["spinpol"] is False and any("nspin is 1" in note for note in ignored.notes)


def test_explicit_points_stand_for_their_images(pw):
    """The irreducible points of a 4x4x4 mesh, spread by symmetry, are the mesh again, k and -k counted once."""
    atoms = bulk("Si", a=5.43)
    symmetry = find_symmetry(atoms.cell.array / Bohr, atoms.get_scaled_positions(), atoms.numbers)
    reduced, full = (kpoints.mesh((4, 4, 4), (0, 0, 0), symmetry, reduce=r) for r in (True, False))
    k, w = spread(reduced.k, reduced.weights, symmetry)
    f = lambda x: np.cos(2 * np.pi * x @ [1, 2, -1]) + np.cos(2 * np.pi * x @ [0, 3, 1])  # no symmetry but k -> -k
    assert len(reduced) < len(k) < full.n_full
    np.testing.assert_allclose(w @ f(k), full.weights @ f(full.k), atol=1e-14)


def test_explicit_points(pw):
    card = "K_POINTS crystal\n2\n0 0 0 1\n0.5 0 0 3\n"
    with_symmetry = pw(("K_POINTS automatic\n4 4 4 0 0 0\n", card), ("0.03 0 0", "0 0 0"))
    assert len(with_symmetry.parameters["kpts"]) == 5  # Gamma and the four L
    without = pw(("K_POINTS automatic\n4 4 4 0 0 0\n", card), more="nosym=.true.")
    assert without.parameters["kpts"] == [[0, 0, 0], [0.5, 0, 0]] and without.parameters["weights"] == [0.25, 0.75]
    alat = (
        ("bohr\n0 5.13 5.13\n5.13 0 5.13\n5.13 5.13 0", "alat\n0 .5 .5\n.5 0 .5\n.5 .5 0"),
        ("ibrav=0", "ibrav=0, celldm(1)=10.26"),
    )
    tpiba = pw(("K_POINTS automatic\n4 4 4 0 0 0\n", "K_POINTS\n1\n0.5 0.5 -0.5 2\n"), *alat, more="nosym=.true.")
    np.testing.assert_allclose(tpiba.parameters["kpts"], [[0, 0, 0.5]], atol=1e-9)


def test_tpiba_needs_the_cell_in_its_unit(pw):
    """celldm(1) sets 2 pi / alat; a CELL_PARAMETERS card in bohr beside it is ambiguous, and ASE says so."""
    with pytest.raises(InputError, match="CELL_PARAMETERS"):
        pw(more="celldm(1)=10.26")


def test_a_mesh_with_less_symmetry_than_the_crystal_is_noted(pw):
    notes = pw(("4 4 4 0 0 0", "4 4 4 1 1 1"), ("0.03 0 0", "0 0 0")).notes
    assert any("pw.x adds the points" in note for note in notes)
    assert not any("pw.x adds" in note for note in pw(("0.03 0 0", "0 0 0")).notes)


def test_what_is_not_used_is_noted(pw):
    assert any("'vc-relax' is not used" in note for note in pw(("'scf'", "'vc-relax'")).notes)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ("lda_plus_u=.true.", "lda_plus_u"), ("noncolin=.true.", "noncolin"), ("lspinorb=.true.", "lspinorb"), ("nspin=4", "nspin"),
        ("ecutrho=240", "ecutrho"), ("vdw_corr='grimme-d3'", "vdw_corr"), ("assume_isolated='mt'", "assume_isolated"),
        ("occupations='tetrahedra'", "tetrahedra"), ("occupations='smearing'", "degauss"), ("invented=1", "invented"),
        ("occupations='smearing', smearing='x', degauss=0.1", "smearing"), ("nr1=27", "nr1, nr2 and nr3"),
        ("input_dft='hse'", "input_dft"), ("input_dft='pz'", "input_dft"),
    ],
)  # fmt: skip
def test_what_says_something_else_is_refused(pw, more, named):
    with pytest.raises(InputError, match=named):
        pw(more=more)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("ibrav=0", "ibrav=2"), "ibrav = 2"), (("ecutwfc=30,", ""), "ecutwfc"), (("Si.gth", "Si.pbe.UPF"), "pseudo_dir"),
        (("Si 1/4", "Ge 1/4"), "Ge"), (("4 4 4 0 0 0", "4 4 4 2 0 0"), "0 or 1"), (("K_POINTS automatic", "K_POINTS crystal_b"), "bands"),
        (("K_POINTS automatic\n4 4 4 0 0 0", ""), "K_POINTS"), (("nat=2", "nat=5"), "structure and species"),
        (("'scf'", "'scf', tefield=.true."), "tefield"), (("K_POINTS automatic", "HUBBARD\nU Si-3p 2\nK_POINTS automatic"), "HUBBARD"),
    ],
)  # fmt: skip
def test_faults(pw, change, named):
    with pytest.raises(InputError, match=named):
        pw(change)


def test_a_harmless_value_of_a_refused_key_passes(pw):
    pw(more="lda_plus_u=.false., noncolin=.false., vdw_corr='none', ecutrho=120.0, use_all_frac=.true.")


def test_potentials_are_recognized_by_their_numbers(pw, tmp_path):
    (tmp_path / "pseudo" / "Si.gth").write_text(SILICON.replace("5.90692831", "5.90692"))  # rounded: another potential
    with pytest.raises(InputError, match="other numbers"):
        pw()
    assert pw(given={"pseudopotentials": {"Si": "GTH-PBE-q4"}}).parameters["pseudopotentials"] == {"Si": "GTH-PBE-q4"}
    (tmp_path / "pseudo" / "Si.gth").write_text("garbage")
    with pytest.raises(InputError, match="psp10"):
        pw()


def test_a_channel_without_strength_is_none(pw, tmp_path):
    (tmp_path / "pseudo" / "H.gth").write_text(HYDROGEN)
    found = pw(("Si 28.0855 Si.gth", "H 1.008 H.gth"), ("Si 0.03", "H 0.03"), ("Si 1/4", "H 1/4"))
    assert found.parameters["pseudopotentials"] == {"H": "GTH-PADE-q1"}


def test_upf_files_are_found_and_name_the_functional(pw, tmp_path):
    (tmp_path / "Si.UPF").write_text('<UPF version="2.0.1"><PP_HEADER element="Si"/></UPF>')  # beside the input
    found = pw(("Si.gth", "Si.UPF"), ("input_dft='sla+pw+nogx+nogc', ", ""))
    assert found.parameters["xc"] is None and found.parameters["pseudopotentials"] == {"Si": str(tmp_path / "Si.UPF")}


def test_the_command_line_reads_it(pw, tmp_path, capsys):
    pw()
    assert main(["run", str(tmp_path / "scf.in"), "--dry-run", "--ecut", "10Ry"]) == 0
    printed = capsys.readouterr().out
    for text in ("4x4x4, Gamma-centred", "GTH-PADE-q4", "10 Ry", "fixed (T = 0)", "from a pw.x input"):
        assert text in printed
