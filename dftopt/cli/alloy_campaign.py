"""What `dftopt alloy campaign FILE` does."""

from pathlib import Path

import dftopt
from dftopt import alloy
from dftopt.alloy import campaign
from dftopt.calculator import alloy_pictures as pictures
from dftopt.calculator import report
from dftopt.calculator.setup import KEYS, check_keys
from dftopt.cli import inputs, output, structures
from dftopt.cli.alloy_work import lattice, read
from dftopt.cli.ground_state import set_up
from dftopt.cli.signals import Signals
from dftopt.errors import InputError

SETTINGS = (
    "species",
    "cutoffs",
    "parent",
    "atoms",
    "wanted",
    "calculations",
    "batch",
    "database",
    "method",
    "seed",
    "retry",
    "composition",
    "dask",
)
RESULTS = ("expansion.json", "campaign.db", "hull.png", "cross_validation.png")


def main(options) -> int:
    """Run or continue a campaign.

    Returns:
        0 where the wanted uncertainty is reached, else 1.
    """
    path = structures.check_file(options.file)
    given = read(path, ("campaign", "calculator"), ("campaign",))
    settings = dict(given["campaign"])
    check_keys(settings, SETTINGS, " in [campaign]")
    for name in ("species", "cutoffs"):
        if name not in settings:
            raise InputError(f"[campaign] needs {name}.")
    parent = lattice(settings.pop("parent", None), path.parent)
    keywords = dict(given.get("calculator", {}))
    check_keys(keywords, KEYS, " in [calculator]")
    keywords = inputs._energies(keywords)
    settings["wanted"] = _milli(settings.pop("wanted", 5.0))
    bounds = settings.pop("composition", None)
    if bounds is not None:
        settings["composition"] = _bounds(bounds, settings["species"])
    where = output.prepare(
        Path(options.out or Path("out") / path.stem), options.json, RESULTS, options.overwrite, options.resume,
        ("campaign.db",), "campaign",
    )  # fmt: skip
    if options.overwrite and where.file("campaign.db").exists():
        where.file("campaign.db").unlink()
    database = str(settings.pop("database", where.file("campaign.db")))
    client = workers(settings.pop("dask", None))
    set_up()
    with where.file("campaign.log").open("a", encoding="utf-8") as file, Signals(None, options.begun) as signals:

        def log(text: str) -> None:
            print(text, flush=True)
            print(text, file=file, flush=True)

        got = campaign.run(
            parent, settings.pop("species"), settings.pop("cutoffs"), _energy_of(keywords), database, log=log,
            stop=signals.stop, executor=client, **settings,
        )  # fmt: skip
        if client is not None:
            client.close()
        failed = [r for r in got.rows if r["status"] == "failed"]
        log(
            f"\n{len(got.rows) - len(failed)} structures computed, {len(failed)} failed; database {campaign.shown(database)}"
        )
        if got.expansion is not None:
            ce = got.expansion
            ce.save(where.file("expansion.json"))
            found = alloy.hull(ce.training["composition"], ce.training["energy"], _pure(ce))
            pictures.hull(where.file("hull.png"), ce, found)
            pictures.cross_validation(where.file("cross_validation.png"), ce)
        data = {
            "converged": got.certain, "uncertainty_eV_per_atom": got.uncertainty if got.expansion else None,
            "rounds": got.rounds, "structures": got.rows, "database": campaign.shown(database), "input": _without_password(given),
            "version": dftopt.__version__,
        }  # fmt: skip
        report.write_json(where.json, report.plain(data))
        log(f"written         {where.folder}" + ("" if got.certain else f"\n{advice(got)}"))
    return 0 if got.certain else 1


def advice(got: campaign.Outcome) -> str:
    """What to do where the wanted uncertainty is not reached."""
    if got.left:
        return "the wanted uncertainty is not reached yet: --resume goes on"
    return (
        "the wanted uncertainty is not reached, and no ordering is left: raise atoms for larger cells, change cutoffs (more "
        "interactions, if there are energies enough for them), or converge the energies (k points, cutoff) further"
        + ("; retry = true computes again what failed" if any(r["status"] == "failed" for r in got.rows) else "")
    )


def workers(dask):
    """A Dask client: of a scheduler's address, or of so many processes on this machine; None where none is asked for.

    Raises:
        InputError: Dask is not installed, the scheduler does not answer, or the setting is neither.
    """
    if dask is None:
        return None
    if (
        isinstance(dask, bool)
        or not isinstance(dask, (int, str))
        or dask in ("", 0)
        or isinstance(dask, int)
        and dask < 0
    ):
        raise InputError(
            f'dask = {dask!r} in [campaign] must be a number of processes, or an address: "tcp://host:8786".'
        )
    try:
        from dask.distributed import Client, LocalCluster
    except ModuleNotFoundError:
        raise InputError(f'dask = {dask!r} in [campaign] needs Dask: pip install "dask[distributed]".') from None
    if isinstance(dask, int):
        return Client(LocalCluster(n_workers=dask, threads_per_worker=1, dashboard_address=None))
    try:
        return Client(dask, timeout="10s")
    except (OSError, ValueError) as error:
        raise InputError(
            f"dask = {dask!r} in [campaign]: no scheduler answers there ({' '.join(str(error).split())}). Start one with dask "
            "scheduler, and workers with dask worker, or give a number of processes of this machine."
        ) from None


def _energy_of(keywords):
    """Energy of a cell with our calculator, eV; potentials of elements that a cell does not have are left out."""
    potentials = keywords.get("pseudopotentials")

    def compute(atoms) -> float:
        own = dict(keywords)
        if isinstance(potentials, dict):
            own["pseudopotentials"] = {s: p for s, p in potentials.items() if s in set(atoms.symbols)}
        atoms.calc = dftopt.DFTOpt(**{"txt": None, **own})
        return atoms.get_potential_energy()

    return compute


def _pure(ce):
    """Energies of the pure elements: computed where they are, else predicted."""
    c, e = ce.training["composition"], ce.training["energy"]
    return [min(e[c[:, k] > 1 - 1e-9], default=p) for k, p in enumerate(ce.pure())]


def _milli(value) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise InputError(f"wanted = {value!r} in [campaign] must be a positive number of meV/atom.")
    return 1e-3 * value


def _bounds(table, species):
    """Lowest and highest fraction of each species."""
    if not isinstance(table, dict) or any(s not in species for s in table):
        raise InputError(f"composition = {table!r} in [campaign] must give ranges, such as {{ Al = [0.5, 1.0] }}.")
    out = []
    for s in species:
        pair = table.get(s, [0.0, 1.0])
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(x, (int, float)) for x in pair):
            raise InputError(f"composition of {s} in [campaign]: {pair!r} must be a lowest and a highest fraction.")
        out.append(tuple(pair))
    return out


def _without_password(given: dict) -> dict:
    """The input as results keep it."""
    return {
        k: campaign.shown(str(v)) if k == "database" else _without_password(v) if isinstance(v, dict) else v
        for k, v in given.items()
    }
