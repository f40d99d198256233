"""Eigenvalues at any k in the potential of a result: band structures by trace minimization."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase.dft.kpoints import BandPath
from ase.spectrum.band_structure import BandStructure

from dftopt.bases.planewaves import PAD
from dftopt.bases.transforms import box_maps
from dftopt.energy.free_energy import h_psi
from dftopt.energy.prepared import fractional_kG, key_of, prepare_orbitals, sphere_mask
from dftopt.errors import InputError
from dftopt.minimization.clock import make_room
from dftopt.minimization.moments import edges
from dftopt.minimization.trace import minimize_trace
from dftopt.precision import one_blas_thread
from dftopt.units import HARTREE_IN_EV

BUFFER = 3  # bands beyond those asked for
NOISE = 0.02  # added to the neighbour's orbitals: a crossing band of another symmetry has no overlap with them
STEPS = 80
RESIDUAL = 3e-5  # hartree; eigenvalues are off by about its square over the gap to the next band


@dataclass(frozen=True, eq=False)
class States:
    """Levels and orbitals at k points.

    Attributes:
        eigenvalues: (spin, k, band) hartree, ascending.
        psi: (spin, k, band, plane wave), padded; None where nobody asked for them.
        kpoints: (k, 3) fractional.
        spheres: integer G of each k point.
    """

    eigenvalues: np.ndarray
    psi: Any
    kpoints: np.ndarray
    spheres: list[np.ndarray]


def eigenvalues_at(result, kpts, nbands: int | None = None) -> np.ndarray:
    """Eigenvalues in the self-consistent potential at given k points; (spin, k, band) hartree, see `states_at`."""
    return states_at(result, kpts, nbands, orbitals=False).eigenvalues


@one_blas_thread
def states_at(result, kpts, nbands: int | None = None, orbitals: bool = True) -> States:
    """States in the self-consistent potential at given k points.

    Each point starts from its neighbour in the list plus noise and buffer bands, see `minimization.trace`.

    Args:
        result: a converged result.
        kpts: fractional k points (k, 3); neighbours in the list should be near each other.
        nbands: bands; default four above the filled ones.
        orbitals: whether to keep them too.

    Returns:
        The states; the zero of energy is as in `Result.eigenvalues`.

    Raises:
        NotConverged: the result did not converge.
        InputError: more bands than plane waves, or points of the wrong shape.
    """
    result.require_converged("Bands")
    make_room()
    k = np.asarray(kpts, float)
    if k.ndim != 2 or k.shape[1] != 3 or not len(k) or not np.all(np.isfinite(k)):
        raise InputError(f"kpts has shape {k.shape}: give fractional k points as (n, 3) finite numbers.")
    model, basis = result.model, result.basis
    nbands = max(result.options.filled) + 4 if nbands is None else int(nbands)
    spheres = basis.spheres_at(k)
    fewest = min(len(s) for s in spheres)
    if not 0 < nbands <= fewest:
        raise InputError(f"nbands = {nbands}: between 1 and {fewest} bands exist with ecut = {basis.ecut:g} hartree.")
    total = min(nbands + BUFFER, fewest)
    npw = -(-max(len(s) for s in spheres) // PAD) * PAD
    to_box, waves, from_box = box_maps(spheres, basis.fft, npw)
    arrays = {
        "cell": model.structure.cell,
        "kG": fractional_kG(k, spheres, npw),
        "mask": sphere_mask(spheres, npw),
        "to_box": to_box,
        "waves": waves,
    }
    key = key_of(model, basis)
    prepared = prepare_orbitals(result.inputs or model.inputs(), arrays, key)
    noise = jax.random.key(result.options.seed + 2)
    e, norms, psi = _along(noise, result.potential, prepared, from_box, total, nbands, key.band_block, orbitals)
    if float(jnp.max(norms[..., :nbands])) > 100 * RESIDUAL:
        worst = int(jnp.argmax(jnp.max(norms[..., :nbands], axis=(0, 2))))
        raise InputError(f"The {nbands} bands at k = {k[worst]} did not converge: ask for fewer or more bands.")
    return States(np.asarray(e)[..., :nbands], None if psi is None else psi[:, :, :nbands], k, spheres)


@partial(jax.jit, static_argnames=("total", "nbands", "block", "keep"))
def _along(key, potential, orbitals, from_box, total: int, nbands: int, block: int, keep: bool):
    npw = from_box.shape[1]
    n_box = orbitals.to_box.shape[1]
    noise = jax.random.normal(key, (total, npw, 2))
    noise = jax.lax.complex(noise[..., 0], noise[..., 1])

    def one(box, i, v):
        falloff = orbitals.mask[i] / (1 + orbitals.half_q2[i] ** 2)
        psi = jnp.take(box, from_box[i], axis=1) * orbitals.mask[i] + NOISE * noise * falloff
        apply_h = lambda q: h_psi(q, v, orbitals, i, block)
        psi, _, e, norms, _ = minimize_trace(
            apply_h, psi, orbitals.half_q2[i], orbitals.mask[i], STEPS, RESIDUAL, nbands
        )
        box = jnp.take(psi, orbitals.to_box[i], axis=1, mode="fill", fill_value=0)
        return box, (e, norms, psi if keep else None)

    at_spin = lambda v: jax.lax.scan(partial(one, v=v), jnp.zeros((total, n_box), complex), jnp.arange(len(from_box)))[
        1
    ]
    return jax.lax.map(at_spin, potential)


def bands(result, path: str | BandPath = "LGXWKG", npoints: int = 60, nbands: int | None = None) -> BandStructure:
    """Band structure along a path.

    Args:
        result: a converged result.
        path: special points by name (comma for a jump) as ASE writes them, or an ASE `BandPath`.
        npoints: points along the path.
        nbands: see `eigenvalues_at`.

    Returns:
        ASE's `BandStructure` in eV; its reference is the Fermi level (the top of the valence band in an insulator).

    Raises:
        InputError: a special point that the lattice does not have.
    """
    followed = follow(result, path, npoints)
    e = eigenvalues_at(result, followed.kpts, nbands) * HARTREE_IN_EV
    return BandStructure(followed, e, reference=reference_level(result) * HARTREE_IN_EV)


def follow(result, path: str | BandPath, npoints: int) -> BandPath:
    """A path by name as ASE's `BandPath`; see `bands`."""
    if isinstance(path, BandPath):
        return path
    try:
        return result.model.atoms.cell.bandpath(path, npoints=npoints)
    except (KeyError, ValueError) as error:
        have = ", ".join(result.model.atoms.cell.bandpath().special_points)
        raise InputError(
            f"path = {path!r} cannot be followed in this lattice ({error}); its special points are {have}."
        ) from None


def reference_level(result) -> float:
    """Top of the valence band of an insulator at T = 0, else the Fermi level; hartree."""
    if result.options.temperature == 0 and float(result.gap) > 0:
        return edges(result.eigenvalues, result.options.filled)[0]
    return result.fermi_level
