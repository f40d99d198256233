"""The loop on the host: compiled chunks of a descent, and between them progress, checkpoints and signals."""

import time
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.bases.devices import SharedK
from dftopt.energy.prepared import Prepared
from dftopt.minimization import descent, options, unconstrained
from dftopt.minimization.cg import ConjugateGradients
from dftopt.minimization.checkpoint import Checkpoint, Saved
from dftopt.minimization.descent import INTERRUPTED
from dftopt.minimization.lbfgs import LBFGS
from dftopt.minimization.problem import Problem
from dftopt.minimization.start import work

CHUNK = 20  # evaluations per compiled call
LONGEST = 10.0  # seconds of such a call where more than one evaluation fits
SMALL = 1e9  # bands times grid points below which a first chunk takes seconds
METHODS: dict[str, descent.Method] = {
    "auto": LBFGS(),
    "cg": ConjugateGradients(),
    "gradient-descent": ConjugateGradients(conjugate=False),
    "lbfgs": LBFGS(),
}


@dataclass(frozen=True)
class Step:
    """What `progress` is called with between compiled chunks; hartree.

    Attributes:
        iterations: accepted so far.
        evaluations: of energy and gradient so far.
        free_energy: A.
        error: its predicted error.
        accepted: (A, error) of each iteration since the last call.
        structure: its place in the lists that `minimize` was given.
    """

    iterations: int
    evaluations: int
    free_energy: float
    error: float
    accepted: tuple[tuple[float, float], ...] = ()
    structure: int = 0


@dataclass(frozen=True)
class Run:
    """A minimization from one starting point, and its record; `hamiltonians` counts products H psi and FFTs."""

    x: Any
    info: Any
    status: int
    error: float
    iterations: int
    evaluations: int
    history: np.ndarray
    errors: np.ndarray
    hamiltonians: np.ndarray

    @classmethod
    def of(cls, saved: Saved) -> "Run":
        """What was done before a checkpoint; its work is counted where it is read."""
        return cls(
            saved.x, None, descent.RUNNING, np.inf, saved.iterations, saved.evaluations, saved.history, saved.errors, np.zeros(2)
        )  # fmt: skip


def save_if_due(kept: Checkpoint | None, before: Run | None, filled, counted, whole, so_far, now: bool = False) -> None:
    """Save where a run stands, with all that was done before it, when it is time; `whole` gathers its point."""
    if kept is None or not (now or kept.due()):
        return
    run = after(before, so_far())
    kept.write(
        Saved(
            whole(run.x),
            filled,
            run.history,
            run.errors,
            run.iterations,
            run.evaluations,
            counted + run.hamiltonians,
        )
    )


def after(before: Run | None, run: Run) -> Run:
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


def minimize_from(problem: Problem, x, prepared: Prepared, o: options.Options, tol: float, tell, keep) -> Run:
    """Minimize from a point.

    Args:
        problem: what is minimized.
        x: the point.
        prepared: arrays of the structure.
        o: options.
        tol: predicted error of the whole free energy at which to stop, hartree.
        tell: called with a `Step` after each compiled call; True ends the run.
        keep: called with a function that returns the `Run` so far, see `save_if_due`.
    """
    data = (prepared, jnp.asarray(o.temperature))
    if not isinstance(o.minimizer, str) or o.minimizer == "adam":
        return _outside(problem, x, data, o, tol, tell, keep)
    method = METHODS[o.minimizer]
    state = descent.start(problem, x, data, method, SharedK(prepared.devices, *x["psi"].shape[:2]))
    accepted: list = []
    status, limit = descent.RUNNING, CHUNK if is_small(x, prepared) else 1
    so_far = lambda: run_of(state, accepted, status)

    try:
        while status == descent.RUNNING and int(state.evaluations) < o.maxiter:
            begun, before = time.monotonic(), int(state.evaluations)
            n = min(limit, o.maxiter - before)
            state, record = descent.run(problem, state, data, tol, method, CHUNK, jnp.asarray(n))
            rows = rows_of(record)
            accepted += rows
            if jax.process_count() == 1:  # clocks differ, and processes have to call alike
                limit = int(np.clip(LONGEST * (int(state.evaluations) - before) / (time.monotonic() - begun), 1, CHUNK))
            step = Step(int(state.iterations), int(state.evaluations), float(state.at.value), float(state.error), rows)
            if tell(step) is True:
                status = INTERRUPTED
                break
            status = int(state.status)
            keep(so_far)
    except KeyboardInterrupt:
        if accepted and not state.error.is_deleted():  # a call that was cut off has used it up
            keep(so_far, now=True)
        raise
    keep(so_far, now=True)
    return so_far()


def rows_of(record: descent.Trace) -> tuple[tuple[float, float], ...]:
    """Free energy and its predicted error at the accepted points of a record."""
    kept = np.asarray(record.accepted)
    return tuple(zip(np.asarray(record.value)[kept].tolist(), np.asarray(record.error)[kept].tolist(), strict=True))


def run_of(state: descent.State, accepted: list, status: int) -> Run:
    """The run that led to a state, with its accepted rows."""
    psi = state.x["psi"]
    count = work(psi, int(state.evaluations) * np.prod(psi.shape[:3]), 3)
    values, errors = np.array(accepted).T
    return Run(
        state.x, state.at.info, status, float(state.error), int(state.iterations), int(state.evaluations), values, errors, count
    )  # fmt: skip


def is_small(x, prepared: Prepared) -> bool:
    """Whether a whole chunk is soon over."""
    bands = np.prod(x["psi"].shape[:3])
    return bool(bands * np.prod(prepared.fft) < SMALL)


def _outside(problem: Problem, x, data, o: options.Options, tol: float, tell, keep) -> Run:
    """Adam and other solvers on unconstrained parameters."""
    x, record = unconstrained.minimize(problem, x, data, o.minimizer, tol, o.maxiter, tell)
    at = unconstrained.evaluate(problem, x, data)
    status = descent.CONVERGED if record["error"] <= tol else record.get("status", descent.RUNNING)
    run = Run(
        x, at.info, status, record["error"], record["iterations"], record["evaluations"],
        np.array(record["history"]), np.array(record["errors"]), work(x["psi"], record["evaluations"] * np.prod(x["psi"].shape[:3]), 3),
    )  # fmt: skip
    keep(lambda: run, now=True)
    return run
