"""Macroscopic dynamics: simulate small, learn an equation for the whole, and report what it says.

Snapshots of the whole system are taken from trajectories, patches of them are evolved over a short time, and drift and
diffusion of the whole system are learned from these increments. The result is an equation for a few coordinates, with its
uncertainty, its landscape (minima, saddles, barriers), and trajectories to compare with the data.

FILE is TOML:

  form = "fdr"                 # onsager (default), fdr (V/T is minus the log of the stationary density), network, linear
  closure = 0                  # number of learned coordinates next to the observables
  temperature = 1.0            # T of the form fdr
  seed = 0                     # also: members, epochs, width, batch_size, rate, patience, held_out

  [simulator]                  # CurieWeiss, Ising, PredatorPrey, Polymer, SIRLattice, with their arguments
  name = "CurieWeiss"
  beta = 1.2

  [sample]                     # arguments of macro.sample
  trajectories = 100
  patch = 16

or, instead of [simulator] and [sample], recorded trajectories of the whole system:

  [trajectories]
  file = "measured.npz"        # arrays z (trajectories, times, coordinates) and times
  lag = 1

Examples:
  dftopt macro curie_weiss.toml
  dftopt macro ising.toml --form linear --out out/ising-linear
  dftopt macro polymer.toml --walltime 30m               and again with --resume: training goes on

Writes to out/NAME (or --out):
  macro.json    settings, status, points and barriers, comparison with the data
  macro.fit     the equation, for dftopt.macro.load
  drift.png, landscape.png, trajectories.png, calibration.png, with their numbers beside them
  macro.log     what is printed; macro.state: unfinished training, for --resume

Exit status: 0 done and converged; 1 training not converged or interrupted; 2 wrong input, nothing started.
"""

from dftopt.cli import flags


def add_flags(command) -> None:
    """Flags of the command."""
    command.add_argument("file", metavar="FILE", help="TOML input")
    add = command.add_argument_group("fit (override the file)").add_argument
    add("--form", metavar="NAME", help="onsager, fdr, network or linear")
    add("--closure", type=int, metavar="K", help="number of learned coordinates")
    add("--members", type=int, metavar="N", help="of the ensemble (default 5)")
    add("--epochs", type=int, metavar="N", help="at most this many")
    add("--seed", type=int, metavar="N", help="of the random numbers (default 0)")
    flags.start(command, resume="continue interrupted training in the same folder")
    flags.output(command)


def main(options) -> int:
    """Exit status of the command."""
    from dftopt.cli import macro_work

    return macro_work.main(options)
