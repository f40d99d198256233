"""Alloys: energies of structures to a cluster expansion, its phase behaviour and the kinetics of ordering.

FILE is TOML:

  [energies]
  file = "nbmota.extxyz.gz"         # structures on a lattice, relaxed or not, in any format of ASE
  key = "formation_energy"          # where each has its energy in eV per cell (default: ASE's own energy)
  select = { pair = "NbMo" }        # only those with these entries (default: all)
  pure = { Nb = 0.0, Mo = 0.0 }     # eV per atom of the elements, for the hull (default: computed, else predicted)

  [expansion]
  parent = { bulk = "Nb", crystalstructure = "bcc", a = 3.3 }
  cutoffs = [6.0, 4.7]              # largest diameter of pairs, triplets, quadruplets, angstrom
  method = "ridge"                  # or lasso, ard; also: species, folds, seed, allow_undetermined

  [equilibrium]                     # Monte Carlo with parallel tempering; may be left out
  composition = { Nb = 0.5, Mo = 0.5 }
  temperatures = [300, 500, 700, 900, 1200]
  size = [6, 6, 6]                  # conventional cells; also: samples, sweeps, equilibration, replicas, seed, shells

  [kinetics]                        # vacancy jumps; may be left out
  composition = { Nb = 0.5, Mo = 0.5 }
  temperatures = [1200, 1500, 2000]
  barriers = { Nb = 0.6, Mo = 0.9 } # kinetically resolved, eV, by the species that jumps
  size = [6, 6, 6]                  # also: vacancy_formation, prefactor, samples, jumps, equilibration, replicas, seed

  [ordering]                        # learned dynamics of short-range order; may be left out
  composition = { Nb = 0.5, Mo = 0.5 }
  temperatures = [1000, 1500, 2000] # one equation for all of them
  barriers = { Nb = 0.6, Mo = 0.9 }
  vacancy_formation = 2.9           # eV, for times in seconds; also: size, trajectories, shells, seed, prefactor

A closed loop that computes the energies itself is dftopt alloy campaign FILE:

  [campaign]
  species = ["Mg", "Al"]
  cutoffs = [6.0, 4.1]
  parent = { bulk = "Al", crystalstructure = "fcc", a = 4.0 }
  atoms = 4                         # largest cell that is proposed
  wanted = 5.0                      # largest standard deviation of a prediction among them, meV/atom
  calculations = 12                 # at most; also: batch, database, method, seed, composition
  [calculator]                      # keywords of the calculator: ecut, kpts, xc, ...
  ecut = "8 Ha"

Examples:
  dftopt alloy examples/nbmota.toml
  dftopt alloy campaign examples/al_mg.toml            and again with --resume: nothing is computed twice

Writes to out/NAME (or --out):
  expansion.json   the expansion with uncertainties, for dftopt.alloy.ClusterExpansion.load
  alloy.json       all numbers; hull.png, cross_validation.png, order.png, diffusion.png, landscape.png,
                   relaxation.png with theirs beside them
  ordering.npz     the learned equation, for dftopt.macro.load
  alloy.log        what is printed
  campaign.db      of a campaign: structures and energies (ase db campaign.db), and campaign.json

Exit status: 0 done; 1 interrupted, or a campaign that ended before the wanted uncertainty; 2 wrong input, nothing started.
"""

from dftopt.cli import flags

USAGE = "[campaign] FILE"


def add_flags(command) -> None:
    """Flags of the command."""
    command.add_argument("file", metavar="FILE", nargs="+", help="TOML input, for a campaign after the word campaign")
    add = command.add_argument_group("running").add_argument
    add("--resume", action="store_true", help="a campaign: go on with the database of the same folder")
    flags.output(command)


def main(options) -> int:
    """Exit status of the command."""
    from dftopt.errors import InputError

    words = list(options.file)
    if len(words) == 2 and words[0] == "campaign":
        from dftopt.cli import alloy_campaign

        options.file = words[1]
        return alloy_campaign.main(options)
    if len(words) != 1:
        raise InputError(f"dftopt alloy takes one FILE, or campaign FILE; given: {' '.join(words)}.")
    from dftopt.cli import alloy_work

    options.file = words[0]
    return alloy_work.main(options)
