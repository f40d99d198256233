"""Planes cut through a field on the grid of a cell."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from dftopt.errors import InputError

NEAR = 0.25  # bohr; an atom this close to the plane lies in it
LEAST, MOST = 13.0, 20.0  # bohr; side of the default window
POINTS = 121


@dataclass(frozen=True, eq=False)
class Slice:
    """A field on a square window of a plane.

    Attributes:
        x, y: (n,) coordinates in the plane from its center, bohr.
        values: (n, n), first index along x.
        atoms: (symbol, x, y) of the atoms in the plane and window.
        origin: center, cartesian, bohr.
        axes: (2, 3) unit vectors along x and y.
    """

    x: np.ndarray
    y: np.ndarray
    values: np.ndarray
    atoms: tuple[tuple[str, float, float], ...]
    origin: np.ndarray
    axes: np.ndarray


def cut(structure, field, atoms=None, size: float | None = None, npoints: int = POINTS) -> Slice:
    """A field on the plane through three atoms, by cubic splines on the field's grid made twice as fine.

    Args:
        structure: a `dftopt.atoms.structure.Structure`.
        field: (n1, n2, n3) on the grid of its cell.
        atoms: three indices of atoms; default the first atom and two of its neighbours, images included.
        size: side of the window, bohr; default the longest cell vector, between 13 and 20.
        npoints: along each side.

    Raises:
        InputError: wrong indices, atoms on one line, or a wrong size.
    """
    field = np.asarray(field, float)
    if field.ndim != 3:
        raise InputError(f"the field has shape {field.shape}: give (n1, n2, n3), one spin at a time.")
    if size is not None and not (np.isfinite(size) and size > 0):
        raise InputError(f"size = {size!r} must be a positive length, the side of the window in bohr.")
    first, v, w = _three_points(structure, atoms)
    span = np.linalg.norm(np.cross(v, w))
    if span < 1e-6 * np.linalg.norm(v) * np.linalg.norm(w) or span == 0:
        raise InputError(
            f"the atoms {tuple(atoms) if atoms is not None else ''} lie on one line: no plane is theirs alone."
        )
    across = v if abs(v @ w) < 0.05 * np.linalg.norm(v) * np.linalg.norm(w) else w - v
    ex = across / np.linalg.norm(across)
    ey = (v + w) - (v + w) @ ex * ex if abs((v + w) @ ex) < 0.999 * np.linalg.norm(v + w) else w - w @ ex * ex
    axes = np.stack([ex, ey / np.linalg.norm(ey)])
    origin = first + (v + w) / 3
    longest = float(np.linalg.norm(structure.cell, axis=1).max())
    side = min(MOST, max(LEAST, longest)) if size is None else float(size)
    line = np.linspace(-side / 2, side / 2, npoints)
    points = origin + line[:, None, None] * axes[0] + line[None, :, None] * axes[1]
    fine = _twice_as_fine(field)
    at = points @ np.linalg.inv(structure.cell) * fine.shape
    values = map_coordinates(fine, np.moveaxis(at, -1, 0), order=3, mode="grid-wrap")
    return Slice(line, line, values, _atoms_in(structure, origin, axes, side), origin, axes)


def _three_points(structure, atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A point and two vectors from it."""
    positions = structure.frac @ structure.cell
    if atoms is not None:
        given = list(atoms)
        if len(given) != 3 or any(not isinstance(i, (int, np.integer)) or not 0 <= i < len(positions) for i in given):
            raise InputError(f"atoms = {atoms!r} must be three indices from 0 to {len(positions) - 1}.")
        a, b, c = positions[given]
        return a, b - a, c - a
    images = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) @ structure.cell
    vectors = (positions[None] + images[:, None]).reshape(-1, 3) - positions[0]
    lengths = np.linalg.norm(vectors, axis=1)
    order = np.argsort(np.round(lengths, 6), kind="stable")[1:60]
    v = vectors[order[0]]
    unit = vectors[order] / lengths[order][:, None]
    sine = np.linalg.norm(np.cross(unit, v / np.linalg.norm(v)), axis=1)
    shell = lengths[order] < 1.05 * lengths[order[0]]
    if np.any(shell & (sine > 0.5)):  # among the nearest, the one nearest to a right angle
        return positions[0], v, vectors[order[np.argmax(np.where(shell, np.round(sine, 6), -1))]]
    return positions[0], v, vectors[order[np.argmax(sine > 0.5)]]


def _twice_as_fine(field) -> np.ndarray:
    """Trigonometric interpolation; the wave at the end of an even axis is dropped, as no density has it."""
    n = np.array(field.shape)
    coefficients = np.fft.fftn(field)
    fine = np.zeros(2 * n, complex)
    kept = [np.fft.fftfreq(m, 1 / m).astype(int) for m in n]
    kept = [k[2 * np.abs(k) < m] for k, m in zip(kept, n, strict=True)]
    fine[np.ix_(*kept)] = coefficients[np.ix_(*kept)]
    return np.fft.ifftn(fine).real * 8


def _atoms_in(structure, origin, axes, side: float) -> tuple[tuple[str, float, float], ...]:
    """Atoms and images in the plane and the window."""
    heights = 1 / np.linalg.norm(np.linalg.inv(structure.cell), axis=0)
    center = origin @ np.linalg.inv(structure.cell)
    reach = np.ceil(side / heights).astype(int) + 1
    shifts = np.stack(np.meshgrid(*[np.arange(-m, m + 1) for m in reach], indexing="ij"), axis=-1).reshape(-1, 3)
    found = []
    for symbol, f in zip(structure.symbols, structure.frac, strict=True):
        d = (f - np.round(f - center) + shifts) @ structure.cell - origin
        xy = d @ axes.T
        near = np.linalg.norm(d - xy @ axes, axis=1) < NEAR
        inside = near & np.all(np.abs(xy) <= side / 2 * (1 + 1e-9), axis=1)
        found += [(symbol, float(x), float(y)) for x, y in xy[inside]]
    return tuple(found)
