"""Dipole moment of what is surrounded by vacuum."""

import numpy as np

from dftopt.atoms.vacuum import GOOD_TAIL, heights, largest_gaps
from dftopt.energy.coulomb import sawtooth
from dftopt.errors import InputError


def dipole(result) -> np.ndarray:
    r"""Dipole moment $\sum_a Z_a R_a - \int \rho(r)\, r\, dr$ along the axes with vacuum.

    Those are the axes along which the interaction is cut or a dipole corrected, else all with at least 6 angstrom
    without atoms; positions are counted from the middle of the vacuum on. Along the others it is not defined, and the
    vector returned is normal to them. That of a charged molecule is about its centre of ionic charge.

    Args:
        result: of a plane-wave calculation.

    Returns:
        (3,) e bohr, from minus to plus; times 2.5417 in debye.

    Raises:
        InputError: there is no vacuum.
    """
    s, vacuum = result.model.structure, result.basis.vacuum
    inputs = result.inputs or result.model.inputs()
    frac = np.asarray(inputs["positions"]) @ np.linalg.inv(s.cell)
    cell = s.cell @ (np.eye(3) + np.asarray(inputs["strain"])).T
    gaps, above = largest_gaps(frac)
    open_axes = np.array(vacuum.isolated) | (gaps * heights(cell) >= 2 * GOOD_TAIL)
    if vacuum.dipole:
        open_axes |= np.arange(3) == vacuum.axis
    if not open_axes.any():
        raise InputError("the dipole moment needs vacuum, at least 6 angstrom without atoms along one cell vector.")
    rho = np.asarray(result.density()).sum(axis=0)
    rho_G, volume = np.fft.fftn(rho) / rho.size, abs(np.linalg.det(cell))
    charges = np.array([float(result.model.potentials[e].charge) for e in s.symbols])
    moment = np.zeros(3)
    for i in np.flatnonzero(open_axes):
        middle = above[i] - 0.5 * gaps[i] + 0.5
        m = np.fft.fftfreq(rho.shape[i], 1 / rho.shape[i])
        line = np.moveaxis(rho_G, i, 0)[:, 0, 0]
        electrons = volume * float(np.sum((np.conj(sawtooth(m, middle)) * line).real))
        whole = (frac[:, i] - middle + 0.5) % 1.0 - 0.5
        net = charges.sum() - result.model.n_electrons
        moment += (charges @ whole - electrons - net * (charges @ whole) / charges.sum()) * cell[i]
    fixed = cell[~open_axes]
    return moment if not len(fixed) else moment - moment @ np.linalg.pinv(fixed) @ fixed
