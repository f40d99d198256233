"""Results of molecules in HDF5."""

import json
import os
import warnings
from pathlib import Path

import h5py
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from dftopt.bases.gaussians import Gaussians
from dftopt.energy.free_energy import Energies
from dftopt.energy.model import Model
from dftopt.errors import DFTOptWarning, InputError
from dftopt.minimization.molecular_result import MolecularResult
from dftopt.minimization.options import Options
from dftopt.minimization.result import Stats

FORMAT = "dftopt molecule"
VERSION = 1
_ARRAYS = ("eigenvalues", "occupations", "history", "errors", "psi")


def save(result: MolecularResult, path) -> None:
    """Write a result; the file appears complete or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    path = Path(path)
    part = path.with_name(path.name + f".{os.getpid()}.part")
    try:
        with h5py.File(part, "w") as f:
            _write(f, result)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(
            f"The result cannot be written to {path}: {error}. An older file there is untouched."
        ) from error


def _write(f: h5py.File, r: MolecularResult) -> None:
    m = r.model
    f.attrs["format"], f.attrs["version"] = FORMAT, VERSION
    f["atoms/numbers"], f["atoms/positions"] = m.atoms.numbers, m.atoms.positions
    f["atoms/magmoms"] = m.atoms.get_initial_magnetic_moments()
    setup = {
        "model": {
            "xc": m.functional.name,
            "spinpol": m.nspin == 2,
            "charge": float(m.charge),
            "dispersion": m.dispersion,
        },
        "basis": {"basis": r.basis.name, "grid": r.basis.level, "density_fit": r.basis.density_fit},
        "options": r.options.as_dict(),
        "stats": dict(r.stats),
        "energies": vars(r.energies),
        "converged": r.converged,
        "verdict": r.verdict,
        "fermi_levels": r.fermi_levels,
        "diagonality": r.diagonality,
        "charge_integral": r.charge_integral,
        "absolute_magnetization": r.absolute_magnetization,
    }
    f.attrs["setup"] = json.dumps(setup)
    for name in _ARRAYS:
        f[name] = np.asarray(getattr(r, name))
    f["point/psi"] = np.asarray(r.point["psi"])
    if len(r.point["occ"]):
        f["point/occ"] = np.asarray(r.point["occ"])


def read(path) -> MolecularResult:
    """Read a result that `save` wrote.

    Raises:
        InputError: a newer version, or a damaged file.
    """
    try:
        with h5py.File(path, "r") as f:
            if int(f.attrs["version"]) > VERSION:
                raise InputError(
                    f"{path} has version {f.attrs['version']}, this dftopt reads up to {VERSION}: upgrade it."
                )
            setup = json.loads(f.attrs["setup"])
            atoms = Atoms(f["atoms/numbers"][()], f["atoms/positions"][()])
            atoms.set_initial_magnetic_moments(f["atoms/magmoms"][()])
            arrays = {name: f[name][()] for name in _ARRAYS}
            point = {
                "psi": jnp.asarray(f["point/psi"][()]),
                "occ": jnp.asarray(f["point/occ"][()]) if "point/occ" in f else (),
            }
        with warnings.catch_warnings():  # told when it was computed
            warnings.simplefilter("ignore", DFTOptWarning)
            model = Model(atoms, force=True, **setup["model"])
            basis = Gaussians(model, **setup["basis"])
        return MolecularResult(
            model=model, basis=basis, options=Options(**{**setup["options"], "filled": tuple(setup["options"]["filled"])}),
            energies=Energies(**setup["energies"]), stats=Stats(setup["stats"]), fermi_levels=tuple(setup["fermi_levels"]),
            psi=jnp.asarray(arrays.pop("psi")), potential=None, point=point, **arrays,
            **{k: setup[k] for k in ("converged", "verdict", "diagonality", "charge_integral", "absolute_magnetization")},
        )  # fmt: skip
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read: it is damaged ({type(error).__name__}: {error}).") from error
