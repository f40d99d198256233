"""Help is fast and teaches: nothing heavy is imported, every command says what it does, writes and returns."""

import json
import resource
import subprocess
import sys

import pytest

from dftopt.cli.main import COMMANDS

HEAVY = ("jax", "ase", "matplotlib", "numpy", "scipy", "pyscf", "phonopy", "h5py", "spglib")
EVERY_HELP = """
import contextlib, io, json, sys
from dftopt.cli.main import COMMANDS, main
printed = {}
for name in ("", *COMMANDS):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([*([name] if name else []), "--help"])
    printed[name] = out.getvalue()
print(json.dumps({"printed": printed, "modules": sorted(m for m in sys.modules if "." not in m)}))
"""


@pytest.fixture(scope="module")
def every():
    done = subprocess.run([sys.executable, "-c", EVERY_HELP], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_help_imports_nothing_heavy(every):
    assert not set(HEAVY) & set(every["modules"])


@pytest.mark.parametrize("name", COMMANDS)
def test_help_teaches(name, every):
    text = every["printed"][name]
    assert text.startswith(f"usage: dftopt {name} ")
    for part in ("Examples:", "Writes", "Exit status", "--help"):
        assert part in text
    assert text.count(f"dftopt {name}") >= 3  # usage and two examples
    assert max(map(len, text.splitlines())) <= 130


def test_overview_names_every_command(every):
    text = every["printed"][""]
    assert all(f"  {name} " in text for name in COMMANDS)


def test_help_takes_less_than_half_a_second():
    """Of processor time, which other processes on the machine do not change."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "dftopt.cli.main", "--help"], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
