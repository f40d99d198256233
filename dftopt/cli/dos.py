"""`dftopt dos`: density of states of a saved result."""

from pathlib import Path

import dftopt
from dftopt.calculator import plots
from dftopt.cli import output, run


def main(options) -> int:
    """Exit status of the command."""
    result = dftopt.load(options.file)
    asked = {"width": options.broadening, "kpts": options.kpts, "nbands": options.nbands}
    where = output.prepare(options.out or Path(options.file).parent, None, ("dos.png", "dos.csv"), options.overwrite)
    run.use_compilation_cache()
    dos = run.density_of_states(result, {k: v for k, v in asked.items() if v is not None})
    title = result.model.atoms.get_chemical_formula(empirical=True)
    for path in plots.dos_alone(where.file("dos.png"), dos, title, run.reference_name(result)):
        print(path)
    return 0
