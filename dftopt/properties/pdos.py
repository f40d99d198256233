"""Densities of states and bands resolved by atom and angular momentum."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase.dft.kpoints import BandPath
from ase.spectrum.band_structure import BandStructure

from dftopt.properties.bands import follow, reference_level, states_at
from dftopt.properties.dos import DOS, check, finer_mesh, sum_of_levels
from dftopt.properties.projections import check_groups, project, projections
from dftopt.units import HARTREE_IN_EV


@dataclass(frozen=True, eq=False)
class FatBands:
    """Bands along a path with the weights of groups of atomic orbitals.

    Attributes:
        bands: ASE's `BandStructure`, eV.
        weights: (spin, k, band) in [0, 1] by name of the group.
        spilled: (spin, k, band) what no orbital has.
    """

    bands: BandStructure
    weights: Mapping[str, np.ndarray]
    spilled: np.ndarray


def pdos(
    result,
    by: str = "element l",
    energies=None,
    width: float | None = None,
    npoints: int = 800,
    kpts=None,
    nbands: int | None = None,
    method: str = "gaussian",
) -> DOS:
    r"""Density of states with its `parts`, $D_\mu(E) = g \sum_k w_k \sum_i |\langle\phi_\mu|\psi_{ki}\rangle|^2 \delta(E - \epsilon_{ki})$.

    The parts add up to the total but for what is spilled, most of it far above the Fermi level.

    Args:
        result: a converged result.
        by: what tells parts apart, see `Projections.grouped`.
        energies: as in `dos`, like all that follow.
        width: of the Gaussians, hartree.
        npoints: number of default energies.
        kpts: a finer mesh.
        nbands: bands on it.
        method: "gaussian" or "tetrahedron".

    Raises:
        NotConverged: the result did not converge.
        InputError: see `dos` and `Projections.grouped`.
    """
    result.require_converged("The density of states")
    check(method, width)
    check_groups(by)
    if kpts is None:
        points, p = result.basis.kpoints, projections(result)
    else:
        points = finer_mesh(result, kpts)
        p = project(result, states_at(result, points.k, nbands), points)
    return sum_of_levels(result, points, p.eigenvalues, p.grouped(by), energies, width, npoints, method)


def fat_bands(
    result, path: str | BandPath = "LGXWKG", npoints: int = 60, nbands: int | None = None, by: str = "element l"
) -> FatBands:
    """Bands along a path with the weights of atomic orbitals.

    Args:
        result: a converged result.
        path: special points by name or an ASE `BandPath`, as in `bands`.
        npoints: points along the path.
        nbands: bands; default four above the filled ones.
        by: what tells weights apart, see `Projections.grouped`.

    Raises:
        NotConverged: the result did not converge.
        InputError: see `bands` and `Projections.grouped`.
    """
    check_groups(by)
    followed = follow(result, path, npoints)
    p = project(result, states_at(result, followed.kpts, nbands))
    structure = BandStructure(
        followed, p.eigenvalues * HARTREE_IN_EV, reference=reference_level(result) * HARTREE_IN_EV
    )
    return FatBands(structure, p.grouped(by), p.spilled)
