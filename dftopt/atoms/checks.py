"""What must be right about the input before anything is allocated."""

import difflib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_names, chemical_symbols, covalent_radii
from ase.geometry import minkowski_reduce
from ase.neighborlist import primitive_neighbor_list

from dftopt.errors import InputError

ONE_SITE = 1e-3  # angstrom; atoms nearer than this are one atom written twice
HEAVIEST = 118


def check_atoms(
    atoms: Atoms,
    *,
    periodic: Sequence[bool] = (True, True, True),
    needs_cell: bool | None = None,
    force: bool = False,
) -> None:
    """Refuse structures that cannot be computed or that are certainly not meant.

    Args:
        atoms: ASE atoms, angstrom.
        periodic: axes along which the method repeats the atoms, so that `atoms.pbc` has to be True there.
        needs_cell: whether the method works in a box, as plane waves do also for molecules; it then repeats the atoms
            along every axis, and distances are taken through its faces. Default: any(periodic).
        force: let atoms pass that are too close, unless they are on one site.

    Raises:
        InputError: no atoms, values that are not finite, unknown elements, partial occupancies, a cell without volume,
            an axis that is not periodic, atoms on one site or closer than half the sum of their covalent radii.
    """
    needs_cell = any(periodic) if needs_cell is None else needs_cell
    if len(atoms) == 0:
        raise InputError("the structure has no atoms. Give at least one.")
    _check_finite(atoms)
    _check_elements(atoms)
    _check_occupancy(atoms)
    if needs_cell:
        _check_volume(atoms)
    check_periodic(atoms, periodic)
    _check_distances(atoms, np.full(3, True) if needs_cell else np.array(periodic, dtype=bool), force)


def _check_finite(atoms) -> None:
    for i, position in enumerate(atoms.positions):
        if not np.all(np.isfinite(position)):
            raise InputError(
                f"the position of {_name(atoms, i)} is {position.tolist()} angstrom. "
                "Positions have to be finite numbers: correct it or remove the atom."
            )
    for i, vector in enumerate(atoms.cell.array):
        if not np.all(np.isfinite(vector)):
            raise InputError(
                f"the cell vector {'abc'[i]} is {vector.tolist()} angstrom. Cell vectors have to be finite numbers."
            )


def _check_elements(atoms) -> None:
    for i, number in enumerate(atoms.numbers):
        if not 1 <= number <= HEAVIEST:
            symbol = f' ("{chemical_symbols[number]}")' if 0 <= number < len(chemical_symbols) else ""
            raise InputError(
                f"atom {i} has the atomic number {number}{symbol}, which is not an element (1 to {HEAVIEST}). "
                "Give it the symbol of an element, or remove it: ghost and dummy atoms are not supported."
            )


def _check_occupancy(atoms) -> None:
    """ASE's CIF reader stores {site: {symbol: occupancy}} and keeps the majority element alone."""
    sites = atoms.info.get("occupancy")
    if not isinstance(sites, dict):
        return
    for site, fractions in sites.items():
        if isinstance(fractions, dict) and (len(fractions) > 1 or any(abs(f - 1) > 1e-6 for f in fractions.values())):
            mixture = ", ".join(f"{symbol} {fraction:g}" for symbol, fraction in fractions.items())
            raise InputError(
                f"site {site} of the structure is partially occupied ({mixture}; atoms.info['occupancy']). Choose an "
                "ordered structure, such as a supercell with whole atoms, and delete atoms.info['occupancy']."
            )


def _check_volume(atoms) -> None:
    cell = atoms.cell.array
    lengths = np.linalg.norm(cell, axis=1)
    volume = abs(np.linalg.det(cell))
    if volume > 1e-6 * np.prod(lengths) and volume > 0:
        return
    zero = [name for name, length in zip("abc", lengths, strict=True) if length == 0]
    if zero:
        reason = f"{_listed(zero)} {'is' if len(zero) == 1 else 'are'} zero"
    else:
        reason = f"its vectors {np.round(cell, 6).tolist()} angstrom lie in a plane"
    raise InputError(
        f"the cell volume is zero ({reason}). Set atoms.cell to three independent vectors; for a molecule or a slab "
        "add vacuum with atoms.center(vacuum=5.0), in angstrom."
    )


def check_periodic(atoms: Atoms, periodic: Sequence[bool]) -> None:
    """Refuse atoms that are not periodic along an axis along which the method repeats them.

    Raises:
        InputError: names the axes and what to do.
    """
    missing = [name for name, needed, has in zip("abc", periodic, atoms.pbc, strict=True) if needed and not has]
    if missing:
        raise InputError(
            f"the structure is not periodic along {_listed(missing)} (atoms.pbc = {atoms.pbc.tolist()}), but plane "
            "waves repeat it. Set atoms.pbc = True, and for a molecule or a slab add vacuum first with "
            "atoms.center(vacuum=5.0), in angstrom, along the axes that should not be periodic. Or use coulomb = '0d' "
            "(molecules) or '2d' (slabs), where copies are not felt."
        )


