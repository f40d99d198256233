"""Inputs of Quantum ESPRESSO's pw.x: what says the same here is taken over, what does not is refused by name.

Every key falls into one of three kinds: it has a counterpart (structure, cutoff, k points, occupations, bands, spin,
functional, potentials), it changes no number of a ground state (where files go, how pw.x mixes densities), or it is an
`InputError` unless it has the value at which it does nothing. There is no fourth kind.
"""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import espresso
from ase.units import Bohr, Rydberg

from dftopt.atoms import kpoints
from dftopt.atoms.checks import check_atoms
from dftopt.atoms.symmetry import find_symmetry
from dftopt.cli import pwscf_potentials
from dftopt.errors import InputError

FUNCTIONALS = {
    "pbe": "PBE", "sla+pw+pbx+pbc": "PBE", "pbesol": "PBEsol", "sla+pw+psx+psc": "PBEsol", "sla+pw": "LDA",
    "sla+pw+nogx+nogc": "LDA", "pw": "LDA", "vwn": "lda_x+lda_c_vwn", "sla+vwn": "lda_x+lda_c_vwn",
    "sla+vwn+nogx+nogc": "lda_x+lda_c_vwn", "scan": "SCAN", "r2scan": "r2SCAN",
}  # fmt: skip
SMEARINGS = {
    "gaussian": ("gaussian", "gauss"),
    "methfessel-paxton": ("methfessel-paxton", "m-p", "mp"),
    "marzari-vanderbilt": ("marzari-vanderbilt", "cold", "m-v", "mv"),
    "fermi-dirac": ("fermi-dirac", "f-d", "fd"),
}
TAKEN = re.compile(
    r"ibrav|nat|ntyp|a|celldm\(1\)|ecutwfc|ecutrho|nbnd|occupations|smearing|degauss|nspin|starting_magnetization\(\d+\)|"
    r"tot_magnetization|tot_charge|input_dft|nosym|nr[123]"
)
HARMLESS = re.compile(  # of &SYSTEM: how pw.x finds or uses symmetry, the grid of exact exchange, starting guesses
    r"nosym_evc|noinv|no_t_rev|force_symmorphic|use_all_frac|nr[123]s|starting_charge\(\d+\)|nqx[123]|ecutfock|report|"
    r"one_atom_occupations|exxdiv_treatment|x_gamma_extrapolation|ecutvcut|localization_thr|uniqueb|origin_choice|rhombohedral"
)
OFF = (False, 0, 0.0, "none", "no", "", "ortho-atomic")
LOUD_CONTROL = re.compile(r"tefield|dipfield|lelfield|lorbm|lberry|gate|lfcp|lfcpopt|trism|twochem|nberrycyc")
CALCULATIONS = ("scf", "nscf", "bands", "relax", "md", "vc-relax", "vc-md", "ensemble")
CARDS = ("ATOMIC_SPECIES", "ATOMIC_POSITIONS", "K_POINTS", "CELL_PARAMETERS")
OTHER_CARDS = re.compile(
    r"^(ADDITIONAL_K_POINTS|CONSTRAINTS|OCCUPATIONS|ATOMIC_VELOCITIES|ATOMIC_FORCES|SOLVENTS|HUBBARD)\b", re.I
)


@dataclass(frozen=True)
class PwInput:
    """What a pw.x input says: atoms (angstrom), calculator keywords (eV), and notes on what was left out."""

    atoms: Atoms
    parameters: dict[str, Any]
    notes: list[str]


def is_pwscf(path: Path) -> bool:
    """Whether a file is an input of pw.x, by name and content."""
    if path.suffix.lower() not in (".in", ".pwi", ".pw", ".inp", ".pwscf"):
        return False
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return re.search(r"^\s*&system\b", stream.read(100_000), re.I | re.M) is not None
    except OSError:
        return False


