"""Collinear spin: magnetic moments to start from, and how many bands each spin channel fills at T = 0."""

import numpy as np
from ase.data import ground_state_magnetic_moments

from dftopt.errors import InputError


def starting_moments(model) -> np.ndarray:
    """Moments (atoms,) to start from, bohr magnetons: those of the atoms, or of free atoms (Hund) where none is set."""
    given = np.asarray(model.structure.moments, float)
    if model.nspin == 1 or np.any(given != 0):
        return given
    hund = ground_state_magnetic_moments[np.asarray(model.structure.numbers)]
    charges = np.array([model.potentials[e].charge for e in model.atoms.get_chemical_symbols()], float)
    return np.minimum(hund, charges)


def patterns(model, basis, n: int, seed: int) -> list[np.ndarray]:
    """`n` sets of starting moments: as given, nearly none, alternating, then seeded random flips of sign.

    Atoms that a symmetry of the k points maps onto each other carry one moment, so that every start can lead to all
    minima that have at least this symmetry; PlaneWaves(..., symmetry=False) frees all atoms.
    """
    first = starting_moments(model)
    orbit = np.asarray(basis.kpoints.symmetry.permutations).min(axis=0)
    groups = np.unique(orbit[np.abs(first) > 0] if np.any(first) else orbit)
    alternating = first * np.where(np.searchsorted(groups, orbit) % 2, -1.0, 1.0)
    found: list[np.ndarray] = []
    seen: set[tuple[float, ...]] = set()
    random = np.random.default_rng(seed)
    candidates = [first, 0.1 * first, alternating]
    candidates += [first * random.choice([-1.0, 1.0], len(first))[orbit] for _ in range(20 * n)]
    candidates += [first * s for s in np.linspace(0.2, 1.6, n + 1)]
    for moments in candidates:
        key = tuple(np.round(np.abs(moments) if len(groups) < 2 else moments * np.sign(moments[groups[0]]), 6))
        if key not in seen and len(found) < n:
            seen.add(key)
            found.append(moments)
    return found


def filled_bands(model, temperature: float, magnetization: float | None) -> tuple[int, ...]:
    """Bands that the electrons of each spin channel need; at T = 0 exactly those that they fill.

    At T = 0 without a fixed magnetization the starting moments decide first; `aufbau` corrects them.

    Raises:
        InputError: electrons that cannot fill whole bands.
    """
    n = model.n_electrons
    if model.nspin == 1:
        if temperature == 0 and abs(n / 2 - round(n / 2)) > 1e-9:
            raise InputError(
                f"The cell has {n:g} electrons: an odd number cannot fill bands in pairs at temperature = 0. Give "
                "spinpol=True to the model, or a temperature (hartree; 0.005 is typical) for a metal."
            )
        return (int(np.ceil(n / 2 - 1e-9)),)
    if temperature == 0 and abs(n - round(n)) > 1e-9:
        raise InputError(
            f"The cell has {n:g} electrons: a fraction cannot fill bands at temperature = 0. Give a temperature."
        )
    return spin_channels(n, temperature, magnetization, starting_moments(model).sum())


def spin_channels(n: float, temperature: float, magnetization: float | None, wanted: float) -> tuple[int, int]:
    """Bands that `n` electrons need of both spin channels; at T = 0 without a fixed magnetization nearest to the `wanted` one.

    Raises:
        InputError: a magnetization that these electrons cannot have.
    """
    if magnetization is not None:
        up, down = 0.5 * (n + magnetization), 0.5 * (n - magnetization)
        if min(up, down) < -1e-9:
            raise InputError(
                f"magnetization = {magnetization:g} bohr magnetons needs more than the {n:g} electrons. Take one between {-n:g} and {n:g}."
            )
        if temperature == 0 and abs(up - round(up)) > 1e-9:
            raise InputError(
                f"magnetization = {magnetization:g} (multiplicity {abs(magnetization) + 1:g}) is impossible with {n:g} electrons: "
                f"{up:g} of them would be spin up, and a whole number is needed at temperature = 0. Use {round(up) * 2 - n:g}, "
                "correct charge, or give a temperature."
            )
        return int(np.ceil(up - 1e-9)), int(np.ceil(down - 1e-9))
    if temperature > 0:
        return (int(np.ceil(n / 2 - 1e-9)),) * 2
    up = int(np.clip(np.round((n + np.clip(wanted, -n, n)) / 2), 0, n))
    return up, round(n) - up


def aufbau(eigenvalues: np.ndarray, weights: np.ndarray, n_electrons: int) -> tuple[int, int]:
    """Bands that each spin channel fills when the lowest ones are taken, each band (s, k, b) at its mean over k."""
    mean = np.einsum("k,skb->sb", weights, eigenvalues)
    lowest = np.argsort(mean, axis=None, kind="stable")[:n_electrons]
    up = int(np.sum(lowest < mean.shape[1]))
    return up, n_electrons - up


def edges(eigenvalues: np.ndarray, filled: tuple[int, ...]) -> tuple[float, float]:
    """Highest filled and lowest empty level when `filled` bands of each spin are filled; infinite where there is none."""
    top = max((e[:, n - 1].max() for e, n in zip(eigenvalues, filled, strict=True) if n), default=-np.inf)
    bottom = min((e[:, n].min() for e, n in zip(eigenvalues, filled, strict=True) if n < e.shape[1]), default=np.inf)
    return float(top), float(bottom)
