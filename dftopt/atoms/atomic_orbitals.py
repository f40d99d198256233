"""Orbitals and density of the free pseudo-atom, as sums of Gaussians with Fourier transforms in closed form.

They are what Bloch states are projected on, and a start for minimizations.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import factorial

import numpy as np
from ase.data import atomic_numbers
from pyscf.data.elements import CONFIGURATION
from scipy.interpolate import CubicSpline
from scipy.special import eval_genlaguerre

from dftopt.atoms import spherical_atom
from dftopt.atoms.gth import GTH, family_for

LETTERS = "spdf"
BOUND = -0.004  # hartree; an empty level above it is no orbital of the atom but one of the Gaussians


@dataclass(frozen=True, eq=False)
class AtomicOrbital:
    r"""One shell, $\phi(r) = R(r) Y_{lm}$ with $R(r) = r^l \sum_i c_i e^{-a_i r^2}$.

    Attributes:
        n: principal quantum number of the real atom (3 for silicon's 3s).
        l: angular momentum.
        occupation: electrons in the shell, 0 to 2 (2 l + 1).
        energy: eigenvalue, hartree.
        exponents: a_i, bohr^-2.
        coefficients: c_i, with $\int R^2 r^2 dr = 1$.
    """

    n: int
    l: int
    occupation: float
    energy: float
    exponents: np.ndarray
    coefficients: np.ndarray

    @property
    def name(self) -> str:
        """Such as "3p"."""
        return f"{self.n}{LETTERS[self.l]}"

    def radial(self, r) -> np.ndarray:
        """R(r), bohr^-3/2, for r (...) in bohr."""
        r = np.asarray(r, float)
        return r**self.l * (np.exp(-self.exponents * r[..., None] ** 2) @ self.coefficients)

    def fourier(self, q2) -> np.ndarray:
        r"""$4\pi \int r^2 j_l(qr) R(r) dr / q^l = \sum_i c_i (\pi/a_i)^{3/2} (2a_i)^{-l} e^{-q^2/4a_i}$.

        The plane-wave coefficients of an orbital at the origin are $(-i)^l q^l Y_{lm}(q)$ times this over $\sqrt V$.

        Args:
            q2: squared wave vectors (...), bohr^-2.

        Returns:
            bohr^(3/2 + l), of the shape of q2.
        """
        a = self.exponents
        return np.exp(-np.asarray(q2, float)[..., None] / (4 * a)) @ self.fourier_coefficients

    @cached_property
    def fourier_coefficients(self) -> np.ndarray:
        """Factor of each Gaussian exp(-q^2 / 4 a_i) in `fourier`."""
        return self.coefficients * (np.pi / self.exponents) ** 1.5 / (2 * self.exponents) ** self.l


@dataclass(frozen=True, eq=False)
class FreeAtom:
    """The free pseudo-atom.

    Attributes:
        orbitals: shells by l, the lowest first; see `free_atom` for which.
        energy: total energy, hartree.
    """

    orbitals: tuple[AtomicOrbital, ...]
    energy: float

    def density(self, r) -> np.ndarray:
        """Valence electrons per bohr^3 at distances r (...), bohr."""
        return np.sum([o.occupation * o.radial(r) ** 2 for o in self.orbitals], axis=0) / (4 * np.pi)

    def density_fourier(self, q2) -> np.ndarray:
        r"""$\int n(r) e^{-iqr} dr$ for squared wave vectors (...), bohr^-2; the number of electrons at q = 0."""
        return self._spline(np.sqrt(np.asarray(q2, float)))

    @cached_property
    def _spline(self) -> CubicSpline:
        r"""On a table up to q = 60: $\int r^{2l} e^{-pr^2} e^{-iqr} dr = (\pi/p)^{3/2} l!\, p^{-l} L_l^{(1/2)}(x) e^{-x}$ with
        $x = q^2/4p$, summed over hundreds of pairs of Gaussians.
        """  # noqa: D205
        q = np.linspace(0, 60, 3001)
        total = np.zeros_like(q)
        for o in self.orbitals:
            i, j = np.triu_indices(len(o.exponents))
            p = o.exponents[i] + o.exponents[j]
            c = o.occupation / (4 * np.pi) * o.coefficients[i] * o.coefficients[j] * np.where(i == j, 1, 2)
            c = c * (np.pi / p) ** 1.5 * factorial(o.l) / p**o.l
            x = q[:, None] ** 2 / (4 * p)
            total += (eval_genlaguerre(o.l, 0.5, x) * np.exp(-x)) @ c
        return CubicSpline(q, total, bc_type=((1, 0.0), (1, 0.0)))


def atomic_orbitals(potential) -> tuple[AtomicOrbital, ...]:
    """Orbitals of the free atom of a potential, see `free_atom`."""
    return free_atom(potential).orbitals


@lru_cache(maxsize=256)
def free_atom(potential: GTH, functional: str | None = None) -> FreeAtom:
    """The spherical, unpolarized atom of a potential; solved once, in about 50 ms.

    Its shells are those that hold `potential.electrons`, filled in order, each evenly over m. Where the outermost s
    shell has no p electrons of its principal number (Na, Mg, Ti, Zn) the empty p shell is added if it is bound, since
    solids fill it.

    Args:
        potential: the pseudopotential.
        functional: an LDA or GGA; default that of the potential's family, LDA for GTH-PADE, else PBE.

    Returns:
        The atom; each orbital is positive far from the nucleus.

    Raises:
        InputError: the atom did not converge.
    """
    name = functional or _functional_of(potential)
    shells = _shells(potential)
    occupations = {l: [f for _, f in filled] for l, filled in shells.items()}
    label = f"{potential.element} with {potential.name}"
    solutions, energy = spherical_atom.solve(spherical_atom.radial_potential(potential), occupations, name, label)
    orbitals = []
    for l, filled in shells.items():
        a = solutions[l].gaussians.exponents
        for (n, f), e, c in zip(filled, solutions[l].levels, solutions[l].coefficients.T, strict=True):
            if f > 0 or e < BOUND:
                outer = np.sign(np.sum(c * a ** -(l + 1.5)))  # of int R r^(l + 2) dr
                orbitals.append(AtomicOrbital(n, l, float(f), float(e), a, outer * c))
    return FreeAtom(tuple(orbitals), energy)


def _functional_of(potential) -> str:
    if isinstance(potential, GTH):
        return "LDA" if potential.name.startswith(family_for(())) else "PBE"
    named = potential.functional
    return named.name if named is not None and named.kind in ("lda", "gga") else "PBE"


def _shells(potential) -> dict[int, list[tuple[int, float]]]:
    """(principal number, electrons) of the shells of each l, the lowest first."""
    everything = CONFIGURATION[atomic_numbers[potential.element]]
    valence = potential.electrons if sum(potential.electrons) == potential.charge else _valence(everything, potential)
    shells: dict[int, list[tuple[int, float]]] = {}
    lowest = {}  # principal number of the lowest shell of each l that is not in the core
    for l in range(4):
        electrons = valence[l] if l < len(valence) else 0
        capacity = 2 * (2 * l + 1)
        lowest[l] = l + 1 + max(0, round((everything[l] - electrons) / capacity))
        left = float(electrons)
        while left > 0:
            filled = shells.setdefault(l, [])
            filled.append((lowest[l] + len(filled), min(left, capacity)))
            left -= capacity
    outermost_s = shells[0][-1][0] if 0 in shells else 1
    next_p = lowest[1] + len(shells.get(1, ()))
    if next_p == outermost_s:
        shells.setdefault(1, []).append((next_p, 0.0))
    return shells


def _valence(everything, potential) -> list[float]:
    """Electrons per l outside a core of whole shells, 1s 2s 2p 3s 3p 3d ..., where the file does not say."""
    left, valence = sum(everything) - potential.charge, [float(x) for x in everything]
    for n in range(1, 8):
        for l in range(min(n, 4)):
            taken = min(left, valence[l], 2 * (2 * l + 1))
            valence[l], left = valence[l] - taken, left - taken
    return valence