def read_pwscf(path: Path, given: Mapping[str, Any] | None = None) -> PwInput:
    """Read an input of pw.x.

    Args:
        path: of the input.
        given: keywords that flags set; a functional or potentials among them are not looked for in the file.

    Raises:
        InputError: a key, card or file that has no counterpart here; names it.
    """
    given = given or {}
    system, control, cards, atoms_of = _parse(path)
    notes = _refuse_or_note(system, control, cards)
    parameters: dict[str, Any] = {
        "ecut": _cutoff(system),
        "spinpol": _spin(system),
        "occupations": _occupations(system),
    }
    if "nbnd" in system:
        parameters["nbands"] = system["nbnd"]
    if system.get("tot_charge"):
        parameters["charge"] = system["tot_charge"]
    if system.get("tot_magnetization", -1) != -1:
        parameters["magnetization"] = system["tot_magnetization"]
    grid = [system.get(f"nr{i}", 0) for i in (1, 2, 3)]
    if all(grid):
        parameters["fft"] = tuple(grid)
    elif any(grid):
        raise InputError(f"{path.name}: nr1, nr2 and nr3 have to be given together; here they are {grid}.")
    labels, atoms, species = atoms_of
    potentials = pwscf_potentials.find(species, path, str(control.get("pseudo_dir", "")), given.get("pseudopotentials"))
    parameters["pseudopotentials"] = potentials.names
    notes += potentials.notes
    parameters["xc"] = _functional(system, potentials, given)
    if parameters["spinpol"]:
        atoms.set_initial_magnetic_moments(_moments(system, labels, species, potentials))
    elif any(k.startswith("starting_magnetization") for k in system):
        notes.append("starting_magnetization is not used: nspin is 1")
    parameters["symmetry"] = not system.get("nosym", False)
    parameters.update(_kpoints(cards, atoms, parameters["symmetry"], notes, system))
    return PwInput(atoms, {k: v for k, v in parameters.items() if v is not None or k == "xc"}, notes)


def _parse(path: Path):
    """Namelists as plain dictionaries, the cards' lines, and (labels, atoms, species)."""
    try:
        text = path.read_text(encoding="utf-8").replace('"', "'")  # ASE's parser knows single quotes alone
        data, cards = espresso.read_fortran_namelist(io.StringIO(text))
    except (OSError, UnicodeDecodeError, ValueError, AttributeError, IndexError, KeyError) as error:
        raise InputError(f"{path.name} cannot be read as an input of pw.x: {error}.") from None
    for section in data:
        if section not in ("control", "system", "electrons", "ions", "cell", "_ignored"):
            raise InputError(f"{path.name}: the namelist &{section.upper()} has no counterpart here. Remove it.")
    system = {str(k).lower(): v for k, v in data.get("system", {}).items() if k}
    control = {str(k).lower(): v for k, v in data.get("control", {}).items() if k}
    for key in ("ibrav", "nat", "ntyp", "ecutwfc"):
        if not isinstance(system.get(key), (int, float)) or isinstance(system.get(key), bool):
            raise InputError(f"{path.name}: &SYSTEM needs the key {key} with a number, it has {system.get(key)!r}.")
    if system["ibrav"] != 0:
        raise InputError(
            f"{path.name}: ibrav = {system['ibrav']} is not read. Write the cell out: ibrav = 0 and a CELL_PARAMETERS card."
        )
    try:
        atoms = espresso.read_espresso_in(io.StringIO(text))
        species = espresso.get_atomic_species(cards, n_species=system["ntyp"])
        alat = _alat(system)
        rows = espresso.get_atomic_positions(cards, n_atoms=system["nat"], cell=atoms.cell.array, alat=alat)
        labels = [row[0] for row in rows]
        species = [(label, espresso.label_to_symbol(label), mass, file) for label, mass, file in species]
    except Exception as error:  # ASE's parser fails in its own ways, a generator that ends early among them
        raise InputError(
            f"{path.name}: ASE cannot read structure and species of this pw.x input: {type(error).__name__}: {error}."
        ) from None
    known = {label: mass for label, _, mass, _ in species}
    strange = [label for label in labels if label not in known]
    if strange:
        raise InputError(f"{path.name}: ATOMIC_POSITIONS names {strange[0]!r}, ATOMIC_SPECIES does not.")
    check_atoms(atoms, force=True)  # before its symmetry is looked for
    atoms.set_masses([known[label] if known[label] > 0 else None for label in labels])
    atoms.set_initial_magnetic_moments(None)
    return system, control, cards, (labels, atoms, species)


