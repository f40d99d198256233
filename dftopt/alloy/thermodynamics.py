"""Free energies by integration over the inverse temperature, and the temperature of a transition."""

from dataclasses import dataclass
from math import lgamma

import numpy as np
from ase.units import kB

from dftopt.alloy.equilibrium import Samples, check_temperatures, counts_of, monte_carlo, whole
from dftopt.alloy.supercell import Supercell
from dftopt.errors import InputError


@dataclass(frozen=True, eq=False)
class FreeEnergy:
    """Per site, at constant composition; `*_error` are standard errors.

    Args:
        temperature: (T,) K.
        free: (T,) F = E - TS, eV.
        free_error: eV.
        energy: (T,) mean E, eV.
        energy_error: eV.
        entropy: (T,) configurational S, k_B.
        entropy_error: k_B.
        heat_capacity: (T,) k_B.
        heat_capacity_error: k_B.
    """

    temperature: np.ndarray
    free: np.ndarray
    free_error: np.ndarray
    energy: np.ndarray
    energy_error: np.ndarray
    entropy: np.ndarray
    entropy_error: np.ndarray
    heat_capacity: np.ndarray
    heat_capacity_error: np.ndarray


def free_energy(
    ce, size=(8, 8, 8), composition=None, temperatures=(300.0, 1000.0), seed: int = 0, *, points: int = 8, **options
) -> FreeEnergy:
    r"""Thermodynamic integration from infinite temperature, where every configuration is equally likely.

    Formula: $\beta F(\beta) = -\ln \frac{N!}{\prod_i N_i!} + \int_0^\beta \langle E \rangle_{\beta'} d\beta'$.

    The integral is that of Gauss and Legendre between 0 and the highest temperature, and between one temperature and the next;
    all its points and the temperatures asked for are walkers of one parallel tempering.

    Args:
        ce: a ClusterExpansion.
        size: of the supercell in conventional cells.
        composition: see `monte_carlo`.
        temperatures: K.
        seed: whole number.
        points: of the integral between two temperatures.
        **options: of `monte_carlo`: samples, sweeps, replicas, ...

    Returns:
        FreeEnergy, in the order of `temperatures`.

    Raises:
        InputError: as `monte_carlo`.
    """
    whole("points", points, 2)
    T = check_temperatures(temperatures)
    if len(set(T.tolist())) < len(T):
        raise InputError(f"temperatures = {T.tolist()}: each once.")
    order = np.argsort(-T)
    marks = np.r_[0.0, 1 / (kB * T[order])]
    x, w = np.polynomial.legendre.leggauss(points)
    half = np.diff(marks)[:, None] / 2
    nodes = marks[:-1, None] + half * (1 + x)  # (T, points)
    cell = options.pop("supercell", None) or Supercell.of(ce.parent, size)
    every = np.r_[1 / (kB * nodes.ravel()), T[order]]
    got = monte_carlo(
        ce, supercell=cell, composition=composition, temperature=every, seed=seed, **{"tempering": True, **options}
    )
    n = len(cell)
    mean = np.array([got.mean_at(t, got.energy) for t in every])
    steps = (w * half * mean[: nodes.size, 0].reshape(nodes.shape)).sum(1)
    errors = ((w * half * mean[: nodes.size, 1].reshape(nodes.shape)) ** 2).sum(1)
    counts = counts_of(ce, cell, composition)
    at_random = (lgamma(n + 1) - sum(lgamma(c + 1) for c in counts)) / n
    beta = marks[1:]
    free = (-at_random + np.cumsum(steps)) / beta
    free_error = np.sqrt(np.cumsum(errors)) / beta
    energy, energy_error = mean[nodes.size :].T
    heat = np.array([got.heat_at(t) for t in T[order]])
    back = np.argsort(order)
    entropy_error = beta * np.hypot(energy_error, free_error)
    columns = (free, free_error, energy, energy_error, beta * (energy - free), entropy_error, *heat.T)
    return FreeEnergy(T, *(c[back] for c in columns))


def transition(samples: Samples) -> tuple[float, float]:
    """Temperature of the largest heat capacity and its standard error, K.

    A parabola through the largest value and its neighbours; the error is that of the ten jackknife estimates that leave a
    tenth of the samples out, and at least a tenth of the distance of the temperatures.

    Args:
        samples: of `monte_carlo` at five temperatures or more, with the transition among them.

    Raises:
        InputError: fewer temperatures, or a heat capacity that is largest at the first or the last.
    """
    T = np.unique(samples.temperature)
    if len(T) < 5:
        raise InputError(f"{len(T)} temperatures are too few to find a transition: sample five or more around it.")
    n = samples.species.shape[1]

    def peak(keep) -> float:
        rows = [samples.energy[samples.temperature == t] for t in T]
        C = np.array([e[keep(len(e))].var() * n / (kB * t) ** 2 for e, t in zip(rows, T, strict=True)])
        i = int(C.argmax())
        if i in (0, len(T) - 1):
            return float("nan")
        a, b, _ = np.polyfit(T[i - 1 : i + 2] - T[i], C[i - 1 : i + 2], 2)
        return float(T[i] - b / (2 * a))

    found = peak(lambda count: slice(None))
    if not np.isfinite(found):
        raise InputError(
            f"The heat capacity is largest at an end of the temperatures ({T[0]:g} to {T[-1]:g} K): no transition is among them."
        )
    parts = np.array([peak(lambda count, k=k: np.arange(count) * 10 // count != k) for k in range(10)])
    parts = parts[np.isfinite(parts)]
    spread = np.sqrt((len(parts) - 1) / len(parts) * np.sum((parts - parts.mean()) ** 2))
    near = int(abs(T - found).argmin())
    return found, float(max(spread, 0.1 * np.diff(T)[min(near, len(T) - 2)]))
