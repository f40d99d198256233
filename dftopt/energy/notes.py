"""What is worth knowing about a calculation before its numbers are believed: box, charge, symmetry."""

from dftopt.atoms.vacuum import GOOD_TAIL
from dftopt.energy.dispersion import dispersion_of
from dftopt.energy.ewald import image_energy
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV


def notes(model, basis) -> tuple[str, ...]:
    """Sentences on charge, vacuum, dispersion and on a symmetry that is missed narrowly."""
    found = [*_charge(model, basis.vacuum), *_vacuum(basis.vacuum)]
    d = dispersion_of(model, basis.vacuum.repeated)
    if d is not None:
        found.append(f"dispersion D3(BJ), two-body, with the parameters of {d.functional}")
    if basis.near_symmetry is not None:
        found.append(str(basis.near_symmetry))
    return tuple(found)


def _charge(model, vacuum) -> list[str]:
    if not model.charge:
        return []
    if vacuum.coulomb == "0d":
        return [f"charge {model.charge:+g} alone in space: the energy needs no correction"]
    e = -image_energy(model.structure.cell, model.charge)
    return [
        f"charge {model.charge:+g}: a uniform background neutralizes the cell. A charge localized in vacuum has about "
        f"{e:+.6f} Ha = {e * HARTREE_IN_EV:+.4f} eV more without its copies (leading term of Makov and Payne; 1/epsilon of "
        "it in a dielectric). Not added to any energy"
    ]


def _vacuum(v) -> list[str]:
    a, found = BOHR_IN_ANGSTROM, []
    if v.coulomb == "0d":
        found.append(f"Coulomb interaction cut at {v.radius * a:.3f} angstrom; levels are relative to the vacuum")
    elif v.coulomb == "2d":
        found.append(
            f"Coulomb interaction cut at {v.radius * a:.3f} angstrom along {'abc'[v.axis]}; levels are relative to the mean of "
            "the two vacuum levels"
        )
    elif v.dipole:
        found.append(f"dipole corrected along {'abc'[v.axis]}; the potential jumps in the middle of the vacuum")
    if v.coulomb != "periodic" and v.tail < GOOD_TAIL:
        found.append(
            f"the box leaves {v.tail * a:.2f} angstrom for electrons outside the atoms; with less than "
            f"{GOOD_TAIL * a:g} errors of 1e-4 Ha and more are usual: check a larger one"
        )
    return found
