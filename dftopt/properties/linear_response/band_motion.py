r"""How levels move with k: velocities and effective masses, analytic in k.

$v_a = \langle u|\partial_a H_k|u\rangle$ and, by second-order perturbation theory,
$(m^{-1})_{ab} = \langle u|\partial_a\partial_b H_k|u\rangle
+ 2 \mathrm{Re} \sum_m \langle u|\partial_a H|m\rangle\langle m|\partial_b H|u\rangle / (\epsilon_u - \epsilon_m)$: explicitly over the
computed bands m, by a linear solve over all others.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.bases.planewaves import PAD
from dftopt.bases.transforms import box_maps
from dftopt.energy.free_energy import apply_hamiltonian
from dftopt.energy.prepared import Key, fractional_kG, key_of, prepare_orbitals, sphere_mask
from dftopt.errors import InputError, NotConverged
from dftopt.minimization import start as starting
from dftopt.minimization.orbitals import overlap, teter
from dftopt.precision import one_blas_thread
from dftopt.properties.bands import states_at
from dftopt.properties.implicit.conjugate_gradients import solve_positive
from dftopt.properties.implicit.levels import DEGENERATE

FINEST = 1e-9  # residual of the bands, hartree
EXTRA = 3  # bands computed beyond those asked for


@one_blas_thread
def band_velocities(result, kpts, nbands: int) -> np.ndarray:
    """Derivatives of the levels in k, (spin, k, band, 3), hartree bohr (= bohr per atomic unit of time).

    Args:
        result: a converged result.
        kpts: fractional k points (k, 3).
        nbands: bands.

    Raises:
        InputError: a degenerate level that splits with k: single bands have no velocity there.
    """
    e, psi, setting = states(result, kpts, nbands)
    v = np.stack([np.asarray(_matrix(psi, jnp.asarray(d), *setting[:3], key=setting[3])) for d in np.eye(3)], axis=-1)
    for s, k in np.ndindex(*e.shape[:2]):
        for a, b in level_sets(e[s, k]):
            if a < nbands and b - a > 1:
                block = v[s, k, a:b, a:b]
                mean = np.einsum("iic->c", block) / (b - a)
                if np.abs(block - mean * np.eye(b - a)[..., None]).max() > 1e-6:
                    raise InputError(
                        f"The bands {a} to {b - 1} at k = {np.asarray(kpts)[k].tolist()} are degenerate and split with k: a single one "
                        "has no velocity. Take a k point beside it."
                    )
    return np.einsum("skiic->skic", v).real[:, :, :nbands]


@one_blas_thread
def inverse_masses(result, k, band: int, spin: int = 0) -> np.ndarray:
    """Inverse effective mass (3, 3) of a band at a fractional k point, in units of 1 / m_e: the Hessian of its level in k.

    Raises:
        InputError: the level is degenerate: its bands are not parabolas.
        NotConverged: the linear solve failed.
    """
    settled = min(band + 3, int(result.basis.counts.min()))
    e, psi, (inputs, arrays, potential, key) = states(result, [k], settled)
    e, psi = e[spin, 0, :settled], psi[spin : spin + 1, :, :settled]  # the bands beyond are not settled
    if any(a <= band < b and b - a > 1 for a, b in level_sets(e)):
        raise InputError(
            f"Band {band} at k = {list(map(float, k))} is degenerate: its levels are no parabolas in k, and there is no mass tensor. "
            "Take a k point beside it, or another band."
        )
    potential = potential[spin : spin + 1]
    u = psi[:, :, band : band + 1]
    slopes = [_slope(u, jnp.asarray(d), inputs, arrays, potential, key=key) for d in np.eye(3)]
    solved = []
    for w in slopes:
        inside = overlap(psi, w)[0, 0, :, 0]
        gaps = np.where(np.arange(len(e)) == band, np.inf, e[band] - e)
        explicit = jnp.einsum("m,mg->g", inside / gaps, psi[0, 0])[None, None, None]
        outside, residual = _complement(psi, u, e[band], w, inputs, arrays, potential, key=key)
        if not float(residual) < 1e-6:
            raise NotConverged(
                f"The linear solve of an effective mass stopped at a relative residual of {float(residual):.1e}."
            )
        solved.append(explicit + outside)
    bend = lambda a, b: float(_curvature(u, jnp.asarray(a), jnp.asarray(b), inputs, arrays, potential, key=key))
    curvature = np.array([[bend(a, b) for b in np.eye(3)] for a in np.eye(3)])
    return curvature + np.array([[2 * float(jnp.vdot(a, b).real) for b in solved] for a in slopes])


def level_sets(e) -> list[tuple[int, int]]:
    """First and last + 1 band of each level, of ascending e (b,): several where it is degenerate."""
    edges = np.flatnonzero(np.diff(e) > 10 * DEGENERATE) + 1
    bounds = [0, *edges.tolist(), len(e)]
    return list(zip(bounds[:-1], bounds[1:], strict=True))


def states(result, kpts, nbands: int, potential=None):
    """Levels (s, k, b) and orbitals in a potential (default the result's), a few more than asked for, and what H needs."""
    potential = result.potential if potential is None else potential
    k = np.asarray(kpts, float)
    found = states_at(result, k, min(nbands + EXTRA, min(len(s) for s in result.basis.spheres_at(k))))
    basis, spheres = result.basis, found.spheres
    npw = -(-max(len(s) for s in spheres) // PAD) * PAD
    to_box, waves, _ = box_maps(spheres, basis.fft, npw)
    arrays = {
        "cell": result.model.structure.cell, "kG": fractional_kG(k, spheres, npw), "mask": sphere_mask(spheres, npw),
        "to_box": to_box, "waves": waves,
    }  # fmt: skip
    inputs, key = result.inputs or result.model.inputs(), key_of(result.model, basis)
    orbitals = prepare_orbitals(inputs, arrays, key)
    psi, e, norms, _ = starting.lowest_orbitals(found.psi, potential, orbitals, 300, FINEST, key.band_block, nbands)
    if float(jnp.max(norms[..., :nbands])) > 1e3 * FINEST:
        raise NotConverged(
            f"The {nbands} bands did not settle: their residual is {float(jnp.max(norms[..., :nbands])):.1e} hartree."
        )
    return np.asarray(e), psi, (inputs, arrays, potential, key)


def _at(inputs, arrays, key: Key, shift):
    """What acts on orbitals at k points that are moved by a Cartesian vector."""
    fractional = shift @ arrays["cell"].T / (2 * jnp.pi)
    return prepare_orbitals(inputs, {**arrays, "kG": arrays["kG"] + fractional * arrays["mask"][..., None]}, key)


def _h(psi, shift, inputs, arrays, potential, key: Key):
    return apply_hamiltonian(psi, potential, _at(inputs, arrays, key, shift), key.band_block)


@partial(jax.jit, static_argnames="key")
def _slope(psi, direction, inputs, arrays, potential, key: Key):
    """(dH/dk) psi."""
    return jax.jvp(lambda t: _h(psi, t * direction, inputs, arrays, potential, key), (0.0,), (1.0,))[1]


@partial(jax.jit, static_argnames="key")
def _matrix(psi, direction, inputs, arrays, potential, key: Key):
    return overlap(psi, jax.jvp(lambda t: _h(psi, t * direction, inputs, arrays, potential, key), (0.0,), (1.0,))[1])


@partial(jax.jit, static_argnames="key")
def _curvature(u, a, b, inputs, arrays, potential, key: Key):
    """<u|d^2H/dk_a dk_b|u>."""
    value = lambda s, t: jnp.vdot(u, _h(u, s * a + t * b, inputs, arrays, potential, key)).real
    inner = lambda s: jax.jvp(lambda t: value(s, t), (0.0,), (1.0,))[1]
    return jax.jvp(inner, (0.0,), (1.0,))[1]


@partial(jax.jit, static_argnames="key")
def _complement(psi, u, level, w, inputs, arrays, potential, key: Key):
    """-(H - level)^-1 w among the states above those of psi; and the relative residual."""
    orbitals = prepare_orbitals(inputs, arrays, key)
    project = lambda x: x - jnp.einsum("...ji,...jg->...ig", overlap(psi, x), psi)
    h = lambda x: project(apply_hamiltonian(x, potential, orbitals, key.band_block) - level * x)
    kinetic = jnp.sum((u.real**2 + u.imag**2) * orbitals.half_q2[:, None], axis=-1)
    precondition = lambda r: project(teter(orbitals.half_q2[:, None], kinetic) * r)
    c, residual, _ = solve_positive(h, precondition, -project(w), 1e-10, 300)
    return c, residual
