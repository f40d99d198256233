"""Many structures in one call: those whose arrays have one shape are minimized together.

A compiled program advances as many as have a place; one that has arrived leaves its place to the next that waits, so that
a hard one holds nobody up. What is large, or alone of its shape, or has a checkpoint, runs by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.atoms import checks
from dftopt.bases.planewaves import PlaneWaves
from dftopt.energy.prepared import Prepared, prepare
from dftopt.errors import InputError
from dftopt.minimization import descent, options, together
from dftopt.minimization import refine as settling
from dftopt.minimization import start as starting
from dftopt.minimization.attempts import arrive
from dftopt.minimization.begin import (
    RITZ_STEPS,
    RITZ_TOL,
    Begin,
    are_real,
    as_found,
    check_start,
    first_bands,
    from_result,
    guess,
    more_bands,
    point,
    work,
)
from dftopt.minimization.clock import Clock, make_room
from dftopt.minimization.forecast import PROCESS_GIB, forecast
from dftopt.minimization.loop import CHUNK, METHODS, Run, Step, rows_of, run_of
from dftopt.minimization.moments import starting_moments
from dftopt.minimization.result import Result
from dftopt.minimization.tell import arrivals, teller

PLACES = 8  # structures at once on a core: few enough to be cheap to hold, enough to share a call
PLACES_ACCELERATOR = 64
SLICE = 256  # structures whose arrays are held at once
LONGEST = 30.0  # seconds of a structure beyond which it runs by itself, on all cores


@dataclass(frozen=True)
class Member:
    """A structure of a batch; `o` are its checked options."""

    index: int
    model: Any
    basis: Any
    o: options.Options
    start: Any
    inputs: dict | None
    prepared: Prepared

    @property
    def tol(self) -> float:
        """Predicted error of the whole free energy at which to stop, hartree."""
        return self.o.tol * len(self.model.structure)


@dataclass(frozen=True)
class Places:
    """Where structures are computed: so many on each device, `width` of them at once."""

    devices: int
    each: int
    width: int

    @property
    def count(self) -> int:
        """Of all devices."""
        return self.devices * self.each


def minimize_several(
    models, bases, start, checkpoint, inputs, shared: dict, alone: Callable[..., Result]
) -> list[Result]:
    """Results of lists of models and bases, in their order; what is wrong with any is told before the first one starts.

    Args:
        models: the structures.
        bases: as many.
        start: one for all, or a list.
        inputs: one for all, or a list.
        checkpoint: path of files, one for each structure; these then run one after another.
        shared: all other options of `minimize`.
        alone: minimizes one structure.

    Raises:
        InputError: lists that do not fit together, or wrong options.
    """
    if not all(isinstance(x, (list, tuple)) for x in (models, bases)) or len(models) != len(bases):
        raise InputError(
            "Lists of models and bases have to be two lists of equal length, a basis for each model: "
            "minimize([model_1, model_2], [basis_1, basis_2])."
        )
    n = len(models)
    begins = list(start) if isinstance(start, (list, tuple)) else [start] * n
    changed = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs] * n
    if len(begins) != n or len(changed) != n:
        raise InputError(f"start and inputs have to be one for all, or lists of {n}, as many as there are models.")
    teller(shared["progress"], 1)
    checked = {k: v for k, v in shared.items() if k != "progress"}
    found = [options.check(model, basis, **checked) for model, basis in zip(models, bases, strict=True)]
    for model, basis, begin, x in zip(models, bases, begins, changed, strict=True):
        check_start(begin)
        if x is not None:
            options.check_inputs(x, model, basis)
    results: list[Any] = [None] * n
    for first in range(0, n if checkpoint is None else 0, SLICE):
        here = [i for i in range(first, min(first + SLICE, n)) if _is_suited(models[i], bases[i], found[i])]
        for group in _groups([_member(i, models[i], bases[i], found[i], begins[i], changed[i]) for i in here]):
            for member, result in zip(group, _together(group, shared["progress"]), strict=True):
                results[member.index] = result
    for i in [i for i in range(n) if results[i] is None]:
        path = None if checkpoint is None else f"{checkpoint}.{i}"
        results[i] = alone(models[i], bases[i], **shared, start=begins[i], checkpoint=path, inputs=changed[i])
    return results


# ---------------------------------------------------------------------------------------------------- groups


def _is_suited(model, basis, o: options.Options) -> bool:
    """Whether a structure can share programs, and is small enough that it should."""
    if (
        not isinstance(basis, PlaneWaves)
        or o.starts > 1
        or o.kpoints_at_once is not None
        or not isinstance(o.minimizer, str)
        or o.minimizer not in METHODS
    ):
        return False
    expected = forecast(model, basis, o.nbands)
    fits = (expected["memory_gib"] - PROCESS_GIB) * _places(SLICE).count < 0.5 * checks.memory_limit_gib()
    return fits and expected["seconds"] < LONGEST


def _member(i: int, model, basis, o: options.Options, start, inputs) -> Member:
    prepared = prepare(model, basis, inputs, magnetization=o.magnetization, real=are_real(basis, o, start))
    return Member(i, model, basis, as_found(o, start), start, inputs, prepared)


def _groups(members: list[Member]) -> list[list[Member]]:
    """Structures that can share programs, two or more of each kind, with as many projectors in each: zeros fill them up."""
    kinds: dict[Any, list[Member]] = {}
    for m in members:
        nothing: Any = None
        shapes = _shape(
            replace(m.prepared, orbitals=replace(m.prepared.orbitals, projectors=nothing, coupling=nothing))
        )
        kinds.setdefault((m.o.problem, m.o.parametrization, shapes), []).append(m)
    groups = [kind for kind in kinds.values() if len(kind) > 1]
    return [[_filled_up(m, max(len(x.prepared.orbitals.coupling) for x in group)) for m in group] for group in groups]


def _filled_up(m: Member, size: int) -> Member:
    more = size - len(m.prepared.orbitals.coupling)
    if more == 0:
        return m
    orbitals = m.prepared.orbitals
    projectors = jnp.pad(orbitals.projectors, ((0, 0), (0, more), (0, 0)))
    coupling = jnp.pad(orbitals.coupling, ((0, more), (0, more)))
    return replace(
        m, prepared=replace(m.prepared, orbitals=replace(orbitals, projectors=projectors, coupling=coupling))
    )


def _shape(tree) -> tuple:
    """What makes compiled programs of two trees one."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((jnp.shape(x), jnp.result_type(x)) for x in leaves)


