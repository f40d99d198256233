"""Results in HDF5: everything needed to look at a result, take derivatives of it and continue from it."""

import warnings
from pathlib import Path
from typing import Any

import h5py
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from dftopt.atoms.potentials import from_bytes
from dftopt.atoms.tabulated import Tabulated
from dftopt.bases.planewaves import PlaneWaves
from dftopt.energy.free_energy import Energies
from dftopt.energy.model import Model
from dftopt.errors import DFTOptWarning, InputError
from dftopt.minimization.options import Options
from dftopt.minimization.result import Result, Start, Stats
from dftopt.properties import containers, molecular_files

FORMAT = "dftopt result"
_ARRAYS = ("eigenvalues", "occupations", "history", "errors", "psi", "potential")


def save(result: Result, path) -> None:
    """Write a result; the file appears complete or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    if result.inputs is not None:
        raise InputError(
            "A result of changed inputs (minimize(..., inputs=...)) cannot be saved: the file holds the model's own."
        )
    containers.write_atomically(path, lambda f: _write(f, result))


def _write(f: h5py.File, result: Result) -> None:
    m, b = result.model, result.basis
    atoms = f.create_group("atoms")
    for name in ("numbers", "positions", "pbc"):
        atoms[name] = getattr(m.atoms, name)
    atoms["cell"] = m.atoms.cell.array
    if m.atoms.has("initial_magmoms"):
        atoms["magmoms"] = m.atoms.get_initial_magnetic_moments()
    setup = {
        "model": {
            "xc": m.functional.name,
            "spinpol": m.nspin == 2,
            "charge": float(m.charge),
            "dispersion": m.dispersion,
            "pseudopotentials": {e: p.given for e, p in m.potentials.items()},
        },
        "basis": {
            "ecut": b.ecut,
            "fft": list(b.fft),
            "like": b.sizes,  # the arrays below are padded to these
            "symmetry": b.symmetry_asked,
            "coulomb": b.vacuum.coulomb,
            "dipole_correction": b.vacuum.dipole,
            "kpts": list(b.kpoints.size) if b.kpoints.size else b.kpoints.k.tolist(),
            "shift": list(b.kpoints.shift) if b.kpoints.size else [0, 0, 0],
            "weights": None if b.kpoints.size else b.kpoints.weights.tolist(),
        },
        "starts": [vars(s) for s in result.starts],
    }
    for element, p in m.potentials.items():
        if isinstance(p, Tabulated):  # the file itself: it may be missing where the result is loaded
            stored = f.create_dataset(f"potentials/{element}", data=np.frombuffer(p.raw, np.uint8), compression="gzip")
            stored.attrs["path"], stored.attrs["sha256"] = p.given, p.sha256
    containers.write_state(f, FORMAT, result, setup, _ARRAYS)


def load(path) -> Result:
    """Read a result that `Result.save` wrote.

    Raises:
        InputError: no such file, another kind of file, a newer version, or a damaged one.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"There is no file {path.absolute()}.")
    try:
        with h5py.File(path, "r") as f:
            if f.attrs.get("format") == molecular_files.FORMAT:
                return molecular_files.read(path)
            if f.attrs.get("format") != FORMAT:
                raise InputError(f"{path} is not a result of dftopt.")
            containers.check_whole(f, path)
            setup, arrays, point = containers.read_state(f, _ARRAYS)
            a = f["atoms"]
            atoms = Atoms(a["numbers"][()], a["positions"][()], cell=a["cell"][()], pbc=a["pbc"][()])
            setup["model"]["pseudopotentials"] |= {
                element: from_bytes(stored[()].tobytes(), str(stored.attrs["path"]))
                for element, stored in f.get("potentials", {}).items()
            }
            if "magmoms" in a:
                atoms.set_initial_magnetic_moments(a["magmoms"][()])
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read: it is damaged or not a result of dftopt ({error}).") from error
    try:
        return _build(atoms, setup, arrays, point)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged: {type(error).__name__} {error} in its description.") from error


def _build(atoms: Atoms, setup: dict, arrays: dict[str, Any], point: dict) -> Result:
    with warnings.catch_warnings():  # told when it was computed
        warnings.simplefilter("ignore", DFTOptWarning)
        model = Model(atoms, force=True, **setup["model"])
    basis = PlaneWaves(model, **setup["basis"])
    return Result(
        model=model,
        basis=basis,
        options=Options(**{**setup["options"], "filled": tuple(setup["options"]["filled"])}),
        energies=Energies(**setup["energies"]),
        converged=setup["converged"],
        verdict=setup["verdict"],
        stats=Stats(setup["stats"]),
        fermi_levels=tuple(setup["fermi_levels"]),
        starts=tuple(Start(**{**s, "moments": tuple(s["moments"])}) for s in setup["starts"]),
        diagonality=setup["diagonality"],
        charge_integral=setup["charge_integral"],
        absolute_magnetization=setup["absolute_magnetization"],
        point=point,
        psi=jnp.asarray(arrays.pop("psi")),
        potential=jnp.asarray(arrays.pop("potential")),
        **arrays,
    )
