"""Is it a minimum? The lowest curvature of the free energy at a stationary point, by a few products with its Hessian.

A minimization that starts without a moment, or with too much symmetry, can end in a saddle point: the gradient is zero
and the occupations follow the levels, but the energy falls along a direction that the start did not contain. The
lowest eigenvalue of the Hessian on the manifold of orbitals and occupations tells, and its eigenvector leads on.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.energy.prepared import prepare
from dftopt.errors import InputError
from dftopt.minimization.molecular_result import MolecularResult
from dftopt.minimization.orbitals import overlap, teter
from dftopt.minimization.problem import Problem
from dftopt.minimization.result import Result
from dftopt.minimization.trees import dot
from dftopt.precision import one_blas_thread

STEP = 1e-3  # of the central difference of gradients, in units of a normalized direction
PUSH = 0.3  # displacement of the restart
FLAT = 1e-5  # curvatures above minus this count as not negative, hartree


@dataclass(frozen=True, eq=False)
class Stability:
    """Lowest curvature at a stationary point.

    Attributes:
        curvature: lowest eigenvalue of the Hessian found, hartree per squared unit of a normalized direction; an upper
            bound of the true one.
        stable: whether it is not negative.
        change: how much the last step lowered it; small where it is settled.
        restart: the result, of a molecule its orbitals, displaced along the direction of lowest curvature:
            `minimize(..., start=restart)` follows it down.
    """

    curvature: float
    stable: bool
    change: float
    restart: Any = field(repr=False)


@one_blas_thread
def stability(result: Result, steps: int = 12, seed: int = 0) -> Stability:
    r"""Lowest eigenvalue of the Hessian of A at a converged result, by locally optimal preconditioned steps.

    Products with the Hessian are central differences of the gradient, $H v = [g(x + hv) - g(x - hv)] / 2h$, two
    evaluations each. Symmetry of the k points is kept: directions that break it are not seen.

    Args:
        result: a converged result, at T = 0 or with the auxiliary parametrization of the occupations.
        steps: products with the Hessian.
        seed: of the random direction to start from.

    Raises:
        InputError: another parametrization, or a smearing whose stationary point is no minimum.
        NotConverged: the result did not converge.

    References:
        Knyazev, SIAM J. Sci. Comput. 23, 517 (2001); Seeger and Pople, J. Chem. Phys. 66, 3045 (1977).
    """
    result.require_converged("The stability")
    if isinstance(result, MolecularResult) and result.options.parametrization == "fixed":
        from dftopt.minimization import molecular_stability  # which builds on this module

        return molecular_stability.stability(result, steps, seed)
    if isinstance(result, MolecularResult):
        raise InputError("stability of a molecule is for fixed occupations (temperature = 0).")
    problem = result.options.problem
    if problem.parametrization not in ("fixed", "auxiliary") or not problem.is_minimum:
        raise InputError(
            f"stability needs a minimum in the 'fixed' or 'auxiliary' parametrization with Fermi-Dirac or Gaussian smearing; "
            f"this result has {problem.parametrization!r} and {result.options.smearing!r}."
        )
    prepared = prepare(result.model, result.basis, result.inputs, magnetization=result.options.magnetization)
    data = (prepared, jnp.asarray(result.options.temperature))
    x = result.point
    v = _random(problem, x, data, jax.random.key(seed))
    hv = product(problem, x, data, v)
    value, change, last = float(dot(v, hv)), np.inf, None
    for _ in range(max(1, int(steps) - 1)):
        r = _preconditioned(problem, x, data, v, hv)
        r, hr = r, product(problem, x, data, r)
        rows = [(v, hv), (r, hr)] + ([] if last is None else [last])
        v, hv, last, lower = lowest(rows)
        value, change = lower, value - lower
        if change < 1e-3 * max(abs(value), 1e-3):
            break
    displaced = replace(result, point=problem.retract(x, v, PUSH)[0])
    return Stability(value, value > -FLAT, float(change), displaced)


def add(*terms):
    """Sum of coefficient times tangent."""
    return jax.tree.map(
        lambda *leaves: sum(c * leaf for (c, _), leaf in zip(terms, leaves, strict=True)), *(t for _, t in terms)
    )


def project(problem, x, v):
    """The part of v that is a tangent at x: orthogonal to the filled orbitals, Hermitian, zero where bands are absent."""
    psi, perp = x["psi"], v["perp"]
    present = problem.fixed_occupations(psi.shape[:3])[..., None]
    out = {"perp": (perp - jnp.einsum("...ji,...jg->...ig", overlap(psi, perp), psi)) * present}
    if "occ" in v:
        out["occ"] = 0.5 * (v["occ"] + v["occ"].conj().swapaxes(-1, -2))
    return out


def unit(v):
    """A tangent of length 1."""
    return jax.tree.map(lambda leaf: leaf / jnp.sqrt(dot(v, v)), v)


def _random(problem: Problem, x, data, key):
    psi = x["psi"]
    keys = jax.random.split(key, 2)
    noise = jax.random.normal(keys[0], (*psi.shape, 2))
    half_q2 = data[0].orbitals.half_q2[:, None]
    v = {"perp": jax.lax.complex(noise[..., 0], noise[..., 1]) * data[0].orbitals.mask[:, None] / (1 + half_q2) ** 2}
    if problem.parametrization == "auxiliary":
        nb = psi.shape[2]
        noise = 0.1 * jax.random.normal(keys[1], (*psi.shape[:2], nb, nb, 2))
        v["occ"] = jax.lax.complex(noise[..., 0], noise[..., 1])
    return unit(project(problem, x, v))


@partial(jax.jit, static_argnames="problem")
def _gradient_at(problem, x, data, v, t):
    """Gradient at the point x + t v, in the frame of x."""
    y, q = problem.retract(x, v, t)
    g = problem.evaluate(y, data).gradient
    if problem.parametrization == "fixed":
        return {"perp": g["perp"]}
    back = q.conj().swapaxes(-1, -2)
    return {"perp": jnp.einsum("...ji,...jg->...ig", back, g["perp"]), "occ": q @ g["occ"] @ back}


def product(problem, x, data, v):
    """The Hessian times a tangent v at x, by a central difference of gradients."""
    ahead, behind = (_gradient_at(problem, x, data, v, t) for t in (STEP, -STEP))
    return project(problem, x, add((0.5 / STEP, ahead), (-0.5 / STEP, behind)))


def _preconditioned(problem: Problem, x, data, v, hv):
    """The residual H v - <v|H|v> v, preconditioned and normalized."""
    r = add((1.0, hv), (-dot(v, hv), v))
    half_q2 = data[0].orbitals.half_q2[:, None]
    psi = x["psi"]
    kinetic = jnp.sum((psi.real**2 + psi.imag**2) * half_q2, axis=-1)
    r["perp"] = teter(half_q2, kinetic) * r["perp"]
    return unit(project(problem, x, r))


def lowest(rows):
    """Lowest Ritz pair in the span of (v, H v) rows: v, H v, the step taken (to keep as the third row), the value."""
    o = np.array([[float(dot(a, b)) for b, _ in rows] for a, _ in rows])
    h = np.array([[float(dot(a, hb)) for _, hb in rows] for a, _ in rows])
    scale, u = np.linalg.eigh(o)
    keep = scale > 1e-10 * scale.max()
    basis = u[:, keep] / np.sqrt(scale[keep])
    values, vectors = np.linalg.eigh(basis.T @ (0.5 * (h + h.T)) @ basis)
    c = basis @ vectors[:, 0]
    v, hv = (
        add(*((x, a) for x, (a, _) in zip(c, rows, strict=True))),
        add(*((x, b) for x, (_, b) in zip(c, rows, strict=True))),
    )
    rest = list(zip(c[1:], rows[1:], strict=True))
    p, hp = add(*((x, a) for x, (a, _) in rest)), add(*((x, b) for x, (_, b) in rest))
    size = 1 / jnp.sqrt(dot(p, p))
    return v, hv, (add((size, p)), add((size, hp))), float(values[0])
