"""Predator and prey on a periodic line: a stochastic partial differential equation."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp

from dftopt.errors import InputError
from dftopt.macro import checks
from dftopt.macro.random import key_words, normals


@partial(jax.tree_util.register_dataclass, data_fields=["noise", "dx"], meta_fields=["n", "micro_dt"])
@dataclass(frozen=True)
class PredatorPrey:
    r"""Densities of prey u and predators v in n cells of a periodic line.

    $$ du = u (1 - u - v)\,dt + \sigma\,dW_u, \qquad dv = [3 v (u - 0.4) + \partial_x^2 v]\,dt + \sigma\,dW_v , $$

    with independent noise in every cell, the Laplacian by second differences, and Euler-Maruyama steps of at most
    `micro_dt`. The homogeneous fixed point u = 0.4, v = 0.6 is a stable spiral (period 7.7, decay time 5). The cells keep
    their width, so the length n dx grows with n, and a mean over all cells has a variance proportional to 1/n. The noise is
    additive: starts far below the fixed point could push a density through zero, where the equations have no meaning.

    Time unit: 1 / growth rate of the prey. States: (n, 2); observed: the means of u and v.

    Args:
        n: cells.
        noise: sigma, per cell and square root of time.
        dx: width of a cell, in units of the diffusion length of a predator in unit time.
        micro_dt: longest Euler-Maruyama step.

    Raises:
        InputError: n not a whole number of at least 3, negative noise, or a step that is unstable on this grid.
    """

    n: int = 100
    noise: float = 0.02
    dx: float = 1.0
    micro_dt: float = 0.01

    names: ClassVar[tuple[str, ...]] = ("prey", "predators")
    time_unit: ClassVar[str] = "1 / growth rate of the prey"
    dt: ClassVar[float] = 0.02

    def __post_init__(self):
        checks.whole("n", self.n, low=3, remedy="It is the number of cells.")
        checks.number("noise", self.noise, low=0)
        checks.number("dx", self.dx, above=0)
        checks.number("micro_dt", self.micro_dt, above=0, high=0.1)
        if (
            not isinstance(self.dx, jax.core.Tracer)
            and type(self.dx) is not object
            and self.micro_dt > 0.5 * self.dx**2
        ):
            raise InputError(
                f"micro_dt = {self.micro_dt} is unstable with dx = {self.dx}: diffusion needs micro_dt <= dx^2 / 2 = "
                f"{0.5 * self.dx**2:.3g}."
            )

    @property
    def sites(self) -> tuple[int, ...]:
        """The line."""
        return (self.n,)

    @property
    def parameters(self) -> dict:
        """External parameters."""
        return {"noise": self.noise, "dx": self.dx}

    @property
    def times(self) -> jax.Array:
        """Default times of snapshots."""
        return jnp.arange(0.0, 30.5, 0.5)

    def initial(self, key: jax.Array) -> jax.Array:
        """Homogeneous, u in [0.2, 0.8] and v in [0.4, 0.8], with the noise of unit time in every cell."""
        one, two = jax.random.split(key)
        mean = jax.random.uniform(one, (2,), minval=jnp.array([0.2, 0.4]), maxval=jnp.array([0.8, 0.8]))
        return mean + self.noise * jax.random.normal(two, (self.n, 2))

    def observe(self, state: jax.Array) -> jax.Array:
        """Means of u and v."""
        return state.mean(0)

    def mean_field(self, z: jax.Array) -> jax.Array:
        """Drift (..., 2) of the homogeneous equations."""
        u, v = z[..., 0], z[..., 1]
        return jnp.stack([u * (1 - u - v), 3 * v * (u - 0.4)], -1)

    def step(self, state: jax.Array, key: jax.Array, dt) -> jax.Array:
        """All cells over dt."""
        return self._evolve(state, key, dt, lambda x: jnp.concatenate([x[-1:], x, x[:1]]))

    def step_patch(self, state: jax.Array, key: jax.Array, dt, block: tuple[int, ...]) -> jax.Array:
        """The first `block` cells over dt, the others frozen."""
        left, right = state[-1:], state[block[0] : block[0] + 1]
        inside = self._evolve(state[: block[0]], key, dt, lambda x: jnp.concatenate([left, x, right]))
        return jnp.concatenate([inside, state[block[0] :]])

    def step_where(self, state: jax.Array, key: jax.Array, dt, where: jax.Array) -> jax.Array:
        """The cells of a mask over dt, the others frozen."""
        around = lambda x: jnp.concatenate([x[-1:], x, x[:1]])
        return self._evolve(state, key, dt, around, jnp.asarray(where)[:, None])

    def _evolve(self, state, key, dt, with_neighbours, where=True):
        steps = jnp.maximum(jnp.ceil(dt / self.micro_dt - 1e-9), 1).astype(jnp.int32)
        h, seed = dt / steps, key_words(key)

        def micro(i, x):
            v = with_neighbours(x)[:, 1]
            laplacian = (v[2:] - 2 * v[1:-1] + v[:-2]) / self.dx**2
            drift = self.mean_field(x).at[:, 1].add(laplacian)
            return x + jnp.where(where, drift * h + self.noise * jnp.sqrt(h) * normals(seed, x.shape, i), 0.0)

        return jax.lax.fori_loop(0, steps, micro, state)
