"""Functions whose values and derivatives are programs of their own, each compiled once.

JAX alone compiles what a derivative has in common with the value a second time, in one program for each combination of
inputs that are differentiated in and again for each size of a batch. Here there are three programs per function: its value,
one forward derivative and one reverse derivative, in all arguments at once. Batches of derivatives are loops.

XLA's Fourier transforms on a CPU share one pool of threads, and two that may run at the same time can wait for each other for
ever: the derivative waits for the value that it is taken at, see `_after`.
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad

from dftopt.errors import InputError
from dftopt.properties.implicit.batches import loop_over_batches

SECOND = (
    "The second derivative of the state at the minimum, which is a third one of the free energy, is not available: take central "
    "differences of the first derivative. (Second derivatives of energy and free_energy, and first ones of all else, are.)"
)


class Program(NamedTuple):
    """What is static of a call.

    Attributes:
        function: function(*arguments, *constants, **static), compiled by itself; of a linear map it is linear in all arguments.
        static: names and values.
        tree: of (arguments, constants).
        n_arguments: leaves among the arguments.
        linear: whether this is a linear map.
    """

    function: Callable
    static: tuple[tuple[str, Any], ...]
    tree: Any
    n_arguments: int
    linear: bool

    def split(self, leaves):
        """Arguments and constants."""
        return jax.tree.unflatten(self.tree, leaves)

    def at(self, constants):
        """The function of the arguments."""
        return lambda *arguments: self.function(*arguments, *constants, **dict(self.static))


def apart(function, arguments: tuple, constants: tuple = (), **static):
    """function(*arguments, *constants, **static), differentiable once in its arguments.

    Args:
        function: compiled by itself (`jax.jit`, with the static ones named); the same object at each call.
        arguments: trees of real or complex arrays.
        constants: trees of arrays.
        **static: hashable.
    """
    return _bound(value, function, arguments, constants, static, False)


def linear(function, changes: tuple, constants: tuple = (), **static):
    """The same of a function that is linear in all `changes`."""
    return _bound(push, function, changes, constants, static, True)


def _bound(primitive, function, arguments, constants, static, is_linear):
    leaves, tree = jax.tree.flatten((arguments, constants))
    program = Program(function, tuple(sorted(static.items())), tree, len(jax.tree.leaves(arguments)), is_linear)
    out = jax.tree.structure(_shapes(program, [jax.typeof(x) for x in leaves]))
    return jax.tree.unflatten(out, primitive.bind(*leaves, program=program))


def _shapes(program: Program, avals):
    """Of the results, as a tree."""
    arguments, constants = program.split([jax.ShapeDtypeStruct(a.shape, a.dtype) for a in avals])
    return jax.eval_shape(partial(program.function, **dict(program.static)), *arguments, *constants)


def strong(x):
    """The array with a type of its own: Python's numbers would be compiled for again."""
    x = jnp.asarray(x)
    return jax.lax.convert_element_type(x, x.dtype)


def without_a_mesh(function):
    """The function in the context in which JAX runs the backward pass: in another one it would compile everything again."""

    @wraps(function)
    def inside(*args, **kwargs):
        with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ())):
            return function(*args, **kwargs)

    return inside


def _after(found, changes):
    """The changes, not before something was found."""
    nothing = 0.0 * sum((jnp.real(x.reshape(-1)[0]) for x in jax.tree.leaves(found) if x.size), jnp.zeros(()))
    nothing = jnp.where(jnp.isnan(nothing), 0.0, nothing)
    return jax.tree.map(lambda x: x + nothing.astype(x.dtype), changes)


@partial(jax.jit, static_argnums=0)
def _pushed(program: Program, leaves, changes):
    arguments, constants = program.split(leaves)
    found, along = jax.linearize(program.at(constants), *arguments)
    changes = jax.tree.unflatten(jax.tree.structure(arguments), changes)
    return jax.tree.leaves(along(*_after(found, changes)))


