"""Norm-conserving pseudopotentials on a radial mesh, whatever the format of their file.

The integrals over the mesh end at its first point beyond 10 bohr, as in Quantum ESPRESSO: there the local potential is
-Z/r but for noise of about 1e-6 hartree bohr, which r^2 weights so much that the energy of a cell would depend on where
the file happens to end (by 1e-5 hartree per atom). Files that end before that (psp8) are integrated to their end, as in
ABINIT, and continued by -Z/r.

References:
    Hamann, Phys. Rev. B 88, 085117 (2013); Louie, Froyen, Cohen, Phys. Rev. B 26, 1738 (1982) (core correction).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import erf, erfc

from dftopt.atoms import radial
from dftopt.errors import InputError
from dftopt.xc import Functional

RADIUS = 10.0
"""Where integrals over longer meshes end, bohr."""
STRAINED = 1.25  # by this much a strain may lengthen G
_SETTLED = 7.0  # erfc(7) = 4e-23: beyond it V + Z erf(r)/r of a potential -Z/r is zero


@dataclass(frozen=True, eq=False)
class Channel:
    """Projectors of one angular momentum.

    Attributes:
        l: angular momentum.
        values: r times the radial projectors, (n, mesh).
        h: coupling matrix (n, n); values and h together give hartree.
    """

    l: int
    values: np.ndarray
    h: np.ndarray

    @property
    def n(self) -> int:
        """Number of projectors per m."""
        return len(self.h)


@dataclass(frozen=True, eq=False)
class PseudoOrbital:
    """A pseudo-orbital: label such as "3S", l, occupation, and r times its radial part (mesh,), bohr^(-1/2)."""

    label: str
    l: int
    occupation: float
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Tabulated:
    """A potential from a file, hartree and bohr.

    Attributes:
        element: chemical symbol.
        name: of the file.
        charge: ionic charge Z, equal to the number of valence electrons.
        r: radial mesh (mesh,), `dr` its derivative in the index.
        v_local: local potential (mesh,).
        channels: projectors, by ascending l.
        projector_points: mesh points beyond which the projectors count as zero.
        core: density of the core correction (mesh,), bohr^-3, or None.
        density: radial density of the atom's valence electrons, 4 pi r^2 rho (mesh,), bohr^-1, or None.
        orbitals: pseudo-orbitals, as many as the file holds.
        named: the functional in the file's words, "" where it names none.
        functional: that functional, None where it names none or one that is unknown here.
        format: "UPF 1", "UPF 2" or "psp8".
        path: where it was read, `raw` what was read there.
        suggested_cutoff: cutoff for orbitals that the file suggests, hartree; 0 where it suggests none.
    """

    element: str
    name: str
    charge: float
    r: np.ndarray = field(repr=False)
    dr: np.ndarray = field(repr=False)
    v_local: np.ndarray = field(repr=False)
    channels: tuple[Channel, ...] = field(repr=False)
    projector_points: int
    core: np.ndarray | None = field(repr=False)
    density: np.ndarray | None = field(repr=False)
    orbitals: tuple[PseudoOrbital, ...] = field(repr=False)
    named: str
    functional: Functional | None
    format: str
    path: str
    raw: bytes = field(repr=False)
    suggested_cutoff: float = 0.0

    @property
    def xc(self) -> str | None:
        """Canonical name of the functional that the file names."""
        return None if self.functional is None else self.functional.name

    @property
    def layout(self) -> tuple[tuple[int, int], ...]:
        """The static part: (l, number of projectors) of each channel."""
        return tuple((c.l, c.n) for c in self.channels)

    @property
    def electrons(self) -> tuple[float, ...]:
        """Valence electrons per angular momentum (s, p, d, f) of the file's pseudo-orbitals; empty without any."""
        top = max((o.l for o in self.orbitals), default=-1)
        return tuple(sum(o.occupation for o in self.orbitals if o.l == l) for l in range(top + 1))

    @property
    def given(self) -> str:
        """What names it in an input: its full path."""
        return str(Path(self.path).expanduser().absolute())

    @property
    def identity(self) -> str:
        """Equal for equal potentials only."""
        return f"{self.name} (sha256 {self.sha256[:16]})"

    @cached_property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.raw).hexdigest()

    @cached_property
    def points(self) -> int:
        """Mesh points that the integrals of everything but the projectors take."""
        beyond = np.flatnonzero(self.r > RADIUS)
        return len(self.r) if not len(beyond) else (int(beyond[0]) // 2) * 2 + 1  # odd, for Simpson's rule

    def transforms(self, q: np.ndarray) -> dict:
        r"""Radial Fourier transforms at any q (bohr^-1).

        Returns:
            `local`: $\int (v + Z\,\mathrm{erf}(r)/r) e^{-iqr} dr$, hartree bohr^3; `projectors`: per channel (n, nq),
            over $q^l$; `core` and `density` (electrons), where the file has them.
        """
        n = self.points
        r, w = self.r[:n], radial.simpson(self.dr[:n])
        smooth = r**2 * self.v_local[:n] + self.charge * r * erf(r)
        out: dict[str, Any] = {"local": radial.transform(0, q, r, w * smooth)}
        if r[-1] < _SETTLED:
            tail = np.linspace(r[-1], _SETTLED, 2 * int((_SETTLED - r[-1]) / 0.01) + 3)
            step = radial.simpson(np.full(len(tail), tail[1] - tail[0]))
            out["local"] += radial.transform(0, q, tail, -step * self.charge * tail * erfc(tail))
        if self.core is not None:
            out["core"] = radial.transform(0, q, r, w * r**2 * self.core[:n])
        if self.density is not None:
            out["density"] = radial.transform(0, q, r, w * self.density[:n] / (4 * np.pi))
        m = self.projector_points
        r, w = self.r[:m], radial.simpson(self.dr[:m])
        out["projectors"] = tuple(radial.transform(c.l, q, r, w * r * c.values[:, :m]) for c in self.channels)
        return out

    @cached_property
    def tables(self) -> dict:
        """`transforms` as spline coefficients, see `radial.coefficients`."""
        made = lambda x: tuple(map(radial.coefficients, x)) if isinstance(x, tuple) else radial.coefficients(x)
        return {name: made(x) for name, x in self.transforms(radial.table_points()).items()}

    def parameters(self) -> dict:
        """The continuous part, which everything can be differentiated in."""
        core = {"core": self.tables["core"]} if self.core is not None else {}
        return {
            "charge": np.asarray(float(self.charge)),
            "local": self.tables["local"],
            "projectors": self.tables["projectors"],
            "h": tuple(c.h for c in self.channels),
            **core,
        }


def check_reach(potentials: Iterable, ecut: float) -> None:
    """The tables have to hold the largest G of the density, 2 sqrt(2 ecut), and what a strain of 25 % makes of it.

    Raises:
        InputError: the cutoff (hartree) is too large for a table.
    """
    most = (radial.REACH / (2 * STRAINED)) ** 2 / 2
    for p in potentials:
        if isinstance(p, Tabulated) and ecut > most:
            raise InputError(
                f"ecut = {ecut:g} hartree is more than the {most:.0f} hartree for which potentials from files are "
                f"tabulated ({p.name} of {p.element}). Lower ecut (hartree, not Ry or eV)."
            )
