"""What `dftopt alloy FILE` does."""

import inspect
import tomllib
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import dftopt
from dftopt import alloy
from dftopt.alloy.equilibrium import check_temperatures, counts_of
from dftopt.alloy.kinetics import check_barriers, check_large
from dftopt.calculator import alloy_pictures as pictures
from dftopt.calculator import report
from dftopt.calculator.setup import check_keys
from dftopt.cli import alloy_ordering, output, structures
from dftopt.cli.ground_state import set_up
from dftopt.errors import DFTOptWarning, InputError

TABLES = ("energies", "expansion", "equilibrium", "kinetics", "ordering")
EXPANSION = ("parent", "cutoffs", "species", "method", "folds", "seed", "allow_undetermined")
GIVEN = (
    "ce",
    "temperature",
    "supercell",
    "start",
    "ensemble",
    "chemical_potentials",
    "tempering",
    "times",
    "vacancies",
)
EQUILIBRIUM = ("temperatures", *(k for k in inspect.signature(alloy.monte_carlo).parameters if k not in GIVEN))
KINETICS = ("temperatures", *(k for k in inspect.signature(alloy.vacancy_kmc).parameters if k not in GIVEN))
PICTURES = ("hull.png", "cross_validation.png", "order.png", "diffusion.png")


def main(options) -> int:
    """Read, check, fit, simulate, report.

    Returns:
        The exit status.
    """
    path = structures.check_file(options.file)
    if options.resume:
        raise InputError("--resume is for campaigns; this takes minutes and starts anew with --overwrite.")
    given = read(path, TABLES, ("energies", "expansion"))
    atoms, energies = training(given["energies"], path.parent)
    check_keys(given["expansion"], EXPANSION, " in [expansion]")
    settings = dict(given["expansion"])
    parent = lattice(settings.pop("parent", None), path.parent)
    if "cutoffs" not in settings:
        raise InputError("[expansion] needs cutoffs: largest diameters of pairs, triplets, ..., angstrom.")
    files = ("expansion.json", "ordering.npz", *PICTURES, *alloy_ordering.PICTURES)
    where = output.prepare(
        Path(options.out or Path("out") / path.stem), options.json, files, options.overwrite,
        False, (), "alloy",
    )  # fmt: skip
    set_up()
    with where.file("alloy.log").open("w", encoding="utf-8") as file:

        def log(text: str) -> None:
            print(text, flush=True)
            print(text, file=file, flush=True)

        ce = told(log, lambda: alloy.ClusterExpansion.fit(atoms, energies, parent, **settings))
        pure = pure_energies(ce, given["energies"])
        for table, keys in (("equilibrium", EQUILIBRIUM), ("kinetics", KINETICS)):
            check_simulation(ce, table, given.get(table), keys)  # before the first minute is spent
        if "ordering" in given:
            check_keys(given["ordering"], alloy_ordering.KEYS, " in [ordering]")
            alloy_ordering.simulators(ce, given["ordering"])
        data: dict[str, Any] = {
            "version": dftopt.__version__,
            "input": given,
            "expansion": expansion(log, ce, pure, where),
        }
        if "equilibrium" in given:
            data["equilibrium"] = equilibrium(log, ce, dict(given["equilibrium"]), where)
        if "kinetics" in given:
            data["kinetics"] = kinetics(log, ce, dict(given["kinetics"]), where)
        if "ordering" in given:
            data["ordering"] = told(log, lambda: alloy_ordering.run(log, ce, dict(given["ordering"]), where))
        report.write_json(where.json, report.plain(data))
        log(f"\nwritten         {where.folder}")
    return 0


def read(path: Path, tables, needed) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        InputError: no TOML, unknown or missing tables.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} is not valid TOML: {error}.") from None
    check_keys(data, tables, f" in {path.name}")
    for name, content in data.items():
        if not isinstance(content, dict):
            raise InputError(f"{name} = {content!r} has to be a table, written as [{name}] on a line of its own.")
    for name in needed:
        if name not in data:
            raise InputError(f"{path.name} has no [{name}] table; dftopt alloy --help shows one.")
    return data


def lattice(table, folder: Path):
    """Atoms of the parent lattice."""
    if not isinstance(table, Mapping):
        raise InputError("parent is needed, such as parent = { bulk = 'Nb', crystalstructure = 'bcc', a = 3.3 }.")
    return structures.from_table(table, folder)[0]


