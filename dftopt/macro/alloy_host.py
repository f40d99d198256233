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

    def observe(self, states: np.ndarray) -> np.ndarray:
        """(S, d) coordinates of states (S, *sites, basis)."""
        return np.asarray(self.lattice.order(self.lattice.walks.bonds(states.shape[1:4], _rows(states))))

    def step(self, states: np.ndarray, seed, dt: float) -> np.ndarray:
        """States after dt."""
        return self._walk(states, seed, dt)

    def step_where(self, states: np.ndarray, seed, dt: float, where: np.ndarray) -> np.ndarray:
        """States after dt, vacancies of the cells of a mask alone, that do not leave them."""
        inside = np.repeat(np.asarray(where).reshape(-1), self.lattice.basis)
        return self._walk(states, seed, dt, np.broadcast_to(inside, _rows(states).shape), inside)

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
        moving = None
        if block is not None:
            cell = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1)
            inside = (((cell - corners[:, None, None, None]) % size) < block).all(-1).reshape(len(corners), -1)
            moving = np.repeat(np.repeat(inside, lattice.basis, 1), replicas, 0)
        after = self._walk(np.repeat(state[None], len(corners) * replicas, 0), seed, dt, moving)
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
