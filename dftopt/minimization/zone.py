r"""The k points of a basis in blocks, of which one is on the device at a time.

Orbitals of different k points meet only in the density: $\rho = \sum_k w_k \sum_i f_{ki} |\psi_{ki}|^2$. A pass over the blocks
adds it up, the potential follows, and a second pass has the gradient of each block in it: that of the whole zone, exactly.
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.bases.devices import place
from dftopt.energy.free_energy import orbital_terms
from dftopt.energy.prepared import (
    Key,
    Orbitals,
    Prepared,
    arrays_of_orbitals,
    key_of,
    prepare_arrays,
    prepare_orbitals,
    static_arrays,
)


@dataclass(frozen=True, eq=False)
class Zone:
    """The k points of a basis in blocks.

    Attributes:
        model, basis: what is computed.
        inputs: its continuous inputs.
        at_once: k points of a block.
        devices: that share a block.
        magnetization: to hold fixed.
    """

    model: Any
    basis: Any
    inputs: dict
    at_once: int
    devices: int = 1
    magnetization: float | None = None

    @classmethod
    def of_device(cls, model, basis, inputs, at_once: int, magnetization=None) -> "Zone":
        """Blocks whose k points the devices share evenly."""
        devices = jax.local_device_count()
        n = -(-at_once // devices) * devices
        inputs = jax.tree.map(jnp.asarray, model.inputs() if inputs is None else inputs)
        return cls(model, basis, inputs, min(n, -(-basis.nk // devices) * devices), devices, magnetization)

    @cached_property
    def blocks(self) -> tuple[np.ndarray, ...]:
        """Indices of the k points of each block."""
        return tuple(np.split(np.arange(self.basis.nk), range(self.at_once, self.basis.nk, self.at_once)))

    @cached_property
    def key(self) -> Key:
        """Static choices."""
        return key_of(self.model, self.basis)

    @cached_property
    def arrays(self) -> dict:
        """Those of the basis, with the k points of the first block."""
        first = self.basis.at_points(self.filled_up(self.blocks[0]))
        return static_arrays(first) | {"weights": self.basis.kpoints.weights}

    @cached_property
    def shared(self) -> Prepared:
        """All but the orbitals' arrays, which are those of the first block; weights are those of all k points."""
        prepared = prepare_arrays(self.inputs, self.arrays, self.key)
        if self.magnetization is None:
            return prepared
        moment = self.magnetization * jnp.array([1.0, -1.0])
        return replace(prepared, filling=0.5 * (prepared.n_electrons + moment))

    def filled_up(self, points: np.ndarray) -> np.ndarray:
        """Indices with the last one repeated: all blocks have one shape."""
        return np.pad(points, (0, self.at_once - len(points)), mode="edge")

    def part(self, points: np.ndarray):
        """The basis of a block."""
        return self.basis.at_points(self.filled_up(points))

    def orbitals(self, points: np.ndarray) -> Orbitals:
        """What acts on the orbitals of a block."""
        made = prepare_orbitals(self.inputs, arrays_of_orbitals(self.part(points)), self.key)
        if self.devices == 1:
            return made
        by_k, shared = made.split()
        return replace(shared, **place(by_k, self.devices), devices=self.devices)

    def prepared(self, points: np.ndarray) -> Prepared:
        """`shared` with the orbitals and weights of a block; k points that fill it up have none."""
        return replace(
            self.shared, orbitals=self.orbitals(points), weights=self.of(self.shared.weights[None], points)[0]
        )

    def of(self, x, points: np.ndarray):
        """The part of an array (s, k, ...) that belongs to a block, zero where it is filled up."""
        part = np.asarray(x)[:, points]
        return jnp.pad(part, [(0, self.at_once - len(points) if a == 1 else 0) for a in range(part.ndim)])

    def take(self, x, points: np.ndarray):
        """A block of an array (s, k, ...), wherever it is, filled up with its last k point: orbitals stay orthonormal."""
        return jnp.asarray(np.asarray(x[:, self.filled_up(points)]))

    def summed(self, psi, fw):
        """Sums over the orbitals of all k points, see `orbital_terms`."""
        parts = (
            _summed(self.take(psi, b), self.of(fw, b), self.orbitals(b), self.shared.band_block) for b in self.blocks
        )
        return sum(parts)

    def collect(self, parts: list) -> np.ndarray:
        """Arrays (s, k, ...) of all blocks in one."""
        return np.concatenate([np.asarray(p)[:, : len(b)] for p, b in zip(parts, self.blocks, strict=True)], axis=1)


@partial(jax.jit, static_argnames=("block",))
def _summed(psi, fw, orbitals: Orbitals, block: int):
    return orbital_terms(psi, fw, orbitals, block)[0]
