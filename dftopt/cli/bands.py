"""`dftopt bands`: of a saved result, or after a run."""

from pathlib import Path

import dftopt
from dftopt.cli import output, run


def main(options) -> int:
    """Exit status of the command."""
    asked = {k: v for k, v in {"path": options.path, "npoints": options.npoints}.items() if v is not None}
    if Path(options.file).suffix.lower() not in (".h5", ".hdf5"):
        options.bands = asked
        return run.main(options)
    result = dftopt.load(options.file)
    if options.nbands is not None:
        asked["nbands"] = options.nbands
    run.path_of(result.model.atoms, asked.get("path"), asked.get("npoints", run.NPOINTS))
    where = output.prepare(options.out or Path(options.file).parent, None, run.BANDS_RESULTS, options.overwrite)
    run.use_compilation_cache()
    for path in run.draw_bands(result, asked, {}, where.file("bands.png")):
        print(path)
    return 0
