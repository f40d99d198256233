"""UPF files of version 1: sections between tags, with a header that is read line by line.

References:
    Quantum ESPRESSO, upflib/read_upf_v1.f90.
"""

import re

import numpy as np

from dftopt.atoms.potential_text import (
    MOST_POINTS,
    MOST_PROJECTORS,
    Source,
    check_charge,
    check_count,
    check_element,
    check_mesh,
    check_tail,
    number,
    whole,
)
from dftopt.atoms.tabulated import PseudoOrbital, Tabulated
from dftopt.atoms.upf import ONLY, RYDBERG, channels, functional_named, positive, truth

_HEADER = (
    "the version", "the element", "the type", "the core correction", "the functional", "the valence charge",
    "the total energy", "the cutoffs", "the largest l", "the number of mesh points", "the numbers of orbitals and projectors",
)  # fmt: skip


def parse(source: Source) -> Tabulated:
    """A potential from the text of a UPF file of version 1.

    Raises:
        InputError: a kind of potential that is not supported, or a damaged file; names line and field.
    """
    at, end = _section(source, "PP_HEADER")
    head = [
        (at + m.start(), m.group().split()) for m in re.finditer(r"[^\n]+", source.text[at:end]) if m.group().strip()
    ]
    if len(head) < len(_HEADER):
        raise source.error(f"PP_HEADER is truncated: {_HEADER[len(head)]} is missing.", at)
    (_, _), (at_element, element), (at_kind, kind), (_, correction), (_, functional), (at_charge, charge) = head[:6]
    (_, _), (_, cutoffs), (_, _), (at_size, size), (at_counts, counts) = head[6 : len(_HEADER)]
    _refuse(source, kind[0].upper(), at_kind)
    symbol = check_element(source, element[0], at_element)
    z = check_charge(source, symbol, number(charge[0]), at_charge)
    n = check_count(source, "the number of mesh points", whole(size[0]), MOST_POINTS, at_size)
    n_orbitals = check_count(source, "the number of orbitals", whole(counts[0]), MOST_PROJECTORS, at_counts)
    n_projectors = check_count(
        source, "the number of projectors", whole(counts[1]) if len(counts) > 1 else None, MOST_PROJECTORS, at_counts
    )
    r, dr = _numbers(source, "PP_R", n), _numbers(source, "PP_RAB", n)
    check_mesh(source, r, dr, _section(source, "PP_R")[0])
    v = RYDBERG * _numbers(source, "PP_LOCAL", n)
    check_tail(source, r, v, z, _section(source, "PP_LOCAL")[0])
    momenta, values, points = _betas(source, n_projectors, n)
    named = re.sub(r"exchange-correlation.*", "", " ".join(functional), flags=re.IGNORECASE).strip()
    return Tabulated(
        element=symbol, name=source.path.replace("\\", "/").rsplit("/", 1)[-1], charge=z, r=r, dr=dr, v_local=v,
        channels=_coupled(source, momenta, values) if n_projectors else (), projector_points=points or n,
        core=_numbers(source, "PP_NLCC", n) if truth(correction[0]) else None,
        density=_numbers(source, "PP_RHOATOM", n) if "<PP_RHOATOM>" in source.text else None,
        orbitals=_orbitals(source, n_orbitals, n), named=named, functional=functional_named(named), format="UPF 1",
        path=source.path, raw=source.raw, suggested_cutoff=positive(cutoffs[0]) * RYDBERG,
    )  # fmt: skip


def _refuse(source: Source, kind: str, at: int) -> None:
    if kind in ("US", "PAW"):
        what = "an ultrasoft potential" if kind == "US" else "a PAW data set"
        raise source.error(f"it holds {what} (type {kind} in PP_HEADER). {ONLY}.", at)
    if kind not in ("NC", "SL"):
        raise source.error(f"the type {kind[:20]!r} in PP_HEADER is unknown. {ONLY} (NC).", at)
    for tag, what in (
        ("PP_ADDINFO", "a potential with spin-orbit coupling"),
        ("PP_SEMILOCAL", "a semilocal potential without projectors"),
    ):
        place = source.text.find(f"<{tag}>")
        if place >= 0 and (tag != "PP_SEMILOCAL" or "<PP_BETA>" not in source.text):
            raise source.error(f"it holds {what} ({tag}). {ONLY}.", place)


