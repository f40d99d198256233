"""Vacancy kinetics: rejection-free jumps of atoms into vacancies, in continuous time."""

from dataclasses import dataclass

import numpy as np
from ase.units import kB

from dftopt.alloy import aliasing
from dftopt.alloy.engines import engine as choose
from dftopt.alloy.equilibrium import VACANCY, check_temperatures, start_states, whole
from dftopt.alloy.hamiltonian import Hamiltonian, hamiltonian
from dftopt.alloy.order_parameters import sro
from dftopt.alloy.supercell import Supercell
from dftopt.errors import InputError

UNBOUNDED = 2**62


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where atoms can jump in a supercell of n sites.

    Args:
        sublattice: (n,).
        hop: (n, z) nearest neighbours.
        vectors: (sublattices, z, 3) to them, angstrom.
        reach: (n, r) sites whose vacancy changes its rates with the species of a site, that site too.
    """

    sublattice: np.ndarray
    hop: np.ndarray
    vectors: np.ndarray
    reach: np.ndarray


@dataclass(frozen=True, eq=False)
class Kinetics:
    """What vacancy kinetics returns: `samples` configurations of every replica, replica after replica.

    Args:
        species: (samples, sites) codes; the vacancy is the last of `symbols`.
        energy: (samples,) eV per site.
        sro: (samples, shells, species, species) Warren-Cowley parameters over bonds between atoms.
        time: (samples,) s; in equilibrium time if a vacancy formation energy was given, see `time_scale`.
        replica: (samples,).
        temperature: K.
        symbols: of the codes.
        jumps: (replicas,) after equilibration.
        time_scale: what simulated seconds were multiplied with: vacancies here over vacancies in equilibrium.
        squared: (replicas, windows, species) sums of the squared displacements of all atoms over a window, square angstrom.
        jumped: (replicas, windows, species) numbers of jumps in a window.
        window: (replicas,) length of a window, s.
        atoms: (species,) their numbers.
        hop: length of a jump, angstrom.
        supercell: with the sites.
    """

    species: np.ndarray
    energy: np.ndarray
    sro: np.ndarray
    time: np.ndarray
    replica: np.ndarray
    temperature: float
    symbols: tuple[str, ...]
    jumps: np.ndarray
    time_scale: float
    squared: np.ndarray
    jumped: np.ndarray
    window: np.ndarray
    atoms: np.ndarray
    hop: float
    supercell: Supercell

    def tracer_diffusion(self) -> tuple[np.ndarray, np.ndarray]:
        r"""Coefficients $D_s = \langle R^2 \rangle / 6t$ of each species in m^2/s, and standard errors, over windows."""
        each = 1e-20 * self.squared / (6 * self.window[:, None, None] * np.maximum(self.atoms, 1))
        return _mean(each)

    def correlation_factors(self) -> tuple[np.ndarray, np.ndarray]:
        r"""$f_s = \sum R^2 / (N_\mathrm{jumps} a^2)$ of each species and standard errors; NaN where nothing jumped.

        In windows in which an atom jumps often: a first jump is not correlated yet.

        References:
            Bardeen, Herring, in Imperfections in Nearly Perfect Crystals (1952): 0.7272 in bcc, 0.7815 in fcc for equal atoms.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            total = self.squared.sum((0, 1)) / (self.jumped.sum((0, 1)) * self.hop**2)
            spread = _mean(self.squared)[1] / _mean(self.jumped)[0] / self.hop**2
        return total, spread


