"""What `dftopt macro` does."""

import inspect
import tomllib
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import dftopt
from dftopt import macro
from dftopt.calculator import log as logs
from dftopt.calculator import macro_pictures as pictures
from dftopt.calculator import report
from dftopt.calculator.setup import check_keys
from dftopt.cli import output, structures
from dftopt.cli.ground_state import set_up
from dftopt.cli.signals import Signals
from dftopt.errors import DFTOptWarning, InputError
from dftopt.macro import sampling
from dftopt.macro.closure import in_coordinates
from dftopt.macro.likelihood import standardized
from dftopt.macro.onsager import WITH_POTENTIAL
from dftopt.macro.simulator import size_of

SIMULATORS = ("CurieWeiss", "Ising", "PredatorPrey", "Polymer", "SIRLattice")
TABLES = ("simulator", "sample", "trajectories")
FIT_KEYS = tuple(
    name for name in inspect.signature(macro.fit).parameters if name not in ("data", "progress", "checkpoint", "stop")
)
SAMPLE_KEYS = tuple(
    name for name in inspect.signature(sampling.sample).parameters if name not in ("sim", "start", "snapshots")
)
PICTURES = ("drift.png", "landscape.png", "trajectories.png", "calibration.png")
COMPARED = 200  # trajectories


def main(options) -> int:
    """Read, check, sample, fit, report.

    Returns:
        The exit status.
    """
    path = structures.check_file(options.file)
    given = read(path, options)
    sim, sampled, recorded = source(given, path.parent)
    settings = {k: v for k, v in given.items() if k not in TABLES}
    text = plan(sim, sampled, recorded, settings)
    if options.dry_run:
        print(text)
        return 0
    where = output.prepare(
        Path(options.out or Path("out") / path.stem), options.json, ("macro.json", "macro.fit", *PICTURES), options.overwrite,
        options.resume, ("macro.state",), "macro",
    )  # fmt: skip
    set_up()
    with (
        where.file("macro.log").open("a" if options.resume else "w", encoding="utf-8") as file,
        Signals(options.walltime, options.begun) as signals,
        warnings.catch_warnings(),
    ):
        log = logs.Log("-", file)
        warnings.simplefilter("always", DFTOptWarning)
        warnings.showwarning = lambda message, *_, **__: log(f"warning: {message}")
        log(text)
        seed = settings.get("seed", 0)
        if recorded is None:
            data = macro.sample(sim, **{"seed": seed, **sampled}, snapshots=bool(settings.get("closure", 0)))
        else:
            data = recorded
        log(
            f"data            {len(data)} increments from {len(data.states)} snapshots, K = {data.factor[0]:g}, dt = {data.dt[0]:g}"
        )
        log("epoch     held-out loss")
        fit = macro.fit(
            data, **settings, checkpoint=where.file("macro.state"), stop=signals.stop,
            progress=lambda epoch, epochs, value: None if epoch % 50 else log(f"{epoch:5d}     {value:.5f}"),
        )  # fmt: skip
        if fit.status == "interrupted":
            log(
                f"\nstopped by {signals.received}; the state of training is kept: the same command with --resume goes on"
            )
            return 1
        fit.save(where.file("macro.fit"))
        files = [where.file("macro.fit"), *conclude(log, where, given, sim, data, fit, path.stem)]
        log("\nwritten         " + "\n                ".join(map(str, files)))
        log(f"\n{verdict(fit)}")
    return 0 if fit.status == "converged" else 1


