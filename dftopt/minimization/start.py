"""Where a minimization starts: the potential of superposed atomic densities, and orbitals relaxed a little in it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import covalent_radii

from dftopt.energy import local
from dftopt.energy.free_energy import h_psi, potential_energy
from dftopt.energy.prepared import Prepared
from dftopt.errors import InputError
from dftopt.minimization.orbitals import cholesky_qr
from dftopt.minimization.trace import minimize_trace
from dftopt.units import BOHR_IN_ANGSTROM

_structure_factors = jax.jit(local.structure_factors)


def atomic_density(model, basis) -> jnp.ndarray:
    """Superposed Gaussian valence densities on the grid (nspin, n1, n2, n3), electrons per bohr^3, sum N_el.

    Each atom carries its ionic charge with a width of half its covalent radius.
    """
    s = model.structure
    b = 2 * np.pi * np.linalg.inv(s.cell).T
    x, y, z = (a.astype(float) for a in basis.half_axes)
    G = x[:, None, None, None] * b[0] + y[None, :, None, None] * b[1] + z[None, None, :, None] * b[2]
    G2 = np.sum(G**2, axis=-1)
    rho_G = np.zeros(G2.shape, complex)
    for i, element in enumerate(s.species):
        atoms = np.flatnonzero(np.array(s.species_of) == i)
        width = 0.5 * covalent_radii[s.numbers[atoms[0]]] / BOHR_IN_ANGSTROM
        form = model.potentials[element].charge * np.exp(-G2 * width**2 / 2)
        rho_G += form * np.asarray(_structure_factors(s.frac[atoms], (x, y, z)))
    n = np.prod(basis.fft)
    rho = np.maximum(np.fft.irfftn(rho_G / s.volume, s=basis.fft, axes=(0, 1, 2)) * n, 1e-8)
    rho *= model.n_electrons / (rho.mean() * s.volume)
    return jnp.asarray(np.stack([rho / model.nspin] * model.nspin))


@jax.jit
def potential_of(density, prepared: Prepared):
    """Kohn-Sham potential of a density on the grid, in the form that `apply_hamiltonian` wants."""
    return jax.grad(lambda n: potential_energy(n, prepared)[0])(density * prepared.volume)


@partial(jax.jit, static_argnames=("shape",))
def random_orbitals(key, shape, orbitals):
    """Random coefficients (s, k, b, npw) that fall off with kinetic energy, zero on padding."""
    c = jax.random.normal(key, (*shape, 2))
    falloff = orbitals.mask / (1 + orbitals.half_q2**2)
    return jax.lax.complex(c[..., 0], c[..., 1]) * falloff[:, None]


@partial(jax.jit, static_argnames=("block", "n_converge"))
def lowest_orbitals(psi, potential, orbitals, steps, tol, block: int, n_converge: int | None = None):
    """Relax orbitals (s, k, b, npw) in a fixed potential, see `trace.minimize_trace`.

    Returns:
        psi, eigenvalues (s, k, b), residual norms (s, k, b), steps per k point.
    """

    def at_spin(psi_s, v):
        def one(total, x):
            p, i = x
            apply_h = lambda q: h_psi(q, v, orbitals, i, block)
            p, _, e, norms, n = minimize_trace(
                apply_h, p, orbitals.half_q2[i], orbitals.mask[i], steps, tol, n_converge
            )
            return None, (p, e, norms, n)

        return jax.lax.scan(one, None, (psi_s, jnp.arange(psi_s.shape[0])))[1]

    out = [at_spin(psi[s], potential[s]) for s in range(psi.shape[0])]
    return tuple(jnp.stack(parts) for parts in zip(*out, strict=True))


def same_waves(a, b) -> bool:
    """Whether two bases have the same plane waves at the same k points."""
    if a.nk != b.nk or a.npw != b.npw or not np.allclose(a.kpoints.k, b.kpoints.k, atol=1e-9):
        return False
    return all(np.array_equal(x, y) for x, y in zip(a.spheres, b.spheres, strict=True))


def carry(earlier, basis) -> dict:
    """Final point of an earlier result, written in the plane waves of another basis and orthonormalized there.

    Plane waves are matched by their integer G, so that the cell may change.

    Raises:
        InputError: other k points, or another number of electrons.
    """
    point = earlier.point
    if earlier.basis.nk != basis.nk or not np.allclose(earlier.basis.kpoints.k, basis.kpoints.k, atol=1e-9):
        raise InputError(
            f"start: the earlier result has {earlier.basis.nk} k points, this calculation {basis.nk} or others. "
            "Start from results with the same k points and symmetry."
        )
    if earlier.model.n_electrons != basis.model.n_electrons:
        raise InputError(
            f"start: the earlier result has {earlier.model.n_electrons:g} electrons, this calculation {basis.model.n_electrons:g}. "
            "Start from the same atoms."
        )
    if same_waves(earlier.basis, basis):
        return point
    known = np.asarray(point["psi"])
    matched = np.zeros((*known.shape[:3], basis.npw), complex)
    label = lambda sphere: (sphere.astype(np.int64) + 2**19) @ np.array([2**40, 2**20, 1])
    for i, (a, b) in enumerate(zip(earlier.basis.spheres, basis.spheres, strict=True)):
        _, at, to = np.intersect1d(label(a), label(b), assume_unique=True, return_indices=True)
        matched[:, i, :, to] = np.moveaxis(known[:, i][..., at], -1, 0)
    return {"psi": cholesky_qr(jnp.asarray(matched)), "occ": point["occ"]}
