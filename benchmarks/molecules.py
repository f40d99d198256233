"""Molecules that the benchmarks of Gaussians share."""

import numpy as np
from ase import Atoms
from ase.build import molecule

CAFFEINE = """C 1.07317 0.04885 -0.07573; N 2.51365 0.01256 -0.07580; C 3.35199 1.09592 -0.07533; N 4.61898 0.73028 -0.07549
C 4.57907 -0.63144 -0.07531; C 3.30131 -1.10256 -0.07524; C 2.98068 -2.48687 -0.07377; O 1.82530 -2.90038 -0.07577
N 4.11440 -3.30433 -0.06936; C 5.45174 -2.85618 -0.07235; O 6.38934 -3.65965 -0.07232; N 5.66240 -1.47682 -0.07487
C 7.00947 -0.93648 -0.07524; C 3.92063 -4.74093 -0.06158; H 0.73398 1.08786 -0.07503; H 0.71239 -0.45698 0.82335
H 0.71240 -0.45580 -0.97549; H 2.99301 2.11762 -0.07478; H 7.76531 -1.72634 -0.07591; H 7.14864 -0.32182 0.81969
H 7.14802 -0.32076 -0.96953; H 2.86501 -5.02316 -0.05833; H 4.40233 -5.15920 0.82837; H 4.40017 -5.16929 -0.94780"""


def plain(name: str) -> Atoms:
    """A molecule of ASE's, not periodic, with its moments."""
    atoms = molecule(name)
    atoms.pbc = False
    return atoms


def caffeine() -> Atoms:
    rows = [row.split() for row in CAFFEINE.replace("\n", ";").split(";")]
    return Atoms([r[0] for r in rows], positions=[[float(x) for x in r[1:]] for r in rows])


def water_cluster(edge: int = 2) -> Atoms:
    """Water on a cubic lattice, neighbours turned against each other; not a minimum, but no contact is too close."""
    one, out = plain("H2O"), Atoms()
    for n, cell in enumerate(np.ndindex(edge, edge, edge)):
        copy = one.copy()
        copy.rotate(90 * (n % 4), "z", center="COM")
        copy.rotate(90 * (n % 3), "x", center="COM")
        copy.translate(2.95 * np.array(cell))
        out += copy
    return out


def alkane(n: int) -> Atoms:
    """C_n H_(2n+2), all trans, 1.53 and 1.09 angstrom, 112 degrees between carbons."""
    half = np.radians(112 / 2)
    step = 1.53 * np.array([np.sin(half), np.cos(half)])
    carbons = np.array([[i * step[0], (i % 2) * step[1], 0.0] for i in range(n)])
    out = Atoms("C" * n, positions=carbons)
    for i, c in enumerate(carbons):
        up = -1.0 if i % 2 == 0 else 1.0
        for side in (1.0, -1.0):
            out += Atoms("H", positions=[c + 1.09 * np.array([0.0, 0.58 * up, 0.815 * side])])
    for end, other in ((0, 1), (n - 1, n - 2)):
        along = carbons[end] - carbons[other]
        up = -1.0 if end % 2 == 0 else 1.0
        direction = np.array([np.sign(along[0]) * 0.81, -0.586 * up, 0.0])
        out += Atoms("H", positions=[carbons[end] + 1.09 * direction / np.linalg.norm(direction)])
    return out


SYSTEMS = {
    "C6H6": lambda: plain("C6H6"),
    "(H2O)8": water_cluster,
    "caffeine": caffeine,
    "C20H42": lambda: alkane(20),
    "C30H62": lambda: alkane(30),
    "C40H82": lambda: alkane(40),
}