def training(table: Mapping[str, Any], folder: Path):
    """Structures and energies of the [energies] table."""
    check_keys(table, ("file", "key", "select", "pure"), " in [energies]")
    if not isinstance(table.get("file"), str):
        raise InputError("[energies] needs file: structures in a format that ASE reads.")
    path = Path(folder / table["file"])
    key, select = table.get("key"), table.get("select", {})
    frames = structures.read_frames(path)
    if not isinstance(select, Mapping):
        raise InputError(f"select = {select!r} in [energies] must be entries, such as select = {{ pair = 'NbMo' }}.")
    frames = [a for a in frames if all(a.info.get(k) == v for k, v in select.items())]
    if not frames:
        raise InputError(f"{path.name} holds no structures with {dict(select)}.")
    energies = []
    for i, atoms in enumerate(frames):
        value = atoms.info.get(key) if key else atoms.calc.results.get("energy") if atoms.calc else None
        if not isinstance(value, (int, float, np.number)):
            entries = ", ".join(map(str, atoms.info)) or "none"
            raise InputError(
                f"Structure {i} of {path.name} has no {key or 'energy'}; give key in [energies]. Its entries are: {entries}."
            )
        energies.append(float(value))
    return frames, np.array(energies)


def pure_energies(ce, table) -> dict[str, float]:
    """Energies of pure elements that the [energies] table gives, eV per atom."""
    pure = table.get("pure", {})
    if not isinstance(pure, Mapping) or any(
        isinstance(v, bool) or not isinstance(v, (int, float)) for v in pure.values()
    ):
        raise InputError(
            f"pure = {pure!r} in [energies] must give eV per atom by symbol, such as {{ Nb = 0.0, Mo = 0.0 }}."
        )
    for symbol in pure:
        if symbol not in ce.species:
            raise InputError(f"pure in [energies]: {symbol!r} is not one of the species {', '.join(ce.species)}.")
    return {s: float(v) for s, v in pure.items()}