def _section(source: Source, tag: str, start: int = 0) -> tuple[int, int]:
    """Where the content of a section begins and ends."""
    opened = source.text.find(f"<{tag}>", start)
    if opened < 0:
        raise source.error(f"<{tag}> is missing: the file is truncated, or no UPF file.")
    begin = opened + len(tag) + 2
    end = source.text.find(f"</{tag}>", begin)
    if end < 0:
        raise source.error(f"<{tag}> is not closed: the file is truncated.", opened)
    return begin, end


def _numbers(source: Source, tag: str, count: int) -> np.ndarray:
    return source.numbers(*_section(source, tag), f"<{tag}>", count)


def _line(source: Source, start: int, end: int, what: str) -> tuple[list[str], int]:
    """Words of the next line that is not blank, and the position after it."""
    found = re.compile(r"[^\n]*\S[^\n]*\n").search(source.text, start, end)
    if not found:
        raise source.error(f"{what} is missing: the file is truncated.", start)
    return found.group().split(), found.end()


def _betas(source: Source, n: int, size: int) -> tuple[list[int], list[np.ndarray], int]:
    """Angular momenta and values of the projectors, and the number of mesh points that they take."""
    momenta, values, points, at = [], [], 0, 0
    for i in range(1, n + 1):
        start, end = _section(source, "PP_BETA", at)
        words, start = _line(source, start, end, f"the header of projector {i}")
        l = whole(words[1]) if len(words) > 1 else None
        if l is None:
            raise source.error(f"projector {i} has no l.", start)
        words, start = _line(source, start, end, f"the number of points of projector {i}")
        count = check_count(source, f"the number of points of projector {i}", whole(words[0]), size, start)
        # after the values there may be cutoff radii
        stop = source.after(start, end, count)
        if stop is None:
            raise source.error(f"projector {i} is truncated: it holds fewer than {count} numbers.", start)
        beta = source.numbers(start, stop, f"projector {i}", count)
        momenta.append(l)
        values.append(np.concatenate([beta, np.zeros(size - count)]))
        points, at = max(points, count), end
    return momenta, values, points


def _coupled(source: Source, momenta: list[int], values: list[np.ndarray]):
    start, end = _section(source, "PP_DIJ")
    words, at = _line(source, start, end, "the number of couplings")
    count = check_count(source, "the number of couplings (PP_DIJ)", whole(words[0]), MOST_PROJECTORS**2, start)
    rows = source.numbers(at, end, "<PP_DIJ>", 3 * count).reshape(count, 3)
    n = len(momenta)
    d = np.zeros((n, n))
    for i, j, value in rows:
        if i != int(i) or j != int(j) or not (1 <= i <= n and 1 <= j <= n):
            raise source.error(f"<PP_DIJ> couples projectors {i:g} and {j:g} of {n}.", start)
        d[int(i) - 1, int(j) - 1] = d[int(j) - 1, int(i) - 1] = value
    return channels(source, momenta, values, d, start)


def _orbitals(source: Source, n: int, size: int) -> tuple[PseudoOrbital, ...]:
    if "<PP_PSWFC>" not in source.text:
        return ()
    at, end = _section(source, "PP_PSWFC")
    out = []
    for i in range(1, n + 1):
        words, at = _line(source, at, end, f"pseudo-orbital {i}")
        l = whole(words[1]) if len(words) > 2 else None
        if l is None or not 0 <= l <= 6:
            raise source.error(f"pseudo-orbital {i} has no l.", at)
        stop = source.after(at, end, size)
        if stop is None:
            raise source.error(f"pseudo-orbital {i} is truncated.", at)
        out.append(PseudoOrbital(words[0][:8], l, number(words[2]), source.numbers(at, stop, words[0], size)))
        at = stop
    return tuple(out)
