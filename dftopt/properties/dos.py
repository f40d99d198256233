"""Density of states."""

from dataclasses import dataclass

import numpy as np

from dftopt.atoms import checks, kpoints
from dftopt.properties.bands import eigenvalues_at, reference_level


@dataclass(frozen=True, eq=False)
class DOS:
    """Density of states.

    Attributes:
        energies: (n,) hartree.
        values: (spin, n) states per hartree and cell (two per level without spin polarization).
        reference: Fermi level or top of the valence band, hartree.
        width: of the Gaussians, hartree.
    """

    energies: np.ndarray
    values: np.ndarray
    reference: float
    width: float

    def integrated(self) -> np.ndarray:
        """Number of states below each energy, (spin, n), by the trapezoidal rule."""
        steps = 0.5 * (self.values[:, 1:] + self.values[:, :-1]) * np.diff(self.energies)
        return np.concatenate([np.zeros((len(self.values), 1)), np.cumsum(steps, axis=1)], axis=1)


def dos(
    result, energies=None, width: float | None = None, npoints: int = 800, kpts=None, nbands: int | None = None
) -> DOS:
    r"""Density of states $D(E) = g \sum_k w_k \sum_i \delta(E - \epsilon_{ki})$, each level a Gaussian.

    Args:
        result: a converged result.
        energies: where to evaluate, hartree; default the range of the levels.
        width: standard deviation of the Gaussians, hartree; default 0.006 (0.16 eV).
        npoints: number of default energies.
        kpts: a finer Gamma-centred mesh whose levels are computed in the result's potential; default the result's own.
        nbands: bands on that mesh.

    Raises:
        NotConverged: the result did not converge.
        InputError: a width that is not positive, a bad mesh.
    """
    result.require_converged("The density of states")
    width = checks.check_positive("width", 0.006 if width is None else width, "hartree", "0.006 is typical.")
    if kpts is None:
        e, w = result.eigenvalues, result.weights
    else:
        fine = kpoints.mesh(kpts, (0, 0, 0), result.basis.crystal_symmetry)
        e, w = eigenvalues_at(result, fine.k, nbands), fine.weights
    if energies is None:
        energies = np.linspace(e.min() - 6 * width, e.max() + 6 * width, npoints)
    energies = np.asarray(energies, float)
    x = (energies[:, None] - e.reshape(len(e), 1, -1)) / width
    each = np.repeat(w, e.shape[2]) * (2 / len(e))
    values = np.exp(-(x**2) / 2) @ each / (np.sqrt(2 * np.pi) * width)
    return DOS(energies, values, reference_level(result), width)
