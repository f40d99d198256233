"""Sums of levels as functions of energy: Gaussians on the levels, or linear interpolation in tetrahedra of k points.

References:
    Bloechl, Jepsen, Andersen, Phys. Rev. B 49, 16223 (1994).
"""

from itertools import permutations

import numpy as np

CHUNK = 2**22  # numbers worked on at once


def gaussians(energies, levels, weights, width: float) -> np.ndarray:
    r"""$\sum_i w_i \delta(E - \epsilon_i)$, each $\delta$ a Gaussian.

    Args:
        energies: (n,).
        levels: (m,).
        weights: (..., m).
        width: standard deviation.

    Returns:
        (..., n) per unit of energy.
    """
    weights = np.asarray(weights, float)
    out = np.zeros((*weights.shape[:-1], len(energies)))
    step = max(1, CHUNK // max(1, len(energies)))
    for at in range(0, len(levels), step):
        x = (energies - levels[at : at + step, None]) / width
        out += weights[..., at : at + step] @ np.exp(-(x**2) / 2)
    return out / (np.sqrt(2 * np.pi) * width)


def tetrahedra(energies, levels, weights, cell) -> np.ndarray:
    r"""$\frac{1}{N} \sum_k \sum_i w_{ki} \delta(E - \epsilon_{ki})$ with both interpolated linearly in six tetrahedra per cell of the mesh.

    Args:
        energies: (n,) ascending.
        levels: (n1, n2, n3, m) on the full mesh.
        weights: (..., n1, n2, n3, m).
        cell: (3, 3) rows: lattice vectors, whose reciprocal mesh is cut along its shortest diagonal.

    Returns:
        (..., n) per unit of energy.
    """
    weights = np.asarray(weights, float)
    lead, m = weights.shape[: weights.ndim - 4], levels.shape[-1]
    flat, w = levels.reshape(-1, m), weights.reshape(-1, levels[..., 0].size, m)
    out = np.zeros((len(w), len(energies)))
    for corners in _corners(levels.shape[:3], cell):
        for band in range(m):
            out += _one_band(energies, flat[corners, band], w[:, corners, band])
    return out.reshape(*lead, len(energies)) / (6 * len(flat))


def _corners(size, cell) -> np.ndarray:
    """Mesh indices (6, cells, 4) of the corners of the tetrahedra around the shortest diagonal of the mesh's cell."""
    n = np.array(size)
    mesh = np.linalg.inv(cell).T / n[:, None]
    signs = np.array([(1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1)])
    sign = signs[np.argmin(np.linalg.norm(signs @ mesh, axis=1))]
    origin = np.where(sign < 0, 1, 0)
    steps = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1).reshape(-1, 3)
    index = lambda x: np.ravel_multi_index(tuple((x % n).T), tuple(n))
    out = []
    for order in permutations(range(3)):  # walks along the edges from one end of the diagonal to the other
        walk = [origin]
        for axis in order:
            walk.append(walk[-1] + sign * (np.arange(3) == axis))
        out.append(np.stack([index(steps + corner) for corner in walk], axis=-1))
    return np.array(out)


def _one_band(energies, e, w) -> np.ndarray:
    """Sum over tetrahedra with levels e (t, 4) and weights w (p, t, 4) of their densities of states, (p, n)."""
    order = np.argsort(e, axis=1)
    e, w = np.take_along_axis(e, order, axis=1), np.take_along_axis(w, order[None], axis=2)
    narrow = e[:, 3] - e[:, 0] < 2 * np.diff(energies).max(initial=0.0)  # it could fall between two energies
    out = _points(energies, e[narrow].mean(axis=1), w[:, narrow].mean(axis=2))
    e, w = e[~narrow], w[:, ~narrow]
    first, last = np.searchsorted(energies, e[:, 0]), np.searchsorted(energies, e[:, 3])
    counts, at = last - first, 0  # each tetrahedron contributes at its own range of energies
    total = np.cumsum(counts)
    while at < len(e):
        upto = max(at + 1, int(np.searchsorted(total, (total[at - 1] if at else 0) + CHUNK // 16)))
        t = np.repeat(np.arange(at, upto), counts[at:upto])
        within = np.arange(len(t)) - np.repeat(np.cumsum(counts[at:upto]) - counts[at:upto], counts[at:upto])
        where = first[t] + within
        parts = _corner_weights(energies[where], e[t])
        for p in range(len(w)):
            out[p] += np.bincount(where, np.sum(parts * w[p, t], axis=1), len(energies))
        at = upto
    return out


def _points(energies, levels, weights) -> np.ndarray:
    """Delta functions (m,) with weights (p, m) shared between the two nearest energies, their integral kept."""
    out = np.zeros((len(weights), len(energies)))
    inside = (levels >= energies[0]) & (levels < energies[-1])
    if len(energies) < 2 or not inside.any():
        return out
    levels, weights = levels[inside], weights[:, inside]
    i = np.searchsorted(energies, levels, side="right") - 1
    upper = (levels - energies[i]) / (energies[i + 1] - energies[i])
    steps = np.diff(energies)
    shares = 0.5 * (np.append(steps, 0) + np.append(0, steps))  # of each energy in the trapezoidal rule
    for p, row in enumerate(weights):
        out[p] = np.bincount(i, row * (1 - upper), len(energies)) + np.bincount(i + 1, row * upper, len(energies))
    return out / shares


def _corner_weights(x, e) -> np.ndarray:
    """What each corner (t, 4), in ascending order of its level, contributes to delta(x - e) in its tetrahedron.

    The surface e(k) = x is a triangle, or a quadrilateral that two triangles make up; each has its corners on edges of
    the tetrahedron, and over it a linear function averages to the mean of its corners. The area over |grad e| is that of
    the projection along one edge, over the difference of energies along that edge.
    """
    e1, e2, e3, e4 = e.T
    up = lambda a, b: np.divide(x - a, b - a, out=np.zeros_like(x), where=b > a)  # where x is on the way from a to b
    a21, a31, a41, a32, a42, a43 = up(e1, e2), up(e1, e3), up(e1, e4), up(e2, e3), up(e2, e4), up(e3, e4)
    over = lambda area, where: np.where(where, np.divide(area, e4 - e1, out=np.zeros_like(x), where=e4 > e1), 0.0)
    zero = np.zeros_like(x)
    low, high = x < e2, x >= e3
    middle = ~low & ~high
    triangles = (
        (over(a21 * a31, low), (3 - a21 - a31 - a41, a21, a31, a41)),
        (over((1 - a42) * (1 - a43), high), (1 - a41, 1 - a42, 1 - a43, a41 + a42 + a43)),
        (over(a31 * (1 - a42), middle), (2 - a31 - a41, 1 - a42, a31, a41 + a42)),
        (
            over((1 - a42) * (a32 - a31) + a31 * (1 - a32), middle),
            (1 - a31, 2 - a42 - a32, a31 + a32, a42 + zero),
        ),
    )
    return sum(area[:, None] * np.stack(corners, axis=1) for area, corners in triangles)
