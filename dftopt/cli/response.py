"""Linear response: phonons at Gamma, elastic constants, dielectric tensor, Born charges, without any finite difference.

The minimum is found to roundoff (on the whole k mesh, time reversal kept), then one linear solve per displacement and
strain gives force constants and elasticity, and six more the response of an insulator to electric fields and another six
the deformation potentials of the edges of its gap. For these, say that it is one: --occupations fixed; at a finite width of
the occupations they are left out. Of a molecule, in Gaussians (mode = "gaussian") or in a box: vibrations, infrared
intensities and polarizability. Relax the structure first (dftopt relax): second derivatives away from the minimum are
defined, but mean less.

Examples:
  dftopt response Si.cif --occupations fixed --xc LDA
  dftopt response Al.cif --width 0.2eV
  dftopt response MgO.toml --occupations fixed --direction 1 0 0      longitudinal modes for q along x
  dftopt response water.toml                                          a molecule: mode = "gaussian" in the file

Writes to out/NAME (or --out):
  response.json   frequencies (cm^-1), force constants, elastic constants (hartree/bohr^3 and GPa), internal strain,
                  dielectric tensor, Born charges, deformation potentials; infrared intensities (km/mol) and polarizability
                  of molecules; with the input that reproduces them
  response.png    modes at Gamma and elastic constants, or the infrared spectrum (.csv: the numbers of the modes)
  response.log    what is printed; response.h5: the ground state, from which --resume goes on

Exit status: 0 done; 1 not converged or interrupted; 2 wrong input, nothing started.
"""

from dftopt.cli import flags


def add_flags(command) -> None:
    """Flags of the command."""
    flags.structure(command)
    add = command.add_argument_group("response").add_argument
    add(
        "--no-field", dest="field", action="store_false", help="leave out the electric field (dielectric, Born charges)"
    )
    add(
        "--no-levels",
        dest="levels",
        action="store_false",
        help="leave out the deformation potentials of the gap's edges",
    )
    add("--direction", type=float, nargs=3, metavar="Q", help="of q -> 0 for longitudinal modes (default: x, y and z)")
    flags.calculation(command)
    flags.start(command)
    flags.output(command)


def main(options) -> int:
    """Exit status of the command."""
    from dftopt.cli import response_work

    return response_work.main(options)
