r"""Short-range order of an alloy by vacancy jumps, as a simulator of macroscopic dynamics.

The expansion is handed in: this module knows lattices and energies of clusters as arrays, nothing of how they were found.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase.units import kB

from dftopt.errors import InputError
from dftopt.macro import checks
from dftopt.macro.random import key_words, uniform, words


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["temperature", "barriers", "onsite", "energies"],
    meta_fields=["species", "sites", "basis", "counts", "clusters", "hops", "reference"],
)
@dataclass(frozen=True)
class AlloyLattice:
    """What `AlloyOrdering` makes: a lattice of conventional cells whose sites hold species or vacancies.

    States: (*sites, basis) int8 codes, the vacancy the last; any number of cells along each axis that is larger than the
    interaction works in `step`. An event is the jump of a neighbour into a vacancy and belongs to the vacancy's cell.

    Args:
        temperature: K.
        barriers: (K,) kinetically resolved barriers, eV.
        onsite: (K + 1,) eV.
        energies: for pairs, triplets, ... (basis, R, K + 1, ...) energies of the clusters of a site, eV.
        species: symbols.
        sites: cells along each axis.
        basis: sites per cell.
        counts: sites of each code.
        clusters: for pairs, triplets, ... (basis, R, k - 1, 4) the other sites (x, y, z, b), as nested tuples.
        hops: (basis, z, 4) nearest neighbours, as nested tuples.
        reference: rate of the fastest jump without energy change, whose inverse times a tenth is the default dt.
    """

    temperature: Any
    barriers: Any
    onsite: Any
    energies: Any
    species: tuple[str, ...]
    sites: tuple[int, ...]
    basis: int
    counts: tuple[int, ...]
    clusters: tuple
    hops: tuple
    reference: float

    time_unit = "1 / nu, the inverse of the attempt frequency, of the simulated vacancy concentration"
    margin = 1

    @property
    def n(self) -> int:
        """Number of sites."""
        return int(np.prod(self.sites)) * self.basis

    @property
    def dt(self) -> float:
        """Default time step: a tenth of the waiting time of a vacancy."""
        return 0.1 / self.reference

    @property
    def times(self) -> jax.Array:
        """Default times of snapshots: 50, of one jump per ten sites each."""
        return jnp.arange(0.0, 51.0) * 0.1 * self.n / (self.counts[-1] * self.reference)

    @property
    def names(self) -> tuple[str, ...]:
        """Independent Warren-Cowley parameters of the first shell."""
        return tuple(f"alpha {self.species[i]}-{self.species[j]}" for i, j in self.pairs)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Unlike pairs: the like ones follow from the sum rules."""
        return [(i, j) for i in range(len(self.species)) for j in range(i + 1, len(self.species))]

    @property
    def parameters(self) -> dict:
        """External parameters."""
        return {"temperature": self.temperature}

    @property
    def conserved(self) -> tuple[tuple[int, ...], ...]:
        """Every species and the vacancies."""
        return tuple((k,) for k in range(len(self.counts)))

    def initial(self, key: jax.Array) -> jax.Array:
        """A random mixture."""
        codes = jnp.repeat(jnp.arange(len(self.counts)), jnp.array(self.counts), total_repeat_length=self.n)
        return jax.random.permutation(key, codes).astype(jnp.int8).reshape(*self.sites, self.basis)

    def bonds(self, state: jax.Array) -> jax.Array:
        """(K, K) numbers of first-shell bond ends between species."""
        ends = jax.nn.one_hot(state, len(self.species), dtype=jnp.float32)
        total = jnp.zeros((len(self.species),) * 2)
        for b, near in enumerate(self.hops):
            for x, y, z, c in near:
                other = jnp.roll(ends[..., c, :], (-x, -y, -z), (0, 1, 2))
                total += jnp.einsum("xyzi,xyzj->ij", ends[..., b, :], other).astype(
                    float
                )  # whole numbers: exact below 2^24
        return total

    def order(self, bonds: jax.Array) -> jax.Array:
        """Parameters (..., d) from bond ends (..., K, K), with the fractions of bond ends as composition."""
        total = jnp.sum(bonds, (-1, -2), keepdims=True)
        c = jnp.sum(bonds, -1) / total[..., 0]
        alpha = 1 - bonds / (total * c[..., :, None] * c[..., None, :])
        return jnp.stack([alpha[..., i, j] for i, j in self.pairs], -1)

    def observe(self, state: jax.Array) -> jax.Array:
        """Independent Warren-Cowley parameters of the first shell."""
        return self.order(self.bonds(state))

    def step(self, state: jax.Array, key: jax.Array, dt) -> jax.Array:
        """All vacancies over dt."""
        return self._evolve(state, key, dt, jnp.ones(state.shape[:3], bool))

    def step_patch(self, state: jax.Array, key: jax.Array, dt, block: tuple[int, ...]) -> jax.Array:
        """The vacancies in the cells [0, block) over dt; one that leaves them rests."""
        inside = jnp.zeros(state.shape[:3], bool).at[tuple(slice(b) for b in block)].set(True)
        return self._evolve(state, key, dt, inside)

    def step_where(self, state: jax.Array, key: jax.Array, dt, where: jax.Array) -> jax.Array:
        """The vacancies in the cells of a mask over dt."""
        return self._evolve(state, key, dt, jnp.asarray(where))

    def events(self, state: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Jump rates (*sites, basis * z) and changes (*sites, basis * z, d) of the parameters; zero without a vacancy."""
        shape, s = state.shape[:3], state.reshape(-1)
        vacancies = self._vacancies(s)
        rates, targets = jax.vmap(partial(self._rates, shape, s))(vacancies)
        bonds = self.bonds(state)
        now = self.order(bonds)

        def change(v, j):
            after = s.at[v].set(s[j]).at[j].set(s[v])
            delta = self._bonds_of(shape, after, v, j) - self._bonds_of(shape, s, v, j)
            return self.order(bonds + delta) - now

        changes = jax.vmap(lambda v, js: jax.vmap(lambda j: change(v, j))(js))(vacancies, targets)
        real = (s[vacancies] == len(self.species)) & (jnp.arange(len(vacancies)) < jnp.sum(s == len(self.species)))
        rates = jnp.where(real[:, None], rates, 0.0)
        z = rates.shape[1]
        all_rates = jnp.zeros((s.size, z)).at[vacancies].add(rates)
        all_changes = (
            jnp.zeros((s.size, z, changes.shape[-1])).at[vacancies].add(jnp.where(real[:, None, None], changes, 0.0))
        )
        return all_rates.reshape(*shape, -1), all_changes.reshape(*shape, self.basis * z, -1)

    def _vacancies(self, s):
        """Sites of the vacancies; more than there are in a part of the lattice, the rest repeats site 0."""
        most = min(s.size, 2 + 4 * (self.counts[-1] * s.size // self.n + 1))
        return jnp.nonzero(s == len(self.species), size=most, fill_value=0)[0]

    def _site(self, shape, i, near):
        """Numbers of the sites `near` (..., 4) relative to the cell of site i."""
        b = self.basis
        x, y, z = i // (b * shape[1] * shape[2]), i // (b * shape[2]) % shape[1], i // b % shape[2]
        x, y, z = ((c + near[..., k]) % shape[k] for k, c in enumerate((x, y, z)))
        return ((x * shape[1] + y) * shape[2] + z) * b + near[..., 3]

    def _local(self, shape, s, i):
        """Energy of all clusters with site i."""
        b = i % self.basis
        e = self.onsite[s[i]]
        for near, table in zip(self.clusters, self.energies, strict=True):
            others = s[self._site(shape, i, jnp.array(near)[b])]  # (R, k - 1)
            own = table[b, :, s[i]]
            e += jnp.sum(own[(jnp.arange(len(own)), *(others[:, l] for l in range(others.shape[1])))])
        return e

    def _rates(self, shape, s, v):
        """Rates (z,) in units of nu of the jumps into vacancy v, and the sites (z,) they come from."""
        empty = s[v]
        targets = self._site(shape, v, jnp.array(self.hops)[v % self.basis])

        def one(j):
            first = s.at[v].set(s[j])
            second = first.at[j].set(empty)
            dE = self._local(shape, first, v) - self._local(shape, s, v)
            dE += self._local(shape, second, j) - self._local(shape, first, j)
            kra = jnp.append(self.barriers, 0.0)[s[j]]
            barrier = jnp.maximum(jnp.maximum(kra + dE / 2, dE), 0.0)
            return jnp.where(s[j] == empty, 0.0, jnp.exp(-barrier / (kB * self.temperature)))

        return jax.vmap(one)(targets), targets

    def _bonds_of(self, shape, s, v, j):
        """Bond ends (K, K) of the sites v and j; the bond between them has a vacancy and does not count."""
        K = len(self.species)
        total = jnp.zeros((K, K))
        for i in (v, j):
            near = s[self._site(shape, i, jnp.array(self.hops)[i % self.basis])]
            ends = jnp.sum(jax.nn.one_hot(near, K), 0)
            own = jax.nn.one_hot(s[i], K)
            total += own[:, None] * ends + ends[:, None] * own
        return total

    def _evolve(self, state, key, dt, active):
        shape, seed = state.shape[:3], key_words(key)
        s = state.reshape(-1)
        vacancies = self._vacancies(s)
        there = jnp.arange(len(vacancies)) < jnp.sum(s == len(self.species))
        active = jnp.repeat(active.reshape(-1), self.basis)

        def jump(carry):
            s, vacancies, clock, i = carry
            rates, targets = jax.vmap(partial(self._rates, shape, s))(vacancies)
            rates = jnp.where((there & active[vacancies])[:, None], rates, 0.0)
            w = words(seed, i)
            cumulative = jnp.cumsum(rates.reshape(-1))
            clock += -jnp.log(uniform(w[0])).astype(float) / jnp.maximum(cumulative[-1], 1e-300)
            goes = clock <= dt
            last = jnp.max(jnp.where(rates.reshape(-1) > 0, jnp.arange(rates.size), 0))
            pick = jnp.minimum(jnp.sum(cumulative < uniform(w[1]) * cumulative[-1]), last)
            k, h = pick // rates.shape[1], pick % rates.shape[1]
            v, j = vacancies[k], targets[k, h]
            after = s.at[v].set(s[j]).at[j].set(s[v])
            return (
                jnp.where(goes, after, s),
                jnp.where(goes, vacancies.at[k].set(j), vacancies),
                clock,
                i + jnp.uint32(1),
            )

        start = (s, vacancies, jnp.zeros(()), jnp.zeros((), jnp.uint32))
        return jax.lax.while_loop(lambda c: c[2] < dt, jump, start)[0].reshape(state.shape)


def AlloyOrdering(
    ce, size=(8, 8, 8), composition=None, temperature: float = 1000.0, barriers=None, vacancies: int | None = None
) -> AlloyLattice:
    """A simulator of short-range order in an alloy; its coordinates are the independent first-shell parameters.

    Args:
        ce: a cluster expansion (`dftopt.alloy.ClusterExpansion`).
        size: conventional cells along each axis.
        composition: fraction or number of sites by symbol.
        temperature: K, the external parameter.
        barriers: kinetically resolved barriers by symbol of the atom that jumps, eV.
        vacancies: empty sites; default one per 1,024 sites.

    Returns:
        The simulator. Time unit: 1 / nu (attempt frequency), at the simulated concentration of vacancies.

    Raises:
        InputError: as `dftopt.alloy.vacancy_kmc`.
    """
    checks.number("temperature", temperature, above=0, remedy="It is in kelvin.")
    lattice = ce.cells(size, composition, barriers, vacancies)
    if min(lattice["counts"][:-1]) == 0:
        raise InputError(f"composition = {composition}: every species of the expansion needs at least one site.")
    fastest = float(np.exp(-min(lattice["barriers"]) / (kB * float(temperature))))
    z = len(lattice["hops"][0])
    arrays = {name: jax.tree.map(jnp.asarray, lattice[name]) for name in ("barriers", "onsite", "energies")}
    return AlloyLattice(temperature=float(temperature), reference=z * fastest, **{**lattice, **arrays})
