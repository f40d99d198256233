"""Input files: TOML, or a structure alone; flags override their keys."""

import inspect
import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read

from dftopt.calculator.setup import KEYS, check_keys
from dftopt.cli.quantities import energy
from dftopt.errors import InputError

TABLES = ("structure", "bands", "dos")
BANDS_KEYS = ("path", "npoints", "nbands")
DOS_KEYS = ("width", "kpts", "nbands")
COMMON = ("magmoms", "pbc", "repeat")  # go with every way of giving a structure
EXPLICIT = ("symbols", "cell", "positions", "scaled_positions")
FLAGS = ("xc", "ecut", "kpts", "nbands", "symmetry", "minimizer", "tol", "maxiter", "seed", "force")


@dataclass(frozen=True)
class Input:
    """What an input file and flags ask for; `bands` and `dos` are None where they are not."""

    name: str
    atoms: Atoms
    parameters: dict[str, Any]
    bands: dict[str, Any] | None
    dos: dict[str, Any]


def read_input(file, options) -> Input:
    """Read a TOML input or a structure file, and apply the flags in `options`.

    Raises:
        InputError: no such file, a file that cannot be read, unknown or wrong keys.
    """
    path = Path(file)
    if not path.is_file():
        raise InputError(
            f"there is no file {file!r} in {Path.cwd()}." if not path.exists() else f"{file!r} is a folder, not a file."
        )
    data = _toml(path) if path.suffix.lower() == ".toml" else {"structure": {"file": path.name}}
    check_keys(data, (*KEYS, *TABLES), f" in {path.name}")
    structure, bands, dos = (data.pop(table, None) for table in TABLES)
    _check_table("structure", structure)
    if structure is None:
        raise InputError(
            f"{path.name} has no [structure] table: give it file, bulk, molecule, or symbols, cell and positions."
        )
    for table, content, keys in (("bands", bands, BANDS_KEYS), ("dos", dos, DOS_KEYS)):
        _check_table(table, content)
        check_keys(content or {}, keys, f" in [{table}]")
    parameters = _energies(data)
    _apply_flags(parameters, options)
    if getattr(options, "bands", None):
        bands = {**(bands or {}), "path": options.bands}
    return Input(path.stem, _structure(structure, path.parent), parameters, bands, dos or {})


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} is not valid TOML: {error}.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None


def _check_table(name: str, content) -> None:
    if content is not None and not isinstance(content, dict):
        raise InputError(f"{name} = {content!r} has to be a table, written as [{name}] on a line of its own.")


def _energies(parameters: dict[str, Any]) -> dict[str, Any]:
    """Energies may be strings with units, "30 Ry"."""
    for name in ("ecut", "tol"):
        if isinstance(parameters.get(name), str):
            parameters[name] = _energy(name, parameters[name])
    occupations = parameters.get("occupations")
    if isinstance(occupations, dict) and isinstance(occupations.get("width"), str):
        parameters["occupations"] = {**occupations, "width": _energy("width", occupations["width"])}
    return parameters


def _energy(name: str, text: str) -> float:
    try:
        return energy(text)
    except ValueError as error:
        raise InputError(f"{name}: {error}.") from None


def _apply_flags(parameters: dict[str, Any], options) -> None:
    for name in FLAGS:
        if getattr(options, name, None) is not None:
            parameters[name] = getattr(options, name)
    if getattr(options, "kpts", None) is not None:
        parameters.pop("weights", None)
    given, width = getattr(options, "occupations", None), getattr(options, "width", None)
    if given is None and width is None:
        return
    now = parameters.get("occupations", {})
    now = {"name": now} if isinstance(now, str) else dict(now)
    if given is not None:
        now = {"name": given, **({"width": now["width"]} if "width" in now and given != "fixed" else {})}
    now.setdefault("name", "fermi-dirac")
    parameters["occupations"] = {**now, "width": width} if width is not None else now


# ---------------------------------------------------------------------------------------------------- structure


def _structure(table: Mapping[str, Any], folder: Path) -> Atoms:
    ways = [way for way in ("file", "bulk", "molecule", "symbols") if way in table]
    if len(ways) != 1:
        found = f"has {' and '.join(ways)}" if ways else "has none of them"
        raise InputError(f"[structure] needs exactly one of file, bulk, molecule and symbols; it {found}.")
    way = ways[0]
    rest = {k: v for k, v in table.items() if k not in (way, *COMMON)}
    if way == "file":
        check_keys(rest, COMMON, " in [structure] with file")
        atoms = read_structure(folder / str(table["file"]))
    elif way == "symbols":
        check_keys(rest, (*EXPLICIT[1:], *COMMON), " in [structure] with symbols")
        atoms = _explicit(table["symbols"], rest)
    else:
        atoms = _built(way, table[way], rest)
    return _finish(atoms, table)


def read_structure(path: Path) -> Atoms:
    """The last structure of a file that ASE reads."""
    if not path.is_file():
        raise InputError(f"there is no structure file {str(path)!r} (from {Path.cwd()}).")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms = read(path)
    except Exception as error:  # every reader fails in its own way
        raise InputError(
            f"ASE cannot read the structure file {str(path)!r}: {type(error).__name__}: {error}."
        ) from None
    if not isinstance(atoms, Atoms):
        raise InputError(f"the file {str(path)!r} holds no structure.")
    return atoms


def _explicit(symbols, rest) -> Atoms:
    if "cell" not in rest:
        raise InputError("[structure] with symbols needs a cell: three rows of three numbers, in angstrom.")
    if ("positions" in rest) == ("scaled_positions" in rest):
        raise InputError("[structure] with symbols needs either positions (angstrom) or scaled_positions.")
    try:
        return Atoms(symbols, pbc=True, **{k: np.asarray(v, float) for k, v in rest.items()})
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
        if "magmoms" in table:
            atoms.set_initial_magnetic_moments(table["magmoms"])
    except (ValueError, TypeError) as error:
        raise InputError(
            f"[structure]: pbc, repeat or magmoms do not fit the {len(atoms)} atoms: {_reason(error)}."
        ) from None
    return atoms