def told(log: Callable[[str], None], work: Callable[[], Any]) -> Any:
    """The result of some work, with its warnings in the log."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DFTOptWarning)
        out = work()
    for text in dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, DFTOptWarning)):
        log(f"note: {text}")
    return out


def check_simulation(ce, name: str, table, keys) -> None:
    """Refuse wrong settings of [equilibrium] or [kinetics] before anything runs."""
    if table is None:
        return
    check_keys(table, keys, f" in [{name}]")
    for key in ("composition", "temperatures"):
        if key not in table:
            raise InputError(f"[{name}] needs {key}.")
    T = check_temperatures(table["temperatures"])
    if len(set(T.tolist())) < len(T):
        raise InputError(f"temperatures = {T.tolist()} in [{name}]: each once.")
    cell = alloy.Supercell.of(ce.parent, table.get("size", (8, 8, 8)))
    counts_of(ce, cell, table["composition"], 1 if name == "kinetics" else 0)
    if name == "kinetics":
        check_barriers(ce, table.get("barriers"))
        check_large(ce, cell)


def expansion(log, ce, pure, where) -> dict[str, Any]:
    """Report the fit, its hull and its pictures."""
    ce.save(where.file("expansion.json"))
    moved = ce.training["largest_displacement"]
    shear = ce.training["strain"].max()
    log(f"\nstructures      {len(moved)}; largest displacement {moved.max():.3f} A, largest shear {shear:.3f}")
    log(
        f"coefficients    {len(ce.names)}, {ce.method}; rmse {1e3 * ce.rmse:.3f}, cross-validated {1e3 * ce.cv_rmse:.3f} meV/atom\n"
    )
    log("  coefficient                    meV/site   deviation")
    for name, value, deviation in zip(ce.names, ce.coefficients, ce.uncertainties, strict=True):
        mark = "  undetermined" if name in ce.undetermined else ""
        mark += next((f"  = {g[0]} in these cells" for g in ce.aliases if name in g[1:]), "")
        log(f"  {name:28s} {1e3 * value:10.3f} {1e3 * deviation:11.3f}{mark}")
    c, e = ce.training["composition"], ce.training["energy"]
    ends = [min(e[c[:, k] > 1 - 1e-9], default=p) for k, p in enumerate(ce.pure())]
    ends = [pure.get(s, p) for s, p in zip(ce.species, ends, strict=True)]
    found = alloy.hull(c, e, ends)
    log("\nground states among the structures (meV/atom):")
    rows = []
    for i in sorted(
        {(tuple(c[i]), round(found.formation[i], 7)): i for i in found.stable}.values(), key=lambda i: tuple(c[i])
    ):
        text = " ".join(f"{s}{x:.4g}" for s, x in zip(ce.species, c[i], strict=True) if x)
        log(f"  {text:28s} {1e3 * found.formation[i]:10.3f}")
        rows.append({"structure": int(i), "composition": c[i], "formation_energy_eV": found.formation[i]})
    pictures.cross_validation(where.file("cross_validation.png"), ce)
    pictures.hull(where.file("hull.png"), ce, found)
    return {
        "cv_rmse_eV_per_atom": ce.cv_rmse, "rmse_eV_per_atom": ce.rmse, "aliases": ce.aliases,
        "undetermined": ce.undetermined, "ground_states": rows,
    }  # fmt: skip


def equilibrium(log, ce, table, where) -> dict[str, Any]:
    """Monte Carlo at all temperatures."""
    T = check_temperatures(table.pop("temperatures"))
    table.setdefault("size", (8, 8, 8))
    got = told(log, lambda: alloy.monte_carlo(ce, temperature=T, tempering=len(T) > 1, **table))
    temperature, alpha, error = got.mean(got.sro)
    _, C, C_error = got.heat_capacity()
    _, energy, energy_error = got.mean(got.energy)
    pairs = [(i, j) for i in range(len(ce.species)) for j in range(i + 1, len(ce.species))]
    log(f"\nequilibrium of {len(got.supercell)} sites (order: Warren-Cowley, first shell)\n")
    log("  T (K)   energy (meV/site)    C (k_B)   " + " ".join(f"{ce.species[i]}-{ce.species[j]:9s}" for i, j in pairs))
    for k, t in enumerate(temperature):
        numbers = " ".join(f"{alpha[k, 0, i, j]:11.4f}" for i, j in pairs)
        log(f"  {t:6.0f} {1e3 * energy[k]:12.3f} {1e3 * energy_error[k]:6.3f} {C[k]:8.3f} {C_error[k]:6.3f} {numbers}")
    data = {
        "temperature_K": temperature, "energy_eV": energy, "energy_error_eV": energy_error, "heat_capacity_kB": C,
        "heat_capacity_error_kB": C_error, "sro": alpha, "sro_error": error, "exchanged": got.exchanged,
    }  # fmt: skip
    try:
        data["transition_K"] = alloy.transition(got)
        log("\nlargest heat capacity at {:.0f} +- {:.0f} K".format(*data["transition_K"]))
    except InputError as reason:
        log(f"\nno transition temperature: {reason}")
    pictures.order(where.file("order.png"), ce.species, temperature, alpha[:, 0], error[:, 0], C, C_error)
    return data


def kinetics(log, ce, table, where) -> dict[str, Any]:
    """Vacancy kinetics at all temperatures."""
    T = check_temperatures(table.pop("temperatures"))
    table.setdefault("size", (8, 8, 8))
    rows = []
    log("\nvacancy kinetics: tracer diffusion (m^2/s) and correlation factors\n")
    log("  T (K)  " + " ".join(f"{'D ' + s:>20s} {'f ' + s:>8s}" for s in ce.species))
    for t in T:
        got = told(log, partial(alloy.vacancy_kmc, ce, temperature=float(t), **table))
        (D, D_error), (f, f_error) = got.tracer_diffusion(), got.correlation_factors()
        log(f"  {t:6.0f} " + " ".join(f"{d:11.3e} {e:8.1e} {x:8.3f}" for d, e, x in zip(D, D_error, f, strict=True)))
        alpha = got.sro.mean(0)
        rows.append({
            "temperature_K": float(t), "D_m2_per_s": D, "D_error": D_error, "correlation_factor": f,
            "correlation_factor_error": f_error, "sro": alpha, "jumps": got.jumps, "time_scale": got.time_scale,
        })  # fmt: skip
    D, error = (np.array([r[k] for r in rows]) for k in ("D_m2_per_s", "D_error"))
    pictures.diffusion(where.file("diffusion.png"), ce.species, T, D, error)
    return {"temperatures": rows}
