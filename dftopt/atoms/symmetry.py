"""Space-group operations of a crystal and the averages over them.

An operation is x' = W x + t for a column of fractional coordinates x (the convention of spglib). Reciprocal vectors,
k points among them, are rows and transform as G' = G W.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import spglib
from scipy.spatial import cKDTree

from dftopt.errors import InputError
from dftopt.units import BOHR_IN_ANGSTROM


@dataclass(frozen=True, eq=False)
class Symmetry:
    """A group of operations that leave a crystal unchanged.

    Attributes:
        rotations: (n, 3, 3) integers W; the identity comes first.
        translations: (n, 3) fractional t in [0, 1).
        permutations: (n, atoms); operation s moves atom i onto atom permutations[s, i].
        international: the group's name, such as "Fd-3m (227)".
    """

    rotations: np.ndarray
    translations: np.ndarray
    permutations: np.ndarray
    international: str

    def __len__(self) -> int:
        return len(self.rotations)

    def subset(self, mask) -> "Symmetry":
        """The operations picked by a mask or by indices; the caller guarantees that they form a group."""
        mask = np.asarray(mask)
        rotations = self.rotations[mask]
        whole = len(rotations) == len(self) or self.international.startswith("subgroup of ")
        name = self.international if whole else f"subgroup of {self.international}"
        return Symmetry(rotations, self.translations[mask], self.permutations[mask], name)

    def cartesian(self, cell) -> np.ndarray:
        """(n, 3, 3) matrices M that act on cartesian rows, v' = v M, for the cell with rows a_i."""
        cell = np.asarray(cell, dtype=float)
        return np.linalg.inv(cell) @ self.rotations.transpose(0, 2, 1) @ cell

    def symmetrize_forces(self, forces, cell) -> np.ndarray:
        """Average vectors on atoms over the group.

        Args:
            forces: (atoms, 3) cartesian rows, any unit.
            cell: (3, 3) rows a_i, any unit.

        Returns:
            (atoms, 3) in the unit of `forces`.
        """
        forces = np.asarray(forces, dtype=float)
        total = np.zeros_like(forces)
        for matrix, permutation in zip(self.cartesian(cell), self.permutations, strict=True):
            total[permutation] += forces @ matrix
        return total / len(self)

    def symmetrize_stress(self, stress, cell) -> np.ndarray:
        """Average a (3, 3) cartesian tensor, of any unit, over the group."""
        matrices = self.cartesian(cell)
        return np.einsum("sia,ij,sjb->ab", matrices, np.asarray(stress, dtype=float), matrices) / len(self)


def no_symmetry(natoms: int) -> Symmetry:
    """The identity alone."""
    return Symmetry(np.eye(3, dtype=int)[None], np.zeros((1, 3)), np.arange(natoms)[None], "P1 (1)")


def find_symmetry(cell, frac, numbers, moments=None, symprec: float = 1e-5) -> Symmetry:
    """Space group of a crystal, by spglib.

    Atoms with different collinear moments count as different species: an operation that would have to flip spins is
    not used, so that each spin density has the symmetry found.

    Args:
        cell: (3, 3) rows a_i, bohr.
        frac: (atoms, 3) fractional positions.
        numbers: (atoms,) atomic numbers, or any integers that tell species apart.
        moments: (atoms,) initial magnetic moments, bohr magnetons.
        symprec: how far an atom may be from its image, bohr.

    Returns:
        The operations, with translations made exactly consistent (see `close_translations`); the identity alone where
        spglib finds no group.
    """
    frac = np.asarray(frac, dtype=float).reshape(-1, 3)
    species = _species(numbers, moments)
    dataset = _spglib_dataset(np.asarray(cell, dtype=float), frac, species, symprec)
    if dataset is None:
        return no_symmetry(len(frac))
    rotations, translations = np.array(dataset.rotations, dtype=int), np.array(dataset.translations, dtype=float)
    permutations = _permutations(rotations, translations, frac)
    if not np.all(species[permutations] == species):
        return no_symmetry(len(frac))
    first = np.argsort(_distance_to_identity(rotations, translations), kind="stable")
    rotations, translations, permutations = rotations[first], translations[first], permutations[first]
    closed = close_translations(rotations, translations, permutations)
    if closed is None:
        return no_symmetry(len(frac))
    return Symmetry(rotations, closed, permutations, f"{dataset.international} ({dataset.number})")


