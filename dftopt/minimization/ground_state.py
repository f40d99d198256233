"""`minimize`: from a model and a basis to the minimum of its free energy."""

import sys
import warnings
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.energy.free_energy import weights
from dftopt.energy.prepared import Prepared, prepare
from dftopt.errors import DFTOptWarning, InputError
from dftopt.minimization import descent, options, unconstrained
from dftopt.minimization import occupations as occ
from dftopt.minimization import start as starting
from dftopt.minimization.cg import ConjugateGradients
from dftopt.minimization.clock import Clock, make_room
from dftopt.minimization.lbfgs import LBFGS
from dftopt.minimization.problem import Problem
from dftopt.minimization.refine import (
    BUFFER,
    Final,
    filled_bands,
    occupation_parameters,
    refine,
    residual_limit,
    wanted_bands,
)
from dftopt.minimization.result import Result, Stats
from dftopt.minimization.smearing import SMEARINGS
from dftopt.precision import one_blas_thread

INTERRUPTED = -1
CHUNK = 20  # evaluations per compiled call: between calls there is progress, and signals are heard
RITZ_STEPS = 4
SMALL_OCCUPATION = 1e-6


@dataclass(frozen=True)
class Step:
    """What `progress` is called with between compiled chunks; hartree.

    Attributes:
        iterations: accepted so far.
        evaluations: of energy and gradient so far.
        free_energy: A.
        error: its predicted error.
        accepted: (A, error) of each iteration since the last call.
    """

    iterations: int
    evaluations: int
    free_energy: float
    error: float
    accepted: tuple[tuple[float, float], ...] = ()


@one_blas_thread
def minimize(
    model,
    basis,
    temperature: float = 0.0,
    smearing: str = "fermi-dirac",
    nbands: int | None = None,
    magnetization=None,
    parametrization: str = "auto",
    minimizer: Any = "auto",
    tol: float = 1e-8,
    maxiter: int = 300,
    seed: int = 0,
    start: Any = "atomic",
    starts=None,
    checkpoint=None,
    progress=None,
    orthonormalization: str = "cholesky",
    inputs: dict | None = None,
) -> Result:
    """Minimize the free energy of a model in a basis.

    Args:
        model: the `dftopt.Model`.
        basis: the `dftopt.PlaneWaves` of this model.
        temperature: electronic temperature (width of the smearing), hartree.
        smearing: "fermi-dirac", "gaussian", "methfessel-paxton" (order 1) or "marzari-vanderbilt" (cold).
        nbands: bands; default enough for the temperature, and two empty ones at T = 0.
        magnetization: needs spin polarization, not available yet.
        parametrization: of the occupations: "fixed" (T = 0), "row-norm", "capped-simplex", "auxiliary", or "auto".
        minimizer: "cg" (preconditioned conjugate gradients, the default), "lbfgs", "gradient-descent", "adam", or an
            optax or jaxopt solver object, which sees unconstrained real parameters.
        tol: predicted error of the free energy at which to stop, hartree per atom; 1e-8 for energies, 1e-12 for
            forces to 1e-6 hartree/bohr.
        maxiter: at most this many evaluations of energy and gradient.
        seed: of the random numbers in the starting orbitals.
        start: "atomic" (orbitals relaxed a little in the potential of superposed atoms), "random", or an earlier
            result of the same shape.
        starts: needs spin polarization, not available yet.
        checkpoint: not available yet.
        progress: None (a line on the terminal if there is one), False, or a function of a `Step`; a function that
            returns True ends the run, which then says "interrupted".
        orthonormalization: "cholesky", "qr" or "loewdin".
        inputs: continuous inputs in place of `model.inputs()`: positions, strain (at the same plane waves), parameters
            of potentials and functional.

    Returns:
        The `Result`; look at its `verdict`.

    Raises:
        InputError: wrong options, before anything is allocated.
    """
    clock = Clock()
    make_room()
    o = options.check(
        model, basis, temperature=temperature, smearing=smearing, nbands=nbands, magnetization=magnetization,
        parametrization=parametrization, minimizer=minimizer, orthonormalization=orthonormalization, tol=tol,
        maxiter=maxiter, seed=seed, starts=starts, checkpoint=checkpoint,
    )  # fmt: skip
    if inputs is not None:
        options.check_inputs(inputs, model, basis)
    prepared = prepare(model, basis, inputs)
    problem = Problem(o.parametrization, SMEARINGS[o.smearing], o.orthonormalization)
    x, empty, counted = _starting_point(model, basis, prepared, problem, o, start)
    tell = _teller(progress, len(model.structure))
    before: _Run | None = None
    for attempt in range(3):
        run = _after(before, _minimize(problem, x, prepared, o, tol * len(model.structure), tell))
        final = refine(run.x, run.info, run.error, empty, prepared, problem, o, model, basis)
        counted = counted + run.hamiltonians + final.hamiltonians
        if not final.excited or attempt == 2 or run.status != descent.CONVERGED:
            break
        before, x = run, final.restart  # an excited state: go on from the lowest orbitals
    return _assemble(model, basis, o, run, final, counted, clock, inputs)


