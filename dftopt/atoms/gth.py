"""Goedecker-Teter-Hutter pseudopotentials from the table that PySCF ships (CP2K's format).

References:
    Goedecker, Teter, Hutter, Phys. Rev. B 54, 1703 (1996); Hartwigsen, Goedecker, Hutter, Phys. Rev. B 58, 3641 (1998).
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from dftopt.errors import InputError

FAMILIES = ("GTH-PADE", "GTH-PBE", "GTH-BLYP", "GTH-BP", "GTH-HCTH120", "GTH-HCTH407", "GTH-OLYP")


@dataclass(frozen=True)
class Channel:
    """Projectors of one angular momentum: radius r (bohr) and coupling matrix h (n, n), hartree."""

    l: int
    r: float
    h: tuple[tuple[float, ...], ...]

    @property
    def n(self) -> int:
        """Number of projectors per m."""
        return len(self.h)


@dataclass(frozen=True)
class GTH:
    """One entry of the table.

    Attributes:
        element: chemical symbol.
        name: full name with valence, such as "GTH-PADE-q4".
        electrons: valence electrons per angular momentum (s, p, d, f).
        rloc: radius of the local part, bohr.
        cloc: coefficients C1 to C4 of the local part, hartree.
        channels: nonlocal channels that hold at least one projector.
    """

    element: str
    name: str
    electrons: tuple[int, ...]
    rloc: float
    cloc: tuple[float, float, float, float]
    channels: tuple[Channel, ...]

    @property
    def charge(self) -> int:
        """Ionic charge Z, equal to the number of valence electrons."""
        return sum(self.electrons)

    @property
    def given(self) -> str:
        """What names it in an input."""
        return self.name

    @property
    def identity(self) -> str:
        """Equal for equal potentials only."""
        return self.name

    @property
    def layout(self) -> tuple[tuple[int, int], ...]:
        """The static part: (l, number of projectors) of each channel."""
        return tuple((c.l, c.n) for c in self.channels)

    def parameters(self) -> dict:
        """The continuous part, which everything can be differentiated in."""
        return {
            "charge": np.asarray(float(self.charge)),
            "rloc": np.asarray(self.rloc),
            "cloc": np.asarray(self.cloc),
            "r": tuple(np.asarray(c.r) for c in self.channels),
            "h": tuple(np.asarray(c.h) for c in self.channels),
        }


def parse_entry(lines: list[str], where: str) -> GTH:
    """Parse one entry in CP2K's format; `where` names file and line in errors."""
    try:
        element, name, *_ = lines[0].split()
        numbers = iter(" ".join(lines[1:]).split())
        electrons = tuple(int(x) for x in lines[1].split())
        for _ in electrons:
            next(numbers)
        rloc, ncloc = float(next(numbers)), int(next(numbers))
        cloc = [float(next(numbers)) for _ in range(ncloc)] + [0.0] * (4 - ncloc)
        channels = []
        for l in range(int(next(numbers, "0"))):
            r, n = float(next(numbers)), int(next(numbers))
            h = np.zeros((n, n))
            for i in range(n):
                for j in range(i, n):
                    h[i, j] = h[j, i] = float(next(numbers))
            if n:
                channels.append(Channel(l, r, tuple(map(tuple, h.tolist()))))
    except (StopIteration, ValueError) as error:
        raise InputError(
            f"The GTH pseudopotential at {where} is truncated or corrupt ({error or 'it ends early'})."
        ) from None
    return GTH(element, name, electrons, rloc, (cloc[0], cloc[1], cloc[2], cloc[3]), tuple(channels))


@lru_cache(maxsize=1)
def table() -> Mapping[tuple[str, str], GTH]:
    """All entries of PySCF's GTH_POTENTIALS by (element, upper-case name or alias)."""
    spec = find_spec("pyscf")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("PySCF is not installed; its table of GTH pseudopotentials is needed: pip install pyscf.")
    path = Path(next(iter(spec.submodule_search_locations))) / "pbc/gto/pseudo/GTH_POTENTIALS"
    found: dict[tuple[str, str], GTH] = {}
    block: list[str] = []
    start = 0
    for number, line in enumerate([*path.read_text().splitlines(), "#"], start=1):
        text = line.split("#")[0].strip() if not line.startswith("#") else ""
        header = bool(text) and text[0].isalpha()
        if block and (not text or header):
            entry = parse_entry(block, f"{path}, line {start}")
            for alias in block[0].split()[1:]:
                found.setdefault((entry.element, alias.upper()), entry)
            block = []
        if header:
            start = number
        if text:
            block.append(text)
    return found


def elements_with(family: str) -> list[str]:
    """Elements for which a family holds a potential, by atomic number."""
    from ase.data import atomic_numbers

    names = {e for e, name in table() if name.rsplit("-q", 1)[0].rsplit("-Q", 1)[0] == family.upper()}
    return sorted(names, key=lambda e: atomic_numbers.get(e, 0))


def load(element: str, name: str) -> GTH:
    """Look up a potential by element and name.

    A family name without a valence ("GTH-PBE") gives the recommended valence, the entry that carries the family's
    bare name; where none does, the smallest.

    Raises:
        InputError: no such entry; lists what there is for the element, or the elements that the family covers.
    """
    key = name.upper()
    if (element, key) in table():
        return table()[element, key]
    in_family = [e for (x, n), e in table().items() if x == element and n.startswith(key + "-Q")]
    if in_family and key in FAMILIES + ("GTH-LDA",):
        return min(in_family, key=lambda e: (e.charge, len(e.name)))  # a longer name marks a superseded entry
    offered = sorted({e.name for (x, _), e in table().items() if x == element})
    family = key.rsplit("-Q", 1)[0]
    if offered:
        close = difflib.get_close_matches(name, offered, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise InputError(
            f"There is no pseudopotential {name!r} for {element}.{hint} The table has {', '.join(offered)}."
        )
    have = elements_with(family) or elements_with("GTH-PBE")
    raise InputError(
        f"There is no GTH pseudopotential for {element} (asked for {name!r}, looked in every family of the table). "
        f"{family if elements_with(family) else 'GTH-PBE'} covers {' '.join(have)}."
    )


def family_for(xc_terms: tuple[str, ...]) -> str:
    """The family that fits a functional: GTH-PADE for LDA and no xc, GTH-PBE for every GGA and meta-GGA."""
    return "GTH-PADE" if all(t.startswith("lda") for t in xc_terms) else "GTH-PBE"


def estimated_cutoff(potential: GTH) -> float:
    r"""Plane-wave cutoff (hartree) at which the narrowest Gaussian of a potential is resolved.

    A projector or local part exp(-r^2 / 2 r0^2) is exp(-G^2 r0^2 / 2) in reciprocal space; the cutoff asks
    G r0 = 2.6 with G the largest wave vector of the orbitals, so $E_{cut} = (2.6 / r_0)^2 / 2$. An estimate,
    printed as one: energy differences converge earlier than this, absolute energies of semicore states later.
    """
    radii = [potential.rloc] + [c.r for c in potential.channels]
    return float(np.ceil((2.6 / min(radii)) ** 2 / 2))
