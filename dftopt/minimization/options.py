"""Options of a minimization, checked before anything is allocated."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from dftopt.atoms import checks
from dftopt.errors import InputError
from dftopt.minimization.forecast import check_at_once
from dftopt.minimization.moments import filled_bands
from dftopt.minimization.problem import PARAMETRIZATIONS, Problem
from dftopt.minimization.smearing import Smearing
from dftopt.minimization.smearing import smearing as find_smearing

HOTTEST = 100.0  # hartree, 30 million kelvin; core electrons are ionized long before
MINIMIZERS = ("auto", "cg", "lbfgs", "gradient-descent", "adam")
BLOCKWISE = ("auto", "cg", "gradient-descent")  # where a block of k points is on the device at a time


@dataclass(frozen=True)
class Options:
    """Checked options; `filled` is the number of bands that each spin channel needs, `nbands` None means "enough"."""

    temperature: float
    smearing: str
    nbands: int | None
    parametrization: str
    minimizer: Any
    orthonormalization: str
    tol: float
    maxiter: int
    seed: int
    magnetization: float | None = None
    filled: tuple[int, ...] = ()
    starts: int = 1
    kpoints_at_once: int | None = None

    @property
    def problem(self) -> Problem:
        """The static description of what is minimized."""
        uneven = self.parametrization == "fixed" and len(set(self.filled)) > 1
        kind = find_smearing(self.smearing)
        return Problem(self.parametrization, kind, self.orthonormalization, self.filled if uneven else None)

    def as_dict(self) -> dict:
        """Plain values, for files; a solver object is named by its type."""
        out = dict(vars(self))
        if not isinstance(self.minimizer, str):
            out["minimizer"] = type(self.minimizer).__name__
        return out


def check(
    model,
    basis,
    *,
    temperature,
    smearing,
    nbands,
    magnetization,
    parametrization,
    minimizer,
    orthonormalization,
    tol,
    maxiter,
    seed,
    starts,
    kpoints_at_once=None,
) -> Options:
    """Check everything that `minimize` is given.

    Raises:
        InputError: names the option, its value and the remedy.
    """
    if starts is not None and model.nspin == 1:
        raise InputError("starts needs spin polarization: give spinpol=True to the model, or leave it out.")
    common = check_common(
        model, basis, temperature, smearing, magnetization, parametrization, orthonormalization, tol, maxiter, seed
    )
    temperature, magnetization, kind = common.temperature, common.magnetization, common.smearing
    starts = checks.check_whole(
        "starts", 1 if starts is None else starts, remedy="It counts the spin patterns that are tried."
    )
    if isinstance(minimizer, str) and minimizer not in MINIMIZERS:
        raise InputError(
            f"minimizer = {minimizer!r} is unknown; {checks.nearest(minimizer, MINIMIZERS)} Or pass an optax or jaxopt solver object."
        )
    if not isinstance(minimizer, str) and not is_solver(minimizer):
        raise InputError(
            f"minimizer = {minimizer!r} is neither one of our names nor an optax transformation (init, update) nor a jaxopt solver "
            "(init_state, update)."
        )
    filled = filled_bands(model, temperature, magnetization)
    nbands = _check_bands(model, basis, max(filled), nbands)
    parametrization = common.parametrization
    _check_parametrization(model, basis, temperature, kind, smearing, parametrization, magnetization)
    if kpoints_at_once is not None:
        kpoints_at_once = _check_blocks(kpoints_at_once, minimizer, parametrization)
    return Options(
        temperature,
        str(smearing).lower(),
        nbands,
        parametrization,
        minimizer,
        orthonormalization,
        common.tol,
        common.maxiter,
        common.seed,
        magnetization,
        filled,
        starts,
        kpoints_at_once,
    )


class Common(NamedTuple):
    """What crystals and molecules have in common, checked; `parametrization` is chosen where it was "auto"."""

    temperature: float
    smearing: Smearing
    magnetization: float | None
    parametrization: str
    tol: float
    maxiter: int
    seed: int


def check_common(
    model, basis, temperature, smearing, magnetization, parametrization, orthonormalization, tol, maxiter, seed
) -> Common:
    """Check what does not depend on the kind of basis.

    Raises:
        InputError: names the option, its value and the remedy.
    """
    if not hasattr(basis, "model") or basis.model is not model:
        raise InputError(
            "The basis was made for another model: pass dftopt.PlaneWaves(model, ...) or Gaussians(model, ...) of this one."
        )
    temperature = checks.check_positive(
        "temperature", temperature, "hartree", "0 is the ground state.", allow_zero=True, most=HOTTEST
    )
    kind = find_smearing(smearing)
    tol = checks.check_positive(
        "tol", tol, "hartree per atom", "Typical values are 1e-8 (energies) and 1e-12 (forces).", most=1.0
    )
    if magnetization is not None:
        if model.nspin == 1:
            raise InputError("magnetization needs spin polarization: give spinpol=True to the model, or leave it out.")
        magnetization = checks.check_finite("magnetization", magnetization, "bohr magnetons")
    checks.check_choice("parametrization", parametrization, ("auto", *PARAMETRIZATIONS))
    checks.check_choice("orthonormalization", orthonormalization, ("cholesky", "qr", "loewdin"))
    maxiter, seed = checks.check_whole("maxiter", maxiter), checks.check_whole("seed", seed, least=0)
    if parametrization == "auto":
        parametrization = "fixed" if temperature == 0 else "auxiliary"
    return Common(temperature, kind, magnetization, parametrization, tol, maxiter, seed)


def is_solver(solver) -> bool:
    """Whether it is an optax transformation or a jaxopt solver."""
    return hasattr(solver, "update") and (hasattr(solver, "init") or hasattr(solver, "init_state"))


def _check_blocks(kpoints_at_once, minimizer, parametrization: str) -> int | None:
    n = check_at_once(kpoints_at_once)
    if minimizer not in BLOCKWISE:
        raise InputError(
            f"kpoints_at_once = {n} goes with minimizer = 'cg' or 'gradient-descent', not {minimizer!r}: the others keep more orbitals "
            "than a block. Leave one of them out."
        )
    if parametrization == "row-norm":
        raise InputError(
            f"kpoints_at_once = {n}: the matrix of parametrization = 'row-norm' mixes all k points. Use 'auxiliary' or 'capped-simplex'."
        )
    if jax.process_count() > 1:
        raise InputError(
            f"kpoints_at_once = {n}: {jax.process_count()} processes share the k points already. Leave kpoints_at_once out."
        )
    return n


def _check_bands(model, basis, need: int, nbands) -> int | None:
    n = model.n_electrons
    if nbands is not None:
        nbands = checks.check_whole("nbands", nbands)
        if nbands < need:
            raise InputError(
                f"nbands = {nbands} cannot hold {n:g} electrons: at least {need} are needed. Leave it out to have it chosen."
            )
    fewest = int(basis.counts.min())
    if fewest < max(nbands or 0, need + 1):
        raise InputError(
            f"ecut = {basis.ecut:g} hartree gives only {fewest} plane waves at one k point, "
            f"fewer than the {max(nbands or 0, need + 1)} bands. Raise ecut."
        )
    return nbands


def _check_parametrization(model, basis, temperature, kind, name, parametrization, magnetization) -> None:
    if (temperature == 0) != (parametrization == "fixed"):
        hint = "needs a temperature above 0" if temperature == 0 else "is for temperature = 0 only"
        raise InputError(
            f"parametrization = {parametrization!r} {hint}; here temperature = {temperature:g} hartree. 'auto' chooses."
        )
    if parametrization != "auxiliary" and temperature > 0 and not kind.is_minimum:
        raise InputError(
            f"parametrization = {parametrization!r} keeps occupations within [0, 1], smearing = {name!r} does not: use 'auxiliary'."
        )
    if parametrization == "row-norm":
        if name.lower() != "fermi-dirac":
            raise InputError(
                f"parametrization = 'row-norm' is for Fermi-Dirac smearing, not {name!r}: use 'auxiliary'."
            )
        if magnetization is not None:
            raise InputError("parametrization = 'row-norm' cannot hold a magnetization fixed: use 'auxiliary'.")
        w, n = basis.kpoints.weights, model.n_electrons * model.nspin / 2 * basis.nk
        if np.ptp(w) > 1e-12 or abs(n - round(n)) > 1e-9:
            raise InputError(
                "parametrization = 'row-norm' needs equal k-point weights and a whole number of filled orbitals over all k "
                f"(here {n:g} with weights from {w.min():g} to {w.max():g}): use PlaneWaves(..., symmetry=False), or 'auxiliary'."
            )


def check_processes(checkpoint) -> None:
    """Refuse a checkpoint where several processes share a minimization.

    Raises:
        InputError: see above.
    """
    if checkpoint is not None and jax.process_count() > 1:
        raise InputError(
            f"checkpoint = {str(checkpoint)!r}: {jax.process_count()} processes share this minimization, and none of them can "
            "write a checkpoint of it. Leave checkpoint out, or use one process."
        )


def check_inputs(inputs: dict, model, basis) -> None:
    """Refuse changed inputs that break the symmetry by which the k points were reduced: the energy would be another one.

    Raises:
        InputError: names the remedy.
    """
    cell, symmetry = model.structure.cell, basis.kpoints.symmetry
    if not isinstance(inputs, Mapping):
        raise InputError(f"inputs = {inputs!r} has to be a changed copy of model.inputs().")
    missing = [k for k in ("positions", "strain", "pseudopotentials", "xc") if k not in inputs]
    if missing:
        raise InputError(f"inputs lacks {missing[0]!r}: change a copy of model.inputs().")
    frac, strain = np.asarray(inputs["positions"]) @ np.linalg.inv(cell), np.asarray(inputs["strain"])
    moved = (
        np.einsum("sij,aj->sai", symmetry.rotations, frac)
        + symmetry.translations[:, None]
        - frac[symmetry.permutations]
    )
    off = np.abs((moved - np.round(moved)) @ cell).max()
    turned = symmetry.cartesian(cell)
    bent = np.abs(np.swapaxes(turned, 1, 2) @ (strain + strain.T) @ turned - strain - strain.T).max()
    if off > 1e-4 or bent > 1e-7:
        raise InputError(
            "inputs: the changed positions or strain break the symmetry by which the k points were reduced. "
            "Use PlaneWaves(..., symmetry=False), or a model of the changed atoms."
        )
