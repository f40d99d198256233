"""What is asked of a differentiable minimum, checked before anything is computed."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.errors import InputError
from dftopt.properties.implicit.linear import undefined


def checked(inputs, known: dict, warm: bool, mixed: Sequence[int] = ()) -> dict:
    """Inputs as arrays of the right shapes.

    Args:
        inputs: as given.
        known: those of the minimum.
        warm: whether it was made for a temperature above 0.
        mixed: sites that mix.

    Raises:
        InputError: names what is missing, unknown or of another shape.
    """
    for name in inputs:
        if name not in known:
            raise InputError(
                f"{name!r} is no continuous input of the minimum: there are {', '.join(known)}. Cutoff, k mesh, FFT grid and bands are "
                "integers in effect: compare two calculations (dftopt.equation_of_state, dftopt converge)."
            )
    missing = [name for name in known if name not in inputs]
    if missing:
        raise InputError(
            f"inputs lacks {missing[0]!r}: change a copy of f.parameters, {{**f.parameters, 'positions': ...}}."
        )
    if str(jax.tree.structure(inputs)) != str(jax.tree.structure(known)):
        raise InputError("inputs must have the structure of f.parameters: change a copy of it.")
    flat, tree = jax.tree.flatten(inputs)
    out = []
    for given, (path, own) in zip(flat, jax.tree_util.tree_leaves_with_path(known), strict=True):
        x = jnp.asarray(given, float)
        if x.shape != own.shape:
            name = jax.tree_util.keystr(path)
            raise InputError(f"inputs{name} has the shape {x.shape}, but f.parameters{name} has {own.shape}.")
        out.append(x)
    inputs = jax.tree.unflatten(tree, out)
    fractions = inputs.get("fractions", np.zeros(0))
    if not isinstance(fractions, jax.core.Tracer) and np.any(np.delete(np.asarray(fractions), list(mixed))):
        raise InputError(
            "fractions: a site that does not mix has a fraction; name it, such as differentiable(..., mix={0: 'Si'})."
        )
    t = inputs["temperature"]
    if not isinstance(t, jax.core.Tracer) and (float(t) > 0) != warm:
        raise InputError(
            f"temperature = {float(t):g} hartree, but this function was made for {'a finite one' if warm else '0'}: levels are filled "
            "in another way. Make another one with differentiable(model, basis, temperature=...)."
        )
    if not warm:
        inputs = {**inputs, "electrons": undefined(inputs["electrons"])}
    return inputs
