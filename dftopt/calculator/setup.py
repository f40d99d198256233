"""From calculator keywords (eV, angstrom) to a model, a basis and options of a minimization (hartree, bohr)."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms

from dftopt.atoms import checks, kpoints
from dftopt.atoms.cutoff import LEVELS, recommended_cutoff
from dftopt.atoms.vacuum import find_vacuum
from dftopt.bases.planewaves import PlaneWaves
from dftopt.calculator.keywords import same
from dftopt.energy.model import Model
from dftopt.errors import DFTOptWarning, InputError
from dftopt.minimization.forecast import refuse_too_large
from dftopt.minimization.options import check as check_options
from dftopt.minimization.smearing import SMEARINGS
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV

SPACING = 0.2  # 1/angstrom, with 2 pi in the reciprocal vectors
WIDTH = 0.1  # eV
TOO_LOW = 0.6  # of the low recommended cutoff, where a note is due
DEFAULTS: dict[str, Any] = {
    "mode": "pw",
    "basis": None,  # of mode "gaussian": a name, or one per element; None: def2-svp
    "grid": 3,  # of mode "gaussian": level of the quadrature grid
    "density_fit": None,  # of mode "gaussian"; None: where exact integrals do not fit into the memory
    "xc": None,  # what the files of the potentials name, else PBE
    "ecut": None,  # eV, or how good: "low", "normal", "high"; None: "normal"
    "kpts": {"spacing": SPACING},
    "weights": None,  # of explicit k points
    "occupations": {"name": "fermi-dirac", "width": WIDTH},
    "nbands": None,
    "spinpol": None,  # None: on when magnetic moments are given, or the number of electrons is odd
    "magnetization": None,  # bohr magnetons; None: free
    "starts": None,  # sets of starting moments to try
    "charge": 0,
    "coulomb": "periodic",
    "dipole_correction": False,
    "dispersion": None,
    "symmetry": True,
    "pseudopotentials": None,
    "fft": None,
    "minimizer": "auto",
    "parametrization": "auto",
    "kpoints_at_once": None,  # on the device; None: all
    "tol": 1e-9,  # eV per atom: forces to about 1e-4 eV/angstrom
    "maxiter": 300,
    "seed": 0,
    "force": False,
    "txt": "-",
}
KEYS = tuple(DEFAULTS)
KPTS_KEYS = ("size", "gamma", "shift", "density", "spacing", "even")
OCCUPATIONS = ("fixed", *SMEARINGS)


@dataclass(frozen=True, eq=False)
class Setup:
    """A calculation that is ready to start.

    Attributes:
        model, basis: what `dftopt.minimize` takes.
        minimize_options: its keyword arguments.
        notes: what was chosen by default, one sentence each, for the log.
        parameters: all calculator keywords with the chosen values (eV), which reproduce the calculation.
    """

    model: Model
    basis: PlaneWaves
    minimize_options: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)


def check_keys(parameters: Mapping[str, Any], valid=KEYS, where: str = "") -> None:
    """Refuse unknown keywords, naming the nearest valid one."""
    for key in parameters:
        if key not in valid:
            raise InputError(f"the key {key!r}{where} is unknown: {checks.nearest(str(key), valid)}")


def build(
    atoms: Atoms,
    parameters: Mapping[str, Any],
    like: Callable[[Any, float], Mapping[str, int] | None] | None = None,
    room: float = 0.0,
) -> Setup:
    """Model, basis and options of `minimize` from calculator keywords; every default that is used leaves a note.

    Args:
        atoms: the structure (angstrom).
        parameters: keywords among `KEYS`; energies in eV, `kpts` as three numbers (Gamma-centred), rows of fractional
            points with `weights`, {"size": ..., "gamma": ...}, {"density": points per 1/angstrom} or
            {"spacing": 1/angstrom}.
        like: array sizes to keep for a structure and cutoff (hartree), see `PlaneWaves`.
        room: fraction by which the cell may grow before array sizes change.

    Raises:
        InputError: anything wrong, before anything is allocated.
    """
    check_keys(parameters)
    if same(parameters.get("mode"), "gaussian"):
        from dftopt.calculator import molecules  # which builds on this module

        return molecules.build(atoms, parameters)
    p = {**DEFAULTS, **parameters}
    notes: list[str] = []
    _refuse_unavailable(p)
    model = _model(atoms, p, notes)
    p["spinpol"] = model.spinpol
    p["xc"] = model.functional.name
    checks.check_atoms(model.atoms, periodic=(False, False, False), needs_cell=True, force=model.force)
    ecut = _cutoff(model, p["ecut"], notes)
    dipole = checks.check_truth("dipole_correction", p["dipole_correction"])
    isolated = find_vacuum(model.structure, p["coulomb"], dipole, atoms.pbc, model.charge, model.force).isolated
    points, shift = _kpts(model, p["kpts"], notes if "kpts" not in parameters else [], isolated)
    basis = PlaneWaves(
        model, ecut=ecut, kpts=points, shift=shift, symmetry=p["symmetry"], weights=p["weights"], fft=p["fft"],
        coulomb=p["coulomb"], dipole_correction=dipole,
        like=like(model.structure, ecut) if like else None, room=room,
    )  # fmt: skip
    occupations = _occupations(p["occupations"], notes if "occupations" not in parameters else [])
    options = {**minimization_options(p, *occupations), "starts": p["starts"], "kpoints_at_once": p["kpoints_at_once"]}
    refuse_too_large(model, basis, p["nbands"], p["kpoints_at_once"])  # first: the others count plane waves at all k
    check_options(model, basis, orthonormalization="cholesky", **options)
    p["ecut"] = ecut * HARTREE_IN_EV
    if basis.kpoints.size is not None:
        p["kpts"] = {"size": basis.kpoints.size, "shift": basis.kpoints.shift}
    return Setup(model, basis, options, notes, p)


def minimization_options(p, temperature: float, smearing: str) -> dict[str, Any]:
    """Options of `dftopt.minimize` (hartree) from the calculator's parameters (eV)."""
    tol = checks.check_positive(
        "tol", p["tol"], "eV per atom", "Typical values are 1e-7 (energies) and 1e-10 (forces).", most=HARTREE_IN_EV
    )
    return {
        "temperature": temperature,
        "smearing": smearing,
        "nbands": p["nbands"],
        "parametrization": p["parametrization"],
        "minimizer": p["minimizer"],
        "tol": tol / HARTREE_IN_EV,
        "maxiter": checks.check_whole("maxiter", p["maxiter"]),
        "seed": checks.check_whole("seed", p["seed"], least=0),
        "magnetization": p["magnetization"],
    }


