"""Meshes of k points and their reduction by symmetry.

k points are rows of fractional coordinates of the reciprocal cell; an operation x' = W x + t acts on them as k' = k W.
"""

from dataclasses import dataclass

import numpy as np
from ase.units import Bohr

from dftopt.atoms.checks import check_positive
from dftopt.atoms.symmetry import Symmetry, no_symmetry
from dftopt.errors import InputError

TOLERANCE = 1e-9  # of fractional coordinates and mesh steps


@dataclass(frozen=True, eq=False)
class KPoints:
    """Points that represent the Brillouin zone.

    Attributes:
        k: (n, 3) fractional coordinates, in (-1/2, 1/2] when they come from a mesh.
        weights: (n,) positive, sum 1.
        symmetry: the group over which a sum on these points has to be averaged to equal that on the full mesh.
        size: points of the full mesh along each axis; None for explicit points.
        shift: shift of the mesh in steps; None for explicit points.
        n_full: points of the full mesh.
    """

    k: np.ndarray
    weights: np.ndarray
    symmetry: Symmetry
    size: tuple[int, int, int] | None
    shift: tuple[float, float, float] | None
    n_full: int

    def __len__(self) -> int:
        return len(self.k)


def from_input(kpts, symmetry: Symmetry, shift=(0, 0, 0), weights=None, reduce=True, time_reversal=True) -> KPoints:
    """A mesh from three numbers, explicit points from rows of three.

    Args:
        kpts: (n1, n2, n3), or (n, 3) fractional points.
        symmetry: the crystal's; not used for explicit points.
        shift: of a mesh, in its steps.
        weights: of explicit points.
        reduce: see `mesh`.
        time_reversal: see `mesh`.
    """
    if np.ndim(_as_array("kpts", kpts)) == 2 or np.size(kpts) == 0:
        if np.any(_as_array("shift", shift) != 0):
            raise InputError(f"shift = {shift!r} is for a mesh, but kpts lists explicit points. Add it to the points.")
        return explicit(kpts, weights, symmetry.permutations.shape[1])
    if weights is not None:
        raise InputError(
            f"weights = {weights!r} are for explicit k points, but kpts = {kpts!r} is a mesh, which has its own. "
            "Leave weights out, or give the points as rows of three fractional coordinates."
        )
    return mesh(kpts, shift, symmetry, reduce, time_reversal)


def mesh(size, shift, symmetry: Symmetry, reduce: bool = True, time_reversal: bool = True) -> KPoints:
    """Uniform mesh k = (i + shift) / size with i = 0 ... size - 1, wrapped into (-1/2, 1/2].

    The mesh is kept as asked: where it has less symmetry than the crystal, only the operations that map it onto
    itself, or onto its time-reversed copy, are used. The point kept from each orbit is its first in mesh order (the
    last axis runs fastest), and its weight the size of the orbit over that of the mesh.

    Args:
        size: three positive integers.
        shift: three numbers, in mesh steps; (0, 0, 0) contains Gamma.
        symmetry: operations of the crystal.
        reduce: False keeps every point, and the identity as the only operation.
        time_reversal: whether k and -k are equivalent, as for any real Hamiltonian.

    Raises:
        InputError: wrong size or shift.
    """
    size, shift = check_size(size), check_shift(shift)
    n, s = np.array(size), np.array(shift)
    steps = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1).reshape(-1, 3)
    k = wrap((steps + s) / n)
    if not reduce:
        identity = no_symmetry(symmetry.permutations.shape[1])
        return KPoints(k, np.full(len(k), 1 / len(k)), identity, size, shift, len(k))
    first, kept = np.arange(len(k)), np.zeros(len(symmetry), dtype=bool)
    rotations, rotation_of = np.unique(symmetry.rotations, axis=0, return_inverse=True)
    rotation_of = rotation_of.reshape(-1)
    for number, rotation in enumerate(rotations):
        for sign in (1, -1) if time_reversal else (1,):
            image = _images(sign * rotation, steps, n, s)
            if image is not None:
                kept |= rotation_of == number
                first = np.minimum(first, image)
    points, counts = np.unique(first, return_counts=True)
    return KPoints(k[points], counts / len(k), symmetry.subset(kept), size, shift, len(k))


def unfold(points: KPoints) -> np.ndarray:
    """For every point of the full mesh the index of the equivalent one that was kept.

    Args:
        points: from `mesh`, time reversal included.

    Returns:
        (n1, n2, n3) indices; the full mesh is k = (i + shift) / size.

    Raises:
        InputError: explicit points, which are no mesh.
    """
    if points.size is None or points.shift is None:
        raise InputError(f"the k points are a list of {len(points)} explicit ones, but this needs a mesh (n1, n2, n3).")
    n, s = np.array(points.size), np.array(points.shift)
    steps = np.stack(np.meshgrid(*map(np.arange, points.size), indexing="ij"), axis=-1).reshape(-1, 3)
    first = np.arange(len(steps))
    if len(points) < len(steps):
        for rotation in np.unique(points.symmetry.rotations, axis=0):
            for sign in (1, -1):
                image = _images(sign * rotation, steps, n, s)
                first = first if image is None else np.minimum(first, image)
    kept, index = np.unique(first, return_inverse=True)
    if len(kept) != len(points):
        raise InputError(f"the mesh {points.size} has {len(kept)} stars, but {len(points)} points were kept.")
    return index.reshape(points.size)


