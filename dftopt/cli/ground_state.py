"""From an input to results on disk: what `dftopt run` does, and `dftopt bands` of a structure."""

import warnings
from collections.abc import Callable
from pathlib import Path

import dftopt
from dftopt.bases.gaussians import Gaussians
from dftopt.calculator import checkpoints, orbital_picture, plots, plots_projected, report
from dftopt.calculator import log as logs
from dftopt.calculator.setup import Setup
from dftopt.cli import output
from dftopt.cli.inputs import Input, read_input
from dftopt.cli.signals import Signals
from dftopt.errors import DFTOptWarning, InputError, NotConverged
from dftopt.properties.dos import check
from dftopt.properties.projections import check_groups
from dftopt.units import HARTREE_IN_EV

RESULTS = ("result.h5", "result.json", "log.txt", "convergence.png", "convergence.csv")
BANDS_RESULTS = ("bands.png", "bands.json", "dos.csv")
STATE = "checkpoint.h5"
NPOINTS = 60


def main(options, bands: dict | None = None) -> int:
    """Read, check, compute, write.

    Args:
        options: flags of `dftopt run`.
        bands: options of the bands that are asked for beside those of the input.

    Returns:
        The exit status.
    """
    given = read_input(options.file, options)
    wanted = None if given.bands is None and bands is None else {**(given.bands or {}), **(bands or {})}
    setup = given.build()
    if wanted is not None and isinstance(setup.basis, Gaussians):
        raise InputError("bands are of crystals: leave them out with mode = 'gaussian'.")
    if wanted is not None:  # the path is followed before anything starts
        path_of(setup.model.atoms, wanted.get("path"), wanted.get("npoints", NPOINTS))
    if options.dry_run:
        print(logs.header(setup))
        return 0
    start = _start(options.start, setup)
    names = RESULTS + (BANDS_RESULTS if wanted is not None else ())
    folder = Path(options.out or Path("out") / given.name)
    where = output.prepare(folder, options.json, names, options.overwrite, options.resume, (STATE,))
    if options.resume:
        start = _resumed(where, setup) or start
    set_up()
    with where.file("log.txt").open("a" if options.resume else "w", encoding="utf-8") as file:
        log = logs.Log(setup.parameters["txt"] or None, file)
        return _run(given, setup, start, wanted, where, log, options)


def set_up() -> None:
    """All cores, and compiled programs kept; a device that is not there is a reason to stop."""
    from dftopt.precision import check_jax, set_up_process

    set_up_process()
    check_jax()


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


# ---------------------------------------------------------------------------------------------------- where to start


def _start(file, setup: Setup):
    if not file:
        return "atomic"
    start = dftopt.load(file)
    if start.model.structure.symbols != setup.model.structure.symbols:
        raise InputError(
            f"--start {file} is of {start.model.atoms.get_chemical_formula()}, this calculation of "
            f"{setup.model.atoms.get_chemical_formula()}: start from the same atoms."
        )
    return start


def _resumed(where: output.Output, setup: Setup):
    """The state of an interrupted run in the folder; None if there is none."""
    for name in (STATE, "result.h5"):
        path = where.file(name)
        if not path.exists():
            continue
        saved = dftopt.load(path)
        different = checkpoints.difference(saved, setup)
        if different:
            raise InputError(
                f"{path} is of another calculation: {different}. Choose another folder with --out, or replace it with --overwrite."
            )
        return saved
    return None


# ---------------------------------------------------------------------------------------------------- the run


