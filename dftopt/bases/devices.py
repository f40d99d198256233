"""k points on several devices: each takes an equal share of them, and only sums over k meet.

A device is a GPU, or a core of the CPU where JAX was told to see several (`dftopt.use_cores`). Where the k points do not
divide evenly, the last one is repeated with weight zero. Under `jax.distributed` the devices of all processes share them:
each process runs the same script, exchanges sums over k, and ends with the whole result.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.multihost_utils import process_allgather
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "k"


def shares(nk: int) -> int:
    """Devices to spread `nk` k points over: of all processes, where there are several, for each has to take part."""
    return jax.device_count() if jax.process_count() > 1 else max(1, min(jax.device_count(), nk))


def fill_up(tree, devices: int, axis: int = 1):
    """Arrays with the last k point repeated until the k points divide evenly."""

    def fill(x):
        pad = -x.shape[axis] % devices
        return jnp.pad(x, [(0, pad if a == axis else 0) for a in range(x.ndim)], mode="edge") if pad else x

    return jax.tree.map(fill, tree)


def place(tree, devices: int):
    """Arrays that lead with k, each part where it is used."""
    return jax.device_put(tree, NamedSharding(mesh(devices), PartitionSpec(AXIS)))


def everywhere(x, devices: int):
    """An array of a compiled program that every device shall hold whole: loops over it then need no exchange."""
    return x if devices == 1 else jax.lax.with_sharding_constraint(x, NamedSharding(mesh(devices), PartitionSpec()))


@dataclass(frozen=True)
class SharedK:
    """Keeps the arrays of a compiled program that have axes (s, k) where their k points are, as zeros would not know."""

    devices: int
    ns: int
    nk: int

    def __call__(self, tree):
        """The same tree."""
        return tree if self.devices == 1 else jax.tree.map(self._one, tree)

    def _one(self, x):
        found = [i for i in range(x.ndim - 1) if x.shape[i : i + 2] == (self.ns, self.nk)]
        if not found:
            return x
        spec = PartitionSpec(*[None] * (found[0] + 1), AXIS)
        return jax.lax.with_sharding_constraint(x, NamedSharding(mesh(self.devices), spec))


def gather(tree, nk: int, devices: int):
    """Arrays (s, k, ...) of the first `nk` k points, bound to no device so that they go with any others."""
    if devices == 1:
        return tree
    return jax.tree.map(lambda x: jnp.asarray(host(x)[:, :nk]), tree)


def host(x) -> np.ndarray:
    """An array whole, in the memory of each process."""
    if not isinstance(x, jax.Array) or x.is_fully_addressable or x.is_fully_replicated:
        return np.asarray(x)
    return np.asarray(process_allgather(x, tiled=True))


def over_k(function, devices: int, by_k, by_spin_and_k, everywhere, *, sums: bool = False):
    """Call `function(by_k, by_spin_and_k, everywhere)` on each device with its share of the k points.

    Args:
        function: returns arrays (s, k, ...); with `sums` a pair, of which the first is added up over the devices.
        devices: that share the work evenly; 1 calls the function as it is.
        by_k: arrays (k, ...).
        by_spin_and_k: arrays (s, k, ...).
        everywhere: arrays that every device sees whole.
        sums: see `function`.
    """
    if devices == 1:
        return function(by_k, by_spin_and_k, everywhere)

    def on_one(*arguments):
        out = function(*arguments)
        return (out[0][None], out[1]) if sums else out

    k, s_k = PartitionSpec(AXIS), PartitionSpec(None, AXIS)
    split = jax.shard_map(
        on_one,
        mesh=mesh(devices),
        in_specs=(k, s_k, PartitionSpec()),
        out_specs=(k, s_k) if sums else s_k,
        check_vma=False,
    )
    out = split(by_k, by_spin_and_k, everywhere)
    return (jnp.sum(out[0], axis=0), out[1]) if sums else out


def mesh(devices: int, local: bool = False) -> Mesh:
    """The first so many devices in a row, of all processes or of this one."""
    return Mesh(np.array((jax.local_devices() if local else jax.devices())[:devices]), (AXIS,))
