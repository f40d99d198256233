"""What `dftopt fields` does."""

from pathlib import Path

import numpy as np

import dftopt
from dftopt.calculator import plots_fields, report
from dftopt.cli import ground_state, output
from dftopt.cli.fields import DENSITIES, POTENTIALS
from dftopt.cli.inputs import RESULTS
from dftopt.cli.structures import check_file
from dftopt.errors import InputError
from dftopt.properties import planar, slices, volumetric
from dftopt.properties.volumetric_files import write_fermi_surface, write_field
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV

SPINS = ("up", "down")


def main(options) -> int:
    """Check, load, write; the exit status."""
    path = Path(options.file)
    if path.suffix.lower() not in RESULTS:
        raise InputError(
            f"{path.name} is not a saved result: run it first (dftopt run {path.name}), then give its result.h5."
        )
    other = options.orbital or options.work_function or options.fermi_surface or options.charges
    names = options.names or ([] if other else ["density"])
    unknown = [n for n in names if n not in DENSITIES + POTENTIALS]
    if unknown:
        raise InputError(f"there is no field {unknown[0]!r}: there are {', '.join(DENSITIES + POTENTIALS)}.")
    if options.plane and len(options.plane) != 3:
        raise InputError(
            f"--plane {' '.join(map(str, options.plane))}: give three atoms, or none for the plane of the bonds."
        )
    result = dftopt.load(check_file(path))
    result.require_converged("Fields")
    orbitals = [(band, options.k) for band in options.orbital or []]
    for band, k in orbitals:
        _check_orbital(result, band, k)
    files = _names(result, names, orbitals, options)
    where = output.prepare(options.out or path.parent, options.json, files, options.overwrite, task="fields")
    ground_state.set_up()
    data: dict = {"input": str(path), "version": dftopt.__version__}
    written: list[Path] = []
    for name in names:
        written += _field(result, name, where, options)
    for band, k in orbitals:
        written += _orbital(result, band, k, where, options)
    if options.work_function:
        written += _work_function(result, where, options, data)
    if options.fermi_surface:
        written += _fermi_surface(result, where, options)
    if options.charges:
        _charges(result, data)
    report.write_json(where.json, {**data, "files": [p.name for p in written]})
    for file in [*written, where.json]:
        print(file)
    return 0


def _names(result, names, orbitals, options) -> tuple[str, ...]:
    """Files that will be written, to refuse replacing any before the work starts."""
    stems = [stem for name in names for stem in _stems(result, name)]
    stems += [_orbital_stem(result, band, k, spin) for band, k in orbitals for spin in range(result.model.nspin)]
    files = [f"{stem}.{options.format}" for stem in stems]
    if options.plane is not None:
        files += [f"{stem}.png" for stem in stems]
    if options.work_function:
        files.append("potential.png")
    if options.fermi_surface:
        files += [_surface_name(result, spin) for spin in range(result.model.nspin)]
    return tuple(files)


def _stems(result, name: str) -> list[str]:
    """One name, or one for each spin of a potential that has two."""
    if name in ("kohn-sham", "xc") and result.model.nspin == 2:
        return [f"{name}-{spin}" for spin in SPINS]
    return [name]


def _field(result, name: str, where, options) -> list[Path]:
    if name in DENSITIES:
        values = volumetric.density(result, "total" if name == "density" else name)[None]
        quantity = plots_fields.SPIN_DENSITY if name == "spin" else plots_fields.DENSITY
        unit = "electrons / bohr^3"
    else:
        values = volumetric.potential(result, name)
        values = values if values.ndim == 4 else values[None]
        quantity, unit = plots_fields.POTENTIAL, "hartree"
    written = []
    for stem, field in zip(_stems(result, name), values, strict=True):
        written += _one(result, stem, field, f"{stem}, {unit}", quantity, where, options)
    return written


