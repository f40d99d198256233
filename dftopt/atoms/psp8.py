"""psp8 files, ABINIT's format of ONCV potentials.

References:
    ABINIT documentation, doc/developers/psp8_info.md; Hamann, Phys. Rev. B 88, 085117 (2013).
"""

import re
from itertools import islice

import numpy as np
from ase.data import chemical_symbols

from dftopt.atoms.potential_text import (
    LARGEST_L,
    MOST_POINTS,
    Source,
    check_channels,
    check_charge,
    check_count,
    check_mesh,
    check_tail,
    number,
    whole,
)
from dftopt.atoms.tabulated import Channel, Tabulated
from dftopt.errors import InputError
from dftopt.xc import Functional, from_pspxc

MOST_PER_L = 8


def recognized(text: str) -> bool:
    """Whether a text is of ABINIT's family of formats: three numbers in line 2, pspcod and five more in line 3."""
    lines = text.split("\n", 3)
    if len(lines) < 3:
        return False
    second, third = (line.replace(",", " ").split() for line in lines[1:3])
    return (
        len(second) >= 3
        and len(third) >= 5
        and all(np.isfinite(number(w)) for w in second[:2])
        and all(whole(w) is not None for w in third[:5])
    )


def parse(source: Source) -> Tabulated:
    """A potential from the text of a psp8 file.

    Raises:
        InputError: another format of ABINIT, spin-orbit coupling, or a damaged file; names line and field.
    """
    text = _Lines(source)
    text.next("the title", 0)
    zatom, zion = text.next("zatom and zion", 2)[:2]
    pspcod, pspxc, lmax, lloc, mmax = text.whole("pspcod, pspxc, lmax, lloc and mmax", 5)
    if pspcod != 8:
        raise source.error(
            f"it has pspcod = {pspcod}; of ABINIT's formats psp8 (pspcod = 8) alone is supported.", text.at
        )
    check_count(source, "lmax", lmax, LARGEST_L, text.at)
    check_count(source, "lloc", lloc, 9, text.at)
    check_count(source, "mmax", mmax, MOST_POINTS, text.at)
    z = whole(zatom)
    if z is None or not 1 <= z < len(chemical_symbols):
        raise source.error(f"zatom = {zatom} is no element.", text.at)
    element = chemical_symbols[z]
    charge = check_charge(source, element, number(zion), text.at)
    fchrg = text.floats("rchrg and fchrg", 2)[1]
    nproj = text.whole("nproj, one for each l", lmax + 1)
    for l, n in enumerate(nproj):
        check_count(source, f"nproj of l = {l}", n, MOST_PER_L, text.at)
    if lloc <= lmax and nproj[lloc]:
        raise source.error(
            f"lloc = {lloc} is the local potential, yet nproj says {nproj[lloc]} projectors there.", text.at
        )
    (extension,) = text.whole("extension_switch", 1)
    if extension not in (0, 1):
        raise source.error(
            f"it holds a potential with spin-orbit coupling (extension_switch = {extension}). "
            "Only norm-conserving, scalar-relativistic potentials are supported.",
            text.at,
        )
    channels, r, v = [], None, None
    for l in (*range(lmax + 1), *((lloc,) if lloc > lmax else ())):
        if l == lloc:
            text.block_of(l, 0)
            r, (v,) = text.columns("the local potential", mmax, 1)
        elif nproj[l]:
            ekb = text.block_of(l, nproj[l])
            _, values = text.columns(f"the projectors of l = {l}", mmax, nproj[l], exactly=True)
            channels.append(Channel(l, values, np.diag(ekb)))
    if r is None or v is None:
        raise source.error(f"it holds no local potential (lloc = {lloc}).", text.at)
    dr = np.full(mmax, r[-1] / max(mmax - 1, 1))
    check_mesh(source, r, dr, text.at)
    check_tail(source, r, v, charge, text.at)
    core = text.columns("the core density", mmax, 5)[1][0] / (4 * np.pi) if fchrg > 0 else None
    density = text.columns("the valence density", mmax, 1)[1][0] * r**2 if extension == 1 else None
    return Tabulated(
        element=element, name=source.path.replace("\\", "/").rsplit("/", 1)[-1], charge=charge, r=r, dr=dr, v_local=v,
        channels=check_channels(source, channels), projector_points=mmax, core=core, density=density, orbitals=(),
        named=f"pspxc = {pspxc}", functional=functional_of(pspxc), format="psp8", path=source.path, raw=source.raw,
    )  # fmt: skip


def functional_of(pspxc: int) -> Functional | None:
    """The functional of a number, None for one that is unknown here."""
    try:
        return from_pspxc(pspxc)
    except InputError:
        return None


class _Lines:
    """The lines of a file, one after another; `at` is where the last one begins."""

    def __init__(self, source: Source):
        self.source, self.at, self._end = source, 0, 0

    def next(self, what: str, least: int) -> list[str]:
        """Words of the next line, at least so many."""
        if self._end >= len(self.source.text):
            raise self.source.error(f"it is truncated before {what}.", len(self.source.text))
        self.at = self._end
        stop = self.source.text.find("\n", self.at)
        self._end = (stop if stop >= 0 else len(self.source.text)) + 1
        words = self.source.text[self.at : self._end].replace(",", " ").split()
        if len(words) < least:
            raise self.source.error(f"{what} is truncated.", self.at)
        return words

    def whole(self, what: str, count: int) -> list[int]:
        """Whole numbers of the next line."""
        values = [whole(word) for word in self.next(what, count)[:count]]
        if None in values:
            raise self.source.error(f"{what} have to be whole numbers.", self.at)
        return values  # type: ignore[return-value]

    def floats(self, what: str, count: int) -> np.ndarray:
        """Numbers of the next line."""
        values = np.array([number(word) for word in self.next(what, count)[:count]])
        if not np.all(np.isfinite(values)):
            raise self.source.error(f"{what} have to be finite numbers.", self.at)
        return values

    def block_of(self, l: int, count: int) -> np.ndarray:
        """The line that begins the block of an angular momentum: l, and the energies of its projectors."""
        values = self.floats(f"the first line of the block of l = {l}", count + 1)
        if values[0] != l:
            raise self.source.error(f"the block of l = {l} is missing: here one of l = {values[0]:g} begins.", self.at)
        return values[1:]

    def columns(self, what: str, rows: int, count: int, exactly: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Radii, and the columns that follow them (count, rows), of lines that begin with their number."""
        begin = self._end
        lines = re.compile(r"\n").finditer(self.source.text, begin)
        last = next(islice(lines, max(rows - 1, 0), None), None)
        stop = last.end() if last else len(self.source.text)
        width = len(self.source.text[begin : self.source.text.find("\n", begin) + 1 or None].split())
        if width < count + 2 or (exactly and width > count + 2):
            raise self.source.error(f"{what} has {width} columns instead of {count + 2}.", begin)
        table = self.source.numbers(begin, stop, what, rows * width).reshape(rows, width)
        self.at, self._end = begin, stop
        if np.any(table[:, 0] != np.arange(1, rows + 1)):
            line = begin + sum(len(x) + 1 for x in self.source.text[begin:stop].split("\n")[: _first_wrong(table)])
            raise self.source.error(f"the lines of {what} are not numbered from 1 to {rows}.", line)
        return table[:, 1], table[:, 2 : 2 + count].T


def _first_wrong(table: np.ndarray) -> int:
    return int(np.flatnonzero(table[:, 0] != np.arange(1, len(table) + 1))[0])
