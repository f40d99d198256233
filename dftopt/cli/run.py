"""`dftopt run`: the ground state of a structure and what follows from it."""

import warnings
from pathlib import Path

import dftopt
from dftopt.calculator import log as logs
from dftopt.calculator import plots, report
from dftopt.calculator.setup import Setup, build
from dftopt.cli import output
from dftopt.cli.inputs import Input, read_input
from dftopt.cli.signals import Signals
from dftopt.errors import DFTOptWarning, InputError
from dftopt.units import HARTREE_IN_EV

RESULTS = ("result.h5", "result.json", "log.txt", "convergence.png", "convergence.csv")
BANDS_RESULTS = ("bands.png", "bands.json", "dos.csv")
PATH, NPOINTS = None, 60


def main(options) -> int:
    """Exit status of the command."""
    given = read_input(options.file, options)
    setup = build(given.atoms, given.parameters)
    _check_bands(given, setup)
    if options.dry_run:
        print(logs.header(setup))
        return 0
    start = dftopt.load(options.start) if getattr(options, "start", None) else "atomic"
    names = RESULTS + (BANDS_RESULTS if given.bands is not None else ())
    where = output.prepare(options.out or Path("out") / given.name, options.json, names, options.overwrite)
    use_compilation_cache()
    log = logs.Log(setup.parameters["txt"] or None, where.file("log.txt"))
    try:
        return _run(given, setup, start, where, log, options.file)
    finally:
        log.close()


def use_compilation_cache() -> None:
    """Start faster next time; a read-only home is no reason to stop."""
    try:
        dftopt.enable_compilation_cache()
    except OSError:
        pass


def _check_bands(given: Input, setup: Setup) -> None:
    """The path is followed before anything starts."""
    if given.bands is not None:
        path_of(setup.model.atoms, given.bands.get("path"), given.bands.get("npoints", NPOINTS))


def path_of(atoms, path: str | None, npoints: int):
    """ASE band path, the lattice's own by default."""
    if isinstance(npoints, bool) or not isinstance(npoints, int) or npoints < 2:
        raise InputError(f"npoints = {npoints!r} must be a whole number of at least 2.")
    special = ", ".join(atoms.cell.bandpath().special_points)
    try:
        return atoms.cell.bandpath(path, npoints=npoints)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"the path {path!r} cannot be followed in this lattice ({error}); its special points are {special}."
        ) from None


def _run(given: Input, setup: Setup, start, where: output.Output, log: logs.Log, file: str) -> int:
    table = logs.IterationTable(log, len(given.atoms))
    with Signals() as signals, warnings.catch_warnings(record=True) as caught:
        log(logs.header(setup) + "\n")
        warnings.simplefilter("always", DFTOptWarning)

        def progress(step) -> bool:
            table(step)
            return signals.received is not None

        try:
            result = dftopt.minimize(setup.model, setup.basis, **setup.minimize_options, start=start, progress=progress)
        except KeyboardInterrupt:
            log("\ninterrupted before the end: no result.")
            raise
        result.save(where.file("result.h5"))
    for warning in caught:
        log(f"warning: {warning.message}")
    log()
    forces = result.forces() if result.converged else None
    stress = result.stress() if result.converged else None
    given_input = report.complete_input(given.atoms, setup.parameters)
    if given.bands is not None:
        given_input["bands"] = given.bands
    report.write_json(where.json, report.to_dict(result, forces, stress, given_input))
    title = given.atoms.get_chemical_formula(empirical=True)
    files = [where.file("result.h5"), where.json]
    files += plots.convergence(where.file("convergence.png"), result.history, result.errors, len(given.atoms), title)
    if given.bands is not None and result.converged and not signals.received:
        files += draw_bands(result, given.bands, given.dos, where.file("bands.png"))
    log("written         " + "\n                ".join(map(str, (*files, where.file("log.txt")))) + "\n")
    log(logs.summary(result, forces, stress))
    if signals.received:
        log(f"\nInterrupted by {signals.received}.")
    if not result.converged:
        log(f"\nThe state is saved: dftopt run {file} --start {where.file('result.h5')} --overwrite continues it.")
    return 0 if result.converged and not signals.received else 1


def draw_bands(result, bands: dict, dos: dict, path: Path) -> list[Path]:
    """Bands beside the density of states."""
    along = path_of(result.model.atoms, bands.get("path"), bands.get("npoints", NPOINTS))
    structure = dftopt.bands(result, along, nbands=bands.get("nbands"))
    title = result.model.atoms.get_chemical_formula(empirical=True)
    return plots.bands_and_dos(path, structure, density_of_states(result, dos), title, reference_name(result))


def density_of_states(result, dos: dict):
    """With the options of the [dos] table; its width is in eV."""
    width = dos["width"] / HARTREE_IN_EV if "width" in dos else None
    return dftopt.dos(result, width=width, kpts=dos.get("kpts"), nbands=dos.get("nbands"))


def reference_name(result) -> str:
    """What the zero of a plot is, as `dftopt.properties.bands.reference_level` chooses it."""
    return "$E_\\mathrm{V}$" if result.options.temperature == 0 and float(result.gap) > 0 else "$E_\\mathrm{F}$"