def _alat(system) -> float | None:
    """Angstrom, by the constants that ASE's reader of these files uses."""
    return system["celldm(1)"] * espresso.units["Bohr"] if "celldm(1)" in system else system.get("a")


def _refuse_or_note(system, control, cards) -> list[str]:
    for key, value in system.items():
        if TAKEN.fullmatch(key) or HARMLESS.fullmatch(key) or value in OFF:
            continue
        raise InputError(
            f"{key} = {value!r} of &SYSTEM has no counterpart here, and without it the physics would be another. Remove it "
            "from the input if that is meant."
        )
    for key, value in control.items():
        if LOUD_CONTROL.fullmatch(key) and value not in OFF:
            raise InputError(f"{key} = {value!r} of &CONTROL (fields, Berry phases) has no counterpart here.")
    for line in cards:
        if OTHER_CARDS.match(line):
            raise InputError(
                f"the card {line.split()[0]} of the pw.x input has no counterpart here. Remove it if that is meant."
            )
    notes = [
        "from a pw.x input: structure, cutoff, k points, occupations, functional, potentials; &ELECTRONS, &IONS and &CELL are not used"
    ]
    calculation = str(control.get("calculation", "scf"))
    if calculation not in CALCULATIONS:
        raise InputError(f"calculation = {calculation!r} of &CONTROL is unknown; pw.x has {', '.join(CALCULATIONS)}.")
    if calculation != "scf":
        notes.append(f"calculation = '{calculation}' is not used: the command decides what is done")
    return notes


def _cutoff(system) -> float:
    ratio = system.get("ecutrho", 4 * system["ecutwfc"]) / system["ecutwfc"]
    if abs(ratio - 4) > 1e-6:
        raise InputError(
            f"ecutrho = {system['ecutrho']!r} is {ratio:g} times ecutwfc = {system['ecutwfc']!r}. Here the density always has four "
            "times the cutoff of the orbitals, which is exact for norm-conserving potentials: remove ecutrho."
        )
    return system["ecutwfc"] * Rydberg


def _spin(system) -> bool:
    nspin = system.get("nspin", 1)
    if nspin not in (1, 2):
        raise InputError(f"nspin = {nspin!r} has no counterpart here: 1 (no spin) or 2 (collinear).")
    return nspin == 2


def _occupations(system) -> dict[str, Any]:
    name = str(system.get("occupations", "fixed")).lower()
    if name == "fixed":
        return {"name": "fixed"}
    if name != "smearing":
        raise InputError(f"occupations = {name!r} has no counterpart here: 'fixed' or 'smearing'.")
    kind = str(system.get("smearing", "gaussian")).lower()
    ours = [ours for ours, theirs in SMEARINGS.items() if kind in theirs]
    if not ours:
        raise InputError(
            f"smearing = {kind!r} is unknown; {', '.join(n for names in SMEARINGS.values() for n in names)} are known."
        )
    width = system.get("degauss", 0.0)
    if not isinstance(width, (int, float)) or not width > 0:
        raise InputError(f"degauss = {width!r}: smearing needs a positive width, in Ry.")
    return {"name": ours[0], "width": width * Rydberg}


def _functional(system, potentials, given) -> str | None:
    if given.get("xc") is not None:
        return given["xc"]
    if "input_dft" not in system:
        if potentials.name_functional:
            return None  # what the files name, as in pw.x
        raise InputError(
            "input_dft is missing, and not all potentials are UPF files, which would name it. Add input_dft, or --xc."
        )
    name = str(system["input_dft"]).lower().replace(" ", "+").replace("-", "+")
    if name not in FUNCTIONALS:
        raise InputError(
            f"input_dft = {system['input_dft']!r} has no counterpart here; {', '.join(FUNCTIONALS)} have. Or choose with --xc."
        )
    return FUNCTIONALS[name]


def _moments(system, labels, species, potentials) -> np.ndarray:
    """pw.x's starting_magnetization: below 1 a fraction of the valence electrons, else bohr magnetons."""
    of = {}
    for number, (label, symbol, _, _) in enumerate(species, start=1):
        value = float(system.get(f"starting_magnetization({number})", 0.0))
        of[label] = value * potentials.charge(symbol) if abs(value) < 1 else value
    return np.array([of[label] for label in labels])


