"""What `dftopt converge` does."""

import numpy as np

import dftopt
from dftopt.calculator import converge, report
from dftopt.calculator import log as logs
from dftopt.calculator.converge import Axis, Point
from dftopt.calculator.converge_picture import draw
from dftopt.calculator.series import Failed
from dftopt.cli import quantities
from dftopt.cli.inputs import Input, read_input
from dftopt.cli.work import Work, work
from dftopt.errors import InputError, NotConverged
from dftopt.minimization.forecast import forecast
from dftopt.units import HARTREE_IN_EV

READERS = {"energy": quantities.energy, "forces": quantities.force, "stress": quantities.pressure}
COARSE = {"spacing": 0.45}  # 1/angstrom: mesh at which the cutoff is raised, unless one is given
MILLI = {"energy": (1e3, "meV/atom"), "forces": (1e3, "meV/A"), "stress": (1.0, "GPa")}
_KEYS = {"ecut": "ecut_eV", "kpts": "kpts"}  # in the JSON
RESULTS = ("converge.png", "converge-ecut.csv", "converge-kpts.csv")


def main(options) -> int:
    """Read, check, raise cutoff and mesh, write.

    Returns:
        The exit status.
    """
    given = read_input(options.file, options)
    given.needs_crystal("converge")
    if given.parameters.pop("fft", None) is not None:
        given.notes.append("fft is not kept: every cutoff gets its own grid")
    if given.parameters.get("weights") is not None:
        raise InputError(
            "explicit k points with weights are no mesh that can be raised: give a mesh, such as --kpts 4 4 4."
        )
    quantity = options.quantity
    converge.check(given.atoms, quantity)
    accuracy = _accuracy(options.accuracy, quantity)
    default = given.build(ecut=None, kpts=given.parameters.get("kpts", COARSE))
    ecuts, meshes = _settings(options, given, default)
    biggest = _biggest(given, ecuts, meshes, fixed=bool(options.ecuts or options.meshes))
    if options.dry_run:
        _forecast(given, default, biggest, ecuts, meshes, options.only, quantity)
        return 0
    with work(options, given, "converge", RESULTS) as job:
        return _raise(job, given, default, ecuts, meshes, quantity, accuracy, options.only)


def _accuracy(text: str | None, quantity: str) -> float:
    if text is None:
        return converge.ACCURACIES[quantity]
    try:
        value = READERS[quantity](text)
    except ValueError as error:
        raise InputError(f"--accuracy of {quantity}: {error}.") from None
    if not value > 0 or not np.isfinite(value):
        raise InputError(f"--accuracy {text}: it has to be positive.")
    return value


def _settings(options, given: Input, default):
    meshes = [_mesh(text) for text in options.meshes] if options.meshes else converge.meshes(given.atoms)
    ecuts = options.ecuts or converge.cutoffs(default.basis.ecut * HARTREE_IN_EV)
    for name, values in (("--ecuts", options.ecuts), ("--meshes", options.meshes)):
        if values and len(values) <= converge.LATER:
            raise InputError(
                f"{name} has {len(values)} settings: at least {converge.LATER + 1} are needed, since two have to agree with one."
            )
    if any(b <= a for a, b in zip(ecuts, ecuts[1:], strict=False)):
        raise InputError(f"--ecuts {ecuts} (eV) have to rise.")
    return ecuts, meshes


def _biggest(given: Input, ecuts: list, meshes: list, fixed: bool):
    """The largest calculation; settings chosen here that this machine has no memory for are taken from the lists."""
    while True:
        try:
            return given.build(ecut=ecuts[-1], kpts=max(meshes, key=np.prod))
        except InputError:
            if fixed or len(meshes) <= converge.LATER + 1:
                raise
            meshes.pop()


def _mesh(text: str) -> tuple[int, int, int]:
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(p.isdigit() and int(p) > 0 for p in parts):
        raise InputError(f"--meshes {text}: a mesh is written as 4x4x4.")
    return int(parts[0]), int(parts[1]), int(parts[2])


def _forecast(given: Input, default, biggest, ecuts, meshes, only, quantity) -> None:
    print(logs.header(default))
    each = 2 if quantity == "energy" else 1
    print(
        f"\nquantity        {quantity}, {each} structure{'s' if each > 1 else ''} at every setting; at most these settings:"
    )
    seconds = 0.0
    if only != "kpts":
        print("cutoffs         " + ", ".join(f"{c / HARTREE_IN_EV:g}" for c in ecuts) + " Ha")
        seconds += sum(
            each * forecast(s.model, s.basis)["seconds"]
            for s in (given.build(ecut=c, kpts=_kpts(given)) for c in ecuts)
        )
    if only != "ecut":
        print("meshes          " + ", ".join("x".join(map(str, m)) for m in meshes))
        seconds += sum(
            each * forecast(s.model, s.basis)["seconds"]
            for s in (given.build(ecut=default.basis.ecut * HARTREE_IN_EV, kpts=m) for m in meshes)
        )
    memory = forecast(biggest.model, biggest.basis)["memory_gib"]
    print(f"forecast        at most about {memory:.1f} GiB and {logs.duration(seconds)} (rough), plus compilation;")
    print("                it ends where both are converged")


def _kpts(given: Input):
    return given.parameters.get("kpts", COARSE)


# ---------------------------------------------------------------------------------------------------- at work


