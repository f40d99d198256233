"""FFT grids and integer reciprocal vectors (static, NumPy)."""

import itertools

import numpy as np

from dftopt.atoms.structure import reciprocal


def next_smooth(n: int) -> int:
    """The smallest number >= n whose only prime factors are 2, 3 and 5."""
    while True:
        m = n
        for p in (2, 3, 5):
            while m % p == 0:
                m //= p
        if m == 1:
            return n
        n += 1


def largest_indices(cell: np.ndarray, radius: float) -> np.ndarray:
    """Largest |n_i| of integer vectors n with |n B| <= radius: floor(radius |a_i| / 2 pi), from n_i = G . a_i / 2 pi."""
    return np.floor(radius * np.linalg.norm(cell, axis=1) / (2 * np.pi) + 1e-9).astype(int)


def sphere(cell: np.ndarray, radius: float, k=(0.0, 0.0, 0.0)) -> np.ndarray:
    """All integer G (n, 3) with |k + G| <= radius (bohr^-1), in lexicographic order; k fractional."""
    k = np.asarray(k, float)
    n = largest_indices(cell, radius) + 1 + np.ceil(np.abs(k)).astype(int)
    b = reciprocal(cell)
    axes = [np.arange(-m, m + 1) for m in n]
    yz = (axes[1] + k[1])[:, None, None] * b[1] + (axes[2] + k[2])[None, :, None] * b[2]
    found = []
    for i in axes[0]:  # plane by plane: memory stays that of one plane
        q = (i + k[0]) * b[0] + yz
        j, l = np.nonzero(np.einsum("...i,...i", q, q) <= radius**2 * (1 + 1e-12))
        found.append(np.stack([np.full(len(j), i), axes[1][j], axes[2][l]], axis=1))
    return np.concatenate(found)


def half_grid(fft: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Integer indices along each axis of the half grid of a real transform; negative ones wrapped."""
    n1, n2, n3 = fft
    return (
        np.fft.fftfreq(n1, 1 / n1).round().astype(int),
        np.fft.fftfreq(n2, 1 / n2).round().astype(int),
        np.arange(n3 // 2 + 1),
    )


def lattice_points(vectors: np.ndarray, radius: float) -> np.ndarray:
    """Integer combinations (n, 3) of the rows of `vectors` with length <= radius."""
    heights = 1 / np.linalg.norm(np.linalg.inv(vectors), axis=0)  # distance between planes of the lattice
    n = np.ceil(radius / heights).astype(int)
    points = np.array(list(itertools.product(*(range(-m, m + 1) for m in n))))
    return points[np.linalg.norm(points @ vectors, axis=1) <= radius]