# ---------------------------------------------------------------------------------------------------- k points


def _kpoints(cards, atoms, symmetry: bool, notes: list[str], system) -> dict[str, Any]:
    start = [i for i, line in enumerate(cards) if line.upper().startswith("K_POINTS")]
    if len(start) != 1:
        raise InputError(f"the pw.x input has {len(start)} K_POINTS cards; it needs one.")
    kind = (re.sub(r"[{}()]", " ", cards[start[0]]).split()[1:] or ["tpiba"])[0].lower()
    body = cards[start[0] + 1 :]
    if kind == "gamma":
        return {"kpts": {"size": (1, 1, 1)}}
    try:
        if kind == "automatic":
            numbers = [int(x) for x in body[0].split()[:6]]
            if len(numbers) not in (3, 6) or not set(numbers[3:]) <= {0, 1}:
                raise ValueError(f"{body[0]!r} is not three sizes and three shifts of 0 or 1")
            shift = tuple(0.5 * s for s in (numbers[3:] or (0, 0, 0)))
            _note_broken_mesh(atoms, numbers[:3], shift, symmetry, notes)
            return {"kpts": {"size": tuple(numbers[:3]), "shift": shift}}
        if kind not in ("tpiba", "crystal"):
            raise ValueError(f"{kind!r} is no mesh for a ground state (bands: dftopt bands FILE --path LGXWKG)")
        rows = np.array(
            [
                [float(x.lower().replace("d", "e")) for x in line.split()[:4]]
                for line in body[1 : 1 + int(body[0].split()[0])]
            ]
        )
        if rows.ndim != 2 or rows.shape[1] != 4 or len(rows) != int(body[0].split()[0]):
            raise ValueError("rows of three coordinates and a weight are needed")
    except (ValueError, IndexError) as error:
        raise InputError(f"K_POINTS {kind}: {error}.") from None
    k, w = rows[:, :3], rows[:, 3]
    if kind == "tpiba":
        k = k @ atoms.cell.array.T / (_alat(system) or np.linalg.norm(atoms.cell.array[0]))
    k, w = spread(k, w / w.sum(), _symmetry(atoms) if symmetry else None)
    if len(k) > len(rows):
        notes.append(
            f"the {len(rows)} k points of the input stand for their images under the crystal's symmetry, as in pw.x: {len(k)} points"
        )
    return {"kpts": k.tolist(), "weights": w.tolist()}


def _symmetry(atoms):
    moments = atoms.get_initial_magnetic_moments() if atoms.has("initial_magmoms") else None
    return find_symmetry(atoms.cell.array / Bohr, atoms.get_scaled_positions(), atoms.numbers, moments)


def _note_broken_mesh(atoms, size, shift, symmetry: bool, notes: list[str]) -> None:
    """pw.x averages over the crystal's symmetry even where the mesh has less of it; a mesh here is what it is."""
    if not symmetry or min(size) < 1:
        return
    found = _symmetry(atoms)
    kept = kpoints.mesh(size, shift, found).symmetry
    if len(kept) < len(found):
        notes.append(
            f"K_POINTS: this mesh has {len(kept)} of the crystal's {len(found)} symmetry operations. pw.x adds the points that the others "
            "lead to; here the mesh is taken as it is, so that energies differ by its sampling error"
        )


def spread(k, w, symmetry) -> tuple[np.ndarray, np.ndarray]:
    """Points of an irreducible wedge with all their images, of k and -k only one: the same sum without symmetry.

    Args:
        k: (n, 3) fractional points.
        w: (n,) weights, sum 1.
        symmetry: of the crystal; None for the points as they are.

    Returns:
        Points and weights.
    """
    if symmetry is None:
        return k, w
    out: dict[tuple, float] = {}
    rotations = np.unique(symmetry.rotations, axis=0)
    for point, weight in zip(k, w, strict=True):
        images = {min(_key(point @ r), _key(-(point @ r))): point @ r for r in rotations}
        for key in images:
            out[key] = out.get(key, 0.0) + weight / len(images)
    return np.array(list(out)), np.array(list(out.values()))


def _key(point) -> tuple[float, ...]:
    return tuple(float(x) for x in np.round(kpoints.wrap(point), 9) + 0.0)
