"""What a minimization is worth: its verdict, warnings, and the result made of it."""

import warnings

import jax
import numpy as np

from dftopt.errors import DFTOptWarning
from dftopt.minimization import descent, options
from dftopt.minimization.loop import Run
from dftopt.minimization.moments import edges
from dftopt.minimization.refine import Final, residual_limit
from dftopt.minimization.result import Result, Stats


def assemble(model, basis, o: options.Options, run: Run, final: Final, counted, spent: dict, inputs) -> Result:
    """The result of a run whose orbitals are settled; `counted` products and FFTs, `spent` as a clock reads it."""
    natoms = len(model.structure)
    error = run.error / natoms
    inhabited = final.occupations.sum(axis=(1, 2)) > 1e-8  # the potential of an empty channel can be that of roundoff
    residuals = final.residuals[inhabited]
    settled = bool(np.all(residuals < 10 * residual_limit(o)))
    converged = False
    if run.status == descent.CONVERGED and final.excited:
        verdict = "not converged: an excited state, an empty band lies below a filled one (try another seed, or a temperature)"
    elif run.status == descent.CONVERGED and settled:
        converged, verdict = True, f"converged to {error:.1e} Ha per atom"
    elif run.status == descent.CONVERGED:
        verdict = f"not converged: empty bands are off by {residuals.max():.1e} Ha (try fewer bands)"
    elif run.status == descent.STUCK:
        converged = error <= max(1e-9, o.tol)
        verdict = f"stopped at roundoff, converged to {error:.1e} Ha per atom"
        if not converged:
            verdict = (
                f"not converged: no descent at {error:.1e} Ha per atom (try a temperature, more bands, or another seed)"
            )
    elif run.status == descent.INTERRUPTED:
        verdict = f"not converged: interrupted after {run.evaluations} evaluations at {error:.1e} Ha per atom"
    elif run.status == descent.DIVERGED:
        verdict = "not converged: the energy is not finite (check the structure, or try another start)"
    else:
        verdict = f"not converged: {run.evaluations} evaluations reached {error:.1e} Ha per atom (try a larger maxiter)"
    _warn(model, o, final)
    filled = final.occupations > 1e-6
    stats = Stats(
        iterations=run.iterations,
        evaluations=run.evaluations,
        hamiltonian_applications=int(counted[0]),
        ffts=int(counted[1]),
        residual=float(np.max(np.where(filled, final.residuals, 0.0))),
        error=error,
        **spent,
    )
    energies = jax.tree.map(float, run.info["energies"])
    return Result(
        model=model, basis=basis, options=o, energies=energies, converged=converged, verdict=verdict, stats=stats,
        eigenvalues=final.eigenvalues, occupations=final.occupations, fermi_levels=final.fermi_levels, history=run.history,
        errors=run.errors, psi=final.psi, buffer=final.buffer, potential=final.potential, point=run.x, inputs=inputs,
        diagonality=final.diagonality, charge_integral=final.charge, absolute_magnetization=final.absolute_magnetization,
    )  # fmt: skip


def _warn(model, o: options.Options, final: Final) -> None:
    e = final.eigenvalues
    channels = [(e, o.filled)] if o.magnetization is None else [(e[s : s + 1], o.filled[s : s + 1]) for s in (0, 1)]
    top, bottom = max((edges(*c) for c in channels), key=lambda x: x[0] - x[1])
    if o.temperature == 0 and bottom < top:
        warnings.warn(
            f"The highest filled level ({top:.4f} Ha) lies above the lowest empty one "
            f"({bottom:.4f} Ha): this is a metal, and temperature = 0 fills the same bands at every k. "
            "Give a temperature (0.005 Ha is typical).",
            DFTOptWarning,
            stacklevel=5,
        )
    top = final.occupations[..., -1].max()
    if o.temperature > 0 and top > 1e-4:
        warnings.warn(
            f"nbands = {e.shape[-1]}: the highest band is still filled to {top:.1e}. Raise nbands.",
            DFTOptWarning,
            stacklevel=5,
        )
