"""UPF files of version 2 (XML), the format of Quantum ESPRESSO; version 1 is in `upf1`.

References:
    Giannozzi et al., the UPF format, https://pseudopotentials.quantum-espresso.org/home/unified-pseudopotential-format.
"""

import re
from xml.etree import ElementTree

import numpy as np

from dftopt.atoms.potential_text import (
    MOST_POINTS,
    MOST_PROJECTORS,
    Source,
    check_channels,
    check_charge,
    check_count,
    check_element,
    check_mesh,
    check_tail,
    number,
    whole,
)
from dftopt.atoms.tabulated import Channel, PseudoOrbital, Tabulated
from dftopt.errors import InputError
from dftopt.xc import Functional, from_short_name

RYDBERG = 0.5  # hartree
ONLY = "Only norm-conserving, scalar-relativistic potentials are supported"


def parse(source: Source) -> Tabulated:
    """A potential from the text of a UPF file of version 2.

    Raises:
        InputError: a kind of potential that is not supported, or a damaged file; names line and field.
    """
    source = _cleaned(source)
    root = _tree(source)
    header = root.find("PP_HEADER")
    if header is None or not header.attrib:
        raise source.error("PP_HEADER is missing or empty: the file is truncated or no UPF file of version 2.")
    at = source.text.find("<PP_HEADER")
    given = {k: v.strip() for k, v in header.attrib.items()}
    _refuse(source, root, given, at)
    element = check_element(source, given.get("element", ""), at)
    charge = check_charge(source, element, number(given.get("z_valence", "")), at)
    size = check_count(source, "mesh_size in PP_HEADER", whole(given.get("mesh_size", "")), MOST_POINTS, at)
    r = _numbers(source, root, "PP_MESH/PP_R", size)
    dr = _numbers(source, root, "PP_MESH/PP_RAB", size)
    check_mesh(source, r, dr, _place(source, "PP_R"))
    v = RYDBERG * _numbers(source, root, "PP_LOCAL", size)
    check_tail(source, r, v, charge, _place(source, "PP_LOCAL"))
    channels, points = _projectors(source, root, given, size, at)
    core = _numbers(source, root, "PP_NLCC", size) if truth(given.get("core_correction", "F")) else None
    density = _numbers(source, root, "PP_RHOATOM", size) if root.find("PP_RHOATOM") is not None else None
    named = given.get("functional", "")
    return Tabulated(
        element=element, name=source.path.replace("\\", "/").rsplit("/", 1)[-1], charge=charge, r=r, dr=dr, v_local=v,
        channels=channels, projector_points=points, core=core, density=density, orbitals=_orbitals(source, root, size),
        named=named, functional=functional_named(named), format="UPF 2", path=source.path, raw=source.raw,
        suggested_cutoff=positive(given.get("wfc_cutoff", "")) * RYDBERG,
    )  # fmt: skip


def truth(word: str) -> bool:
    """A truth value as Fortran or XML writes it."""
    return word.strip().strip(".").upper()[:1] in ("T", "1")


def positive(word: str) -> float:
    """A positive finite number, 0 for anything else."""
    value = number(word)
    return value if 0 < value < 1e6 else 0.0


def functional_named(text: str) -> Functional | None:
    """The functional of a file's words, None where it names none or one that is unknown here."""
    try:
        return from_short_name(text) if text.strip() else None
    except InputError:
        return None


