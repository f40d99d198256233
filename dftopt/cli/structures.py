"""Atoms from a file, from ASE's builders, or from lists of numbers."""

import inspect
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms
from ase.io import read
from ase.io.formats import UnknownFileTypeError

from dftopt.calculator.setup import check_keys
from dftopt.errors import InputError

ROOM = 2**30  # bytes, for the reader itself
COMMON = ("magmoms", "pbc", "repeat", "fix")  # go with every way of giving a structure
EXPLICIT = ("symbols", "cell", "positions", "scaled_positions")


def check_file(file) -> Path:
    """The path of a file that exists and can be opened.

    Raises:
        InputError: there is none, or it is a folder, empty, or not readable.
    """
    path = Path(file)
    try:
        if path.is_dir():
            inside = sorted(
                p.name for p in path.iterdir() if p.suffix in (".toml", ".cif", ".h5", ".xyz", ".extxyz", ".in")
            )
            hint = f" Did you mean {path / inside[0]}?" if inside else ""
            raise InputError(f"{str(file)!r} is a folder, not a file.{hint}")
        if not path.exists():
            raise InputError(f"there is no file {str(file)!r} in {Path.cwd()}.")
        with path.open("rb") as stream:
            if not stream.read(1):
                raise InputError(f"the file {str(file)!r} is empty.")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the file {str(file)!r} cannot be read: {getattr(error, 'strerror', None) or error}."
        ) from None
    return path


