"""Equation of state: free energy against volume, equilibrium volume V0, bulk modulus B0 and its pressure derivative B0'.

The third-order curve of Birch and Murnaghan is fitted to the free energies of volumes around that of the structure, all
with its k mesh, cutoff and FFT grid, in one compilation. Positions scale with the cell; where symmetry leaves them free,
--relax moves the atoms at every volume, and --relax shape the angles and axis ratios too. The residual of the fit tells
whether the cutoff is high enough: too low a cutoff makes energies jump where plane waves come and go with the volume.

Examples:
  dftopt eos Si.cif
  dftopt eos Al.cif --range 10% --points 11 --kpts 12 12 12 --ecut 20Ha
  dftopt eos Mg-hcp.cif --relax shape
  dftopt eos SiO2.cif --relax --walltime 12h            and again with --resume: finished volumes are read back

Writes to out/NAME (or --out):
  eos.json      points, V0, E0, B0, B0', residual, with the input that reproduces them
  eos.png       points and curve (.csv: the numbers)
  eos.log       what is printed; eos.journal: finished volumes, for --resume

Exit status: 0 all volumes converged and the curve has its minimum among them; 1 not, or interrupted (--resume goes on);
2 wrong input, nothing started.
"""

import argparse

from dftopt.cli import flags

RELAX = ("ions", "shape")


def fraction(text: str) -> float:
    """0.06 of "6%" or "0.06"."""
    number, percent = (text.strip()[:-1], 100.0) if text.strip().endswith("%") else (text, 1.0)
    try:
        return float(number) / percent
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a fraction: give 0.06 or 6%") from None


def add_flags(command) -> None:
    """Flags of the command."""
    flags.structure(command)
    add = command.add_argument_group("equation of state").add_argument
    add("--range", type=fraction, default=0.06, metavar="X", help="largest change of the volume (default 6%%)")
    add("--points", type=int, default=7, metavar="N", help="volumes, equally spaced (default 7)")
    add("--relax", nargs="?", const="ions", choices=RELAX, help="at every volume: ions (default), or shape too")
    add("--fmax", type=flags.force, default=0.01, metavar="FORCE", help="largest force then allowed (default 0.01eV/A)")
    flags.calculation(command)
    flags.start(command)
    flags.output(command)


def main(options) -> int:
    """Exit status of the command."""
    from dftopt.cli import eos_work

    return eos_work.main(options)
