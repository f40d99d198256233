"""Molecules in Gaussians for the calculator: from its keywords to a calculation, and what its log says."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import Debye

from dftopt import __version__
from dftopt.bases.gaussians import Gaussians
from dftopt.calculator import setup
from dftopt.calculator.keywords import same
from dftopt.energy.model import Model
from dftopt.errors import DFTOptWarning, InputError
from dftopt.minimization.molecular_options import check as check_options
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV

BASIS = "def2-svp"
PLANE_WAVES_ONLY = (
    "ecut",
    "kpts",
    "weights",
    "coulomb",
    "dipole_correction",
    "symmetry",
    "fft",
    "starts",
    "kpoints_at_once",
    "pseudopotentials",
)


def build(atoms: Atoms, parameters: Mapping[str, Any]) -> setup.Setup:
    """Model, basis and options of `minimize` for mode = "gaussian", see `setup.build`.

    Occupations are fixed (T = 0) and spin is on where moments are given or the number of electrons is odd, unless
    keywords say otherwise.

    Raises:
        InputError: anything wrong, or a keyword that means nothing without plane waves.
    """
    p = {**setup.DEFAULTS, **parameters}
    notes: list[str] = []
    for key in PLANE_WAVES_ONLY:
        if key in parameters and not same(parameters[key], setup.DEFAULTS[key]):
            raise InputError(
                f"{key} = {parameters[key]!r} is for plane waves; mode = 'gaussian' has basis and grid. Leave it out."
            )
    p["basis"] = p["basis"] if p["basis"] is not None else BASIS
    if parameters.get("basis") is None:
        notes.append(f"basis {BASIS}: check its convergence with a larger one, such as def2-tzvp")
    model = _model(atoms, p, notes)
    basis = Gaussians(model, basis=p["basis"], grid=p["grid"], density_fit=p["density_fit"])
    temperature, smearing = 0.0, "fermi-dirac"
    if "occupations" in parameters:
        temperature, smearing = setup._occupations(p["occupations"], [])
    else:
        p["occupations"] = {"name": "fixed"}
        notes.append("fixed occupations (T = 0)")
    options = setup.minimization_options(p, temperature, smearing)
    check_options(model, basis, orthonormalization="cholesky", starts=None, checkpoint=None, **options)
    p["spinpol"], p["xc"], p["density_fit"] = model.spinpol, model.functional.name, basis.density_fit
    return setup.Setup(model, basis, options, notes, p)  # type: ignore[arg-type]


def _model(atoms, p, notes: list[str]) -> Model:
    """The model; spin is on where asked for, where there are moments, and where the number of electrons is odd."""
    wanted, given = p["spinpol"], {k: p[k] for k in ("xc", "charge", "dispersion", "force")}
    if wanted is None and isinstance(atoms, Atoms):
        odd = (atoms.numbers.sum() - p["charge"]) % 2 == 1 if isinstance(p["charge"], (int, float)) else False
        if odd:
            notes.append("spinpol = true: the number of electrons is odd")
        wanted = bool(odd or np.any(atoms.get_initial_magnetic_moments() != 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DFTOptWarning)  # about potentials, which are not used
        return Model(atoms, spinpol=bool(wanted), **given)


def header(ready: setup.Setup) -> str:
    """Everything known before the start."""
    model, basis, o = ready.model, ready.basis, ready.minimize_options
    assert isinstance(basis, Gaussians)
    atoms = model.atoms
    moments = atoms.get_initial_magnetic_moments()
    charge = f", charge {model.charge:+g}" if model.charge else ""
    lines = [f"dftopt {__version__}", "", f"molecule        {atoms.get_chemical_formula()}, {len(atoms)} atoms{charge}"]
    lines.append(
        "  atom              x           y           z (angstrom)" + "   starting moment (mu_B)" * model.spinpol
    )
    for i, (symbol, position) in enumerate(zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)):
        row = f"  {i:4d} {symbol:2s}   " + " ".join(f"{x:11.6f}" for x in position)
        lines.append(row + f"{moments[i]:16.2f}" * model.spinpol)
    width = o["temperature"]
    lines += ["", f"functional      {model.functional.name}", f"basis           {basis.name}: {basis.notes[0]}"]
    lines += [f"                {note}" for note in basis.notes[1:]]
    lines += [
        f"quadrature      level {basis.level}: {len(basis.points.weights)} points",
        "occupations     " + (f"{o['smearing']}, width {width * HARTREE_IN_EV:g} eV" if width else "fixed (T = 0)"),
        f"minimizer       {o['minimizer']}, to {o['tol'] * HARTREE_IN_EV:.1e} eV = {o['tol']:.1e} Ha per atom",
        "",
        *(f"chosen: {note}" for note in ready.notes),
    ]
    return "\n".join(lines)


def levels(result) -> list[str]:
    """Frontier levels, spin, dipole and charges, for the log."""
    show = lambda x: f"{x:.6f} Ha = {x * HARTREE_IN_EV:.4f} eV"
    lines = []
    e, f = result.eigenvalues[:, 0], result.occupations[:, 0]
    if result.options.temperature == 0:
        homo, lumo = e[f > 0.5].max(initial=-np.inf), e[f < 0.5].min(initial=np.inf)
        lines += [
            f"highest filled  {show(homo)}",
            f"lowest empty    {show(lumo)}",
            f"gap             {show(lumo - homo)}",
        ]
    else:
        lines += [f"Fermi level     {show(x)}" for x in result.fermi_levels]
    if result.model.nspin == 2:
        lines.append(f"magnetization   {result.magnetization:.6f} bohr magnetons, <S^2> = {result.spin_squared:.6f}")
    dipole = result.dipole() * BOHR_IN_ANGSTROM / Debye
    lines.append("dipole (debye)  " + " ".join(f"{x + 0.0:10.5f}" for x in np.round(dipole, 9)))
    lines.append("charges         Mulliken, Loewdin" + ", moment" * (result.model.nspin == 2))
    columns = [result.charges("mulliken"), result.charges("loewdin")]
    if result.model.nspin == 2:
        columns.append(result.moments("loewdin"))
    for i, symbol in enumerate(result.model.atoms.get_chemical_symbols()):
        lines.append(f"  {i:4d} {symbol:2s}   " + " ".join(f"{c[i] + 0.0:10.5f}" for c in columns))
    return lines