NEARLY = 1e-2  # angstrom; what differs more from a symmetric crystal is taken as meant
TOLERANCES = tuple(
    3 * NEARLY / 10 ** (i / 2) for i in range(8)
)  # down to 1e-5; of distances to images, not to exact places


@dataclass(frozen=True, eq=False)
class NearSymmetry:
    """A larger group than that of a crystal, which the crystal misses narrowly, and the nearest crystal that has it.

    Attributes:
        symmetry: the group that is missed.
        has: name of the group of the crystal as it is, `order` its number of operations.
        displacement: largest distance of an atom from its exact place, angstrom.
        stretch: largest change of a cell vector, angstrom.
        cell: (3, 3) exact cell in the orientation of the given one, in its unit.
        frac: (atoms, 3) exact fractional positions.
    """

    symmetry: Symmetry
    has: str
    order: int
    displacement: float
    stretch: float
    cell: np.ndarray
    frac: np.ndarray

    def __str__(self) -> str:
        return (
            f"the structure has {self.has} with {self.order} operations, and misses {self.symmetry.international} with "
            f"{len(self.symmetry)} by {self.displacement:.1e} angstrom (atoms) and {self.stretch:.1e} angstrom (cell vectors)"
        )


def near_symmetry(cell, frac, numbers, moments=None, found: Symmetry | None = None, keep=None) -> NearSymmetry | None:
    """Larger space group that a crystal would have if atoms and cell moved by at most 1e-2 angstrom.

    Rounded coordinates of a file, or a relaxation that stopped early, cost symmetry and thereby time without meaning
    it. Structures displaced on purpose by more are left alone.

    Args:
        cell: (3, 3) rows a_i, bohr.
        frac: (atoms, 3) fractional positions.
        numbers: (atoms,) atomic numbers.
        moments: (atoms,) initial magnetic moments, bohr magnetons.
        found: the group as `find_symmetry` gives it, if it is known.
        keep: function of the rotations (n, 3, 3) that says which of them may be used, by default all.

    Returns:
        The largest such group with its exact crystal, in bohr; None where there is none.
    """
    cell, frac = np.asarray(cell, dtype=float), np.asarray(frac, dtype=float).reshape(-1, 3)
    used = (lambda s: s) if keep is None else (lambda s: s.subset(keep(s.rotations)))
    found = used(find_symmetry(cell, frac, numbers, moments)) if found is None else found
    for tolerance in TOLERANCES:
        larger = used(find_symmetry(cell, frac, numbers, moments, tolerance / BOHR_IN_ANGSTROM))
        if len(larger) <= len(found):
            if len(larger) > 1 or len(found) == 1:
                return None  # what is not there at this tolerance is not there at a smaller one
            continue  # spglib gave up
        exact_cell, exact = symmetrized(cell, frac, larger)
        moved = np.linalg.norm((exact - frac) @ cell, axis=1).max() * BOHR_IN_ANGSTROM
        stretch = np.linalg.norm(exact_cell - cell, axis=1).max() * BOHR_IN_ANGSTROM
        if max(moved, stretch) > NEARLY:
            continue
        if len(used(find_symmetry(exact_cell, exact, numbers, moments))) == len(larger):
            return NearSymmetry(larger, found.international, len(found), moved, stretch, exact_cell, exact)
    return None


def symmetrized(cell, frac, symmetry: Symmetry) -> tuple[np.ndarray, np.ndarray]:
    r"""The nearest crystal that has a group exactly.

    The metric $M = \langle W^T A A^T W \rangle$ of the exact cell is the average over the group of that of the given one A
    (rows); of the cells with this metric, $A (A^{-1} M A^{-T})^{1/2}$ is not turned against it. Positions are averages of
    the images $W x + t$ that fall on each atom; the crystal as a whole does not move.

    Args:
        cell: (3, 3) rows a_i, any unit.
        frac: (atoms, 3) fractional positions.
        symmetry: the group, which the crystal has up to a tolerance.

    Returns:
        Cell in the same unit, and fractional positions.
    """
    cell, frac = np.asarray(cell, dtype=float), np.asarray(frac, dtype=float)
    W = symmetry.rotations
    metric = np.mean(np.swapaxes(W, 1, 2) @ (cell @ cell.T) @ W, axis=0)
    inverse = np.linalg.inv(cell)
    squares, axes = np.linalg.eigh(inverse @ metric @ inverse.T)
    images = np.einsum("sij,aj->sai", W, frac) + symmetry.translations[:, None]
    total = np.zeros_like(frac)
    for image, permutation in zip(images, symmetry.permutations, strict=True):
        there = frac[permutation]
        total[permutation] += image - np.round(image - there)
    change = total / len(symmetry) - frac
    return cell @ (axes * np.sqrt(squares)) @ axes.T, frac + change - change.mean(axis=0)


