"""The free energy of unconstrained real parameters, and outside optimizers on it.

`free_energy` is one differentiable scalar: any real arrays of the right shape are allowed, orthonormality and
occupations come from the parametrization. Adam, and any optax or jaxopt solver, minimize it as it stands.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.energy.free_energy import energies, weights
from dftopt.energy.prepared import Prepared, prepare
from dftopt.errors import InputError
from dftopt.minimization import occupations as occ
from dftopt.minimization.descent import DIVERGED, INTERRUPTED, Evaluation
from dftopt.minimization.moments import filled_bands
from dftopt.minimization.orbitals import one_by_one, to_complex, to_real
from dftopt.minimization.problem import Problem
from dftopt.minimization.smearing import SMEARINGS, Smearing, against, chemical_potential, count

CHUNK = 20
ADAM_RATE = 0.005


def parameters_of(problem: Problem, x) -> dict:
    """Real parameters of a point: `orbitals` (..., 2), and `occupations` where the parametrization has any."""
    out = {"orbitals": to_real(x["psi"])}
    if problem.parametrization == "auxiliary":
        eta = x["occ"][..., None] * jnp.eye(x["occ"].shape[-1])
        out["occupations"] = to_real(eta.astype(complex))
    elif problem.parametrization != "fixed":
        out["occupations"] = x["occ"]
    return out


def implicit_mu(e, w, filling, temperature, kind: Smearing):
    """Chemical potentials with their derivative from the particle-number equation."""
    mu = chemical_potential(e, w, filling, temperature, kind)
    n, dn = jax.jvp(lambda m: count(e, m, w, temperature, kind), (mu,), (jnp.ones_like(mu),))
    return mu - (n - jax.lax.stop_gradient(n)) / jax.lax.stop_gradient(dn)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def root_occupation(eta, scaled, kind: Smearing):
    """f((eta - mu)/T)^{1/2} as a matrix function; `scaled` = (mu, T). Exact also where eta is degenerate."""
    e, u = jnp.linalg.eigh(eta)
    mu, temperature = scaled
    return (u * jnp.sqrt(kind.occupation((e - against(mu, e)) / temperature))[..., None, :]) @ u.conj().swapaxes(-1, -2)


@root_occupation.defjvp
def _root_occupation_jvp(kind, primals, tangents):
    (eta, (mu, temperature)), (d_eta, d_scaled) = primals, tangents
    e, u = jnp.linalg.eigh(eta)
    uh = u.conj().swapaxes(-1, -2)
    root = lambda y, m, t: jnp.sqrt(jnp.maximum(kind.occupation((y - against(m, y)) / t), 1e-300))
    s, ds_scaled = jax.jvp(lambda m, t: root(e, m, t), (mu, temperature), d_scaled)
    mean = 0.5 * (e[..., :, None] + e[..., None, :])
    _, slope = jax.jvp(lambda y: root(y, mu, temperature), (mean,), (jnp.ones_like(mean),))
    de = e[..., :, None] - e[..., None, :]
    close = jnp.abs(de) < 1e-4 * temperature
    quotient = jnp.where(close, slope, (s[..., :, None] - s[..., None, :]) / jnp.where(close, 1.0, de))
    tangent = u @ (quotient * (uh @ d_eta @ u)) @ uh + (u * ds_scaled[..., None, :]) @ uh
    return (u * s[..., None, :]) @ uh, tangent


def point_of(problem: Problem, params: dict, data) -> dict:
    """The point of the manifold that parameters stand for."""
    psi = problem.orthonormalize(to_complex(params["orbitals"]))
    if problem.parametrization == "fixed":
        return {"psi": psi, "occ": ()}
    if problem.parametrization == "auxiliary":
        e, u = jnp.linalg.eigh(_hermitian(params["occupations"]))
        return {"psi": jnp.einsum("...ji,...jg->...ig", u, psi), "occ": e}
    if problem.parametrization == "row-norm":
        return {"psi": psi, "occ": occ.orthonormal_columns(params["occupations"])}
    return {"psi": psi, "occ": params["occupations"]}


def _hermitian(real):
    m = to_complex(real)
    return 0.5 * (m + m.conj().swapaxes(-1, -2))


def value(problem: Problem, params: dict, data):
    """A of unconstrained parameters; differentiable in the parameters and in everything that `data` came from."""
    prepared, temperature = data
    w = weights(prepared)
    kind, n = problem.kind, prepared.filling
    psi = problem.orthonormalize(to_complex(params["orbitals"]))
    ones = jnp.ones(psi.shape[:3])
    if problem.parametrization == "fixed":
        return energies(psi, problem.fixed_occupations(psi.shape[:3]), prepared).free
    if problem.parametrization == "row-norm":
        f = occ.row_norms(occ.orthonormal_columns(params["occupations"]), psi.shape[:3])
        return energies(psi, f, prepared, -temperature * jnp.sum(w * occ.fermi_dirac_entropy(f))).free
    if problem.parametrization == "capped-simplex":
        e = params["occupations"]
        x = (e - against(implicit_mu(e, w, n, temperature, kind), e)) / temperature
        return energies(psi, kind.occupation(x), prepared, -temperature * jnp.sum(w * kind.entropy(x))).free
    eta = _hermitian(params["occupations"])
    e = one_by_one(jnp.linalg.eigvalsh, eta)
    mu = implicit_mu(e, w, n, temperature, kind)
    per_k = jnp.broadcast_to(mu[:, None], eta.shape[:2])
    root = one_by_one(lambda x: root_occupation(x[0], (x[1], temperature), kind), (eta, per_k))
    weighted = jnp.einsum("...ji,...jg->...ig", root, psi)  # rows psi_i f^(1/2): the density needs no eigenvectors
    return energies(
        weighted, ones, prepared, -temperature * jnp.sum(w * kind.entropy((e - against(mu, e)) / temperature))
    ).free


def free_energy(
    params: dict,
    model,
    basis,
    temperature=0.0,
    smearing: str = "fermi-dirac",
    parametrization: str = "auto",
    orthonormalization: str = "qr",
    inputs: dict | None = None,
    magnetization: float | None = None,
):
    """The free energy (hartree) of unconstrained parameters, for `jax.grad` in them and in the inputs.

    Args:
        params: `orbitals` (spin, k, band, plane wave, 2) real; at temperature > 0 also `occupations`: levels (spin, k,
            band) for "capped-simplex", an auxiliary Hamiltonian (spin, k, band, band, 2) for "auxiliary" (its Hermitian
            part counts), a matrix (k bands, electron pairs) for "row-norm". `dftopt.free_energy_parameters(result)`
            gives those of a minimum.
        model: the model.
        basis: the plane-wave basis.
        temperature: hartree.
        smearing: see `minimize`; Fermi-Dirac or Gaussian.
        parametrization: see `minimize`.
        orthonormalization: "qr", "loewdin" or "cholesky".
        inputs: continuous inputs in place of `model.inputs()`, for derivatives in positions, strain, potentials, xc.
        magnetization: N_up - N_down to hold fixed; at T = 0 with spin the starting moments decide where it is None.

    Raises:
        InputError: a smearing whose free energy is not bounded below.
    """
    kind = SMEARINGS[smearing]
    if parametrization == "auto":
        parametrization = "auxiliary" if "occupations" in params else "fixed"
    if parametrization != "fixed" and not kind.is_minimum:
        raise InputError(f"smearing = {smearing!r} has no minimum in the occupations: use 'fermi-dirac' or 'gaussian'.")
    filled = filled_bands(model, 0.0, magnetization) if parametrization == "fixed" else ()
    problem = Problem(parametrization, kind, orthonormalization, filled if len(set(filled)) > 1 else None)
    return value(
        problem, params, (prepare(model, basis, inputs, magnetization=magnetization), jnp.asarray(temperature))
    )


def free_energy_parameters(result) -> dict:
    """Parameters of `free_energy` at the minimum of a result."""
    return parameters_of(result.options.problem, result.point)


@partial(jax.jit, static_argnames="problem")
def evaluate(problem: Problem, x, data) -> Evaluation:
    """`Problem.evaluate`, compiled."""
    return problem.evaluate(x, data)


@partial(jax.jit, static_argnames="problem")
def _error(problem: Problem, params, data):
    at = problem.evaluate(point_of(problem, params, data), data)
    parts = jax.tree.map(lambda a, b: jnp.sum((a.conj() * b).real), at.gradient, at.direction)
    return 2 * sum(jax.tree.leaves(parts))


def minimize(
    problem: Problem, x, data: tuple[Prepared, Any], solver, tol: float, maxiter: int, tell
) -> tuple[dict, dict]:
    """Minimize with Adam or an outside solver; returns the point and a record like that of `descent.run`."""
    params = parameters_of(problem, x)
    record: dict = {"history": [], "errors": [], "iterations": 0, "evaluations": 0, "error": np.inf}
    if isinstance(solver, str) or _is_optax(solver):
        params = _optax(problem, params, data, solver, tol, maxiter, tell, record)
    else:
        params = _jaxopt(problem, params, data, solver, tol, maxiter, tell, record)
    return point_of(problem, params, data), record


def _is_optax(solver) -> bool:
    return hasattr(solver, "init") and hasattr(solver, "update")


def _report(record, a, error, tell, n):
    from dftopt.minimization.loop import Step

    record["history"] += [float(v) for v in np.asarray(a)]
    record["errors"] += [float(error)] * len(np.asarray(a))
    record["iterations"] += n
    record["evaluations"] += n
    record["error"] = float(error)
    if tell(Step(record["iterations"], record["evaluations"], record["history"][-1], float(error))) is True:
        record["status"] = INTERRUPTED


def _optax(problem, params, data, solver, tol, maxiter, tell, record):
    import optax

    solver = optax.adam(ADAM_RATE) if isinstance(solver, str) else solver
    state = solver.init(params)

    @jax.jit
    def steps(params, state, data):
        loss = lambda p: value(problem, p, data)

        def one(carry, _):
            p, s = carry
            a, g = jax.value_and_grad(loss)(p)
            u, s = solver.update(g, s, p, value=a, grad=g, value_fn=loss) if _extra(solver) else solver.update(g, s, p)
            return (optax.apply_updates(p, u), s), a

        return jax.lax.scan(one, (params, state), None, length=CHUNK)

    while "status" not in record and record["evaluations"] < maxiter and not record["error"] <= tol:
        (new, state), a = steps(params, state, data)
        error = _error(problem, new, data)
        if not np.isfinite(error):  # the energy of the last point is finite where its predicted error is
            record["status"] = DIVERGED
            break
        params = new
        _report(record, a, error, tell, CHUNK)
    return params


def _extra(solver) -> bool:
    import optax

    return isinstance(solver, optax.GradientTransformationExtraArgs)


def _jaxopt(problem, params, data, solver, tol, maxiter, tell, record):
    # the solver carries its own objective, which must be ours: rebuild it around the free energy
    import dataclasses

    solver = dataclasses.replace(solver, fun=lambda p, data: value(problem, p, data))
    state = solver.init_state(params, data=data)
    update = jax.jit(lambda p, s, data: solver.update(p, s, data=data))
    while "status" not in record and record["evaluations"] < maxiter and not record["error"] <= tol:
        values, new = [], params
        for _ in range(CHUNK):
            new, state = update(new, state, data)
            values.append(float(state.value) if hasattr(state, "value") else float("nan"))
        error = _error(problem, new, data)
        if not np.isfinite(error):
            record["status"] = DIVERGED
            break
        params = new
        _report(record, values, error, tell, CHUNK)
    return params
