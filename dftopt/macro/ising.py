"""Two-dimensional Ising model with Glauber dynamics."""

from dataclasses import dataclass
from functools import partial
from math import isqrt
from typing import ClassVar

import jax
import jax.numpy as jnp

from dftopt.errors import InputError
from dftopt.macro import checkerboard, checks, rejection_free
from dftopt.macro.clocks import ring
from dftopt.macro.lattice import total
from dftopt.macro.random import below, threshold

METHODS = ("clocks", "rejection-free", "checkerboard")
OBSERVABLES = ("magnetization", "energy")


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["temperature", "field"],
    meta_fields=["L", "n", "method", "splitting", "observables"],
)
@dataclass(frozen=True)
class Ising:
    r"""L x L spins $s_i = \pm 1$ on a periodic square lattice, J = k_B = 1.

    Energy $-\sum_{\langle ij \rangle} s_i s_j - h \sum_i s_i$. Each spin flips at the rate $(1 - s_i \tanh(f_i / T))/2$,
    $f_i = \sum_{j \sim i} s_j + h$, by a clock of its own (Glauber). This obeys detailed balance.

    Time unit: one attempt per spin (a sweep). States: (L, L) int8; any rectangle with even edges works in `step`.

    Three ways to the same dynamics:

    - "clocks": one attempt after another at exponential waiting times. Exact, the default; many lattices run at once.
    - "rejection-free": only flips that happen, with waiting times from the sum of all rates (Bortz, Kalos, Lebowitz
      1975). Exact as well, and faster where fewer than one attempt in about 100 succeeds (deep in the ordered phase).
    - "checkerboard": all sites of one colour at once, in the order even, odd, even (Strang). For the equilibrium it is
      exact with any `splitting`; for the dynamics the order of events within one splitting step is wrong, an error of
      second order in it. Meant for one large lattice. See `dftopt.macro.checkerboard` for where it is allowed.

    Args:
        L: edge; even for the checkerboard.
        temperature: T; the transition at h = 0 is at 2 / ln(1 + sqrt 2) = 2.269185.
        field: h.
        n: number of sites instead of L.
        method: as above. Patches always use clocks.
        splitting: time step of the checkerboard, in sweeps.
        observables: any of "magnetization" and "energy" (per site).

    Raises:
        InputError: L or n not whole or not a square, temperature not positive, unknown method or observable.
    """

    L: int | None = None
    temperature: float = 2.5
    field: float = 0.0
    n: int | None = None
    method: str = "clocks"
    splitting: float = 0.125
    observables: tuple[str, ...] = ("magnetization",)

    time_unit: ClassVar[str] = "sweeps (one attempt per spin)"
    dt: ClassVar[float] = 1 / 64

    def __post_init__(self):
        L = self.L
        if L is None:
            n = 64 * 64 if self.n is None else checks.whole("n", self.n, low=4, remedy="It is the number of sites.")
            L = isqrt(n)
            if L**2 != n:
                raise InputError(f"n = {n} is no square: the lattice is L x L. {L**2} is the nearest below.")
        checks.whole("L", L, low=3, remedy="It is the edge of the lattice.")
        if self.n not in (None, L**2):
            raise InputError(f"L = {L} and n = {self.n} contradict each other: give one of them.")
        object.__setattr__(self, "L", L)
        object.__setattr__(self, "n", L**2)
        checks.number("temperature", self.temperature, above=0, remedy="J = k_B = 1; the transition is at 2.269.")
        checks.number("field", self.field)
        checks.number("splitting", self.splitting, above=0, high=1, remedy="It is a time step in sweeps.")
        checks.choice("method", self.method, METHODS)
        if self.method == "checkerboard" and L % 2:
            raise InputError(f"L = {L} is odd: the two colours of a checkerboard would touch. Use an even edge.")
        object.__setattr__(self, "observables", tuple(self.observables))
        for name in self.observables:
            checks.choice("observables", name, OBSERVABLES)

    @property
    def sites(self) -> tuple[int, ...]:
        """The lattice."""
        return (self.L or 0, self.L or 0)

    @property
    def names(self) -> tuple[str, ...]:
        """Observables."""
        return self.observables

    @property
    def parameters(self) -> dict:
        """External parameters."""
        return {"temperature": self.temperature, "field": self.field}

    @property
    def times(self) -> jax.Array:
        """Default times of snapshots: 50 sweeps."""
        return jnp.arange(0.0, 51.0)

    def initial(self, key: jax.Array, m0: float | None = None) -> jax.Array:
        """Independent spins with mean `m0`; None: uniformly random in [-1, 1]."""
        one, two = jax.random.split(key)
        mean = jax.random.uniform(one, minval=-1.0, maxval=1.0) if m0 is None else m0
        return jnp.where(jax.random.uniform(two, self.sites) < (1 + mean) / 2, 1, -1).astype(jnp.int8)

    def observe(self, state: jax.Array) -> jax.Array:
        """Magnetization and energy per site, as asked for."""
        n = state.size
        magnetization = total(state) / n
        out = {"magnetization": lambda: magnetization, "energy": lambda: -(bonds() / n + self.field * magnetization)}

        def bonds():
            return total(state * (jnp.roll(state, 1, 0) + jnp.roll(state, 1, 1)))

        return jnp.stack([out[name]() for name in self.observables])

    def mean_field(self, z: jax.Array) -> jax.Array:
        """tanh((4 m + h) / T) - m for coordinates (..., 1).

        Raises:
            InputError: other observables than the magnetization.
        """
        if self.observables != ("magnetization",):
            raise InputError(f"The mean-field equation is one of the magnetization alone, not of {self.observables}.")
        return jnp.tanh((4 * z + self.field) / self.temperature) - z

    def events(self, state: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Flip rates (L, L, 1) and changes (L, L, 1, d) of the observables."""
        s = state.astype(jnp.float64)
        f = sum(jnp.roll(s, shift, axis) for shift in (1, -1) for axis in (0, 1)) + self.field
        change = {"magnetization": -2 * s / s.size, "energy": 2 * s * f / s.size}
        rates = (1 - s * jnp.tanh(f / self.temperature)) / 2
        return rates[..., None], jnp.stack([change[name] for name in self.observables], -1)[..., None, :]

    def step(self, state: jax.Array, key: jax.Array, dt) -> jax.Array:
        """All spins over dt sweeps."""
        if self.method == "checkerboard":
            return checkerboard.evolve(state, key, dt, self.temperature, self.field, self.splitting)
        if self.method == "rejection-free":
            return rejection_free.evolve(state, key, dt, self.temperature, self.field)
        return self.step_patch(state, key, dt, state.shape)

    def step_patch(self, state: jax.Array, key: jax.Array, dt, block: tuple[int, ...]) -> jax.Array:
        """The spins [0, block) over dt sweeps, the others frozen."""
        return self._evolve(state, key, dt, block, None)

    def step_where(self, state: jax.Array, key: jax.Array, dt, where: jax.Array) -> jax.Array:
        """The spins of a mask over dt sweeps, the others frozen."""
        return self._evolve(state, key, dt, state.shape, jnp.asarray(where))

    def _evolve(self, state, key, dt, block, where):
        rows, columns = state.shape
        up = threshold((1 + jnp.tanh((2.0 * jnp.arange(5) - 4 + self.field) / self.temperature)) / 2)

        def attempt(s, words, rings):
            site = below(words[0], block[0] * block[1])
            a, b = site // block[1], site % block[1]
            after = s[jnp.where(a == rows - 1, 0, a + 1), b], s[a, jnp.where(b == columns - 1, 0, b + 1)]
            before = s[jnp.where(a == 0, rows - 1, a - 1), b], s[a, jnp.where(b == 0, columns - 1, b - 1)]
            k = (after[0] + after[1] + before[0] + before[1] + 4) // 2
            new = jnp.where(words[1] < checkerboard.pick(up, k), 1, -1).astype(s.dtype)
            moves = rings if where is None else rings & where[a, b]
            return s.at[a, b].set(jnp.where(moves, new, s[a, b]))

        return ring(state, key, block[0] * block[1] * dt, attempt)
