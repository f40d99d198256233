"""Ground state of a structure: free energy by component, levels, gap, forces and stress; bands when asked for.

Without flags: PBE, a cutoff from the potentials, k points 0.2 1/angstrom apart, Fermi-Dirac occupations of 0.1 eV.
Whatever is chosen for you is printed. Flags are named as the keywords of an input file and override them.

Examples:
  dftopt run Si.cif
  dftopt run Si.cif --xc LDA --ecut 30Ry --kpts 6 6 6 --occupations fixed
  dftopt run silicon.toml --bands LGXWKG --out si-fine --ecut 20Ha
  dftopt run scf.in --dry-run              what a pw.x input says the same is taken over, the rest is named

Input file (TOML; energies in eV or as "30 Ry"; bulk, molecule, or symbols with cell and positions instead of file):
  xc = "PBE"
  ecut = "30 Ry"
  kpts = [6, 6, 6]
  occupations = { name = "fermi-dirac", width = 0.1 }
  [structure]
  file = "Si.cif"

Writes to out/NAME (or --out):
  log.txt            what is printed
  result.json        all numbers, hartree and bohr, with the input that reproduces them
  result.h5          everything, for dftopt bands, dos and info, --start, and dftopt.load
  convergence.png    the way to the minimum (.csv: its numbers); bands.png with .json and dos.csv when asked for
  checkpoint.h5      during a long run, the state of at most ten minutes ago (--save-every)

Exit status: 0 converged; 1 not converged, interrupted or out of time, with the state saved (--resume goes on);
2 wrong input, nothing started.
"""

from dftopt.cli import flags


def add_flags(command) -> None:
    """Flags of the command."""
    flags.structure(command)
    flags.calculation(command)
    flags.start(command)
    command.add_argument("--bands", metavar="PATH", help="also bands along special points, such as LGXWKG")
    command.add_argument(
        "--start", metavar="RESULT.h5", help="start from the orbitals of a saved result with the same k points"
    )
    command.add_argument(
        "--save-every",
        type=flags.duration,
        default=600.0,
        metavar="TIME",
        help="how often the state is saved (default 10m)",
    )
    flags.output(command)


def main(options) -> int:
    """Exit status of the command."""
    from dftopt.cli import ground_state

    return ground_state.main(options)
