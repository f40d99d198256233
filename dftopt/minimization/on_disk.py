"""Arrays of all k points on disk, of which a block is read at a time."""

import shutil
import tempfile

import numpy as np

from dftopt.errors import InputError


class OnDisk:
    """Named arrays (s, k, ...) in files that vanish with them; the system keeps of them in memory what fits.

    Raises:
        InputError: the disk has no room, on making an array.
    """

    def __init__(self):
        self._arrays: dict[str, np.ndarray] = {}

    def make(self, name: str, shape: tuple[int, ...], dtype) -> np.ndarray:
        """An array of zeros, in place of any of that name."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
        if size > 0.95 * free:
            raise InputError(
                f"kpoints_at_once: {folder} has {free / 2**30:.3g} GiB left, and the orbitals of all k points need {size / 2**30:.3g} "
                "GiB several times. Set TMPDIR to a larger disk, or take fewer k points."
            )
        with tempfile.TemporaryFile(prefix="dftopt-") as file:  # the mapping outlives the name
            self._arrays[name] = np.memmap(file, dtype, "w+", shape=shape)
        return self._arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def __getitem__(self, name: str) -> np.ndarray:
        """The whole array, not read yet."""
        return self._arrays[name]

    def write(self, name: str, points: np.ndarray, values) -> None:
        """Put values (s, k, ...) of some k points in; those beyond `points` are left out."""
        self._arrays[name][:, points] = np.asarray(values)[:, : len(points)]

    def swap(self, one: str, other: str) -> None:
        """Exchange the names of two arrays."""
        self._arrays[one], self._arrays[other] = self._arrays[other], self._arrays[one]
