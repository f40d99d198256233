"""The log of a calculation, for a physicist: what is computed, how it converges, what came out."""

import sys
import time
from pathlib import Path
from typing import TextIO

import numpy as np

from dftopt import __version__
from dftopt.bases.gaussians import Gaussians
from dftopt.calculator.setup import Setup
from dftopt.energy.notes import notes
from dftopt.errors import InputError
from dftopt.minimization.forecast import forecast
from dftopt.minimization.moments import starting_moments
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV, HARTREE_PER_BOHR3_IN_GPA

COMPONENTS = ("kinetic", "local", "nonlocal_", "hartree", "xc", "ewald", "dispersion", "dipole", "entropy")
OPTIONAL = ("dispersion", "dipole")  # not printed where they are zero
TOTALS = {"total": "E", "free": "A = E - TS", "zero": "E(T -> 0)"}
SHOWN = 8  # rows of long lists


class Log:
    """Lines written at once to several places.

    Args:
        *targets: "-" for the standard output, a path, an open text stream, or None.

    Raises:
        InputError: a file cannot be written.
    """

    def __init__(self, *targets):
        self._streams: list[TextIO] = []
        self._opened: list[TextIO] = []
        for target in targets:
            if target is None:
                continue
            if target == "-":
                self._streams.append(sys.stdout)
            elif hasattr(target, "write"):
                self._streams.append(target)
            else:
                try:
                    self._opened.append(Path(target).open("w", encoding="utf-8"))
                except OSError as error:
                    raise InputError(f"the log cannot be written to {target}: {error.strerror or error}.") from None
        self._streams += self._opened

    def __call__(self, text: str = "") -> None:
        """Write a line, or several, and flush."""
        for stream in self._streams:
            print(text, file=stream, flush=True)

    def close(self) -> None:
        """Close the files that were opened here."""
        for stream in self._opened:
            stream.close()


class IterationTable:
    """The `progress` of a minimization: a table that grows while it runs."""

    def __init__(self, log: Log, natoms: int):
        self._log, self._natoms, self._start = log, natoms, time.perf_counter()
        self._begun, self._shown = False, 0

    def __call__(self, step) -> None:
        """Add a row for each accepted iteration that `step` brings."""
        if not self._begun:
            self._log("iteration                A (Ha)    error (Ha/atom)   seconds")
            self._begun = True
        if step.iterations == self._shown:
            return  # every trial point was rejected
        seconds = time.perf_counter() - self._start
        rows = step.accepted or ((step.free_energy, step.error),)
        for i, (value, error) in enumerate(rows, start=step.iterations - len(rows) + 1):
            self._log(f"{i:9d}  {value:20.10f}  {error / self._natoms:17.1e}  {seconds:8.1f}")
        self._shown = step.iterations


def header(setup: Setup) -> str:
    """Everything known before the start, the forecast included."""
    if isinstance(setup.basis, Gaussians):
        from dftopt.calculator import molecules  # which builds on this module

        return molecules.header(setup)
    parts = [
        [f"dftopt {__version__}"],
        _structure(setup.model),
        _symmetry(setup.basis),
        _kpoints(setup.basis.kpoints),
        _potentials(setup.model),
        _plane_waves(setup.basis),
        [
            f"note            {note}"
            for note in notes(setup.model, setup.basis)
            if note != str(setup.basis.near_symmetry)
        ],
        _options(setup),
        [f"chosen: {note}" for note in setup.notes],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _structure(model) -> list[str]:
    atoms = model.atoms
    lines = [
        f"structure       {atoms.get_chemical_formula()}, {len(atoms)} atom{'s' * (len(atoms) > 1)}, "
        f"{model.n_electrons:g} valence electrons{f', charge {model.charge:+g}' if model.charge else ''}"
    ]
    for name, vector in zip("abc", atoms.cell.array, strict=True):
        lines.append(f"  {name} (angstrom)  " + " ".join(f"{x:11.6f}" for x in vector))
    volume = atoms.get_volume()
    lines.append(f"  volume        {volume:.4f} angstrom^3 = {volume / BOHR_IN_ANGSTROM**3:.4f} bohr^3")
    spin = model.nspin == 2
    lines.append("  atom              x           y           z (angstrom)" + "   starting moment (mu_B)" * spin)
    moments = starting_moments(model)
    for i, (symbol, position) in enumerate(zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)):
        row = f"  {i:4d} {symbol:2s}   " + " ".join(f"{x:11.6f}" for x in position)
        lines.append(row + f"{moments[i]:16.2f}" * spin)
    return lines


