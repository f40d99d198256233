"""What `dftopt relax` does."""

from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.io.cif import write_cif
from ase.units import GPa

from dftopt.bases.gaussians import Gaussians
from dftopt.calculator import log as logs
from dftopt.calculator import report
from dftopt.calculator.ase_calculator import DFTOpt
from dftopt.calculator.files import replacing
from dftopt.calculator.journal import key_of
from dftopt.calculator.relax import SYMPREC, Relaxation, Step, check, keep_symmetry, relax
from dftopt.calculator.series import Stopped
from dftopt.calculator.setup import Setup
from dftopt.calculator.structure_pictures import draw_relaxation
from dftopt.cli import structures
from dftopt.cli.inputs import Input, read_input
from dftopt.cli.work import Work, work
from dftopt.errors import NotConverged
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV

RESULTS = ("relax.png", "relax.csv", "relax.traj", "relax.cif", "relax.extxyz", "result.h5")
FAR = 1e-6  # angstrom: corrections to symmetric positions that are told


def main(options) -> int:
    """Read, check, relax, write.

    Returns:
        The exit status.
    """
    given = read_input(options.file, options)
    if options.fix is not None:
        structures.fix(given.atoms, options.fix, "--fix")
    limits = {"cell": options.cell, "fmax": options.fmax, "smax": options.smax, "pressure": options.pressure}
    check(given.atoms, **limits, steps=options.steps)
    setup = given.build()
    symmetric = setup.parameters["symmetry"]
    if options.dry_run:
        print(logs.header(setup) + "\n\n" + _plan(given.atoms, options, symmetric))
        return 0
    settings = {k: v for k, v in limits.items() if k in ("cell", "pressure")} | {"structure": key_of(given.atoms)}
    with work(options, given, "relax", RESULTS, settings) as job:
        job.log(logs.header(setup) + "\n\n" + _plan(given.atoms, options, symmetric) + "\n")
        atoms = given.atoms.copy()
        atoms.calc = calc = DFTOpt(**{**given.parameters, "txt": None})
        calc.stop = job.signals.stop
        table = _Table(job, calc)
        try:
            found = relax(
                atoms, **limits, steps=options.steps, symmetry=symmetric, trajectory=job.where.file("relax.traj"),
                resume=options.resume, report=table, stop=job.signals.stop,
            )  # fmt: skip
            if not isinstance(setup.basis, Gaussians) and (found.converged or not job.signals.received):
                atoms.get_stress()
        except NotConverged as error:
            if calc.result is not None and calc.result.status == "interrupted":
                raise Stopped("stopped.") from None
            raise NotConverged(f"step {table.next}: {error} The steps before it are kept in relax.traj.") from None
        if not found.converged and job.signals.received:
            raise Stopped("stopped.")
        files = _write(job, given, setup, found, calc, options)
        _tell(job, found, calc)
        job.log("\nwritten         " + "\n                ".join(map(str, files)))
        job.log(f"\n{found.verdict}")
        if not found.converged:
            job.log("The same command with --resume and more --steps goes on.")
    return 0 if found.converged else 1


def _plan(atoms: Atoms, options, symmetric: bool) -> str:
    """What will be relaxed, and what is kept."""
    limits = f"force {options.fmax:g} eV/angstrom"
    if options.cell:
        limits += f", stress {options.smax:g} GPa" + (f" at {options.pressure:g} GPa" if options.pressure else "")
    moving = {
        None: "",
        "all": " and the cell",
        "volume": " and the volume of the cell",
        "shape": " and the shape of the cell",
    }
    lines = [f"relaxation      positions{moving.get(options.cell, ' and the cell in its plane')}, to {limits}"]
    refined = atoms.copy()
    group = keep_symmetry(refined) if symmetric else None
    lines.append(f"kept            {group or 'no symmetry'}")
    moved = np.abs(refined.positions - atoms.positions).max() + np.abs(refined.cell.array - atoms.cell.array).max()
    if group and moved > FAR:
        lines.append(
            f"                positions or cell are corrected by {moved:.1e} angstrom to it (at most {SYMPREC:g})"
        )
    held = sorted({int(i) for c in atoms.constraints if hasattr(c, "index") for i in np.atleast_1d(c.index)})
    if held:
        lines.append(f"fixed           atoms {', '.join(map(str, held[:20]))}{' ...' if len(held) > 20 else ''}")
    return "\n".join(lines)


