"""Phonons: frequencies at Gamma, bands and density of states, through phonopy (pip install 'dftopt[phonons]').

Atoms of a supercell are displaced, one after another as far as symmetry does not relate them, and the forces give the force
constants. --kpts and --spacing belong to the cell in the file; the supercell gets a mesh that is at least as dense. The
minimization is tighter than usual (--tol 2.7e-11 eV per atom), for forces good to 1e-6 hartree/bohr. Relax the structure
first: dftopt relax. In a polar insulator the splitting of longitudinal and transverse modes at Gamma is not included.

Examples:
  dftopt phonons Si.cif --supercell 2 2 2 --xc LDA --occupations fixed
  dftopt phonons Si.cif --supercell 1 1 1 --kpts 4 4 4         the modes at Gamma need no supercell
  dftopt phonons out/MgO/relax.cif --supercell 3 3 3 --ecut 35Ha --walltime 8h

Writes to out/NAME (or --out):
  phonons.json         frequencies at Gamma (THz, cm^-1, meV), force constants, the lowest mode, with the input
  phonons.png          bands beside the density of states; phonons-bands.json, phonons-dos.csv: the numbers
  phonopy_params.yaml  displacements and forces, to go on with phonopy itself
  phonons.log          what is printed; phonons.journal: finished displacements, for --resume

Exit status: 0 done, imaginary modes or not (they are said plainly); 1 not converged or interrupted (--resume goes on);
2 wrong input.
"""

from dftopt.cli import flags


def add_flags(command) -> None:
    """Flags of the command."""
    flags.structure(command)
    add = command.add_argument_group("phonons").add_argument
    add("--supercell", type=int, nargs=3, metavar="N", default=(2, 2, 2), help="repeats of the cell (default 2 2 2)")
    add("--distance", type=flags.length, default=0.01, metavar="LENGTH", help="of a displacement (default 0.01A)")
    add("--path", metavar="PATH", help="special points of the bands, such as GXKGL (default: the lattice's own path)")
    add("--npoints", type=int, default=100, metavar="N", help="points along it (default 100)")
    add(
        "--mesh",
        type=int,
        nargs=3,
        metavar="N",
        help="q points of the density of states (default: 0.02 1/angstrom apart)",
    )
    add(
        "--no-sum-rule",
        dest="sum_rule",
        action="store_false",
        help="force constants as computed, without the acoustic sum rule",
    )
    flags.calculation(command)
    flags.start(command)
    flags.output(command)


def main(options) -> int:
    """Exit status of the command."""
    from dftopt.cli import phonon_work

    return phonon_work.main(options)
