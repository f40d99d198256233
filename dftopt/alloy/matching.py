"""Relaxed structures back on the lattice: which supercell, which species on which site, and how far each atom moved."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from ase import Atoms

from dftopt.alloy.parent import Parent
from dftopt.alloy.supercell import Supercell
from dftopt.errors import InputError

LARGEST = 0.35  # of the nearest-neighbour distance: an atom farther from its site belongs to none
STRAIN = 0.15  # homogeneous strain beyond the change of volume


@dataclass(frozen=True, eq=False)
class Match:
    """A structure as a decoration of the lattice.

    Args:
        supercell: its supercell.
        codes: (n,) species of every site, as positions in the tuple of species.
        site: (n,) site of every atom.
        displacements: (n,) distance of every atom from its site, without homogeneous strain and shift, angstrom.
        strain: largest entry of the homogeneous strain that is no change of volume.
        expansion: length scale of the structure over that of the parent.
    """

    supercell: Supercell
    codes: np.ndarray
    site: np.ndarray
    displacements: np.ndarray
    strain: float
    expansion: float

    @property
    def report(self) -> dict:
        """How far it moved."""
        return {
            "atoms": len(self.codes),
            "largest_displacement_A": float(self.displacements.max()),
            "rms_displacement_A": float(np.sqrt(np.mean(self.displacements**2))),
            "shear_strain": self.strain,
            "expansion": self.expansion,
        }


def match(atoms: Atoms, parent: Parent, species: tuple[str, ...], label: str = "The structure") -> Match:
    """Find the sites of the atoms.

    The cell is expressed in whole numbers of primitive cells (by its vectors as they are, else after the rotation that fits
    the lengths and angles), homogeneous strain and a common shift are taken out, and each atom goes to its nearest site.

    Args:
        atoms: a structure without vacancies, relaxed or not.
        parent: the lattice.
        species: symbols.
        label: what messages call it.

    Raises:
        InputError: other species, no supercell that fits, or an atom that left the lattice (which, how far).
    """
    if not isinstance(atoms, Atoms) or len(atoms) == 0:
        raise InputError(f"{label} must be ASE Atoms with at least one atom.")
    for symbol in atoms.symbols:
        if symbol not in species:
            raise InputError(f"{label} contains {symbol}; the species of the expansion are {', '.join(species)}.")
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell[:]).all():
        raise InputError(f"{label} has positions or cell vectors that are not finite.")
    volume = abs(np.linalg.det(atoms.cell[:]))
    if volume < 1e-6:
        raise InputError(f"{label} has no cell in three directions; a decoration of the lattice is periodic in all.")
    expansion = (volume / (len(atoms) * parent.volume)) ** (1 / 3)
    cells, rest = divmod(len(atoms), len(parent.basis))
    if rest or not 0.7 < expansion < 1.4:
        raise InputError(
            f"{label} is not on the parent lattice: {len(atoms)} atoms with {volume / len(atoms):.2f} cubic angstrom each; the "
            f"lattice has {len(parent.basis)} sites per cell and {parent.volume:.2f} cubic angstrom per site."
        )
    best = None
    for matrix in _matrices(atoms.cell[:] / expansion, parent, cells):
        supercell = Supercell(parent, matrix)
        found = _assign(atoms, supercell)
        if best is None or _rms(found[1]) < _rms(best[1]):  # one atom that left does not make another lattice fit
            best = (*found, supercell, _shear(atoms.cell[:] / expansion, matrix @ parent.cell))
        if _rms(best[1]) < 0.15 * parent.nearest:
            break
    if best is None:
        raise InputError(
            f"{label} is not on the parent lattice: no supercell of {cells} primitive cells has its cell vectors (lengths "
            f"{', '.join(f'{x:.2f}' for x in atoms.cell.lengths())} A, angles {', '.join(f'{x:.0f}' for x in atoms.cell.angles())}). "
            "Correct parent, or leave the structure out."
        )
    site, away, supercell, strain = best
    worst = int(away.argmax())
    if away[worst] > LARGEST * parent.nearest:
        raise InputError(
            f"{label} left the parent lattice: atom {worst} ({atoms.symbols[worst]}) is {away[worst]:.2f} A from the nearest site, "
            f"more than {LARGEST * parent.nearest:.2f} A. It relaxed to something else: leave it out."
        )
    if len(set(site.tolist())) < len(site):
        values, counts = np.unique(site, return_counts=True)
        pair = np.flatnonzero(site == values[counts.argmax()])[:2]
        raise InputError(
            f"{label} left the parent lattice: atoms {pair[0]} and {pair[1]} are nearest to the same site."
        )
    codes = np.empty(len(site), np.int8)
    codes[site] = [species.index(s) for s in atoms.symbols]
    return Match(supercell, codes, site, away, strain, float(expansion))


def _rms(x) -> float:
    return float(np.sqrt(np.mean(x**2)))


def _shear(cell, ideal) -> float:
    """Largest entry of U - 1, where ideal^-1 cell = U (rotation)."""
    u, s, vh = np.linalg.svd(np.linalg.solve(ideal, cell))
    return float(abs((u * s) @ u.T - np.eye(3)).max())


def _matrices(cell, parent: Parent, cells: int):
    """Whole-number matrices whose supercells have nearly this cell: as it is oriented first, then by lengths and angles."""
    direct = np.rint(cell @ np.linalg.inv(parent.cell)).astype(int)
    if round(abs(np.linalg.det(direct))) == cells and _shear(cell, direct @ parent.cell) < STRAIN:
        yield direct
    lengths = np.linalg.norm(cell, axis=1)
    longest = lengths.max() * (1 + STRAIN)
    reach = np.ceil(longest * np.linalg.norm(np.linalg.inv(parent.cell), axis=0)).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), -1).reshape(-1, 3)
    vectors = grid @ parent.cell
    norms = np.linalg.norm(vectors, axis=1)
    close = [np.flatnonzero(abs(norms / length - 1) < STRAIN) for length in lengths]
    metric = cell @ cell.T
    found = []
    # the first vector up to rotations of the point group: all images give equal structures
    first = {tuple(sorted(map(tuple, (parent.rotations @ grid[i]).tolist()))): i for i in close[0]}
    for a, b in product(first.values(), close[1]):
        if abs(vectors[a] @ vectors[b] - metric[0, 1]) > 2 * STRAIN * lengths[0] * lengths[1]:
            continue
        c = close[2]
        good = abs(vectors[c] @ vectors[a] - metric[0, 2]) < 2 * STRAIN * lengths[0] * lengths[2]
        good &= abs(vectors[c] @ vectors[b] - metric[1, 2]) < 2 * STRAIN * lengths[1] * lengths[2]
        for i in c[good]:
            matrix = grid[[a, b, i]]
            if round(abs(np.linalg.det(matrix))) == cells:
                found.append((_shear(cell, matrix @ parent.cell), matrix))
    for strain, matrix in sorted(found, key=lambda x: x[0])[:48]:
        if strain < STRAIN:
            yield matrix


def _assign(atoms: Atoms, supercell: Supercell):
    """Site and distance from it for every atom, with the common shift that fits best."""
    parent = supercell.parent
    ideal = supercell.matrix @ parent.cell
    sites = parent.position(supercell.sites) @ np.linalg.inv(ideal)
    fractional = atoms.get_scaled_positions(wrap=False)
    best = None
    for start in range(len(parent.basis)):
        shift = fractional[0] - sites[start]
        for _ in range(5):
            away = fractional[:, None] - shift - sites
            away -= np.rint(away)
            apart = np.linalg.norm(away @ ideal, axis=-1)
            site = apart.argmin(1)
            own = np.take_along_axis(away, site[:, None, None], 1)[:, 0]
            change = own.mean(0)
            shift = shift + change
            if abs(change).max() < 1e-12:
                break
        moved = np.linalg.norm((own - own.mean(0)) @ ideal, axis=-1)
        if best is None or moved.max() < best[1].max():
            best = site, moved
    return best