def _species(numbers, moments) -> np.ndarray:
    """One integer per kind of atom: element and moment."""
    numbers = np.asarray(numbers)
    moments = np.zeros(len(numbers)) if moments is None else np.asarray(moments, dtype=float)
    kinds = np.stack([numbers.astype(float), np.round(moments, 6) + 0.0], axis=1)  # + 0.0: -0 and 0 are one kind
    return np.unique(kinds, axis=0, return_inverse=True)[1].reshape(-1) + 1


def _spglib_dataset(cell, frac, species, symprec):
    """The dataset of spglib, or None where it finds nothing."""
    failure = getattr(spglib, "SpglibError", RuntimeError)
    try:
        with warnings.catch_warnings():  # 2.7 and later announce on every call that failures will be raised one day
            warnings.simplefilter("ignore", DeprecationWarning)
            return spglib.get_symmetry_dataset((cell, frac, species), symprec=symprec)
    except failure:
        return None


def _permutations(rotations, translations, frac) -> np.ndarray:
    """The atom nearest to each image of each atom."""
    tree = cKDTree(_into_unit_cell(frac), boxsize=1.0)
    images = np.einsum("sij,aj->sai", rotations, frac) + translations[:, None]
    return tree.query(_into_unit_cell(images))[1].astype(int)


def _into_unit_cell(x) -> np.ndarray:
    wrapped = x - np.floor(x)
    return np.where(wrapped >= 1.0, 0.0, wrapped)  # -1e-17 - floor(-1e-17) rounds to 1


def _distance_to_identity(rotations, translations) -> np.ndarray:
    """Zero for the identity, one for all others."""
    away = np.abs(translations - np.round(translations)).max(axis=1)
    return np.where(np.all(rotations == np.eye(3, dtype=int), axis=(1, 2)) & (away == away.min()), 0, 1)


def close_translations(rotations, translations, permutations) -> np.ndarray | None:
    r"""Translations of a group, corrected so that they close to rounding error.

    Those of spglib carry the noise of the positions, up to symprec, and a phase $e^{2\pi i G t}$ multiplies it by G.
    With the defects $c(a, b) = t_{ab} - W_a t_b - t_a$ (modulo 1, small), adding the mean of $c(a, b)$ over b to each
    $t_a$ removes every defect at once, since c is a 2-cocycle of a finite group.

    Args:
        rotations: (n, 3, 3) integers.
        translations: (n, 3) fractional.
        permutations: (n, atoms).

    Returns:
        (n, 3) in [0, 1), or None where the operations are not a group.
    """
    kinds, kind_of = np.unique(rotations.reshape(-1, 9), axis=0, return_inverse=True)
    kind_of = kind_of.reshape(-1)
    index = np.full((len(kinds), permutations.shape[1]), -1)  # rotation and image of atom 0 determine an operation
    index[kind_of, permutations[:, 0]] = np.arange(len(rotations))
    number_of = {kind.tobytes(): number for number, kind in enumerate(kinds)}
    matrices = kinds.reshape(-1, 3, 3)
    products = np.array([[number_of.get((a @ b).tobytes(), -1) for b in matrices] for a in matrices])
    if np.count_nonzero(index >= 0) < len(rotations) or np.any(products < 0):
        return None
    closed = np.empty_like(translations)
    for a, (rotation, shift) in enumerate(zip(rotations, translations, strict=True)):
        product = index[products[kind_of[a], kind_of], permutations[a][permutations[:, 0]]]
        if np.any(product < 0):
            return None
        defect = translations[product] - translations @ rotation.T - shift
        closed[a] = shift + np.mean(defect - np.round(defect), axis=0)
    return closed - np.floor(closed + 1e-9) + 0.0


