"""The command line. Nothing heavy is imported before a command starts.

A command is a module of this folder with the name of the command, light to import: its docstring is its help,
`add_flags(parser)` adds its flags (those that commands share are in `flags`), and `main(options)` imports what it needs,
does the work and returns the exit status.
"""

import argparse
import difflib
import inspect
import os
import sys
import textwrap
import time
import traceback
from collections.abc import Sequence
from importlib import import_module

from dftopt import __version__
from dftopt.errors import InputError, NotConverged

DONE, NOT_CONVERGED, WRONG_INPUT = 0, 1, 2
COMMANDS = {
    "run": "energies, forces and stress of a structure; bands when asked for",
    "bands": "bands beside the density of states, of a structure or of a saved result",
    "dos": "density of states of a saved result",
    "fields": "density, orbitals, potentials, work function and charges of a saved result",
    "relax": "atoms, and the cell, to their minimum",
    "eos": "energy against volume: equilibrium volume and bulk modulus",
    "converge": "the cutoff and k mesh that a wanted accuracy needs",
    "phonons": "phonon bands and density of states, through phonopy",
    "response": "phonons at Gamma, elastic constants, dielectric tensor and Born charges, by linear response",
    "label": "energy, forces and stress of every frame of a file, to train potentials",
    "alloy": "cluster expansion, phase behaviour and kinetics of an alloy; a campaign that computes its own energies",
    "macro": "an equation for a few coordinates of a large stochastic system, learned from small simulations",
    "info": "versions and devices; or what a file holds",
}
OVERVIEW = """\
usage: dftopt COMMAND FILE [flags]

Density functional theory as the minimum of one free energy.

{commands}

First steps:
  dftopt run Si.cif                        cutoff, k mesh and smearing are chosen and printed
  dftopt bands Si.cif --xc LDA             a picture of the bands beside the density of states
  dftopt run Si.cif --ecut 30Ry --kpts 6 6 6 --json si.json
  dftopt run Si.cif --dry-run              sizes, symmetry, memory and time; starts nothing

dftopt COMMAND --help explains a command: what it does, examples, what it writes.
dftopt --version prints the version. Exit status: 0 done and converged; 1 not converged or interrupted, with the state
saved; 2 wrong input, nothing started."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one paragraph."""

    def error(self, message: str):
        """Say what is wrong and where help is; exit status 2."""
        self.exit(
            WRONG_INPUT,
            paragraph(
                f"{self.prog.split()[-1]}: {message.rstrip('.')}{'' if message.endswith('?') else '.'} See {self.prog} --help."
            )
            + "\n",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: default those of the process.

    Returns:
        0 done and converged, 1 not converged or interrupted, 2 wrong input (nothing started).
    """
    begun = time.monotonic()  # --walltime counts from here
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["help"] and len(arguments) > 1:
        arguments = [arguments[1], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(OVERVIEW.format(commands="\n".join(f"  {name:10s}{text}" for name, text in COMMANDS.items())))
        return DONE if arguments else WRONG_INPUT
    if arguments[0] == "--version":
        print(f"dftopt {__version__}")
        return DONE
    name = arguments[0]
    if name not in COMMANDS:
        hint = f"did you mean dftopt run {name}? " if os.path.exists(name) else _nearest(name, COMMANDS)
        return _fail(f"there is no command {name!r}: {hint}See dftopt --help.", WRONG_INPUT)
    command = import_module(f"dftopt.cli.{name}")
    options = _parse(parser(name, command), arguments[1:])
    options.begun = begun
    try:
        return command.main(options)
    except InputError as error:
        return _fail(str(error), WRONG_INPUT, options.debug)
    except NotConverged as error:
        return _fail(str(error), NOT_CONVERGED, options.debug)
    except KeyboardInterrupt:
        return _fail("interrupted.", NOT_CONVERGED)
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor is there one for what is still buffered
        return NOT_CONVERGED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        text = f"{where}{error.strerror or error}. What was finished and written before is intact."
        return _fail(text, NOT_CONVERGED, options.debug)
    except MemoryError:
        return _fail(
            "out of memory. Lower the cutoff, the k mesh or the number of bands.", NOT_CONVERGED, options.debug
        )
    except Exception as error:
        text = f"an unexpected {type(error).__name__}: {error}. This is a mistake in dftopt: please report it, with what --debug prints."
        return _fail(text, NOT_CONVERGED, options.debug)


def parser(name: str, command) -> Parser:
    """The parser of one command; its help is the docstring of the module."""
    made = Parser(
        prog=f"dftopt {name}",
        usage=f"dftopt {name} {getattr(command, 'USAGE', 'FILE')} [flags]",
        description=inspect.cleandoc(command.__doc__ or COMMANDS[name]),
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=28, width=118),
        allow_abbrev=False,
    )
    command.add_flags(made)
    return made


def _parse(made: Parser, arguments: list[str]) -> argparse.Namespace:
    options, unknown = made.parse_known_args(arguments)
    for word in unknown:
        flag = word.split("=")[0]
        if flag.startswith("-"):
            made.error(f"there is no flag {flag}: {_nearest(flag, made._option_string_actions)}".rstrip())
        made.error(f"{word!r} is one argument too many: one FILE is expected")
    return options


def _nearest(name: str, valid) -> str:
    """The nearest valid name as a question, or all of them."""
    close = difflib.get_close_matches(name.lower(), list(valid), n=1, cutoff=0.6)
    return f"did you mean {close[0]}? " if close else f"there are {', '.join(v for v in valid if v != '-h')}. "


def paragraph(text: str) -> str:
    """As it is shown on the terminal."""
    return textwrap.fill(f"dftopt: {' '.join(text.split())}", 100, break_long_words=False, break_on_hyphens=False)


def _fail(text: str, status: int, debug: bool = False) -> int:
    """One paragraph on the standard error."""
    if debug:
        traceback.print_exc()
    print(paragraph(text), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
