"""Imports point one way: a floor imports only floors above it."""

import ast
from pathlib import Path

import pytest

import dftopt

ROOT = Path(dftopt.__file__).parent
FLOORS = ["leaves", "atoms", "bases", "energy", "minimization", "properties", "calculator", "cli"]
# macro knows arrays only, alloy takes energies from any calculator: nothing of density functional theory
BESIDE = {"macro": {"macro", "leaves"}, "alloy": {"alloy", "macro", "leaves"}}
LEAVES = {"errors", "locks", "units", "precision", "xc"}
# A result offers its own forces, stress, density and file: one-line methods that call the floor below when used.
ALLOWED = {("minimization/result.py", "properties"), ("minimization/molecular_result.py", "properties")}


def floor_of(module: str) -> str | None:
    part = module.split(".")[1] if module.startswith("dftopt.") else None
    return "leaves" if part in LEAVES else part


def imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dftopt"):
            yield from ([f"{node.module}.{a.name}" for a in node.names] if node.module == "dftopt" else [node.module])
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("dftopt"))


@pytest.mark.parametrize(
    "path", sorted(p for p in ROOT.rglob("*.py") if p.parent != ROOT), ids=lambda p: str(p.relative_to(ROOT))
)
def test_imports_point_upwards(path):
    name = str(path.relative_to(ROOT))
    own = floor_of("dftopt." + name.replace("/", ".").removesuffix(".py"))
    for module in imports(path):
        theirs = floor_of(module)
        if own in BESIDE:
            assert theirs is None or theirs in BESIDE[own], f"{name} imports {module}"
        elif theirs in FLOORS and (name, theirs) not in ALLOWED:
            assert FLOORS.index(theirs) <= FLOORS.index(own), f"{name} imports {module}"


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_small(path):
    assert len(path.read_text().splitlines()) <= 420