@dataclass(frozen=True, eq=False)
class Stars:
    """Orbits of reciprocal vectors under a group, and the average over it as gathers.

    Within a star the average is a projection of rank one, rho_sym = v (v^H rho) with |v| = 1, or zero in a star that
    the glide planes and screw axes extinguish.

    Attributes:
        members: (stars, size of the largest) indices into G; padded with nG, one past the end.
        phases: (stars, size of the largest) the v of each member; zero on the padding and in extinct stars.
        star_of: (nG,) star of each vector.
        v_of: (nG,) the v of each vector.
    """

    members: np.ndarray
    phases: np.ndarray
    star_of: np.ndarray
    v_of: np.ndarray

    def padded(self, rows: int, size: int) -> "Stars":
        """The same stars in arrays of at least this many rows and members; what is added is padding."""
        n, longest = self.members.shape
        more = ((0, max(rows - n, 0)), (0, max(size - longest, 0)))
        members = np.pad(self.members, more, constant_values=len(self.star_of))
        return Stars(members, np.pad(self.phases, more), self.star_of, self.v_of)

    def average(self, rho) -> np.ndarray:
        """Average of Fourier coefficients (..., nG) over the group (plain NumPy, the reference implementation)."""
        padded = np.concatenate([rho, np.zeros_like(rho[..., :1])], axis=-1)
        overlap = np.sum(self.phases.conj() * padded[..., self.members], axis=-1)
        return self.v_of * overlap[..., self.star_of]


def stars(symmetry: Symmetry, G) -> Stars:
    r"""Stars of a set of reciprocal vectors.

    $\rho(W x + t) = \rho(x)$ with $\rho(x) = \sum_G \rho_G e^{2\pi i G x}$ means
    $\rho_{G W} = e^{2\pi i G t} \rho_G$: all coefficients of a star follow from one. Where two operations lead to the
    same vector with different phases, the coefficients vanish.

    Args:
        symmetry: n operations.
        G: (nG, 3) distinct integer vectors, a set closed under the rotations such as all |G| <= Gmax (with a
            tolerance at Gmax, so that rounding does not split a star).

    Returns:
        The stars, in the order of their first vectors in G.

    Raises:
        InputError: G is not closed under the rotations.
    """
    G = np.asarray(G, dtype=float).reshape(-1, 3)  # whole numbers; products of integer arrays would be slow
    find = _finder(G)
    first = np.arange(len(G))
    for rotation in np.unique(symmetry.rotations, axis=0):
        image = find(G @ rotation)
        if np.any(image < 0):
            raise InputError(
                f"the reciprocal vectors are not closed under the symmetry: {G[np.argmin(image)].astype(int).tolist()} is one of "
                f"them, its image under {rotation.tolist()} is not. Use all |G| up to a radius, with a tolerance, "
                "or switch the symmetry off."
            )
        first = np.minimum(first, image)
    representatives, star_of, sizes = np.unique(first, return_inverse=True, return_counts=True)
    v_of = _star_vectors(symmetry, G, representatives, find, sizes[star_of])
    members, phases = _padded_rows(star_of, sizes, v_of)
    return Stars(members, phases, star_of, v_of)


def _finder(G):
    """A function from whole vectors to their indices in G, -1 where absent, through a table over the box of G."""
    radius = np.abs(G).max(axis=0) if len(G) else np.zeros(3)
    shape = 2 * radius + 1
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    table = np.full(int(np.prod(shape)), -1, dtype=np.int64)
    place = lambda vectors: (vectors @ strides + radius @ strides).astype(np.int64)
    table[place(G)] = np.arange(len(G))

    def find(vectors):
        inside = np.all(np.abs(vectors) <= radius, axis=1)
        if np.all(inside):
            return table[place(vectors)]
        return np.where(inside, table[np.where(inside, place(vectors), 0)], -1)

    return find


def _star_vectors(symmetry, G, representatives, find, size_of) -> np.ndarray:
    """Mean phase of the operations that lead to each vector, normalized over its star; zero if extinct."""
    start = G[representatives]
    total = np.zeros(len(G), dtype=complex)
    for rotation, translation in zip(symmetry.rotations, symmetry.translations, strict=True):
        total[find(start @ rotation)] += np.exp(2j * np.pi * (start @ translation))  # one target per star: no repeats
    mean = total * size_of / len(symmetry)
    modulus = np.abs(mean)  # 1 or 0 up to rounding
    return np.where(modulus > 0.5, mean / np.maximum(modulus, 0.5), 0.0) / np.sqrt(size_of)


def _padded_rows(star_of, sizes, v_of) -> tuple[np.ndarray, np.ndarray]:
    """Members and phases as rectangular arrays, one row per star."""
    order = np.argsort(star_of, kind="stable")
    slot = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    members = np.full((len(sizes), sizes.max(initial=0)), len(star_of), dtype=np.int64)
    phases = np.zeros(members.shape, dtype=complex)
    members[star_of[order], slot] = order
    phases[star_of[order], slot] = v_of[order]
    return members, phases
