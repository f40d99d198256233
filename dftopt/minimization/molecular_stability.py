"""Is a molecule's minimum one? The lowest curvature of its free energy, see `stability`."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.energy.molecule import prepare
from dftopt.minimization import stability as shared
from dftopt.minimization.molecular_problem import Frame, MolecularProblem
from dftopt.minimization.molecular_result import MolecularResult
from dftopt.minimization.trees import dot
from dftopt.minimization.warm_up import WarmUp

SMALLEST = 0.15  # hartree, of level differences in the preconditioner


def stability(result: MolecularResult, steps: int, seed: int) -> "shared.Stability":
    """Lowest eigenvalue of the Hessian at a result with fixed occupations; `restart` is what `minimize(start=...)` takes."""
    problem = MolecularProblem(result.options.problem)
    molecule = prepare(result.model, result.basis, result.options.magnetization)
    orbitals = np.asarray(result.psi)[:, 0]
    frame = Frame(jnp.asarray(orbitals), jnp.asarray(result.eigenvalues[:, 0]))
    inside = np.asarray(result.point["psi"]) @ result.basis.overlap @ orbitals[:, None].swapaxes(-1, -2)
    x = {"psi": jnp.asarray(inside), "occ": ()}
    data = (molecule, jnp.zeros(()), frame)
    noise = jax.random.normal(jax.random.key(seed), inside.shape)
    v = _preconditioned(problem, x, frame, {"perp": noise})
    hv = shared.product(problem, x, data, v)
    value, change, last = float(dot(v, hv)), np.inf, None
    for _ in range(max(1, int(steps) - 1)):
        r = _preconditioned(problem, x, frame, shared.add((1.0, hv), (-dot(v, hv), v)))
        rows = [(v, hv), (r, shared.product(problem, x, data, r))] + ([] if last is None else [last])
        v, hv, last, lower = shared.lowest(rows)
        value, change = lower, value - lower
        if change < 1e-3 * max(abs(value), 1e-3):
            break
    moved = np.asarray(problem.retract(x, v, shared.PUSH)[0]["psi"]) @ orbitals[:, None]
    restart = WarmUp(moved, np.zeros(0), np.zeros(0, int), float("nan"))
    return shared.Stability(value, value > -shared.FLAT, float(change), restart)


@partial(jax.jit, static_argnames="problem")
def _preconditioned(problem: MolecularProblem, x, frame: Frame, r):
    """A tangent divided by level differences, normalized."""
    own = jnp.einsum("skbn,sn->skb", x["psi"] ** 2, frame.levels)
    scaled = r["perp"] / jnp.sqrt((frame.levels[:, None, None] - own[..., None]) ** 2 + SMALLEST**2)
    return shared.unit(shared.project(problem, x, {"perp": scaled}))
