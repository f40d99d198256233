"""What `dftopt response` does."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

import dftopt
from dftopt.bases.gaussians import Gaussians
from dftopt.calculator import log as logs
from dftopt.calculator import report
from dftopt.calculator.response_picture import draw
from dftopt.cli import output, response_report
from dftopt.cli.ground_state import set_up
from dftopt.cli.inputs import read_input
from dftopt.cli.signals import Signals
from dftopt.errors import DFTOptWarning, InputError, NotConverged

RESULTS = ("response.png", "response.csv")
STATE = "response.h5"
TOL = 1e-10  # eV per atom; the response polishes it to roundoff
AXES = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1)}


def main(options) -> int:
    """Read, check, compute, write.

    Returns:
        The exit status.
    """
    given = read_input(options.file, options)
    given.parameters.setdefault("tol", TOL)
    directions = AXES if options.direction is None else {"q": tuple(options.direction)}
    if options.direction is not None and not np.any(options.direction):
        raise InputError("--direction 0 0 0 has no direction: give three Cartesian numbers, such as 1 0 0.")
    setup = given.build()
    _check(setup)
    if options.dry_run:
        print(logs.header(setup))
        return 0
    folder = Path(options.out or Path("out") / given.name)
    where = output.prepare(folder, options.json, RESULTS, options.overwrite, options.resume, (STATE,), "response")
    set_up()
    with (
        where.file("response.log").open("a" if options.resume else "w", encoding="utf-8") as file,
        Signals(options.walltime, options.begun) as signals,
        warnings.catch_warnings(),
    ):
        log = logs.Log(setup.parameters["txt"] or None, file)
        warnings.simplefilter("always", DFTOptWarning)
        warnings.showwarning = lambda message, *_, **__: log(f"warning: {message}")
        log(logs.header(setup) + "\n")
        result = _ground_state(setup, where, signals, options.resume)
        if not result.converged:
            result.save(where.file(STATE))
            raise NotConverged(f"the ground state is {result.verdict}. --resume goes on from where it is.")
        result.save(where.file(STATE))
        r = dftopt.response(result, progress=lambda: signals.stop())
        response_report.equilibrium(log, result)
        data = response_report.everything(log, r, directions if options.field else None, options.levels)
        data |= {
            "converged": True,
            "solves": [vars(s) for s in r.solves],
            "input": report.complete_input(given.atoms, setup.parameters),
            "version": dftopt.__version__,
        }
        log(
            f"\n{len(r.solves)} linear solves, {sum(s.products for s in r.solves)} products with the Hessian, "
            f"largest relative residual {max(s.residual for s in r.solves):.0e}"
        )
        report.write_json(where.json, data)
        title = given.atoms.get_chemical_formula(empirical=True)
        files = [where.json, *draw(where.file("response.png"), data, title), where.file(STATE)]
        log("\nwritten         " + "\n                ".join(map(str, files)))
    return 0


def _check(setup) -> None:
    """Refuse what has no response before the ground state is looked for."""
    smearing = str(setup.minimize_options.get("smearing", "fermi-dirac"))
    if setup.minimize_options.get("temperature", 0.0) > 0 and smearing not in ("fermi-dirac", "gaussian"):
        raise InputError(
            f"smearing {smearing!r}: the response needs a minimum, and the free energy has none with it. Use 'fermi-dirac' or 'gaussian'."
        )
    if isinstance(setup.basis, Gaussians) and setup.basis.density_fit:
        raise InputError(
            "the response of a molecule needs exact two-electron integrals: density_fit = false, or mode = 'pw' for a large one."
        )


def _ground_state(setup, where: output.Output, signals: Signals, resume: bool):
    start: Any = "atomic"
    if resume and where.file(STATE).exists():
        start = dftopt.load(where.file(STATE))
    progress = lambda step: signals.stop()
    return dftopt.minimize(setup.model, setup.basis, **setup.minimize_options, start=start, progress=progress)
