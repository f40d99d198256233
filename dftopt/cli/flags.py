"""Flags that commands share. They are named as the calculator's keywords and override the file's. Imports nothing heavy."""

import argparse
from collections.abc import Callable

from dftopt.cli import quantities


def unit(read: Callable[[str], float]) -> Callable[[str], float]:
    """A reader of `quantities` as argparse wants it, so that its own message is shown."""

    def parse(text: str) -> float:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


energy, length, force, pressure, duration = map(
    unit, (quantities.energy, quantities.length, quantities.force, quantities.pressure, quantities.duration)
)


def cutoff(text: str) -> float | str:
    """An energy, or how good the cutoff that is recommended for the potentials should be."""
    return text.lower() if text.lower() in ("low", "normal", "high") else energy(text)


def structure(command: argparse.ArgumentParser, what: str = "") -> None:
    """The input file."""
    add = command.add_argument
    text = what or "TOML input, a pw.x input (.in), or a structure that ASE reads: CIF, POSCAR, xyz, extxyz, ..."
    add("file", metavar="FILE", help=text)
    add("--format", metavar="NAME", help="format of a structure file by ASE's name, where its own name does not tell")


def calculation(command: argparse.ArgumentParser) -> None:
    """The calculator's keywords."""
    add = command.add_argument_group("calculation (energies take eV, meV, Ha, Ry; a bare number is eV)").add_argument
    add(
        "--xc",
        metavar="NAME",
        help="functional: LDA, PBE, PBEsol, none, or libxc names joined by + (default: that of UPF files, else PBE)",
    )
    add(
        "--ecut",
        type=cutoff,
        metavar="ENERGY",
        help="plane-wave cutoff, such as 30Ry, or low, normal (default), high for the potentials",
    )
    add("--mode", choices=("pw", "gaussian"), help="plane waves (default), or Gaussians for molecules")
    add("--basis", metavar="NAME", help="Gaussian basis set (default def2-svp)")
    add("--grid", type=int, metavar="LEVEL", help="quadrature grid of Gaussians, 0 to 9 (default 3)")
    add("--kpts", type=int, nargs=3, metavar="N", help="k mesh, Gamma-centred, such as 4 4 4 (default: by --spacing)")
    add("--shift", type=float, nargs=3, metavar="S", help="shift of the mesh in its steps, such as 0.5 0.5 0.5")
    add("--spacing", type=float, metavar="X", help="largest distance of k points, 1/angstrom with 2 pi (default 0.2)")
    add(
        "--pseudopotentials",
        nargs="+",
        metavar="NAME",
        help="a GTH family or a folder for all, or Si=GTH-PBE-q4 O=O.upf ...",
    )
    add(
        "--occupations",
        metavar="NAME",
        help="fixed (T = 0), fermi-dirac (default), gaussian, marzari-vanderbilt, methfessel-paxton",
    )
    add("--width", type=energy, metavar="ENERGY", help="of the occupations, such as 0.1eV (default) or 300K")
    add("--nbands", type=int, metavar="N", help="number of bands (default: enough)")
    add("--spinpol", action=argparse.BooleanOptionalAction, default=None, help="collinear spin (default: with moments)")
    add("--magmoms", type=float, nargs="+", metavar="M", help="starting moment of each atom, bohr magnetons")
    add("--magnetization", type=float, metavar="M", help="N_up - N_down to hold fixed, bohr magnetons (default: free)")
    add("--starts", type=int, metavar="N", help="sets of starting moments to try (default 1)")
    add("--charge", type=float, metavar="Q", help="total charge in e")
    add(
        "--coulomb",
        metavar="NAME",
        help="periodic (default), 2d for slabs, 0d for molecules: no interaction with images",
    )
    add("--dipole-correction", action="store_true", default=None, help="for slabs with a dipole")
    add("--dispersion", metavar="NAME", help="d3bj: D3 with Becke-Johnson damping")
    add(
        "--symmetry",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="use the crystal's symmetry (default: yes)",
    )
    add("--minimizer", metavar="NAME", help="cg (default), lbfgs, gradient-descent or adam")
    add("--kpoints-at-once", type=int, metavar="N", help="on the device, the others on disk (default: all)")
    add("--tol", type=energy, metavar="ENERGY", help="predicted error per atom at which to stop (default 1e-9 eV)")
    add("--maxiter", type=int, metavar="N", help="at most this many evaluations (default 300)")
    add("--seed", type=int, metavar="N", help="of the random numbers in the start (default 0)")
    add("--force", action="store_true", default=None, help="let atoms that are too close pass")


def start(command: argparse.ArgumentParser, resume: str = "continue what was interrupted in the same folder") -> None:
    """Flags on how a command runs, ends and goes on."""
    add = command.add_argument_group("running").add_argument
    add("--dry-run", action="store_true", help="print structure, symmetry, sizes, memory and time, and stop")
    add("--resume", action="store_true", help=resume)
    add(
        "--walltime",
        type=duration,
        metavar="TIME",
        help="stop before this time with the state saved (exit 1): 90s, 30m, 2h",
    )


def output(command: argparse.ArgumentParser, out: str = "folder for results (default: out/NAME)") -> None:
    """Flags on what is written."""
    add = command.add_argument_group("output").add_argument
    add("--out", metavar="DIR", help=out)
    add("--json", metavar="FILE", help="where the JSON goes (default: in that folder)")
    add("--overwrite", action="store_true", help="replace existing results")
    debug(command)


def debug(command: argparse.ArgumentParser) -> None:
    """The flag for those who report a mistake."""
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
