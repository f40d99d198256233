"""A minimization that saves where it stands, and the check that a saved state belongs to the same calculation."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import dftopt
from dftopt.bases.gaussians import Gaussians
from dftopt.calculator.setup import Setup
from dftopt.minimization.loop import Step
from dftopt.minimization.result import Result, Stats
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV

EVERY = 600.0  # seconds; a save costs the orbitals on disk and about two iterations
SUMMED = (
    "iterations",
    "evaluations",
    "hamiltonian_applications",
    "ffts",
    "wall_seconds",
    "compile_seconds",
    "compilations",
)


def minimize(
    setup: Setup, path, start="atomic", progress: Callable[[Step], object] | None = None, every: float = EVERY
) -> Result:
    """`dftopt.minimize` that pauses every so often to save its state, and goes on.

    Args:
        setup: the calculation.
        path: where the state goes; replaced atomically.
        start: "atomic", "random" or an earlier result.
        progress: called with a `Step` that counts from the first start; True ends the run.
        every: seconds between saves.

    Returns:
        The result, whose record spans all the pauses.
    """
    options = dict(setup.minimize_options)
    limit, before = options["maxiter"], None
    while True:
        watch = _Watch(progress, before, every, options["tol"] * len(setup.model.structure))
        result = dftopt.minimize(setup.model, setup.basis, **options, start=start, progress=watch)
        result = _joined(before, result)
        left = limit - result.stats["evaluations"]
        if not watch.paused or result.status != "interrupted" or left < 1:
            return replace(result, options=replace(result.options, maxiter=limit))
        result.save(Path(path))
        before = start = result
        options = {**options, "maxiter": left}


class _Watch:
    """The `progress` of one stretch: tells the caller's, and ends the stretch when it is time to save."""

    def __init__(self, progress, before: Result | None, every: float, tol: float):
        self._progress, self._before, self._end, self._tol = progress, before, time.monotonic() + every, tol
        self.paused = False

    def __call__(self, step: Step) -> bool:
        if self._progress is not None and self._progress(_after(self._before, step)) is True:
            return True
        self.paused = time.monotonic() > self._end and step.error > self._tol
        return self.paused


def _after(before: Result | None, step: Step) -> Step:
    if before is None:
        return step
    return replace(
        step,
        iterations=step.iterations + before.stats["iterations"],
        evaluations=step.evaluations + before.stats["evaluations"],
    )


def _joined(before: Result | None, after: Result) -> Result:
    """A result with the record of the one that it went on from."""
    if before is None:
        return after
    stats = Stats({**after.stats, **{name: before.stats[name] + after.stats[name] for name in SUMMED}})
    history, errors = (np.concatenate([getattr(before, n), getattr(after, n)]) for n in ("history", "errors"))
    return replace(after, stats=stats, history=history, errors=errors)


def difference(saved: Result, setup: Setup) -> str:
    """What makes a saved state one of another calculation, in words; empty where it can be continued.

    Tolerance, limits, seed and minimizer may differ: they change how the minimum is reached, not where it is.
    """
    ours, theirs = setup.model, saved.model
    a, b = theirs.structure, ours.structure
    if a.symbols != b.symbols:
        return f"its atoms are {theirs.atoms.get_chemical_formula()}, these {ours.atoms.get_chemical_formula()}"
    if not np.allclose(a.cell, b.cell, rtol=0, atol=1e-7):
        return "its cell is another"
    moved = np.linalg.norm((a.frac - b.frac) @ b.cell, axis=1) * BOHR_IN_ANGSTROM
    if moved.max() > 1e-6:
        return f"its atom {moved.argmax()} is {moved.max():.3g} angstrom away from this one"
    if ours.nspin == 2 and not np.array_equal(a.moments, b.moments):
        return f"its starting moments are {a.moments.tolist()}, these {b.moments.tolist()}"
    options = setup.minimize_options
    molecule = isinstance(setup.basis, Gaussians)
    if molecule != isinstance(saved.basis, Gaussians):
        return "its basis is of another kind"
    if molecule:
        return _difference_of_molecules(saved, setup)
    pairs = {
        "xc": (theirs.functional.name, ours.functional.name),
        "spinpol": (theirs.nspin == 2, ours.nspin == 2),
        "charge": (theirs.charge, ours.charge),
        "ecut (eV)": (round(saved.basis.ecut * HARTREE_IN_EV, 6), round(setup.basis.ecut * HARTREE_IN_EV, 6)),
        "fft": (tuple(saved.basis.fft), tuple(setup.basis.fft)),
        "symmetry": (saved.basis.symmetry_asked, setup.basis.symmetry_asked),
        "the number of k points": (saved.basis.nk, setup.basis.nk),
        "the width of the occupations (eV)": (
            saved.options.temperature * HARTREE_IN_EV,
            options["temperature"] * HARTREE_IN_EV,
        ),
        "occupations": (saved.options.smearing, options["smearing"]) if options["temperature"] else ("", ""),
        "magnetization": (saved.options.magnetization, options.get("magnetization")),
    }
    for name, (then, now) in pairs.items():
        if then != now:
            return f"its {name} is {then}, this one's {now}"
    if not np.allclose(saved.basis.kpoints.k, setup.basis.kpoints.k, atol=1e-9):
        return "its k points are others"
    for element, potential in ours.potentials.items():
        if theirs.potentials[element].identity != potential.identity:
            return (
                f"its potential of {element} is {theirs.potentials[element].identity}, this one's {potential.identity}"
            )
    nbands, parametrization = options["nbands"], options["parametrization"]
    if nbands is not None and saved.point["psi"].shape[2] != nbands and options["temperature"]:
        return f"it has {saved.point['psi'].shape[2]} bands, nbands is {nbands}"
    if parametrization not in ("auto", saved.options.parametrization):
        return f"its occupations are parametrized by {saved.options.parametrization!r}"
    return ""


def _difference_of_molecules(saved: Result, setup: Setup) -> str:
    ours: Any = setup.basis
    bases, models = (saved.basis, ours), (saved.model, setup.model)
    options = (vars(saved.options), setup.minimize_options)
    pairs = {
        "xc": [m.functional.name for m in models],
        "spinpol": [m.nspin == 2 for m in models],
        "charge": [m.charge for m in models],
        "basis": [b.name for b in bases],
        "grid": [b.level for b in bases],
        "density_fit": [b.density_fit for b in bases],
        "temperature (Ha)": [o["temperature"] for o in options],
        "magnetization": [o["magnetization"] for o in options],
    }
    return next((f"its {name} is {then}, this one's {now}" for name, (then, now) in pairs.items() if then != now), "")
