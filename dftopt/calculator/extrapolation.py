"""Orbitals of the next structure from those of the last three.

The new structure is written as a combination x ~ c_0 x_0 + c_1 x_1 + c_2 x_2 of the last ones (sum c = 1), and the same
combination of their orbitals is a better start than the last orbitals alone. Before they are added, the orbitals of
each structure are turned among themselves so that they overlap most with the last ones: only the space that they span
has a meaning, and it varies smoothly.

References:
    Arias, Payne, Joannopoulos, Phys. Rev. B 45, 1538 (1992); Mead, Rev. Mod. Phys. 64, 51 (1992), section II (frames).
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.minimization.orbitals import overlap
from dftopt.minimization.problem import Problem
from dftopt.minimization.result import Result
from dftopt.minimization.start import rewritten, same_waves

LAST = 3  # structures that are combined
LARGEST = 15.0  # sum of |c| beyond which errors of the earlier orbitals are magnified more than they help
PRIOR = 1e-5  # weight of the smooth motion (3, -3, 1), which decides where the structures lie on a line


def coefficients(structures) -> np.ndarray:
    """The combination of structures that is nearest to another one.

    Args:
        structures: the new one, then the last ones, newest first; `cell` and `frac` are used.

    Returns:
        c, one for each of the last ones, sum 1.
    """
    at = [_coordinates(s, structures[0]) for s in structures]
    steps = np.array([a - b for a, b in zip(at, at[1:], strict=False)])  # newest first
    if len(steps) == 1:
        return np.ones(1)
    target, past = steps[0], steps[1:].T
    smooth = np.array([1.0]) if len(steps) == 2 else np.array([2.0, -1.0])
    ridge = PRIOR * np.sum(past**2) + 1e-30
    matrix = past.T @ past + ridge * np.eye(len(smooth))
    a = np.linalg.solve(matrix, past.T @ target + ridge * smooth)
    c = np.array([1 + a[0], *(a[1:] - a[:-1]), -a[-1]])
    return c if np.abs(c).sum() <= LARGEST else np.array([1.0, *np.zeros(len(c) - 1)])


def _coordinates(s, near) -> np.ndarray:
    """Positions by the nearest images to those of another structure, and cell, as one vector; bohr."""
    moved = s.frac - near.frac
    return np.concatenate([((moved - np.round(moved)) @ near.cell).ravel(), (s.cell - near.cell).ravel()])


def extrapolated(earlier: list[Result], basis) -> Result:
    """A start for a new structure from results of the last ones, newest first, of equal shape; in the new plane waves."""
    last = carried(earlier[0], basis)
    if last.options.parametrization not in ("fixed", "auxiliary"):
        return last
    c = coefficients([basis.model.structure, *(r.model.structure for r in earlier)])
    points = [last.point, *(carried(r, basis).point for r in earlier[1:])]
    missing = LAST - len(points)  # filled up, so that one program serves from the second structure on
    points, c = points + points[:1] * missing, np.append(c, np.zeros(missing))
    return replace(last, point=_combined(points, jnp.asarray(c), last.options.problem))


def carried(result: Result, basis) -> Result:
    """A result with its orbitals written in the plane waves of another basis, matched by their integer G."""
    if same_waves(result.basis, basis):
        return result
    written = lambda psi: None if psi is None else rewritten(psi, result.basis, basis)
    point = {**result.point, "psi": _orthonormal(written(result.point["psi"]), result.options.problem)}
    return replace(result, basis=basis, point=point, psi=written(result.psi), buffer=written(result.buffer))


@partial(jax.jit, static_argnames="problem")
def _orthonormal(psi, problem: Problem):
    return problem.orthonormalize(psi)


@partial(jax.jit, static_argnames="problem")
def _combined(points, c, problem: Problem):
    """The combination of points, each in the frame that fits the first best."""
    levels = problem.parametrization == "auxiliary"
    psi = jnp.stack([point["psi"] for point in points])
    u, _, vh = jnp.linalg.svd(overlap(psi[:1], psi), full_matrices=False)  # one call: two side by side can deadlock
    turn = (u @ vh).conj().swapaxes(-1, -2)  # polar factor: makes the overlap positive; the identity for the first
    psi = jnp.einsum("x,x...ji,x...jg->...ig", c, turn, psi)
    if levels:
        matrices = _matrix(jnp.stack([point["occ"] for point in points]))
        eta = jnp.einsum("x,x...ij->...ij", c, turn.conj().swapaxes(-1, -2) @ matrices @ turn)
    if not levels:
        return {"psi": problem.orthonormalize(psi), "occ": ()}
    e, q = jnp.linalg.eigh(0.5 * (eta + eta.conj().swapaxes(-1, -2)))
    psi = jnp.einsum("...ji,...jg->...ig", q, psi)  # before the factorization, so that the two follow each other
    return {"psi": problem.orthonormalize(psi), "occ": e}


def _matrix(levels):
    return (levels[..., None] * jnp.eye(levels.shape[-1])).astype(complex)
