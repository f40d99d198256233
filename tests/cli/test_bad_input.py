"""Bad input: exit status 2, one paragraph that names the input and the remedy, nothing started."""

import pytest

import dftopt
from dftopt.cli.main import main

STRUCTURE = '[structure]\nbulk = "Si"\na = 5.43'
TWO = "[structure]\nsymbols = ['Si', 'Si']\ncell = [[5, 0, 0], [0, 5, 0], [0, 0, 5]]\n"

CASES = {
    "unknown key": ("ecutt = 400", STRUCTURE, "'ecutt' in input.toml is unknown: did you mean \"ecut\"?"),
    "unknown kpts key": ("kpts = { sise = [2, 2, 2] }", STRUCTURE, 'did you mean "size"?'),
    "unknown occupations key": ('occupations = { name = "fixed", widht = 1 }', STRUCTURE, 'did you mean "width"?'),
    "unknown occupations": ('occupations = { name = "fermi" }', STRUCTURE, 'did you mean "fermi-dirac"?'),
    "unknown structure key": ("", STRUCTURE + "\ncubik = true", 'did you mean "cubic"?'),
    "unknown bands key": ("", STRUCTURE + "\n[bands]\npaht = 'LG'", 'did you mean "path"?'),
    "unknown xc": ('xc = "PBF"', STRUCTURE, "PBE"),
    "unknown minimizer": ('minimizer = "cgg"', STRUCTURE, 'did you mean "cg"?'),
    "unknown mode": ('mode = "pww"', STRUCTURE, 'did you mean "pw"?'),
    "unknown potential": ('pseudopotentials = { Si = "GTH-PBE-q5" }', STRUCTURE, "Did you mean GTH-PBE-q4"),
    "element not in structure": (
        'pseudopotentials = { Ge = "GTH-PBE" }',
        STRUCTURE,
        "'Ge', which is not in the structure",
    ),
    "gaussians on a crystal": ('mode = "gaussian"', STRUCTURE, "Gaussians are for molecules"),
    "spin": ('spinpol = "yes"', STRUCTURE, "true or false"),
    "moments": ("", STRUCTURE + "\nmagmoms = [1]", "1 numbers for 2 atoms"),
    "moments of words": ("", STRUCTURE + "\nmagmoms = ['up', 'down']", "one number of bohr magnetons per atom"),
    "more moment than electrons": ("", STRUCTURE + "\nmagmoms = [20, 20]", "more than the 8 electrons"),
    "starts without spin": ("starts = 3", STRUCTURE, "spin polarization"),
    "charge": ("charge = 9", STRUCTURE, "valence electrons"),
    "unknown element": (
        "",
        TWO.replace("'Si', 'Si'", "'Si', 'X'") + "positions = [[0, 0, 0], [2, 2, 2]]",
        "not an element",
    ),
    "no such element": (
        "",
        TWO.replace("'Si', 'Si'", "'Si', 'Qq'") + "positions = [[0, 0, 0], [2, 2, 2]]",
        "'Qq' is unknown",
    ),
    "no potential": ("", "[structure]\nbulk = 'Fr'\ncrystalstructure = 'bcc'\na = 6.0", "covers"),
    "nan cell": ("", "[structure]\nbulk = 'Si'\na = nan", "nan"),
    "singular cell": (
        "",
        TWO.replace("[0, 0, 5]", "[0, 0, 0]") + "positions = [[0, 0, 0], [2, 2, 2]]",
        "volume is zero",
    ),
    "one site": ("", TWO + "positions = [[0, 0, 0], [0, 0, 0]]", "on one site"),
    "too close": ("", TWO + "positions = [[0, 0, 0], [0.5, 0, 0]]", "0.5 angstrom apart"),
    "missing positions": ("", TWO, "either positions"),
    "wrong shape": ("", TWO + "positions = [[0, 0, 0]]", "do not make a structure"),
    "periodic axis missing": (
        "",
        TWO + "positions = [[0, 0, 0], [2, 2, 2]]\npbc = [true, true, false]",
        "not periodic along c",
    ),
    "molecule without a cell": ("", '[structure]\nmolecule = "H2O"', "vacuum"),
    "unknown molecule": ("", '[structure]\nmolecule = "H2Oo"', "cannot build"),
    "two structures": ("", STRUCTURE + '\nmolecule = "H2O"', "exactly one of"),
    "no structure": ("ecut = 400", "", "[structure]"),
    "no structure file": ("", '[structure]\nfile = "missing.cif"', "missing.cif"),
    "ecut of zero": ("ecut = 0", STRUCTURE, "ecut = 0"),
    "ecut below zero": ("ecut = -30.0", STRUCTURE, "finite positive"),
    "ecut without meaning": ('ecut = "30 Rydbergs"', STRUCTURE, "30Ry"),
    "fewer plane waves than bands": ("ecut = 10.0\nkpts = [1, 1, 1]", STRUCTURE, "plane waves"),
    "k mesh with zero": ("kpts = [4, 0, 4]", STRUCTURE, "three positive integers"),
    "k mesh of wrong length": ("kpts = [4, 4]", STRUCTURE, "three positive integers"),
    "weights": ("kpts = [[0, 0, 0], [0.5, 0, 0]]\nweights = [0.5, 0.4]", STRUCTURE, "sum to 0.9"),
    "weights missing": ("kpts = [[0, 0, 0], [0.5, 0, 0]]", STRUCTURE, "weights is missing"),
    "odd electrons": ('occupations = "fixed"\nspinpol = false', "[structure]\nbulk = 'Al'", "odd number"),
    "fixed with a width": ('occupations = { name = "fixed", width = 0.1 }', STRUCTURE, "has no width"),
    "width of zero": ('occupations = { name = "gaussian", width = 0 }', STRUCTURE, "'fixed' for T = 0"),
    "too few bands": ("nbands = 3", STRUCTURE, "at least 4 are needed"),
    "bands of a half": ("nbands = 4.5", STRUCTURE, "whole number"),
    "tol": ("tol = 0", STRUCTURE, "tol = 0"),
    "maxiter": ("maxiter = 0", STRUCTURE, "maxiter = 0"),
    "symmetry": ('symmetry = "no"', STRUCTURE, "true or false"),
    "memory": ("ecut = 1e8", STRUCTURE, "GiB"),
    "memory of many k": ("ecut = 2000.0\nkpts = [60, 60, 60]\nsymmetry = false", STRUCTURE + "\ncubic = true", "GiB"),
    "grid": ("ecut = 400\nfft = [8, 8, 8]", STRUCTURE, "fft = "),
    "path": ("", STRUCTURE + "\n[bands]\npath = 'LGQ'", "special points"),
    "npoints": ("", STRUCTURE + "\n[bands]\nnpoints = 0", "npoints = 0"),
    "not TOML": ("xc = PBE", STRUCTURE, "not valid TOML"),
}