def _one(result, stem: str, field, title: str, quantity, where, options) -> list[Path]:
    atoms = result.model.atoms
    written = [write_field(where.file(f"{stem}.{options.format}"), atoms, field, title)]
    if options.plane is not None:
        through = options.plane or None
        size = None if options.size is None else options.size / BOHR_IN_ANGSTROM
        section = slices.cut(result.model.structure, field, through, size)
        formula = atoms.get_chemical_formula(empirical=True)
        written += plots_fields.plane(where.file(f"{stem}.png"), section, quantity, f"{formula}, {stem}")
    return written


def _check_orbital(result, band: int, k: int) -> None:
    _, nk, nb = result.eigenvalues.shape
    if not 0 <= band < nb:
        raise InputError(f"--orbital {band}: the result has the bands 0 to {nb - 1}.")
    if not 0 <= k < nk:
        raise InputError(f"--k {k}: the result has the k points 0 to {nk - 1}.")


def _orbital_stem(result, band: int, k: int, spin: int) -> str:
    return f"orbital-k{k}-band{band}" + (f"-{SPINS[spin]}" if result.model.nspin == 2 else "")


def _orbital(result, band: int, k: int, where, options) -> list[Path]:
    written = []
    for spin in range(result.model.nspin):
        psi = volumetric.orbital(result, band, k, spin)
        stem = _orbital_stem(result, band, k, spin)
        level = result.eigenvalues[spin, k, band] * HARTREE_IN_EV
        title = f"{stem} at {level:.4f} eV, "
        if options.part == "real":
            written += _one(result, stem, psi.real, title + "bohr^-3/2", plots_fields.ORBITAL, where, options)
        else:
            square = np.abs(psi) ** 2
            written += _one(result, stem, square, title + "bohr^-3", plots_fields.DENSITY, where, options)
    return written


def _work_function(result, where, options, data: dict) -> list[Path]:
    average, levels = planar.planar_average(result), planar.work_function(result)
    s = result.model.structure
    window = planar.layer_distance(s, average) if options.window is None else options.window / BOHR_IN_ANGSTROM
    title = result.model.atoms.get_chemical_formula(empirical=True)
    written = plots_fields.potential_of_slab(where.file("potential.png"), average, s, levels, window, title)
    data["work_function"] = report.plain(plots_fields.numbers(levels))
    for name, side in (("above", levels.above), ("below", levels.below)):
        print(
            f"work function {name} the slab {side.work_function * HARTREE_IN_EV:.4f} eV "
            f"(vacuum level {side.level * HARTREE_IN_EV:.4f}, slope {side.slope * HARTREE_IN_EV / BOHR_IN_ANGSTROM:.1e} eV/angstrom)"
        )
    return written


def _surface_name(result, spin: int) -> str:
    return "fermi-surface.bxsf" if result.model.nspin == 1 else f"fermi-surface-{SPINS[spin]}.bxsf"


def _fermi_surface(result, where, options) -> list[Path]:
    surface = dftopt.fermi_surface(result, options.kpts)
    spins = range(result.model.nspin)
    return [write_fermi_surface(where.file(_surface_name(result, spin)), surface, spin) for spin in spins]


def _charges(result, data: dict) -> None:
    found = dftopt.loewdin_charges(result)
    data["loewdin"] = {
        "populations": found.populations,
        "charges": found.charges,
        "moments": found.moments,
        "spilling": found.spilling,
    }
    polarized = result.model.nspin == 2
    print("atom         electrons       s       p       d       f    charge" + ("    moment" if polarized else ""))
    for i, symbol in enumerate(result.model.structure.symbols):
        shells = "".join(f"{x:8.4f}" for x in found.populations[:, i].sum(axis=0))
        moment = f"  {found.moments[i]:8.4f}" if polarized else ""
        print(f"{i:4d} {symbol:2s}        {found.electrons[i]:8.4f}{shells}  {found.charges[i]:8.4f}{moment}")
    print(f"spilling {found.spilling:.4f}: part of the electrons that is on no atom\n")