def _refuse_unavailable(p) -> None:
    for key in ("basis", "grid", "density_fit"):
        if not same(p[key], DEFAULTS[key]):
            raise InputError(
                f"{key} = {p[key]!r} is for mode = 'gaussian'; here mode = 'pw', whose basis is given by ecut."
            )
    if isinstance(p["mode"], dict):
        raise InputError(f"mode = {p['mode']} is GPAW's way; here it is mode = 'pw' and ecut, in eV, beside it.")
    checks.check_choice("mode", p["mode"], ("pw", "gaussian"))
    if p["spinpol"] is not None:
        checks.check_truth("spinpol", p["spinpol"])


def _model(atoms, p, notes: list[str]) -> Model:
    """The model; spin is on where asked for, where there are moments, and where the number of electrons is odd."""
    wanted = p["spinpol"]
    if wanted is None:
        wanted = isinstance(atoms, Atoms) and bool(np.any(atoms.get_initial_magnetic_moments() != 0))
    given = {k: p[k] for k in ("xc", "pseudopotentials", "charge", "dispersion")}
    model = Model(atoms, spinpol=wanted, force=p["force"], **given)
    if p["spinpol"] is None and not wanted and model.n_electrons % 2 == 1:
        notes.append(
            "spinpol = true: the number of electrons is odd (spinpol = false is faster where nothing is magnetic)"
        )
        with warnings.catch_warnings():  # what there is to warn of was told
            warnings.simplefilter("ignore", DFTOptWarning)
            model = Model(atoms, spinpol=True, force=model.force, **given)
    return model


