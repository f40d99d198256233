"""Density of states of a saved result, each level broadened by a Gaussian, or with tetrahedra between k points.

With --kpts the levels are computed anew on a finer mesh, in the potential of the result. With --projected it is resolved
by atomic orbitals: by "element l" (Si s, Si p) or by what is named among element, atom, shell, l and m.

Examples:
  dftopt dos out/Si/result.h5 --broadening 0.1eV
  dftopt dos out/Al/result.h5 --kpts 16 16 16 --tetrahedra
  dftopt dos out/GaAs/result.h5 --kpts 8 8 8 --projected
  dftopt dos out/MgO/result.h5 --projected "atom m"

Writes beside the saved result, or to --out:
  dos.png            the picture
  dos.csv            energy (eV, from the Fermi level or the valence band's top), states per eV and cell
  and with --json FILE the same numbers as JSON

Exit status: 0 done; 1 the result is not a converged one; 2 wrong input.
"""

from pathlib import Path

from dftopt.cli import flags


def add_flags(command) -> None:
    """Flags of the command."""
    command.add_argument("file", metavar="FILE", help="a saved result.h5")
    command.add_argument(
        "--broadening", type=flags.energy, metavar="ENERGY", help="standard deviation of a level (default 0.16 eV)"
    )
    command.add_argument("--tetrahedra", action="store_true", help="interpolate between k points instead")
    command.add_argument("--projected", nargs="?", const="element l", metavar="BY", help="by atomic orbitals")
    command.add_argument("--kpts", type=int, nargs=3, metavar="N", help="a finer mesh for the levels, such as 8 8 8")
    command.add_argument("--nbands", type=int, metavar="N", help="bands on that mesh")
    flags.output(command, "folder for results (default: that of the saved result)")


def main(options) -> int:
    """Exit status of the command."""
    import dftopt
    from dftopt.calculator import plots, report
    from dftopt.cli import ground_state, output
    from dftopt.cli.inputs import RESULTS
    from dftopt.cli.structures import check_file
    from dftopt.errors import InputError
    from dftopt.units import HARTREE_IN_EV

    path = Path(options.file)
    if path.suffix.lower() not in RESULTS:
        raise InputError(
            f"{path.name} is not a saved result: run it first (dftopt run {path.name}), then give its result.h5."
        )
    asked = {
        "width": options.broadening,
        "kpts": options.kpts,
        "nbands": options.nbands,
        "projected": options.projected,
    }
    if options.tetrahedra:
        asked["method"] = "tetrahedron"
    ground_state.check_dos(asked)
    result = dftopt.load(check_file(path))
    names = ("dos.png", "dos.csv")
    where = output.prepare(options.out or path.parent, options.json, names, options.overwrite, task="dos")
    ground_state.set_up()
    dos = ground_state.density_of_states(result, {k: v for k, v in asked.items() if v is not None})
    title = result.model.atoms.get_chemical_formula(empirical=True)
    files = plots.dos_alone(where.file("dos.png"), dos, title, ground_state.reference_name(result))
    if options.json:
        data = {"energies_eV": dos.energies * HARTREE_IN_EV, "states_per_eV_cell": dos.values / HARTREE_IN_EV}
        data["parts_per_eV_cell"] = {name: part / HARTREE_IN_EV for name, part in dos.parts.items()}
        data |= {
            "reference_eV": dos.reference * HARTREE_IN_EV,
            "width_eV": dos.width * HARTREE_IN_EV,
            "version": dftopt.__version__,
        }
        report.write_json(where.json, data)
        files = [*files, where.json]
    for file in files:
        print(file)
    return 0
