"""Training data by partial evolution: `macro.sample`."""

import warnings

import jax
import numpy as np

from dftopt.errors import DFTOptWarning, InputError
from dftopt.macro import checks
from dftopt.macro.data import Increments
from dftopt.macro.lags import lag_check
from dftopt.macro.partial_evolution import block_of, corners, evolve, factor_of
from dftopt.macro.simulator import as_simulator, parameters_of, size_of
from dftopt.macro.whole_system import check_start
from dftopt.macro.whole_system import trajectories as run

ESTIMATORS = ("auto", "rates", "steps")
EVOLUTIONS_AT_ONCE = 512


def sample(
    sim,
    trajectories: int = 200,
    patch: int | None = None,
    seed: int = 0,
    *,
    start=None,
    times=None,
    dt: float | None = None,
    patches: int | None = None,
    replicas: int = 2,
    estimator: str = "auto",
    snapshots: bool = False,
    check: bool = True,
) -> Increments:
    r"""Increments of the macroscopic coordinates from snapshots of the whole system, by evolving patches of it.

    Trajectories of the whole system are recorded at `times`. From every snapshot x, `patches` patches are evolved over dt
    with their surroundings frozen, each `replicas` times:
    $z_1 = \phi(x) + K [\phi(x \text{ with the patch evolved}) - \phi(x)]$, K known exactly
    (see `dftopt.macro.partial_evolution`). No pair of states crosses a trajectory's border: rows start and end within dt.

    Args:
        sim: a simulator (see `dftopt.macro.simulator` for your own).
        trajectories: number of whole-system trajectories.
        patch: edge of the patch in sites: patch**2 sites in two dimensions and for CurieWeiss. None: the whole system.
        seed: whole number.
        start: initial states (trajectories, ...), for instance from `macro.upsample`; default: the simulator's own.
        times: (T,) when snapshots are taken, in the simulator's time unit; `times=[0.0]` samples from `start` itself.
        dt: time step, in the simulator's time unit; it must be short against one attempt per site of the patch. Default:
            the simulator's own (1/64 sweep for spins).
        patches: per snapshot; default: as many as tile the system, at most 64.
        replicas: evolutions of the same patch from the same start; 2 or more give the noise alone.
        estimator: of `b_hat` and `D_hat`: "rates" (explicit rates of a lattice model: no bias of the time step), "steps"
            (black box: only `step` and `observe`), "auto" (rates where the simulator knows them and moves are independent).
        snapshots: keep microscopic states, for closures.
        check: measure the bias of the time step by evolutions over several lags, and warn (`macro.lag_check`).

    Returns:
        Increments; S = trajectories x times states, S x patches rows.

    Raises:
        InputError: as `macro.trajectories`; a patch that does not fit, rates asked for where there are none, a time step
            or counts that are not positive.

    Warns:
        DFTOptWarning: the time step is too long against a sweep, or microscopic moves are correlated; with the measured
            bias.
    """
    sim = as_simulator(sim)
    block = block_of(sim, patch)
    factor = factor_of(sim, block)
    dt = getattr(sim, "dt", None) if dt is None else dt
    if dt is None:
        raise InputError("dt= is needed: the time step of the increments, in the simulator's own time unit.")
    checks.number("dt", dt, above=0, remedy="It is a time step in the simulator's own unit.")
    checks.choice("estimator", estimator, ESTIMATORS)
    known = hasattr(sim, "events") and not getattr(sim, "correlated", False)
    rates = known if estimator == "auto" else estimator == "rates"
    if rates and not hasattr(sim, "events"):
        raise InputError(
            'estimator = "rates" needs a simulator with events(state); this one has only steps. Use "steps".'
        )
    replicas = checks.whole("replicas", replicas, remedy="At least 2 tell the noise from the drift.")
    default = 1 if block is None else min(64, int(factor + 1e-9))
    patches = default if patches is None else checks.whole("patches", patches)
    start = check_start(sim, start, trajectories, seed)

    paths = run(sim, times=times, seed=seed, start=start, snapshots=True)
    count, T, d = paths.z.shape
    states = jax.tree.map(lambda a: a.reshape(count * T, *a.shape[2:]), paths.states)
    S = count * T
    where = np.zeros((S, patches, 0), int) if block is None else corners(sim, block, S, patches, seed)
    z0, z1, sums, evolved = evolve(
        sim,
        states,
        where,
        (seed, 2),
        dt,
        factor,
        block=block,
        replicas=replicas,
        batch=max(1, EVOLUTIONS_AT_ONCE // (patches * replicas)),
        rates=rates,
        keep=snapshots,
    )
    m = S * patches
    z1 = np.asarray(z1).reshape(m, replicas, d)
    snapshot = np.repeat(np.arange(S), patches)
    b_hat, D_hat = (
        (np.asarray(sums[0]).reshape(m, d), np.asarray(sums[1]).reshape(m, d, d))
        if rates
        else (
            (z1.mean(1) - np.asarray(z0)[snapshot]) / dt,
            scattered(z1, patches if getattr(sim, "correlated", False) else 1) / (factor * dt)
            if replicas > 1
            else None,
        )
    )
    if check:
        report = lag_check(sim, states, patch=patch, dt=dt, seed=seed)
        if report.message:
            warnings.warn(report.message, DFTOptWarning, stacklevel=2)
    parameters = parameters_of(sim)
    return Increments(
        states=paths.z.reshape(S, d),
        trajectory=np.repeat(np.arange(count), T),
        time=np.tile(paths.times, count),
        snapshot=snapshot,
        z1=z1,
        dt=np.full(m, float(dt)),
        factor=np.full(m, factor),
        n=size_of(sim),
        b_hat=b_hat,
        D_hat=D_hat,
        estimator="rates" if rates else "steps",
        parameters=np.tile(list(parameters.values()), (S, 1)).reshape(S, -1),
        parameter_names=tuple(parameters),
        names=tuple(getattr(sim, "names", ())),
        time_unit=getattr(sim, "time_unit", "the simulator's own"),
        snapshots=states if snapshots else None,
        evolved=jax.tree.map(lambda a: np.asarray(a).reshape(m, *a.shape[2:]), evolved),
        corner=None if block is None else where.reshape(m, -1),
        sites=tuple(getattr(sim, "sites", ())),
        block=block,
        features=getattr(sim, "features", None) if snapshots else None,
        absorbing=tuple(tuple(sim.names).index(name) for name in getattr(sim, "absorbing", ())),
    )


def scattered(z: np.ndarray, together: int) -> np.ndarray:
    """Covariance (m, d, d) among the replicas of each row of z (m, R, d).

    Around the mean of `together` rows: 1, or all rows of a snapshot where moves are correlated. What a start says of a patch
    beyond z (where its vacancy is) is then forgotten within a few steps, and is noise.
    """
    m, R, d = z.shape
    away = z.reshape(-1, together * R, d)
    away = (away - away.mean(1, keepdims=True)).reshape(m, R, d)
    return np.einsum("mri,mrj->mij", away, away) * together / (together * R - 1)
