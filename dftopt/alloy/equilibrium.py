"""Equilibrium: canonical and semi-grand Monte Carlo on a lattice, many replicas and temperatures at once."""

import warnings
from dataclasses import dataclass

import numpy as np
from ase.units import kB

from dftopt.alloy import aliasing
from dftopt.alloy.engines import engine as choose
from dftopt.alloy.hamiltonian import hamiltonian
from dftopt.alloy.order_parameters import sro
from dftopt.alloy.supercell import Supercell
from dftopt.errors import DFTOptWarning, InputError

VACANCY = "X"


@dataclass(frozen=True, eq=False)
class Samples:
    """What Monte Carlo returns: `samples` configurations of every replica, replica after replica.

    Args:
        species: (samples, sites) codes, the positions of the symbols in `symbols`; int8.
        energy: (samples,) eV per site.
        sro: (samples, shells, species, species) Warren-Cowley parameters.
        temperature: (samples,) K.
        replica: (samples,) number of the walker; with tempering that of the temperature.
        symbols: of the codes; "X" is the vacancy.
        accepted: (replicas,) fraction of attempts.
        exchanged: (replicas - 1,) accepted fraction of exchanges between neighbouring temperatures (tempering).
        supercell: with the sites.
    """

    species: np.ndarray
    energy: np.ndarray
    sro: np.ndarray
    temperature: np.ndarray
    replica: np.ndarray
    symbols: tuple[str, ...]
    accepted: np.ndarray
    exchanged: np.ndarray
    supercell: Supercell

    def composition(self) -> np.ndarray:
        """(samples, K) fractions of the codes."""
        return np.stack([(self.species == k).mean(1) for k in range(len(self.symbols))], 1)

    def heat_capacity(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        r"""Temperatures, heat capacities $C = n \langle \delta e^2 \rangle / (k_B T^2)$ in k_B per site, and their errors.

        At constant composition (canonical). The errors are those of the mean over ten blocks of samples of each temperature.
        """
        temperatures = np.unique(self.temperature)
        values, errors = np.array([self.heat_at(T) for T in temperatures]).T
        return temperatures, values, errors

    def heat_at(self, temperature: float) -> tuple[float, float]:
        """Heat capacity at one of the temperatures and its error, k_B per site."""
        e = self.energy[self.temperature == temperature]
        away = (e - e.mean()) ** 2 * self.species.shape[1] / (kB * temperature) ** 2
        return float(away.mean()), float(_error(away))

    def mean_at(self, temperature: float, values: np.ndarray) -> tuple[float, float]:
        """Mean of `values` (samples,) at one of the temperatures, and its error."""
        rows = values[self.temperature == temperature]
        return float(rows.mean()), float(_error(rows))

    def mean(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Temperatures, means and standard errors of `values` (samples, ...) at each, from ten blocks."""
        temperatures = np.unique(self.temperature)
        rows = [values[self.temperature == T] for T in temperatures]
        return temperatures, np.stack([r.mean(0) for r in rows]), np.stack([_error(r) for r in rows])


def _error(values: np.ndarray, blocks: int = 10) -> np.ndarray:
    """Standard error of the mean from the means of blocks."""
    parts = np.array_split(values, min(blocks, len(values)))
    means = np.stack([p.mean(0) for p in parts])
    return means.std(0, ddof=1) / np.sqrt(len(parts)) if len(parts) > 1 else np.full(means.shape[1:], np.nan)


def monte_carlo(
    ce,
    size=(8, 8, 8),
    composition=None,
    temperature=1000.0,
    seed: int = 0,
    *,
    ensemble: str = "canonical",
    chemical_potentials=None,
    samples: int = 100,
    sweeps: int = 5,
    equilibration: int = 500,
    replicas: int = 1,
    tempering: bool = False,
    shells: int = 3,
    start=None,
    supercell: Supercell | None = None,
    vacancies: int = 0,
    vacancy_energies=None,
    engine: str = "auto",
) -> Samples:
    """Sample configurations in equilibrium.

    Args:
        ce: a ClusterExpansion.
        size: of the supercell in conventional cells.
        composition: fraction or number of sites of every symbol; numbers are rounded to whole sites. Canonical only.
        temperature: K; a number, or one per temperature wanted.
        seed: whole number.
        ensemble: "canonical" (exchange of any two unlike sites) or "semi-grand" (change of one site).
        chemical_potentials: eV by symbol, for the semi-grand ensemble; only differences matter.
        samples: configurations kept of every replica.
        sweeps: attempts per site between them.
        equilibration: attempts per site before the first.
        replicas: independent walkers at every temperature.
        tempering: exchange configurations between neighbouring temperatures (parallel tempering) after every sample.
        shells: of the Warren-Cowley parameters.
        start: (n,) codes of all walkers, or (walkers, n); default: random.
        supercell: instead of `size`.
        vacancies: number of sites left empty (canonical); they are the last code.
        vacancy_energies: see `dftopt.alloy.hamiltonian.hamiltonian`.
        engine: "numba", "jax" or "auto".

    Returns:
        Samples.

    Raises:
        InputError: temperatures at or below zero, a composition of other symbols or that does not fill the sites, unknown
            words, counts that are not positive.

    Warns:
        DFTOptWarning: the supercell is smaller than the interaction; which shells coincide.

    References:
        Metropolis et al., J. Chem. Phys. 21, 1087 (1953); Hukushima, Nemoto, J. Phys. Soc. Jpn. 65, 1604 (1996).
    """
    kernels = choose(engine)
    if ensemble not in ("canonical", "semi-grand"):
        raise InputError(f"ensemble = {ensemble!r} is unknown; valid: canonical, semi-grand.")
    temperatures = check_temperatures(temperature)
    for name, value, low in (
        ("samples", samples, 1), ("sweeps", sweeps, 1), ("equilibration", equilibration, 0), ("replicas", replicas, 1),
        ("shells", shells, 1), ("vacancies", vacancies, 0), ("seed", seed, 0),
    ):  # fmt: skip
        whole(name, value, low)
    cell = supercell or Supercell.of(ce.parent, size)
    warn_small(ce, cell)
    walkers = len(temperatures) * replicas
    rng = np.random.default_rng([seed, 20])
    symbols = ce.species + ((VACANCY,) if vacancies else ())
    mu = _potentials(ce, chemical_potentials) if ensemble == "semi-grand" else None
    if mu is None:
        states = start_states(ce, cell, composition, vacancies, walkers, start, rng)
    elif composition is not None or vacancies:
        raise InputError("The semi-grand ensemble takes chemical_potentials and neither composition nor vacancies.")
    else:
        random = rng.integers(len(symbols), size=(walkers, len(cell))).astype(np.int8)
        states = random if start is None else given_states(start, walkers, len(cell), len(symbols))
    h = hamiltonian(ce, cell, bool(vacancies), vacancy_energies)
    kT = np.repeat(temperatures, replicas) * kB
    seeds = rng.integers(2**63, size=(walkers, 1)).astype(np.uint64)
    energies = kernels.totals(h, states)

    def run(count):
        attempts = count * len(cell)
        if mu is not None:
            return kernels.flips(h, states, seeds, energies, kT, attempts, mu)
        return kernels.swaps(h, states, seeds, energies, kT, attempts)

    blocks = min(equilibration, 50) if tempering else min(equilibration, 1)
    for i in range(blocks):
        run(equilibration // blocks)
        if tempering:
            _exchange(states, energies, kT, replicas, mu, rng, i)
    kept = np.empty((walkers, samples, len(cell)), np.int8)
    levels = np.empty((walkers, samples))
    accepted, exchanged = np.zeros(walkers), np.zeros((2, max(len(temperatures) - 1, 0)))
    for i in range(samples):
        accepted += run(sweeps)
        if i % 50 == 49:
            energies[:] = kernels.totals(h, states)  # sums of changes lose digits
        kept[:, i], levels[:, i] = states, energies / len(cell)
        if tempering:
            exchanged += _exchange(states, energies, kT, replicas, mu, rng, i)
    flat = kept.reshape(-1, len(cell))
    return Samples(
        flat,
        levels.reshape(-1),
        sro(cell, flat, shells, len(ce.species)),
        np.repeat(np.repeat(temperatures, replicas), samples),
        np.repeat(np.arange(walkers), samples),
        symbols,
        accepted / (samples * sweeps * len(cell)),
        exchanged[0] / np.maximum(exchanged[1], 1),
        cell,
    )


def _exchange(states, energies, kT, replicas, mu, rng, turn) -> np.ndarray:
    """Exchange configurations of neighbouring temperatures; accepted and tried (2, pairs)."""
    order = np.argsort(kT[::replicas], kind="stable")
    out = np.zeros((2, len(order) - 1))
    cost = energies if mu is None else energies - mu[states].sum(1)
    for p in range(turn % 2, len(order) - 1, 2):
        for r in range(replicas):
            a, b = order[p] * replicas + r, order[p + 1] * replicas + r
            out[1, p] += 1
            if np.log(rng.random()) < (cost[a] - cost[b]) * (1 / kT[a] - 1 / kT[b]):
                states[[a, b]], energies[[a, b]], cost[[a, b]] = states[[b, a]], energies[[b, a]], cost[[b, a]]
                out[0, p] += 1
    return out


def check_temperatures(temperature) -> np.ndarray:
    """Positive finite numbers, K.

    Raises:
        InputError: they are not.
    """
    try:
        out = np.atleast_1d(np.asarray(temperature, float))
    except (TypeError, ValueError):
        raise InputError(f"temperature = {temperature!r} must be a number or a list of numbers, K.") from None
    if out.ndim != 1 or out.size == 0 or not np.isfinite(out).all() or (out <= 0).any():
        raise InputError(f"temperature = {temperature!r} must be positive, K: at zero take the ground-state hull.")
    return out


def whole(name: str, value, low: int) -> int:
    """A whole number of at least `low`.

    Raises:
        InputError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise InputError(f"{name} = {value!r} must be a whole number of at least {low}.")
    return int(value)


def warn_small(ce, cell: Supercell) -> list[str]:
    """Warn of shells that the supercell makes one; they are returned."""
    found = aliasing.aliased_shells(ce.parent, cell, aliasing.shells_within(ce.orbits))
    if found:
        warnings.warn(
            f"The supercell of {len(cell)} sites is smaller than the interaction: {', '.join(found)}. Its energies are those of "
            "the periodic cell; for a bulk alloy take a larger one.",
            DFTOptWarning,
            stacklevel=3,
        )
    return found


def counts_of(ce, cell: Supercell, composition, vacancies: int = 0) -> np.ndarray:
    """(K,) whole numbers of sites of every species, the vacancies last where there are some.

    Raises:
        InputError: see `monte_carlo`.
    """
    n = len(cell) - vacancies
    if not isinstance(composition, dict) or not composition:
        raise InputError(
            f"composition = {composition!r} must give a fraction or number for each symbol, such as {{'Nb': 0.5}}."
        )
    for symbol, value in composition.items():
        if symbol not in ce.species:
            raise InputError(f"composition: {symbol!r} is not one of the species {', '.join(ce.species)}.")
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value < np.inf:
            raise InputError(f"composition of {symbol}: {value!r} must be a fraction or a number of sites.")
    amounts = np.array([float(composition.get(s, 0)) for s in ce.species])
    if abs(amounts.sum() - 1) < 1e-6:
        ideal = amounts * n
        counts = np.floor(ideal + 1e-9).astype(int)
        for i in np.argsort(counts - ideal, kind="stable")[: n - counts.sum()]:
            counts[i] += 1
    elif abs(amounts.sum() - n) < 1e-6 and abs(amounts - np.rint(amounts)).max() < 1e-6:
        counts = np.rint(amounts).astype(int)
    else:
        raise InputError(
            f"composition = {composition} adds up to {amounts.sum():g}: fractions must add up to 1, numbers to the {n} sites."
        )
    return np.r_[counts, vacancies] if vacancies else counts


def start_states(ce, cell, composition, vacancies, walkers, start, rng) -> np.ndarray:
    """(walkers, n) configurations of the composition, random or given."""
    if start is not None:
        states = given_states(start, walkers, len(cell), len(ce.species) + bool(vacancies))
    else:
        codes = np.repeat(np.arange(len(ce.species) + bool(vacancies)), counts_of(ce, cell, composition, vacancies))
        states = rng.permuted(np.tile(codes.astype(np.int8), (walkers, 1)), axis=1)
    if any(len(set(row.tolist())) < 2 for row in states):
        raise InputError("The configuration has one species only: there is nothing to exchange.")
    return states


def given_states(start, walkers, n, species) -> np.ndarray:
    """Start configurations as given.

    Raises:
        InputError: wrong shape or codes.
    """
    out = np.asarray(start)
    if out.shape not in ((n,), (walkers, n)) or out.dtype.kind not in "iu" or out.min() < 0 or out.max() >= species:
        raise InputError(f"start must be codes from 0 to {species - 1} of shape ({n},) or ({walkers}, {n}).")
    return np.array(np.broadcast_to(out, (walkers, n)), dtype=np.int8)


def _potentials(ce, given) -> np.ndarray:
    if not isinstance(given, dict):
        raise InputError(f"chemical_potentials = {given!r} must give eV for symbols of {', '.join(ce.species)}.")
    for symbol, value in given.items():
        if symbol not in ce.species:
            raise InputError(f"chemical_potentials: {symbol!r} is not one of the species {', '.join(ce.species)}.")
        if not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
            raise InputError(f"chemical_potentials of {symbol}: {value!r} must be finite, eV.")
    return np.array([float(given.get(s, 0.0)) for s in ce.species])
