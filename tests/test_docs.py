"""The documentation speaks of what is there: names, keys, commands, messages, modules."""

import inspect
import json
import re
from importlib import import_module
from pathlib import Path

import pytest
from ase.build import bulk

import dftopt
from dftopt.atoms import cutoff
from dftopt.calculator.setup import KEYS
from dftopt.cli.inputs import BANDS_KEYS, DOS_KEYS
from dftopt.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(p for p in DOCS.rglob("*.md") if "_generated" not in p.parts)


def named(path: str):
    """What a dotted name stands for; modules are imported on the way."""
    value, *rest = dftopt, *path.split(".")[1:]
    for i, part in enumerate(rest):
        try:
            value = getattr(value, part)
        except AttributeError:
            value = import_module("dftopt." + ".".join(rest[: i + 1]))
    return value


def test_names_in_the_text_exist():
    for page in PAGES:
        for name in re.findall(r"`(dftopt(?:\.\w+)+)(?:\(\))?`", page.read_text()):
            named(name)
        for line in re.findall(r"^from (dftopt[\w.]*) import ([\w, ]+)$", page.read_text(), re.M):
            for name in line[1].split(", "):
                named(f"{line[0]}.{name}")


def test_symbols_are_in_the_modules_that_are_named():
    text = (DOCS / "symbols.md").read_text()
    found = re.findall(r"((?:`\w+`(?:, )?)+) of (?:the classes in )?`(dftopt[\w.]+)`", text)
    assert len(found) > 10
    for names, home in found:
        source = inspect.getsource(named(home))
        assert all(re.search(rf"\b{name}\b", source) for name in re.findall(r"`(\w+)`", names)), (names, home)


@pytest.fixture(scope="module")
def model():
    return dftopt.Model(bulk("Si", a=5.43), xc="LDA")


def test_attributes_of_result_basis_and_prepared_are_those_of_the_classes(model):
    from dftopt.energy.free_energy import Energies
    from dftopt.energy.prepared import Orbitals, Prepared
    from dftopt.minimization.molecular_result import MolecularResult
    from dftopt.minimization.result import Result

    of_molecules = {"result": set(dir(MolecularResult)), "basis": set(dir(dftopt.Gaussians))}
    classes = {"result": Result, "basis": dftopt.PlaneWaves(model, ecut=4.0), "model": model}
    classes |= {"prepared": Prepared, "prepared.orbitals": Orbitals, "result.energies": Energies}
    classes |= {"basis.kpoints": classes["basis"].kpoints, "model.structure": model.structure}
    text = "".join(page.read_text() for page in PAGES)
    for owner, name in re.findall(
        r"(?<![.\w])((?:result|basis|prepared|model)(?:\.(?:energies|orbitals|kpoints|structure))?)\.(\w+)", text
    ):
        where = classes.get(owner)
        if where is None or name in ("energies", "orbitals", "kpoints", "structure", "json", "h5"):
            continue
        known = set(dir(where)) | set(getattr(where, "__dataclass_fields__", ())) | of_molecules.get(owner, set())
        assert name in known, f"{owner}.{name}"


def test_every_key_of_an_input_is_described():
    text = (DOCS / "files.md").read_text()
    for key in (*KEYS, *BANDS_KEYS, *DOS_KEYS):
        assert f"`{key}`" in text, key


def test_every_key_of_the_result_is_described(tmp_path):
    from dftopt.calculator import report

    text = (DOCS / "files.md").read_text()
    source = Path(report.__file__).read_text()
    for key in re.findall(r'^            "(\w+)":', source, re.M):
        assert f"`{key}`" in text, key


def test_every_command_has_its_page():
    for name in COMMANDS:
        page = (DOCS / "commands" / f"{name}.md").read_text()
        assert f"_generated/{name}.txt" in page
    assert {p.stem for p in (DOCS / "commands").glob("*.md")} == {*COMMANDS, "index"}


def test_messages_of_the_troubleshooting_page_are_in_the_code():
    code = "".join(p.read_text() for p in Path(dftopt.__file__).parent.rglob("*.py"))
    joined = re.sub(r'"\s*\n\s*f?"', "", code)  # strings that go over several lines
    joined = re.sub(r"\{[^{}]*\}", "#", joined)
    for message in re.findall(r"^`([^`]+)`", (DOCS / "troubleshooting.md").read_text(), re.M):
        pieces = re.split(r"[\d.]+e[-+]?\d+|(?<!\w)\d+(?!\w)|P1|Fm-3m| \.\.\. ", message)
        for piece in (p.strip() for p in pieces):
            assert len(piece) < 4 or piece in joined, f"{message!r}: {piece!r}"


def test_cutoffs_of_the_package_are_those_that_were_measured():
    known = json.loads((ROOT / "benchmarks" / "cutoffs.json").read_text())
    assert {f"{e} {name}" for e, found in cutoff.measured().items() for name in found} == set(known)
