"""What commands of many calculations share: a folder, a log, a journal of what is finished, and how they end."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dftopt.calculator import log as logs
from dftopt.calculator.journal import Journal
from dftopt.calculator.series import Series, Stopped
from dftopt.cli import output
from dftopt.cli.ground_state import set_up
from dftopt.cli.inputs import Input
from dftopt.cli.signals import Signals
from dftopt.errors import DFTOptWarning, NotConverged


@dataclass(frozen=True)
class Work:
    """A command at work: where its results go, its log, its series of calculations, and what asks it to stop."""

    where: output.Output
    log: logs.Log
    series: Series
    journal: Journal
    signals: Signals


@contextmanager
def work(
    options,
    given: Input,
    task: str,
    results: tuple[str, ...],
    settings: Mapping[str, Any] | None = None,
    folder: Path | None = None,
) -> Iterator[Work]:
    """Prepare the folder, the log and the journal of a command; an interruption becomes exit status 1 with advice.

    Args:
        options: its flags.
        given: its input.
        task: its name, which is that of its files too.
        results: names of the files that it writes, beside TASK.json, TASK.log, TASK.journal and TASK.h5.
        settings: what all calculations have in common beside the keywords.
        folder: of the results; default `--out`, else out/NAME.

    Raises:
        InputError: the folder cannot be written, or its journal is of another calculation.
        NotConverged: it was interrupted.
    """
    names, state = (f"{task}.json", f"{task}.log", *results), (f"{task}.journal", f"{task}.h5")
    place = folder or Path(options.out or Path("out") / given.name)
    where = output.prepare(place, options.json, names, options.overwrite, options.resume, state, task)
    common = {"task": task, "parameters": dict(given.parameters), **(settings or {})}
    journal = Journal(where.file(f"{task}.journal"), common)
    set_up()
    with (
        where.file(f"{task}.log").open("a" if options.resume else "w", encoding="utf-8") as file,
        Signals(options.walltime, options.begun) as signals,
        warnings.catch_warnings(),
    ):
        log = logs.Log("-" if given.parameters.get("txt", "-") == "-" else None, file)
        warnings.simplefilter("always", DFTOptWarning)
        warnings.showwarning = lambda message, *_, **__: log(f"warning: {message}")  # in the log, where it belongs
        series = Series(given.parameters, journal, signals.stop, where.file(f"{task}.h5"))
        if len(journal):
            log(f"{len(journal)} finished calculations found in {journal.path}\n")
        try:
            yield Work(where, log, series, journal, signals)
        except Stopped:
            log(f"\nstopped by {signals.received}; {len(journal)} finished calculations are kept in {journal.path}")
            raise NotConverged(
                f"stopped by {signals.received} before the end. {len(journal)} finished calculations are kept: the same command with "
                "--resume goes on."
            ) from None