def _mean(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and its standard error over replicas and windows."""
    flat = values.reshape(-1, values.shape[-1])
    error = flat.std(0, ddof=1) / np.sqrt(len(flat)) if len(flat) > 1 else np.full(flat.shape[1], np.nan)
    return flat.mean(0), error


def vacancy_kmc(
    ce,
    size=(8, 8, 8),
    composition=None,
    temperature: float = 1000.0,
    barriers=None,
    seed: int = 0,
    *,
    samples: int = 100,
    jumps: int | None = None,
    equilibration: int | None = None,
    times=None,
    replicas: int = 1,
    vacancies: int = 1,
    prefactor: float = 1e13,
    vacancy_formation: float | None = None,
    vacancy_energies=None,
    windows: int = 4,
    shells: int = 3,
    start=None,
    engine: str = "auto",
) -> Kinetics:
    r"""Residence-time algorithm for vacancies that exchange places with their nearest neighbours.

    A jump has the rate $\nu e^{-E_b / k_B T}$ with the kinetically resolved barrier
    $E_b = \max(E_\mathrm{KRA} + \Delta E / 2, \Delta E, 0)$: equal $\nu$ and $E_\mathrm{KRA}$ both ways, so that detailed
    balance is exact; also where the first would be negative or below $\Delta E$.

    Args:
        ce: a ClusterExpansion.
        size: of the supercell in conventional cells.
        composition: of the atoms, fractions or numbers by symbol.
        temperature: K.
        barriers: E_KRA by symbol of the atom that jumps, eV.
        seed: whole number.
        samples: configurations kept of every replica, at equal intervals of time.
        jumps: mean number of jumps between them; default one per site.
        equilibration: jumps before the first; default 50 per site. They also measure the mean waiting time.
        times: (samples,) s, increasing, of simulated time from the start, instead of `samples`, `jumps`, `equilibration`.
        replicas: independent runs.
        vacancies: number of empty sites.
        prefactor: nu, 1/s.
        vacancy_formation: free energy of formation, eV: times become those of a crystal with
            $e^{-G_f / k_B T}$ vacancies per site.
        vacancy_energies: by symbol, energies of a pair with the vacancy in shells 1, 2, ..., eV; see
            `dftopt.alloy.hamiltonian.Hamiltonian` for what holds without.
        windows: parts of the run over which displacements are counted.
        shells: of the Warren-Cowley parameters.
        start: codes (n,) or (replicas, n) with the vacancies; default: random.
        engine: "numba", "jax" or "auto".

    Returns:
        Kinetics.

    Raises:
        InputError: a supercell smaller than the interaction, negative or missing barriers, temperatures at or below zero, a
            composition of other symbols, no vacancy, counts that are not positive.

    References:
        Bortz, Kalos, Lebowitz, J. Comput. Phys. 17, 10 (1975); Van der Ven et al., Phys. Rev. B 64, 184307 (2001).
    """
    kernels = choose(engine)
    T = _one_temperature(temperature)
    kra = check_barriers(ce, barriers)
    for name, value, low in (
        ("samples", samples, 1), ("replicas", replicas, 1), ("vacancies", vacancies, 1), ("windows", windows, 1),
        ("shells", shells, 1), ("seed", seed, 0),
    ):  # fmt: skip
        whole(name, value, low)
    if not isinstance(prefactor, (int, float)) or not 0 < prefactor < np.inf:
        raise InputError(f"prefactor = {prefactor!r} must be positive, 1/s.")
    cell = Supercell.of(ce.parent, size)
    check_large(ce, cell)
    n, K = len(cell), len(ce.species)
    jumps = n if jumps is None else whole("jumps", jumps, 1)
    equilibration = 50 * n if equilibration is None else whole("equilibration", equilibration, 1)
    rng = np.random.default_rng([seed, 30])
    states = start_states(ce, cell, composition, vacancies, replicas, start, rng)
    if (np.sum(states == K, 1) != vacancies).any():
        raise InputError(f"start must have {vacancies} vacancies (code {K}) in every replica.")
    h = hamiltonian(ce, cell, True, vacancy_energies)
    where = geometry(h)
    every = replicas_of(h, kernels, states, vacancies, rng)
    kT = kB * T

    def run(until, most=UNBOUNDED):
        return kernels.jumps(h, where, every, np.asarray(until, float), most, kra, float(prefactor), kT)

    if times is None:
        run(np.full(replicas, np.inf), max(equilibration // 2, 1))
        begun = every["clock"][:, 0].copy()
        half = max(equilibration - equilibration // 2, 1)
        run(np.full(replicas, np.inf), half)
        interval = (every["clock"][:, 0] - begun) / half * jumps
        every["clock"][:] = 0
        marks = interval[:, None] * np.arange(1, samples + 1)
    else:
        marks = np.tile(_check_times(times), (replicas, 1))
    samples = marks.shape[1]
    every["moved"][:] = 0
    every["counts"][:] = 0
    kinds = states  # an atom's number is the site on which it started
    kept, levels = np.empty((replicas, samples, n), np.int8), np.empty((replicas, samples))
    edges = [(w + 1) * samples // windows - 1 for w in range(windows)]
    squared, jumped, done = [], [], np.zeros(replicas, np.int64)
    for i in range(samples):
        done += run(marks[:, i])
        kept[:, i], levels[:, i] = every["state"], every["energy"][:, 0] / n
        if i in edges:
            r2 = (every["moved"] ** 2).sum(-1)
            squared.append([np.bincount(k, r, minlength=K + 1)[:K] for k, r in zip(kinds, r2, strict=True)])
            jumped.append(every["counts"].copy())
            every["moved"][:] = 0
            every["counts"][:] = 0
            every["energy"][:, 0] = kernels.totals(h, every["state"])  # sums of changes lose digits
    scale = 1.0
    if vacancy_formation is not None:
        if not isinstance(vacancy_formation, (int, float)) or not 0 < vacancy_formation < np.inf:
            raise InputError(f"vacancy_formation = {vacancy_formation!r} must be a positive energy, eV.")
        scale = vacancies / n / float(np.exp(-vacancy_formation / kT))
    flat = kept.reshape(-1, n)
    return Kinetics(
        flat,
        levels.reshape(-1),
        sro(cell, flat, shells, K),
        marks.reshape(-1) * scale,
        np.repeat(np.arange(replicas), samples),
        T,
        (*ce.species, VACANCY),
        done,
        scale,
        np.swapaxes(np.array(squared), 0, 1),
        np.swapaxes(np.array(jumped), 0, 1)[..., :K],
        marks[:, -1] * scale / windows,
        np.bincount(states[0], minlength=K + 1)[:K],
        float(np.linalg.norm(where.vectors[0, 0])),
        cell,
    )


def rates(ce, size, state, temperature: float, barriers, *, prefactor=1e13, vacancy_energies=None, engine="auto"):
    """All jumps of one configuration.

    Args:
        ce: a ClusterExpansion.
        size: of the supercell in conventional cells.
        state: (n,) codes with vacancies.
        temperature: K.
        barriers: see `vacancy_kmc`.
        prefactor: see `vacancy_kmc`.
        vacancy_energies: see `vacancy_kmc`.
        engine: see `vacancy_kmc`.

    Returns:
        vacancies (V,), sites of the atoms that jump (V, z), rates (V, z) in 1/s, energy changes (V, z) in eV.

    Raises:
        InputError: as `vacancy_kmc`.
    """
    cell = Supercell.of(ce.parent, size)
    check_large(ce, cell)
    h = hamiltonian(ce, cell, True, vacancy_energies)
    where = geometry(h)
    empty = np.flatnonzero(np.asarray(state) == len(ce.species)).astype(np.int64)
    kra, T = check_barriers(ce, barriers), _one_temperature(temperature)
    r, change = choose(engine).rates(h, where, np.asarray(state, np.int8), empty, kra, kB * T)
    return empty, where.hop[empty].astype(int), prefactor * r, change


def geometry(h: Hamiltonian) -> Geometry:
    """Jumps and their reach for energies on a supercell."""
    cell, parent = h.supercell, h.supercell.parent
    vectors = parent.shell_vectors(1)
    hop = cell.neighbours(vectors)
    origins = np.zeros((len(parent.basis), 4), int)
    origins[:, 0] = np.arange(len(parent.basis))
    steps = parent.position(vectors) - parent.position(origins)[:, None]
    b = cell.sites[:, 0]
    near = np.concatenate([np.arange(len(cell))[:, None], *(x.reshape(len(cell), -1) for x in h.neighbours)], 1)
    kept = {s: np.unique(near[np.flatnonzero(b == s)[0]], return_index=True)[1] for s in range(len(parent.basis))}
    near = near[np.arange(len(cell))[:, None], np.stack([kept[s] for s in range(len(parent.basis))])[b]]
    columns = None
    parts = []
    for begin in range(0, len(cell), 2048):
        part = near[begin : begin + 2048]
        wide = np.concatenate([part, hop[part].reshape(len(part), -1)], 1)
        if columns is None:
            columns = np.stack([np.unique(wide[s], return_index=True)[1] for s in range(len(parent.basis))])
        parts.append(wide[np.arange(len(part))[:, None], columns[b[begin : begin + 2048]]])
    return Geometry(b.astype(np.int64), hop.astype(np.uint32), steps, np.concatenate(parts).astype(np.uint32))


def replicas_of(h: Hamiltonian, kernels, states, vacancies: int, rng) -> dict[str, np.ndarray]:
    """What changes in a run: configurations, clocks, vacancies, atoms and their displacements; one row per replica."""
    R, n = states.shape
    empty = np.stack([np.flatnonzero(row == h.species - 1) for row in states]).astype(np.int64)
    number = np.full((R, n), -1, np.int64)
    np.put_along_axis(number, empty, np.arange(vacancies)[None], 1)
    return {
        "state": states.copy(),
        "seed": rng.integers(2**63, size=(R, 1)).astype(np.uint64),
        "clock": np.zeros((R, 1)),
        "energy": kernels.totals(h, states)[:, None],
        "vacancies": empty,
        "number": number,
        "atom": np.tile(np.arange(n), (R, 1)),
        "moved": np.zeros((R, n, 3)),
        "counts": np.zeros((R, h.species), np.int64),
    }


def check_large(ce, cell: Supercell) -> None:
    """Refuse a supercell in which shells of the interaction coincide.

    Raises:
        InputError: which ones.
    """
    found = aliasing.aliased_shells(ce.parent, cell, max(aliasing.shells_within(ce.orbits), 1))
    if found:
        raise InputError(
            f"The supercell of {len(cell)} sites is smaller than the interaction: {', '.join(found)}. A vacancy would meet its own "
            "images: take a larger size."
        )


def check_barriers(ce, barriers) -> np.ndarray:
    """(K + 1,) E_KRA by code, eV; the vacancy's own is not used.

    Raises:
        InputError: missing, negative or not finite, or of other symbols.
    """
    if not isinstance(barriers, dict):
        raise InputError(f"barriers = {barriers!r} must give E_KRA in eV for each of {', '.join(ce.species)}.")
    for symbol, value in barriers.items():
        if symbol not in ce.species:
            raise InputError(f"barriers: {symbol!r} is not one of the species {', '.join(ce.species)}.")
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value < np.inf:
            raise InputError(f"The barrier of {symbol} is {value!r}: it must be an energy of at least zero, eV.")
    missing = [s for s in ce.species if s not in barriers]
    if missing:
        raise InputError(f"barriers lack {', '.join(missing)}: give E_KRA in eV for every species.")
    return np.array([float(barriers[s]) for s in ce.species] + [0.0])


def _one_temperature(temperature) -> float:
    values = check_temperatures(temperature)
    if len(values) != 1:
        raise InputError(f"temperature = {temperature!r}: kinetics runs at one temperature.")
    return float(values[0])


def _check_times(times) -> np.ndarray:
    marks = np.atleast_1d(np.asarray(times, float))
    if marks.ndim != 1 or not marks.size or not np.isfinite(marks).all() or marks[0] < 0 or (np.diff(marks) <= 0).any():
        raise InputError("times must increase and be at least zero, s.")
    return marks