def read(path: Path, options) -> dict[str, Any]:
    """The input file with the flags in place.

    Raises:
        InputError: not TOML, unknown keys, or no source of data.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} is not valid TOML: {error}.") from None
    check_keys(given, (*FIT_KEYS, *TABLES), f" in {path.name}")
    for table in TABLES:
        if table in given and not isinstance(given[table], dict):
            raise InputError(
                f"{table} = {given[table]!r} has to be a table, written as [{table}] on a line of its own."
            )
    if ("simulator" in given) == ("trajectories" in given):
        raise InputError(f"{path.name} needs either a [simulator] table or a [trajectories] table.")
    if "sample" in given and "trajectories" in given:
        raise InputError("[sample] belongs to a [simulator]; recorded trajectories are taken as they are.")
    return given | {
        k: v for k in ("form", "closure", "members", "epochs", "seed") if (v := getattr(options, k)) is not None
    }


def source(given, folder: Path):
    """Simulator and arguments of `macro.sample`, or recorded data.

    Raises:
        InputError: an unknown simulator or argument, or a file that holds no trajectories.
    """
    if "trajectories" in given:
        table = given["trajectories"]
        check_keys(table, ("file", "lag", "names"), " in [trajectories]")
        file = structures.check_file(folder / str(table.get("file", "")))
        try:
            with np.load(file, allow_pickle=False) as arrays:
                z, times = arrays["z"], arrays["times"]
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{file.name} must be an .npz file with arrays z and times ({error}).") from None
        return None, {}, macro.from_trajectories(z, times, lag=table.get("lag", 1), names=table.get("names", ()))
    table = dict(given["simulator"])
    name = table.pop("name", None)
    if name not in SIMULATORS:
        raise InputError(f"name = {name!r} in [simulator] is unknown; valid: {', '.join(SIMULATORS)}.")
    kind = getattr(macro, name)
    check_keys(table, tuple(inspect.signature(kind).parameters), " in [simulator]")
    sampled = given.get("sample", {})
    check_keys(sampled, SAMPLE_KEYS, " in [sample]")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}), sampled, None


def plan(sim, sampled, recorded, settings) -> str:
    """What will be done."""
    first = (
        f"data            {len(recorded)} increments of recorded trajectories"
        if recorded is not None
        else f"simulator       {sim}, {size_of(sim)} sites\ntime unit       {sim.time_unit}\n"
        f"sample          {', '.join(f'{k} = {v}' for k, v in sampled.items()) or 'defaults'}"
    )
    return f"{first}\nfit             {', '.join(f'{k} = {v}' for k, v in settings.items()) or 'defaults'}"


def conclude(log, where, given, sim, data, fit, title: str) -> list[Path]:
    """Points, barriers and comparisons, to the log, the JSON and pictures.

    Returns:
        The files written.
    """
    data = data if fit.closure is None else in_coordinates(fit.closure, data)
    log(
        f"\nfit             {fit.status} after {len(fit.history)} epochs and {fit.seconds:.0f} s; held-out loss {fit.held_out.mean():.5f}"
    )
    log(f"determined      {fit.identifiable}")
    found: dict[str, Any] = {"points": [], "barriers": []}
    points, paths = [], []
    files = pictures.drift_field(where.file("drift.png"), fit, mean_field=_mean_field(sim, fit), title=title)
    if fit.model.form in WITH_POTENTIAL:
        points, paths = fit.stationary_points(), fit.barriers()
        for p in points:
            kind = (
                {0: "minimum", 1: "saddle"}.get(p.index, f"index {p.index}")
                if p.index < fit.dimension or p.index == 0
                else "maximum"
            )
            log(
                f"{kind:15s} V = {p.value:9.4f} at {_row(p.z)} +- {_row(p.z_spread)}; {100 * p.found_by:.0f} % of the members"
            )
        for b in paths:
            log(
                f"barrier         {b.height:9.4f} +- {b.height_spread:.4f} from {_row(b.start.z)}; back {b.saddle.value - b.end.value:.4f}"
            )
        found["points"] = [
            {"z": p.z, "V": p.value, "index": p.index, "z_spread": p.z_spread, "found_by": p.found_by} for p in points
        ]
        found["barriers"] = [
            {
                "height": b.height,
                "height_spread": b.height_spread,
                "start": b.start.z,
                "saddle": b.saddle.z,
                "end": b.end.z,
            }
            for b in paths
        ]
        files += pictures.landscape(where.file("landscape.png"), fit, None, points, paths, title)
    times, true = _whole(data)
    if len(times) > 1:
        start = true[np.arange(max(COMPARED, len(true))) % len(true), 0]
        learned = fit.simulate(start, times - times[0], len(start), given.get("seed", 0))
        files += pictures.against_data(
            where.file("trajectories.png"), times, true, learned, fit.names, data.time_unit, title
        )
        away = abs(learned.mean(0) - true.mean(0)).max(0) / fit.scales.spread
        log(
            "mean trajectory " + ", ".join(f"{n}: within {a:.3f} spreads" for n, a in zip(fit.names, away, strict=True))
        )
        found["mean_trajectory_error"] = dict(zip(fit.names, away, strict=True))
    files += pictures.calibration(where.file("calibration.png"), standardized(fit, data), title)
    report.write_json(
        where.json,
        {
            "converged": fit.status == "converged", "status": fit.status, "verdict": verdict(fit), "form": fit.model.form,
            "identifiable": fit.identifiable, "names": fit.names,
            "parameters": fit.parameter_names, "held_out_loss": fit.held_out, "seconds": fit.seconds,
            **found, "input": given, "version": dftopt.__version__,
        },
    )  # fmt: skip
    return [where.json, *files]


def verdict(fit) -> str:
    """The result of training in one sentence."""
    if fit.status == "converged":
        return "Training converged: the held-out likelihood no longer grows."
    return (
        f"Training did not converge ({fit.status}): drift and diffusion may change with more epochs or a smaller rate."
    )


def _mean_field(sim, fit):
    """The equation to compare with: mean field, where the simulator has one of these coordinates."""
    if fit.closure is not None or not hasattr(sim, "mean_field"):
        return None
    try:
        sim.mean_field(np.atleast_2d(fit.states[0]))
    except InputError:
        return None
    return sim.mean_field


def _whole(data):
    """Times and (N, T, d) states of the trajectories that have the same times."""
    ids, counts = np.unique(data.trajectory, return_counts=True)
    same = [data.states[data.trajectory == i] for i in ids[counts == counts.max()]]
    return data.time[data.trajectory == ids[counts.argmax()]], np.stack(same)


def _row(z) -> str:
    return "(" + ", ".join(f"{x:.4g}" for x in np.atleast_1d(z)) + ")"
