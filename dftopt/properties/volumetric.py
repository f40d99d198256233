"""Fields on the real-space grid: densities, orbitals, potentials.

Grid point (i, j, l) lies at the fractional coordinates (i / n1, j / n2, l / n3).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.bases.transforms import box_maps, to_grid
from dftopt.energy.coulomb import dipole_energy
from dftopt.energy.hartree import hartree
from dftopt.energy.local import local
from dftopt.energy.prepared import prepare
from dftopt.errors import InputError
from dftopt.precision import one_blas_thread

DENSITIES = ("total", "spin", "up", "down")
POTENTIALS = ("kohn-sham", "electrostatic", "local", "hartree", "xc")


def density(result, which: str = "total") -> np.ndarray:
    """Electron density (n1, n2, n3), electrons per bohr^3.

    Args:
        result: a converged result.
        which: "total", "spin" (up minus down), "up" or "down".

    Raises:
        NotConverged: the result did not converge.
        InputError: an unknown name.
    """
    if which not in DENSITIES:
        raise InputError(f"density {which!r} is unknown: choose one of {', '.join(DENSITIES)}.")
    result.require_converged("The density")
    rho = result.density()
    if len(rho) == 1:
        rho = np.concatenate([rho, rho]) / 2
    up, down = rho
    return {"total": up + down, "spin": up - down, "up": up, "down": down}[which]


@one_blas_thread
def orbital(result, band: int, k: int = 0, spin: int = 0) -> np.ndarray:
    r"""Orbital $\psi_{ki}(r) = V^{-1/2} \sum_G c_G e^{i(k+G)r}$ with its Bloch phase, (n1, n2, n3), bohr^-3/2.

    Its own phase, which has no meaning, is such that $\int \psi^2 dr$ is real and positive: at Gamma and wherever k and
    -k are one point a single level is then real. $\int |\psi|^2 dr = 1$ over the cell.

    Args:
        result: a converged result.
        band: from 0, the lowest.
        k: index into `result.kpoints`.
        spin: 0, or 1 for the second spin.

    Raises:
        NotConverged: the result did not converge.
        InputError: an index that does not exist.
    """
    result.require_converged("Orbitals")
    shape = result.eigenvalues.shape
    for name, value, size in zip(("spin", "k", "band"), (spin, k, band), shape, strict=True):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value < size:
            raise InputError(f"{name} = {value!r} does not exist: there are {size}, counted from 0.")
    basis = result.basis
    to_box, waves, _ = box_maps([basis.spheres[k]], basis.fft, basis.npw)
    periodic = np.asarray(to_grid(jnp.asarray(result.psi[spin, k, band][None]), to_box[0], waves)[0])
    n = [np.arange(m) / m for m in basis.fft]
    a, b, c = (np.exp(2j * np.pi * x * y) for x, y in zip(result.kpoints[k], n, strict=True))
    psi = periodic * a[:, None, None] * b[:, None] * c / np.sqrt(result.model.structure.volume)
    phase = np.angle(np.sum(psi**2)) / 2
    psi = psi * np.exp(-1j * phase)
    largest = psi.reshape(-1)[np.argmax(np.abs(psi.real))]
    return psi if largest.real > 0 else -psi


def potential(result, which: str = "kohn-sham") -> np.ndarray:
    """Potential energy of an electron, hartree.

    Args:
        result: a converged result.
        which: "local" (of the ions), "hartree", "electrostatic" (their sum, and the correction of a slab's dipole),
            "xc" or "kohn-sham" (all). The zero of each is as in `Result.eigenvalues`, so that they compare with levels.

    Returns:
        (n1, n2, n3); "xc" and "kohn-sham" (spin, n1, n2, n3). Only waves that densities have are kept, |G| <= 2 sqrt(2 ecut):
        what lies in the corners of the grid's box acts on nothing.

    Raises:
        NotConverged: the result did not converge.
        InputError: an unknown name.
    """
    if which not in POTENTIALS:
        raise InputError(f"potential {which!r} is unknown: choose one of {', '.join(POTENTIALS)}.")
    result.require_converged("The potential")
    if which in ("local", "hartree", "electrostatic"):
        return _electrostatic(result, which)
    v = np.asarray(result.potential) * np.prod(result.basis.fft)
    v = _in_sphere(v if v.ndim == 4 else v[:, 0], result)  # meta-GGAs: the second one acts on gradients
    return v if which == "kohn-sham" else v - _electrostatic(result, "electrostatic")


def _in_sphere(v, result) -> np.ndarray:
    """Without the waves that no density has."""
    cell, ecut = result.model.structure.cell, result.basis.ecut
    x, y, z = result.basis.half_axes
    b = 2 * np.pi * np.linalg.inv(cell).T
    G = x[:, None, None, None] * b[0] + y[None, :, None, None] * b[1] + z[None, None, :, None] * b[2]
    inside = np.sum(G**2, axis=-1) <= 8 * ecut * (1 + 1e-9)
    return np.fft.irfftn(np.fft.rfftn(v, axes=(-3, -2, -1)) * inside, s=result.basis.fft, axes=(-3, -2, -1))


@one_blas_thread
def _electrostatic(result, which: str) -> np.ndarray:
    prepared = prepare(result.model, result.basis, result.inputs)
    rho = jnp.asarray(result.density().sum(axis=0))
    v = np.asarray(_gradient(rho, prepared, which)) * (rho.size / float(prepared.volume))
    return _in_sphere(v, result)


@partial(jax.jit, static_argnames="which")
def _gradient(rho, prepared, which: str):
    """Derivative of energies of the density in its values on the grid."""

    def energy(rho):
        rho_G = jnp.fft.rfftn(rho) / rho.size
        terms = []
        if which in ("local", "electrostatic"):
            terms.append(local(rho_G, prepared.v_local, prepared.multiplicity, prepared.volume))
        if which in ("hartree", "electrostatic"):
            terms.append(hartree(rho_G, prepared.coulomb, prepared.multiplicity, prepared.volume))
        if which == "electrostatic" and prepared.dipole is not None:
            terms.append(dipole_energy(rho_G, prepared.dipole, prepared.volume))
        return sum(terms)

    return jax.grad(energy)(rho)
