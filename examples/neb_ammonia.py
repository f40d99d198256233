"""Ammonia turns inside out: barrier by nudged elastic bands with improved tangents, through ASE.

Run with `python examples/neb_ammonia.py`; it draws neb_ammonia.png. Cutoff, box and number of images are too small for
anything but a look: about a minute on two cores (ammonia's barrier is 0.2 to 0.3 eV). Every image has a calculator of
its own, which starts each step from the orbitals of the last ones; all share the compiled programs, since they have
one cell.
"""

from ase.build import molecule
from ase.mep import NEB, NEBTools
from ase.optimize import BFGS, FIRE

from dftopt import DFTOpt

KEYWORDS = {"xc": "PBE", "ecut": 380, "kpts": (1, 1, 1), "occupations": "fixed", "tol": 1e-8, "txt": None}
BOX = 5.0  # angstrom


def ammonia():
    """One molecule in a cube, its axis along z."""
    atoms = molecule("NH3", cell=(BOX, BOX, BOX), pbc=True)
    atoms.center()
    return atoms


def mirrored(atoms):
    """The same molecule with the nitrogen on the other side of the hydrogens."""
    out = atoms.copy()
    out.positions[:, 2] = 2 * atoms.positions[1:, 2].mean() - atoms.positions[:, 2]
    return out


def barrier(n: int = 3, fmax: float = 0.1, steps: int = 30, **keywords):
    """Energies along the path, eV above the start, and its images.

    Args:
        n: images between the ends.
        fmax: largest force across the path, eV/angstrom.
        steps: at most this many.
        **keywords: of the calculators, in place of those above.
    """
    start = ammonia()
    start.calc = DFTOpt(**{**KEYWORDS, **keywords})
    BFGS(start, logfile=None).run(fmax=fmax / 2, steps=steps)
    start.get_forces()  # the ends are read, never computed, by the band
    images = [start, *(start.copy() for _ in range(n)), mirrored(start)]
    for image in images[1:]:
        image.calc = DFTOpt(**{**KEYWORDS, **keywords})
    band = NEB(images, climb=True, method="improvedtangent")
    band.interpolate(mic=True)
    FIRE(band, logfile="-").run(fmax=fmax, steps=steps)
    energies = [image.get_potential_energy() for image in images]
    return [e - energies[0] for e in energies], images


def main():
    energies, images = barrier()
    for energy, image in zip(energies, images, strict=True):
        height = image.positions[0, 2] - image.positions[1:, 2].mean()
        print(f"nitrogen {height:+.3f} angstrom above the hydrogens: {energy:7.4f} eV")
    print(f"barrier {max(energies):.3f} eV")
    NEBTools(images).plot_band().savefig("neb_ammonia.png", dpi=120)


if __name__ == "__main__":
    main()
