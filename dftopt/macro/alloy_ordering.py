r"""Short-range order of an alloy by vacancy jumps, as a simulator of macroscopic dynamics.

The expansion is handed in: this module knows lattices and energies of clusters as arrays, nothing of how they were found.

Time runs with the jumps: its unit is that in which an atom of a mean barrier jumps once, in an alloy of equal energies,
$1 / (c_V z \nu e^{-\langle E_{KRA} \rangle / k_B T})$. Relaxation takes a few units at any temperature and any
concentration of vacancies; `AlloyLattice.seconds` is the unit in a crystal.

A vacancy jumps back more often than not, so noise of single jumps is not that of many: b and Sigma of the macroscopic
equation belong to time steps of many jumps of each vacancy (`dt`), not to explicit rates. In patches of 1,024 sites of an
alloy of three species both level off between 0.2 and 0.4 jumps per site: D is 12 % larger at 0.1, and falls again where a
vacancy comes back to its own trail, by 7 % at 0.8 and 25 % at 1.6.
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
from dftopt.macro.alloy_host import Host
from dftopt.macro.random import key_words, uniform, words

STEP = 0.2  # jumps per site: 200 of a vacancy in 1,024 sites
SEAM = 2  # cells on either side of a seam that heal: all bonds to the fourth shell cross within one


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["temperature", "barriers", "onsite", "energies"],
    meta_fields=["species", "sites", "basis", "counts", "clusters", "shells", "walks"],
)
@dataclass(frozen=True)
class AlloyLattice:
    """What `AlloyOrdering` makes: a lattice of conventional cells whose sites hold species or vacancies.

    States: (*sites, basis) int8 codes, the vacancy the last; any number of cells along each axis that is larger than the
    interaction works in `step`. An event is the jump of a neighbour into a vacancy and belongs to the vacancy: a patch is the
    vacancies that are in it at the start, wherever they go. No bond is cut, and K is sites over sites of the patch.

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
        shells: of the neighbours whose order is observed (basis, z, 4), as nested tuples; vacancies jump in the first.
        walks: the same in kernels of another compiler (`dftopt.alloy.walks`); None: JAX alone.
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
    shells: tuple
    walks: Any = None

    time_unit = "jumps per site at the mean barrier"
    correlated = True
    dt = STEP
    seam = SEAM

    @property
    def n(self) -> int:
        """Number of sites."""
        return int(np.prod(self.sites)) * self.basis

    @property
    def hops(self) -> tuple:
        """(basis, z, 4) nearest neighbours."""
        return self.shells[0]

    @property
    def rate(self):
        """Jumps per site in 1 / nu, at the mean barrier: the inverse of the unit of time."""
        mean = jnp.array(self.counts[:-1]) @ jnp.asarray(self.barriers) / sum(self.counts[:-1])
        return self.counts[-1] / self.n * len(self.hops[0]) * jnp.exp(-mean / (kB * self.temperature))

    def seconds(self, vacancy_formation: float, prefactor: float = 1e13) -> float:
        r"""Seconds in a unit of time, for the $e^{-G_f / k_B T}$ vacancies per site of a crystal in equilibrium.

        Args:
            vacancy_formation: G_f, eV.
            prefactor: nu, 1/s.
        """
        checks.number("vacancy_formation", vacancy_formation, above=0, remedy="It is in eV.")
        checks.number("prefactor", prefactor, above=0, remedy="It is in 1/s.")
        concentration = np.exp(-vacancy_formation / (kB * float(self.temperature)))
        return float(self.counts[-1] / self.n / concentration / (prefactor * self.rate))

    @property
    def host(self) -> Host | None:
        """Many states at once in NumPy; see `dftopt.macro.simulator`."""
        return None if self.walks is None else Host(self)

    @property
    def times(self) -> np.ndarray:
        """Default times of snapshots: 41, to 20 jumps per site."""
        return np.arange(0.0, 20.25, 0.5)

    @property
    def names(self) -> tuple[str, ...]:
        """Independent Warren-Cowley parameters, shell after shell."""
        shells = ["alpha", *(f"alpha{i + 1}" for i in range(1, len(self.shells)))]
        return tuple(f"{a} {self.species[i]}-{self.species[j]}" for a in shells for i, j in self.pairs)

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

    def links(self, axis: int) -> list:
        """Bonds one cell along an axis, as (basis, step, basis): to nearest neighbours, and straight on."""
        one = tuple(int(a == axis) for a in range(3))
        near = [(b, tuple(h[:3]), h[3]) for b, every in enumerate(self.hops) for h in every if h[axis] == 1]
        return [near, [(b, one, b) for b in range(self.basis)]]

    def initial(self, key: jax.Array) -> jax.Array:
        """A random mixture."""
        codes = np.repeat(np.arange(len(self.counts), dtype=np.int8), self.counts)
        return jax.random.permutation(key, jnp.asarray(codes)).reshape(*self.sites, self.basis)

    def bonds(self, state: jax.Array) -> jax.Array:
        """(shells, K, K) numbers of bond ends between species."""
        ends = jax.nn.one_hot(state, len(self.species), dtype=jnp.float32)
        out = []
        for shell in self.shells:
            total = jnp.zeros((len(self.species),) * 2)
            for b, near in enumerate(shell):
                for x, y, z, c in near:
                    other = jnp.roll(ends[..., c, :], (-x, -y, -z), (0, 1, 2))
                    # whole numbers: exact below 2^24
                    total += jnp.einsum("xyzi,xyzj->ij", ends[..., b, :], other).astype(float)
            out.append(total)
        return jnp.stack(out)

    def order(self, bonds: jax.Array) -> jax.Array:
        """Parameters (..., d) from bond ends (..., shells, K, K), with the fractions of bond ends as composition."""
        total = jnp.sum(bonds, (-1, -2), keepdims=True)
        c = jnp.sum(bonds, -1) / total[..., 0]
        alpha = 1 - bonds / (total * c[..., :, None] * c[..., None, :])
        every = jnp.stack([alpha[..., i, j] for i, j in self.pairs], -1)
        return every.reshape(*every.shape[:-2], -1)

    def all_pairs(self, z: np.ndarray) -> np.ndarray:
        r"""(..., K, K) first-shell parameters, from coordinates (..., d) by the sum rules $\sum_j c_j \alpha_{ij} = 0$.

        c is the composition: with a vacancy, right to its concentration.
        """
        K, z = len(self.species), np.asarray(z)
        c = np.array(self.counts[:-1]) / sum(self.counts[:-1])
        out = np.zeros((*z.shape[:-1], K, K))
        for k, (i, j) in enumerate(self.pairs):
            out[..., i, j] = out[..., j, i] = z[..., k]
        for i in range(K):
            out[..., i, i] = -(out[..., i, :] @ c) / c[i]
        return out

    def observe(self, state: jax.Array) -> jax.Array:
        """Independent Warren-Cowley parameters."""
        return self.order(self.bonds(state))

    def step(self, state: jax.Array, key: jax.Array, dt) -> jax.Array:
        """All vacancies over dt."""
        every = jnp.ones(state.shape[:3], bool)
        return self._evolve(state, key, dt, every, every)

    def step_patch(self, state: jax.Array, key: jax.Array, dt, block: tuple[int, ...]) -> jax.Array:
        """The vacancies that are in the cells [0, block) over dt, wherever they go."""
        inside = jnp.zeros(state.shape[:3], bool).at[tuple(slice(b) for b in block)].set(True)
        return self._evolve(state, key, dt, inside, jnp.ones_like(inside))

    def step_where(self, state: jax.Array, key: jax.Array, dt, where: jax.Array) -> jax.Array:
        """The vacancies in the cells of a mask over dt; they do not leave them."""
        return self._evolve(state, key, dt, jnp.asarray(where), jnp.asarray(where))

    def events(self, state: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Jumps per unit of time (*sites, basis * z) and changes (..., d) of the parameters; zero without a vacancy."""
        state = jnp.asarray(state)
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
        rates = jnp.where(real[:, None], rates / self.rate, 0.0)
        z = rates.shape[1]
        all_rates = jnp.zeros((s.size, z)).at[vacancies].add(rates)
        all_changes = (
            jnp.zeros((s.size, z, changes.shape[-1])).at[vacancies].add(jnp.where(real[:, None, None], changes, 0.0))
        )
        return all_rates.reshape(*shape, -1), all_changes.reshape(*shape, self.basis * z, -1)

    def _vacancies(self, s):
        """Sites of the vacancies; where there are fewer than expected, the rest repeats site 0."""
        most = self.counts[-1] if s.size == self.n else min(s.size, 2 + 4 * (self.counts[-1] * s.size // self.n + 1))
        return jnp.nonzero(s == len(self.species), size=most, fill_value=0)[0]

    def _site(self, shape, i, near):
        """Numbers of the sites `near` (..., 4) relative to the cell of site i."""
        b = self.basis
        x, y, z = i // (b * shape[1] * shape[2]), i // (b * shape[2]) % shape[1], i // b % shape[2]
        x, y, z = ((c + near[..., k]) % shape[k] for k, c in enumerate((x, y, z)))
        return ((x * shape[1] + y) * shape[2] + z) * b + near[..., 3]

    def _local(self, shape, at, i, own):
        """Energy of all clusters with site i, if its species is `own` and those of others `at(sites)`."""
        b = i % self.basis
        e = self.onsite[own]
        for near, table in zip(self.clusters, self.energies, strict=True):
            others = at(self._site(shape, i, jnp.array(near)[b]))  # (R, k - 1)
            rows = table[b, :, own]
            e += jnp.sum(rows[(jnp.arange(len(rows)), *(others[:, l] for l in range(others.shape[1])))])
        return e

    def _rates(self, shape, s, v):
        """Rates (z,) in units of nu of the jumps into vacancy v, and the sites (z,) they come from."""
        empty = s[v]
        targets = self._site(shape, v, jnp.array(self.hops)[v % self.basis])
        before = lambda q: s[q]

        def one(j):
            a = s[j]
            first = lambda q: jnp.where(q == v, a, s[q])  # no copies of s
            dE = self._local(shape, before, v, a) - self._local(shape, before, v, empty)
            dE += self._local(shape, first, j, empty) - self._local(shape, first, j, a)
            kra = jnp.append(self.barriers, 0.0)[a]
            barrier = jnp.maximum(jnp.maximum(kra + dE / 2, dE), 0.0)
            return jnp.where(a == empty, 0.0, jnp.exp(-barrier / (kB * self.temperature)))

        return jax.vmap(one)(targets), targets

    def _bonds_of(self, shape, s, v, j):
        """Bond ends (shells, K, K) of the sites v and j; a bond between them has a vacancy and does not count."""
        K = len(self.species)
        out = []
        for shell in self.shells:
            total = jnp.zeros((K, K))
            for i in (v, j):
                near = s[self._site(shape, i, jnp.array(shell)[i % self.basis])]
                ends = jnp.sum(jax.nn.one_hot(near, K), 0)
                own = jax.nn.one_hot(s[i], K)
                total += own[:, None] * ends + ends[:, None] * own
            out.append(total)
        return jnp.stack(out)

    def _evolve(self, state, key, dt, moving, allowed):
        """State after dt: vacancies that are in cells `moving` jump to sites of cells `allowed`."""
        shape, seed = state.shape[:3], key_words(key)
        s = state.reshape(-1)
        vacancies = self._vacancies(s)
        there = jnp.arange(len(vacancies)) < jnp.sum(s == len(self.species))
        there &= jnp.repeat(moving.reshape(-1), self.basis)[vacancies]
        allowed = jnp.repeat(allowed.reshape(-1), self.basis)
        until = dt / self.rate

        def jump(carry):
            s, vacancies, clock, i = carry
            rates, targets = jax.vmap(partial(self._rates, shape, s))(vacancies)
            rates = jnp.where(there[:, None] & allowed[targets], rates, 0.0)
            w = words(seed, i)
            cumulative = jnp.cumsum(rates.reshape(-1))
            clock += -jnp.log(uniform(w[0])).astype(float) / jnp.maximum(cumulative[-1], 1e-300)
            goes = clock <= until
            last = jnp.max(jnp.where(rates.reshape(-1) > 0, jnp.arange(rates.size), 0))
            pick = jnp.minimum(jnp.sum(cumulative < uniform(w[1]) * cumulative[-1]), last)
            k, h = pick // rates.shape[1], pick % rates.shape[1]
            v, j = vacancies[k], targets[k, h]
            a, b = s[v], s[j]
            s = s.at[v].set(jnp.where(goes, b, a)).at[j].set(jnp.where(goes, a, b))
            return s, vacancies.at[k].set(jnp.where(goes, j, v)), clock, i + jnp.uint32(1)

        start = (s, vacancies, jnp.zeros(()), jnp.zeros((), jnp.uint32))
        return jax.lax.while_loop(lambda c: c[2] < until, jump, start)[0].reshape(state.shape)


def AlloyOrdering(
    ce,
    size=(8, 8, 8),
    composition=None,
    temperature: float = 1000.0,
    barriers=None,
    vacancies: int | None = None,
    shells: int = 1,
) -> AlloyLattice:
    """A simulator of short-range order in an alloy; its coordinates are the independent first-shell parameters.

    Args:
        ce: a cluster expansion (`dftopt.alloy.ClusterExpansion`).
        size: conventional cells along each axis.
        composition: fraction or number of sites by symbol.
        temperature: K, the external parameter.
        barriers: kinetically resolved barriers by symbol of the atom that jumps, eV.
        vacancies: empty sites; default one per 1,024 sites.
        shells: number of shells whose parameters are coordinates: those of the second and further ones close the equation.

    Returns:
        The simulator. Time unit: that in which an atom of the mean barrier jumps once.

    Raises:
        InputError: as `dftopt.alloy.vacancy_kmc`.
    """
    checks.number("temperature", temperature, above=0, remedy="It is in kelvin.")
    checks.whole("shells", shells)
    lattice = ce.cells(size, composition, barriers, vacancies, shells)
    if min(lattice["counts"][:-1]) == 0:
        raise InputError(f"composition = {composition}: every species of the expansion needs at least one site.")
    arrays = {name: jax.tree.map(jnp.asarray, lattice[name]) for name in ("barriers", "onsite", "energies")}
    return AlloyLattice(temperature=float(temperature), **{**lattice, **arrays})
