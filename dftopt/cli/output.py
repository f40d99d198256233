"""The folder of results, checked before anything starts."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from dftopt.errors import InputError
from dftopt.locks import Lock, hold


@dataclass(frozen=True)
class Output:
    """Where results go: a folder, and the JSON file. While it lives, no other process may write there."""

    folder: Path
    json: Path
    lock: Lock | None = field(default=None, repr=False)

    def file(self, name: str) -> Path:
        """A file of the folder."""
        return self.folder / name


def prepare(
    folder,
    json,
    results: tuple[str, ...],
    overwrite: bool,
    resume: bool = False,
    state: tuple[str, ...] = (),
    task: str = "result",
) -> Output:
    """Make sure that results can be written, and that none are lost.

    Args:
        folder: of the results; made where it is missing.
        json: of the JSON; default TASK.json in the folder.
        results: names of files that a run writes there.
        overwrite: replace existing results, and forget the state of an earlier run.
        resume: go on from what is there.
        state: names of files from which an interrupted run goes on.
        task: what is done there; one process at a time may do it.

    Raises:
        InputError: the folder or the JSON cannot be written, holds results already, or another process writes there.
    """
    if overwrite and resume:
        raise InputError("--resume goes on from earlier results and --overwrite replaces them: give one of them.")
    folder = Path(folder)
    target = Path(json) if json else folder / f"{task}.json"
    if target.is_dir():
        raise InputError(f"--json {str(target)!r} is a folder: name a file.")
    existing = [p for p in (*(folder / name for name in results), target) if p.exists() and not _is_log(p)]
    unfinished = [p for p in (folder / name for name in state) if p.exists()]
    if (existing or unfinished) and not (overwrite or resume):
        first = (unfinished or existing)[0]
        what = "holds an unfinished run" if unfinished else "exists already"
        again = "Continue it with --resume, choose" if state else "Choose"
        raise InputError(f"{first} {what}. {again} another folder with --out, or replace it with --overwrite.")
    for place in dict.fromkeys((folder, target.parent)):
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            raise InputError(
                f"the output folder {str(place)!r} cannot be written: {error.strerror or error}. Choose another one with --out or --json."
            ) from None
    lock = hold(folder / f".{task}.lock", repr(str(folder)), "Wait for it, or choose another place with --out.")
    if overwrite:
        for path in unfinished:
            path.unlink()
    return Output(folder, target, lock)


def _is_log(path: Path) -> bool:
    """What is left alone by a run that was ended before it had any results."""
    return path.name == "log.txt" or path.suffix == ".log"


def move_json(files: list[Path], where: Output) -> list[Path]:
    """Bring the JSON among some files to the place that was asked for."""
    return [path.replace(where.json) if path.suffix == ".json" and path != where.json else path for path in files]