def _cutoff(model: Model, ecut, notes: list[str]) -> float:
    """Hartree."""
    if ecut is not None and not isinstance(ecut, str):
        hartree = checks.check_positive("ecut", ecut, "eV", "Typical values are 300 to 1500 eV.") / HARTREE_IN_EV
        low = {e: recommended_cutoff(p, "low").hartree for e, p in model.potentials.items()}
        hardest = max(low, key=low.__getitem__)
        if hartree < TOO_LOW * low[hardest]:
            notes.append(
                f"cutoff far below the {low[hardest] * HARTREE_IN_EV:.0f} eV at which {model.potentials[hardest].name} of {hardest} "
                "begins to converge: energies are comparable at one cell alone, the stress is not to be trusted"
            )
        return hartree
    level = "normal" if ecut is None else ecut
    if level not in LEVELS:
        raise InputError(
            f"ecut = {ecut!r} is neither a number, in eV, nor one of {', '.join(LEVELS)}. Units belong to files and flags; "
            "in Python, 30 * ase.units.Ry is 30 Ry."
        )
    found = {e: recommended_cutoff(p, level) for e, p in model.potentials.items()}
    element = max(found, key=lambda e: found[e].hartree)
    hartree, potential = found[element].hartree, model.potentials[element]
    how = f"measured for {potential.name} of {element}: energy differences to about {LEVELS[level]:g} meV/atom"
    if not found[element].measured:
        how = f"estimated from {found[element].source} for {potential.name} of {element}: check its convergence"
    notes.append(f"cutoff {hartree:g} Ha ({hartree * HARTREE_IN_EV:.0f} eV), {how}")
    return hartree


def _kpts(model: Model, kpts, notes: list[str], isolated=(False, False, False)):
    """Points or mesh size, and the shift in mesh steps; one point along axes without copies where a density is given."""
    if not isinstance(kpts, Mapping):
        return kpts, (0, 0, 0)
    check_keys(kpts, KPTS_KEYS, " of kpts")
    ways = [name for name in ("size", "density", "spacing") if name in kpts]
    if len(ways) != 1:
        raise InputError(
            f"kpts = {dict(kpts)!r} needs exactly one of size, density (points per 1/angstrom) and spacing (1/angstrom)."
        )
    cell = model.structure.cell
    if "size" in kpts:
        size = kpoints.check_size(kpts["size"])
    elif "density" in kpts:
        size = kpoints.size_from_density(cell, kpts["density"])
    else:
        spacing = checks.check_positive("kpts spacing", kpts["spacing"], "1/angstrom")
        size = _one(kpoints.size_from_spacing(cell, spacing * BOHR_IN_ANGSTROM), isolated)
        notes.append(
            f"k mesh {size[0]}x{size[1]}x{size[2]}, Gamma-centred, of {spacing:g} 1/angstrom spacing: check its convergence"
        )
    if kpts.get("even"):
        size = tuple(n + n % 2 for n in size)  # type: ignore[assignment]
    if "size" not in kpts:
        size = _one(size, isolated)
    if "shift" in kpts:
        return size, kpoints.check_shift(kpts["shift"])
    gamma = kpts.get("gamma")
    return size, (0, 0, 0) if gamma is None or checks.check_truth("kpts gamma", gamma) else (0.5, 0.5, 0.5)


def _one(size, isolated) -> tuple[int, int, int]:
    return tuple(1 if alone else n for n, alone in zip(size, isolated, strict=True))  # type: ignore[return-value]


def _occupations(occupations, notes: list[str]) -> tuple[float, str]:
    """Temperature in hartree and name of the smearing."""
    if isinstance(occupations, str):
        occupations = {"name": occupations}
    if not isinstance(occupations, Mapping) or "name" not in occupations:
        raise InputError(
            f"occupations = {occupations!r} needs a name, such as {{'name': 'fermi-dirac', 'width': 0.1}} (eV)."
        )
    check_keys(occupations, ("name", "width"), " of occupations")
    name = str(occupations["name"]).lower()
    if name not in OCCUPATIONS:
        raise InputError(f"occupations name = {occupations['name']!r} is unknown: {checks.nearest(name, OCCUPATIONS)}")
    if name == "fixed":
        if occupations.get("width"):
            raise InputError(f"occupations: 'fixed' has no width (given: {occupations['width']!r} eV). Leave it out.")
        return 0.0, "fermi-dirac"
    width = checks.check_positive(
        "occupations width", occupations.get("width", WIDTH), "eV", "Use the name 'fixed' for T = 0."
    )
    notes.append(f"{name} occupations of width {width:g} eV")
    return width / HARTREE_IN_EV, name
