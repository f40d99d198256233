"""Orbitals between their plane-wave sphere and the real-space grid: the one place that knows how.

The coefficients of an orbital fill a sphere; a box just large enough for the sphere is filled by one gather, and each
axis is then transformed by a product with a (box, grid) matrix of plane waves, so that nothing outside the box is ever
touched. For grids up to about 100 points per axis this costs what a pruned FFT costs on a CPU and less on a GPU.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int


def plane_waves_1d(lowest: int, count: int, n: int) -> np.ndarray:
    """Matrix exp(2 pi i g j / n) for g = lowest ... lowest + count - 1 (rows) and grid points j (columns)."""
    return np.exp(2j * np.pi * (np.outer(lowest + np.arange(count), np.arange(n)) % n) / n)


def extent(spheres: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest integer G per axis over all spheres."""
    return np.min([s.min(axis=0) for s in spheres], axis=0), np.max([s.max(axis=0) for s in spheres], axis=0)


def box_maps(spheres: list[np.ndarray], fft: tuple[int, int, int], npw: int, box=None):
    """Static maps of all k points' spheres into one common box.

    Args:
        spheres: integer G of each k point, (n_k, 3).
        fft: grid points per axis.
        npw: padded number of plane waves.
        box: lowest and highest integer G of the box; default the smallest that holds them.

    Returns:
        `to_box` (k, box) index into the padded sphere of each box point, npw where the sphere has none; the three
        plane-wave matrices (box_i, fft_i); the lowest index of the box per axis.
    """
    lowest, highest = extent(spheres) if box is None else box
    shape = highest - lowest + 1
    to_box = np.full((len(spheres), int(np.prod(shape))), npw, np.int32)
    for row, sphere in zip(to_box, spheres, strict=True):
        row[np.ravel_multi_index((sphere - lowest).T, shape)] = np.arange(len(sphere))
    waves = tuple(plane_waves_1d(int(lowest[i]), int(shape[i]), fft[i]) for i in range(3))
    return to_box, waves, lowest


def to_grid(
    psi: Complex[Array, "bands npw"],
    to_box: Int[Array, " box"],
    waves: tuple[Complex[Array, "box n"], ...],
) -> Complex[Array, "bands n1 n2 n3"]:
    r"""Orbitals on the grid, $\sum_G c_G e^{iGr}$ (without the Bloch phase and the volume factor)."""
    wx, wy, wz = waves
    box = jnp.take(psi, to_box, axis=1, mode="fill", fill_value=0)
    box = box.reshape(psi.shape[0], wx.shape[0], wy.shape[0], wz.shape[0])
    box = jnp.einsum("bxyz,zZ->bxyZ", box, wz)
    box = jnp.einsum("bxyZ,yY->bxYZ", box, wy)
    return jnp.einsum("bxYZ,xX->bXYZ", box, wx)


def over_bands(function, psi: Complex[Array, "bands npw"], block: int):
    """Apply `function` to blocks of bands one after another and concatenate along the bands."""
    nb = psi.shape[0]
    if nb <= block:
        return function(psi)
    pad = -nb % block
    blocks = jnp.pad(psi, ((0, pad), (0, 0))).reshape(-1, block, psi.shape[1])
    out = jax.lax.map(function, blocks)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:nb], out)


def density_of_bands(
    psi: Complex[Array, "bands npw"], f: Float[Array, " bands"], to_box, waves, block: int
) -> Float[Array, "n1 n2 n3"]:
    r"""$\sum_b f_b |\psi_b(r)|^2$ on the grid, accumulated block by block: psi(r) is never stored."""

    def one(rho, psi_and_f):
        p = to_grid(psi_and_f[0], to_box, waves)
        return rho + jnp.einsum("b,bxyz->xyz", psi_and_f[1], p.real**2 + p.imag**2), None

    nb = psi.shape[0]
    grid = jnp.zeros(tuple(w.shape[1] for w in waves))
    if nb <= block:
        return one(grid, (psi, f))[0]
    pad = -nb % block
    blocks = jnp.pad(psi, ((0, pad), (0, 0))).reshape(-1, block, psi.shape[1])
    return jax.lax.scan(jax.checkpoint(one), grid, (blocks, jnp.pad(f, (0, pad)).reshape(-1, block)))[0]