def _cleaned(source: Source) -> Source:
    """The XML alone, in its place: free text, which often is no XML, and what surrounds the root become blanks."""
    text = source.text
    if re.search(r"<!(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise source.error("it declares a document type or entities, which no potential needs.")
    start, end = text.find("<UPF"), text.rfind("</UPF>")
    if end < 0:
        raise source.error("it is truncated: its last tag </UPF> is missing.", len(text))
    blank = lambda match: re.sub(r"[^\n]", " ", match.group(0))
    end += len("</UPF>")
    text = re.sub(r"[^\n]", " ", text[:start]) + text[start:end] + re.sub(r"[^\n]", " ", text[end:])
    text = re.sub(r"<PP_INFO\b.*?</PP_INFO\s*>", blank, text, count=1, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", blank, text, flags=re.DOTALL)
    return Source(
        source.path, source.raw, re.sub(r"[^\t\n\x20-%'-\ud7ff\ue000-\ufffd]", " ", text)
    )  # no control characters, no &


def _tree(source: Source) -> ElementTree.Element:
    lead = len(source.text) - len(source.text.lstrip())
    try:
        return ElementTree.fromstring(source.text[lead:].rstrip())
    except ElementTree.ParseError as error:
        line = error.position[0] + source.line(lead) - 1
        raise InputError(
            f"pseudopotential {source.path}, line {line}: damaged XML ({error.msg.split(':')[0]})."
        ) from None


def _refuse(source: Source, root, given: dict, at: int) -> None:
    kind = given.get("pseudo_type", "").upper()
    refused = [
        (
            truth(given.get("is_paw", "F")) or kind == "PAW" or root.find("PP_PAW") is not None,
            "a PAW data set",
            "is_paw",
        ),
        (
            truth(given.get("is_ultrasoft", "F"))
            or kind in ("US", "USPP")
            or root.find("PP_NONLOCAL/PP_AUGMENTATION") is not None,
            "an ultrasoft potential",
            "is_ultrasoft",
        ),
        (
            truth(given.get("has_so", "F"))
            or given.get("relativistic", "").lower() == "full"
            or root.find("PP_SPIN_ORB") is not None,
            "a potential with spin-orbit coupling",
            "has_so",
        ),
        (truth(given.get("is_coulomb", "F")) or kind == "1/R", "the bare Coulomb potential of a nucleus", "is_coulomb"),
        (
            root.find("PP_SEMILOCAL") is not None and root.find("PP_NONLOCAL/PP_BETA.1") is None,
            "a semilocal potential without projectors",
            "PP_SEMILOCAL",
        ),
    ]
    for wrong, what, tag in refused:
        if wrong:
            shown = f'{tag}="{given[tag]}"' if tag in given else tag
            found = f' and pseudo_type="{given["pseudo_type"]}"' if "pseudo_type" in given else ""
            raise source.error(f"it holds {what} ({shown}{found}). {ONLY}.", at)
    if kind not in ("NC", "SL", ""):
        raise source.error(f'pseudo_type="{given["pseudo_type"]}" is unknown. {ONLY} (pseudo_type="NC").', at)


def _place(source: Source, tag: str) -> int | None:
    """Position of a tag in the text."""
    found = re.search(rf"<{re.escape(tag)}(?=[\s>/])", source.text)
    return found.start() if found else None


def _numbers(source: Source, root, path: str, count: int) -> np.ndarray:
    """The numbers of an element, whose own size has to agree with them."""
    node = root.find(path)
    tag = path.rsplit("/", 1)[-1]
    if node is None:
        raise source.error(f"<{tag}> is missing.")
    at = _place(source, tag)
    if "size" in node.attrib and whole(node.attrib["size"]) != count:
        raise source.error(f'<{tag}> has size="{node.attrib["size"].strip()}", PP_HEADER says {count}.', at)
    start = source.text.find(">", at if at is not None else 0) + 1
    end = source.text.find(f"</{tag}", start)
    if len(node) or end < 0:
        raise source.error(f"<{tag}> does not hold plain numbers.", at)
    return source.numbers(start, end, f"<{tag}>", count)


def _projectors(source: Source, root, given: dict, size: int, at: int) -> tuple[tuple[Channel, ...], int]:
    """Channels, and the number of mesh points that the projectors take."""
    n = check_count(source, "number_of_proj in PP_HEADER", whole(given.get("number_of_proj", "")), MOST_PROJECTORS, at)
    if not n:
        return (), size
    found = [x for x in root.findall("PP_NONLOCAL/*") if x.tag.startswith("PP_BETA")]
    if len(found) != n:
        raise source.error(f"it holds {len(found)} projectors (PP_BETA), PP_HEADER says {n}.", at)
    momenta, points, values = [], [], []
    for i in range(1, n + 1):
        node = root.find(f"PP_NONLOCAL/PP_BETA.{i}")
        if node is None:
            raise source.error(f"<PP_BETA.{i}> is missing.", at)
        l = whole(node.attrib.get("angular_momentum", ""))
        if l is None:
            raise source.error(f"<PP_BETA.{i}> has no angular_momentum.", _place(source, f"PP_BETA.{i}"))
        momenta.append(l)
        points.append(whole(node.attrib.get("cutoff_radius_index", "")) or size)
        values.append(_numbers(source, root, f"PP_NONLOCAL/PP_BETA.{i}", size))
    d = _numbers(source, root, "PP_NONLOCAL/PP_DIJ", n * n).reshape(n, n)
    return channels(source, momenta, values, d, _place(source, "PP_DIJ")), min(max(points), size)


def channels(source: Source, momenta: list[int], values: list[np.ndarray], d: np.ndarray, at) -> tuple[Channel, ...]:
    """Projectors sorted by l, with their coupling (rydberg) as it acts within each l."""
    l = np.array(momenta)
    if np.any(np.abs(d[l[:, None] != l]) > 1e-8 * np.abs(d).max(initial=0)):
        raise source.error("PP_DIJ couples projectors of different l.", at)
    kept = [np.flatnonzero(l == x) for x in dict.fromkeys(momenta)]
    made = [Channel(int(l[i[0]]), np.stack([values[j] for j in i]), RYDBERG * d[np.ix_(i, i)]) for i in kept]
    return check_channels(source, made, at)


def _orbitals(source: Source, root, size: int) -> tuple[PseudoOrbital, ...]:
    out = []
    for node in root.findall("PP_PSWFC/*"):
        if node.tag.startswith("PP_CHI."):
            l = whole(node.attrib.get("l", ""))
            if l is None or not 0 <= l <= 6:
                raise source.error(f"<{node.tag}> has no l.", _place(source, node.tag))
            occupation = number(node.attrib.get("occupation", "0"))
            values = _numbers(source, root, f"PP_PSWFC/{node.tag}", size)
            out.append(PseudoOrbital(node.attrib.get("label", "").strip()[:8], l, occupation, values))
    return tuple(out)
