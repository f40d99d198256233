"""What a microscopic simulator is: one function that steps a state and one that observes it.

A user's own simulator needs nothing else:

    import jax
    from dftopt import macro

    def step(x, key, dt):                       # state after the time dt, a pure JAX function of one state
        return x - x * dt + 0.1 * jax.numpy.sqrt(dt) * jax.random.normal(key, x.shape)

    def observe(x):                             # (d,) intensive macroscopic coordinates of one state
        return x.mean(keepdims=True)

    sim  = macro.Simulator(step, observe)
    data = macro.sample(sim, start=states, dt=0.01, times=jax.numpy.arange(0, 5, 0.1))    # states: (trajectories, ...)

Any object with `step` and `observe` is taken in the same way. What a simulator offers beyond these two makes more possible:

- `initial(key) -> state`: a random start; `start=` may then be left out.
- `sites: tuple[int, ...]`: the lattice of a state, that is the leading axes of every one of its arrays, periodic and the
  same everywhere. Makes patches (`patch=`) and upsampling possible.
- `step_patch(state, key, dt, block) -> state`: evolves the events of the sites [0, block) along every axis, all others
  frozen, at the cost of the patch. Without it the whole state is stepped and the patch put into the snapshot, which is the
  same to first order in dt. Events may change sites up to `margin` (a number, default 0) beyond the block.
- `block(patch) -> tuple[int, ...]`: sites per axis of a patch of edge `patch` (default: `patch` along every axis), and
  `factor(block) -> K`: all moves over those that a patch allows (default: sites over sites of the patch, right where every
  event belongs to one site). Exchange moves that `step_patch` drops at its border need it.
- `step_where(state, key, dt, where) -> state`: evolves only the sites of the mask `where` (shape `sites`), for seams.
- `host`: an object that takes many states at once as NumPy arrays, for loops that another compiler has made: `observe(states)
  -> (S, d)`, `step(states, seed, dt)`, `step_where(states, seed, dt, where)`, and `step_patches(state, corners, seed, dt,
  block, replicas) -> (P, R, ...) states, (P, R, d)` in which one patch each has moved (`dftopt.macro.alloy_host`). It is used
  where it is there, and the functions above where not. It may have `mended(states, seed, axis)`: states whose two halves
  along an axis were put together, with seams as the halves were around their own ends; upsampling then runs no dynamics.
- `events(state) -> (rates, changes)`: the estimator of explicit rates; (*sites, k) rates per unit time of the k events
  that belong to each site, and (*sites, k, d) changes of `observe` by each.
- `correlated`: True where moves depend on the last ones (a vacancy jumps back): explicit rates then have the noise of single
  moves, not the macroscopic one, and `macro.sample` takes steps instead.
- `conserved`: groups of integer codes whose numbers the dynamics keeps; upsampling restores them.
- `links(axis) -> (basis, step along the axis and others, basis)`: bonds whose pairs of codes upsampling compares at a seam,
  for lattices with several sites in a cell; `seam`: cells on either side of one that heal.
- `basis`: sites in each of the `sites`, which are then cells (default 1): fluctuations are reported per site.
- `absorbing`: names of the coordinates that vanish together once the system has died out (nobody infected), first the one
  that all rates vanish with: the learned drift and noise then do so too.
- `features(state) -> (F,)`: what a closure starts from, of one state, or of one patch where patches are sampled. Without
  it, the numbers of the state as they are.
- `mean_field(z) -> dz/dt`: the equation that a learned one has to beat.
- `times`, `dt`, `names`, `parameters`, `time_unit`: defaults and labels.

The dynamics is Markovian and stationary in time: `step` over dt and then dt is `step` over 2 dt in law. If not (a hidden
clock, a step of its own inside), the lag check of `macro.sample` shows it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax

import dftopt.precision  # noqa: F401  (double precision before the first array)
from dftopt.errors import InputError

State = Any  # one array, or a pytree of arrays
Key = jax.Array


@runtime_checkable
class Steps(Protocol):
    """The protocol: everything that has these two methods can be sampled."""

    def step(self, state: State, key: Key, dt: float) -> State:
        """State after the time `dt` from `state`; a pure JAX function of one state (batches come by `vmap`)."""

    def observe(self, state: State) -> jax.Array:
        """(d,) macroscopic coordinates of one state: intensive, so that they do not grow with the system."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=[],
    meta_fields=["step", "observe", "initial", "sites", "names", "parameters", "time_unit"],
)
@dataclass(frozen=True)
class Simulator:
    """A user's own simulator, made of functions.

    Args:
        step: `step(state, key, dt) -> state`, one state after the time `dt`; pure JAX.
        observe: `observe(state) -> (d,)`, intensive macroscopic coordinates of one state.
        initial: `initial(key) -> state`, a random start.
        sites: the lattice of a state (leading axes of each of its arrays); empty: no patches.
        names: of the d coordinates.
        parameters: external parameters that this simulator was made with, for fits over several of them.
        time_unit: in words.
    """

    step: Callable[[State, Key, Any], State]
    observe: Callable[[State], jax.Array]
    initial: Callable[[Key], State] | None = None
    sites: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    parameters: tuple[tuple[str, float], ...] | Mapping[str, float] = field(default=())
    time_unit: str = "the simulator's own"

    def __post_init__(self):
        if not callable(self.step) or not callable(self.observe):
            raise InputError("macro.Simulator needs two functions: step(state, key, dt) -> state and observe(state).")
        object.__setattr__(self, "sites", tuple(int(s) for s in self.sites))
        object.__setattr__(self, "parameters", tuple(sorted(dict(self.parameters).items())))


def as_simulator(sim) -> Any:
    """`sim` as something that compiled functions take as an argument.

    Our own simulators are pytrees whose physical parameters are traced: other values need no new compilation.

    Raises:
        InputError: `sim` lacks `step` or `observe`.
    """
    if not isinstance(sim, Steps):
        missing = [name for name in ("step", "observe") if not hasattr(sim, name)]
        raise InputError(
            f"A simulator needs step(state, key, dt) and observe(state); {type(sim).__name__} lacks {', '.join(missing)}. "
            "Two functions are enough: macro.Simulator(step, observe)."
        )
    return _Opaque(sim) if jax.tree_util.all_leaves([sim]) else sim


@partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=["sim"])
@dataclass(frozen=True, eq=True)
class _Opaque:
    """Any object with `step` and `observe`, static in compiled functions."""

    sim: Any

    def __getattr__(self, name: str):
        if name == "sim" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.sim, name)


def parameters_of(sim) -> dict[str, float]:
    """External parameters by name."""
    return {name: float(value) for name, value in dict(getattr(sim, "parameters", ())).items()}


def size_of(sim) -> int:
    """Number of sites (1 where there is no lattice): cells of the lattice times the simulator's `basis`, sites in a cell."""
    n = int(getattr(sim, "basis", 1))
    for edge in getattr(sim, "sites", ()):
        n *= int(edge)
    return n
