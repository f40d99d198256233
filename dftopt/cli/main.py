"""The command line. Nothing heavy is imported before a command starts."""

import argparse
import sys
import textwrap
import traceback
from collections.abc import Sequence
from importlib import import_module

from dftopt import __version__
from dftopt.cli.quantities import energy
from dftopt.errors import InputError, NotConverged

DONE, NOT_CONVERGED, WRONG_INPUT = 0, 1, 2
COMMANDS = ("run", "bands", "dos", "info")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: default those of the process.

    Returns:
        0 done and converged, 1 not converged or interrupted, 2 wrong input (nothing started).
    """
    options = parser().parse_args(arguments)
    try:
        return import_module(f"dftopt.cli.{options.command}").main(options)
    except InputError as error:
        return _fail(str(error), WRONG_INPUT, options.debug)
    except NotConverged as error:
        return _fail(str(error), NOT_CONVERGED, options.debug)
    except KeyboardInterrupt:
        return _fail("interrupted.", NOT_CONVERGED, debug=False)
    except BrokenPipeError:  # the reader of our output went away
        sys.stderr.close()
        return NOT_CONVERGED
    except Exception as error:
        text = f"an unexpected {type(error).__name__}: {error}. This is a mistake in dftopt: please report it, with what --debug prints."
        return _fail(text, NOT_CONVERGED, options.debug)


def _fail(text: str, status: int, debug: bool) -> int:
    """One paragraph on the standard error."""
    if debug:
        traceback.print_exc()
    print(
        textwrap.fill(f"dftopt: {' '.join(text.split())}", 100, break_long_words=False, break_on_hyphens=False),
        file=sys.stderr,
    )
    return status


def parser() -> argparse.ArgumentParser:
    """All commands and flags."""
    top = argparse.ArgumentParser(
        "dftopt", description="Density functional theory as the minimum of one free energy.", allow_abbrev=False
    )
    top.add_argument("--version", action="version", version=f"dftopt {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run", help="energies, forces, stress and, when asked for, bands of a structure", allow_abbrev=False
    )
    run.add_argument("file", help="TOML input, or a structure file that ASE reads (CIF, xyz, POSCAR, ...)")
    _calculation_flags(run)
    run.add_argument("--bands", metavar="PATH", help="also bands along special points, such as LGXWKG")
    run.add_argument(
        "--start", metavar="RESULT.h5", help="continue from a saved result of the same cell, cutoff and k points"
    )

    bands = commands.add_parser("bands", help="bands beside the density of states", allow_abbrev=False)
    bands.add_argument("file", help="a saved result.h5; or TOML input or a structure file, which is run first")
    _calculation_flags(bands)
    bands.add_argument("--path", help="special points, such as LGXWKG (default: the lattice's own path)")
    bands.add_argument("--npoints", type=int, help="points along the path (default 60)")

    dos = commands.add_parser("dos", help="density of states of a saved result", allow_abbrev=False)
    dos.add_argument("file", help="a saved result.h5")
    dos.add_argument("--broadening", type=energy, metavar="ENERGY", help="width of the levels (default 0.16 eV)")
    dos.add_argument("--kpts", type=int, nargs=3, metavar="N", help="a finer mesh for the levels")
    dos.add_argument("--nbands", type=int, help="bands on that mesh")
    _output_flags(dos)

    info = commands.add_parser("info", help="versions and devices; or what a file holds", allow_abbrev=False)
    info.add_argument("file", nargs="?", help="a saved result.h5, TOML input or a structure file")
    info.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return top


def _calculation_flags(command) -> None:
    """Flags named as the calculator's keywords; they override the file."""
    group = command.add_argument_group("calculation (energies take the units eV, Ha, Ry; a bare number is eV)")
    group.add_argument("--xc", help="functional: LDA, PBE, PBEsol, none, or libxc names joined by + (default PBE)")
    group.add_argument("--ecut", type=energy, metavar="ENERGY", help="plane-wave cutoff, such as 30Ry")
    group.add_argument("--kpts", type=int, nargs="+", metavar="N", help="Gamma-centred mesh, such as 4 4 4")
    group.add_argument("--nbands", type=int, help="number of bands")
    group.add_argument("--occupations", metavar="NAME", help="fixed (T = 0), fermi-dirac, gaussian, ...")
    group.add_argument("--width", type=energy, metavar="ENERGY", help="width of the occupations, such as 0.1eV")
    group.add_argument(
        "--symmetry", action=argparse.BooleanOptionalAction, default=None, help="use the crystal's symmetry"
    )
    group.add_argument("--minimizer", help="cg, lbfgs, gradient-descent or adam")
    group.add_argument("--tol", type=energy, metavar="ENERGY", help="predicted error per atom at which to stop")
    group.add_argument("--maxiter", type=int, help="at most this many evaluations")
    group.add_argument("--seed", type=int, help="of the random numbers in the start")
    group.add_argument("--force", action="store_true", default=None, help="let atoms that are too close pass")
    command.add_argument("--dry-run", action="store_true", help="print sizes, symmetry, memory and time, and stop")
    _output_flags(command)


def _output_flags(command) -> None:
    group = command.add_argument_group("output")
    group.add_argument(
        "--out", metavar="DIR", help="folder for results (default: out/NAME, or that of the saved result)"
    )
    group.add_argument("--json", metavar="OUT", help="where the JSON goes (default: in the folder)")
    group.add_argument("--overwrite", action="store_true", help="replace existing results")
    group.add_argument("--debug", action="store_true", help="show the traceback of an error")


if __name__ == "__main__":
    sys.exit(main())
