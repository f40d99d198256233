"""The closed loop: propose structures, compute their energies, refit, until predictions are certain enough.

Results live in an ASE database (`ase db FILE` and `ase db FILE -w` show them). Every ordering has a text that is the same for
all its descriptions; the database is asked to reserve it before a calculation starts, so that nothing is computed twice, also
by workers beside each other and after an interruption.
"""

import os
import platform
import re
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.db import connect

from dftopt.alloy.configurations import Ordering, orderings
from dftopt.alloy.equilibrium import whole
from dftopt.alloy.expansion import ClusterExpansion
from dftopt.alloy.ground_states import hull
from dftopt.alloy.matching import Match
from dftopt.alloy.parent import Parent
from dftopt.errors import DFTOptWarning, InputError

PRIOR = 1e-3  # of the ridge that proposes before there are energies
FEWEST = 4  # structures with energies before a fit
LOCK = 0x64667470  # names the lock that workers share on a server
HOST = platform.node() or "localhost"


@dataclass(frozen=True, eq=False)
class Outcome:
    """Where a campaign stands.

    Args:
        expansion: the last fit; None before there were enough energies.
        certain: the largest deviation among all orderings is as small as wanted.
        uncertainty: that deviation, eV per atom.
        rows: one dictionary per structure: key, formula, status, energy (eV per cell), round, reason.
        rounds: list of dictionaries: structures, cv_rmse, uncertainty, proposed.
        left: orderings that no run has taken up yet; where there are none, another run has nothing to compute.
    """

    expansion: ClusterExpansion | None
    certain: bool
    uncertainty: float
    rows: list[dict]
    rounds: list[dict]
    left: int = 0


