"""Options of a molecule's minimization, checked before integrals are computed."""

import numpy as np

from dftopt.atoms import checks
from dftopt.errors import InputError
from dftopt.minimization.moments import spin_channels
from dftopt.minimization.options import MINIMIZERS, Options, check_common

DETERMINISTIC = (*(m for m in MINIMIZERS if m != "adam"), "newton")


def filled(n: float, nspin: int, temperature: float, magnetization: float | None, moments) -> tuple[int, ...]:
    """Orbitals that the electrons of each spin channel need; at T = 0 exactly those that they fill.

    Without a given magnetization the starting moments of the atoms decide first, and else the lowest multiplicity:
    a singlet, or a doublet for an odd number.

    Raises:
        InputError: electrons that cannot be distributed so.
    """
    whole = abs(n - round(n)) < 1e-9
    if temperature == 0 and not whole:
        raise InputError(f"The molecule has {n:g} electrons: a fraction needs a temperature.")
    if nspin == 1:
        if temperature == 0 and round(n) % 2:
            raise InputError(
                f"The molecule has {n:g} electrons: an odd number is at least a doublet. Give spinpol=True to the model."
            )
        return (int(np.ceil(n / 2 - 1e-9)),)
    return spin_channels(n, temperature, magnetization, float(np.sum(moments)) or float(round(n) % 2))


def check(model, basis, *, temperature, smearing, nbands, magnetization, parametrization, minimizer, orthonormalization,
          tol, maxiter, seed, starts, checkpoint) -> Options:  # fmt: skip
    """Check everything that `minimize` is given for a molecule.

    Raises:
        InputError: names the option, its value and the remedy.
    """
    common = check_common(
        model, basis, temperature, smearing, magnetization, parametrization, orthonormalization, tol, maxiter, seed
    )
    temperature, magnetization, kind = common.temperature, common.magnetization, common.smearing
    if starts is not None and checks.check_whole("starts", starts) != 1:
        raise InputError(
            f"starts = {starts!r}: several spin starts are for plane waves. Set the moments of the atoms instead."
        )
    if checkpoint is not None:
        raise InputError("checkpoint= is not available: result.save(path) and start=dftopt.load(path) continue a run.")
    if not isinstance(minimizer, str) or minimizer not in DETERMINISTIC:
        raise InputError(
            f"minimizer = {minimizer!r} is not available for molecules; {checks.nearest(str(minimizer), DETERMINISTIC)}"
        )
    if minimizer == "newton" and temperature > 0:
        raise InputError(
            f"minimizer = 'newton' is for fixed occupations; here temperature = {temperature:g} hartree. Take 'lbfgs', or temperature = 0."
        )
    n = basis.n_electrons
    need = filled(n, model.nspin, temperature, magnetization, model.atoms.get_initial_magnetic_moments())
    if max(need) > basis.nao:
        raise InputError(
            f"basis = {basis.name!r} has {basis.nao} functions, fewer than the {max(need)} orbitals that the electrons of "
            "one spin fill. Take a larger basis, or another magnetization."
        )
    if nbands is not None:
        nbands = checks.check_whole("nbands", nbands, max(need), basis.nao, "Leave it out.")
    parametrization = common.parametrization
    if (temperature == 0) != (parametrization == "fixed"):
        hint = "needs a temperature above 0" if temperature == 0 else "is for temperature = 0 only"
        raise InputError(f"parametrization = {parametrization!r} {hint}; here temperature = {temperature:g} hartree.")
    if parametrization != "auxiliary" and temperature > 0 and not kind.is_minimum:
        raise InputError(
            f"parametrization = {parametrization!r} keeps occupations within [0, 1], smearing = {smearing!r} does not."
        )
    if parametrization == "row-norm":
        if str(smearing).lower() != "fermi-dirac" or magnetization is not None:
            raise InputError(
                "parametrization = 'row-norm' is for Fermi-Dirac smearing and a free magnetization: use 'auxiliary'."
            )
        if abs(n * model.nspin / 2 - round(n * model.nspin / 2)) > 1e-9:
            raise InputError("parametrization = 'row-norm' needs a whole number of filled orbitals: use 'auxiliary'.")
    return Options(
        temperature, str(smearing).lower(), nbands, parametrization, minimizer, orthonormalization, common.tol, common.maxiter, common.seed,
        magnetization, need,
    )  # fmt: skip
