"""What `dftopt phonons` does."""

import numpy as np
from ase.units import GPa

import dftopt
from dftopt.atoms import kpoints
from dftopt.calculator import log as logs
from dftopt.calculator import phonons, report
from dftopt.calculator.files import replacing
from dftopt.calculator.phonon_picture import draw
from dftopt.calculator.phonons import THZ_IN_MEV, THZ_IN_PER_CM, Phonons
from dftopt.calculator.series import Failed
from dftopt.calculator.setup import Setup, build
from dftopt.cli.ground_state import path_of
from dftopt.cli.inputs import Input, read_input
from dftopt.cli.work import Work, work
from dftopt.errors import InputError, NotConverged
from dftopt.minimization.forecast import forecast
from dftopt.units import BOHR_IN_ANGSTROM

RESULTS = ("phonons.png", "phonons-bands.json", "phonons-dos.csv", "phonopy_params.yaml")
Q_SPACING = 0.1  # 1/angstrom with 2 pi: of the mesh for the density of states
LARGE_FORCE = 0.01  # eV/angstrom


def main(options) -> int:
    """Read, check, displace, write.

    Returns:
        The exit status.
    """
    given = read_input(options.file, options)
    given.needs_crystal("phonons")
    given.parameters.setdefault("tol", phonons.TOL)
    supercell = tuple(options.supercell)
    path = path_of(given.atoms, options.path, options.npoints)
    mesh = _mesh(options.mesh, given.atoms)
    setup = given.build()
    phonon = phonons.prepare(setup.model.atoms, supercell, options.distance)
    cells = phonons.displaced(phonon)
    keywords = _of_supercell(given, setup, supercell)
    biggest = [build(cell, {**given.parameters, **keywords}) for cell in cells]
    if options.dry_run:
        _forecast(setup, supercell, biggest)
        return 0
    settings = {"supercell": supercell, "distance": options.distance}
    with work(options, given, "phonons", RESULTS, settings) as job:
        job.log(logs.header(setup))
        _tell_plan(job, supercell, biggest)
        _tell_equilibrium(job, given, setup)
        forces = [_forces(job, i, cell, keywords, len(cells)) for i, cell in enumerate(cells)]
        found = phonons.solve(phonon, forces, path, mesh, options.sum_rule)
        files = _write(job, given, setup, phonon, found, supercell, options, path)
        _tell(job, found, setup, supercell, options.sum_rule)
        job.log("\nwritten         " + "\n                ".join(map(str, files)))
    return 0


def _mesh(mesh, atoms) -> tuple[int, int, int]:
    if mesh is None:
        return kpoints.size_from_spacing(atoms.cell.array / BOHR_IN_ANGSTROM, Q_SPACING * BOHR_IN_ANGSTROM)
    try:
        return kpoints.check_size(mesh)
    except InputError as error:
        raise InputError(str(error).replace("kpts =", "--mesh =")) from None


def _of_supercell(given: Input, setup: Setup, supercell) -> dict:
    """Keywords of the supercell: k points as dense as those of the cell, and what counts per cell."""
    points, n = setup.basis.kpoints, int(np.prod(supercell))
    if n > 1 and points.size is None:
        raise InputError(
            "explicit k points belong to the cell in the file, not to its supercell: give a mesh with --kpts or --spacing."
        )
    if given.parameters.get("charge"):
        raise InputError(f"charge = {given.parameters['charge']!r}: phonons of a charged cell are not available.")
    out: dict = {}
    if points.size is not None:
        out["kpts"] = {"size": phonons.supercell_mesh(points.size, supercell), "shift": points.shift}
    if given.parameters.get("nbands") and n > 1:
        out["nbands"] = given.parameters["nbands"] * n
    if given.parameters.get("magnetization") and n > 1:
        out["magnetization"] = given.parameters["magnetization"] * n
    if given.parameters.get("fft"):
        out["fft"] = tuple(int(a) * b for a, b in zip(given.parameters["fft"], supercell, strict=True))
    return out


# ---------------------------------------------------------------------------------------------------- what is told


def _forecast(setup: Setup, supercell, biggest: list[Setup]) -> None:
    print(logs.header(setup) + "\n")
    _plan(print, supercell, biggest)


def _plan(say, supercell, biggest: list[Setup]) -> None:
    cell = biggest[0]
    points = cell.basis.kpoints
    mesh = "x".join(map(str, points.size)) if points.size else f"{len(points)} points"
    say(f"supercell       {'x'.join(map(str, supercell))}, {len(cell.model.atoms)} atoms; k points {mesh}")
    say(
        f"displacements   {len(biggest)}, with "
        + ", ".join(str(s.basis.nk) for s in biggest[:10])
        + f"{' ...' if len(biggest) > 10 else ''} k points after symmetry"
    )
    expected = [forecast(s.model, s.basis, s.minimize_options["nbands"]) for s in biggest]
    memory, seconds = max(e["memory_gib"] for e in expected), sum(e["seconds"] for e in expected)
    say(f"forecast        about {memory:.1f} GiB and {logs.duration(1.5 * seconds)} (rough), plus compilation")


