"""What `dftopt response` does."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from ase.units import Bohr, GPa, Hartree

import dftopt
from dftopt.calculator import log as logs
from dftopt.calculator import report
from dftopt.calculator.response_picture import draw
from dftopt.cli import output
from dftopt.cli.ground_state import set_up
from dftopt.cli.inputs import read_input
from dftopt.cli.signals import Signals
from dftopt.errors import DFTOptWarning, InputError, NotConverged
from dftopt.properties.linear_response.response import Response

RESULTS = ("response.png", "response.csv")
STATE = "response.h5"
TO_GPA = Hartree / Bohr**3 / GPa
TOL = 1e-10  # eV per atom; the response polishes it to roundoff
LARGE_FORCE = 0.01  # eV/angstrom
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
        _tell_equilibrium(log, result)
        data = _displacements(log, r)
        if options.field:
            data |= _fields(log, r, directions)
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


def _ground_state(setup, where: output.Output, signals: Signals, resume: bool):
    start: Any = "atomic"
    if resume and where.file(STATE).exists():
        start = dftopt.load(where.file(STATE))
    progress = lambda step: signals.stop()
    return dftopt.minimize(setup.model, setup.basis, **setup.minimize_options, start=start, progress=progress)


def _tell_equilibrium(log, result) -> None:
    force = np.linalg.norm(result.forces(), axis=1).max() * Hartree / Bohr
    log(f"equilibrium     largest force {force:.1e} eV/angstrom")
    if not any(result.basis.vacuum.isolated):
        pressure = -np.trace(result.stress()) / 3 * TO_GPA
        log(f"                pressure {pressure:.3f} GPa")
    if force > LARGE_FORCE:
        log("warning: the atoms are not at their minimum. Relax them first: dftopt relax FILE.")


def _displacements(log, r: Response) -> dict:
    modes, raw = r.phonons(), r.phonons(asr=False)
    log("\nmodes at Gamma (cm^-1)")
    for i, value in enumerate(modes, start=1):
        log(f"  {i:4d}  {value:12.3f}" + ("   imaginary" if value < -1 else ""))
    log(
        f"  the acoustic ones were up to {np.abs(np.sort(np.abs(raw))[:3]).max():.2f} cm^-1 before the sum rule made them vanish"
    )
    data = {"gamma_cm1": modes, "gamma_raw_cm1": raw, "force_constants_hartree_per_bohr2": r.force_constants()}
    if any(r.result.basis.vacuum.isolated):
        return data
    clamped, relaxed = r.elastic(relaxed=False), r.elastic()
    log("\nelastic constants (GPa), atoms relaxed           clamped")
    for a, b in zip(relaxed * TO_GPA, clamped * TO_GPA, strict=True):
        log("  " + " ".join(f"{x:8.2f}" for x in a) + "     " + " ".join(f"{x:8.2f}" for x in b))
    return data | {
        "elastic_hartree_per_bohr3": relaxed,
        "elastic_clamped_hartree_per_bohr3": clamped,
        "elastic_GPa": relaxed * TO_GPA,
        "elastic_energy_convention_GPa": r.elastic(convention="energy") * TO_GPA,
        "internal_strain_hartree_per_bohr": r.internal_strain(),
    }


def _fields(log, r: Response, directions: dict) -> dict:
    if r.result.options.temperature > 0:
        log(
            "\nno electric field: at a finite width of the occupations this counts as a metal. For an insulator: --occupations fixed"
        )
        return {}
    dielectric, charges = r.dielectric(), r.born_charges()
    log("\ndielectric tensor (ions fixed)")
    for row in dielectric:
        log("  " + " ".join(f"{x:10.4f}" for x in row))
    log("\nBorn charges (e), and their sum before it is made to vanish")
    for symbol, z in zip(r.result.model.atoms.get_chemical_symbols(), charges, strict=True):
        log(f"  {symbol:3s} " + "   ".join(" ".join(f"{x:8.4f}" for x in row) for row in z))
    log("  sum " + "   ".join(" ".join(f"{x:8.4f}" for x in row) for row in charges.sum(axis=0)))
    along = {}
    for name, q in directions.items():
        values = r.phonons_towards(q)
        along[name] = {"direction": q, "frequencies": values}
        log(f"\nmodes for q -> 0 along {name} (cm^-1): " + " ".join(f"{x:.2f}" for x in values))
    return {"dielectric": dielectric, "born_charges": charges, "longitudinal_cm1": along}