class _Table:
    """Prints every step, and notes it in the journal, which tells what a folder belongs to."""

    def __init__(self, job: Work, calc: DFTOpt):
        self._job, self._calc, self.next = job, calc, 0

    def __call__(self, step: Step) -> None:
        if step.number == 0:
            self._job.log(
                "step      free energy (eV)   force (eV/A)   stress (GPa)   volume (A^3)   iterations   seconds"
            )
        key = f"step {step.number}"
        known = key in self._job.journal
        stress = "             " if step.smax is None else f"{step.smax:13.4f}"
        line = f"{step.number:4d}  {step.energy:18.8f}  {step.fmax:13.6f}  {stress}  {step.volume:13.4f}"
        if known:
            self._job.log(f"{line}        known")
        else:
            stats = self._calc.result.stats if self._calc.result is not None else {}
            self._job.log(f"{line}   {stats.get('iterations', 0):10d}   {stats.get('wall_seconds', 0.0):7.1f}")
            self._job.journal.add(key, {"energy": step.energy, "fmax": step.fmax})
        self.next = step.number + 1


def _write(job: Work, given: Input, setup: Setup, found: Relaxation, calc: DFTOpt, options) -> list[Path]:
    place, atoms = job.where.file, found.atoms
    result = calc.result
    assert result is not None
    forces = calc.results["forces"] / (HARTREE_IN_EV / BOHR_IN_ANGSTROM)
    molecule = isinstance(setup.basis, Gaussians)
    stress = None if molecule else result.stress()
    numbers = report.to_dict(result, forces, stress, report.complete_input(given.atoms, setup.parameters))
    numbers |= {
        "converged": found.converged,
        "verdict": found.verdict,
        "structure": report.complete_input(atoms, {})["structure"],
        "volume_angstrom3": atoms.cell.volume,
        "cell_relaxed": options.cell,
        "pressure_outside_GPa": options.pressure,
        "symmetry": found.symmetry,
        "steps": [vars(step) for step in found.steps],
    }
    report.write_json(job.where.json, numbers)
    calc.write(place("result.h5"))
    with replacing(place("relax.extxyz")) as part:
        ase.io.write(part, found.frames[-1], format="extxyz")
    if not molecule:
        with replacing(place("relax.cif")) as part, part.open("wb") as stream:
            write_cif(stream, [_bare(atoms)])
    title = given.atoms.get_chemical_formula(empirical=True)
    pictures = draw_relaxation(place("relax.png"), found, options.fmax, options.smax, title)
    return [
        *([] if molecule else [place("relax.cif")]),
        place("relax.extxyz"),
        place("relax.traj"),
        job.where.json,
        *pictures,
        place("result.h5"),
    ]


def _bare(atoms: Atoms) -> Atoms:
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)


def _tell(job: Work, found: Relaxation, calc: DFTOpt) -> None:
    first, last, n = found.steps[0], found.steps[-1], len(found.atoms)
    below = (first.energy - last.energy) / n * 1000
    job.log(f"\nenergy          {last.energy:.8f} eV, {below:.3f} meV per atom below the start")
    if "stress" in calc.results:
        _tell_cell(job, found, calc)
    job.log("  atom              x           y           z (angstrom)")
    for i, (symbol, position) in enumerate(zip(found.atoms.get_chemical_symbols(), found.atoms.positions, strict=True)):
        job.log(f"  {i:4d} {symbol:2s}   " + " ".join(f"{x:11.6f}" for x in position))


def _tell_cell(job: Work, found: Relaxation, calc: DFTOpt) -> None:
    first, last, stress = found.steps[0], found.steps[-1], calc.results["stress"] / GPa
    a, b, c, alpha, beta, gamma = found.atoms.cell.cellpar()
    job.log(f"cell            {a:.5f} {b:.5f} {c:.5f} angstrom, {alpha:.3f} {beta:.3f} {gamma:.3f} degrees")
    job.log(f"volume          {last.volume:.4f} angstrom^3, {last.volume / first.volume:.5f} of the start")
    job.log(f"pressure        {-stress[:3].mean():.4f} GPa")
