"""Hartree atomic units inside, ASE's constants at the border."""

from ase.units import Bohr, Hartree
from ase.units import GPa as _GPa

BOHR_IN_ANGSTROM = Bohr
HARTREE_IN_EV = Hartree
HARTREE_PER_BOHR3_IN_GPA = Hartree / Bohr**3 / _GPa
HARTREE_IN_INVERSE_CM = 219474.63136320