def refused(arguments, capsys) -> str:
    """The message, on one line."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("dftopt: ") and "Traceback" not in captured.err
    assert captured.err.rstrip().count("\n\n") == 0
    return " ".join(captured.err.split())


@pytest.mark.parametrize("case", CASES)
def test_file(case, write, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(dftopt, "minimize", None)
    keys, structure, message = CASES[case]
    assert message in refused(["run", write(keys, structure)], capsys)
    assert [p.name for p in tmp_path.iterdir()] == ["input.toml"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ecut", "0Ry"], "ecut = "),
        (["--kpts", "4", "0", "4"], "kpts = "),
        (["--kpts", "4", "4", "4", "--spacing", "0.2"], "give one of them"),
        (["--shift", "0.5", "0.5", "0.5"], "give --kpts too"),
        (["--magmoms", "1", "2", "3"], "3 numbers for 2 atoms"),
        (["--pseudopotentials", "Si=GTH-PBE-q4", "GTH-PBE"], "ELEMENT=NAME"),
        (["--resume", "--overwrite"], "give one of them"),
        (["--xc", "PEB"], "PBE"),
        (["--bands", "LGQ"], "special points"),
        (["--start", "missing.h5"], "missing.h5"),
        (["--out", "input.toml/out"], "cannot be written"),
        (["--json", "input.toml/out.json"], "cannot be written"),
    ],
)
def test_flags(flags, message, write, monkeypatch, capsys):
    monkeypatch.setattr(dftopt, "minimize", None)
    assert message in refused(["run", write("ecut = 150"), *flags], capsys)


def test_file_that_is_missing_or_no_structure(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "no file 'Si.cif'" in refused(["run", "Si.cif"], capsys)
    (tmp_path / "Si.cif").write_text("this is no crystal")
    assert "cannot read the structure file 'Si.cif'" in refused(["run", "Si.cif"], capsys)
    assert "is a folder" in refused(["run", "."], capsys)


def test_files_that_are_not_what_they_should_be(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.cif").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.cif").write_text("x")
    (tmp_path / "noise.xyz").write_bytes(bytes(range(256)))
    (tmp_path / "unknown.abc").write_text("what is this")
    (tmp_path / "result.h5").write_text("not HDF5")
    assert "is empty" in refused(["run", "empty.cif"], capsys)
    assert "is a folder, not a file. Did you mean folder/a.cif?" in refused(["run", "folder"], capsys)
    assert "cannot read the structure file 'noise.xyz'" in refused(["run", "noise.xyz"], capsys)
    assert "--format" in refused(["run", "unknown.abc"], capsys)
    assert "is a saved result" in refused(["run", "result.h5"], capsys)
    assert "damaged or not a result" in refused(["info", "result.h5"], capsys)
    assert "is not a saved result" in refused(["dos", "empty.cif"], capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage"),
        (["rnu", "x"], "did you mean run?"),
        (["run"], "FILE"),
        (["run", "x", "y"], "'y' is one argument too many"),
        (["run", "x", "--ecutt", "3"], "did you mean --ecut?"),
        (["run", "x", "--ecut", "30 stones"], "'30 stones' is not an energy"),
        (["run", "x", "--nbands", "a"], "invalid int"),
        (["run", "x", "--kpts", "4", "4"], "expected 3 arguments"),
        (["run", "x", "--walltime", "soon"], "30m"),
    ],
)
def test_wrong_usage_exits_with_2(arguments, message, capsys):
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    assert status == 2
    assert message in " ".join((captured.out + captured.err).split())
    assert not captured.err or captured.err.startswith("dftopt: ")


def test_force_lets_close_atoms_pass(write, capsys):
    close = TWO + "positions = [[0, 0, 0], [0.5, 0, 0]]"
    assert main(["run", write("ecut = 150\nkpts = [1, 1, 1]", close), "--force", "--dry-run"]) == 0
    assert "forecast" in capsys.readouterr().out
