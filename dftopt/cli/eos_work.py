"""What `dftopt eos` does."""

from pathlib import Path

import dftopt
from dftopt.calculator import log as logs
from dftopt.calculator import report
from dftopt.calculator.ase_calculator import DFTOpt
from dftopt.calculator.eos import EquationOfState, Point, equation_of_state, factors
from dftopt.calculator.journal import key_of
from dftopt.calculator.setup import Setup, build
from dftopt.calculator.structure_pictures import draw_equation_of_state
from dftopt.cli.inputs import Input, read_input
from dftopt.cli.work import Work, work
from dftopt.minimization.forecast import forecast

RESULTS = ("eos.png", "eos.csv")


def main(options) -> int:
    """Read, check, compute, fit, write.

    Returns:
        The exit status.
    """
    given = read_input(options.file, options)
    given.needs_crystal("eos")
    volumes = factors(options.range, options.points)
    setup = given.build()
    biggest = _largest(given, setup, volumes[-1])
    plan = _plan(setup, biggest, volumes, options.relax)
    if options.dry_run:
        print(logs.header(setup) + "\n\n" + plan)
        return 0
    settings = {"structure": key_of(given.atoms), "relax": options.relax, "fmax": options.fmax, "largest": volumes[-1]}
    with work(options, given, "eos", RESULTS, settings) as job:
        job.log(logs.header(setup) + "\n\n" + plan + "\n")
        atoms = given.atoms.copy()
        atoms.calc = calc = DFTOpt(**{**given.parameters, "txt": None})
        calc.stop = job.signals.stop
        table = _Table(job, calc, len(job.journal))
        found = equation_of_state(
            atoms, volumes=volumes, internal=options.relax, fmax=options.fmax, journal=job.journal, report=table,
            stop=job.signals.stop,
        )  # fmt: skip
        files = _write(job, given, setup, found, options)
        for factor, reason in found.failed.items():
            job.log(f"\nat {factor:.4f} of the volume: {reason}")
        job.log("\nwritten         " + "\n                ".join(map(str, files)))
        job.log(f"\n{found.verdict}")
    return 0 if found.converged else 1


def _largest(given: Input, setup: Setup, factor: float) -> Setup:
    """The calculation at the largest volume, checked before anything starts."""
    atoms = given.atoms.copy()
    atoms.set_cell(atoms.cell.array * factor ** (1 / 3), scale_atoms=True)
    points = setup.basis.kpoints
    mesh = {"kpts": {"size": points.size, "shift": points.shift}} if points.size else {}
    return build(atoms, {**given.parameters, **mesh})


def _plan(setup: Setup, biggest: Setup, volumes: list[float], internal: str | None) -> str:
    what = {
        None: "positions scale with the cell",
        "ions": "atoms are relaxed at each",
        "shape": "atoms and shape are relaxed at each",
    }
    expected = forecast(biggest.model, biggest.basis, biggest.minimize_options["nbands"])
    return (
        f"volumes         {len(volumes)}, from {volumes[0]:g} to {volumes[-1]:g} of the start; {what[internal]}\n"
        f"FFT grid        {'x'.join(map(str, biggest.basis.fft))} at least, one for all\n"
        f"forecast        about {expected['memory_gib']:.1f} GiB and {logs.duration(0.6 * len(volumes) * expected['seconds'])} (rough), "
        f"plus compilation{', times the steps of the relaxations' if internal else ''}"
    )


class _Table:
    def __init__(self, job: Work, calc: DFTOpt, known: int):
        self._job, self._calc, self._known, self._n = job, calc, known, 0

    def __call__(self, point: Point) -> None:
        if self._n == 0:
            self._job.log(
                "volume (A^3)   of start    free energy (eV)   E(T -> 0) (eV)     force (eV/A)   iterations   seconds"
            )
        self._n += 1
        force = "            " if point.fmax is None else f"{point.fmax:12.5f}"
        line = (
            f"{point.volume:12.4f}   {point.factor:8.4f}  {point.free_energy:18.8f}  {point.energy:15.6f}     {force}"
        )
        if self._n <= self._known:
            self._job.log(f"{line}        known")
        else:
            stats = self._calc.result.stats if self._calc.result is not None else {}
            self._job.log(f"{line}   {stats.get('iterations', 0):10d}   {stats.get('wall_seconds', 0.0):7.1f}")


def _write(job: Work, given: Input, setup: Setup, found: EquationOfState, options) -> list[Path]:
    curve = found.curve
    data = {
        "converged": found.converged,
        "verdict": found.verdict,
        "points": [vars(p) for p in found.points],
        "failed": {f"{k:g}": v for k, v in found.failed.items()},
        "natoms": found.natoms,
        "V0_angstrom3": curve and curve.v0,
        "E0_eV": curve and curve.e0,
        "B0_GPa": curve and curve.b0,
        "B0_prime": curve and curve.b1,
        "residual_eV": curve and curve.residual,
        "relaxed": options.relax,
        "input": report.complete_input(given.atoms, setup.parameters),
        "version": dftopt.__version__,
    }
    report.write_json(job.where.json, data)
    title = given.atoms.get_chemical_formula(empirical=True)
    return [job.where.json, *draw_equation_of_state(job.where.file("eos.png"), found, title)]
