"""Energies of a supercell site by site: which clusters a site belongs to, and their energies by species."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dftopt.alloy.supercell import Supercell
from dftopt.errors import InputError

ORDERS = (2, 3, 4)


@dataclass(frozen=True, eq=False)
class Hamiltonian:
    """An expansion on a supercell. Codes of species are their positions in the expansion; a vacancy comes after the last.

    A vacancy has the point functions zero: it interacts as an atom averaged over the species, plus `vacancy_energies`.

    Args:
        supercell: with n sites.
        constant: energy per site, eV.
        onsite: (K,) energy of a species alone.
        neighbours: for pairs, triplets and quadruplets (n, R, k - 1) the other sites of the R clusters of each site.
        energies: for each of them (sublattices, R, K, ..., K) the energy of the cluster, its own site first, eV.
        weights: for each of them (sublattices, R): 1 / how often the site itself is in the cluster (1 but in small cells).
    """

    supercell: Supercell
    constant: float
    onsite: np.ndarray
    neighbours: tuple[np.ndarray, ...]
    energies: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]

    @property
    def species(self) -> int:
        """Number of codes K."""
        return len(self.onsite)

    @cached_property
    def weighted(self) -> tuple[np.ndarray, ...]:
        """`energies` times `weights`: their sum over the clusters of a site counts each cluster once."""
        return tuple(
            e * w.reshape(*w.shape, *(1,) * (e.ndim - 2)) for e, w in zip(self.energies, self.weights, strict=True)
        )

    @property
    def simple(self) -> bool:
        """No cluster contains a site twice."""
        return all((w == 1).all() for w in self.weights)

    def energy(self, codes: np.ndarray) -> np.ndarray:
        """(...) eV per site of codes (..., n); compiled by numba where it is installed."""
        from dftopt.alloy.engines import engine

        codes = np.asarray(codes, np.int8)
        flat = codes.reshape(-1, codes.shape[-1])
        return engine("auto").totals(self, flat).reshape(codes.shape[:-1]) / len(self.supercell)


def hamiltonian(ce, supercell: Supercell, vacancies: bool = False, vacancy_energies=None) -> Hamiltonian:
    """The energies of an expansion on a supercell.

    Args:
        ce: a ClusterExpansion.
        supercell: of its lattice.
        vacancies: one more code.
        vacancy_energies: by symbol, energies of the pair of a vacancy with that species in the shells 1, 2, ..., eV.

    Raises:
        InputError: `vacancy_energies` of other species, of more shells than the pairs of the expansion, or not finite.
    """
    count = len(ce.species)
    K = count + bool(vacancies)
    extra = _vacancy_pairs(ce, vacancy_energies) if vacancies else {}
    parent = ce.parent
    sublattices = len(parent.basis)
    onsite = np.zeros(K)
    neighbours: dict[int, list] = {k: [] for k in ORDERS}  # per sublattice lists of others (k - 1, 4)
    energies: dict[int, list] = {k: [] for k in ORDERS}
    for orbit, table in zip(ce.orbits, _with_vacancy(ce, K), strict=True):
        k = orbit.order
        if k == 1:
            onsite = table
            continue
        if k == 2 and orbit.shells[0] in extra:
            table = table + extra[orbit.shells[0]]
        for instance in orbit.instances:
            for own in range(k):
                others = np.delete(instance, own, 0)
                others[:, 1:] -= instance[own, 1:]
                neighbours[k].append((int(instance[own, 0]), others))
                energies[k].append(np.moveaxis(table, own, 0))
    sites = supercell.sites
    made: list[tuple] = []
    for k in ORDERS:
        rows = [[i for i, (b, _) in enumerate(neighbours[k]) if b == s] for s in range(sublattices)]
        R = len(rows[0])
        tables = np.zeros((sublattices, R, *(K,) * k))
        near = np.zeros((len(sites), R, k - 1), np.int32)
        weight = np.ones((sublattices, R))
        for s in range(sublattices):
            if R:
                tables[s] = np.stack([energies[k][i] for i in rows[s]])
                vectors = np.stack([neighbours[k][i][1] for i in rows[s]])  # (R, k - 1, 4)
                of = np.flatnonzero(sites[:, 0] == s)
                for begin in range(0, len(of), 4096):
                    part = of[begin : begin + 4096]
                    every = np.repeat(vectors[None], len(part), 0)
                    every[..., 1:] += sites[part, None, None, 1:]
                    near[part] = supercell.index(every)
                weight[s] = 1 / (1 + (near[of[0]] == of[0]).sum(-1))
        made.append((near, tables, weight))
    return Hamiltonian(
        supercell,
        float(ce.coefficients[0]),
        onsite,
        tuple(m[0] for m in made),
        tuple(m[1] for m in made),
        tuple(m[2] for m in made),
    )


def _with_vacancy(ce, K: int) -> list[np.ndarray]:
    """Tables of cluster energies with zeros for the vacancy: its point functions are zero."""
    if len(ce.species) == K:
        return ce.tables
    return [np.pad(t, [(0, 1)] * t.ndim) for t in ce.tables]


def _vacancy_pairs(ce, given) -> dict[int, np.ndarray]:
    """By shell: (K, K) symmetric energies of pairs with a vacancy."""
    K = len(ce.species) + 1
    shells = sorted({o.shells[0] for o in ce.orbits if o.order == 2})
    out: dict[int, np.ndarray] = {}
    for symbol, values in dict(given or {}).items():
        if symbol not in ce.species:
            raise InputError(f"vacancy_energies: {symbol!r} is not one of the species {', '.join(ce.species)}.")
        values = np.atleast_1d(np.asarray(values, float))
        if values.ndim != 1 or len(values) > len(shells) or not np.isfinite(values).all():
            raise InputError(
                f"vacancy_energies of {symbol}: {values.tolist()} must be at most {len(shells)} finite energies, one per shell."
            )
        for shell, value in enumerate(values, start=1):
            table = out.setdefault(shell, np.zeros((K, K)))
            i = ce.species.index(symbol)
            table[i, -1] = table[-1, i] = value
    return out
