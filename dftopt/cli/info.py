"""`dftopt info`: versions and devices, or what a file holds."""

import platform
from importlib.metadata import version
from pathlib import Path

import dftopt
from dftopt.atoms.checks import memory_limit_gib
from dftopt.calculator import log as logs
from dftopt.calculator.setup import build
from dftopt.cli.inputs import read_input


def main(options) -> int:
    """Exit status of the command."""
    if options.file is None:
        print(_machine())
    elif Path(options.file).suffix.lower() in (".h5", ".hdf5"):
        result = dftopt.load(options.file)
        print(f"{result.model.atoms.get_chemical_formula()}, {result.model.functional.name}, {result.basis!r}\n")
        print(logs.summary(result))
    else:
        given = read_input(options.file, options)
        print(logs.header(build(given.atoms, given.parameters)))
    return 0


def _machine() -> str:
    import jax

    lines = [f"dftopt {dftopt.__version__}, Python {platform.python_version()}"]
    lines += [f"{name} {version(name)}" for name in ("jax", "numpy", "scipy", "ase", "spglib", "pyscf", "h5py")]
    lines.append("devices " + ", ".join(str(device) for device in jax.devices()))
    lines.append(f"memory {memory_limit_gib():.1f} GiB")
    return "\n".join(lines)
