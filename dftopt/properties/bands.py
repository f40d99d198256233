"""Eigenvalues at any k in the potential of a result: band structures by trace minimization."""

from functools import partial

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
from dftopt.minimization.trace import minimize_trace
from dftopt.precision import one_blas_thread
from dftopt.units import HARTREE_IN_EV

BUFFER = 3  # bands beyond those asked for
NOISE = 0.02  # added to the neighbour's orbitals: a crossing band of another symmetry has no overlap with them
STEPS = 80
RESIDUAL = 3e-5  # hartree; eigenvalues are off by about its square over the gap to the next band


@one_blas_thread
def eigenvalues_at(result, kpts, nbands: int | None = None) -> np.ndarray:
    """Eigenvalues in the self-consistent potential at given k points.

    Each point starts from its neighbour in the list plus noise and buffer bands, see `minimization.trace`.

    Args:
        result: a converged result.
        kpts: fractional k points (k, 3); neighbours in the list should be near each other.
        nbands: bands; default four above the filled ones.

    Returns:
        (spin, k, band) hartree, ascending; zero as in `Result.eigenvalues`.

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
    nbands = int(np.ceil(model.n_electrons / 2)) + 4 if nbands is None else int(nbands)
    spheres = basis.spheres_at(k)
    fewest = min(len(s) for s in spheres)
    if not 0 < nbands <= fewest:
        raise InputError(f"nbands = {nbands}: between 1 and {fewest} bands exist with ecut = {basis.ecut:g} hartree.")
    total = min(nbands + BUFFER, fewest)
    npw = -(-max(len(s) for s in spheres) // PAD) * PAD
    to_box, waves, lowest = box_maps(spheres, basis.fft, npw)
    shape = tuple(w.shape[0] for w in waves)
    from_box = np.zeros((len(k), npw), np.int32)
    for row, s in zip(from_box, spheres, strict=True):
        row[: len(s)] = np.ravel_multi_index((s - lowest).T, shape)
    arrays = {
        "cell": model.structure.cell,
        "kG": fractional_kG(k, spheres, npw),
        "mask": sphere_mask(spheres, npw),
        "to_box": to_box,
        "waves": waves,
    }
    key = key_of(model, basis)
    orbitals = prepare_orbitals(result.inputs or model.inputs(), arrays, key)
    e, norms = _along(
        jax.random.key(result.options.seed + 2), result.potential, orbitals, from_box, total, nbands, key.band_block
    )
    if float(jnp.max(norms[..., :nbands])) > 100 * RESIDUAL:
        worst = int(jnp.argmax(jnp.max(norms[..., :nbands], axis=(0, 2))))
        raise InputError(f"The {nbands} bands at k = {k[worst]} did not converge: ask for fewer or more bands.")
    return np.asarray(e)[..., :nbands]


@partial(jax.jit, static_argnames=("total", "nbands", "block"))
def _along(key, potential, orbitals, from_box, total: int, nbands: int, block: int):
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
        return jnp.take(psi, orbitals.to_box[i], axis=1, mode="fill", fill_value=0), (e, norms)

    out = [
        jax.lax.scan(partial(one, v=potential[s]), jnp.zeros((total, n_box), complex), jnp.arange(len(from_box)))[1]
        for s in range(len(potential))
    ]
    return jnp.stack([o[0] for o in out]), jnp.stack([o[1] for o in out])


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
    followed = path
    if not isinstance(followed, BandPath):
        try:
            followed = result.model.atoms.cell.bandpath(path, npoints=npoints)
        except (KeyError, ValueError) as error:
            have = ", ".join(result.model.atoms.cell.bandpath().special_points)
            raise InputError(
                f"path = {path!r} cannot be followed in this lattice ({error}); its special points are {have}."
            ) from None
    e = eigenvalues_at(result, followed.kpts, nbands) * HARTREE_IN_EV
    return BandStructure(followed, e, reference=reference_level(result) * HARTREE_IN_EV)


def reference_level(result) -> float:
    """Top of the valence band of an insulator at T = 0, else the Fermi level; hartree."""
    filled = round(result.model.n_electrons / 2)
    if result.options.temperature == 0 and float(result.gap) > 0:
        return float(result.eigenvalues[..., filled - 1].max())
    return float(result.fermi_level)
