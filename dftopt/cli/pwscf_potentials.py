"""Pseudopotential files that a pw.x input names: UPF files are found, GTH files are recognized by their numbers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dftopt.atoms import gth, potentials
from dftopt.errors import InputError

LONGEST = 100_000  # bytes of a potential file that are looked at to tell its kind


@dataclass(frozen=True)
class Found:
    """Potentials by element: what `pseudopotentials=` takes, and what was noticed.

    Attributes:
        names: names or paths by element.
        notes: sentences for the log.
        name_functional: whether all of them are files that name a functional, as UPF files do.
    """

    names: dict[str, str]
    notes: list[str]
    name_functional: bool

    def charge(self, element: str) -> float:
        """Valence electrons of an element."""
        return float(potentials.load(element, self.names[element]).charge)


def find(species, path: Path, pseudo_dir: str, given: str | Mapping[str, str] | None) -> Found:
    """Find the potentials of a pw.x input.

    Args:
        species: (label, element, mass, file) of ATOMIC_SPECIES.
        path: of the input; files are looked for in `pseudo_dir` and beside it.
        pseudo_dir: as the input gives it.
        given: potentials that flags set, which replace the files; a family or {element: name}.

    Raises:
        InputError: a file is missing or unknown, or two species of one element have different ones.
    """
    names: dict[str, str] = {}
    notes: list[str] = []
    files: dict[str, str] = {}
    for label, element, _, file in species:
        if files.setdefault(element, file) != file:
            raise InputError(
                f"ATOMIC_SPECIES gives {element} two potentials, {files[element]} and {file} ({label}). Here an element has one."
            )
        chosen = given if isinstance(given, str) else (given or {}).get(element)
        if chosen is not None:
            names[element] = chosen
            continue
        found = _search(file, path, pseudo_dir, element)
        if _is_upf(found):
            names[element] = str(found)
        else:
            names[element] = recognize(found, element)
            notes.append(f"{file} holds the numbers of {names[element]}")
    return Found(names, notes, all(potentials.is_file(n) for n in names.values()))


def _is_upf(path: Path) -> bool:
    """By content, as pw.x does."""
    try:
        with path.open("rb") as stream:
            start = stream.read(LONGEST)
    except OSError as error:
        raise InputError(f"the pseudopotential {path} cannot be read: {error.strerror}.") from None
    return b"<UPF" in start or b"<PP_HEADER" in start


def _search(file: str, path: Path, pseudo_dir: str, element: str) -> Path:
    places = [path.parent / Path(pseudo_dir).expanduser(), path.parent] if pseudo_dir else [path.parent]
    for place in places:
        if (place / file).is_file():
            return place / file
    looked = " and ".join(dict.fromkeys(str(place.absolute()) for place in places))
    raise InputError(
        f"the pseudopotential file {file!r} of {element} is not in {looked}. Put it there, correct pseudo_dir, or choose "
        f"another potential with --pseudopotentials {element}=NAME."
    )


def recognize(path: Path, element: str) -> str:
    """Name in our table of the GTH potential whose numbers a file in ABINIT's psp10 format holds.

    Raises:
        InputError: another format, or numbers that are not in the table.
    """
    try:
        numbers = _psp10(path)
    except (OSError, ValueError, IndexError, UnicodeDecodeError):
        raise InputError(
            f"the potential {path} is neither UPF nor a readable GTH file (psp10). Choose another with --pseudopotentials {element}=NAME."
        ) from None
    for entry in {e.name: e for (symbol, _), e in gth.table().items() if symbol == element}.values():
        ours = _numbers(entry)
        if len(ours) == len(numbers) and np.allclose(ours, numbers, rtol=0, atol=5e-9):
            return entry.name
    raise InputError(
        f"the GTH potential {path} holds other numbers than the table has for {element}: it would be another potential. "
        f"Choose one with --pseudopotentials {element}=NAME."
    )


def _psp10(path: Path) -> list[float]:
    """Valence, rloc, C1 to C4, then r and the upper triangle of h of each channel; h with one row per projector."""
    with path.open(encoding="utf-8") as stream:
        lines = stream.read(LONGEST).splitlines()[1:]
    words = [
        [float(x) for x in re.findall(r"(?<![\w.])[-+]?\d+\.?\d*(?:[eEdD][-+]?\d+)?(?![\w(])", line)] for line in lines
    ]
    charge = words[0][1]
    if words[1][0] != 10:
        raise ValueError("not psp10")
    n = int(words[2][1])
    out = [charge, words[2][0], *(words[2][2 : 2 + n] + [0.0] * (4 - n))]
    row = 4
    for l in range(int(words[3][0])):
        size = int(words[row][1])
        h = [x for i in range(size) for x in (words[row + i][2 : 2 + size] if i == 0 else words[row + i][: size - i])]
        if any(h):
            out += [words[row][0], *h]
        row += max(size, 1) + (size if l > 0 else 0)  # from p on, the rows of the spin-orbit coupling follow
    return out


def _numbers(entry: gth.GTH) -> list[float]:
    out = [float(entry.charge), entry.rloc, *entry.cloc]
    for channel in entry.channels:
        out.append(channel.r)
        for i in range(channel.n):
            out += channel.h[i][i:]
    return out
