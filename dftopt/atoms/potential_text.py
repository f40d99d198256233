"""The text of a potential file: numbers and errors with their line, and the checks that every format shares."""

import re
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from dftopt.atoms.tabulated import RADIUS, Channel
from dftopt.errors import InputError

MOST_BYTES = 64 * 2**20
MOST_POINTS = 100_000
MOST_PROJECTORS = 40
LARGEST_L = 3  # solid harmonics end there
_EXPONENT = re.compile(r"(?<=[\d.])([+-]\d{3})$")  # Fortran drops the letter of a three-digit exponent: 1.5-104


@dataclass(frozen=True)
class Source:
    """A file's path, content, and its text with line ends as newlines."""

    path: str
    raw: bytes = field(repr=False)
    text: str = field(repr=False)

    def line(self, position: int) -> int:
        """Line of a position in the text, from 1."""
        return self.text.count("\n", 0, max(position, 0)) + 1

    def error(self, what: str, position: int | None = None) -> InputError:
        """An error that names the file and, where it is known, the line."""
        where = "" if position is None else f", line {self.line(position)}"
        return InputError(f"pseudopotential {self.path}{where}: {what}")

    def after(self, start: int, end: int, words: int) -> int | None:
        """Position after so many words, None where there are fewer."""
        for found in islice(re.compile(r"\S+").finditer(self.text, start, end), max(words - 1, 0), None):
            return found.end()
        return None

    def numbers(self, start: int, end: int, what: str, count: int | None = None) -> np.ndarray:
        """All numbers between two positions.

        Args:
            start: first position.
            end: position after the last.
            what: the field, for errors.
            count: how many there have to be.

        Raises:
            InputError: other than numbers, not finite, or not as many as there have to be.
        """
        words = self.text[start:end].split()
        if count is not None and len(words) != count:
            kind = "truncated" if len(words) < count else "longer than its header says"
            raise self.error(f"{what} is {kind}: it holds {len(words)} numbers instead of {count}.", start)
        if len(words) > MOST_POINTS * MOST_PROJECTORS:
            raise self.error(f"{what} holds {len(words)} numbers, more than any potential needs.", start)
        try:
            values = np.array([float(word) for word in words])
        except ValueError:
            values = np.array([number(word) for word in words])
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            place = [m.start() for m in re.finditer(r"\S+", self.text[start:end])][bad[0]]
            raise self.error(f"{words[bad[0]][:30]!r} in {what} is not a finite number.", start + place)
        return values


def number(word: str) -> float:
    """A number as Fortran writes it (1.0D-03, 1.5-104), NaN for anything else."""
    text = word.strip().rstrip(",").upper().replace("D", "E")
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return float(_EXPONENT.sub(r"E\1", text))
    except ValueError:
        return np.nan


def whole(word: str) -> int | None:
    """A whole number, None for anything else."""
    value = number(word)
    return int(value) if np.isfinite(value) and value == int(value) and abs(value) < 1e9 else None


def read_bytes(path: Path) -> bytes:
    """The content of a potential file.

    Raises:
        InputError: no such file, unreadable, or too large.
    """
    full = path.expanduser()
    try:
        size = full.stat().st_size
        if full.is_dir():
            raise InputError(f"pseudopotential {str(path)!r} is a folder: name a file in it.")
        if size > MOST_BYTES:
            raise InputError(f"pseudopotential {full} has {size / 2**20:.0f} MiB: no potential file is that large.")
        return full.read_bytes()
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise InputError(
            f"pseudopotential {str(path)!r}: {reason} (looked for {full.absolute()}). "
            "Give its full path, or one from the folder in which you start."
        ) from None


def source_of(raw: bytes, path: str) -> Source:
    """Path and text of the content of a potential file.

    Raises:
        InputError: it is binary.
    """
    if b"\0" in raw:
        raise InputError(f"pseudopotential {path} is a binary file, not UPF or psp8 text.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return Source(path, raw, text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff"))


def check_count(source: Source, what: str, n: int | None, most: int, position: int | None = None) -> int:
    """A count within sane limits, before anything is allocated."""
    if n is None or not 0 <= n <= most:
        raise source.error(f"{what} is {n}, it has to be a whole number from 0 to {most}.", position)
    return n


def check_element(source: Source, symbol: str, position: int | None = None) -> str:
    """A chemical symbol."""
    name = symbol.strip().capitalize()
    if name not in atomic_numbers or name == "X":
        raise source.error(f"element {symbol.strip()[:20]!r} is no chemical element.", position)
    return name


def check_charge(source: Source, element: str, charge: float, position: int | None = None) -> float:
    """A number of valence electrons that the element can have, or its pseudo-atom with a fraction more (H1.25)."""
    if not 0 < charge < atomic_numbers[element] + 1:
        raise source.error(
            f"the valence charge is {charge:g}; for {element} it has to be positive and below {atomic_numbers[element] + 1}.",
            position,
        )
    return charge


def check_mesh(source: Source, r: np.ndarray, dr: np.ndarray, position: int | None = None) -> None:
    """A radial mesh that rises, and a derivative in the index that belongs to it."""
    if len(r) < 10 or r[0] < 0 or np.any(np.diff(r) <= 0) or not 1.0 <= r[-1] <= 1e5:
        raise source.error(
            f"the radial mesh ({len(r)} points from {r[0] if len(r) else 0:g} to {r[-1] if len(r) else 0:g} bohr) has to "
            "rise from 0 or above to 1 bohr or beyond in 10 points or more.",
            position,
        )
    n = min(len(r), int(np.searchsorted(r, RADIUS)) + 1)
    slope = 0.5 * (r[2:n] - r[: n - 2])
    if np.any(dr < 0) or np.any(np.abs(dr[1 : n - 1] - slope) > 0.05 * slope + 1e-5):
        raise source.error(
            "the integration weights of the mesh (PP_RAB) are not the derivative of its radii.", position
        )


def check_tail(source: Source, r: np.ndarray, v: np.ndarray, charge: float, position: int | None = None) -> None:
    """The local potential ends as -Z/r."""
    i = min(len(r), int(np.searchsorted(r, RADIUS))) - 1
    if abs(r[i] * v[i] + charge) > 0.01 * charge:
        raise source.error(
            f"the local potential at {r[i]:.2f} bohr is {r[i] * v[i]:.4g}/r hartree instead of {-charge:g}/r: "
            "the valence charge, the mesh or the potential is wrong.",
            position,
        )


def check_channels(source: Source, channels: list[Channel], position: int | None = None) -> tuple[Channel, ...]:
    """Projectors by ascending l, with l that is available and symmetric coupling."""
    for c in channels:
        if not 0 <= c.l <= LARGEST_L:
            raise source.error(f"a projector has l = {c.l}; available are l = 0 to {LARGEST_L}.", position)
        if np.abs(c.h - c.h.T).max() > 1e-6 * np.abs(c.h).max():
            raise source.error(f"the coupling matrix of the projectors with l = {c.l} is not symmetric.", position)
    return tuple(sorted(channels, key=lambda c: c.l))
