"""Input files: TOML, a pw.x input, or a structure alone; flags override their keys."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ase import Atoms

from dftopt.atoms.cutoff import LEVELS
from dftopt.atoms.potentials import is_file
from dftopt.calculator.setup import KEYS, Setup, build, check_keys
from dftopt.cli import structures
from dftopt.cli.pwscf import is_pwscf, read_pwscf
from dftopt.cli.quantities import energy
from dftopt.errors import InputError

TABLES = ("structure", "bands", "dos")
BANDS_KEYS = ("path", "npoints", "nbands", "fat")
DOS_KEYS = ("width", "kpts", "nbands", "projected", "method")
FLAGS = (
    "mode", "basis", "grid",
    "xc", "ecut", "nbands", "spinpol", "magnetization", "starts", "charge", "coulomb", "dipole_correction", "dispersion", "symmetry",
    "minimizer", "kpoints_at_once", "tol", "maxiter", "seed", "force",
)  # fmt: skip
SMALL_CUTOFF = 100.0  # eV: a number this small was probably meant in another unit
RESULTS = (".h5", ".hdf5")


@dataclass(frozen=True)
class Input:
    """What an input file and flags ask for.

    Attributes:
        name: of the file without suffix: results go to out/NAME.
        atoms: angstrom.
        parameters: calculator keywords, eV.
        bands: options of the [bands] table; None without it.
        dos: options of the [dos] table.
        notes: what was chosen while reading, one sentence each.
    """

    name: str
    atoms: Atoms
    parameters: dict[str, Any]
    bands: dict[str, Any] | None = None
    dos: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def needs_crystal(self, command: str) -> None:
        """Refuse molecules in Gaussians where a command is about cells, cutoffs or k points.

        Raises:
            InputError: names the command.
        """
        if self.parameters.get("mode") == "gaussian":
            raise InputError(
                f"dftopt {command} is for crystals in plane waves, but mode = 'gaussian'. Use dftopt run or relax."
            )

    def build(self, atoms: Atoms | None = None, **changed) -> Setup:
        """The calculation, for these atoms or others, with some keywords changed; see `calculator.setup.build`."""
        setup = build(self.atoms if atoms is None else atoms, {**self.parameters, **changed})
        return replace(setup, notes=[*self.notes, *setup.notes])


def read_input(file, options) -> Input:
    """Read a TOML input, a pw.x input or a structure file, and apply the flags in `options`.

    Raises:
        InputError: no such file, a file that cannot be read, unknown or wrong keys.
    """
    path = structures.check_file(file)
    if path.suffix.lower() in RESULTS:
        raise InputError(
            f"{path.name} is a saved result; here a structure or an input file is needed. dftopt info, bands and dos read it."
        )
    flags = _flags(options)
    if path.suffix.lower() == ".toml":
        given = _from_toml(path)
    elif is_pwscf(path):
        found = read_pwscf(path, flags)
        given = Input(path.stem, found.atoms, found.parameters, notes=found.notes)
    else:
        atoms, notes = structures.read_structure(path, getattr(options, "format", None))
        given = Input(path.stem, atoms, {}, notes=notes)
    parameters = with_flags(given.parameters, options)
    if getattr(options, "magmoms", None) is not None:
        structures.set_moments(given.atoms, options.magmoms, "--magmoms")
    bands = given.bands
    if getattr(options, "bands", None):
        bands = {**(bands or {}), "path": options.bands}
    notes = [*given.notes, *_suspicious(parameters)]
    return replace(given, parameters=parameters, bands=bands, notes=notes)


def read_keywords(options) -> dict[str, Any]:
    """Keywords of `options.input`, a TOML file without structure, and of the flags.

    Raises:
        InputError: no such file, unknown or wrong keys.
    """
    data: dict[str, Any] = {}
    if options.input is not None:
        data = _toml(structures.check_file(options.input))
        for table in TABLES:
            data.pop(table, None)
    return with_flags(_energies(data), options)


def _toml(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} is not valid TOML: {error}.") from None
    check_keys(data, (*KEYS, *TABLES), f" in {path.name}")
    return data


def _from_toml(path: Path) -> Input:
    data = _toml(path)
    structure, bands, dos = (data.pop(table, None) for table in TABLES)
    _check_table("structure", structure)
    if structure is None:
        raise InputError(
            f"{path.name} has no [structure] table: give it file, bulk, molecule, or symbols, cell and positions."
        )
    for table, content, keys in (("bands", bands, BANDS_KEYS), ("dos", dos, DOS_KEYS)):
        _check_table(table, content)
        check_keys(content or {}, keys, f" in [{table}]")
    if dos and isinstance(dos.get("width"), str):
        dos["width"] = _energy("width in [dos]", dos["width"])
    atoms, notes = structures.from_table(structure, path.parent)
    if "file" in structure and is_pwscf(path.parent / str(structure["file"])):
        notes = [*notes, f"of {structure['file']} the structure alone is read, not pw.x's keywords"]
    if "pseudopotentials" in data:
        data["pseudopotentials"] = _beside(data["pseudopotentials"], path.parent)
    return Input(path.stem, atoms, _energies(data), bands, dos or {}, notes)


def _beside(potentials, folder: Path):
    """Files and folders of potentials are looked for beside the input, as its structure is."""
    if isinstance(potentials, dict):
        return {element: _beside(name, folder) for element, name in potentials.items()}
    beside = folder / Path(str(potentials)).expanduser()
    return str(beside) if is_file(potentials) or is_file(beside) else potentials


def _check_table(name: str, content) -> None:
    if content is not None and not isinstance(content, dict):
        raise InputError(f"{name} = {content!r} has to be a table, written as [{name}] on a line of its own.")


def _energies(parameters: dict[str, Any]) -> dict[str, Any]:
    """Energies may be strings with units, "30 Ry"."""
    for name in ("ecut", "tol"):
        if isinstance(parameters.get(name), str) and not (name == "ecut" and parameters[name] in LEVELS):
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


# ---------------------------------------------------------------------------------------------------- flags


def with_flags(parameters: Mapping[str, Any], options) -> dict[str, Any]:
    """Keywords with those of the flags in their place."""
    out = {**parameters, **_flags(options)}
    if "kpts" in out and _given(options, "kpts", "spacing") is not None:
        out.pop("weights", None)
    if _given(options, "shift") is not None and _given(options, "kpts") is None:
        size = out.get("kpts", {})
        size = size.get("size") if isinstance(size, Mapping) else size
        if size is None:
            raise InputError(f"--shift {options.shift} is for a mesh: give --kpts too, such as --kpts 4 4 4.")
        out["kpts"] = {"size": tuple(size), "shift": tuple(options.shift)}
    occupations = _occupations(out.get("occupations", {}), _given(options, "occupations"), _given(options, "width"))
    return {**out, "occupations": occupations} if occupations is not None else out


def _given(options, *names: str):
    """The first of some flags that is given."""
    return next((v for n in names if (v := getattr(options, n, None)) is not None), None)


def _flags(options) -> dict[str, Any]:
    """Keywords that flags set, without those that change a part of one."""
    out = {name: value for name in FLAGS if (value := getattr(options, name, None)) is not None}
    kpts, spacing, shift = (_given(options, name) for name in ("kpts", "spacing", "shift"))
    if kpts is not None and spacing is not None:
        raise InputError(f"--kpts {kpts} and --spacing {spacing} both choose the mesh: give one of them.")
    if spacing is not None:
        out["kpts"] = {"spacing": spacing}
    if kpts is not None:
        out["kpts"] = {"size": tuple(kpts), "shift": tuple(shift)} if shift is not None else tuple(kpts)
    if _given(options, "pseudopotentials") is not None:
        out["pseudopotentials"] = _pseudopotentials(options.pseudopotentials)
    return out


def _pseudopotentials(words: list[str]) -> str | dict[str, str]:
    if len(words) == 1 and "=" not in words[0]:
        return words[0]
    wrong = next((word for word in words if "=" not in word), None)
    if wrong is not None:
        raise InputError(
            f"--pseudopotentials {wrong}: give one family for all, or ELEMENT=NAME for each, such as Si=GTH-PBE-q4."
        )
    return dict(word.split("=", 1) for word in words)  # type: ignore[misc]


def _occupations(now, name: str | None, width: float | None):
    """The keyword with its name or its width changed; None where no flag changes it."""
    if name is None and width is None:
        return None
    now = {"name": now} if isinstance(now, str) else dict(now)
    if name is not None:
        now = {"name": name, **({"width": now["width"]} if "width" in now and name != "fixed" else {})}
    now.setdefault("name", "fermi-dirac")
    return {**now, "width": width} if width is not None else now


def _suspicious(parameters: Mapping[str, Any]) -> list[str]:
    ecut = parameters.get("ecut")
    if isinstance(ecut, (int, float)) and not isinstance(ecut, bool) and 0 < ecut < SMALL_CUTOFF:
        return [f"ecut is {ecut:g} eV, which is very low. A number without a unit is eV: 30Ry and 15Ha say others"]
    return []
