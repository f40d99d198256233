"""What a file holds, or, without a file, versions, devices and memory.

Of a saved result it prints energies, levels and timings; of an input or a structure what dftopt run --dry-run prints:
symmetry, k points, plane waves, memory and time, and the special points for bands; of a UPF or psp8 file its functional,
projectors, core correction, mesh and a cutoff, and draws them.

Examples:
  dftopt info
  dftopt info Si.cif
  dftopt info out/Si/result.h5
  dftopt info Si.upf

Writes nothing, but for a potential, to out/NAME or to --out:
  potential.png      local potential, projectors, densities
  potential.json     what was printed, and the curves

Exit status: 0 done; 2 wrong input.
"""

import platform
from pathlib import Path

from dftopt.cli import flags

USAGE = "[FILE]"
PACKAGES = ("jax", "numpy", "scipy", "ase", "spglib", "pyscf", "h5py")


def add_flags(command) -> None:
    """Flags of the command."""
    command.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="a saved result.h5, TOML input, a pw.x input, a structure, or a UPF or psp8 file",
    )
    command.add_argument("--format", metavar="NAME", help="format of a structure file by ASE's name")
    command.add_argument("--out", metavar="DIR", help="folder for the picture of a potential (default: out/NAME)")
    command.add_argument("--json", metavar="FILE", help="where its JSON goes (default: in that folder)")
    flags.debug(command)


def main(options) -> int:
    """Exit status of the command."""
    if options.file is None:
        print(_machine())
        return 0
    import dftopt
    from dftopt.atoms.potentials import looks_like_potential
    from dftopt.calculator import log as logs
    from dftopt.cli.inputs import RESULTS, read_input
    from dftopt.cli.structures import check_file

    if Path(options.file).suffix.lower() in RESULTS:
        result = dftopt.load(check_file(options.file))
        print(f"{result.model.atoms.get_chemical_formula()}, {result.model.functional.name}, {result.basis!r}\n")
        print(logs.summary(result))
        return 0
    if looks_like_potential(check_file(options.file)):
        return _potential(options)
    given = read_input(options.file, options)
    print(logs.header(given.build()))
    if given.parameters.get("mode") == "gaussian":
        return 0
    path = given.atoms.cell.bandpath()
    print(f"\nbands           path {path.path}\n  special points " + ", ".join(path.special_points))
    return 0


def _potential(options) -> int:
    from dftopt.atoms import potentials
    from dftopt.calculator import potential_picture
    from dftopt.cli import output

    potential = potentials.read(options.file)
    print(potential_picture.describe(potential))
    folder = Path(options.out or Path("out") / Path(options.file).stem)
    where = output.prepare(folder, options.json, ("potential.png",), overwrite=True, task="potential")
    files = output.move_json(potential_picture.draw(where.file("potential.png"), potential), where)
    print("\nwritten         " + ", ".join(map(str, files)))
    return 0


def _machine() -> str:
    from importlib.metadata import version

    import jax

    import dftopt
    from dftopt.atoms.checks import memory_limit_gib
    from dftopt.precision import check_jax

    check_jax()
    lines = [f"dftopt {dftopt.__version__}, Python {platform.python_version()}"]
    lines += [f"{name} {version(name)}" for name in PACKAGES]
    lines.append("devices " + ", ".join(str(device) for device in jax.devices()))
    lines.append(f"memory {memory_limit_gib():.1f} GiB")
    return "\n".join(lines)
