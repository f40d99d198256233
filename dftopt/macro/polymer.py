"""A polymer of beads and springs in planar extensional flow."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp

from dftopt.macro import checks
from dftopt.macro.random import key_words, normals


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["rate", "attraction", "repulsion", "spring", "bond"],
    meta_fields=["beads", "micro_dt"],
)
@dataclass(frozen=True)
class Polymer:
    r"""A chain of beads at $x_k$ with friction and thermal noise, pulled apart by a flow.

    $$ dx_k = \Big[-\frac{\partial U}{\partial x_k} + \dot\epsilon\,(x, -y, 0)_k\Big] dt + \sqrt 2\, dW_k , \qquad
       U = -\tfrac12 H Q^2 \sum_{\text{bonds}} \ln(1 - r^2 / Q^2) + \sum_{k<l} \big[B e^{-2 r_{kl}^2} - A e^{-r_{kl}^2/2}\big] $$

    Springs are finitely extensible (FENE); beads attract each other weakly at a distance of about 1 and repel each other at
    shorter ones, a poor solvent. The centre of mass, which the rest does not feel, is taken out. The attraction holds the
    chain folded against the flow, and the drag on a chain that is stretched holds it stretched: at the default flow rate
    both states are long-lived (270 and 540 units of time on average), and when a chain unfolds depends on its folds and on chance
    (benchmarks/macro/polymer.py).

    Units: k_B T = 1, friction of a bead = 1, and length such that a free spring has a mean square length of
    3 Q^2 / (5 + H Q^2), about 1. Time unit: the time in which a bead alone diffuses a mean square distance of 2 per axis.
    States: (beads, 3); observed: the extension, the distance between the outermost beads along the flow.

    Steps are stochastic Heun steps (weak order 2 for additive noise) of at most `micro_dt`.

    Args:
        beads: number of beads.
        rate: strain rate of the flow.
        attraction: A, in k_B T.
        repulsion: B, in k_B T.
        spring: H.
        bond: Q, the longest spring.
        micro_dt: longest step.

    Raises:
        InputError: fewer than 2 beads, a negative rate or strength, or a step that is not positive.
    """

    beads: int = 16
    rate: float = 0.155
    attraction: float = 0.6
    repulsion: float = 2.0
    spring: float = 3.0
    bond: float = 10.0**0.5
    micro_dt: float = 0.005

    names: ClassVar[tuple[str, ...]] = ("extension",)
    time_unit: ClassVar[str] = "bead friction x length^2 / k_B T"
    dt: ClassVar[float] = 0.5

    def __post_init__(self):
        checks.whole("beads", self.beads, low=2)
        checks.number("rate", self.rate, low=0, remedy="It is a strain rate.")
        checks.number("attraction", self.attraction, low=0)
        checks.number("repulsion", self.repulsion, low=0)
        checks.number("spring", self.spring, above=0)
        checks.number("bond", self.bond, above=0, remedy="It is the largest length of a spring.")
        checks.number("micro_dt", self.micro_dt, above=0, high=0.02, remedy="Longer steps are unstable.")

    @property
    def parameters(self) -> dict:
        """External parameters."""
        return {"rate": self.rate, "attraction": self.attraction}

    @property
    def times(self) -> jax.Array:
        """Default times of snapshots."""
        return jnp.arange(0.0, 151.0, 1.0)

    def initial(self, key: jax.Array) -> jax.Array:
        """A chain of independent springs in equilibrium: without flow and without forces between beads (a good solvent)."""
        one, two = jax.random.split(key)
        # |r|^2 / Q^2 of a FENE spring in three dimensions is beta distributed: density r^2 (1 - r^2/Q^2)^(H Q^2 / 2)
        part = jax.random.beta(one, 1.5, 1 + self.spring * self.bond**2 / 2, (self.beads - 1, 1))
        direction = jax.random.normal(two, (self.beads - 1, 3))
        q = self.bond * jnp.sqrt(part) * direction / jnp.linalg.norm(direction, axis=1, keepdims=True)
        x = jnp.concatenate([jnp.zeros((1, 3)), jnp.cumsum(q, 0)])
        return x - x.mean(0)

    def observe(self, state: jax.Array) -> jax.Array:
        """Extension along the flow."""
        return jnp.ptp(state[:, 0])[None]

    def features(self, state: jax.Array) -> jax.Array:
        """Distances |x_k - x_l| of all pairs along each axis: the same for mirror images and for a chain read backwards."""
        first, second = jnp.triu_indices(self.beads, 1)
        apart = lambda x: jnp.abs(x[first] - x[second])
        return ((apart(state) + apart(state[::-1])) / 2).T.reshape(-1)

    def energy(self, x: jax.Array) -> jax.Array:
        """U, in k_B T; its derivative is checked against `force`."""
        r2 = jnp.sum((x[1:] - x[:-1]) ** 2, -1) / self.bond**2
        springs = -0.5 * self.spring * self.bond**2 * jnp.sum(jnp.log(1 - r2))
        e = jnp.exp(-jnp.sum((x[:, None] - x[None]) ** 2, -1) / 2)
        return springs + 0.5 * jnp.sum((1 - jnp.eye(len(x))) * (self.repulsion * e**4 - self.attraction * e))

    def force(self, x: jax.Array) -> jax.Array:
        """-dU/dx and the drag of the flow (beads, 3); pair forces to single precision."""
        return self._force(x.T).T

    def _force(self, x: jax.Array) -> jax.Array:
        """The same for coordinates first, (3, beads): the inner loops run over beads."""
        q = x[:, 1:] - x[:, :-1]
        slack = 1 - jnp.sum(q * q, 0) / self.bond**2
        # stiffer than slack^2 = 2 H h a step of length h would not be stable: springs go on linearly there
        tension = self.spring * q / jnp.maximum(slack, jnp.sqrt(2 * self.spring * self.micro_dt))
        f = jnp.pad(tension, ((0, 0), (0, 1))) - jnp.pad(tension, ((0, 0), (1, 0)))
        y = x.astype(jnp.float32)  # rounding is 1e-7 of the forces, far below the noise, at twice the speed
        apart = y[:, :, None] - y[:, None]
        e = jnp.exp(-0.5 * (apart[0] ** 2 + apart[1] ** 2 + apart[2] ** 2))
        e2 = e * e
        push = 4 * jnp.asarray(self.repulsion, jnp.float32) * e2 * e2 - jnp.asarray(self.attraction, jnp.float32) * e
        pairs = jnp.stack([jnp.sum(push * apart[axis], 1) for axis in range(3)])
        return f + pairs.astype(x.dtype) + self.rate * jnp.array([[1.0], [-1.0], [0.0]]) * x

    def step(self, state: jax.Array, key: jax.Array, dt) -> jax.Array:
        """The chain over dt."""
        steps = jnp.maximum(jnp.ceil(dt / self.micro_dt - 1e-9), 1).astype(jnp.int32)
        h, seed = dt / steps, key_words(key)

        def micro(i, x):
            kick = jnp.sqrt(2 * h) * normals(seed, x.shape, i)
            f = self._force(x)
            x = x + 0.5 * h * (f + self._force(x + h * f + kick)) + kick
            return x - x.mean(1, keepdims=True)

        return jax.lax.fori_loop(0, steps, micro, state.T).T
