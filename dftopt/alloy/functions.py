"""Point functions of species: an orthonormal basis on a site, and energies of clusters by species."""

import numpy as np

from dftopt.alloy.clusters import Orbit


def point_functions(count: int) -> np.ndarray:
    r"""(count - 1, count) functions of the species with $\frac1K\sum_s \phi_f(s) \phi_g(s) = \delta_{fg}$ and mean zero.

    The discrete Legendre polynomials; (-1, +1) for two species.

    References:
        Sanchez, Ducastelle, Gratias, Physica A 128, 334 (1984).
    """
    x = np.vander(np.arange(count) - (count - 1) / 2, increasing=True)
    q = np.linalg.qr(x)[0]
    return (q * np.sign(q[-1]) * np.sqrt(count)).T[1:]


def cluster_energies(orbit: Orbit, coefficients: np.ndarray, phi: np.ndarray, sublattices: int) -> np.ndarray:
    """Energy (K,) * k of one cluster by the species of its sites, eV; coefficients: of its decorations, eV per site."""
    functions, species = phi.shape
    tensor = np.zeros((functions,) * orbit.order)
    for coefficient, alike in zip(coefficients, orbit.decorations(functions), strict=True):
        for given in alike:
            tensor[given] += coefficient / len(alike)
    for _ in range(orbit.order):
        tensor = np.tensordot(tensor, phi, (0, 0))  # the first axis becomes one of species and goes last
    return tensor * sublattices / len(orbit.instances)
