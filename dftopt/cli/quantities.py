"""Energies with units, as people write them."""

import re

from ase.units import Hartree, Rydberg

UNITS = {"ev": 1.0, "ha": Hartree, "hartree": Hartree, "ry": Rydberg, "mev": 1e-3}
_NUMBER = re.compile(
    r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?nan|[-+]?inf)\s*([A-Za-z]*)\s*", re.IGNORECASE
)


def energy(text: str) -> float:
    """Electronvolts of "30Ry", "15 Ha", "400 eV" or "400".

    Raises:
        ValueError: not a number with one of these units (what argparse expects of a type).
    """
    match = _NUMBER.fullmatch(text)
    unit = match[2].lower() if match else ""
    if not match or (unit and unit not in UNITS):
        raise ValueError(f"{text!r} is not an energy: a number with eV, Ha or Ry, such as 30Ry")
    return float(match[1]) * (UNITS[unit] if unit else 1.0)
