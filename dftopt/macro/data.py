r"""Increments of macroscopic coordinates: what `macro.sample` returns and `macro.fit` learns from.

One row is one partial evolution: from the snapshot x of the whole system with coordinates $z_0 = \phi(x)$, one patch I
was evolved over dt with its surroundings frozen, R times from the same start, and

$$ z_1 = z_0 + K\,[\phi(x \text{ with } I \text{ evolved}) - \phi(x)] . $$

With $b$ and $\Sigma$ the drift and the diffusion **of the whole system** (of n sites), for dt -> 0,

$$ E[z_1 - z_0] = b(z_0)\,dt, \qquad \mathrm{Cov}[z_1 \mid x, I] = K\,\Sigma(z_0)\,dt, $$

K known exactly: the likelihood of a row is Gaussian with mean $z_0 + b\,dt$ and covariance $K \Sigma\, dt$, and what it
reports is $\Sigma$. Rows are independent given their start; the R replicas of a row differ by the noise alone, so their
scatter has no part from the spread of $b$ over patches and over snapshots of equal z.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import numpy as np

from dftopt.errors import InputError


@dataclass(frozen=True)
class Increments:
    """Rows of partial evolutions and the whole-system states that they started from (NumPy arrays).

    S snapshots were taken from trajectories of the whole system, and m rows from them; d macroscopic coordinates,
    R replicas per row.

    Args:
        states: (S, d) macroscopic coordinates of the whole system.
        trajectory: (S,) which trajectory a state belongs to; states of one trajectory are in order of time.
        time: (S,) when, in the simulator's unit.
        snapshot: (m,) which state a row started from.
        z1: (m, R, d) where each replica of the row ended, amplified by K as above.
        dt: (m,) time step of the row.
        factor: (m,) K.
        n: sites of the whole system.
        b_hat: (m, d) unbiased estimate of b at the row's snapshot: from its rates (`estimator` "rates": exact for the
            patch, no noise of time steps), or the mean of `(z1 - z0) / dt` over its replicas ("steps").
        D_hat: (m, d, d) the same of Sigma per unit time; from steps it is the covariance among replicas over `K dt`
            (R - 1 degrees of freedom); None with one replica.
        estimator: "rates" or "steps".
        parameters: (S, p) external parameters of the simulator each state came from.
        parameter_names: of the p parameters.
        names: of the d coordinates.
        time_unit: in words.
        snapshots: microscopic states, leading axis S, for closures; None unless asked for.
        evolved: (m, R, *block, ...) microscopic contents of the evolved block; the whole state without a patch.
        corner: (m, axes) first site of each block; None without a patch.
        sites: the lattice; empty where there is none.
        block: sites per axis of a patch; None: the whole system was evolved.
        features: the simulator's function of one microscopic state (or patch) that a closure starts from; None: the state.
        absorbing: coordinates that vanish together where the system has died out, first the one that all rates vanish with;
            empty where there is no such state.
    """

    states: np.ndarray
    trajectory: np.ndarray
    time: np.ndarray
    snapshot: np.ndarray
    z1: np.ndarray
    dt: np.ndarray
    factor: np.ndarray
    n: int
    b_hat: np.ndarray | None = None
    D_hat: np.ndarray | None = None
    estimator: str = "steps"
    parameters: np.ndarray | None = None
    parameter_names: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    time_unit: str = "the simulator's own"
    snapshots: Any = None
    evolved: Any = None
    corner: np.ndarray | None = None
    sites: tuple[int, ...] = ()
    block: tuple[int, ...] | None = None
    features: Any = None
    absorbing: tuple[int, ...] = ()

    def __post_init__(self):
        S, m = len(self.states), len(self.snapshot)
        if self.states.ndim != 2 or self.z1.ndim != 3 or self.z1.shape[2] != self.states.shape[1]:
            raise InputError(
                f"states must be (S, d) and z1 (m, R, d); they are {self.states.shape} and {self.z1.shape}. "
                "One coordinate still needs its axis: z[:, None]."
            )
        if self.parameters is None:
            object.__setattr__(self, "parameters", np.zeros((S, 0)))
        for name, length in (("trajectory", S), ("time", S), ("parameters", S), ("z1", m), ("dt", m), ("factor", m)):
            if len(getattr(self, name)) != length:
                raise InputError(f"{name} has {len(getattr(self, name))} rows, {length} are needed.")
        for name in ("states", "z1", "dt", "factor", "time", "parameters", "b_hat", "D_hat"):
            value = getattr(self, name)
            if value is not None and not np.all(np.isfinite(value)):
                row = int(np.argwhere(~np.isfinite(value))[0][0])
                raise InputError(f"{name} holds NaN or infinity, first in row {row}: drop what failed before fitting.")
        if m and (self.dt.min() <= 0 or self.factor.min() < 1):
            raise InputError("Every dt must be positive and every factor at least 1 (1: the whole system was evolved).")

    def __len__(self) -> int:
        return len(self.snapshot)

    @property
    def dimension(self) -> int:
        """Number of macroscopic coordinates d."""
        return self.states.shape[1]

    @property
    def replicas(self) -> int:
        """R."""
        return self.z1.shape[1]

    @property
    def z0(self) -> np.ndarray:
        """(m, d) starts of the rows."""
        return self.states[self.snapshot]

    def rows(self, index) -> "Increments":
        """The rows `index` (integers or a mask) over the same states: minibatches, training and held-out parts."""
        index = np.arange(len(self))[index]
        own = ("snapshot", "z1", "dt", "factor", "b_hat", "D_hat", "corner")
        picked: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[index] for name in own
        }
        return replace(self, **picked, evolved=jax.tree.map(lambda a: a[index], self.evolved))

    def split(self, fraction: float, seed: int) -> tuple["Increments", "Increments"]:
        """Rows for training and rows held out, whole trajectories on either side (rows of one are correlated).

        Args:
            fraction: of the trajectories that are held out.
            seed: of the choice.

        Raises:
            InputError: fewer than two trajectories, or a fraction outside (0, 1).
        """
        ids = np.unique(self.trajectory)
        if len(ids) < 2 or not 0 < fraction < 1:
            raise InputError(f"{len(ids)} trajectories cannot be split with a fraction of {fraction}: two are needed.")
        count = min(max(1, round(fraction * len(ids))), len(ids) - 1)
        held = np.isin(self.trajectory, np.random.default_rng(seed).permutation(ids)[:count])[self.snapshot]
        return self.rows(~held), self.rows(held)

    def microscopic(self, index) -> tuple[Any, Any]:
        """Microscopic states of some rows before and after, shifted so that the evolved patch begins at site 0.

        Averages over all patches do not feel the shift, and the patch that changed is the first of `tiles`.

        Args:
            index: rows.

        Returns:
            before (k, *sites, ...), after (k, R, *sites, ...); pytrees where states are.

        Raises:
            InputError: the data holds no microscopic states.
        """
        if self.snapshots is None:
            raise InputError("The data holds no microscopic states: macro.sample(..., snapshots=True) keeps them.")
        index = np.arange(len(self))[index]
        corner = None if self.corner is None else self.corner[index]
        before = jax.tree.map(lambda a: rolled(a[self.snapshot[index]], corner), self.snapshots)
        after = jax.tree.map(lambda x, block: _placed(x, block[index]), before, self.evolved)
        return before, after

    def tiles(self, state: np.ndarray, lead: int = 1) -> np.ndarray:
        """Cut states from `microscopic` into the patches that tile them.

        Args:
            state: (*lead axes, *sites, ...).
            lead: number of axes before the lattice (1 for before, 2 for after).

        Returns:
            (*lead axes, K, *block, ...); the first of the K is the patch that evolved.

        Raises:
            InputError: the patch does not tile the lattice.
        """
        block = self.block
        if block is None or any(length % edge for length, edge in zip(self.sites, block, strict=True)):
            raise InputError(f"A patch of {block} sites does not tile the lattice {self.sites}: choose a divisor.")
        k, rest = len(self.sites), state.shape[lead + len(self.sites) :]
        cut = [part for length, edge in zip(self.sites, block, strict=True) for part in (length // edge, edge)]
        state = state.reshape(*state.shape[:lead], *cut, *rest)
        axes = [lead + 2 * i for i in range(k)] + [lead + 2 * i + 1 for i in range(k)]
        state = np.moveaxis(state, axes, range(lead, lead + 2 * k))
        return state.reshape(*state.shape[:lead], -1, *state.shape[lead + k :])


def join(parts: Sequence[Increments]) -> Increments:
    """Put together the data of several simulators or parameters; trajectories keep apart.

    Raises:
        InputError: nothing given, or coordinates, estimators, sizes or kept states differ.
    """
    if not parts:
        raise InputError("macro.join needs at least one part.")
    same = ("n", "names", "parameter_names", "time_unit", "sites", "block", "estimator", "absorbing")
    for name in (*same, "dimension", "replicas"):
        different = {getattr(part, name) for part in parts}
        if len(different) > 1:
            raise InputError(f"Parts with different {name} cannot be joined: {sorted(map(str, different))}.")
    out: dict[str, Any] = {}
    for item in fields(Increments):
        values: list[Any] = [getattr(part, item.name) for part in parts]
        if item.name == "features":
            out[item.name] = values[0]
        elif any(value is None for value in values):
            if not all(value is None for value in values):
                raise InputError(f"Only some of the parts have {item.name}: sample all of them in the same way.")
            out[item.name] = None
        elif item.name in same:
            out[item.name] = values[0]
        elif item.name in ("snapshot", "trajectory"):
            ends = [len(p.states) if item.name == "snapshot" else int(p.trajectory.max(initial=-1)) + 1 for p in parts]
            out[item.name] = np.concatenate([v + s for v, s in zip(values, np.cumsum([0, *ends[:-1]]), strict=True)])
        else:
            out[item.name] = jax.tree.map(lambda *arrays: np.concatenate(arrays), *values)
    return Increments(**out)


def from_trajectories(z, times, *, lag: int = 1, n: int = 1, names=(), time_unit="the simulator's own") -> Increments:
    """Increments of whole-system trajectories that were recorded elsewhere; no pair crosses a trajectory's border.

    Args:
        z: (trajectories, T, d), or a list of (T_i, d) of unequal lengths.
        times: (T,) common times, uniform; for a list the time step.
        lag: pairs are `lag` records apart.
        n: sites of the system, for the record.
        names: of the coordinates.
        time_unit: in words.

    Returns:
        Rows with factor 1.

    Raises:
        InputError: wrong shape, NaN, times that are not uniform, or trajectories shorter than the lag.
    """
    paths = [np.asarray(path, float) for path in z]
    if not paths or any(path.ndim != 2 or path.shape[1] != paths[0].shape[-1] for path in paths):
        shapes = sorted({path.shape for path in paths})
        raise InputError(f"Trajectories must be (trajectories, T, d) or a list of (T, d); one of them is {shapes[:3]}.")
    for i, path in enumerate(paths):
        if not np.isfinite(path).all():
            at = int(np.argwhere(~np.isfinite(path))[0][0])
            raise InputError(f"Trajectory {i} holds NaN or infinity, first at record {at}: cut it before that record.")
    step = _uniform_step(times, max(len(path) for path in paths))
    if lag < 1 or any(len(path) <= lag for path in paths):
        raise InputError(
            f"lag = {lag} needs trajectories of more than {lag} records, the shortest has {min(map(len, paths))}."
        )
    lengths = np.array([len(path) for path in paths])
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    start = np.concatenate([f + np.arange(length - lag) for f, length in zip(first, lengths, strict=True)])
    states = np.concatenate(paths)
    m = len(start)
    return Increments(
        states=states,
        trajectory=np.repeat(np.arange(len(paths)), lengths),
        time=np.concatenate([step * np.arange(length) for length in lengths]),
        snapshot=start,
        z1=states[start + lag][:, None, :],
        dt=np.full(m, lag * step),
        factor=np.ones(m),
        n=n,
        b_hat=(states[start + lag] - states[start]) / (lag * step),
        names=tuple(names),
        time_unit=time_unit,
    )


def _uniform_step(times, T: int) -> float:
    """Time step of uniform times (or the step itself)."""
    times = np.asarray(times, float)
    if times.ndim == 0:
        times = times * np.arange(T)
    if times.shape != (T,) or T < 2:
        raise InputError(
            f"times has the shape {times.shape}; the trajectories have {T} records (at least 2 are needed)."
        )
    steps = np.diff(times)
    if not np.isfinite(times).all() or steps.min() <= 0 or np.ptp(steps) > 1e-6 * steps.mean():
        raise InputError(
            f"times must grow uniformly; its steps lie between {steps.min():g} and {steps.max():g}. Interpolation would "
            "change the noise: record at equal times, or cut where a record is missing."
        )
    return float(steps.mean())


def rolled(states: np.ndarray, corner: np.ndarray | None) -> np.ndarray:
    """States (k, *sites, ...) shifted so that each begins at its own corner (k, axes)."""
    if corner is None:
        return states
    for axis in range(corner.shape[1]):
        length = states.shape[axis + 1]
        index = (corner[:, axis, None] + np.arange(length)) % length
        index = index.reshape(len(states), *(length if a == axis else 1 for a in range(states.ndim - 1)))
        states = np.take_along_axis(states, index, axis=axis + 1)
    return states


def _placed(states: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """`states` (k, ...) once per replica with `blocks` (k, R, ...) at their beginning."""
    out = np.repeat(states[:, None], blocks.shape[1], axis=1)
    out[tuple(slice(length) for length in blocks.shape)] = blocks
    return out
