"""An alloy's lattice in kernels of another compiler: many states at once, NumPy arrays. See `dftopt.macro.simulator`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.units import kB


@dataclass(frozen=True)
class Host:
    """What a simulator offers under `host`, for `dftopt.macro.alloy_ordering.AlloyLattice`.

    Args:
        lattice: the simulator, with `walks`.
    """

    lattice: Any

    @property
    def _vacancy(self) -> int:
        return len(self.lattice.species)

    def observe(self, states: np.ndarray) -> np.ndarray:
        """(S, d) coordinates of states (S, *sites, basis)."""
        return np.asarray(self.lattice.order(self.lattice.walks.bonds(states.shape[1:4], _rows(states))))

    def step(self, states: np.ndarray, seed, dt: float) -> np.ndarray:
        """States after dt."""
        return self._walk(states, seed, dt)

    def step_where(self, states: np.ndarray, seed, dt: float, where: np.ndarray) -> np.ndarray:
        """States after dt, vacancies of the cells of a mask alone, that do not leave them."""
        inside = np.repeat(np.asarray(where).reshape(-1), self.lattice.basis)
        empty = [np.flatnonzero((row == self._vacancy) & inside) for row in _rows(states)]
        return self._walk(states, seed, dt, empty, inside)

    def mended(self, states: np.ndarray, seed, axis: int) -> np.ndarray:
        """States whose two halves along an axis were put together, with the bonds of the halves across their seams.

        No time passes: a transient is an equilibrium at no temperature, so that vacancies that heal a seam would leave another
        order there. Where bonds of three shells are as they should be, the rest is as disordered as they let it be.
        """
        seeds = np.random.default_rng(seed).integers(2**63, size=len(states)).astype(np.uint64)
        rows = self.lattice.walks.mended(states.shape[1:4], _rows(states), seeds, axis)[0]
        return rows.view(np.int8).reshape(states.shape)

    def step_patches(self, state: np.ndarray, corners: np.ndarray, seed, dt: float, block, replicas: int):
        """States (P, R, *sites, basis) and coordinates (P, R, d) in which the vacancies of one patch each have moved for dt.

        Args:
            state: (*sites, basis).
            corners: (P, 3) first cells of patches, (P, 0) for the whole lattice.
            seed: of all.
            dt: the time step.
            block: cells of a patch along each axis, None for the whole lattice.
            replicas: R.
        """
        lattice, size = self.lattice, state.shape[:3]
        empty = np.flatnonzero(_rows(state[None])[0] == self._vacancy)
        cells = np.stack(np.unravel_index(empty, state.shape)[:3], -1)
        theirs = [empty for _ in corners]
        if block is not None:
            theirs = [empty[((cells - corner) % size < block).all(-1)] for corner in corners]
        moving = [own for own in theirs for _ in range(replicas)]
        after = self._walk(np.repeat(state[None], len(moving), 0), seed, dt, moving)
        before = lattice.walks.bonds(size, _rows(state[None]))
        z1 = np.asarray(lattice.order(before + lattice.walks.bond_changes(size, _rows(state[None])[0], _rows(after))))
        lead = (len(corners), replicas)
        return after.reshape(*lead, *state.shape), z1.reshape(*lead, -1)

    def _walk(self, states, seed, dt, moving=None, allowed=None):
        lattice = self.lattice
        seeds = np.random.default_rng(seed).integers(2**63, size=len(states)).astype(np.uint64)
        kT = kB * float(lattice.temperature)
        rows = lattice.walks.walk(
            states.shape[1:4], _rows(states), seeds, dt / float(lattice.rate), kT, moving, allowed
        )
        return rows.view(np.int8).reshape(states.shape)


def _rows(states: np.ndarray) -> np.ndarray:
    """(S, n) unsigned codes."""
    return np.ascontiguousarray(states).reshape(len(states), -1).view(np.uint8)
