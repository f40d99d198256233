"""Density, orbitals and potentials of a saved result as files for viewers, and what follows from them.

Without flags: the density as cube. Atoms, bands and k points are counted from 0, as in ASE and in Python.

Examples:
  dftopt fields out/Si/result.h5                                  density.cube
  dftopt fields out/Fe/result.h5 density spin --format xsf        density.xsf and spin.xsf
  dftopt fields out/Si/result.h5 density --plane                  and density.png, the plane of the bonds
  dftopt fields out/Si/result.h5 --orbital 3 4                    |psi|^2 of two bands at the first k point
  dftopt fields out/Al-slab/result.h5 --work-function             vacuum levels and the averaged potential
  dftopt fields out/Al/result.h5 --fermi-surface --kpts 16 16 16  bands across the Fermi level, for XCrySDen
  dftopt fields out/GaAs/result.h5 --charges                      electrons and moments on atoms, after Loewdin

Names: density, spin, up, down (electrons / bohr^3); kohn-sham, electrostatic, local, hartree, xc (hartree).

Writes beside the saved result, or to --out:
  NAME.cube or .xsf          each field; with --plane also NAME.png and .csv
  orbital-kK-bandB.cube      |psi|^2, or its real part with --part real
  potential.png, .csv        planar and macroscopic average of the electrostatic potential
  fermi-surface.bxsf         energies (eV) on the full mesh; one file for each spin
  fields.json                charges, work functions, and the names of all files

Exit status: 0 done; 1 the result is not a converged one; 2 wrong input.
"""

from dftopt.cli import flags

USAGE = "RESULT.h5 [NAME ...]"
DENSITIES = ("density", "spin", "up", "down")
POTENTIALS = ("kohn-sham", "electrostatic", "local", "hartree", "xc")


def add_flags(command) -> None:
    """Flags of the command."""
    add = command.add_argument
    add("file", metavar="RESULT.h5", help="a saved result")
    add(
        "names",
        metavar="NAME",
        nargs="*",
        help="fields to write (see above; default density, if nothing else is asked)",
    )
    add("--format", choices=("cube", "xsf"), default="cube", help="of the fields (default cube)")
    add("--orbital", type=int, nargs="+", metavar="BAND", help="bands whose orbitals are written")
    add("--k", type=int, default=0, metavar="K", help="k point of the orbitals (default 0, the first)")
    add(
        "--part", choices=("square", "real"), default="square", help="of an orbital: |psi|^2 (default) or its real part"
    )
    add("--plane", type=int, nargs="*", metavar="ATOM", help="draw a plane, through three atoms or (default) the bonds")
    add("--size", type=flags.length, metavar="LENGTH", help="side of the plane, such as 8A or 12bohr")
    add("--work-function", action="store_true", help="averaged potential, vacuum levels and work function of a slab")
    add("--window", type=flags.length, metavar="LENGTH", help="of the macroscopic average (default: layer distance)")
    add("--fermi-surface", action="store_true", help="bands that cross the Fermi level, as BXSF")
    add("--kpts", type=int, nargs=3, metavar="N", help="a finer mesh for the Fermi surface, such as 16 16 16")
    add("--charges", action="store_true", help="electrons and moments on each atom, by angular momentum")
    flags.output(command, "folder for results (default: that of the saved result)")


def main(options) -> int:
    """Exit status of the command."""
    from dftopt.cli import field_work

    return field_work.main(options)