@contextmanager
def limited_memory(size: int) -> Iterator[None]:
    """While a file of so many bytes is read the process may grow by `ROOM` and a thousand times that: readers believe counts.

    Linux alone can be asked for it; elsewhere nothing is limited.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    present = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    allowed = [x for x in (present + ROOM + 1000 * size, soft, hard) if x != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(allowed), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def check_counts(path: Path, format: str | None) -> None:
    """Refuse an xyz file that counts more atoms than lines follow, or more columns than a line holds: ASE would look for them.

    Raises:
        InputError: names the line.
    """
    if (format or path.suffix.lstrip(".").lower()) not in ("xyz", "extxyz"):
        return
    lines = path.read_bytes().splitlines()
    at = 0
    while at < len(lines) and (atoms := _count(lines[at])) >= 0:
        follow = len(lines) - at - 2
        if atoms > follow:
            raise InputError(
                f"line {at + 1} of the structure file {str(path)!r} says that {atoms:.3g} atoms follow, but after its comment "
                f"{max(follow, 0)} lines are left."
            )
        widest = max((len(line.split()) for line in lines[at + 2 : at + 3]), default=0)
        asked = max((_count(n) for n in re.findall(rb":[A-Za-z]:(\d+)", lines[at + 1])), default=0)
        if atoms and asked > max(widest, 1):
            raise InputError(
                f"line {at + 2} of the structure file {str(path)!r} says that a property has {asked:.3g} columns, but the lines of "
                f"the atoms have {widest} in all."
            )
        at += int(atoms) + 2
        while at < len(lines) and lines[at].strip().startswith(b"VEC"):
            at += 1


def _count(text: bytes) -> float:
    """A whole number, -1 for anything else."""
    try:
        return int(text) if len(text) < 300 else np.inf
    except ValueError:
        return -1


def read_frames(path: Path, format: str | None = None, index: str | int = ":") -> list[Atoms]:
    """The structures of a file that ASE reads.

    Raises:
        InputError: no such file, a format that ASE does not know or cannot read, or no structure in it.
    """
    check_file(path)
    check_counts(path, format)
    try:
        with warnings.catch_warnings(), limited_memory(path.stat().st_size):
            warnings.simplefilter("ignore")
            found = read(path, index=index, format=format, do_not_split_by_at_sign=True)
    except UnknownFileTypeError:
        raise InputError(
            f"the format of {str(path)!r} is not known by its name or content. Name it as usual (.cif, .xyz, POSCAR, "
            f".toml for an input file), or give ASE's name of the format with --format{f' instead of {format!r}' if format else ''}."
        ) from None
    except MemoryError:
        raise InputError(
            f"the structure file {str(path)!r} asks for far more memory than its size explains: a count in it is wrong, such as "
            "that of atoms or columns."
        ) from None
    except Exception as error:  # every reader fails in its own way
        text = " ".join(str(error).split())[:300].rstrip(".") or "it has no structure, or ends early"
        raise InputError(f"ASE cannot read the structure file {str(path)!r}: {type(error).__name__}: {text}.") from None
    frames = found if isinstance(found, list) else [found]
    if not frames or not all(isinstance(atoms, Atoms) for atoms in frames):
        raise InputError(f"the file {str(path)!r} holds no structure.")
    return frames


def read_structure(path: Path, format: str | None = None) -> tuple[Atoms, list[str]]:
    """The last structure of a file, and a note where it holds several."""
    frames = read_frames(path, format)
    notes = [f"the last of {len(frames)} structures in {path.name}"] if len(frames) > 1 else []
    return frames[-1], notes


def from_table(table: Mapping[str, Any], folder: Path) -> tuple[Atoms, list[str]]:
    """The atoms that a [structure] table describes, and notes on what was chosen.

    Raises:
        InputError: not exactly one way of giving them, unknown keys, or values that do not make a structure.
    """
    ways = [way for way in ("file", "bulk", "molecule", "symbols") if way in table]
    if len(ways) != 1:
        found = f"has {' and '.join(ways)}" if ways else "has none of them"
        raise InputError(f"[structure] needs exactly one of file, bulk, molecule and symbols; it {found}.")
    way = ways[0]
    notes: list[str] = []
    rest = {k: v for k, v in table.items() if k not in (way, *COMMON)}
    if way == "file":
        check_keys(rest, ("format", *COMMON), " in [structure] with file")
        atoms, notes = read_structure(folder / str(table["file"]), rest.get("format"))
    elif way == "symbols":
        check_keys(rest, (*EXPLICIT[1:], *COMMON), " in [structure] with symbols")
        atoms = _explicit(table["symbols"], rest)
    else:
        atoms = _built(way, table[way], rest)
    return _finish(atoms, table), notes


def _explicit(symbols, rest) -> Atoms:
    if "cell" not in rest and "positions" not in rest:
        raise InputError("[structure] with symbols needs a cell: three rows of three numbers, in angstrom.")
    if ("positions" in rest) == ("scaled_positions" in rest):
        raise InputError("[structure] with symbols needs either positions (angstrom) or scaled_positions.")
    try:
        return Atoms(symbols, pbc="cell" in rest, **{k: np.asarray(v, float) for k, v in rest.items()})
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"[structure]: symbols, cell and positions do not make a structure: {_reason(error)}."
        ) from None


def _built(way: str, name, rest) -> Atoms:
    builder = bulk if way == "bulk" else molecule
    known = [p for p in inspect.signature(builder).parameters if p not in ("name", "kwargs", "data")]
    check_keys(rest, (*known, *(("cell",) if way == "molecule" else ()), *COMMON), f" in [structure] with {way}")
    try:
        return builder(name, **rest)
    except Exception as error:  # ASE's builders raise whatever comes
        raise InputError(f"ASE cannot build {way} = {name!r} with {rest}: {_reason(error)}.") from None


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError) and error.args:
        return f"{error.args[0]!r} is unknown"
    return str(error).rstrip(".") or type(error).__name__


def _finish(atoms: Atoms, table) -> Atoms:
    try:
        if "pbc" in table:
            atoms.pbc = table["pbc"]
        if "repeat" in table:
            atoms = atoms.repeat(table["repeat"])
    except (ValueError, TypeError) as error:
        raise InputError(f"[structure]: pbc or repeat do not fit the {len(atoms)} atoms: {_reason(error)}.") from None
    if "magmoms" in table:
        set_moments(atoms, table["magmoms"], "[structure] magmoms")
    if "fix" in table:
        fix(atoms, table["fix"], "[structure] fix")
    return atoms


def fix(atoms: Atoms, indices, name: str) -> None:
    """Atoms that a relaxation leaves where they are, beside those that the file fixes.

    Raises:
        InputError: no indices of these atoms.
    """
    try:
        values = np.asarray(indices)
    except ValueError:
        values = np.zeros(0)
    if values.ndim != 1 or values.dtype.kind != "i" or np.any((values < 0) | (values >= len(atoms))):
        raise InputError(f"{name} = {indices!r}: give indices of atoms, whole numbers from 0 to {len(atoms) - 1}.")
    atoms.set_constraint([*atoms.constraints, FixAtoms(sorted({int(i) for i in values}))])


def set_moments(atoms: Atoms, moments, name: str) -> None:
    """Starting magnetic moments, one per atom.

    Raises:
        InputError: another number of them, or no numbers.
    """
    try:
        values = np.asarray(moments, float)
    except (ValueError, TypeError):
        raise InputError(f"{name} = {moments!r}: give one number of bohr magnetons per atom.") from None
    if values.shape != (len(atoms),):
        raise InputError(
            f"{name} has {values.size} numbers for {len(atoms)} atoms: give one per atom, in bohr magnetons."
        )
    atoms.set_initial_magnetic_moments(values)
