"""Second derivatives of a molecule's energy in the positions of its atoms at a fixed state, and so the derivative of its forces."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad

from dftopt.bases import quadrature
from dftopt.bases.integral_second_derivatives import second_derivatives
from dftopt.energy.dispersion import dispersion, dispersion_of
from dftopt.errors import InputError
from dftopt.properties.implicit.apart import SECOND
from dftopt.properties.implicit.batches import loop_over_batches
from dftopt.properties.implicit.minimum import remembered
from dftopt.properties.implicit.molecule import MolecularGround, MolecularKey, density_of, energy_of, filling_of


@partial(jax.jit, static_argnames="key")
def _curvature(inputs, x, a, key: MolecularKey):
    def energy(r):
        i = {**inputs, "positions": r}
        return energy_of(i, density_of(i, x, a, key), a, key.functional)

    slope = lambda d: jax.jvp(jax.grad(energy), (inputs["positions"],), (d,))[1]
    directions = jnp.eye(inputs["positions"].size).reshape(-1, *inputs["positions"].shape)
    return jax.lax.map(slope, directions)


def curvature(ground: MolecularGround, inputs: dict, x: dict) -> np.ndarray:
    """d^2E/dR dR (3N, 3N) at fixed orbitals and occupations, hartree/bohr^2.

    `energy_of` is exact to first order in displacements, with one more derivative of the functions' values to second: what
    is left are the second derivatives of integrals.
    """
    result, _, a = ground.find(inputs)
    mol, key, n = result.basis.mol, ground.key, inputs["positions"].size
    kind = key.functional.kind
    more = {} if kind == "none" else {"values": quadrature.values(mol, a["coords"], 2 if kind == "lda" else 3)}
    phi = np.array(_curvature(inputs, x, {**a, **more}, key=key)).reshape(n, n)
    filling, psi = filling_of(inputs, x["eta"], key)[0], np.asarray(x["psi"])
    of_atoms = lambda f: key.degeneracy * np.einsum("smi,smn,snj->ij", psi, np.asarray(f), psi, optimize=True)
    weighted = of_atoms(0.5 * (filling @ x["eta"] + x["eta"] @ filling))
    phi += second_derivatives(mol, of_atoms(filling), weighted).reshape(n, n)
    d3 = dispersion_of(result.model, (False, False, False))
    if d3 is not None:
        phi += np.asarray(jax.hessian(lambda r: dispersion(r, jnp.eye(3), d3))(inputs["positions"])).reshape(n, n)
    return 0.5 * (phi + phi.T)


# What `curvature` times a change is, for JAX: linear in the change, symmetric and hence its own transpose.
bend = Primitive("dftopt_bend")


@bend.def_impl
def _bend(change, psi, eta, *leaves, ground: MolecularGround):
    inputs, x = ground.pack(leaves), {"psi": psi, "eta": eta}
    phi = remembered(ground.curvatures, inputs, lambda _: curvature(ground, inputs, x))
    return jnp.asarray((phi @ np.asarray(change).ravel()).reshape(change.shape))


bend.def_abstract_eval(lambda change, *_, ground: jax.core.ShapedArray(change.shape, change.dtype))


def _bend_jvp(primals, tangents, *, ground):
    if any(type(t) is not ad.Zero for t in tangents[1:]):
        raise InputError(SECOND)
    return bend.bind(*primals, ground=ground), bend.bind(ad.instantiate_zeros(tangents[0]), *primals[1:], ground=ground)


ad.primitive_jvps[bend] = _bend_jvp
ad.primitive_transposes[bend] = lambda weights, change, *others, ground: [
    ad.Zero(change.aval) if type(weights) is ad.Zero else bend.bind(weights, *others, ground=ground),
    *[None] * len(others),
]
loop_over_batches(bend)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def bent(ground: MolecularGround, inputs: dict, x: dict):
    """Zero, with `curvature` as its derivative in the positions."""
    return jnp.zeros(inputs["positions"].shape)


@bent.defjvp
def _bent_jvp(ground: MolecularGround, primals, tangents):
    inputs, x = primals
    change = tangents[0]["positions"]
    leaves = jax.tree.leaves(inputs)
    return jnp.zeros(change.shape), bend.bind(change, x["psi"], x["eta"], *leaves, ground=ground)
