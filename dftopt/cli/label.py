"""Energy, forces and stress of every frame of a file, to train machine-learned potentials.

Every frame gets the same keywords (flags, or --input FILE.toml); k points follow its cell by --spacing. Frames of the same
elements are computed one after another, so that programs and orbitals are used again; their order in the file stays.
A frame that cannot be computed stays in the output, marked, and is listed: none is dropped.

Examples:
  dftopt label set.extxyz --out labelled.extxyz --ecut 40Ry --spacing 0.25
  dftopt label set.extxyz --out labelled.extxyz --ecut 40Ry --spacing 0.25 --resume      after an interruption, even kill -9
  dftopt label trajectory.traj --input keywords.toml --walltime 12h

Writes the file of --out (default NAME-labelled.extxyz beside the input), when all frames are done, and beside it:
  NAME.json        how many, what failed and why, the keywords
  NAME.log         what is printed; NAME.journal: finished frames, for --resume
In the extxyz file: energy (T -> 0), free_energy (A, to which forces and stress belong: train metals on it), forces, stress in
eV, eV/A, eV/A^3 with ASE's sign, under the names that ASE, MACE and NequIP read; dftopt_status and dftopt_reason per frame.

Exit status: 0 all frames are labelled; 1 some failed, or interrupted; 2 wrong input, nothing started.
"""

from dftopt.cli import flags


def add_flags(command) -> None:
    """Flags of the command."""
    flags.structure(command, "structures in any format that ASE reads: extxyz, traj, db, ...")
    add = command.add_argument_group("frames").add_argument
    add("--input", metavar="FILE.toml", help="keywords for all frames; it needs no [structure]")
    add("--retry", action="store_true", help="with --resume: compute again what failed before")
    flags.calculation(command)
    flags.start(command, "go on where the last run ended: finished frames cost nothing")
    flags.output(command, "the labelled file, .extxyz (default: NAME-labelled.extxyz beside the input)")


def main(options) -> int:
    """Exit status of the command."""
    from dftopt.cli import labelling

    return labelling.main(options)
