"""The learned dynamics of ordering in `dftopt alloy FILE`: table [ordering]."""

from typing import Any

import numpy as np

from dftopt import macro
from dftopt.alloy.equilibrium import check_temperatures
from dftopt.calculator import alloy_pictures, macro_pictures
from dftopt.cli import output
from dftopt.errors import InputError

KEYS = (
    "composition",
    "temperatures",
    "barriers",
    "size",
    "duration",
    "trajectories",
    "shells",
    "seed",
    "vacancy_formation",
    "prefactor",
)
WIDTH = 8  # of the networks: drifts of order are nearly linear, and wider ones learn the noise
PICTURES = ("landscape.png", "relaxation.png")
DURATION, RECORDS = 8.0, 11  # jumps per site from the random mixture towards equilibrium; snapshots on the way
SIZE, PATCH = (16, 8, 8), 8  # cells of the crystal, and of the patches of it that are evolved


def simulators(ce, table) -> list[Any]:
    """One simulator for each temperature of [ordering].

    Raises:
        InputError: wrong settings, said before anything runs.
    """
    for key in ("composition", "temperatures", "barriers"):
        if key not in table:
            raise InputError(f"[ordering] needs {key}.")
    T = check_temperatures(table["temperatures"])
    count = table.get("trajectories", 64)
    if isinstance(count, bool) or not isinstance(count, int) or count < 30:
        raise InputError(f"trajectories = {count!r} in [ordering] must be a whole number of at least 30.")
    duration = table.get("duration", DURATION)
    if isinstance(duration, bool) or not isinstance(duration, (int, float)) or not 0 < duration < np.inf:
        raise InputError(f"duration = {duration!r} in [ordering] must be a positive number of jumps per site.")
    size = tuple(table.get("size", SIZE))
    made = [
        macro.AlloyOrdering(ce, size, table["composition"], float(t), table["barriers"], shells=table.get("shells", 1))
        for t in T
    ]
    if "vacancy_formation" in table:
        made[0].seconds(table["vacancy_formation"], table.get("prefactor", 1e13))
    return made


def run(log, ce, table, where: output.Output) -> dict[str, Any]:
    """Learn the equation of the short-range order and report its landscape and relaxation times."""
    sims, seed = simulators(ce, table), table.get("seed", 0)
    times = np.linspace(0.0, table.get("duration", DURATION), RECORDS)
    log(f"\nordering of {sims[0].n} sites, learned from {table.get('trajectories', 64)} quenches at each temperature\n")
    parts = [
        macro.sample(
            sim, table.get("trajectories", 64), patch_of(sim), seed=seed + i, times=times, replicas=4, check=False
        )
        for i, sim in enumerate(sims)
    ]
    fit = macro.fit(macro.join(parts), form="fdr", seed=seed, width=WIDTH, members=3)
    fit.save(where.file("ordering.npz"))
    log(f"  {fit}")
    pairs = " ".join(f"{name.removeprefix('alpha '):>9s}" for name in sims[0].names)
    unit = "jumps per site, s" if "vacancy_formation" in table else "jumps per site"
    log(f"\n  T (K)   most probable order: {pairs}   slowest relaxation ({unit})")
    rows = []
    for sim, part in zip(sims, parts, strict=True):
        at = {"temperature": sim.temperature} if fit.parameter_names else None
        late = part.states[part.time > times[-1] / 2]
        minima = [p for p in fit.stationary_points(at) if p.index == 0]
        nearest = min(minima, key=lambda p: np.linalg.norm((p.z - late.mean(0)) / fit.scales.spread), default=None)
        z = late.mean(0) if nearest is None else nearest.z
        slow = float(macro.relaxation_times(fit, at, 1, seed)[0])
        row = {
            "temperature_K": sim.temperature,
            "minimum": z,
            "mean_of_quenches": late.mean(0),
            "relaxation_jumps_per_site": slow,
        }
        moving = drifting(part.states.reshape(-1, RECORDS, part.dimension))
        if moving:
            row["settled"] = False
        text = f"  {sim.temperature:6.0f} {' ' * 22} {' '.join(f'{x:9.4f}' for x in z)}   {slow:10.2f}"
        if "vacancy_formation" in table:
            row["relaxation_s"] = slow * sim.seconds(table["vacancy_formation"], table.get("prefactor", 1e13))
            text += f"   {row['relaxation_s']:.3e}"
        log(text + (f"   {moving}" if moving else ""))
        rows.append(row)
    lowest = min(sims, key=lambda s: s.temperature).temperature
    at = {"temperature": lowest} if fit.parameter_names else None
    macro_pictures.landscape(
        where.file(PICTURES[0]), fit, at, fit.stationary_points(at), title=f"Ordering at {lowest:.0f} K"
    )
    alloy_pictures.relaxation(
        where.file(PICTURES[1]), [r["temperature_K"] for r in rows], [r["relaxation_jumps_per_site"] for r in rows]
    )
    return {"temperatures": rows, "coordinates": sims[0].names, "status": fit.status, "sites": sims[0].n}


def patch_of(sim) -> int | None:
    """Edge of the patches that tile a crystal; None, all of it, where it is no larger than one or they do not fit."""
    fits = all(edge % PATCH == 0 for edge in sim.sites) and max(sim.sites) > PATCH
    return PATCH if fits else None


def drifting(z: np.ndarray) -> str:
    """A remark where the mean of quenches (N, T, d) still moves in the last third of its times, by more than four errors."""
    third = len(z[0]) // 3
    change = z[:, -1] - z[:, -third:-1].mean(1)
    late, error = abs(change.mean(0)), change.std(0, ddof=1) / len(z) ** 0.5
    if (late <= np.maximum(4 * error, 0.002)).all():
        return ""
    return "still moving at the end: raise duration"
