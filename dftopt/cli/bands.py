"""Band structure beside the density of states, as a picture and as numbers.

Of a structure or an input file, the ground state is computed first, as dftopt run does; of a saved result, only the bands.
The default path is the usual one of the lattice; dftopt info FILE prints its special points.

Examples:
  dftopt bands Si.cif --xc LDA --occupations fixed
  dftopt bands out/Si/result.h5 --path LGXWKG --npoints 100
  dftopt bands out/GaAs/result.h5 --fat    as wide as their weight on Ga s, Ga p, As s and As p; --fat "atom l" by atoms

Writes to out/NAME, beside the saved result, or to --out:
  bands.png          bands beside the density of states
  bands.json         k points, energies (eV), special points
  dos.csv            density of states
  and, where the ground state was computed, what dftopt run writes

Exit status: 0 done; 1 the ground state did not converge or was interrupted (--resume goes on); 2 wrong input.
"""

from pathlib import Path

from dftopt.cli import flags


def add_flags(command) -> None:
    """Flags of the command."""
    flags.structure(command, "a saved result.h5; or TOML input, a pw.x input or a structure file, which is run first")
    command.add_argument(
        "--path", help="special points, such as LGXWKG, a comma for a jump (default: the lattice's own path)"
    )
    command.add_argument("--npoints", type=int, metavar="N", help="points along the path (default 60)")
    command.add_argument(
        "--fat",
        nargs="?",
        const="element l",
        metavar="BY",
        help="show weights of atomic orbitals by element, atom, shell, l, m",
    )
    flags.calculation(command)
    flags.start(command)
    flags.output(command, "folder for results (default: out/NAME, or that of the saved result)")


def main(options) -> int:
    """Exit status of the command."""
    import dftopt
    from dftopt.calculator import checkpoints
    from dftopt.cli import ground_state, output
    from dftopt.cli.inputs import RESULTS
    from dftopt.cli.structures import check_file

    flagged = {"path": options.path, "npoints": options.npoints, "fat": options.fat}
    asked = {k: v for k, v in flagged.items() if v is not None}
    ground_state.check_dos({"projected": options.fat})
    if Path(options.file).suffix.lower() not in RESULTS:
        options.start, options.save_every = None, checkpoints.EVERY
        return ground_state.main(options, bands=asked)
    result = dftopt.load(check_file(options.file))
    if options.nbands is not None:
        asked["nbands"] = options.nbands
    ground_state.path_of(result.model.atoms, asked.get("path"), asked.get("npoints", ground_state.NPOINTS))
    result.require_converged("The band structure")
    if options.dry_run:
        print(f"bands of {options.file}: nothing else has to be computed first.")
        return 0
    where = output.prepare(
        options.out or Path(options.file).parent,
        options.json,
        ("bands.png", "dos.csv"),
        options.overwrite,
        task="bands",
    )
    ground_state.set_up()
    files = ground_state.draw_bands(result, asked, {}, where.file("bands.png"))
    for path in output.move_json(files, where):
        print(path)
    return 0
