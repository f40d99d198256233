"""Levels, filled and empty, with derivatives that refuse what does not exist: those of one level of a degenerate set.

The derivative of a level is the expectation value of the change of H, whatever the change of its orbital. Where levels
are degenerate the change of H is a matrix among them: single levels have a derivative only where it is a multiple of
one. A linear map stands on the way and looks: forward at that matrix, backward at the weights with which the levels
were asked for.
"""

from functools import partial

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
from dftopt.properties.implicit.apart import SECOND, apart
from dftopt.properties.implicit.batches import loop_over_batches
from dftopt.properties.implicit.minimum import FINEST, Ground
from dftopt.properties.implicit.stationary import potential_of, prepared_of

DEGENERATE = 1e-6  # hartree; levels closer than this are one
EDGE = -1  # in place of a spin: states at an edge of the gap, at any k
SPLIT = 1e-5  # relative difference of derivatives that counts as one


def clusters_of(e) -> list[tuple[int, int, int, int]]:
    """Degenerate levels, (spin, k, first band, last band + 1) of each set: within `DEGENERATE` of the next, of ascending e (s, k, b)."""
    found = []
    for s, k in np.ndindex(*e.shape[:2]):
        first = 0
        for b in range(1, e.shape[2] + 1):
            if b == e.shape[2] or e[s, k, b] - e[s, k, b - 1] > DEGENERATE:
                if b - first > 1:
                    found.append((s, k, first, b))
                first = b
    return found


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

# Linear in what comes before the levels. These are operands, not static: which of them are degenerate may differ within a batch.

guard, weigh, average, pick, place = (
    Primitive(f"dftopt_{name}") for name in ("guard", "weigh", "average", "pick", "place")
)


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
def _guard(diagonal, matrix, levels):
    """The diagonal of a change of H, where it is that of the levels."""
    m = np.asarray(matrix)
    for s, k, a, b in clusters_of(np.asarray(levels)):
        block = m[s, k, a:b, a:b]
        off = np.abs(block - np.trace(block).real / (b - a) * np.eye(b - a)).max()
        if off > SPLIT * max(np.abs(m[s, k]).max(), 1e-30):
            _refuse((s, k, a, b))
    return diagonal


@weigh.def_impl
def _weigh(weights, levels):
    """Weights of levels, where they do not tell degenerate ones apart."""
    c = np.asarray(weights)
    for s, k, a, b in clusters_of(np.asarray(levels)):
        if np.ptp(c[s, k, a:b]) > SPLIT * max(np.abs(c).max(), 1e-30):
            _refuse((s, k, a, b))
    return weights


@average.def_impl
def _average(values, levels):
    return averaged(jnp.asarray(values), clusters_of(np.asarray(levels)))


def _edge(levels):
    flat = np.asarray(levels).ravel()
    return np.flatnonzero(flat < flat.min() + DEGENERATE)


@pick.def_impl
def _pick(change, levels):
    """Change of the lowest of all levels."""
    at, d = _edge(levels), np.asarray(change).ravel()
    if np.ptp(d[at]) > SPLIT * max(np.abs(d[at]).max(), 1e-30):
        _refuse((EDGE, 0, 0, len(at)))
    return jnp.asarray(d[at[0]])


@place.def_impl
def _place(weight, levels):
    """Transpose of `pick`."""
    at = _edge(levels)
    if len(at) > 1 and float(weight) != 0:
        _refuse((EDGE, 0, 0, len(at)))
    return jnp.zeros(levels.shape).reshape(-1).at[at[0]].set(weight).reshape(levels.shape)


guard.def_abstract_eval(lambda diagonal, matrix, levels: jax.core.ShapedArray(diagonal.shape, diagonal.dtype))
weigh.def_abstract_eval(lambda weights, levels: jax.core.ShapedArray(weights.shape, weights.dtype))
average.def_abstract_eval(lambda values, levels: jax.core.ShapedArray(values.shape, values.dtype))
pick.def_abstract_eval(lambda change, levels: jax.core.ShapedArray((), change.dtype))
place.def_abstract_eval(lambda weight, levels: jax.core.ShapedArray(levels.shape, weight.dtype))


def _linear_jvp(primitive):
    def rule(primals, tangents):
        if type(tangents[-1]) is not ad.Zero:
            raise InputError(SECOND)
        changes = [ad.instantiate_zeros(t) for t in tangents[:-1]]
        return primitive.bind(*primals), primitive.bind(*changes, primals[-1])

    return rule


def _transpose(into):
    def rule(weights, *operands):
        nothing = [ad.Zero(x.aval) if ad.is_undefined_primal(x) else None for x in operands[1:]]
        if type(weights) is ad.Zero:
            return [ad.Zero(operands[0].aval), *nothing]
        return [into.bind(weights, operands[-1]), *nothing]

    return rule


for _p, _into in ((guard, weigh), (weigh, weigh), (average, average), (pick, place), (place, pick)):
    loop_over_batches(_p)
    ad.primitive_jvps[_p] = _linear_jvp(_p)
    ad.primitive_transposes[_p] = _transpose(_into)


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
    return average.bind(diagonal, diagonal) if together else diagonal


@_levels.defjvp
def _levels_jvp(together, primals, tangents):
    (_, diagonal), (dh, d_diagonal) = primals, tangents
    if together:
        return average.bind(diagonal, diagonal), average.bind(d_diagonal, diagonal)
    return diagonal, guard.bind(d_diagonal, dh, diagonal)


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
    return jnp.min(primals[0]), pick.bind(tangents[0], primals[0])


def averaged(values, clusters):
    """Each value (s, k, b) replaced by the mean over its set."""
    n = values.shape[-1]
    m = np.broadcast_to(np.eye(n), (*values.shape, n)).copy()
    for s, k, a, b in clusters:
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
