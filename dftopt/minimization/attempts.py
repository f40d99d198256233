"""From a starting point to a result: minimize, settle, and go on where it was an excited state."""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from dftopt.bases.devices import gather
from dftopt.energy.prepared import Prepared
from dftopt.minimization import descent, options
from dftopt.minimization import start as starting
from dftopt.minimization.begin import Begin
from dftopt.minimization.checkpoint import Checkpoint
from dftopt.minimization.clock import Clock
from dftopt.minimization.loop import Run, after, minimize_from, save_if_due
from dftopt.minimization.moments import aufbau, edges
from dftopt.minimization.refine import Final, refine
from dftopt.minimization.result import Result
from dftopt.minimization.verdict import assemble

MOST = 4


class How(NamedTuple):
    """The two steps of an attempt, with arguments as `minimize_from` and `refine` have them."""

    minimize_from: Any = minimize_from
    refine: Any = refine


IN_MEMORY = How()


def arrive(
    model, basis, prepared: Prepared, o: options.Options, begin: Begin, tell, clock: Clock, inputs,
    kept: Checkpoint | None = None, before: Run | None = None, first: tuple[Run, Final] | None = None, share: float = 1.0,
    how: How = IN_MEMORY,
) -> Result:  # fmt: skip
    """The result that a starting point leads to.

    Args:
        model: the model.
        basis: its basis.
        prepared: its arrays.
        o: how it is minimized.
        begin: the point.
        tell: called with each `Step`.
        clock: runs since the minimization began; `share` is the part of its seconds that is this structure's.
        kept: the checkpoint to write.
        before: what was done before a checkpoint.
        first: a first run and its settled orbitals, where they are known.
        inputs: that replaced those of the model.
        share: see `clock`.
        how: the steps, where they are others.
    """
    x, empty, counted = begin
    whole = lambda x: {
        "psi": starting.expanded(x["psi"], basis.nk, prepared), "occ": gather(x["occ"], basis.nk, prepared.devices)
    }  # fmt: skip
    for attempt in range(MOST):
        if first is not None and attempt == 0:
            run, final = first
        else:
            keep = partial(save_if_due, kept, before, o.filled, counted, whole)
            run = after(before, how.minimize_from(o.problem, x, prepared, o, o.tol * len(model.structure), tell, keep))
            final = how.refine(run.x, run.info, run.error, empty, prepared, o.problem, o, model, basis)
        counted = counted + run.hamiltonians + final.hamiltonians
        if attempt == MOST - 1 or run.status != descent.CONVERGED:
            break
        lower = _other_filling(final, o, model, basis)
        if lower is not None:  # an empty band of one spin lies below a filled one of the other: move the electrons
            o, before = replace(o, filled=lower), run
            x = {"psi": starting.compact(final.psi[:, :, : max(lower)], prepared), "occ": ()}
        elif final.excited:
            before, x = run, final.restart  # an excited state: go on from the lowest orbitals
        else:
            break
    spent = clock.read()
    spent |= {name: share * spent[name] for name in ("wall_seconds", "compile_seconds")}
    return assemble(model, basis, o, replace(run, x=whole(run.x)), final, counted, spent, inputs)


def _other_filling(final: Final, o: options.Options, model, basis) -> tuple[int, ...] | None:
    """Bands per spin of lower energy at T = 0 with a free magnetization; None where the present ones are the lowest."""
    if o.temperature > 0 or model.nspin == 1 or o.magnetization is not None:
        return None
    better = aufbau(final.eigenvalues, basis.kpoints.weights, round(model.n_electrons))
    top, bottom = edges(final.eigenvalues, o.filled)
    return better if better != o.filled and bottom < top - 1e-6 else None