def _check_distances(atoms, repeated, force) -> None:
    """Own images first: they bound the number of images that a neighbour list has to visit."""
    _check_own_images(atoms, repeated, force)
    radii = np.full(len(atoms), ONE_SITE / 2) if force else covalent_radii[atoms.numbers] / 2
    cell = atoms.cell.complete() if np.any(repeated) else np.eye(3)  # a cell without volume is no concern of molecules
    i, j, distances, shifts = primitive_neighbor_list(
        "ijdS", repeated, cell, atoms.positions, np.maximum(radii, ONE_SITE / 2)
    )
    if len(i) == 0:
        return
    limits = np.maximum(radii[i] + radii[j], ONE_SITE)
    worst = int(np.argmin(distances / limits))
    first, second = int(i[worst]), int(j[worst])
    pair, through = _pair(atoms, first, second), _through(shifts[worst])
    if distances[worst] < ONE_SITE:
        raise InputError(
            f"{pair} are on one site, {distances[worst]:.2g} angstrom apart{through}. Remove one of them; force does "
            "not help, since the energy would be infinite."
        )
    raise InputError(
        f"{pair} are {distances[worst]:.3g} angstrom apart{through}; half the sum of their covalent radii is "
        f"{limits[worst]:.2g}. Move one of them{_enlarge(atoms, shifts[worst])}, or let them pass with force."
    )


def _check_own_images(atoms, repeated, force) -> None:
    if not np.any(repeated):
        return
    reduced, operation = minkowski_reduce(atoms.cell.complete(), repeated)
    lengths = np.where(repeated, np.linalg.norm(reduced, axis=1), np.inf)
    shortest = int(np.argmin(lengths))
    distance, shift = lengths[shortest], np.asarray(operation)[shortest]
    radii = covalent_radii[atoms.numbers]
    atom = int(np.argmax(radii))
    if distance < (ONE_SITE if force else max(radii[atom], ONE_SITE)):
        raise InputError(
            f"{_name(atoms, atom)} is {distance:.2g} angstrom from its own image{_through(shift)}; half the sum of "
            f"the covalent radii is {radii[atom]:.2g}. Enlarge the cell{_vector_lengths(atoms, shift)}; lengths of ASE "
            "atoms are in angstrom."
        )


def _name(atoms, i) -> str:
    return f"{_element(atoms.numbers[i])} atom {i}"


def _element(number) -> str:
    return atomic_names[number].lower() if 1 <= number <= HEAVIEST else "dummy"


def _pair(atoms, i, j) -> str:
    if atoms.numbers[i] == atoms.numbers[j]:
        return f"the two {_element(atoms.numbers[i])} atoms {min(i, j)} and {max(i, j)}"
    i, j = min(i, j), max(i, j)
    return f"the {_name(atoms, i)} and the {_name(atoms, j)}"


def _crossed(shift) -> list[str]:
    return [name for name, steps in zip("abc", shift, strict=True) if steps]


def _through(shift) -> str:
    return f" (through the cell boundary along {_listed(_crossed(shift))})" if np.any(shift) else ""


def _vector_lengths(atoms, shift) -> str:
    lengths = dict(zip("abc", np.linalg.norm(atoms.cell.array, axis=1), strict=True))
    return " (" + ", ".join(f"{name} is {lengths[name]:.3g} angstrom" for name in _crossed(shift)) + ")"


def _enlarge(atoms, shift) -> str:
    return f", or enlarge the cell{_vector_lengths(atoms, shift)}" if np.any(shift) else ""


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def check_moments(moments, n_electrons: float, natoms: int) -> np.ndarray:
    """Initial collinear magnetic moments as an array.

    Args:
        moments: (natoms,) bohr magnetons, or None for none.
        n_electrons: of the calculation.
        natoms: number of atoms.

    Raises:
        InputError: wrong length, values that are not finite, or more net moment than electrons.
    """
    if moments is None:
        return np.zeros(natoms)
    values = np.asarray(moments, dtype=float)
    if values.ndim == 2:
        raise InputError(
            f"the magnetic moments have the shape {values.shape}: vectors per atom. Spins are collinear here, "
            "give one number per atom, in bohr magnetons."
        )
    if values.shape != (natoms,):
        raise InputError(f"there are {values.size} magnetic moments for {natoms} atoms. Give one number per atom.")
    if not np.all(np.isfinite(values)):
        i = int(np.argmin(np.isfinite(values)))
        raise InputError(f"the magnetic moment of atom {i} is {values[i]}. Give a finite number of bohr magnetons.")
    if abs(values.sum()) > n_electrons + 1e-6:
        raise InputError(
            f"the magnetic moments sum to {values.sum():g} bohr magnetons, more than the {n_electrons:g} electrons can "
            "carry (one each). Lower atoms.set_initial_magnetic_moments(...), or correct charge."
        )
    return values


