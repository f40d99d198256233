"""Whatever a file holds, reading it ends in a structure or in an InputError, never in a traceback."""

import io
import warnings

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from test_pwscf import INPUT as PWSCF
from test_pwscf import SILICON

from dftopt.calculator.journal import Journal
from dftopt.cli.inputs import read_input
from dftopt.cli.structures import read_frames
from dftopt.errors import InputError

TOML = """xc = "LDA"
ecut = "12 Ha"
kpts = { size = [2, 2, 2], shift = [0.5, 0.5, 0.5] }
occupations = { name = "gaussian", width = "0.1 eV" }
[structure]
symbols = ["Si", "Si"]
cell = [[0, 2.7, 2.7], [2.7, 0, 2.7], [2.7, 2.7, 0]]
scaled_positions = [[0, 0, 0], [0.25, 0.25, 0.25]]
[bands]
path = "LGX"
"""


class NoFlags:
    """Options of a command that was given none."""

    def __getattr__(self, name):
        return None


def text_of(format: str) -> str:
    if format == "in":
        return PWSCF.replace("SYSTEM_MORE", "occupations='fixed'")
    if format == "toml":
        return TOML
    stream = io.BytesIO() if format == "cif" else io.StringIO()
    write(stream, bulk("Si", a=5.43), format={"cif": "cif", "vasp": "vasp", "extxyz": "extxyz"}[format])
    value = stream.getvalue()
    return value.decode() if isinstance(value, bytes) else value


def mutated(content: bytes, rng) -> bytes:
    """Bytes changed, removed, doubled or cut, or lines exchanged."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        place, kind = int(rng.integers(len(data) or 1)), rng.integers(5)
        if kind == 0:
            data[place : place + 1] = bytes([int(rng.integers(256))])
        elif kind == 1:
            del data[place : place + int(rng.integers(1, 30))]
        elif kind == 2:
            data[place:place] = rng.choice(
                [b"nan", b"-1", b"1e400", b"''", b"/", b"\n", b"[", b"9" * 30, b"\xff", b"=", b"Xx"]
            )
        elif kind == 3:
            del data[place:]
        else:
            lines = bytes(data).split(b"\n")
            a, b = rng.integers(len(lines), size=2)
            lines[a], lines[b] = lines[b], lines[a]
            data = bytearray(b"\n".join(lines))
    return bytes(data)


def survives(path, content: bytes) -> None:
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read_input(path, NoFlags())
        except InputError as error:
            assert "\n\n" not in str(error)


@pytest.mark.parametrize("format", ["in", "toml", "cif", "vasp", "extxyz"])
@pytest.mark.parametrize(
    "sample", [pytest.param(40, id="sample"), pytest.param(2000, id="all", marks=pytest.mark.slow)]
)
def test_mutated_inputs(format, sample, tmp_path):
    (tmp_path / "pseudo").mkdir()
    (tmp_path / "pseudo" / "Si.gth").write_text(SILICON)
    rng = np.random.default_rng(len(format) + sample)
    content = text_of(format).encode()
    survives(tmp_path / f"x.{format}", content)
    for _ in range(sample):
        survives(tmp_path / f"x.{format}", mutated(content, rng))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.extxyz", "1\nProperties=species:S:1:pos:R:99999999999999999\nSi 0 0 0\n"),
        ("y.extxyz", "9999999999999999999999999999992\nProperties=species:S:1:pos:R:3\nSi 0 0 0\n"),
        ("z.xyz", "1\n\nSi 0 0 0\n+9_999_999_999\n\nSi 0 0 0\n"),
        ("POSCAR", "Si\n1.0\n3 0 0\n0 3 0\n0 0 3\nSi\n99999999999999\nDirect\n0 0 0\n"),
    ],
    ids=["columns", "atoms", "atoms of a second frame", "POSCAR"],
)
def test_counts_that_no_file_of_its_size_has(name, content, tmp_path):
    """A wrong count is an error, not a process that takes the memory of the machine."""
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match="far more memory|cannot read the structure file|lines are left|columns, but"):
        read_frames(tmp_path / name)


def test_mutated_potentials(tmp_path):
    (tmp_path / "pseudo").mkdir()
    rng = np.random.default_rng(3)
    for _ in range(40):
        (tmp_path / "pseudo" / "Si.gth").write_bytes(mutated(SILICON.encode(), rng))
        survives(tmp_path / "x.in", text_of("in").encode())


def test_mutated_journals(tmp_path):
    journal = Journal(tmp_path / "work.journal", {"ecut": 300.0})
    for i in range(3):
        journal.add(f"piece {i}", {"energy": 1.0 * i})
    content, rng = journal.path.read_bytes(), np.random.default_rng(4)
    for _ in range(300):
        journal.path.write_bytes(mutated(content, rng))
        try:
            again = Journal(journal.path, {"ecut": 300.0})
        except InputError:
            continue
        for key, data in again.pieces.items():
            assert data == {"energy": float(key[-1])}
