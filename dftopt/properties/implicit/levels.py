"""Levels, filled and empty, with derivatives that refuse what does not exist: those of one level of a degenerate set.

The derivative of a level is the expectation value of the change of H, whatever the change of its orbital. Where levels
are degenerate the change of H is a matrix among them: single levels have a derivative only where it is a multiple of
one. A linear map stands on the way and looks: forward at that matrix, backward at the weights with which the levels
were asked for.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad

from dftopt.energy.free_energy import apply_hamiltonian
from dftopt.energy.prepared import Prepared
from dftopt.errors import InputError
from dftopt.minimization.orbitals import overlap
from dftopt.minimization.problem import Problem
from dftopt.properties.implicit.apart import apart
from dftopt.properties.implicit.batches import loop_over_batches
from dftopt.properties.implicit.minimum import FINEST, Ground
from dftopt.properties.implicit.stationary import potential_of, prepared_of

DEGENERATE = 1e-6  # hartree; levels closer than this are one
EDGE = -1  # in place of a spin: states at an edge of the gap, at any k
SPLIT = 1e-5  # relative difference of derivatives that counts as one


BATCH = "Derivatives of levels in a batch (jax.vmap), and their second derivatives, are not available: take one structure at a time."


class Clusters(NamedTuple):
    """Degenerate levels: (spin, k, first band, last band + 1) of each set, hashable."""

    sets: tuple[tuple[int, int, int, int], ...]


def clusters_of(e) -> Clusters:
    """Sets of at least two levels that follow each other within `DEGENERATE`, of ascending e (s, k, b)."""
    found = []
    for s, k in np.ndindex(*e.shape[:2]):
        first = 0
        for b in range(1, e.shape[2] + 1):
            if b == e.shape[2] or e[s, k, b] - e[s, k, b - 1] > DEGENERATE:
                if b - first > 1:
                    found.append((s, k, first, b))
                first = b
    return Clusters(tuple(found))


# ---------------------------------------------------------------------------------------------------- the bands


@partial(jax.jit, static_argnames="problem")
def hamiltonian_among(at: dict, x: dict, bands, rest: Prepared, problem: Problem):
    """<u_i|H|u_j> (s, k, b, b) of given orbitals in the potential of a state."""
    potential, prepared = potential_of(at, x, rest, problem), prepared_of(at, rest)
    return overlap(bands, apply_hamiltonian(bands, potential, prepared.orbitals, prepared.band_block))


bands = Primitive("dftopt_bands")


@bands.def_impl
def _bands(*leaves, ground: Ground):
    """Lowest orbitals, empty ones included, settled far enough for derivatives of their levels."""
    inputs, x = ground.pack(leaves[:-2]), {"psi": leaves[-2], "eta": leaves[-1]}
    result, _ = ground.find(inputs)
    wanted = result.psi.shape[2]
    at = ground.at(inputs)
    found, _, norms = ground.lowest(at, x, result.psi, ground.buffer(at, result.psi))
    if float(jnp.max(norms[..., :wanted])) > 100 * FINEST:
        raise InputError(
            f"The empty levels did not settle to {100 * FINEST:g} hartree (they are at {float(jnp.max(norms[..., :wanted])):.1e}): "
            "the highest one is degenerate with the next. Ask for fewer or more bands with nbands."
        )
    return found[:, :, :wanted]


def _bands_jvp(primals, tangents, *, ground: Ground):
    raise InputError(
        "Second derivatives of levels at temperature = 0 are not available: take central differences of the first ones."
    )


ad.primitive_jvps[bands] = _bands_jvp


loop_over_batches(bands)


# ---------------------------------------------------------------------------------------------------- the guard

guard = Primitive("dftopt_guard")


def _refuse(where) -> None:
    s, k, a, b = where
    if s == EDGE:
        raise InputError(
            f"{b} states share the edge of the band gap, and this change splits them: the gap has a kink and no derivative. In "
            "forward mode (jax.jvp, jax.jacfwd) a change that keeps them together is differentiated; else ask for 'multiplets' "
            "and take the difference of two of them."
        )
    raise InputError(
        f"The levels {a} to {b - 1} at k point {k} (spin {s}) are degenerate and this change splits them: a single one has no "
        "derivative. Ask for 'multiplets' (each level replaced by the mean of its degenerate set), give all levels of the set "
        "the same weight, or break the symmetry first."
    )


@guard.def_impl
def _guard(diagonal, matrix, *, clusters: Clusters):
    m = np.asarray(matrix)
    for s, k, a, b in clusters.sets:
        block = m[s, k, a:b, a:b]
        off = np.abs(block - np.trace(block).real / (b - a) * np.eye(b - a)).max()
        if off > SPLIT * max(np.abs(m[s, k]).max(), 1e-30):
            _refuse((s, k, a, b))
    return diagonal


@guard.def_abstract_eval
def _guard_abstract(diagonal, matrix, *, clusters: Clusters):
    return jax.core.ShapedArray(diagonal.shape, diagonal.dtype)


weigh = Primitive("dftopt_weigh")


@weigh.def_impl
def _weigh(cotangent, *, clusters: Clusters):
    c = np.asarray(cotangent)
    for s, k, a, b in clusters.sets:
        if np.ptp(c[s, k, a:b]) > SPLIT * max(np.abs(c).max(), 1e-30):
            _refuse((s, k, a, b))
    return cotangent


@weigh.def_abstract_eval
def _weigh_abstract(cotangent, *, clusters: Clusters):
    return jax.core.ShapedArray(cotangent.shape, cotangent.dtype)


def _guard_transpose(cotangent, diagonal, matrix, *, clusters: Clusters):
    if type(cotangent) is ad.Zero:
        return [ad.Zero(diagonal.aval), ad.Zero(matrix.aval)]
    return [weigh.bind(cotangent, clusters=clusters), ad.Zero(matrix.aval)]


def _linear_jvp(primitive):
    def rule(primals, tangents, **params):
        filled = [ad.instantiate_zeros(t) for t in tangents]
        return primitive.bind(*primals, **params), primitive.bind(*filled, **params)

    return rule


ad.primitive_transposes[guard] = _guard_transpose
ad.primitive_transposes[weigh] = lambda cotangent, x, *, clusters: [cotangent]
for _p in (guard, weigh):
    loop_over_batches(_p)
    ad.primitive_jvps[_p] = _linear_jvp(_p)


def _among_bands(ground: Ground, inputs, x):
    """H among the lowest orbitals, filled and empty; the change of the orbitals drops out: they span an invariant space of H."""
    fixed = jax.lax.stop_gradient((inputs, x))
    rows = bands.bind(*jax.tree.leaves(fixed[0]), fixed[1]["psi"], fixed[1]["eta"], ground=ground)
    return apart(hamiltonian_among, (ground.at(inputs), x), (rows, ground.rest), problem=ground.problem)


def eigenvalues(ground: Ground, inputs: dict, x: dict, together: bool = False):
    """Levels (s, k, b) of a state, ascending; `together`: each the mean of its degenerate set.

    Raises:
        InputError: in the derivative of single levels that a change splits.
    """
    h = _among_bands(ground, inputs, x) if ground.problem.parametrization == "fixed" else x["eta"]
    return eigenvalues_among(h, together)


def eigenvalues_among(h, together: bool = False):
    """The diagonal (s, k, b) of a Hamiltonian that is diagonal, as levels; see `eigenvalues`."""
    diagonal = jnp.real(jnp.diagonal(h, axis1=-2, axis2=-1))
    return _levels(h, diagonal, together)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _levels(h, diagonal, together: bool):
    clusters = _concrete_clusters(diagonal)
    return averaged(diagonal, clusters) if together else diagonal


def _concrete_clusters(diagonal) -> Clusters:
    if isinstance(diagonal, jax.core.Tracer):
        return Clusters(())  # in a batch: values alone
    return clusters_of(np.asarray(diagonal))


@_levels.defjvp
def _levels_jvp(together, primals, tangents):
    (_, diagonal), (dh, d_diagonal) = primals, tangents
    if isinstance(diagonal, jax.core.Tracer):
        raise InputError(BATCH)
    clusters = clusters_of(np.asarray(diagonal))
    if together:
        return averaged(diagonal, clusters), averaged(d_diagonal, clusters)
    return diagonal, guard.bind(d_diagonal, dh, clusters=clusters)


def edges(e, filled: tuple[int, ...]):
    """Highest filled and lowest empty of the levels e (s, k, b) of an insulator with so many filled ones per spin.

    Raises:
        InputError: in the derivative where several states are the highest or lowest and a change splits them.
    """
    first = np.array(filled)[:, None, None]
    band = np.arange(e.shape[2])
    top = np.broadcast_to(band == first - 1, e.shape)
    bottom = np.broadcast_to(band == first, e.shape)
    return -_lowest(jnp.where(top, -e, jnp.inf)), _lowest(jnp.where(bottom, e, jnp.inf))


@jax.custom_jvp
def _lowest(e):
    return jnp.min(e)


@_lowest.defjvp
def _lowest_jvp(primals, tangents):
    (e,), (de,) = primals, tangents
    if isinstance(e, jax.core.Tracer):
        raise InputError(BATCH)
    flat = np.asarray(e).ravel()
    at = np.flatnonzero(flat < flat.min() + DEGENERATE)
    d = de.reshape(-1)[at]
    if len(at) > 1:
        sets = Clusters(((EDGE, 0, 0, len(at)),))
        d = guard.bind(d[None, None], jnp.diag(d)[None, None], clusters=sets)[0, 0]
    return jnp.min(e), d[0]


def averaged(values, clusters: Clusters):
    """Each value (s, k, b) replaced by the mean over its set."""
    n = values.shape[-1]
    m = np.broadcast_to(np.eye(n), (*values.shape, n)).copy()
    for s, k, a, b in clusters.sets:
        m[s, k, a:b, a:b] = 1 / (b - a)
    return jnp.einsum("skij,skj->ski", jnp.asarray(m), values)


def gap(e, filled: tuple[int, ...], metal: bool):
    """Lowest empty level above the highest filled one.

    Raises:
        InputError: at a temperature, where no level is filled or empty.
    """
    if metal:
        raise InputError(
            "At temperature > 0 occupations are fractional and there is no gap to differentiate. Ask for 'eigenvalues' and take "
            "the difference of two of them, or use temperature = 0 for an insulator."
        )
    top, bottom = edges(e, filled)
    return bottom - top


def filled_levels(e, filled: tuple[int, ...]):
    """Occupations (s, k, b) at T = 0, 0 or 1."""
    return jnp.asarray((np.arange(e.shape[2]) < np.array(filled)[:, None, None]) * np.ones(e.shape))
