"""Density of states."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from dftopt.atoms import checks, kpoints
from dftopt.errors import InputError
from dftopt.properties import broadening
from dftopt.properties.bands import eigenvalues_at, reference_level

METHODS = ("gaussian", "tetrahedron")


@dataclass(frozen=True, eq=False)
class DOS:
    """Density of states.

    Attributes:
        energies: (n,) hartree.
        values: (spin, n) states per hartree and cell (two per level without spin polarization).
        reference: Fermi level or top of the valence band, hartree.
        width: of the Gaussians, hartree; 0 for tetrahedra.
        parts: (spin, n) by name, what groups of atomic orbitals contribute; see `pdos`.
    """

    energies: np.ndarray
    values: np.ndarray
    reference: float
    width: float
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)

    def integrated(self) -> np.ndarray:
        """Number of states below each energy, (spin, n), by the trapezoidal rule."""
        steps = 0.5 * (self.values[:, 1:] + self.values[:, :-1]) * np.diff(self.energies)
        return np.concatenate([np.zeros((len(self.values), 1)), np.cumsum(steps, axis=1)], axis=1)


def dos(
    result,
    energies=None,
    width: float | None = None,
    npoints: int = 800,
    kpts=None,
    nbands: int | None = None,
    method: str = "gaussian",
) -> DOS:
    r"""Density of states $D(E) = g \sum_k w_k \sum_i \delta(E - \epsilon_{ki})$.

    Args:
        result: a converged result.
        energies: where to evaluate, hartree, ascending; default the range of the levels.
        width: standard deviation of the Gaussians, hartree; default 0.006 (0.16 eV).
        npoints: number of default energies.
        kpts: a finer Gamma-centred mesh whose levels are computed in the result's potential; default the result's own.
        nbands: bands on that mesh.
        method: "gaussian", each level a Gaussian, or "tetrahedron", levels interpolated between the points of the mesh.

    Raises:
        NotConverged: the result did not converge.
        InputError: a width that is not positive, a bad mesh, another method.
    """
    result.require_converged("The density of states")
    check(method, width)
    if kpts is None:
        points, e = result.basis.kpoints, result.eigenvalues
    else:
        points = finer_mesh(result, kpts)
        e = eigenvalues_at(result, points.k, nbands)
    return sum_of_levels(result, points, e, {}, energies, width, npoints, method)


def check(method: str, width: float | None) -> None:
    """Wrong options, before levels are computed; see `dos`."""
    if method not in METHODS:
        raise InputError(f"method = {method!r} must be one of {', '.join(METHODS)}.")
    if width is not None:
        checks.check_positive("width", width, "hartree", "0.006 is typical.")
        if method == "tetrahedron":
            raise InputError(f"width = {width!r} is for method = 'gaussian'; tetrahedra have none. Leave it out.")


def finer_mesh(result, kpts) -> kpoints.KPoints:
    """A Gamma-centred mesh reduced by the crystal's symmetry."""
    return kpoints.mesh(kpts, (0, 0, 0), result.basis.crystal_symmetry)


def sum_of_levels(result, points, e, parts: Mapping, energies, width, npoints: int, method: str) -> DOS:
    """Density of states of levels e (spin, k, band) on a mesh, and of parts of them by name (same shape); see `dos`."""
    width = 0.006 if width is None and method == "gaussian" else float(width or 0.0)
    margin = 6 * width if width else 0.02 * (e.max() - e.min())
    if energies is None:
        energies = np.linspace(e.min() - margin, e.max() + margin, npoints)
    energies = np.asarray(energies, float)
    weights = np.stack([np.ones(e.shape), *parts.values()])
    per_level = 2 / len(e)
    values = np.zeros((len(weights), len(e), len(energies)))
    index = kpoints.unfold(points) if method == "tetrahedron" else None
    if index is not None and index.size == 1:
        raise InputError("method = 'tetrahedron' interpolates between k points, and there is one. Give kpts a mesh.")
    for s, levels in enumerate(e):
        if index is not None:
            cell = result.model.structure.cell
            values[:, s] = broadening.tetrahedra(energies, levels[index], weights[:, s][:, index], cell)
        else:
            flat = (weights[:, s] * points.weights[:, None]).reshape(len(weights), -1)
            values[:, s] = broadening.gaussians(energies, levels.reshape(-1), flat, width)
    total, *rest = values * per_level
    return DOS(energies, total, reference_level(result), width, dict(zip(parts, rest, strict=True)))