def check_positive(
    name: str, value, unit: str = "", remedy: str = "", allow_zero: bool = False, most: float = np.inf
) -> float:
    """A finite positive number as a float.

    Args:
        name: of the input, such as "ecut".
        value: what was given.
        unit: such as "hartree", for the message.
        remedy: a sentence that ends the message, such as "15 to 40 suits most GTH pseudopotentials."
        allow_zero: whether zero is allowed.
        most: what no meaningful value exceeds.

    Raises:
        InputError: text, a truth value, NaN, infinity, an array, or a number that is not positive or too large.
    """
    number = _real(value)
    if number is not None and np.isfinite(number) and (number > 0 or (allow_zero and number == 0)) and number <= most:
        return number
    kind = "a finite number, zero or positive" if allow_zero else "a finite positive number"
    kind += f" of at most {most:g}" if most < np.inf else ""
    raise InputError(f"{name} = {value!r} has to be {kind}{f', in {unit}' if unit else ''}. {remedy}".rstrip())


def check_finite(name: str, value, unit: str = "") -> float:
    """A finite number as a float.

    Raises:
        InputError: text, a truth value, NaN, infinity or an array.
    """
    number = _real(value)
    if number is None or not np.isfinite(number):
        raise InputError(f"{name} = {value!r} has to be a finite number{f', in {unit}' if unit else ''}.")
    return number


def check_whole(name: str, value, least: int = 1, most: int = 2**31 - 1, remedy: str = "") -> int:
    """A whole number within bounds as an int.

    Raises:
        InputError: anything else, a truth value or a number written as text among it.
    """
    number = _real(value)
    if number is None or not np.isfinite(number) or number != int(number) or not least <= number <= most:
        bounds = f"of at least {least}" if most == 2**31 - 1 else f"from {least} to {most}"
        raise InputError(f"{name} = {value!r} has to be a whole number {bounds}. {remedy}".rstrip())
    return int(number)


def check_choice(name: str, value, valid: Iterable[str]) -> str:
    """One of some words.

    Raises:
        InputError: another word, named with the nearest valid one, or no word at all.
    """
    if not isinstance(value, str) or value not in tuple(valid):
        raise InputError(f"{name} = {value!r} is unknown; {nearest(str(value), valid)}")
    return value


def check_truth(name: str, value) -> bool:
    """True or False; a word such as "off", which Python takes for true, is refused.

    Raises:
        InputError: anything but a truth value.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"{name} = {value!r} has to be true or false.")
    return bool(value)


def _real(value) -> float | None:
    """The value of a real scalar (of NumPy and JAX too), None for anything else."""
    if isinstance(value, (str, bytes, bool, np.bool_)) or getattr(value, "shape", ()) != ():
        return None
    if isinstance(value, complex) or getattr(getattr(value, "dtype", None), "kind", "f") in "bc":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def nearest(name: str, valid: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest valid one, and all of them."""
    names = [str(option) for option in valid]
    by_lower = {option.lower(): option for option in names}
    close = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.5)
    suggestion = f'did you mean "{by_lower[close[0]]}"? ' if close else ""
    return f"{suggestion}Valid: {', '.join(names)}."


def memory_limit_gib() -> float:
    """Memory that this process may use, in GiB: the machine's, or the limit of its control group if that is lower.

    Infinite where the system tells neither.
    """
    limits = [_physical_memory(), *(_bytes_in(path) for path in _cgroup_files())]
    return min(limits) / 2**30


def _physical_memory() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return np.inf


def _cgroup_files() -> list[Path]:
    """Limits of the control group (version 2, its parents included, and version 1)."""
    root = Path("/sys/fs/cgroup")
    files = [root / "memory.max", root / "memory" / "memory.limit_in_bytes"]
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return files
    own = [root / line.removeprefix("0::").lstrip("/") for line in lines if line.startswith("0::")]
    return files + [folder / "memory.max" for path in own for folder in (path, *path.parents) if root in folder.parents]


def _bytes_in(path: Path) -> float:
    try:
        return float(path.read_text())  # "max" stands for no limit
    except (OSError, ValueError):
        return np.inf
