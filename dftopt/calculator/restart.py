"""Calculators in files: a saved result with the keywords and the numbers that ASE has asked for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from ase import Atoms

import dftopt
from dftopt.bases.gaussians import Gaussians
from dftopt.calculator import setup
from dftopt.calculator.files import replacing
from dftopt.calculator.report import plain
from dftopt.minimization.result import Result
from dftopt.properties.containers import seal
from dftopt.units import HARTREE_IN_EV

GROUP = "calculator"
STORED = ("forces", "stress", "magmoms", "charges")  # what a result does not hold ready


def write(path, result: Result, keywords: Mapping[str, Any], results: Mapping[str, Any]) -> None:
    """Write a result, which `dftopt.load` reads too, and beside it what belongs to the calculator; atomically.

    Args:
        path: of the file.
        result: of the minimization.
        keywords: of the calculator, as plain values.
        results: numbers by ASE's names, in its units.
    """
    with replacing(Path(path)) as part:
        result.save(part)
        with h5py.File(part, "a") as f:
            group = f.create_group(GROUP)
            group.attrs["keywords"] = json.dumps(plain(keywords))
            for name in STORED:
                if name in results:
                    group[name] = results[name]
            if "sha256" in f.attrs:
                seal(f)


def read(path) -> tuple[Result, dict[str, Any], dict[str, np.ndarray]]:
    """A result, keywords, and the numbers that were known, from a file of `write` or any saved result.

    Raises:
        InputError: no such file, or another kind of file.
    """
    result = dftopt.load(path)
    with h5py.File(path, "r") as f:
        if GROUP not in f:
            return result, keywords_of(result), {}
        group = f[GROUP]
        keywords = json.loads(group.attrs["keywords"])
        setup.check_keys(keywords, where=f" in {path}")
        return result, keywords, {name: group[name][()] for name in STORED if name in group}


def keywords_of(result: Result) -> dict[str, Any]:
    """Calculator keywords (eV) that repeat a calculation of the core."""
    o, b, m = result.options, result.basis, result.model
    if o.temperature > 0:
        occupations = {"name": o.smearing, "width": o.temperature * HARTREE_IN_EV}
    else:
        occupations = {"name": "fixed"}
    if isinstance(b, Gaussians):
        return plain({
            "mode": "gaussian", "basis": b.name, "grid": b.level, "density_fit": b.density_fit, "xc": m.functional.name,
            "occupations": occupations, "nbands": o.nbands, "spinpol": m.nspin == 2, "charge": m.charge, "dispersion": m.dispersion,
            "magnetization": o.magnetization, "minimizer": o.minimizer, "parametrization": o.parametrization,
            "tol": o.tol * HARTREE_IN_EV, "maxiter": o.maxiter, "seed": o.seed,
        })  # fmt: skip
    points = b.kpoints
    mesh = {"kpts": {"size": list(points.size), "shift": list(points.shift)}} if points.size else {
        "kpts": points.k.tolist(), "weights": points.weights.tolist()
    }  # fmt: skip
    return plain({
        "xc": m.functional.name, "ecut": b.ecut * HARTREE_IN_EV, **mesh, "occupations": occupations, "nbands": o.nbands,
        "spinpol": m.nspin == 2, "charge": m.charge, "symmetry": b.symmetry_asked, "fft": list(b.fft),
        "pseudopotentials": {e: p.given for e, p in m.potentials.items()}, "dispersion": m.dispersion,
        "coulomb": b.vacuum.coulomb, "dipole_correction": b.vacuum.dipole, "magnetization": o.magnetization,
        "minimizer": o.minimizer if isinstance(o.minimizer, str) else "auto", "parametrization": o.parametrization,
        "tol": o.tol * HARTREE_IN_EV, "maxiter": o.maxiter, "seed": o.seed, "kpoints_at_once": o.kpoints_at_once,
    })  # fmt: skip


def restart(path, **keywords) -> tuple[Atoms, Any]:
    """Atoms and calculator from a file, as `gpaw.restart` gives them; nothing known is computed again.

    Args:
        path: a file of `DFTOpt.write` or `Result.save`.
        **keywords: changed ones.

    Raises:
        InputError: no such file, or another kind of file.
    """
    calc = dftopt.DFTOpt(restart=path, **{"txt": None, **keywords})
    return calc.get_atoms(), calc
