"""The cutoff and the k mesh that a wanted accuracy needs.

Both are raised, one after the other, until the quantity that you care for stays within the accuracy:
  energy    difference of two strained structures, per atom (the default, to 1 meV; what phases and elastic constants need)
  forces    on all atoms (moved a little where symmetry makes them vanish), to 0.01 eV/A
  stress    all components, to 0.1 GPa
Differences converge long before total energies do, because what is missing in the cores of the atoms cancels. Recommended
is the first setting that agrees with all later ones, at least two. An insulator or a molecule needs few k points; a metal
many, and more the smaller the width of its occupations.

Examples:
  dftopt converge Si.cif
  dftopt converge Al.cif --accuracy 0.5meV --width 0.05eV
  dftopt converge MgO.toml --quantity stress --accuracy 0.05GPa --only ecut
  dftopt converge Fe.cif --ecuts 40Ry 60Ry 80Ry 100Ry --meshes 6x6x6 8x8x8 10x10x10 12x12x12

Writes to out/NAME (or --out):
  converge.json      all numbers and what is recommended
  converge.png       errors against cutoff and mesh; converge-ecut.csv, converge-kpts.csv: the numbers
  converge.log       what is printed; converge.journal: finished calculations, for --resume

Exit status: 0 both are recommended; 1 a limit was reached without, or interrupted (--resume goes on); 2 wrong input.
"""

from dftopt.cli import flags

AXES = ("ecut", "kpts")


def add_flags(command) -> None:
    """Flags of the command."""
    flags.structure(command)
    add = command.add_argument_group("what is converged").add_argument
    add(
        "--quantity",
        choices=("energy", "forces", "stress"),
        default="energy",
        help="what has to be accurate (default energy)",
    )
    add("--accuracy", metavar="X", help="such as 1meV (per atom), 0.01eV/A or 0.1GPa")
    add("--only", choices=AXES, help="raise this one; the other stays as given, or as chosen by default")
    add(
        "--ecuts",
        type=flags.energy,
        nargs="+",
        metavar="ENERGY",
        help="cutoffs to try (default: from half the default one on)",
    )
    add(
        "--meshes",
        nargs="+",
        metavar="NxNxN",
        help="k meshes to try (default: by spacings from 0.6 to 0.1 1/angstrom)",
    )
    flags.calculation(command)
    flags.start(command)
    flags.output(command)


def main(options) -> int:
    """Exit status of the command."""
    from dftopt.cli import converging

    return converging.main(options)