# ---------------------------------------------------------------------------------------------------- start


def _starting_point(model, basis, prepared: Prepared, problem: Problem, o: options.Options, start):
    """A point, bands beyond it that later become the empty ones (T = 0), and the work done."""
    if isinstance(start, Result):
        return _from_result(start, basis, problem, model), _beyond(start, basis), np.zeros(2)
    if start not in ("atomic", "random"):
        raise InputError(f"start = {start!r} must be 'atomic', 'random' or a Result of the same shape.")
    key = jax.random.key(o.seed)
    filled, most = filled_bands(model), int(basis.counts.min())
    nb = filled if o.temperature == 0 else min(o.nbands or filled + max(4, int(np.ceil(0.2 * filled))), most)
    potential = starting.potential_of(starting.atomic_density(model, basis), prepared)
    steps = RITZ_STEPS if start == "atomic" else 0
    counted = np.zeros(2)
    while True:
        wanted = wanted_bands(o, filled, nb, most)
        total = min(max(wanted, nb) + BUFFER, most)  # the same shape as in `_refine`, compiled once
        psi = starting.random_orbitals(key, (model.nspin, basis.nk, total, basis.npw), prepared.orbitals)
        psi, e, _, _ = starting.lowest_orbitals(
            psi, potential, prepared.orbitals, steps, 1e-3, prepared.band_block, wanted
        )
        counted += np.array([1, 2]) * total * basis.nk * model.nspin * (steps + 1)
        psi, empty, e = psi[:, :, :nb], psi[:, :, nb:], e[..., :nb]
        if o.temperature == 0:
            return {"psi": psi, "occ": ()}, empty, counted
        f, _, _ = occ.from_levels(e, weights(prepared), prepared.n_electrons, o.temperature, SMEARINGS["fermi-dirac"])
        if o.nbands is not None or float(np.asarray(f)[..., -1].max()) < SMALL_OCCUPATION or nb >= most:
            return {"psi": psi, "occ": occupation_parameters(problem, e, f, model, basis)}, empty, counted
        nb = min(nb + max(2, nb // 4), most)


def _beyond(earlier: Result, basis):
    """The empty bands of an earlier result at the same plane waves, to start ours from."""
    n = earlier.point["psi"].shape[2]
    return earlier.psi[:, :, n:] if starting.same_waves(earlier.basis, basis) else earlier.psi[:, :, :0, : basis.npw]


def _from_result(earlier: Result, basis, problem: Problem, model):
    if earlier.options.parametrization != problem.parametrization:
        raise InputError(
            f"start: the earlier result was parametrized by {earlier.options.parametrization!r}, this run by {problem.parametrization!r}. "
            "Use the same temperature and parametrization."
        )
    return starting.carry(earlier, basis)


# ---------------------------------------------------------------------------------------------------- loop


@dataclass(frozen=True)
class _Run:
    x: Any
    info: Any
    status: int
    error: float
    iterations: int
    evaluations: int
    history: np.ndarray
    errors: np.ndarray
    hamiltonians: np.ndarray


def _after(before: _Run | None, run: _Run) -> _Run:
    """A run with the record of the one before it."""
    if before is None:
        return run
    return replace(
        run,
        iterations=before.iterations + run.iterations,
        evaluations=before.evaluations + run.evaluations,
        history=np.concatenate([before.history, run.history]),
        errors=np.concatenate([before.errors, run.errors]),
    )


def _minimize(problem: Problem, x, prepared: Prepared, o: options.Options, tol: float, tell) -> _Run:
    data = (prepared, jnp.asarray(o.temperature))
    if not isinstance(o.minimizer, str) or o.minimizer == "adam":
        x, record = unconstrained.minimize(problem, x, data, o.minimizer, tol, o.maxiter, tell)
        at = unconstrained.evaluate(problem, x, data)
        status = descent.CONVERGED if record["error"] <= tol else descent.RUNNING
        return _Run(
            x, at.info, status, record["error"], record["iterations"], record["evaluations"],
            np.array(record["history"]), np.array(record["errors"]), np.array([1, 3]) * record["evaluations"] * np.prod(x["psi"].shape[:3]),
        )  # fmt: skip
    method = {
        "auto": ConjugateGradients(),
        "cg": ConjugateGradients(),
        "gradient-descent": ConjugateGradients(conjugate=False),
        "lbfgs": LBFGS(),
    }[o.minimizer]
    state = descent.start(problem, x, data, method)
    accepted: list = []
    status = descent.RUNNING
    while status == descent.RUNNING and int(state.evaluations) < o.maxiter:
        n = jnp.minimum(CHUNK, o.maxiter - state.evaluations)
        state, record = descent.run(problem, state, data, tol, method, CHUNK, n)
        kept = np.asarray(record.accepted)
        rows = tuple(zip(np.asarray(record.value)[kept].tolist(), np.asarray(record.error)[kept].tolist(), strict=True))
        accepted += rows
        step = Step(int(state.iterations), int(state.evaluations), float(state.at.value), float(state.error), rows)
        if tell(step) is True:
            status = INTERRUPTED
            break
        status = int(state.status)
    count = np.array([1, 3]) * int(state.evaluations) * np.prod(state.x["psi"].shape[:3])
    values, errors = np.array(accepted).T
    return _Run(
        state.x,
        state.at.info,
        status,
        float(state.error),
        int(state.iterations),
        int(state.evaluations),
        values,
        errors,
        count,
    )


def _teller(progress, natoms: int):
    if callable(progress):
        return progress
    if progress is False or (progress is None and not sys.stderr.isatty()):
        return lambda step: None

    def tell(step: Step) -> None:
        text = f"iteration {step.iterations:4d}   A = {step.free_energy:.10f} Ha   error {step.error / natoms:8.1e} Ha/atom"
        print(text, file=sys.stderr)

    return tell


# ---------------------------------------------------------------------------------------------------- after


def _assemble(model, basis, o: options.Options, run: _Run, final: Final, counted, clock: Clock, inputs) -> Result:
    natoms = len(model.structure)
    error = run.error / natoms
    settled = bool(np.all(final.residuals < 10 * residual_limit(o)))
    converged = False
    if run.status == descent.CONVERGED and final.excited:
        verdict = "not converged: an excited state, an empty band lies below a filled one (try another seed, or a temperature)"
    elif run.status == descent.CONVERGED and settled:
        converged, verdict = True, f"converged to {error:.1e} Ha per atom"
    elif run.status == descent.CONVERGED:
        verdict = f"not converged: empty bands are off by {final.residuals.max():.1e} Ha (try fewer bands)"
    elif run.status == descent.STUCK:
        converged = error <= max(1e-9, o.tol)
        verdict = f"stopped at roundoff, converged to {error:.1e} Ha per atom"
        if not converged:
            verdict = (
                f"not converged: no descent at {error:.1e} Ha per atom (try a temperature, more bands, or another seed)"
            )
    elif run.status == INTERRUPTED:
        verdict = f"not converged: interrupted after {run.evaluations} evaluations at {error:.1e} Ha per atom"
    elif run.status == descent.DIVERGED:
        verdict = "not converged: the energy is not finite (check the structure, or try another start)"
    else:
        verdict = f"not converged: {run.evaluations} evaluations reached {error:.1e} Ha per atom (try a larger maxiter)"
    _warn(model, o, final)
    filled = final.occupations > 1e-6
    stats = Stats(
        iterations=run.iterations,
        evaluations=run.evaluations,
        hamiltonian_applications=int(counted[0]),
        ffts=int(counted[1]),
        residual=float(np.max(np.where(filled, final.residuals, 0.0))),
        error=error,
        **clock.read(),
    )
    energies = jax.tree.map(float, run.info["energies"])
    return Result(
        model=model, basis=basis, options=o, energies=energies, converged=converged, verdict=verdict, stats=stats,
        eigenvalues=final.eigenvalues, occupations=final.occupations, fermi_level=final.fermi_level, history=run.history,
        errors=run.errors, psi=final.psi, potential=final.potential, point=run.x, diagonality=final.diagonality, inputs=inputs,
    )  # fmt: skip


def _warn(model, o: options.Options, final: Final) -> None:
    filled = filled_bands(model)
    e = final.eigenvalues
    if o.temperature == 0 and e.shape[-1] > filled and e[..., filled].min() < e[..., filled - 1].max():
        warnings.warn(
            f"The highest filled level ({e[..., filled - 1].max():.4f} Ha) lies above the lowest empty one "
            f"({e[..., filled].min():.4f} Ha): this is a metal, and temperature = 0 fills the same bands at every k. "
            "Give a temperature (0.005 Ha is typical).",
            DFTOptWarning,
            stacklevel=5,
        )
    top = final.occupations[..., -1].max()
    if o.temperature > 0 and top > 1e-4:
        warnings.warn(
            f"nbands = {e.shape[-1]}: the highest band is still filled to {top:.1e}. Raise nbands.",
            DFTOptWarning,
            stacklevel=5,
        )
