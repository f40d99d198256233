r"""Second derivatives of the free energy in displacements and strains.

$\frac{d^2A}{da\,db} = \frac{\partial^2A}{\partial a\,\partial b} + \frac{\partial^2A}{\partial a\,\partial x}\frac{dx}{db}$
with x the state at the minimum: one linear solve per b, and the derivative of the gradient in all a along it.
"""

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.precision import one_blas_thread
from dftopt.properties.implicit.minimum import Ground

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def voigt_strains() -> np.ndarray:
    """The six symmetric strains (6, 3, 3): xx, yy, zz, and 2 yz, 2 xz, 2 xy of engineering."""
    out = np.zeros((6, 3, 3))
    for row, (i, j) in zip(out, VOIGT, strict=True):
        row[i, j] += 0.5
        row[j, i] += 0.5
    return out


@one_blas_thread
def second_derivatives(ground: Ground, inputs: dict, x: dict, step=lambda: None) -> np.ndarray:
    """d^2A (3N + 6, 3N + 6) in the positions (atom, axis) and the strains of Voigt, hartree and bohr; not symmetrized.

    `step` is called before each linear solve.
    """
    _, push_residual = jax.linearize(lambda i: ground.residual(i, x), inputs)
    _, push_gradient = jax.linearize(lambda i, y: ground.energy_and_slopes(i, y)[1], inputs, x)
    zero = jax.tree.map(jnp.zeros_like, inputs)
    shape = inputs["positions"].shape
    directions = [("positions", d.reshape(shape)) for d in np.eye(int(np.prod(shape)))]
    directions += [("strain", s) for s in voigt_strains()]
    rows = []
    for name, direction in directions:
        step()
        change = {**zero, name: jnp.asarray(direction)}
        dx = ground.change(inputs, x, *push_residual(change))
        g = push_gradient(change, dx)
        strain = np.asarray(g["strain"])
        rows.append(np.concatenate([np.asarray(g["positions"]).ravel(), [np.sum(strain * s) for s in voigt_strains()]]))
    return np.array(rows)
