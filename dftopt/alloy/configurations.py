"""Configurations: symmetry-distinct orderings of small cells, and special quasi-random structures."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from dftopt.alloy.clusters import orbits
from dftopt.alloy.equilibrium import counts_of, whole
from dftopt.alloy.functions import point_functions
from dftopt.alloy.parent import Parent
from dftopt.alloy.supercell import Supercell, hermite
from dftopt.errors import InputError

MOST = 4_000_000  # decorations of one cell that are looked at


@dataclass(frozen=True, eq=False)
class Ordering:
    """A configuration: a supercell, the codes (n,) of its sites, and a key that equal ones share."""

    supercell: Supercell
    codes: np.ndarray

    @property
    def key(self) -> str:
        """The same for all descriptions of one configuration, up to symmetry and choice of the (primitive) cell."""
        return canonical(self.supercell, self.codes)


def supercells(parent: Parent, cells: int) -> list[Supercell]:
    """Supercells of `cells` primitive cells that symmetry does not make equal, by their Hermite normal forms.

    References:
        Hart, Forcade, Phys. Rev. B 77, 224115 (2008).
    """
    out: list[Supercell] = []
    seen: set[bytes] = set()
    for a in range(1, cells + 1):
        for d in range(1, cells // a + 1):
            if cells % (a * d):
                continue
            f = cells // (a * d)
            for b in range(d):
                for c in range(f):
                    for e in range(f):
                        m = np.array([[a, b, c], [0, d, e], [0, 0, f]])
                        if m.tobytes() not in seen:
                            seen.update(hermite(m @ r.T).tobytes() for r in parent.rotations)
                            out.append(Supercell(parent, m))
    return out


def _symmetries(cell: Supercell) -> np.ndarray:
    """(operations, n) site to which each site goes, for every symmetry of the parent that keeps the supercell."""
    parent = cell.parent
    keeps = [np.array_equal(hermite(cell.matrix @ r.T), cell.hermite) for r in parent.rotations]
    moved = cell.index(parent.moved(cell.sites)[keeps])
    cells = cell.sites[:: len(parent.basis), 1:]
    shifted = cell.sites[None].repeat(len(cells), 0)
    shifted[..., 1:] += cells[:, None]
    translations = cell.index(shifted)
    return np.unique(translations[:, moved].reshape(-1, len(cell)), axis=0)


def _translations(cell: Supercell) -> np.ndarray:
    cells = cell.sites[:: len(cell.parent.basis), 1:]
    shifted = cell.sites[None].repeat(len(cells), 0)
    shifted[..., 1:] += cells[:, None]
    return cell.index(shifted)


def orderings(parent: Parent, species: int, atoms: int, composition=None, smallest: int = 1) -> list[Ordering]:
    """All orderings with up to `atoms` atoms per primitive cell, each once.

    Args:
        parent: the lattice.
        species: number of species K.
        atoms: largest number of sites of a cell.
        composition: (K,) lowest and highest fraction of each species as pairs; default: all.
        smallest: number of sites of a cell.

    Returns:
        Orderings by size; cells that repeat a smaller one are left out.

    Raises:
        InputError: numbers that are not whole and positive, or more decorations than can be looked at.
    """
    whole("species", species, 2)
    largest = whole("atoms", atoms, len(parent.basis)) // len(parent.basis) * len(parent.basis)
    if species**largest > MOST:
        raise InputError(
            f"{species}^{largest} decorations of {largest} sites are too many: take at most {_most(species)} atoms per cell."
        )
    out = []
    for cells in range(max(1, -(-smallest // len(parent.basis))), atoms // len(parent.basis) + 1):
        n = cells * len(parent.basis)
        numbers = np.arange(species**n)
        powers = species ** np.arange(n)
        codes = (numbers[:, None] // powers) % species
        if composition is not None:
            share = np.stack([(codes == k).mean(1) for k in range(species)], 1)
            low, high = np.array(composition, float).T
            codes = codes[((share >= low - 1e-9) & (share <= high + 1e-9)).all(1)]
        for cell in supercells(parent, cells):
            own = codes @ powers
            lowest = own.copy()
            for site in _symmetries(cell):
                np.minimum(lowest, codes @ powers[site], out=lowest)
            first = lowest == own
            chosen = codes[first]
            repeats = np.zeros(len(chosen), bool)
            for site in _translations(cell)[1:]:
                repeats |= chosen @ powers[site] == own[first]
            out += [Ordering(cell, c.astype(np.int8)) for c in chosen[~repeats]]
    return out


def _most(species: int) -> int:
    return int(np.log(MOST) / np.log(species))


def primitive(cell: Supercell, codes: np.ndarray) -> tuple[Supercell, np.ndarray]:
    """The smallest cell of a configuration."""
    for _ in range(64):  # each turn finds one more translation
        for shift, site in zip(cell.sites[:: len(cell.parent.basis), 1:], _translations(cell), strict=True):
            if shift.any() and np.array_equal(codes[site], codes):
                rows = np.vstack([cell.matrix, shift])
                small = Supercell(cell.parent, _basis(rows))
                if len(small) < len(cell):
                    codes = codes[cell.index(small.sites)]
                    cell = small
                    break
        else:
            return cell, codes
    return cell, codes


def _basis(rows: np.ndarray) -> np.ndarray:
    """Three rows (Hermite normal form) that span the lattice of four."""
    h = [list(map(int, r)) for r in rows]
    for c in range(3):
        while sum(1 for r in h[c:] if r[c]) > 1:
            h[c:] = sorted(h[c:], key=partial(_pivot, c))
            for r in range(c + 1, len(h)):
                q = h[r][c] // h[c][c]
                h[r] = [a - q * b for a, b in zip(h[r], h[c], strict=True)]
        h[c:] = sorted(h[c:], key=partial(_pivot, c))
    return hermite(np.array(h[:3]))


def _pivot(column: int, row: list[int]) -> tuple[bool, int]:
    """Rows with the smallest entry that is not zero come first."""
    return row[column] == 0, abs(row[column])


def canonical(cell: Supercell, codes: np.ndarray) -> str:
    """A text that is the same for all descriptions of one configuration."""
    cell, codes = primitive(cell, np.asarray(codes))
    parent, best = cell.parent, None
    for image in range(len(parent.rotations)):
        turned = Supercell(parent, hermite(cell.matrix @ parent.rotations[image].T))
        h = turned.hermite.tobytes()
        if best is not None and h > best[0]:
            continue
        moved = np.empty_like(codes)
        moved[turned.index(parent.moved(cell.sites)[image])] = codes
        for site in _translations(turned):
            text = moved[site].astype(np.uint8).tobytes()
            if best is None or (h, text) < best:
                best = (h, text)
    assert best is not None  # there is at least the identity
    rows = np.frombuffer(best[0], int).reshape(3, 3)
    return ",".join(str(rows[i, j]) for i in range(3) for j in range(i, 3)) + ":" + "".join(str(c) for c in best[1])


def quasirandom(
    parent: Parent, species, composition, size=None, *, supercell=None, cutoffs=(6.0,), steps: int = 4000, seed: int = 0
):
    r"""Special quasi-random structure: the decoration whose correlations are closest to those of random mixing.

    Simulated annealing of $\sum_\alpha |\Pi_\alpha - \Pi_\alpha^\mathrm{random}|$ over clusters within the cutoffs, the nearer
    ones with more weight (inverse square of the diameter), by exchanges of two sites.

    Args:
        parent: the lattice.
        species: symbols.
        composition: fraction or number by symbol.
        size: of the supercell in conventional cells.
        supercell: instead of `size`.
        cutoffs: of pairs, triplets, quadruplets, angstrom.
        steps: of the annealing.
        seed: whole number.

    Returns:
        ASE Atoms, and the largest deviation of any correlation from random mixing.

    Raises:
        InputError: composition of other symbols or that does not fill the sites.

    References:
        Zunger, Wei, Ferreira, Bernard, Phys. Rev. Lett. 65, 353 (1990).
    """
    from dftopt.alloy.expansion import ClusterExpansion

    blank = ClusterExpansion.blank(parent, species, cutoffs)
    cell = supercell or Supercell.of(parent, size)
    counts = counts_of(blank, cell, dict(composition))
    whole("steps", steps, 1)
    rng = np.random.default_rng([seed, 40])
    codes = rng.permutation(np.repeat(np.arange(len(blank.species)), counts))
    phi = np.asarray(point_functions(len(blank.species)))
    mean = phi @ (counts / len(cell))
    terms = []
    for orbit in orbits(parent, cutoffs):
        if orbit.order == 1:
            continue
        sites = cell.clusters(orbit)
        for alike in orbit.decorations(len(phi)):
            target = float(np.prod(mean[list(alike[0])]))
            terms.append((sites, alike, target, 1 / orbit.diameter**2))

    def deviations(codes):
        values = phi[:, codes]
        return np.array(
            [
                np.mean([np.mean(np.prod([values[f, s[:, l]] for l, f in enumerate(given)], 0)) for given in alike])
                - target
                for s, alike, target, _ in terms
            ]
        )

    weights = np.array([t[3] for t in terms]) / max(t[3] for t in terms)
    away = deviations(codes)
    cost = weights @ abs(away)
    best, kT = (cost, codes.copy(), away), max(cost / 5, 1e-6)
    for step in range(steps):
        i, j = rng.integers(len(cell), size=2)
        if codes[i] == codes[j]:
            continue
        codes[[i, j]] = codes[[j, i]]
        away = deviations(codes)
        new = weights @ abs(away)
        if new <= cost or rng.random() < np.exp((cost - new) / (kT * (1 - step / steps) + 1e-12)):
            cost = new
            if cost < best[0] - 1e-12:
                best = cost, codes.copy(), away
        else:
            codes[[i, j]] = codes[[j, i]]
        if best[0] < 1e-12:
            break
    return cell.atoms([blank.species[c] for c in best[1]]), float(abs(best[2]).max())