def _images(rotation, steps, n, s) -> np.ndarray | None:
    """Index of k W for every point of the mesh, or None where the mesh is not mapped onto itself.

    In mesh steps j + s = (i + s) M with M_ab = W_ab n_b / n_a, which must be integer, as must s M - s.
    """
    scaled = rotation * n[None, :]
    if np.any(scaled % n[:, None]):
        return None
    matrix = scaled // n[:, None]
    offset = s @ matrix - s
    whole = np.round(offset)
    if np.any(np.abs(offset - whole) > TOLERANCE):
        return None
    return np.ravel_multi_index(tuple(((steps @ matrix + whole.astype(int)) % n).T), tuple(n))


def explicit(points, weights, natoms: int) -> KPoints:
    """Given points with given weights, without any symmetry.

    Args:
        points: (n, 3) fractional coordinates.
        weights: (n,) not negative, sum 1.
        natoms: number of atoms.

    Raises:
        InputError: wrong shapes, values that are not finite, weights missing, negative or not normalized.
    """
    k = _as_array("kpts", points)
    if k.size == 0:
        raise InputError("kpts is an empty list. Give at least one point, such as kpts=[[0, 0, 0]], weights=[1].")
    if k.ndim != 2 or k.shape[1] != 3:
        raise InputError(
            f"kpts has the shape {k.shape}; explicit points are rows of three fractional coordinates, (n, 3), "
            "and a mesh is three integers."
        )
    _check_finite("kpts", k)
    if weights is None:
        raise InputError(
            f"kpts lists {len(k)} explicit points but weights is missing. Give one weight per point with the sum 1; "
            f"for equal ones weights=[1/{len(k)}] * {len(k)}."
        )
    w = _as_array("weights", weights)
    if w.shape != (len(k),):
        raise InputError(f"weights has the shape {w.shape}, but kpts lists {len(k)} points. Give one weight per point.")
    _check_finite("weights", w)
    if np.any(w < 0):
        worst = int(np.argmin(w))
        raise InputError(f"weights[{worst}] = {w[worst]:g} is negative. Weights are fractions of the Brillouin zone.")
    if abs(w.sum() - 1) > 1e-8:
        raise InputError(f"the weights of the k points sum to {w.sum():.10g}, not 1. Divide them by their sum.")
    return KPoints(k, w / w.sum(), no_symmetry(natoms), None, None, len(k))


def size_from_spacing(cell, spacing: float, periodic=(True, True, True)) -> tuple[int, int, int]:
    """Size of the Gamma-centred mesh whose points are at most `spacing` apart along each reciprocal vector.

    n_i = max(1, ceil(|b_i| / spacing)), where b_i includes the factor 2 pi: a_i . b_j = 2 pi delta_ij.

    Args:
        cell: (3, 3) rows a_i, bohr.
        spacing: 1/bohr, including 2 pi.
        periodic: axes; one point is used along those that are not.
    """
    spacing = check_positive("spacing", spacing, "1/bohr")
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(np.asarray(cell, dtype=float)), axis=0)
    counts = np.maximum(1, np.ceil(lengths / spacing - TOLERANCE)).astype(int)  # 4 + 1e-16 is 4
    a, b, c = (int(count) if axis else 1 for count, axis in zip(counts, periodic, strict=True))
    return a, b, c


def size_from_density(cell, density: float, periodic=(True, True, True)) -> tuple[int, int, int]:
    """Size of the Gamma-centred mesh with `density` points per 1/angstrom, as ASE and GPAW mean it.

    n_i = ceil(|b_i| density) with 2 pi in b_i: `ase.calculators.calculator.kptdensity2monkhorstpack`, even=False.

    Args:
        cell: (3, 3) rows a_i, bohr.
        density: points per 1/angstrom, that is angstrom.
        periodic: axes; one point is used along those that are not.
    """
    density = check_positive("density", density, "angstrom")
    return size_from_spacing(cell, Bohr / density, periodic)


def wrap(k) -> np.ndarray:
    """Fractional points in (-1/2, 1/2]."""
    return k - np.ceil(k - 0.5 - TOLERANCE) + 0.0


def check_size(size) -> tuple[int, int, int]:
    """Three positive integers, or an `InputError`."""
    values = _as_array("kpts", size)
    if values.shape != (3,):
        raise InputError(
            f"kpts = {size!r} has the shape {values.shape}; a mesh is three positive integers, such as (4, 4, 4)."
        )
    _check_finite("kpts", values)
    if np.any(values != np.round(values)) or np.any(values < 1) or any(isinstance(v, bool) for v in size):
        raise InputError(
            f"kpts = {size!r} is not a mesh: it needs three positive integers, such as (4, 4, 4). "
            "A single k point is given as kpts=[[x, y, z]], weights=[1]."
        )
    a, b, c = (int(value) for value in values)
    return a, b, c


def check_shift(shift) -> tuple[float, float, float]:
    """Three finite numbers, or an `InputError`."""
    values = _as_array("shift", shift)
    if values.shape != (3,):
        raise InputError(
            f"shift = {shift!r} has the shape {values.shape}; give three mesh steps, such as (0.5, 0.5, 0.5)."
        )
    _check_finite("shift", values)
    a, b, c = (float(value) for value in values)
    return a, b, c


def _as_array(name, value) -> np.ndarray:
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{name} = {value!r} is not an array of numbers; every row needs the same length.") from None


def _check_finite(name, values) -> None:
    if not np.all(np.isfinite(values)):
        where = np.argwhere(~np.isfinite(values))[0].tolist()
        raise InputError(f"{name} has the value {values[tuple(where)]} at {where}. Give finite numbers.")
