"""Atoms, and the cell, to their minimum: where forces and stress vanish.

Positions move until the largest force is below --fmax. With --cell the cell changes too, until the stress is below --smax:
  all      lengths and angles (plain --cell)      volume   the size alone, the shape stays
  shape    the shape alone, the volume stays      plane    a slab's plane, its vacuum along z stays
The space group of the start is kept (positions that miss it by less than 0.001 A are corrected, which is told); with
--no-symmetry nothing is imposed. Atoms are fixed by --fix, by fix = [...] in [structure], or by the file (selective dynamics
and the like). The k mesh and the cutoff are those of the start throughout. The stress is that of a fixed set of plane
waves: at a low cutoff the cell comes out too small, so take a higher one than for positions (converge --quantity stress).

Examples:
  dftopt relax molecule.xyz --kpts 1 1 1
  dftopt relax Al.cif --cell --kpts 8 8 8 --ecut 20Ha
  dftopt relax MgO.cif --cell volume --pressure 20GPa
  dftopt relax slab.cif --fix 0 1 2 3 --fmax 0.02eV/A --walltime 8h
  dftopt relax slab.cif --fix 0 1 2 3 --fmax 0.02eV/A --resume       goes on, also after kill -9

Writes to out/NAME (or --out):
  relax.cif, relax.extxyz   the last structure
  relax.traj                every step with energy, forces and stress; complete after each step
  relax.json                all numbers, with the input that reproduces them
  relax.png                 energy, forces and stress against steps (.csv: the numbers)
  result.h5                 orbitals of the last structure, for dftopt bands, dos and info
  relax.log                 what is printed

Exit status: 0 below the limits; 1 not, or interrupted (--resume goes on); 2 wrong input, nothing started.
"""

from dftopt.cli import flags

CELLS = ("all", "volume", "shape", "plane")


def add_flags(command) -> None:
    """Flags of the command."""
    flags.structure(command)
    add = command.add_argument_group("relaxation").add_argument
    add("--cell", nargs="?", const="all", choices=CELLS, help="relax the cell too: all (default), volume, shape, plane")
    add("--fmax", type=flags.force, default=0.01, metavar="FORCE", help="largest force allowed (default 0.01eV/A)")
    add("--smax", type=flags.pressure, default=0.1, metavar="STRESS", help="largest stress allowed (default 0.1GPa)")
    add("--pressure", type=flags.pressure, default=0.0, metavar="P", help="outside pressure, with --cell (default 0)")
    add(
        "--steps", type=int, default=100, metavar="N", help="at most this many, those before --resume too (default 100)"
    )
    add("--fix", type=int, nargs="+", metavar="I", help="atoms that stay, counted from 0")
    flags.calculation(command)
    flags.start(command)
    flags.output(command)


def main(options) -> int:
    """Exit status of the command."""
    from dftopt.cli import relaxing

    return relaxing.main(options)
