"""Minimization with a block of k points on the device at a time: start, descent and end, see `zone`.

Orbitals, directions and gradients wait on disk. What is held of all k points are levels and matrices among the bands.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.energy.free_energy import apply_hamiltonian, assemble, orbital_terms, potential_energy, weights
from dftopt.energy.prepared import Orbitals, Prepared
from dftopt.minimization import descent, options
from dftopt.minimization import refine as settling
from dftopt.minimization import start as starting
from dftopt.minimization.attempts import How
from dftopt.minimization.begin import (
    RITZ_STEPS,
    RITZ_TOL,
    Begin,
    Guess,
    check_start,
    first_bands,
    from_result,
    guess,
    more_bands,
    point,
    work,
)
from dftopt.minimization.cg import ConjugateGradients
from dftopt.minimization.loop import INTERRUPTED, Run, Step
from dftopt.minimization.on_disk import OnDisk
from dftopt.minimization.problem import Problem, norms, rotate
from dftopt.minimization.result import Result
from dftopt.minimization.trees import axpy, dot, scale
from dftopt.minimization.zone import Zone

METHODS = {"auto": ConjugateGradients(), "cg": ConjugateGradients(), "gradient-descent": ConjugateGradients(False)}
NAMES = ("psi", "trial", "d", "z", "trial z", "g", "trial g")  # seven arrays of the size of all orbitals


def how(zone: Zone) -> How:
    """The steps of `attempts.arrive`."""
    return How(
        lambda problem, x, _, *rest: minimize_from(zone, problem, x, *rest),
        lambda x, info, error, empty, _, problem, o, *rest: refine(zone, x, info, error, empty, problem, o),
    )


# ------------------------------------------------------------------------------------------------------ compiled


@partial(jax.jit, static_argnames=("problem", "block"))
def _move(problem: Problem, psi, d, z, turned, renew, beta, q, t, fw, orbitals: Orbitals, block: int):
    """Direction, trial orbitals and their sums over a block, see `orbital_terms`.

    Where `renew` holds, the direction is first replaced by -z + beta d, with d turned and projected as the last step did.
    """
    there = {"psi": psi}
    followed = problem.project({"perp": rotate(turned, d)}, there)["perp"]
    d = jnp.where(renew, beta * followed - z, d)
    trial = problem.orthonormalize(rotate(q, psi + t * d))
    return d, trial, orbital_terms(trial, fw, orbitals, block)


@partial(jax.jit, static_argnames=("problem", "block"))
def _pull(problem: Problem, psi, d, g, q, f, w, potential, orbitals: Orbitals, block: int):
    """Gradient and preconditioned gradient of a block, H among its bands, residuals, and sums that the descent needs."""
    hpsi = apply_hamiltonian(psi, potential, orbitals, block)
    h, r, z = problem.residuals(psi, hpsi, orbitals)
    new = problem.gradient(r, f, w)
    carried = problem.project({"perp": rotate(q, g)}, {"psi": psi})["perp"]
    real = (w > 0)[..., None]  # k points that fill the block up do not count
    sums = tuple(dot(real * a, b) for a, b in ((new, rotate(q, d)), (new, z), (carried, z)))
    return new, z, h, norms(r), sums


@jax.jit
def _potential(summed, prepared: Prepared):
    (_, parts), potential = jax.value_and_grad(potential_energy, has_aux=True)(summed, prepared)
    return parts, potential


@partial(jax.jit, static_argnames=("problem",))
def _occupied(problem: Problem, x, d, t, data):
    """Occupation parameters of a trial point, rotation of the bands on the way, and occupations."""
    moved, q = problem.retract(x, d, t)
    return moved["occ"], q, *problem.occupations(moved, data)


@partial(jax.jit, static_argnames=("problem",))
def _small(problem: Problem, x, d, g, q, f, mu, h, data):
    """What occupations and rotations add to the gradient and to the sums of `_pull`; orbitals of no plane waves."""
    nothing = x["psi"]
    new, z = problem.tangents(x, f, mu, h, nothing, nothing, weights(data[0]), data[1])
    turned = problem.turn(d, q)
    return new, z, (dot(new, turned), dot(new, z), dot(problem.transport(g, x, q), z))


@partial(jax.jit, static_argnames=("problem", "method"))
def _decide(problem: Problem, method, s: descent.State, value, sums, tol):
    """Whether the trial point is accepted, whether the old one starts again, beta of the next direction, and the numbers."""
    slope, gz, cross = sums
    trial = descent.judge(problem.is_minimum, method, s, value, slope)
    first = s.evaluations == 0
    beta = jnp.where(first | (not method.conjugate), 0.0, jnp.maximum(0.0, (gz - cross) / s.gz))
    # <g, projected d> = <g, d>, for g is a tangent
    now, how = descent.go_on(method, s, trial, tol, gz, beta * slope - gz)
    now = now._replace(at=now.at._replace(value=jnp.where(trial.accept, value, s.at.value)))
    return trial.accept, how.again, jnp.where(how.steepest, 0.0, beta), now


# ---------------------------------------------------------------------------------------------------------- descent


def minimize_from(zone: Zone, problem: Problem, x, o: options.Options, tol: float, tell, keep) -> Run:
    """Minimize from a point by conjugate gradients; arguments as for `loop.minimize_from`.

    An evaluation goes through the blocks twice: orbitals move and their density is added up, then they feel its potential.
    """
    method, data = METHODS[o.minimizer], (zone.shared, jnp.asarray(o.temperature))
    store, shape = OnDisk(), x["psi"].shape
    for name in NAMES:
        store.make(name, shape, complex)
    for points in zone.blocks:
        store.write("psi", points, x["psi"][:, points])
    empty = jnp.zeros((*shape[:3], 0), complex)
    small = {"psi": empty, "occ": jax.tree.map(jnp.asarray, x["occ"])}
    zero = lambda: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), _tangents(problem, small, data))
    d, z, g = zero(), zero(), zero()
    turned = q = jnp.broadcast_to(jnp.eye(shape[2], dtype=complex), (*shape[:3], shape[2]))
    s, renew, beta, info = descent.before(method), False, 0.0, None
    accepted: list[tuple[float, float]] = []
    status = descent.RUNNING
    so_far = lambda: _run({"psi": store["psi"], "occ": small["occ"]}, info, status, s, accepted)
    try:
        while status == descent.RUNNING and int(s.evaluations) < o.maxiter:
            t = jnp.where(s.evaluations == 0, 0.0, s.step)
            if renew:
                followed = problem.project(problem.turn(d, turned), small)
                d = axpy(beta, followed, scale(-1.0, z))
            levels, q, f, mu, entropy = _occupied(problem, small, d, t, data)
            summed, e_kin, e_nl = _trial(zone, problem, store, turned, renew, beta, q, t, f)
            parts, potential = _potential(summed, zone.shared)
            trial = {"psi": empty, "occ": levels}
            h, residual, sums = _gradients(zone, problem, store, q, f, potential)
            new_g, new_z, more = _small(problem, trial, d, g, q, f, mu, h, data)
            extrapolation = 0.0 if problem.parametrization == "fixed" else problem.kind.extrapolation
            e = assemble(e_kin, e_nl, parts, f, entropy, zone.shared, extrapolation)
            sums = tuple(a + b for a, b in zip(sums, more, strict=True))
            accept, again, step_beta, s = _decide(problem, method, s, e.free, sums, tol)
            renew = bool(accept) or bool(again)
            rows = ((float(s.at.value), float(s.error)),) if accept else ()
            if accept:
                for one in ("psi", "z", "g"):
                    store.swap(one, "trial" if one == "psi" else f"trial {one}")
                small, z, g, turned, beta = trial, new_z, new_g, q, step_beta
                info = problem.info(e, f, mu, h, residual)
                accepted += rows
            elif again:
                beta = 0.0
            step = Step(int(s.iterations), int(s.evaluations), float(s.at.value), float(s.error), rows)
            status = int(s.status)
            if tell(step) is True:
                status = INTERRUPTED
            keep(so_far)
    except KeyboardInterrupt:
        if accepted:
            keep(so_far, now=True)
        raise
    keep(so_far, now=True)
    return so_far()


def _tangents(problem: Problem, small, data):
    """Shapes of tangents without plane waves."""
    nothing, f = small["psi"], jnp.ones(small["psi"].shape[:3])
    h = jnp.zeros((*f.shape, f.shape[2]), complex)
    make = lambda: problem.tangents(small, f, jnp.zeros(1), h, nothing, nothing, weights(data[0]), data[1])[0]
    return jax.eval_shape(make)


def _trial(zone: Zone, problem: Problem, store: OnDisk, turned, renew, beta, q, t, f):
    """First pass: new directions and trial orbitals; sums over all k points, kinetic and nonlocal energies (s, k, b)."""
    fw, summed, kinetic, nonlocal_ = f * weights(zone.shared), 0.0, [], []
    for points in zone.blocks:
        psi, d, z = (zone.take(store[name], points) for name in ("psi", "d", "z"))
        d, trial, (part, e_kin, e_nl) = _move(
            problem, psi, d, z, zone.take(turned, points), renew, beta, zone.take(q, points), t,
            zone.of(fw, points), zone.orbitals(points), zone.shared.band_block,
        )  # fmt: skip
        summed = summed + part
        kinetic.append(np.asarray(e_kin))
        nonlocal_.append(np.asarray(e_nl))
        store.write("trial", points, trial)
        if renew:
            store.write("d", points, d)
    return summed, zone.collect(kinetic), zone.collect(nonlocal_)


def _gradients(zone: Zone, problem: Problem, store: OnDisk, q, f, potential):
    """Second pass: gradients of the trial orbitals; H among the bands, residuals (s, k, b), and sums of `_pull`."""
    couplings, residuals, sums = [], [], (0.0, 0.0, 0.0)
    for points in zone.blocks:
        trial, d, g = (zone.take(store[name], points) for name in ("trial", "d", "g"))
        w = zone.of(weights(zone.shared), points)
        g, z, h, r, part = _pull(
            problem, trial, d, g, zone.take(q, points), zone.of(f, points), w, potential, zone.orbitals(points),
            zone.shared.band_block,
        )  # fmt: skip
        sums = tuple(a + b for a, b in zip(sums, part, strict=True))
        couplings.append(np.asarray(h))
        residuals.append(np.asarray(r))
        store.write("trial g", points, g)
        store.write("trial z", points, z)
    return jnp.asarray(zone.collect(couplings)), zone.collect(residuals), sums


def _run(x, info, status: int, s: descent.State, accepted: list) -> Run:
    values, errors = np.array(accepted).T
    count = starting.work(x["psi"], int(s.evaluations) * np.prod(x["psi"].shape[:3]), 3)
    return Run(x, info, status, float(s.error), int(s.iterations), int(s.evaluations), values, errors, count)


# --------------------------------------------------------------------------------------------------- start and end


def starting_point(zone: Zone, o: options.Options, start, moments) -> Begin:
    """`begin.starting_point`, block by block."""
    model, basis = zone.model, zone.basis
    if isinstance(start, Result):
        return from_result(start, model, basis, zone.shared, o)
    check_start(start)
    potential = starting.potential_of(starting.atomic_density(model, basis, moments), zone.shared)
    counted, nb = np.zeros(2), first_bands(o, basis)
    while True:
        store, wanted = OnDisk(), 0
        levels: list[np.ndarray] = []
        for points in zone.blocks:
            prepared = zone.prepared(points)
            g = guess(model, zone.part(points), prepared, o, start, zone.inputs, nb)
            psi, e, _, _ = starting.lowest_orbitals(
                g.psi, potential, prepared.orbitals, RITZ_STEPS[start], RITZ_TOL, prepared.band_block, g.wanted, 0
            )
            if not levels:
                store.make("psi", (psi.shape[0], basis.nk, *psi.shape[2:]), complex)
            counted, wanted = counted + work(psi, start), g.wanted
            store.write("psi", points, psi)
            levels.append(np.asarray(e))
        found = point(Guess(store["psi"], nb, wanted), store["psi"], zone.collect(levels), model, basis, zone.shared, o)
        if found is not None:
            x, empty = found
            return Begin(x, empty, counted)
        nb = more_bands(nb, basis)


def refine(zone: Zone, x, info, error, empty, problem: Problem, o: options.Options) -> settling.Final:
    """`refine.refine`, block by block."""
    seen = settling.seen_of(zone.summed(x["psi"], info["f"] * weights(zone.shared)), zone.shared)
    store, count = OnDisk(), np.zeros(2)
    for round_, first in enumerate(settling.settled_before(o)):
        parts: dict[str, list] = {"eigenvalues": [], "norms": [], "steps": []}
        for points in zone.blocks:
            prepared, own, beyond = (
                zone.prepared(points),
                {"psi": zone.take(x["psi"], points)},
                zone.take(empty, points),
            )
            full, wanted = settling.to_settle(own, beyond, prepared, problem, o, zone.part(points))
            if round_ > 0:  # it begins where the first one ended
                full = zone.take(store["psi"], points)
            found = settling.Settled(
                *starting.lowest_orbitals(
                    full, seen.potential, prepared.orbitals, settling.STEPS, settling.residual_limit(o), prepared.band_block, wanted, first
                )
            )  # fmt: skip
            if "psi" not in store:
                store.make("psi", (found.psi.shape[0], zone.basis.nk, *found.psi.shape[2:]), complex)
            store.write("psi", points, found.psi)
            for name, values in parts.items():
                values.append(np.asarray(getattr(found, name)))
        found = settling.Settled(store["psi"], *(zone.collect(values) for values in parts.values()))
        count = count + settling.settling(found, first)
        if settling.is_settled(found, first, o, zone.basis.nk):
            break
    return settling.finish(x, info, error, seen, found, count, zone.shared, problem, o, zone.model, zone.basis)