def _symmetry(basis) -> list[str]:
    found, kept = basis.crystal_symmetry, basis.kpoints.symmetry
    lines = [f"symmetry        {found.international}, {len(found)} operations"]
    if len(kept) < len(found):
        lines.append(f"                {len(kept)} of them map the k points onto themselves; only these are used")
    near = basis.near_symmetry
    if near is None:
        return lines
    lines += [f"                {near};", "                the exact structure (angstrom, and fractional positions):"]
    row = lambda values: " ".join(f"{x:14.9f}" for x in values)
    lines += [f"  {name} {row(v * BOHR_IN_ANGSTROM)}" for name, v in zip("abc", near.cell, strict=True)]
    symbols = basis.model.structure.symbols
    return lines + [f"  {i:4d} {e:2s} {row(x)}" for i, (e, x) in enumerate(zip(symbols, near.frac, strict=True))]


def _kpoints(points) -> list[str]:
    if points.size is None:
        lines = [f"k points        {len(points)}, as given"]
    else:
        shift = (
            "Gamma-centred" if not any(points.shift) else "shifted by ({:g}, {:g}, {:g}) steps".format(*points.shift)
        )
        mesh = "x".join(map(str, points.size))
        lines = [
            f"k points        {mesh}, {shift}: {points.n_full} points, {len(points)} after symmetry and time reversal"
        ]
    for k, w in list(zip(points.k, points.weights, strict=True))[:SHOWN]:
        lines.append("  " + " ".join(f"{x:10.6f}" for x in k) + f"   weight {w:.6f}")
    if len(points) > SHOWN:
        lines.append(f"  ... and {len(points) - SHOWN} more")
    return lines


def _potentials(model) -> list[str]:
    lines = [f"functional      {model.functional.name}"]
    for element, potential in model.potentials.items():
        shells = ", ".join(f"{n} of l = {l}" for l, n in potential.layout) or "none"
        lines.append(
            f"potential       {element}: {potential.identity}, {potential.charge:g} valence electrons, projectors: {shells}"
        )
        if getattr(potential, "core", None) is not None:
            lines.append("                with core correction")
    lines += [f"warning         {note}" for note in model.notes]
    return lines


def _plane_waves(basis) -> list[str]:
    counts = basis.counts
    return [
        f"plane waves     ecut {basis.ecut:g} Ha = {2 * basis.ecut:g} Ry = {basis.ecut * HARTREE_IN_EV:.2f} eV: "
        f"{counts.min()} to {counts.max()} per k point",
        f"FFT grid        {basis.fft[0]} x {basis.fft[1]} x {basis.fft[2]}",
    ]


def _options(setup: Setup) -> list[str]:
    o = setup.minimize_options
    width = o["temperature"]
    occupations = "fixed (T = 0)"
    if width:
        occupations = f"{o['smearing']}, width {width * HARTREE_IN_EV:g} eV = {width:.6f} Ha"
    minimizer = o["minimizer"] if isinstance(o["minimizer"], str) else type(o["minimizer"]).__name__
    expected = forecast(setup.model, setup.basis, o["nbands"], o["kpoints_at_once"])
    return [
        f"occupations     {occupations}",
        f"minimizer       {minimizer}, to {o['tol'] * HARTREE_IN_EV:.1e} eV = {o['tol']:.1e} Ha per atom",
        f"forecast        about {expected['memory_gib']:.1f} GiB and {duration(expected['seconds'])} (rough), plus compilation",
    ]


def duration(seconds: float) -> str:
    """In the unit that suits it."""
    for size, unit in ((3600 * 24, "days"), (3600, "hours"), (60, "minutes")):
        if seconds > 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


# ---------------------------------------------------------------------------------------------------- after


def summary(result, forces=None, stress=None) -> str:
    """Energies, levels, forces, stress and timings; the verdict is the last line.

    Args:
        result: the result.
        forces: (atoms, 3) hartree / bohr, None where not available.
        stress: (3, 3) hartree / bohr^3, None where not available.
    """
    levels = _levels(result)
    if isinstance(result.basis, Gaussians):
        from dftopt.calculator import molecules

        levels = molecules.levels(result)
    parts = [_energies(result.energies), levels, _forces(result, forces), _stress(stress), _numerics(result)]
    return "\n\n".join("\n".join(part) for part in parts if part) + f"\n\n{result.verdict}"