def run(
    parent: Atoms,
    species,
    cutoffs,
    compute: Callable[[Atoms], float],
    database: str,
    *,
    atoms: int = 4,
    wanted: float = 0.005,
    calculations: int = 50,
    batch: int = 4,
    composition=None,
    method: str = "ridge",
    seed: int = 0,
    retry: bool = False,
    executor=None,
    log: Callable[[str], None] = lambda text: None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Propose, compute and refit.

    Each round proposes the predicted ground states that were not computed yet, then the orderings with the largest predictive
    deviation, one after another as if each were known. Structures of a round are computed by number of atoms, so that programs
    are used again.

    Args:
        parent: ASE Atoms of the lattice; structures are computed at its size.
        species: symbols.
        cutoffs: of the expansion, angstrom.
        compute: energy in eV of a cell; an exception is written down as a failure.
        database: file or URL that `ase.db.connect` takes.
        atoms: largest number of atoms in a cell.
        wanted: largest deviation of a prediction among all orderings at which to end, eV per atom.
        calculations: at most so many in this run.
        batch: structures per round.
        composition: (K,) lowest and highest fraction of each species.
        method: of the fit.
        seed: of the cross-validation.
        retry: compute again what failed before, and what workers on other machines left behind: none may be running.
        executor: computes the structures of a round beside each other: `submit(compute, structure)` gives a future, as that of
            a Dask client or of `concurrent.futures`. None: one after another.
        log: takes lines of text.
        stop: true when the run should end (a signal, a time limit).

    Returns:
        Outcome.

    Raises:
        InputError: numbers that are not positive, wrong species or cutoffs, or a database of something else.
    """
    for name, value in (("atoms", atoms), ("calculations", calculations), ("batch", batch)):
        whole(name, value, 1)
    if not isinstance(wanted, (int, float)) or not 0 < wanted < np.inf:
        raise InputError(f"wanted = {wanted!r} must be a positive energy, eV per atom.")
    lattice = Parent.of(parent)
    blank = ClusterExpansion.blank(lattice, species, cutoffs)
    pool = orderings(lattice, len(blank.species), atoms, composition)
    if not pool:
        raise InputError(f"composition = {composition}: no ordering of up to {atoms} atoms has it.")
    keys = [o.key for o in pool]
    X = blank.correlations([(o.supercell, o.codes) for o in pool])
    db = opened(database)
    forget(db, retry)
    done, rounds = 0, []
    while True:
        energies = known(db)
        held = [i for i, k in enumerate(keys) if k in energies]
        tried = {row.get("ordering") for row in db.select()}
        ce, deviation = fit(blank, [pool[i] for i in held], [energies[keys[i]] for i in held], X, method, seed)
        worst = float(deviation.max())
        rounds.append({
            "structures": len(held), "uncertainty_eV": worst if ce else None, "cv_rmse_eV": ce.cv_rmse if ce else None,
        })  # fmt: skip
        log(
            f"round {len(rounds):3d}: {len(held)} of {len(pool)} orderings computed"
            + (f", cv rmse {1e3 * ce.cv_rmse:.2f}, largest deviation {1e3 * worst:.2f} meV/atom" if ce else "")
        )
        free = [i for i, k in enumerate(keys) if k not in tried]
        if ce is not None and worst <= wanted or not free or done >= calculations or stop():
            certain = ce is not None and worst <= wanted
            return Outcome(ce, certain, worst if ce else np.inf, table(db), rounds, len(free))
        chosen = propose(X, held, free, min(batch, calculations - done), ce, pool)
        alike = [pool[i] for i in sorted(chosen, key=lambda i: len(pool[i].codes))]  # one size after another
        done += _round(db, alike, blank.species, compute, executor, len(rounds), log, stop)


def fit(blank, structures: list[Ordering], energies, X, method, seed):
    """Expansion of what is known (None while it is too little), and the deviation of every ordering, eV per atom."""
    if len(structures) < FEWEST:
        return None, np.full(len(X), np.inf)
    zero = np.zeros(1)
    matches = [Match(o.supercell, o.codes, np.arange(len(o.codes)), zero, 0.0, 1.0) for o in structures]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DFTOptWarning)  # small cells alias and leave open: that is what the loop is for
        ce = blank.refit(matches, energies, method, min(10, len(structures)), seed, allow_undetermined=True)
    return ce, np.sqrt(np.maximum(np.einsum("ri,ij,rj->r", X, ce.covariance, X), 0))


def propose(X, held, free, count, ce, pool) -> list[int]:
    """Orderings to compute next: predicted ground states first, then the most uncertain ones."""
    chosen: list[int] = []
    if ce is not None:
        c = np.stack([np.bincount(o.codes, minlength=len(ce.species)) / len(o.codes) for o in pool])
        above = hull(c, X @ ce.coefficients, ce.pure()).above
        chosen = [i for i in sorted(free, key=lambda i: (above[i], len(pool[i].codes))) if above[i] < 1e-9][:count]
    precision = PRIOR * np.eye(X.shape[1]) + X[held].T @ X[held]
    covariance = np.linalg.inv(precision)
    for i in chosen:
        covariance = _known(covariance, X[i])
    while len(chosen) < min(count, len(free)):
        left = [i for i in free if i not in chosen]
        value = np.einsum("ri,ij,rj->r", X[left], covariance, X[left])
        best = left[int(np.argmax(value))]
        chosen.append(best)
        covariance = _known(covariance, X[best])
    return chosen


def _known(covariance, x):
    """Covariance once the energy with the correlations x is known."""
    v = covariance @ x
    return covariance - np.outer(v, v) / (1 + x @ v)


def _round(db, chosen: list[Ordering], species, compute, executor, turn, log, stop) -> int:
    """Compute structures that no other worker has, and write them to the database as they come; how many."""
    done, waiting = 0, []
    for ordering in chosen:
        if stop():
            break
        number = reserved(db, ordering.key)
        if number is None:
            continue
        structure = ordering.supercell.atoms([species[c] for c in ordering.codes])
        if executor is None:
            _written(db, number, ordering.key, structure, _timed(compute, structure.copy()), turn, log)
            done += 1
        else:
            waiting.append((number, ordering.key, structure, executor.submit(_timed, compute, structure.copy())))
    while waiting:
        ready = [w for w in waiting if w[3].done()]
        if not ready and stop():  # what runs is finished by nobody: a later run drops these rows and begins anew
            for number, _, _, future in waiting:
                future.cancel()
                db.delete([number])
            break
        for number, key, structure, future in ready:
            _written(db, number, key, structure, _result(future), turn, log)
        done += len(ready)
        waiting = [w for w in waiting if w not in ready]
        time.sleep(0.0 if ready or not waiting else 0.05)
    return done


def _timed(compute, structure) -> tuple[float | None, str, float]:
    """Energy, the reason where there is none, and seconds; runs on the worker."""
    begun = time.perf_counter()
    try:
        energy = float(compute(structure))
        if not np.isfinite(energy):
            raise ValueError(f"the energy is {energy}")
    except Exception as error:  # one structure that fails must not end the campaign: it is told in the table
        return None, " ".join(f"{type(error).__name__}: {error}".split()), time.perf_counter() - begun
    return energy, "", time.perf_counter() - begun


def _result(future) -> tuple[float | None, str, float]:
    """What `_timed` gave; a worker that was lost is a failure of its structure."""
    try:
        return future.result()
    except Exception as error:
        return None, " ".join(f"{type(error).__name__}: {error}".split()), 0.0


def _written(db, number, key, structure, result, turn, log) -> None:
    from ase.calculators.singlepoint import SinglePointCalculator

    energy, reason, seconds = result
    if energy is None:
        db.write(structure, id=number, ordering=key, status="failed", round=turn, reason=reason[:500])
        log(f"  {structure.get_chemical_formula():12s} failed: {reason}")
        return
    structure.calc = SinglePointCalculator(structure, energy=energy)
    db.write(structure, id=number, ordering=key, status="done", round=turn, seconds=seconds)
    log(f"  {structure.get_chemical_formula():12s} {energy:16.6f} eV {seconds:8.1f} s")


def reserved(db, key: str) -> int | None:
    """Number of a new row for an ordering; None where there is one.

    SQLite's backend locks its file. That of PostgreSQL asks and writes without a lock, so that two workers could both be
    given one: the server's own lock, held for the transaction, lets one after the other ask.
    """
    with db if type(db).__name__ == "PostgreSQLDatabase" else nullcontext():
        if getattr(db, "connection", None) is not None:
            db.connection.cursor().execute(f"SELECT pg_advisory_xact_lock({LOCK})")
        number = db.reserve(ordering=key)
        if number is not None:
            db.update(number, worker=f"{HOST}:{os.getpid()}")
    return number


def opened(database: str):
    """The database of a file or a URL such as postgresql://user:password@host:5432/name.

    Raises:
        InputError: ASE has no backend for it, or its server does not answer.
    """
    try:
        db = connect(database)
    except (ModuleNotFoundError, ValueError) as error:
        raise InputError(
            f"database = {shown(database)}: ASE cannot open it ({error}). A file that ends in .db works as it is; PostgreSQL "
            "needs pip install ase-db-backends psycopg2-binary."
        ) from None
    for wait in (0.2, 1.0, None) if database.startswith("postgresql") else ():
        try:
            db.count()
            break
        except Exception as error:  # of workers that begin together both make the tables: the second finds them, later
            if wait is None:
                raise InputError(
                    f"database = {shown(database)}: the server does not answer ({' '.join(str(error).split())}). Start it, or "
                    "mend user, password and name of the URL."
                ) from None
            time.sleep(wait)
    return db


def shown(database: str) -> str:
    """The database without the password of a URL."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", database)


