"""Bloch states on atomic orbitals: weights, Loewdin charges, spilling.

The orbitals of the free pseudo-atoms, summed over lattice vectors and orthonormalized at each k after Loewdin, span a
small space; the part of a state inside it is shared among atoms and angular momenta, the rest is spilled.

References:
    Loewdin, J. Chem. Phys. 18, 365 (1950); Sanchez-Portal, Artacho, Soler, Solid State Commun. 95, 685 (1995) (spilling).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.atoms.atomic_orbitals import LETTERS, AtomicOrbital, atomic_orbitals
from dftopt.atoms.kpoints import KPoints
from dftopt.bases.gaussians import Gaussians
from dftopt.energy.atomic_waves import atomic_waves, shells_of
from dftopt.energy.nonlocal_ import solid_harmonics
from dftopt.energy.prepared import fractional_kG, sphere_mask, strained_cell
from dftopt.errors import InputError
from dftopt.precision import one_blas_thread
from dftopt.properties.bands import States
from dftopt.properties.molecular import shares

DIRECTIONS = (
    ("",),
    ("y", "z", "x"),
    ("xy", "yz", "z2", "zx", "x2-y2"),
    ("y(3x2-y2)", "xyz", "yz2", "z3", "xz2", "z(x2-y2)", "x(x2-3y2)"),
)  # real harmonics in the order of `energy.nonlocal_.solid_harmonics`
DEPENDENT = 1e-7  # smallest eigenvalue of the overlap of the atomic orbitals that is accepted
DEGENERATE = 2e-5  # hartree
PARTS = ("element", "atom", "shell", "l", "m")


@dataclass(frozen=True)
class Orbital:
    """An atomic orbital of the cell.

    Attributes:
        atom: index of the atom.
        symbol: its element.
        n, l: principal quantum number and angular momentum.
        m: index into `DIRECTIONS[l]`.
    """

    atom: int
    symbol: str
    n: int
    l: int
    m: int

    def label(self, by: str) -> str:
        """Name of the group it belongs to, such as "Si p" for by = "element l"; see `Projections.grouped`."""
        direction = DIRECTIONS[self.l][self.m]
        parts = {
            "element": self.symbol,
            "atom": f"{self.symbol}{self.atom}",
            "shell": f"{self.n}{LETTERS[self.l]}",
            "l": LETTERS[self.l],
            "m": direction or "s",
        }
        words = _words(by)
        if {"shell", "m"} <= set(words) or {"l", "m"} <= set(words):  # 3p_x rather than 3p x
            parts["m"] = f"_{direction}" if direction else ""
        return " ".join(parts[w] for w in words).replace(" _", "_").rstrip()


def check_groups(by: str) -> None:
    """Refuse what `Projections.grouped` would."""
    _words(by)


def _words(by: str) -> list[str]:
    words = by.split() if isinstance(by, str) else []
    unknown = [w for w in words if w not in PARTS]
    if not words or unknown or len(set(words)) < len(words):
        raise InputError(f"by = {by!r} must join some of {', '.join(PARTS)} by blanks, such as 'element l' or 'atom'.")
    return sorted(words, key=PARTS.index)


@dataclass(frozen=True, eq=False)
class Projections:
    r"""Weights $|\langle\tilde\phi_\mu|\psi_{ki}\rangle|^2$ of states on orthonormalized atomic orbitals.

    Attributes:
        orbitals: the atomic orbitals $\mu$, by atom.
        weights: (spin, k, band, orbital), in [0, 1]; their sum over orbitals is 1 less what is spilled. On a mesh
            reduced by symmetry they are averages over each star of k, as sums over the mesh want them, and in
            degenerate levels averages over the level.
        eigenvalues: (spin, k, band), hartree.
        kpoints: (k, 3) fractional.
        k_weights: (k,) sum 1; zeros on a path.
        occupations: (spin, k, band) in [0, 1], or None where the levels are not those of the ground state.
    """

    orbitals: tuple[Orbital, ...]
    weights: np.ndarray
    eigenvalues: np.ndarray
    kpoints: np.ndarray
    k_weights: np.ndarray
    occupations: np.ndarray | None = None

    def grouped(self, by: str = "element l") -> dict[str, np.ndarray]:
        """Weights (spin, k, band) summed over groups of orbitals.

        Args:
            by: what tells groups apart, some of "element", "atom", "shell", "l", "m" joined by blanks.

        Returns:
            Groups by name, in the order of the orbitals.

        Raises:
            InputError: another word.
        """
        groups: dict[str, np.ndarray] = {}
        for i, orbital in enumerate(self.orbitals):
            name = orbital.label(by)
            groups[name] = groups.get(name, 0.0) + self.weights[..., i]
        return groups

    @property
    def spilled(self) -> np.ndarray:
        """Part of each state outside the space of the atomic orbitals, (spin, k, band)."""
        return 1 - self.weights.sum(axis=-1)


@dataclass(frozen=True, eq=False)
class LoewdinCharges:
    """Electrons on each atom.

    Attributes:
        populations: (spin, atom, l) electrons, l = 0 ... 3; the up and down ones with two spins.
        valence: (atom,) electrons of the neutral atoms.
        spilling: part of the electrons that is on no atom.
    """

    populations: np.ndarray
    valence: np.ndarray
    spilling: float

    @property
    def electrons(self) -> np.ndarray:
        """(atom,) electrons."""
        return self.populations.sum(axis=(0, 2))

    @property
    def charges(self) -> np.ndarray:
        """(atom,) valence minus electrons, in units of e; the spilled electrons are missing."""
        return self.valence - self.electrons

    @property
    def moments(self) -> np.ndarray:
        """(atom,) up minus down, bohr magnetons; zero without spin polarization."""
        p = self.populations.sum(axis=2)
        return p[0] - p[1] if len(p) == 2 else np.zeros(p.shape[1])


def projections(result, orbitals: Mapping[str, Sequence[AtomicOrbital]] | None = None) -> Projections:
    """Weights of the states of a result.

    Args:
        result: a converged result.
        orbitals: of each element, in place of those of its free atom.

    Returns:
        The weights, averaged over the space group that reduced the k mesh.

    Raises:
        NotConverged: the result did not converge.
        InputError: the atomic orbitals cannot be told apart with these plane waves.
    """
    result.require_converged("Projections")
    points = result.basis.kpoints
    states = States(result.eigenvalues, result.psi, points.k, result.basis.spheres)
    return project(result, states, points, result.occupations, orbitals)


def project(
    result, states: States, points: KPoints | None = None, occupations=None, orbitals: Mapping | None = None
) -> Projections:
    """Weights of given states.

    Args:
        result: tells atoms and potentials.
        states: levels and orbitals at k points.
        points: the reduced mesh that they are on; None for a path, where nothing is averaged over a star.
        occupations: (spin, k, band) of the states, if known.
        orbitals: see `projections`.
    """
    shells = orbitals or {e: atomic_orbitals(p) for e, p in result.model.potentials.items()}
    labels = cell_orbitals(result.model, shells)
    amplitudes = amplitudes_of(result, states, shells)
    if points is None:
        weights, k_weights = np.abs(amplitudes) ** 2, np.zeros(len(states.kpoints))
    else:
        weights = star_average(labels, amplitudes, points.symmetry, result.model.structure.cell)
        k_weights = points.weights
    weights = level_average(states.eigenvalues, weights)
    return Projections(labels, weights, states.eigenvalues, states.kpoints, k_weights, occupations)


def loewdin_charges(result, orbitals: Mapping[str, Sequence[AtomicOrbital]] | None = None) -> LoewdinCharges:
    """Electrons on each atom by angular momentum.

    Args:
        result: a converged result.
        orbitals: see `projections`.

    Raises:
        NotConverged: the result did not converge.
        InputError: see `projections`.
    """
    if isinstance(result.basis, Gaussians):
        return _of_functions(result)
    p = projections(result, orbitals)
    assert p.occupations is not None
    natoms = len(result.model.structure)
    per_orbital = 2 / len(p.weights) * np.einsum("k,skb,skbo->so", p.k_weights, p.occupations, p.weights)
    populations = np.zeros((len(p.weights), natoms, 4))
    for i, o in enumerate(p.orbitals):
        populations[:, o.atom, o.l] += per_orbital[:, i]
    valence = np.array([float(result.model.potentials[s].charge) for s in result.model.structure.symbols])
    return LoewdinCharges(populations, valence, float(1 - populations.sum() / result.model.n_electrons))


def _of_functions(result) -> LoewdinCharges:
    """The same of a molecule, by the basis functions (beyond f counted as f)."""
    share = shares(result, "loewdin")
    if len(share) == 1:
        share = np.concatenate([share, share]) / 2
    mol = result.basis.mol
    l = np.concatenate(
        [[mol.bas_angular(b)] * (mol.bas_nctr(b) * (2 * mol.bas_angular(b) + 1)) for b in range(mol.nbas)]
    )
    populations = np.zeros((2, mol.natm, 4))
    for i, a in enumerate(result.basis.atom_of):
        populations[:, a, min(int(l[i]), 3)] += share[:, i]
    return LoewdinCharges(populations, np.asarray(mol.atom_charges(), float), 0.0)


# ---------------------------------------------------------------------------------------------------- amplitudes


def cell_orbitals(model, shells) -> tuple[Orbital, ...]:
    """All atomic orbitals of a cell: by atom, shell, m."""
    s = model.structure
    return tuple(
        Orbital(i, symbol, shell.n, shell.l, m)
        for i, symbol in enumerate(s.symbols)
        for shell in shells[symbol]
        for m in range(2 * shell.l + 1)
    )


@one_blas_thread
def amplitudes_of(result, states: States, shells: Mapping[str, Sequence[AtomicOrbital]]) -> np.ndarray:
    r"""$\langle\tilde\phi_\mu|\psi_{ki}\rangle$ of given states.

    Args:
        result: tells atoms and potentials.
        states: with their orbitals.
        shells: atomic orbitals of each element.

    Returns:
        (spin, k, band, orbital), complex; the order is that of `cell_orbitals`.

    Raises:
        InputError: the atomic orbitals are linearly dependent in these plane waves.
    """
    model = result.model
    s = model.structure
    inputs = result.inputs or model.inputs()
    cell = np.asarray(strained_cell(s.cell, inputs["strain"]))
    frac = np.asarray(inputs["positions"]) @ np.linalg.inv(s.cell)
    radial, layout = shells_of(shells, s.species)
    psi, spheres = jnp.asarray(states.psi), states.spheres
    npw = psi.shape[-1]
    arrays = {"kG": fractional_kG(states.kpoints, spheres, npw), "mask": sphere_mask(spheres, npw)}
    amplitudes, smallest = _amplitudes(psi, arrays, cell, frac, radial, layout, s.species_of)
    if float(smallest) < DEPENDENT:
        raise InputError(
            f"The atomic orbitals are linearly dependent in the plane waves of ecut = {result.basis.ecut:g} hartree (smallest "
            f"eigenvalue of their overlap {float(smallest):.1e}): projections need a larger cutoff."
        )
    return np.asarray(amplitudes)


@partial(jax.jit, static_argnames=("layout", "species_of"))
def _amplitudes(psi, arrays, cell, frac, radial, layout, species_of):
    def one_k(x):
        p, kG, mask = x
        phi = atomic_waves(kG, mask, cell, frac, radial, layout, species_of)
        values, vectors = jnp.linalg.eigh(phi.conj() @ phi.T)
        root = (vectors / jnp.sqrt(jnp.maximum(values, 1e-14))) @ vectors.conj().T
        return jnp.einsum("on,np,sbp->sbo", root, phi.conj(), p, optimize=[(0, 1), (0, 1)]), values[0]

    amplitudes, smallest = jax.lax.map(one_k, (jnp.moveaxis(psi, 1, 0), arrays["kG"], arrays["mask"]))
    return jnp.moveaxis(amplitudes, 0, 1), jnp.min(smallest)


# ---------------------------------------------------------------------------------------------------- symmetry


def star_average(orbitals, amplitudes, symmetry, cell) -> np.ndarray:
    r"""Weights averaged over the states that a group makes of each state.

    Under x' = W x + t the amplitude on orbital m of the image of atom a is $\sum_{m'} D_{m'm} A_{am'}$ up to a phase, with
    $Y_{lm}(Wv) = \sum_{m'} D_{m'm} Y_{lm'}(v)$. Time reversal changes no weight.

    Args:
        orbitals: the orbitals.
        amplitudes: (spin, k, band, orbital).
        symmetry: the group that reduced the mesh.
        cell: (3, 3) rows, bohr.
    """
    if len(symmetry) == 1:
        return np.abs(amplitudes) ** 2
    index = {(o.atom, o.n, o.l, o.m): i for i, o in enumerate(orbitals)}
    shells = sorted({(o.atom, o.n, o.l) for o in orbitals})
    total = np.zeros(amplitudes.shape)
    rotations = {l: rotation_matrices(l, symmetry.cartesian(cell)) for l in {o.l for o in orbitals}}
    for w, permutation in enumerate(symmetry.permutations):
        for a, n, l in shells:
            of, to = index[a, n, l, 0], index[permutation[a], n, l, 0]
            rotated = amplitudes[..., of : of + 2 * l + 1] @ rotations[l][w]
            total[..., to : to + 2 * l + 1] += np.abs(rotated) ** 2
    return total / len(symmetry)


def level_average(eigenvalues, weights) -> np.ndarray:
    """Weights (spin, k, band, orbital) averaged over degenerate bands, whose choice of states is arbitrary."""
    same = np.abs(np.diff(eigenvalues, axis=-1)) < DEGENERATE
    group = np.concatenate([np.zeros((*same.shape[:-1], 1), int), np.cumsum(~same, axis=-1)], axis=-1)
    member = (group[..., :, None] == group[..., None, :]).astype(float)
    return (member / member.sum(axis=-1, keepdims=True)) @ weights


def rotation_matrices(l: int, matrices) -> np.ndarray:
    """D (n, m', m) with Y_lm(v M) = sum_m' D_m'm Y_lm'(v) for cartesian matrices M (n, 3, 3) that act on rows."""
    v = np.random.default_rng(0).normal(size=(4 * l + 6, 3))
    before = np.asarray(solid_harmonics(l, jnp.asarray(v))).T
    after = np.moveaxis(np.asarray(solid_harmonics(l, jnp.asarray(v @ matrices))), 0, -1)
    return np.linalg.pinv(before) @ after
