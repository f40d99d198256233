"""Numbers with units, as people write them. Nothing is imported before one is read: help stays fast."""

import re
from collections.abc import Callable, Mapping

_NUMBER = re.compile(
    r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?nan|[-+]?inf)\s*([^\s\d].*?)?\s*", re.IGNORECASE
)
_DURATION = re.compile("".join(rf"(?:(\d+\.?\d*|\.\d+)\s*{unit})?\s*" for unit in ("d", "h", "m(?:in)?", "s?")))
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?")


def energy(text: str) -> float:
    """Electronvolts of "30Ry", "15 Ha", "400 eV", "1meV", "300K" (k_B T) or "400".

    Raises:
        ValueError: not a number with one of these units.
    """
    return _read(text, _energies, "an energy", "eV, meV, Ha, Ry or K", "30Ry")


def length(text: str) -> float:
    """Angstrom of "0.01A", "0.02 bohr" or "0.01".

    Raises:
        ValueError: not a number with one of these units.
    """
    return _read(text, _lengths, "a length", "A or bohr", "0.01A")


def force(text: str) -> float:
    """The eV / angstrom of "0.01eV/A", "10 meV/A", "1e-4 Ha/bohr" or "0.01".

    Raises:
        ValueError: not a number with one of these units.
    """
    return _read(text, _forces, "a force", "eV/A, meV/A, Ha/bohr or Ry/bohr", "0.01eV/A")


def pressure(text: str) -> float:
    """Gigapascal of "0.5GPa", "5 kbar", "0.01 eV/A^3", "1e-5 Ha/bohr^3" or "0.5".

    Raises:
        ValueError: not a number with one of these units.
    """
    return _read(text, _pressures, "a pressure", "GPa, kbar, eV/A^3 or Ha/bohr^3", "0.1GPa")


def duration(text: str) -> float:
    """Seconds of "90s", "30m", "2h", "1h30m", "1-12:00:00" or "90".

    Raises:
        ValueError: not a positive time.
    """
    text = str(text).strip().lower()
    match = _CLOCK.fullmatch(text) or _DURATION.fullmatch(text)
    days, hours, minutes, seconds = (float(x or 0) for x in match.groups()) if match else (0.0,) * 4
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not total > 0:
        raise ValueError(f"{text!r} is not a time: give seconds, minutes or hours, such as 90s, 30m, 2h or 1h30m")
    return total


def _read(text: str, units: Callable[[], Mapping[str, float]], kind: str, names: str, example: str) -> float:
    match = _NUMBER.fullmatch(str(text))
    unit = (match[2] or "").lower().replace(" ", "") if match else ""
    if not match or (unit and unit not in units()):
        raise ValueError(f"{text!r} is not {kind}: a number with {names}, such as {example}")
    return float(match[1]) * (units()[unit] if unit else 1.0)


def _energies() -> dict[str, float]:
    from ase.units import Hartree, Rydberg, kB

    return {"ev": 1.0, "mev": 1e-3, "ha": Hartree, "hartree": Hartree, "mha": 1e-3 * Hartree, "ry": Rydberg,
            "mry": 1e-3 * Rydberg, "rydberg": Rydberg, "k": kB}  # fmt: skip


def _lengths() -> dict[str, float]:
    from ase.units import Bohr

    return {"a": 1.0, "å": 1.0, "ang": 1.0, "angstrom": 1.0, "bohr": Bohr, "au": Bohr, "pm": 0.01, "nm": 10.0}


def _forces() -> dict[str, float]:
    return {f"{e}/{l}": x / y for e, x in _energies().items() for l, y in _lengths().items()}


def _pressures() -> dict[str, float]:
    from ase.units import GPa

    cubed = {
        f"{e}/{l}{cube}": x / y**3 / GPa
        for e, x in _energies().items()
        for l, y in _lengths().items()
        for cube in ("3", "^3", "**3")
    }
    return {"gpa": 1.0, "mpa": 1e-3, "kbar": 0.1, "bar": 1e-4, "pa": 1e-9, **cubed}
