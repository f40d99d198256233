"""What `dftopt label` does."""

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write

import dftopt
from dftopt.calculator import label, report
from dftopt.calculator import log as logs
from dftopt.calculator.files import replacing
from dftopt.calculator.setup import Setup, build
from dftopt.cli.inputs import Input, read_keywords
from dftopt.cli.structures import check_file, read_frames
from dftopt.cli.work import Work, work
from dftopt.errors import InputError
from dftopt.minimization.forecast import forecast

SHOWN = 20  # failures that are listed on the terminal; the JSON has all


def main(options) -> int:
    """Read, check, label, write.

    Returns:
        The exit status.
    """
    path = check_file(options.file)
    if path.suffix.lower() == ".toml":
        raise InputError(
            f"{path.name} is an input file: give the structures as FILE, and the keywords with --input {path.name}."
        )
    if options.magmoms is not None:
        raise InputError("--magmoms is for one structure: frames carry their own initial_magmoms.")
    frames = read_frames(path, options.format)
    out = Path(options.out) if options.out else path.with_name(f"{path.stem}-labelled.extxyz")
    if out.suffix.lower() not in (".extxyz", ".xyz") or out.is_dir():
        raise InputError(f"--out {str(out)!r}: the labelled frames go to a file that ends in .extxyz.")
    if out.exists() and path.samefile(out):
        raise InputError(f"--out {out} is the input itself: name another file.")
    given = Input(out.stem, frames[0], read_keywords(options))
    groups = _groups(frames, given)
    if options.dry_run:
        _forecast(path, frames, groups)
        return 0
    with work(options, given, out.stem, (out.name,), folder=out.parent) as job:
        return _label(job, path, out, frames, groups, given, options.retry)


def _groups(frames: list[Atoms], given: Input) -> dict[str, tuple[int, Setup | None]]:
    """By formula: how many frames, and the calculation of the first that is right; an error of all of them is the input's."""
    groups: dict[str, tuple[int, Setup | None]] = {}
    first_error: InputError | None = None
    for atoms in frames:
        formula = atoms.get_chemical_formula()
        count, setup = groups.get(formula, (0, None))
        if setup is None and count < 10:  # the first ten tell
            try:
                setup = build(label.sorted_by_element(atoms)[0], given.parameters)
            except InputError as error:
                first_error = first_error or error
        groups[formula] = (count + 1, setup)
    if first_error is not None and all(setup is None for _, setup in groups.values()):
        raise InputError(f"no frame can be computed; the first one: {first_error}")
    return groups


def _seconds(setup: Setup | None) -> float:
    return forecast(setup.model, setup.basis, setup.minimize_options["nbands"])["seconds"] if setup is not None else 0.0


def _forecast(path: Path, frames: list[Atoms], groups) -> None:
    biggest = max((s for _, s in groups.values() if s is not None), key=_seconds)
    print(logs.header(biggest))
    print(f"\nframes          {len(frames)} in {path}; above is one of the largest kind")
    for formula, (count, setup) in groups.items():
        print(f"  {count:6d}        {formula}" + ("" if setup is not None else "   cannot be computed as it is"))
    total = sum(count * _seconds(setup) for count, setup in groups.values())
    print(f"forecast        {logs.duration(1.5 * total)} for all (rough), plus compilation")


def _label(job: Work, path: Path, out: Path, frames: list[Atoms], groups, given: Input, retry: bool) -> int:
    first = next(setup for _, setup in groups.values() if setup is not None)
    job.log(logs.header(first) + f"\n\nframes          {len(frames)} in {path}; above is the first kind of them\n")
    job.log(
        "      done   frame  formula           energy (eV)   largest force (eV/A)   iterations  seconds   remaining"
    )
    weights = {formula: max(_seconds(setup), 1e-3) for formula, (_, setup) in groups.items()}
    done: dict[int, Atoms] = {}
    failures: list[dict] = []
    for step in label.compute(frames, job.series, lambda atoms: weights[atoms.get_chemical_formula()], retry):
        done[step.index] = label.labelled(frames[step.index], step.numbers, step.reason)
        if step.numbers is None:
            failures.append({"index": step.index, "reason": step.reason})
        _tell(job, step, frames[step.index])
    with replacing(out) as part:
        write(part, [done[i] for i in range(len(frames))], format="extxyz")
    failures.sort(key=lambda failure: failure["index"])
    data = {
        "converged": not failures,
        "frames": len(frames),
        "labelled": len(frames) - len(failures),
        "failed": failures,
        "file": str(out),
        "input": given.parameters,
        "version": dftopt.__version__,
    }
    report.write_json(job.where.json, data)
    job.log(f"\nwritten         {out}\n                {job.where.json}")
    job.log(f"\n{len(frames) - len(failures)} of {len(frames)} frames are labelled")
    for failure in failures[:SHOWN]:
        job.log(f"  frame {failure['index']} failed: {failure['reason']}")
    if len(failures) > SHOWN:
        job.log(f"  and {len(failures) - SHOWN} more, see {job.where.json}")
    if failures:
        job.log("The same command with --resume --retry computes these again, with other keywords into another --out.")
    return 1 if failures else 0


def _tell(job: Work, step: label.Progress, atoms: Atoms) -> None:
    head = f"{step.done:5d}/{step.total:<5d} {step.index:5d}  {atoms.get_chemical_formula():14s}"
    if step.numbers is None:
        job.log(f"{head} FAILED: {step.reason}")
        return
    found = step.numbers
    largest = np.linalg.norm(found["forces"], axis=1).max()
    remaining = logs.duration(step.remaining) if step.remaining is not None else ""
    numbers = f"{found['energy']:14.6f} {largest:22.6f} {found['iterations']:12d} {found['seconds']:8.1f}"
    job.log(f"{head} {numbers}   {remaining:>9s}")
