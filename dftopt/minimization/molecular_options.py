"""Options of a molecule's minimization, checked before integrals are computed."""

import numpy as np

from dftopt.atoms import checks
from dftopt.errors import InputError
from dftopt.minimization.options import MINIMIZERS, Options
from dftopt.minimization.problem import PARAMETRIZATIONS
from dftopt.minimization.smearing import smearing as find_smearing

DETERMINISTIC = tuple(m for m in MINIMIZERS if m != "adam")


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
    if magnetization is not None:
        up, down = 0.5 * (n + magnetization), 0.5 * (n - magnetization)
        if min(up, down) < -1e-9:
            raise InputError(f"magnetization = {magnetization:g} needs more than the {n:g} electrons of the molecule.")
        if temperature == 0 and abs(up - round(up)) > 1e-9:
            raise InputError(
                f"magnetization = {magnetization:g} (multiplicity {abs(magnetization) + 1:g}) is impossible with {n:g} electrons: "
                f"N_up - N_down has to be {'odd' if round(n) % 2 else 'even'}. Use {round(up) * 2 - n:g}, or correct charge."
            )
        return int(np.ceil(up - 1e-9)), int(np.ceil(down - 1e-9))
    if temperature > 0:
        return (int(np.ceil(n / 2 - 1e-9)),) * 2
    wanted = float(np.sum(moments)) or float(round(n) % 2)
    up = int(np.clip(np.round((n + np.clip(wanted, -n, n)) / 2), 0, n))
    return up, round(n) - up


def check(model, basis, *, temperature, smearing, nbands, magnetization, parametrization, minimizer, orthonormalization,
          tol, maxiter, seed, starts, checkpoint) -> Options:  # fmt: skip
    """Check everything that `minimize` is given for a molecule.

    Raises:
        InputError: names the option, its value and the remedy.
    """
    if basis.model is not model:
        raise InputError("The basis was made for another model: pass dftopt.Gaussians(model, ...) of this model.")
    temperature = checks.check_positive(
        "temperature", temperature, "hartree", "0 is the ground state.", allow_zero=True
    )
    kind = find_smearing(smearing)
    tol = checks.check_positive(
        "tol", tol, "hartree per atom", "Typical values are 1e-8 (energies) and 1e-12 (forces)."
    )
    if magnetization is not None:
        if model.nspin == 1:
            raise InputError("magnetization needs spin polarization: give spinpol=True to the model, or leave it out.")
        magnetization = checks.check_finite("magnetization", magnetization, "bohr magnetons")
    if starts not in (None, 1):
        raise InputError(
            f"starts = {starts!r}: several spin starts are for plane waves. Set the moments of the atoms instead."
        )
    if checkpoint is not None:
        raise InputError("checkpoint= is not available: result.save(path) and start=dftopt.load(path) continue a run.")
    if parametrization not in ("auto", *PARAMETRIZATIONS):
        valid = checks.nearest(str(parametrization), ("auto", *PARAMETRIZATIONS))
        raise InputError(f"parametrization = {parametrization!r} is unknown; {valid}")
    if minimizer not in DETERMINISTIC:
        raise InputError(
            f"minimizer = {minimizer!r} is not available for molecules; {checks.nearest(str(minimizer), DETERMINISTIC)}"
        )
    if orthonormalization not in ("cholesky", "qr", "loewdin"):
        raise InputError(f"orthonormalization = {orthonormalization!r} is unknown; valid: cholesky, qr, loewdin.")
    if isinstance(maxiter, bool) or int(maxiter) != maxiter or maxiter < 1:
        raise InputError(f"maxiter = {maxiter!r} must be a whole number of at least 1.")
    n = basis.n_electrons
    need = filled(n, model.nspin, temperature, magnetization, model.atoms.get_initial_magnetic_moments())
    if max(need) > basis.nao:
        raise InputError(
            f"basis = {basis.name!r} has {basis.nao} functions, fewer than the {max(need)} orbitals that the electrons of "
            "one spin fill. Take a larger basis, or another magnetization."
        )
    if nbands is not None and (
        isinstance(nbands, bool) or int(nbands) != nbands or not max(need) <= nbands <= basis.nao
    ):
        raise InputError(f"nbands = {nbands!r} has to be a whole number from {max(need)} to {basis.nao}. Leave it out.")
    if parametrization == "auto":
        parametrization = "fixed" if temperature == 0 else "auxiliary"
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
        temperature, str(smearing).lower(), nbands, parametrization, minimizer, orthonormalization, tol, int(maxiter), int(seed),
        magnetization, need,
    )  # fmt: skip