def _energies(energies) -> list[str]:
    lines = ["energy                        Ha                   eV"]
    for name in COMPONENTS:
        value = float(getattr(energies, name))
        if name in OPTIONAL and value == 0:
            continue
        label = "-TS" if name == "entropy" else name.rstrip("_")
        lines.append(f"  {label:12s} {value:18.10f} {value * HARTREE_IN_EV:20.8f}")
    for name, label in TOTALS.items():
        value = float(getattr(energies, name))
        lines.append(f"  {label:12s} {value:18.10f} {value * HARTREE_IN_EV:20.8f}")
    return lines


def _level(value: float) -> str:
    return f"{value:.6f} Ha = {value * HARTREE_IN_EV:.4f} eV"


def _at(k) -> str:
    return "k = (" + ", ".join(f"{x:.4g}" for x in k) + ")"


def _levels(result) -> list[str]:
    levels = result.fermi_levels
    lines = [f"Fermi level     {_level(levels[0])}"]
    if len(levels) == 2:
        lines = [f"Fermi levels    up {_level(levels[0])}, down {_level(levels[1])}"]
    if result.model.nspin == 2:
        lines.append(
            f"magnetization   {result.magnetization:.6f} bohr magnetons, absolute {result.absolute_magnetization:.6f}"
        )
    for s in result.starts:
        moments = ", ".join(f"{m:g}" for m in s.moments[:SHOWN])
        lines.append(f"  start {moments}: A = {s.free:.8f} Ha, magnetization {s.magnetization:.4f}, {s.verdict}")
    gap = result.gap
    if not gap.indirect > 0:
        return [*lines, "gap             none on these k points"] if gap.indirect == 0 else lines
    top = max(
        float(e[:, n - 1].max())
        for e, f in zip(result.eigenvalues, result.occupations, strict=True)
        if (n := round(float(result.weights @ f.sum(axis=1))))
    )
    kind = "direct" if gap.k_valence == gap.k_conduction else "indirect"
    return [
        *lines,
        f"highest filled  {_level(top)} at {_at(gap.k_valence)}",
        f"lowest empty    {_level(top + gap.indirect)} at {_at(gap.k_conduction)}",
        f"gap             {_level(gap.indirect)}, {kind} (on these k points)",
        f"direct gap      {_level(gap.direct)} at {_at(gap.k_direct)}",
    ]


def _forces(result, forces) -> list[str]:
    if forces is None and result.converged:
        return []  # nobody asked
    if forces is None:
        return ["forces          refused: they are wrong away from the minimum"]
    unit = HARTREE_IN_EV / BOHR_IN_ANGSTROM
    sizes = np.linalg.norm(forces, axis=1)
    lines = ["forces (eV/angstrom)"]
    for i, (symbol, f) in enumerate(zip(result.model.atoms.get_chemical_symbols(), forces * unit, strict=True)):
        lines.append(f"  {i:4d} {symbol:2s}   " + " ".join(f"{x + 0.0:12.6f}" for x in np.round(f, 9)))
    worst = int(sizes.argmax())
    lines.append(f"  largest {sizes[worst] * unit:.3e} eV/angstrom = {sizes[worst]:.3e} Ha/bohr, on atom {worst}")
    total = float(np.linalg.norm(result.force_sum))
    lines.append(f"  sum before its removal {total * unit:.1e} eV/angstrom = {total:.1e} Ha/bohr (error of the grid)")
    return lines


def _stress(stress) -> list[str]:
    if stress is None:
        return []
    gpa = stress * HARTREE_PER_BOHR3_IN_GPA
    rows = ["  " + " ".join(f"{x + 0.0:12.6f}" for x in np.round(row, 9)) for row in gpa]
    return ["stress (GPa)", *rows, f"  pressure {-np.trace(gpa) / 3:.4f} GPa"]


def _numerics(result) -> list[str]:
    s = result.stats
    lines = []
    if result.options.temperature > 0:
        lines.append(f"diagonality     max |(f_i - f_j) H_ij| = {result.diagonality:.1e} Ha at the minimum")
    return [
        *lines,
        f"charge          {result.charge_integral:.10f} electrons on the grid",
        f"residual        {s['residual']:.1e} Ha of filled bands",
        f"work            {s['iterations']} iterations, {s['evaluations']} evaluations, {s['ffts']} FFTs, "
        f"{s['peak_memory_MiB']:.0f} MiB at most",
        f"time            {s['wall_seconds'] - s['compile_seconds']:.1f} s running, {s['compile_seconds']:.1f} s compiling",
    ]
