"""An epidemic on a lattice: people move, infect their neighbours and recover."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp

from dftopt.errors import InputError
from dftopt.macro import checks
from dftopt.macro.clocks import ring
from dftopt.macro.lattice import total
from dftopt.macro.random import below, uniform

EMPTY, SUSCEPTIBLE, INFECTED, RECOVERED = range(4)
OBSERVABLES = ("susceptible", "infected", "contacts", "second contacts", "third contacts", "shared contacts")
NEIGHBOURS = ((1, 0), (-1, 0), (1, 1), (-1, 1))  # shift and axis of a roll


def _around(x: jax.Array) -> jax.Array:
    """Sum over the four neighbours of each site."""
    return sum((jnp.roll(x.astype(jnp.float64), shift, axis) for shift, axis in NEIGHBOURS), jnp.zeros(x.shape))


def _two_steps(x: jax.Array) -> jax.Array:
    """Sum over the ends of all paths of two steps from each site to another one."""
    return _around(_around(x)) - 4 * x


def _three_steps(x: jax.Array) -> jax.Array:
    """The same of three steps that end at none of the four neighbours."""
    back = 9 * _around(x)  # of all paths of three steps, nine end at each neighbour
    return _around(_around(_around(x))) - back - (4 * x if len(x) == 3 else 0)  # three steps around a ring of three


def _shared(n: jax.Array) -> jax.Array:
    """Ordered pairs of n."""
    return n * (n - 1)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["beta", "gamma", "movement"],
    meta_fields=["L", "density", "observables"],
)
@dataclass(frozen=True)
class SIRLattice:
    r"""People on a periodic L x L lattice, at most one per site.

    Events with independent exponential clocks:

    - infection of a susceptible person: rate $\beta$ / 4 for each infected neighbour;
    - recovery of an infected person: rate $\gamma$;
    - exchange of the contents (people or empty) of two neighbouring sites: rate `movement` for each pair.

    With s and i the susceptible and infected fractions of the people and $\rho$ the density, mean field (the limit of fast
    movement) is $\dot s = -\beta\rho s i$, $\dot i = \beta\rho s i - \gamma i$, $R_0 = \beta\rho/\gamma$. With slow
    movement the neighbours of the infected are infected or recovered already, and mean field overestimates the final size:
    by more than 10 % at the default parameters (benchmarks/macro/sir.py).

    Time unit: 1 / gamma for gamma = 1 (mean time of an infection). States: (L, L) int8, 0 empty, 1 susceptible, 2 infected,
    3 recovered; observed: the fractions s and i. Exchanges conserve the number of people. A pair of neighbours belongs to
    its left or upper site: those of a patch include the pairs across its right and lower border.

    Args:
        L: edge.
        beta: infection rate with all four neighbours infected.
        gamma: recovery rate.
        movement: exchange rate of a pair of neighbours.
        density: people per site, in (0, 1].
        observables: any of "susceptible", "infected" (fractions of the people), "contacts" (pairs of neighbours, one
            susceptible and one infected, per person), "second contacts" and "third contacts" (paths of two steps, and of
            three to other sites than neighbours, from a susceptible to an infected person, per person), "shared contacts"
            (ordered pairs of infected neighbours of a susceptible person, per person). The rate of infection
            is beta / 4 times the contacts: with them the drift of s and i is known exactly, without them it depends on how
            the infected cluster. Movement brings second contacts together and contacts apart, and so on outwards; each
            shell holds a part of the memory that the shells within lack.

    Raises:
        InputError: L not a whole number of at least 3, a negative rate, a density outside (0, 1], or an unknown observable.
    """

    L: int = 64
    beta: float = 4.0
    gamma: float = 1.0
    movement: float = 1.0
    density: float = 0.8
    observables: tuple[str, ...] = ("susceptible", "infected")

    time_unit: ClassVar[str] = "that of 1 / gamma"
    dt: ClassVar[float] = 1 / 64
    margin: ClassVar[int] = 1  # an exchange may reach one site beyond a patch
    conserved: ClassVar[tuple[tuple[int, ...], ...]] = ((EMPTY,), (SUSCEPTIBLE, INFECTED, RECOVERED))

    def __post_init__(self):
        checks.whole("L", self.L, low=3, remedy="It is the edge of the lattice.")
        checks.number("beta", self.beta, low=0, remedy="It is a rate.")
        checks.number("gamma", self.gamma, low=0, remedy="It is a rate.")
        checks.number("movement", self.movement, low=0, remedy="It is a rate.")
        checks.number("density", self.density, above=0, high=1, remedy="It is the number of people per site.")
        object.__setattr__(self, "observables", tuple(self.observables))
        for name in self.observables:
            checks.choice("observables", name, OBSERVABLES)
        if "shared contacts" in self.observables and self.L < 4:
            raise InputError(
                f'L = {self.L}: "shared contacts" needs L >= 4, where neighbours have no common neighbour.'
            )

    @property
    def sites(self) -> tuple[int, ...]:
        """The lattice."""
        return (self.L, self.L)

    @property
    def names(self) -> tuple[str, ...]:
        """Observables."""
        return self.observables

    @property
    def absorbing(self) -> tuple[str, ...]:
        """Observables that vanish together once nobody is infected; the first is that on which all activity depends."""
        return tuple(n for n in OBSERVABLES[1:] if n in self.observables) if "infected" in self.observables else ()

    @property
    def people(self) -> int:
        """Number of people on L x L sites."""
        return max(1, round(self.density * self.L**2))

    @property
    def parameters(self) -> dict:
        """External parameters."""
        return {"beta": self.beta, "gamma": self.gamma, "movement": self.movement}

    @property
    def times(self) -> jax.Array:
        """Default times of snapshots: denser at first, while the neighbourhoods of the infected form."""
        return jnp.concatenate([jnp.array([0.0, 0.1, 0.2, 0.35, 0.5, 0.75]), jnp.arange(1.0, 20.5, 0.5)])

    def initial(self, key: jax.Array, infected: int | None = None) -> jax.Array:
        """People at random sites, of whom `infected` have been infected; None: 1 to 10 % of all, log-uniform."""
        one, two = jax.random.split(key)
        N = self.people
        draw = jnp.exp(jax.random.uniform(one, minval=0.0, maxval=jnp.log(max(0.1 * N, 1.0) + 1)))
        count = jnp.floor(draw) if infected is None else infected
        rank = jnp.argsort(jnp.argsort(jax.random.uniform(two, (self.L**2,))))
        kind = jnp.where(rank < count, INFECTED, jnp.where(rank < N, SUSCEPTIBLE, EMPTY))
        return kind.astype(jnp.int8).reshape(self.sites)

    def observe(self, state: jax.Array) -> jax.Array:
        """Susceptible and infected fractions of the people, contacts per person, as asked for."""
        well, ill = state == SUSCEPTIBLE, state == INFECTED
        counts = {
            "susceptible": lambda: total(well),
            "infected": lambda: total(ill),
            "contacts": lambda: total(well * _around(ill)),
            "second contacts": lambda: total(well * _two_steps(ill)),
            "third contacts": lambda: total(well * _three_steps(ill)),
            "shared contacts": lambda: total(well * _shared(_around(ill))),
        }
        return jnp.stack([counts[name]() for name in self.observables]) / jnp.maximum(total(state != EMPTY), 1)

    def mean_field(self, z: jax.Array) -> jax.Array:
        """Drift (..., 2) of the well-mixed equations.

        Raises:
            InputError: other observables than the susceptible and the infected.
        """
        if self.observables != OBSERVABLES[:2]:
            raise InputError(
                f"The mean-field equation is one of {' and '.join(OBSERVABLES[:2])}, not of {self.observables}."
            )
        s, i = z[..., 0], z[..., 1]
        infection = self.beta * self.density * s * i
        return jnp.stack([-infection, infection - self.gamma * i], -1)

    def events(self, state: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Rates (L, L, 4) of infection, recovery and exchange (down, right), and changes (L, L, 4, d)."""
        well, ill = (state == SUSCEPTIBLE).astype(jnp.float64), (state == INFECTED).astype(jnp.float64)
        near_ill = _around(ill)
        exchange = jnp.full(state.shape, self.movement)
        rates = jnp.stack([self.beta / 4 * near_ill * well, self.gamma * ill, exchange, exchange], -1)

        def pairs(near, beside):
            """Changes of the sum of S_x w_xy I_y, where near(I)_x is the sum of w_xy I_y, and `beside` w of neighbours."""
            by_well, by_ill = near(well), near(ill)

            def swap(axis):
                more = lambda x: (
                    jnp.roll(x, -1, axis) - x
                )  # what the exchange brings to a site, and takes from the next
                return -more(well) * more(by_ill) - more(ill) * more(by_well) - 2 * beside * more(well) * more(ill)

            return by_well - by_ill, -by_well, swap(0), swap(1)

        def shared():
            """Changes of the sum of S_x n_x (n_x - 1), n_x the infected neighbours: a change m of n brings 2 n m + m^2 - m."""
            n = near_ill

            def swap(axis):
                at_next = lambda x: jnp.roll(x, -1, axis)
                m = at_next(ill) - ill  # infected that the exchange brings to a site, and takes from the next
                twice, near = _around(2 * n * well), _around(well)
                here = m * (twice - at_next(2 * n * well)) + (m**2 - m) * (near - at_next(well))
                there = -m * (at_next(twice) - 2 * n * well) + (m**2 + m) * (at_next(near) - well)
                own = at_next(well) * _shared(n - m) - well * _shared(n)
                own_next = well * _shared(at_next(n) + m) - at_next(well * _shared(n))
                return here + there + own + own_next

            return _around(2 * well * n) - _shared(n), -_around(2 * well * (n - 1)), swap(0), swap(1)

        none, one = jnp.zeros(state.shape), jnp.ones(state.shape)
        change = {
            "susceptible": lambda: (-one, none, none, none),
            "infected": lambda: (one, -one, none, none),
            "contacts": lambda: pairs(_around, 1),
            # two steps around a ring of three are one back, and so are three around a ring of four
            "second contacts": lambda: pairs(_two_steps, int(self.L == 3)),
            "third contacts": lambda: pairs(_three_steps, int(self.L == 4)),
            "shared contacts": shared,
        }
        changes = jnp.stack([jnp.stack(change[name](), -1) for name in self.observables], -1)
        return rates, changes / jnp.maximum(total(state != EMPTY), 1)

    def step(self, state: jax.Array, key: jax.Array, dt) -> jax.Array:
        """The whole lattice over dt."""
        return self.step_patch(state, key, dt, state.shape)

    def step_patch(self, state: jax.Array, key: jax.Array, dt, block: tuple[int, ...]) -> jax.Array:
        """The events that belong to the sites [0, block) over dt, all others frozen."""
        return self._evolve(state, key, dt, block, None)

    def step_where(self, state: jax.Array, key: jax.Array, dt, where: jax.Array) -> jax.Array:
        """The events among the sites of a mask over dt; exchanges need both of their sites in it."""
        return self._evolve(state, key, dt, state.shape, jnp.asarray(where))

    def _evolve(self, state, key, dt, block, where):
        rows, columns = state.shape
        reaction = jnp.maximum(self.beta, self.gamma)
        rate = reaction + 2 * self.movement

        def attempt(x, words, rings):
            site = below(words[0], block[0] * block[1])
            a, b = site // block[1], site % block[1]
            down, right = jnp.where(a == rows - 1, 0, a + 1), jnp.where(b == columns - 1, 0, b + 1)
            up, left = jnp.where(a == 0, rows - 1, a - 1), jnp.where(b == 0, columns - 1, b - 1)
            here = x[a, b]
            neighbours = [x[down, b], x[up, b], x[a, right], x[a, left]]
            ill = sum((k == INFECTED).astype(jnp.float32) for k in neighbours)
            u = uniform(words[1]) * rate  # in (0, reaction]: a reaction, above: an exchange
            infects = (here == SUSCEPTIBLE) & (u <= self.beta / 4 * ill)
            recovers = (here == INFECTED) & (u <= self.gamma)
            kind = jnp.where(infects, INFECTED, jnp.where(recovers, RECOVERED, here)).astype(x.dtype)
            vertical = u <= reaction + self.movement
            c, d = jnp.where(vertical, down, a), jnp.where(vertical, b, right)
            allowed = rings if where is None else rings & where[a, b]
            moves = allowed & (u > reaction)
            moves = moves if where is None else moves & where[c, d]
            there = x[c, d]
            x = x.at[a, b].set(jnp.where(moves, there, jnp.where(allowed & (u <= reaction), kind, here)))
            return x.at[c, d].set(jnp.where(moves, here, there))

        return ring(state, key, block[0] * block[1] * rate * dt, attempt)
