"""Ground states: the lower convex hull of formation energies over composition."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from dftopt.errors import InputError


@dataclass(frozen=True, eq=False)
class Hull:
    """Lower convex hull.

    Args:
        formation: (N,) energies relative to the pure elements, eV per atom.
        above: (N,) distance above the hull, eV per atom; 0 for ground states.
        stable: indices of the points on it.
        pure: (K,) energies of the pure elements, eV per atom.
        planes: (facets, K) slopes and offset: the hull is their largest value over (c_1, ..., c_{K-1}, 1).
    """

    formation: np.ndarray
    above: np.ndarray
    stable: np.ndarray
    pure: np.ndarray
    planes: np.ndarray

    def height(self, composition) -> np.ndarray:
        """Formation energy (...) of the hull at compositions (..., K), eV per atom."""
        c = np.asarray(composition, float)
        return np.max(np.append(c[..., 1:], np.ones((*c.shape[:-1], 1)), -1) @ self.planes.T, -1)


def hull(composition, energy, pure=None) -> Hull:
    """Ground-state hull of structures.

    Args:
        composition: (N, K) fractions of the K species.
        energy: (N,) eV per atom.
        pure: (K,) energies of the pure elements; default: the lowest among the structures.

    Raises:
        InputError: shapes that do not fit, energies that are not finite, or a pure element without energy.
    """
    c, e = np.asarray(composition, float), np.asarray(energy, float)
    if c.ndim != 2 or e.shape != c.shape[:1] or not len(c) or c.shape[1] < 2:
        raise InputError(f"composition {c.shape} and energy {e.shape} must be (structures, species) and (structures,).")
    if not np.isfinite(e).all() or abs(c.sum(1) - 1).max() > 1e-9 or c.min() < 0:
        raise InputError("Energies must be finite, and the fractions of each composition must add up to 1.")
    K = c.shape[1]
    if pure is None:
        corner = [e[c[:, i] > 1 - 1e-9] for i in range(K)]
        for i, values in enumerate(corner):
            if not len(values):
                raise InputError(f"No structure is pure in species {i}: give energies of the pure elements (pure=).")
        pure = np.array([values.min() for values in corner])
    pure = np.asarray(pure, float)
    formation = e - c @ pure
    points = np.vstack([np.eye(K)[:, 1:], c[:, 1:]])
    heights = np.r_[np.zeros(K), np.minimum(formation, 0)]  # above the line between the elements nothing is stable
    scale = max(-heights.min(), 1e-6)
    lid = np.r_[np.full(K - 1, 1 / K), 1.0]
    found = ConvexHull(np.vstack([np.column_stack([points, heights / scale]), lid]))
    lower = found.equations[found.equations[:, -2] < -1e-9]
    planes = -scale * np.delete(lower, -2, 1) / lower[:, -2:-1]
    height = np.max(np.column_stack([c[:, 1:], np.ones(len(c))]) @ planes.T, 1)
    above = np.maximum(formation - height, 0.0)
    return Hull(formation, above, np.flatnonzero(above < 1e-9), pure, planes)
