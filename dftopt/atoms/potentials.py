"""Pseudopotentials by what a person writes: the name of a GTH potential, or a UPF or psp8 file."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from dftopt.atoms import gth, psp8, upf, upf1
from dftopt.atoms.gth import GTH
from dftopt.atoms.potential_text import read_bytes, source_of
from dftopt.atoms.tabulated import Tabulated
from dftopt.errors import InputError
from dftopt.xc import Functional, functional

SUFFIXES = (".upf", ".psp8")
_ELSEWHERE = (  # formats that are recognized to be refused by their names
    (r"<paw_(setup|dataset)\b", "a PAW data set in XML (tag paw_setup)"),
    (r"<(\w+:)?psml\b", "a PSML file"),
    (r"<(\w+:)?pseudo\b|<pp_header\b", "a UPF file of the new schema (tag pseudo)"),
    (r"<pseudo_paw|atompaw", "a PAW data set of atompaw"),
)


def choose(
    chosen, species: tuple[str, ...], xc: str | None
) -> tuple[Functional, dict[str, GTH | Tabulated], tuple[str, ...]]:
    """Functional and potentials of a model.

    Args:
        chosen: None, one name for all elements, or {element: name}; a name is that of a GTH potential or family, the
            path of a file or of a folder with one file per element, or a potential itself.
        species: elements of the structure.
        xc: name of the functional; None for what the files name, and PBE where there are none.

    Returns:
        The functional, the potential of each element, and a sentence for each file made for another functional.

    Raises:
        InputError: unknown or damaged potentials, files that name different functionals, or an unknown functional.
    """
    asked = functional(xc) if xc is not None else None
    if chosen is None or not isinstance(chosen, Mapping):
        chosen = {} if chosen is None else dict.fromkeys(species, chosen)
    for element in chosen:
        if element not in species:
            raise InputError(
                f"pseudopotentials names {element!r}, which is not in the structure ({', '.join(species)})."
            )
    found = {e: load(e, name) for e, name in chosen.items()}
    files = [p for p in found.values() if isinstance(p, Tabulated)]
    used = asked if asked is not None else _named_by(files)
    family = gth.family_for(used.terms)
    notes = tuple(
        f"{p.name} of {p.element} was made for the functional {p.xc or p.named}, not for {used.name}"
        for p in files
        if p.named and p.xc != used.name
    )
    return used, {e: found[e] if e in found else gth.load(e, family) for e in species}, notes


def _named_by(files: Iterable[Tabulated]) -> Functional:
    """What the files name; PBE where they name nothing."""
    named = [p for p in files if p.named]
    for p in named:
        if p.functional is None:
            raise InputError(
                f"the functional {p.named!r} that {p.path} names is not known here. Name one with xc, such as xc='PBE'."
            )
    if len({p.xc for p in named}) > 1:
        listed = ", ".join(f"{p.name} {p.xc}" for p in named)
        raise InputError(f"the pseudopotential files name different functionals ({listed}). Choose one with xc.")
    return named[0].functional if named else functional("PBE")  # type: ignore[return-value]


def is_file(name) -> bool:
    """Whether a potential is named by a file or folder rather than by the name of a GTH potential."""
    path = Path(str(name))
    return path.suffix.lower() in SUFFIXES or (not path.name.upper().startswith("GTH") and path.expanduser().exists())


def load(element: str, name) -> GTH | Tabulated:
    """A potential by the name of a GTH potential or the path of a file, or of a folder that holds one for the element.

    Raises:
        InputError: there is no such potential, it is of another element or kind, or damaged.
    """
    if isinstance(name, (GTH, Tabulated)):
        potential = name
    elif is_file(name):
        potential = read(name if not Path(name).expanduser().is_dir() else _in_folder(element, Path(name)))
    else:
        return gth.load(element, str(name))
    if potential.element != element:
        raise InputError(f"pseudopotentials[{element!r}]: {potential.name} is a potential of {potential.element}.")
    return potential


def read(path) -> Tabulated:
    """A potential from a UPF or psp8 file; which of them is told by its content.

    Raises:
        InputError: no such file, a kind of potential that is not supported, or a damaged file.
    """
    return from_bytes(read_bytes(Path(path)), str(path))  # read every time: a changed file is another potential


@lru_cache(maxsize=64)  # the tables of a potential are made once
def from_bytes(raw: bytes, path: str) -> Tabulated:
    """A potential from the content of its file.

    Raises:
        InputError: see `read`.
    """
    source = source_of(raw, path)
    text = source.text
    try:
        with np.errstate(all="ignore"):
            if "<UPF" in text:
                return upf.parse(source)
            if "<PP_HEADER>" in text:
                return upf1.parse(source)
            if psp8.recognized(text):
                return psp8.parse(source)
    except (ValueError, LookupError, ArithmeticError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise source.error(f"it is damaged ({type(error).__name__}: {error}).") from None
    for pattern, what in _ELSEWHERE:
        if re.search(pattern, text[:20_000]):
            raise source.error(
                f"it is {what}. Only norm-conserving UPF (version 1 and 2) and psp8 files are supported."
            )
    raise source.error("it is neither UPF (no <UPF> or <PP_HEADER> tag) nor psp8 (no pspcod = 8 in line 3).")


def _in_folder(element: str, folder: Path) -> Path:
    """The only UPF or psp8 file of a folder whose name begins with the symbol of an element."""
    names = sorted(p.name for p in folder.expanduser().iterdir() if p.suffix.lower() in SUFFIXES)
    fit = [n for n in names if re.match(rf"{element}(?![a-z])", n[:1].upper() + n[1:])]
    if len(fit) != 1:
        found = f"holds {', '.join(fit[:8])}" if fit else f"holds no UPF or psp8 file of it among {len(names)}"
        raise InputError(f"pseudopotentials: for {element} the folder {str(folder)!r} {found}. Name the file.")
    return folder / fit[0]


def looks_like_potential(path: Path) -> bool:
    """Whether a file is a potential, by its name or by how it begins."""
    if path.suffix.lower() in SUFFIXES:
        return True
    with path.open("rb") as file:
        text = file.read(4096).decode("latin-1")
    return bool(re.search(r"<(UPF|PP_INFO|PP_HEADER)\b", text)) or psp8.recognized(text)