def forget(db, retry: bool) -> None:
    """Drop what a run of this machine that has ended had reserved, and with `retry` what failed or others hold.

    Raises:
        InputError: the database holds rows of something else.
    """
    gone = []
    for row in db.select():
        if "ordering" not in row:
            raise InputError(f"The database holds row {row.id}, which is not of a campaign: name another one.")
        status = row.get("status")
        if (status is None and (retry or _ended(row.get("worker")))) or (retry and status == "failed"):
            gone.append(row.id)
    db.delete(gone)


def _ended(worker: str | None) -> bool:
    """No process of this machine has this name; those of other machines may still compute."""
    host, _, process = (worker or "").rpartition(":")
    if host != HOST:
        return not host
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return int(process) == os.getpid()


def known(db) -> dict[str, float]:
    """Energies by ordering, eV per cell."""
    return {row.ordering: row.energy for row in db.select(status="done")}


def table(db) -> list[dict[str, Any]]:
    """What is done and what failed."""
    return [
        {
            "ordering": row.ordering,
            "formula": row.formula,
            "status": row.get("status", "running"),
            "energy_eV": row.get("energy"),
            "round": row.get("round"),
            "seconds": row.get("seconds"),
            "reason": row.get("reason"),
        }
        for row in db.select()
    ]