def _run(given: Input, setup: Setup, start, wanted, where: output.Output, log: logs.Log, options) -> int:
    table = logs.IterationTable(log, len(given.atoms))
    with Signals(options.walltime, options.begun) as signals, warnings.catch_warnings(record=True) as caught:
        log(logs.header(setup) + "\n")
        if not isinstance(start, str):
            log(f"start           orbitals of an earlier result: {start.verdict}\n")
        warnings.simplefilter("always", DFTOptWarning)

        def progress(step) -> bool:
            table(step)
            return signals.stop()

        try:
            result = checkpoints.minimize(setup, where.file(STATE), start, progress, options.save_every)
        except KeyboardInterrupt:
            log("\ninterrupted before the end: no result.")
            raise
    for warning in caught:
        log(f"warning: {warning.message}")
    log()
    forces = result.forces() if result.converged else None
    molecule = isinstance(setup.basis, Gaussians)
    stress = result.stress() if result.converged and not molecule else None
    stopped = signals.received
    lost: list[str] = []
    files = _attempt(lost, lambda: _written(result, forces, stress, given, setup, wanted, where))
    if wanted is not None and result.converged and not stopped:
        files += _attempt(lost, lambda: draw_bands(result, wanted, given.dos, where.file("bands.png")))
    log("written         " + "\n                ".join(map(str, (*files, where.file("log.txt")))) + "\n")
    log(logs.summary(result, forces, stress))
    if stopped:
        log(f"\nInterrupted by {stopped}.")
    if not result.converged:
        log(
            f"\nThe state is saved: the same command with --resume continues it (or --start {where.file('result.h5')} elsewhere)."
        )
    if lost:
        raise NotConverged("not everything could be written: " + "; ".join(lost) + ". Older files there are intact.")
    return 0 if result.converged and not stopped else 1


def _attempt(lost: list[str], write: Callable[[], list[Path]]) -> list[Path]:
    """Files written; what fails is told after the numbers were shown."""
    try:
        return write()
    except (OSError, InputError) as error:
        lost.append(str(error).rstrip("."))
        return []


def _written(result, forces, stress, given: Input, setup: Setup, wanted, where: output.Output) -> list[Path]:
    result.save(where.file("result.h5"))
    where.file(STATE).unlink(missing_ok=True)
    complete = report.complete_input(given.atoms, setup.parameters)
    if wanted is not None:
        complete["bands"] = wanted
    report.write_json(where.json, report.to_dict(result, forces, stress, complete))
    title = given.atoms.get_chemical_formula(empirical=True)
    picture = where.file("convergence.png")
    files = [where.file("result.h5"), where.json]
    files += plots.convergence(picture, result.history, result.errors, len(given.atoms), title)
    if isinstance(result.basis, Gaussians):
        files += orbital_picture.draw(where.file("orbitals.png"), result, title)
    return files


def draw_bands(result, bands: dict, dos: dict, path: Path) -> list[Path]:
    """Bands beside the density of states; both by atomic orbitals where `fat` says how."""
    along = path_of(result.model.atoms, bands.get("path"), bands.get("npoints", NPOINTS))
    title = result.model.atoms.get_chemical_formula(empirical=True)
    if bands.get("fat"):
        fat = dftopt.fat_bands(result, along, nbands=bands.get("nbands"), by=bands["fat"])
        parts = density_of_states(result, {**dos, "projected": bands["fat"]})
        return plots_projected.fat_bands_and_dos(path, fat, parts, title, reference_name(result))
    structure = dftopt.bands(result, along, nbands=bands.get("nbands"))
    return plots.bands_and_dos(path, structure, density_of_states(result, dos), title, reference_name(result))


def density_of_states(result, dos: dict):
    """With the options of the [dos] table; its width is in eV, `projected` says by what it is resolved."""
    width = dos["width"] / HARTREE_IN_EV if "width" in dos else None
    options = {
        "width": width,
        "kpts": dos.get("kpts"),
        "nbands": dos.get("nbands"),
        "method": dos.get("method", "gaussian"),
    }
    if dos.get("projected"):
        return dftopt.pdos(result, dos["projected"], **options)
    return dftopt.dos(result, **options)


def check_dos(dos: dict) -> None:
    """Refuse wrong options before a result is loaded or computed."""
    check(dos.get("method", "gaussian"), dos.get("width"))
    if dos.get("projected") is not None:
        check_groups(dos["projected"])


def reference_name(result) -> str:
    """What the zero of a plot is, as `dftopt.properties.bands.reference_level` chooses it."""
    return "$E_\\mathrm{V}$" if result.options.temperature == 0 and float(result.gap) > 0 else "$E_\\mathrm{F}$"