def _raise(job: Work, given: Input, default, ecuts, meshes, quantity: str, accuracy: float, only: str | None) -> int:
    job.log(logs.header(default))
    scale, unit = MILLI[quantity]
    job.log(f"\nwanted          {quantity} to {scale * accuracy:g} {unit}")
    cutoff = (
        given.build(kpts=given.parameters.get("kpts", COARSE)).basis.ecut * HARTREE_IN_EV
    )  # of a name or a default too
    mesh = default.parameters["kpts"]["size"] if "kpts" not in given.parameters else given.parameters["kpts"]
    structures = converge.probes(given.atoms, quantity, job.series, ecut=ecuts[0], kpts=mesh)
    axes: list[Axis] = []
    if only != "kpts":
        table = _Table(job, quantity, "cutoff")
        compute = lambda ecut: _point(structures, quantity, job, ecut, ecut=ecut, kpts=mesh)
        axes.append(converge.raise_until("ecut", ecuts, accuracy, compute, table))
        chosen = axes[0].points[axes[0].recommended if axes[0].recommended is not None else -1]
        cutoff = chosen.setting
    if only != "ecut":
        table = _Table(job, quantity, "mesh")
        compute = lambda size: _point(structures, quantity, job, size, ecut=cutoff, kpts=size)
        axes.append(converge.raise_until("kpts", meshes, accuracy, compute, table))
    files = _write(job, given, default, axes, quantity, accuracy)
    job.log("\nwritten         " + "\n                ".join(map(str, files)))
    return _verdict(job, axes, quantity, accuracy, given.name)


def _point(structures, quantity: str, job: Work, setting, **changed) -> Point:
    try:
        return converge.observe(structures, quantity, job.series, setting, **changed)
    except Failed as error:
        raise NotConverged(f"at {_named(setting)} the minimization ended without a result: {error}") from None


def _named(setting) -> str:
    if isinstance(setting, tuple):
        return "x".join(map(str, setting))
    return f"{setting:.1f} eV = {setting / HARTREE_IN_EV:g} Ha"


class _Table:
    """A table that grows with each setting."""

    def __init__(self, job: Work, quantity: str, name: str):
        self._log, self._quantity, self._shown = job.log, quantity, 0
        unit = MILLI[quantity][1]
        self._log(
            f"\n{name:22s} {'change ' + unit:>16s}   {'total energy eV/atom':>20s}   {'change meV/atom':>15s}  iterations  seconds"
        )

    def __call__(self, axis: Axis) -> None:
        """The last row."""
        now, before = axis.points[-1], axis.points[-2] if len(axis.points) > 1 else None
        scale = MILLI[self._quantity][0]
        change = f"{scale * np.abs(now.value - before.value).max():.4f}" if before else ""
        total = f"{1e3 * (now.total - before.total):.3f}" if before else ""
        self._log(
            f"{_named(now.setting):22s} {change:>16s}   {now.total:20.6f}   {total:>15s}  {now.iterations:10d}  {now.seconds:7.1f}"
        )


def _write(job: Work, given: Input, default, axes: list[Axis], quantity: str, accuracy: float):
    unit = converge.UNITS[quantity]
    data = {
        "converged": all(a.recommended is not None for a in axes),
        "quantity": quantity,
        "accuracy": accuracy,
        "unit": unit,
        "recommended": {
            _KEYS[a.name]: None if a.recommended is None else a.points[a.recommended].setting for a in axes
        },
        "series": {a.name: _rows(a) for a in axes},
        "input": report.complete_input(given.atoms, default.parameters),
        "version": dftopt.__version__,
    }  # fmt: skip
    report.write_json(job.where.json, data)
    return [
        job.where.json,
        *draw(job.where.file("converge.png"), axes, quantity, given.atoms.get_chemical_formula(empirical=True)),
    ]


def _rows(axis: Axis) -> list[dict]:
    """One setting each."""
    rows = []
    for p, error in zip(axis.points, axis.errors, strict=True):
        row = {_KEYS[axis.name]: p.setting, "value": p.value, "error": error, "total_eV_per_atom": p.total}
        rows.append({**row, "iterations": p.iterations, "seconds": p.seconds})
    return rows


def _verdict(job: Work, axes: list[Axis], quantity: str, accuracy: float, name: str) -> int:
    scale, unit = MILLI[quantity]
    flags = []
    for axis in axes:
        if axis.recommended is None:
            best = axis.errors[-2] if len(axis.points) > 1 else np.nan
            higher = "ecuts" if axis.name == "ecut" else "meshes"
            job.log(
                f"\n{axis.name} is not converged: up to {_named(axis.points[-1].setting)}, {quantity} still changes by "
                f"{scale * best:.3g} {unit}, {scale * accuracy:g} are wanted. Give higher settings with --{higher}, and --resume."
            )
            continue
        point, error = axis.points[axis.recommended], axis.errors[axis.recommended]
        job.log(f"\n{axis.name}: {_named(point.setting)} is within {scale * error:.3g} {unit} of all later ones")
        flags.append(
            f"--ecut {point.setting / HARTREE_IN_EV:g}Ha"
            if axis.name == "ecut"
            else "--kpts " + " ".join(map(str, point.setting))
        )
    if flags:
        job.log(f"\nrecommended     {' '.join(flags)}")
    return 0 if all(a.recommended is not None for a in axes) else 1