def _places(n: int) -> Places:
    """Places for so many structures."""
    if jax.default_backend() != "cpu":
        return Places(1, min(n, PLACES_ACCELERATOR), min(n, PLACES_ACCELERATOR))
    devices = max(1, min(jax.local_device_count(), n))
    return Places(devices, min(PLACES, -(-n // devices)), 1)


# ---------------------------------------------------------------------------------------------------- minimization


def _together(group: list[Member], progress) -> list[Result]:
    """Results of structures of one kind."""
    clock = Clock()
    make_room()
    tell = progress if callable(progress) else lambda step: None
    arrived = arrivals(progress, len(group))
    begins = _begins(group)
    runs: dict[int, Run] = {}
    for alike in _alike(group, lambda i: _shape(begins[i].x)):
        before = len(runs)
        runs |= _descend(group, alike, begins, tell, lambda n, before=before: arrived(before + n))
    finals = _settle(group, begins, runs)
    results = []
    for i, m in enumerate(group):
        single = teller(progress, len(m.model.structure))  # for those that were in an excited state
        results.append(
            arrive(
                m.model,
                m.basis,
                m.prepared,
                m.o,
                begins[i],
                single,
                clock,
                m.inputs,
                first=(runs[i], finals[i]),
                share=1 / len(group),
            )  # fmt: skip
        )
    return results


def _alike(group: list[Member], key: Callable[[int], Any], among=None) -> list[list[int]]:
    """Places in the group, by key."""
    kinds: dict[Any, list[int]] = {}
    for i in range(len(group)) if among is None else among:
        kinds.setdefault(key(i), []).append(i)
    return list(kinds.values())


def _rounds(alike: list[int]):
    """As many as have a place at a time, the last round filled up with its last structure; and the places."""
    places = _places(len(alike))
    for first in range(0, len(alike), places.count):
        here = alike[first : first + places.count]
        yield here, here + here[-1:] * (places.count - len(here)), places


def _begins(group: list[Member]) -> list[Begin]:
    """Starting points; those at a temperature may need more bands than were guessed."""
    found: dict[int, Begin] = {}
    bands: dict[int, int] = {}
    for i, m in enumerate(group):
        if isinstance(m.start, Result):
            found[i] = from_result(m.start, m.model, m.basis, m.prepared, m.o)
        else:
            bands[i] = first_bands(m.o, m.basis)
    density = {
        i: starting.atomic_density(group[i].model, group[i].basis, starting_moments(group[i].model)) for i in bands
    }
    counted = {i: np.zeros(2) for i in bands}
    while bands:
        guesses = {
            i: guess(m.model, m.basis, m.prepared, m.o, m.start, m.inputs, nb)
            for i, nb in bands.items()
            for m in [group[i]]
        }
        key = lambda i, guesses=guesses: (_shape(guesses[i].psi), guesses[i].wanted, group[i].start)
        for alike in _alike(group, key, bands):
            g, m = guesses[alike[0]], group[alike[0]]
            for here, filled, p in _rounds(alike):
                stacked = together.stack([(guesses[i].psi, density[i], group[i].prepared) for i in filled], p.devices)
                limits = RITZ_STEPS[m.start], RITZ_TOL
                out = together.begin(stacked, *limits, m.prepared.band_block, g.wanted, p.devices, p.width)
                for place, i in enumerate(here):
                    psi, e = together.take(out, place, p.devices)
                    counted[i] = counted[i] + work(psi, m.start)
                    m = group[i]
                    reached = point(guesses[i], psi, e, m.model, m.basis, m.prepared, m.o)
                    if reached is not None:
                        found[i] = Begin(reached[0], reached[1], counted[i])
        bands = {i: more_bands(nb, group[i].basis) for i, nb in bands.items() if i not in found}
    return [found[i] for i in range(len(group))]


def _descend(group: list[Member], alike: list[int], begins: list[Begin], tell, arrived) -> dict[int, Run]:
    """Minimize from points of one shape; a structure that has arrived leaves its place to the next."""
    p, waiting = _places(len(alike)), list(alike)
    m = group[alike[0]]
    problem, method, temperature = m.o.problem, METHODS[m.o.minimizer], jnp.asarray(m.o.temperature)

    def first(i: int):
        m = group[i]
        state = descent.start(problem, begins[i].x, (m.prepared, temperature), method)
        return state, m.prepared, jnp.asarray(m.tol)

    at: list[int | None] = [waiting.pop(0) if waiting else None for _ in range(p.count)]
    rows: dict[int, list] = {i: [] for i in alike}
    spent = dict.fromkeys(alike, 0)
    states, *data = together.stack([first(alike[0] if i is None else i) for i in at], p.devices)
    runs: dict[int, Run] = {}
    while len(runs) < len(alike):
        limits = np.array([0 if i is None else min(CHUNK, group[i].o.maxiter - spent[i]) for i in at])
        limits = together.spread(limits, p.devices)
        states, records = together.run(problem, states, (*data, limits), temperature, method, CHUNK, p.devices, p.width)
        status, evaluations, iterations, value, error, records = jax.device_get(
            (states.status, states.evaluations, states.iterations, states.at.value, states.error, records)
        )
        for place, i in enumerate(at):
            if i is None:
                continue
            new = rows_of(jax.tree.map(lambda a, place=place: a[place], records))
            rows[i] += new
            spent[i] = int(evaluations[place])
            step = Step(int(iterations[place]), spent[i], float(value[place]), float(error[place]), new, group[i].index)
            ends = descent.INTERRUPTED if tell(step) is True else int(status[place])
            if ends == descent.RUNNING and spent[i] < group[i].o.maxiter:
                continue
            runs[i] = run_of(together.take(states._replace(d=(), memory=()), place, p.devices), rows[i], ends)
            at[place] = following = waiting.pop(0) if waiting else None
            if following is not None:
                states, *data = together.put((states, *data), place, first(following), p.devices)
        arrived(len(runs))
    return runs


def _settle(group: list[Member], begins: list[Begin], runs: dict[int, Run]) -> list[settling.Final]:
    """What the minima leave free."""
    finals: dict[int, settling.Final] = {}
    full: dict[int, Any] = {}
    wanted, count, seen, found = {}, {}, {}, {}
    for i, m in enumerate(group):
        full[i], wanted[i] = settling.to_settle(runs[i].x, begins[i].empty, m.prepared, m.o.problem, m.o, m.basis)
        count[i] = np.zeros(2)
    tries = {i: list(settling.settled_before(m.o)) for i, m in enumerate(group)}
    while any(tries.values()):
        key = lambda i: (_shape((full[i], runs[i].x["psi"])), wanted[i], tries[i][0])
        for alike in _alike(group, key, [i for i in tries if tries[i]]):
            m, first = group[alike[0]], tries[alike[0]][0]
            for here, filled, p in _rounds(alike):
                trees = [(full[i], runs[i].x["psi"], runs[i].info["f"], group[i].prepared) for i in filled]
                stacked, limit = together.stack(trees, p.devices), settling.residual_limit(m.o)
                out = together.settle(
                    stacked, settling.STEPS, limit, m.prepared.band_block, wanted[alike[0]], first, p.devices, p.width
                )
                for place, i in enumerate(here):
                    seen[i], found[i] = together.take(out, place, p.devices)
                    full[i], count[i] = found[i].psi, count[i] + settling.settling(found[i], first)
                    tries[i] = [] if settling.is_settled(found[i], first, m.o, group[i].basis.nk) else tries[i][1:]
    for i, m in enumerate(group):
        finals[i] = settling.finish(
            runs[i].x, runs[i].info, runs[i].error, seen[i], found[i], count[i], m.prepared, m.o.problem, m.o, m.model, m.basis
        )  # fmt: skip
    return [finals[i] for i in range(len(group))]
