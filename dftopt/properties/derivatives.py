"""First derivatives of the free energy at its minimum: forces, stress, and in any other input.

The parameters of the minimum are held fixed: its gradient in them vanishes, so partial derivatives are total ones.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.energy.coulomb import normal
from dftopt.energy.fields import density as density_of
from dftopt.energy.free_energy import assemble, energies, orbital_terms, potential_energy, weights
from dftopt.energy.prepared import (
    arrays_of_orbitals,
    key_of,
    prepare,
    prepare_arrays,
    prepare_orbitals,
    static_arrays,
)
from dftopt.errors import InputError
from dftopt.minimization.zone import Zone
from dftopt.precision import one_blas_thread


@partial(jax.jit, static_argnames="key")
def _gradient(changed: dict, inputs: dict, arrays: dict, psi, f, key):
    """Gradient of the energy in `changed`, a part of `inputs`."""
    value = lambda part: energies(psi, f, prepare_arrays({**inputs, **part}, arrays, key)).total
    return jax.grad(value)(changed)


@partial(jax.jit, static_argnames="key")
def _of_density(changed: dict, inputs: dict, arrays: dict, summed, key):
    """Gradient of what depends on the density and the ions alone, and the potential."""

    def value(part, n):
        prepared = prepare_arrays({**inputs, **part}, arrays, key)
        nothing = jnp.zeros((1, len(prepared.weights), 1))
        return assemble(nothing, nothing, potential_energy(n, prepared)[1], nothing, 0.0, prepared).total

    return jax.grad(value, argnums=(0, 1))(changed, summed)


@partial(jax.jit, static_argnames="key")
def _of_block(changed: dict, inputs: dict, arrays: dict, psi, fw, potential, key):
    """Gradient of the kinetic and nonlocal energy of a block of k points, and of its density in the potential."""

    def value(part):
        orbitals = prepare_orbitals({**inputs, **part}, arrays, key)
        summed, e_kin, e_nl = orbital_terms(psi, fw, orbitals, key.band_block)
        return jnp.sum(fw * (e_kin + e_nl)) + jnp.sum(potential * summed)

    return jax.grad(value)(changed)


def _by_blocks(result, names: tuple[str, ...]) -> dict:
    """`derivative` with a block of k points on the device at a time."""
    zone, f = _zone(result)
    changed = {n: zone.inputs[n] for n in names}
    fw, psi = f * weights(zone.shared), result.point["psi"]
    out, potential = _of_density(changed, zone.inputs, zone.arrays, zone.summed(psi, fw), zone.key)
    for points in zone.blocks:
        arrays = arrays_of_orbitals(zone.part(points))
        part = _of_block(changed, zone.inputs, arrays, zone.take(psi, points), zone.of(fw, points), potential, zone.key)
        out = jax.tree.map(jnp.add, out, part)
    return out


def _zone(result) -> tuple[Zone, jax.Array]:
    """The blocks of a result, and its occupations."""
    o = result.options
    zone = Zone.of_device(result.model, result.basis, result.inputs, o.kpoints_at_once, o.magnetization)
    f, _, _ = o.problem.occupations(result.point, (zone.shared, jnp.asarray(o.temperature)))
    return zone, f


def _in_blocks(result) -> bool:
    n = result.options.kpoints_at_once
    return n is not None and n < result.basis.nk


def _orbitals(result):
    """Orbitals and occupations whose free energy was minimized (not those refined afterwards)."""
    prepared = prepare(result.model, result.basis, result.inputs, magnetization=result.options.magnetization)
    f, _, _ = result.options.problem.occupations(result.point, (prepared, jnp.asarray(result.options.temperature)))
    return result.point["psi"], f, prepared


@one_blas_thread
def derivative(result, names: tuple[str, ...]) -> dict:
    """dA/d(input) for some of the inputs of `model.inputs()`, at fixed orbitals and occupations (hence also dE).

    Not symmetrized: with a reduced k mesh, average over the space group afterwards.
    """
    if _in_blocks(result):
        return _by_blocks(result, names)
    psi, f, prepared = _orbitals(result)
    inputs = jax.tree.map(jnp.asarray, result.inputs or result.model.inputs())
    key = key_of(result.model, result.basis, prepared.band_block)
    return _gradient({n: inputs[n] for n in names}, inputs, static_arrays(result.basis), psi, f, key)


def forces(result) -> np.ndarray:
    """-dA/dR (atoms, 3) averaged over the space group, hartree / bohr; their sum is the error of the grid."""
    f = -np.asarray(derivative(result, ("positions",))["positions"])
    return result.basis.kpoints.symmetry.symmetrize_forces(f, result.model.structure.cell)


def stress(result) -> np.ndarray:
    """See `Result.stress`."""
    cell, vacuum = result.model.structure.cell, result.basis.vacuum
    if all(vacuum.isolated):
        raise InputError(
            f"coulomb = {vacuum.coulomb!r}: a molecule alone in space has no stress. Relax its positions, not the cell."
        )
    s = np.asarray(derivative(result, ("strain",))["strain"]) / result.model.structure.volume
    s = result.basis.kpoints.symmetry.symmetrize_stress(0.5 * (s + s.T), cell)
    if not any(vacuum.isolated):
        return s
    plane = np.eye(3) - np.outer(*2 * [np.asarray(normal(cell, vacuum.axis))])
    return plane @ s @ plane


@partial(jax.jit, static_argnames=("block",))
def _summed(psi, w, orbitals, block):
    return orbital_terms(psi, w, orbitals, block)[0]


def density(result) -> np.ndarray:
    """See `Result.density`."""
    if _in_blocks(result):
        zone, f = _zone(result)
        return np.asarray(density_of(zone.summed(result.point["psi"], f * weights(zone.shared)), zone.shared))
    psi, f, prepared = _orbitals(result)
    summed = _summed(psi, f * weights(prepared), prepared.orbitals, prepared.band_block)
    return np.asarray(density_of(summed, prepared))