def _tell_plan(job: Work, supercell, biggest: list[Setup]) -> None:
    job.log()
    _plan(job.log, supercell, biggest)


def _tell_equilibrium(job: Work, given: Input, setup: Setup) -> None:
    """Phonons are second derivatives at a minimum: say how far away it is."""
    try:
        found = job.series(setup.model.atoms, "cell")
    except Failed as error:
        raise NotConverged(f"the undisplaced cell did not converge: {error}") from None
    largest = np.linalg.norm(found["forces"], axis=1).max()
    pressure = -np.trace(found["stress"]) / 3 / GPa
    job.log(f"\nundisplaced     largest force {largest:.1e} eV/angstrom, pressure {pressure:.3f} GPa")
    if largest > LARGE_FORCE:
        job.log(
            "warning: the atoms are not at their minimum, so that frequencies are off. Relax them first: dftopt relax FILE."
        )
    job.log("\ndisplacement    largest force (eV/angstrom)   iterations   seconds")


def _forces(job: Work, number: int, cell, keywords: dict, total: int) -> np.ndarray:
    try:
        found = job.series(cell, "supercell", **keywords)
    except Failed as error:
        raise NotConverged(
            f"displacement {number + 1} of {total} did not converge: {error} Finished ones are kept for --resume."
        ) from None
    forces = np.array(found["forces"])
    largest = np.linalg.norm(forces, axis=1).max()
    job.log(f"{f'{number + 1} of {total}':15s} {largest:27.6f}   {found['iterations']:10d}   {found['seconds']:7.1f}")
    return forces


def _tell(job: Work, found: Phonons, setup: Setup, supercell, sum_rule: bool) -> None:
    job.log("\nat Gamma                 THz          cm^-1            meV")
    for i, value in enumerate(found.gamma, start=1):
        job.log(f"  {i:4d}     {value:17.5f}  {value * THZ_IN_PER_CM:13.3f}  {value * THZ_IN_MEV:13.4f}")
    if sum_rule:
        away = np.abs(found.gamma_raw[np.argsort(np.abs(found.gamma_raw))[:3]]).max() * THZ_IN_PER_CM
        job.log(f"  the acoustic modes were up to {away:.2f} cm^-1 before the sum rule made them vanish")
    species, gap = setup.model.structure.species, setup.minimize_options["temperature"] == 0
    if len(species) > 1:
        kind = "this insulator" if gap else "an insulator"
        job.log(
            f"  in {kind} of {len(species)} elements longitudinal optical modes lie higher at Gamma: that is not included"
        )
    if 1 in supercell:
        job.log("  along an axis with one cell frequencies are exact at Gamma alone, elsewhere they are interpolated")
    value, q = found.lowest
    if found.is_stable:
        job.log("\nno imaginary modes: the structure is a minimum, as far as the supercell shows it")
        return
    at = ", ".join(f"{x:.3g}" for x in q)
    job.log(
        f"\nIMAGINARY MODES: the lowest is {abs(value) * THZ_IN_PER_CM:.1f}i cm^-1 at q = ({at}). The structure is not a minimum\n"
        "there, or its forces were not relaxed, or the supercell or the k mesh is too small: compare larger ones."
    )


def _write(job: Work, given: Input, setup: Setup, phonon, found: Phonons, supercell, options, path):
    data = {
        "converged": True,
        "stable": found.is_stable,
        "gamma_THz": found.gamma,
        "gamma_cm1": found.gamma * THZ_IN_PER_CM,
        "gamma_meV": found.gamma * THZ_IN_MEV,
        "gamma_raw_cm1": found.gamma_raw * THZ_IN_PER_CM,
        "lowest": {"cm1": found.lowest[0] * THZ_IN_PER_CM, "q": found.lowest[1]},
        "supercell": supercell,
        "distance_angstrom": options.distance,
        "sum_rule": options.sum_rule,
        "dos_mesh": found.mesh,
        "force_constants_eV_per_angstrom2": found.force_constants,
        "input": report.complete_input(given.atoms, setup.parameters),
        "version": dftopt.__version__,
    }
    report.write_json(job.where.json, data)
    title = given.atoms.get_chemical_formula(empirical=True)
    files = [job.where.json, *draw(job.where.file("phonons.png"), found, path, title)]
    target = job.where.file("phonopy_params.yaml")
    with replacing(target) as part:
        phonon.save(str(part), settings={"force_sets": True, "displacements": True, "force_constants": False})
    return [*files, target]
