"""Results of molecules in HDF5."""

import warnings
from pathlib import Path

import h5py
import jax.numpy as jnp
from ase import Atoms

from dftopt.bases.gaussians import Gaussians
from dftopt.energy.free_energy import Energies
from dftopt.energy.model import Model
from dftopt.errors import DFTOptWarning, InputError
from dftopt.minimization.molecular_result import MolecularResult
from dftopt.minimization.options import Options
from dftopt.minimization.result import Stats
from dftopt.properties import containers

FORMAT = "dftopt molecule"
_ARRAYS = ("eigenvalues", "occupations", "history", "errors", "psi")


def save(result: MolecularResult, path) -> None:
    """Write a result; the file appears complete or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    containers.write_atomically(path, lambda f: _write(f, result))


def _write(f: h5py.File, r: MolecularResult) -> None:
    m = r.model
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
    }
    containers.write_state(f, FORMAT, r, setup, _ARRAYS)


def read(path) -> MolecularResult:
    """Read a result that `save` wrote.

    Raises:
        InputError: a newer version, or a damaged file.
    """
    try:
        with h5py.File(path, "r") as f:
            containers.check_whole(f, Path(path))
            setup, arrays, point = containers.read_state(f, _ARRAYS)
            atoms = Atoms(f["atoms/numbers"][()], f["atoms/positions"][()])
            atoms.set_initial_magnetic_moments(f["atoms/magmoms"][()])
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