@partial(jax.jit, static_argnums=0)
def _pulled(program: Program, leaves, weights):
    arguments, constants = program.split(leaves)
    if program.linear:
        back = jax.linear_transpose(program.at(constants), *arguments)
        weights = jax.tree.unflatten(jax.tree.structure(_shapes(program, leaves)), weights)
        return jax.tree.leaves(back(weights))
    found, back = jax.vjp(program.at(constants), *arguments)
    return jax.tree.leaves(back(jax.tree.unflatten(jax.tree.structure(found), _after(found, weights))))


# ---------------------------------------------------------------------------------------------------- primitives
# Operands: arguments, constants; then changes of the arguments (push) or weights of the results (pull).

value, push, pull = (Primitive(f"dftopt_{name}") for name in ("value", "push", "pull"))
for _p in (value, push, pull):
    _p.multiple_results = True
    loop_over_batches(_p)


@value.def_impl
@without_a_mesh
def _value(*leaves, program: Program):
    arguments, constants = program.split([strong(x) for x in leaves])
    return jax.tree.leaves(program.at(constants)(*arguments))


@push.def_impl
@without_a_mesh
def _push(*operands, program: Program):
    if program.linear:
        return _value(*operands, program=program)
    n = program.tree.num_leaves
    return _pushed(program, [strong(x) for x in operands[:n]], [strong(x) for x in operands[n:]])


@pull.def_impl
@without_a_mesh
def _pull(*operands, program: Program):
    n = program.tree.num_leaves
    return _pulled(program, [strong(x) for x in operands[:n]], [strong(x) for x in operands[n:]])


@value.def_abstract_eval
def _value_abstract(*avals, program: Program):
    shapes = jax.tree.leaves(_shapes(program, avals))
    return [jax.core.ShapedArray(x.shape, x.dtype) for x in shapes]


@push.def_abstract_eval
def _push_abstract(*avals, program: Program):
    return _value_abstract(*avals[: program.tree.num_leaves], program=program)


@pull.def_abstract_eval
def _pull_abstract(*avals, program: Program):
    return [jax.core.ShapedArray(x.shape, x.dtype) for x in avals[: program.n_arguments]]


def _value_jvp(primals, tangents, *, program: Program):
    changes = [ad.instantiate_zeros(t) for t in tangents[: program.n_arguments]]
    return value.bind(*primals, program=program), push.bind(*primals, *changes, program=program)


def _once(primitive):
    """The derivative of what is linear in its last operands: they alone may change."""

    def rule(primals, tangents, *, program: Program):
        n = 0 if program.linear and primitive is push else program.tree.num_leaves
        m = program.n_arguments if program.linear and primitive is push else len(primals)
        if any(type(t) is not ad.Zero for i, t in enumerate(tangents) if not n <= i < m):
            raise InputError(SECOND)
        changes = [
            ad.instantiate_zeros(t) if n <= i < m else x for i, (x, t) in enumerate(zip(primals, tangents, strict=True))
        ]
        return primitive.bind(*primals, program=program), primitive.bind(*changes, program=program)

    return rule


def _push_transpose(weights, *operands, program: Program):
    weights = [ad.instantiate_zeros(w) for w in weights]
    if program.linear:
        known = [jnp.zeros(x.aval.shape, x.aval.dtype) if ad.is_undefined_primal(x) else x for x in operands]
        return [*pull.bind(*known, *weights, program=program), *[None] * (len(operands) - program.n_arguments)]
    n = program.tree.num_leaves
    return [*[None] * n, *pull.bind(*operands[:n], *weights, program=program)]


def _pull_transpose(changes, *operands, program: Program):
    n = program.tree.num_leaves
    changes = [ad.instantiate_zeros(c) for c in changes]
    if program.linear:
        return [*[None] * n, *push.bind(*changes, *operands[program.n_arguments : n], program=program)]
    return [*[None] * n, *push.bind(*operands[:n], *changes, program=program)]


ad.primitive_jvps[value] = _value_jvp
ad.primitive_jvps[push], ad.primitive_jvps[pull] = _once(push), _once(pull)
ad.primitive_transposes[push], ad.primitive_transposes[pull] = _push_transpose, _pull_transpose
