"""Curie-Weiss model: every spin feels the mean of all, and everything is known exactly."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp

from dftopt.macro import checks
from dftopt.macro.clocks import ring
from dftopt.macro.lattice import total
from dftopt.macro.random import below, threshold


@partial(jax.tree_util.register_dataclass, data_fields=["beta", "field"], meta_fields=["n"])
@dataclass(frozen=True)
class CurieWeiss:
    r"""n spins $s_i = \pm 1$ with Glauber rates in their common mean field.

    Each spin flips at the rate $(1 - s_i \tanh \beta(m + h))/2$, $m = \frac1n \sum_i s_i$, by a clock of its own. For the
    magnetization m, exactly, $b(m) = \tanh\beta(m + h) - m$ and $\Sigma(m) = \frac2n (1 - m \tanh\beta(m + h))$.

    Time unit: one attempt per spin (a sweep). States: (n,) int8; observed: (m,). A patch of edge p has p**2 spins.

    Args:
        n: number of spins.
        beta: inverse temperature; the transition at h = 0 is at 1.
        field: h.

    Raises:
        InputError: n not a positive whole number, beta or field not finite, beta negative.
    """

    n: int = 4096
    beta: float = 0.9
    field: float = 0.0

    names: ClassVar[tuple[str, ...]] = ("magnetization",)
    time_unit: ClassVar[str] = "sweeps (one attempt per spin)"
    dt: ClassVar[float] = 1 / 64

    def __post_init__(self):
        checks.whole("n", self.n, low=2, remedy="It is the number of spins.")
        checks.number("beta", self.beta, low=0, remedy="It is an inverse temperature.")
        checks.number("field", self.field)

    @property
    def sites(self) -> tuple[int, ...]:
        """One axis: all spins are neighbours."""
        return (self.n,)

    @property
    def parameters(self) -> dict:
        """External parameters."""
        return {"beta": self.beta, "field": self.field}

    @property
    def times(self) -> jax.Array:
        """Default times of snapshots: a transient of 30 sweeps."""
        return jnp.arange(0.0, 30.5, 0.5)

    def block(self, patch: int) -> tuple[int, ...]:
        """Sites per axis of a patch of edge `patch`."""
        return (patch**2,)

    def initial(self, key: jax.Array, m0: float | None = None) -> jax.Array:
        """Independent spins with mean `m0`; None: uniformly random in [-1, 1]."""
        one, two = jax.random.split(key)
        mean = jax.random.uniform(one, minval=-1.0, maxval=1.0) if m0 is None else m0
        return jnp.where(jax.random.uniform(two, (self.n,)) < (1 + mean) / 2, 1, -1).astype(jnp.int8)

    def observe(self, state: jax.Array) -> jax.Array:
        """(m,)."""
        return total(state)[None] / state.size

    def drift(self, m: jax.Array) -> jax.Array:
        """Exact b(m) per unit time."""
        return jnp.tanh(self.beta * (m + self.field)) - m

    def mean_field(self, z: jax.Array) -> jax.Array:
        """The same for coordinates (..., 1): mean field is exact here."""
        return self.drift(z)

    def diffusion(self, m: jax.Array) -> jax.Array:
        """Exact Sigma(m) of the whole system per unit time."""
        return 2 / self.n * (1 - m * jnp.tanh(self.beta * (m + self.field)))

    def events(self, state: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Flip rates (n, 1) and changes of m (n, 1, 1)."""
        s = state.astype(jnp.float64)
        rates = (1 - s * jnp.tanh(self.beta * (s.mean() + self.field))) / 2
        return rates[:, None], (-2 * s / s.size)[:, None, None]

    def step(self, state: jax.Array, key: jax.Array, dt) -> jax.Array:
        """All spins over dt sweeps."""
        return self.step_patch(state, key, dt, state.shape)

    def step_patch(self, state: jax.Array, key: jax.Array, dt, block: tuple[int, ...]) -> jax.Array:
        """The first `block` spins over dt sweeps, the others frozen; m counts all."""
        n, inside = state.size, block[0]

        def attempt(carry, words, rings):
            s, sum_s = carry
            i = below(words[0], inside)
            field = sum_s.astype(jnp.float32) / n + self.field
            up = words[1] < threshold((1 + jnp.tanh((self.beta * field).astype(jnp.float32))) / 2)
            old = s[i]
            new = jnp.where(rings, jnp.where(up, 1, -1).astype(s.dtype), old)
            return s.at[i].set(new), sum_s + (new - old)

        return ring((state, total(state).astype(jnp.int32)), key, inside * dt, attempt)[0]
