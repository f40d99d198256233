"""Large arrays of PySCF and NumPy handed over to JAX without a copy."""

import jax
import numpy as np

ALIGNMENT = 64  # bytes; XLA's CPU takes arrays as they are where they begin at a multiple of this


def empty(shape: tuple[int, ...]) -> np.ndarray:
    """An array of double precision for `on_device`, not yet filled."""
    size = int(np.prod(shape))
    room = np.empty(size + ALIGNMENT // 8)
    first = (-room.ctypes.data % ALIGNMENT) // 8
    return room[first : first + size].reshape(shape)


def on_device(x: np.ndarray) -> jax.Array:
    """The array for JAX; it must not be written any more."""
    return jax.device_put(x, may_alias=True)
