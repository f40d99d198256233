"""The folder of results, checked before anything starts."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from dftopt.errors import InputError


@dataclass(frozen=True)
class Output:
    """Where results go: a folder, and the JSON file."""

    folder: Path
    json: Path

    def file(self, name: str) -> Path:
        """A file of the folder."""
        return self.folder / name


def prepare(folder, json, results: tuple[str, ...], overwrite: bool) -> Output:
    """Make sure that results can be written, and that none are lost.

    Args:
        folder: of the results; made where it is missing.
        json: of the JSON; default result.json in the folder.
        results: names of files that a run writes there.
        overwrite: replace existing results.

    Raises:
        InputError: the folder or the JSON cannot be written, or holds results already.
    """
    folder = Path(folder)
    target = Path(json) if json else folder / "result.json"
    existing = [p for p in (*(folder / name for name in results), target) if p.exists()]
    if existing and not overwrite:
        raise InputError(
            f"{existing[0]} exists already. Choose another folder with --out, or replace it with --overwrite."
        )
    for place in dict.fromkeys((folder, target.parent)):
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            raise InputError(
                f"the output folder {str(place)!r} cannot be written: {error.strerror or error}. Choose another one with --out or --json."
            ) from None
    if target.is_dir():
        raise InputError(f"--json {str(target)!r} is a folder: name a file.")
    return Output(folder, target)
