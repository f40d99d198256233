"""Vacancies on lattices of conventional cells, many states at once, in the compiled kernels: for `dftopt.macro.AlloyOrdering`.

States are (..., x, y, z, b) codes as rows (n,); the same expansion works on any number of cells.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np

UNBOUNDED = 2**62


@dataclass(frozen=True, eq=False)
class Walks:
    """The kernels of one expansion. Sites of a cell, and those near them: rows (x, y, z, b) relative to the cell.

    Args:
        barriers: (K + 1,) E_KRA by code, eV.
        onsite: (K + 1,) eV.
        clusters: for pairs, triplets, quadruplets (basis, R, k - 1, 4) the other sites of the clusters of a site.
        energies: of these (basis, R, K + 1, ...), eV.
        shells: (basis, z, 4) neighbours of each shell whose bonds are counted; vacancies jump in the first.
        seams: (basis, z, 4) those of each shell whose bonds are mended across seams.
    """

    barriers: np.ndarray
    onsite: np.ndarray
    clusters: Sequence[np.ndarray]
    energies: Sequence[np.ndarray]
    shells: Sequence[np.ndarray]
    seams: Sequence[np.ndarray] = ()

    @cached_property
    def _made(self) -> dict:
        return {}

    @cached_property
    def reach(self) -> np.ndarray:
        """(basis, r, 4) sites whose vacancy changes its rates with the species of a site, that site too."""
        out = []
        for b in range(len(self.shells[0])):
            near = np.concatenate([[[0, 0, 0, b]], *(c[b].reshape(-1, 4) for c in self.clusters)])
            far = self.shells[0][near[:, 3]] + np.concatenate([near[:, :3], np.zeros((len(near), 1), int)], 1)[:, None]
            out.append(np.unique(np.concatenate([near, far.reshape(-1, 4)]), axis=0))
        return np.array(out)

    def lattice(self, size: tuple[int, ...]) -> "Lattice":
        """Tables of `size` conventional cells, made once."""
        if size not in self._made:
            cell = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1).reshape(-1, 3)
            basis = len(self.shells[0])
            tables = [_numbers(near, cell, size) for near in self.clusters]
            shells = [_numbers(near, cell, size).astype(np.uint32) for near in self.shells]
            from dftopt.alloy.numba_engine import packed

            self._made[size] = Lattice(
                packed(self.onsite, tables, self.energies),
                np.tile(np.arange(basis), len(cell)),
                _numbers(self.reach, cell, size).astype(np.uint32),
                tuple(shells),
            )
        return self._made[size]

    def walk(self, size, states, seeds, duration: float, kT: float, moving=None, allowed=None) -> np.ndarray:
        """States (S, n) uint8 after some time.

        Args:
            size: conventional cells along each axis.
            states: (S, n) codes.
            seeds: (S,) uint64.
            duration: in 1 / nu.
            kT: eV.
            moving: for each state the sites of the vacancies that move, wherever they go; default all.
            allowed: (n,), sites that vacancies may jump to; default all.
        """
        from dftopt.alloy import compiled

        lattice, n, K = self.lattice(size), states.shape[1], len(self.barriers) - 1
        hop = lattice.shells[0]
        nowhere = np.zeros((len(self.shells[0]), hop.shape[1], 3))  # where atoms went is not asked for
        if allowed is not None:
            hop = np.where(allowed[hop], hop, np.arange(n, dtype=np.uint32)[:, None])  # into itself: the rate is zero
        out = states.copy()
        moving = [np.flatnonzero(row == K) for row in out] if moving is None else moving

        def work(rows):
            number, atom, moved = np.full(n, -1), np.arange(n), np.zeros((n, 3))
            counts, energy = np.zeros(K + 1, np.int64), np.zeros(1)
            for r in rows:
                vacancies = moving[r].copy()
                if len(vacancies) == 0:
                    continue
                number[vacancies] = np.arange(len(vacancies))
                compiled.jumps(
                    out[r], seeds[r : r + 1], np.zeros(1), energy, vacancies, number, atom, moved, counts, duration, UNBOUNDED,
                    lattice.sublattice, hop, nowhere, lattice.reach, self.barriers, 1.0, kT, *lattice.tables,
                )  # fmt: skip
                number[vacancies] = -1

        _threads(work, len(states))
        return out

    def bonds(self, size, states) -> np.ndarray:
        """(S, shells, K, K) numbers of bond ends of states (S, n) uint8."""
        from dftopt.alloy.compiled import bond_ends

        def count(r, shells, out):
            for shell, near in enumerate(shells):
                bond_ends(states[r], near, out[shell])

        return self._counted(size, len(states), count)

    def bond_changes(self, size, before, after) -> np.ndarray:
        """(S, shells, K, K) by how much those of `after` (S, n) are larger than those of `before` (n,)."""
        from dftopt.alloy.compiled import bond_end_changes

        def count(r, shells, out):
            changed = np.flatnonzero(before != after[r])
            for shell, near in enumerate(shells):
                bond_end_changes(before, after[r], changed, near, out[shell])

        return self._counted(size, len(after), count)

    def mended(self, size, states, seeds, axis: int, attempts: int = 10):
        """States (S, n) in which the seams across an axis are as each half was around its own end.

        Atoms whose bonds cross a seam are exchanged, where that brings the numbers of bonds of every shell that cross a seam,
        those of bonds that do not, and the energy (triplets are in it) closer to the ones that the two halves had as periodic
        systems.

        Args:
            size: conventional cells along each axis; seams are at the beginning and in the middle of `axis`.
            states: (S, n) codes.
            seeds: (S,) uint64.
            axis: 0, 1 or 2.
            attempts: at most, per site near a seam.

        Returns:
            New states; (S, 2, shells, K, K) by how many bond ends they still differ: inside, and across; (S,) by how many eV.
        """
        from dftopt.alloy.compiled import crossing_ends, mend, totals

        half, basis = size[axis] // 2, len(self.shells[0])
        part = tuple(half if a == axis else n for a, n in enumerate(size))
        K, n, count = len(self.barriers) - 1, states.shape[1], len(self.seams)
        cells = {s: np.stack(np.meshgrid(*map(np.arange, s), indexing="ij"), -1).reshape(-1, 3) for s in (size, part)}
        near = {s: [_numbers(shell, cells[s], s) for shell in self.seams] for s in (size, part)}
        crosses = {s: [_crossing(shell, s, axis, half) for shell in self.seams] for s in (size, part)}
        x = np.unravel_index(np.arange(n), (*size, basis))[axis] % half
        width = max(int(abs(shell[..., axis]).max()) for shell in self.seams)
        sites = np.flatnonzero((x < width) | (x >= half - width))
        every, across = np.concatenate(near[size], 1), np.concatenate(crosses[size], 1)
        shell = np.repeat(np.arange(count), [m.shape[1] for m in near[size]])
        out, excess = states.copy(), np.zeros((len(states), 2, count, K, K), np.int64)
        tables = {s: self.lattice(s).tables for s in (size, part)}
        unit = float(np.std(self.energies[0])) if len(self.energies) else 1.0
        energy = np.zeros((len(states), 1))

        def work(rows):
            for r in rows:
                halves = [np.ascontiguousarray(h).reshape(-1) for h in np.split(out[r].reshape(*size, basis), 2, axis)]
                for k in range(count):
                    have, want = np.zeros((2, 2, K, K), np.int64)
                    crossing_ends(out[r], near[size][k], crosses[size][k], have)
                    for piece in halves:
                        crossing_ends(piece, near[part][k], crosses[part][k], want)
                    excess[r, :, k] = have - want
                e, parts = np.zeros(1), np.zeros(2)
                totals(out[r : r + 1], e, basis, *tables[size])
                totals(np.stack(halves), parts, basis, *tables[part])
                energy[r] = e - parts.sum()
                mend(
                    out[r], seeds[r : r + 1], sites, every, across, shell, excess[r], energy[r], unit, attempts * len(sites),
                    basis, True, *tables[size],
                )  # fmt: skip

        _threads(work, len(states))
        return out, excess, energy[:, 0]

    def _counted(self, size, count, kernel):
        K, shells = len(self.barriers) - 1, self.lattice(size).shells
        out = np.zeros((count, len(self.shells), K, K), np.int64)

        def work(rows):
            for r in rows:
                kernel(r, shells, out[r])

        _threads(work, count)
        return out


@dataclass(frozen=True, eq=False)
class Lattice:
    """Tables of a number of cells with n sites.

    Args:
        tables: that all kernels share (`dftopt.alloy.compiled`).
        sublattice: (n,).
        reach: (n, r).
        shells: for each shell (n, z) neighbours.
    """

    tables: Any
    sublattice: np.ndarray
    reach: np.ndarray
    shells: tuple[np.ndarray, ...]


def walks(barriers, onsite, clusters, energies, shells, seams) -> Walks | None:
    """The compiled kernels, None where numba is not installed."""
    return Walks(barriers, onsite, clusters, energies, shells, seams) if find_spec("numba") is not None else None


def _numbers(near: np.ndarray, cell: np.ndarray, size) -> np.ndarray:
    """(n, ...) numbers of the sites near (basis, ..., 4) each site of cells (cells, 3), row-major and periodic."""
    basis = len(near)
    out = np.empty((len(cell), *near.shape[:-1]), np.int64)
    for at in np.ndindex(*near.shape[:-1]):
        x, y, z = ((cell[:, d] + near[at][d]) % size[d] for d in range(3))
        out[(slice(None), *at)] = ((x * size[1] + y) * size[2] + z) * basis + near[at][3]
    return out.reshape(len(cell) * basis, *near.shape[1:-1])


def _crossing(near: np.ndarray, size, axis: int, half: int) -> np.ndarray:
    """(n, z): 1 where the bond of a site crosses a plane at the beginning of `axis` or `half` cells further, else 0."""
    site = np.arange(int(np.prod(size)) * len(near))
    x = np.unravel_index(site, (*size, len(near)))[axis]
    return ((x[:, None] + near[site % len(near), :, axis]) // half != (x // half)[:, None]).astype(np.int64)


def _threads(work, count: int) -> None:
    """`work(rows)` for parts of `count` rows, one part per core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parts = np.array_split(np.arange(count), max(1, min(cores, count)))
    if len(parts) == 1:
        return work(parts[0])
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(work, parts))
