"""`minimize`: from a model and a basis to the minimum of its free energy."""

import sys
import warnings
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.bases.devices import gather, shares
from dftopt.bases.gaussians import Gaussians
from dftopt.bases.real_waves import opposite, plane_waves, real_waves
from dftopt.energy.free_energy import weights
from dftopt.energy.prepared import Prepared, prepare
from dftopt.errors import DFTOptWarning, InputError
from dftopt.minimization import descent, molecule, options
from dftopt.minimization import occupations as occ
from dftopt.minimization import start as starting
from dftopt.minimization.checkpoint import Checkpoint, identity
from dftopt.minimization.clock import Clock, make_room
from dftopt.minimization.forecast import refuse_too_large
from dftopt.minimization.loop import Run, Step, after, minimize_from, save_if_due
from dftopt.minimization.moments import aufbau, edges, patterns, starting_moments
from dftopt.minimization.problem import Problem
from dftopt.minimization.refine import (
    BUFFER,
    Final,
    occupation_parameters,
    refine,
    residual_limit,
    wanted_bands,
)
from dftopt.minimization.result import Result, Start, Stats
from dftopt.minimization.smearing import SMEARINGS
from dftopt.precision import one_blas_thread

RITZ_STEPS = {"atomic": 2, "random": 0}
SMALL_OCCUPATION = 1e-6


@one_blas_thread
def minimize(
    model,
    basis,
    temperature: float = 0.0,
    smearing: str = "fermi-dirac",
    nbands: int | None = None,
    magnetization=None,
    parametrization: str = "auto",
    minimizer: Any = "auto",
    tol: float = 1e-8,
    maxiter: int = 300,
    seed: int = 0,
    start: Any = "atomic",
    starts=None,
    checkpoint=None,
    progress=None,
    orthonormalization: str = "cholesky",
    inputs: dict | None = None,
) -> Any:
    """Minimize the free energy of a model in a basis.

    Args:
        model: the `dftopt.Model`, or a list of them.
        basis: the `dftopt.PlaneWaves` of this model, or a list of as many: they are minimized one after another, and bases
            of one shape (`PlaneWaves(..., like=)`) share compiled programs.
        temperature: electronic temperature (width of the smearing), hartree.
        smearing: "fermi-dirac", "gaussian", "methfessel-paxton" (order 1) or "marzari-vanderbilt" (cold).
        nbands: bands; default enough for the temperature, and two empty ones at T = 0.
        magnetization: N_up - N_down to hold fixed, bohr magnetons (spin polarization only); default free. At T = 0 a
            free magnetization is the whole number at which no empty band lies below a filled one of the other spin.
        parametrization: of the occupations: "fixed" (T = 0), "row-norm", "capped-simplex", "auxiliary", or "auto".
        minimizer: "lbfgs" (preconditioned, the default), "cg" (conjugate gradients), "gradient-descent", "adam", or an
            optax or jaxopt solver object, which sees unconstrained real parameters; "newton" for molecules at T = 0.
        tol: predicted error of the free energy at which to stop, hartree per atom; 1e-8 for energies, 1e-12 for
            forces to 1e-6 hartree/bohr.
        maxiter: at most this many evaluations of energy and gradient.
        seed: of the random numbers in the starting orbitals.
        start: "atomic" (orbitals of free atoms, relaxed a little in the potential of their superposed densities), "random",
            or an earlier result of the same shape.
        starts: how many sets of starting moments to try (spin polarization only): as given, nearly none, alternating,
            then seeded random signs. The result of lowest free energy is returned, its `starts` lists all.
        checkpoint: path of a file that is written every half minute and at Ctrl-C, see `minimization.checkpoint`. Where it
            exists, the minimization goes on from it. It stays when the minimum is reached.
        progress: None (a line on the terminal if there is one), False, or a function of a `Step`; a function that
            returns True ends the run, which then says "interrupted".
        orthonormalization: "cholesky", "qr" or "loewdin".
        inputs: continuous inputs in place of `model.inputs()`: positions, strain (at the same plane waves), parameters
            of potentials and functional.

    Returns:
        The `Result`; look at its `verdict`. Of lists a list of results, each as its own run would give it.

    Raises:
        InputError: wrong options, more memory than the machine has, a checkpoint of another calculation; before anything
            is allocated.
    """
    if isinstance(basis, Gaussians):
        return molecule.minimize(
            model, basis, temperature=temperature, smearing=smearing, nbands=nbands, magnetization=magnetization,
            parametrization=parametrization, minimizer=minimizer, tol=tol, maxiter=maxiter, seed=seed, start=start, starts=starts,
            checkpoint=checkpoint, orthonormalization=orthonormalization, tell=_teller(progress, len(model.atoms)), inputs=inputs,
        )  # fmt: skip
    if isinstance(model, (list, tuple)) or isinstance(basis, (list, tuple)):
        shared = {k: v for k, v in locals().items() if k not in ("model", "basis", "start", "checkpoint", "inputs")}
        return _one_after_another(model, basis, start, checkpoint, inputs, shared)
    clock = Clock()
    make_room()
    o = options.check(
        model, basis, temperature=temperature, smearing=smearing, nbands=nbands, magnetization=magnetization,
        parametrization=parametrization, minimizer=minimizer, orthonormalization=orthonormalization, tol=tol,
        maxiter=maxiter, seed=seed, starts=starts,
    )  # fmt: skip
    refuse_too_large(model, basis, o.nbands)
    kept = lambda name: None if checkpoint is None else Checkpoint(name, identity(model, basis, o))
    if inputs is not None:
        options.check_inputs(inputs, model, basis)
    devices = 1 if o.parametrization == "row-norm" else shares(basis.nk)  # its matrix mixes all k points
    real = _are_real(basis, o, start)
    prepared = prepare(model, basis, inputs, magnetization=o.magnetization, devices=devices, real=real)
    tell = _teller(progress, len(model.structure))
    if o.starts == 1:
        kept_here = kept(checkpoint)
        return _from_start(model, basis, prepared, o, start, starting_moments(model), tell, clock, inputs, kept_here)
    results, tried = [], patterns(model, basis, o.starts, o.seed)
    for i, moments in enumerate(tried):
        kept_here = kept(f"{checkpoint}.{i}")
        results.append(_from_start(model, basis, prepared, o, "atomic", moments, tell, Clock(), inputs, kept_here))
        if results[-1].status == "interrupted":
            break
    lowest = min(results, key=lambda r: (not r.converged, float(r.energies.free)))
    return replace(lowest, starts=tuple(Start.of(m, r) for m, r in zip(tried, results, strict=False)))


def _are_real(basis, o: options.Options, start) -> bool:
    """Whether all orbitals of a minimization can be real functions: at Gamma alone, by methods that keep them so."""
    if np.any(basis.kpoints.k) or not isinstance(o.minimizer, str) or o.minimizer == "adam":
        return False
    if not isinstance(start, Result):
        return True
    if np.any(start.basis.kpoints.k):
        return False
    minus = jnp.asarray(opposite(start.basis.spheres[0], start.psi.shape[-1]))
    real = lambda psi: plane_waves(real_waves(psi, minus), minus)
    return all(np.allclose(psi, real(psi), atol=1e-9) for psi in (start.point["psi"], start.psi))


def _one_after_another(models, bases, start, checkpoint, inputs, shared) -> list[Result]:
    """Results of lists of models and bases; what is wrong with any of them is told before the first one starts."""
    if not all(isinstance(x, (list, tuple)) for x in (models, bases)) or len(models) != len(bases):
        raise InputError(
            "Lists of models and bases have to be two lists of equal length, a basis for each model: "
            "minimize([model_1, model_2], [basis_1, basis_2])."
        )
    n = len(models)
    begins = list(start) if isinstance(start, (list, tuple)) else [start] * n
    changed = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs] * n
    if len(begins) != n or len(changed) != n:
        raise InputError(f"start and inputs have to be one for all, or lists of {n}, as many as there are models.")
    checked = {k: v for k, v in shared.items() if k != "progress"}
    for model, basis in zip(models, bases, strict=True):
        options.check(model, basis, **checked)
    paths = [None if checkpoint is None else f"{checkpoint}.{i}" for i in range(n)]
    return [
        minimize(m, b, **shared, start=s, checkpoint=p, inputs=x)
        for m, b, s, p, x in zip(models, bases, begins, paths, changed, strict=True)
    ]


def _from_start(
    model, basis, prepared: Prepared, o: options.Options, start, moments, tell, clock, inputs, kept: Checkpoint | None
) -> Result:
    saved = kept.read() if kept else None
    if saved is not None:
        o = replace(o, filled=saved.filled)
    elif isinstance(start, Result) and o.temperature == start.options.temperature == 0 and o.magnetization is None:
        o = replace(o, filled=start.options.filled)  # what it found to be lowest
    before: Run | None = None
    if saved is None:
        x, empty, counted = _starting_point(model, basis, prepared, o, start, moments, inputs)
    else:
        x, counted, before = starting.compact(saved.x, prepared), saved.hamiltonians, Run.of(saved)
        empty = x["psi"][:, :, :0]
    whole = lambda x: {
        "psi": starting.expanded(x["psi"], basis.nk, prepared), "occ": gather(x["occ"], basis.nk, prepared.devices)
    }  # fmt: skip
    for attempt in range(4):
        keep = partial(save_if_due, kept, before, o.filled, counted, whole)
        run = after(before, minimize_from(o.problem, x, prepared, o, o.tol * len(model.structure), tell, keep))
        final = refine(run.x, run.info, run.error, empty, prepared, o.problem, o, model, basis)
        counted = counted + run.hamiltonians + final.hamiltonians
        if attempt == 3 or run.status != descent.CONVERGED:
            break
        lower = _other_filling(final, o, model, basis)
        if lower is not None:  # an empty band of one spin lies below a filled one of the other: move the electrons
            o, before = replace(o, filled=lower), run
            x = {"psi": starting.compact(final.psi[:, :, : max(lower)], prepared), "occ": ()}
            x["psi"] = x["psi"] * replace(o.problem, filled=lower).fixed_occupations(x["psi"].shape[:3])[..., None]
        elif final.excited:
            before, x = run, final.restart  # an excited state: go on from the lowest orbitals
        else:
            break
    return _assemble(model, basis, o, replace(run, x=whole(run.x)), final, counted, clock, inputs)


def _other_filling(final: Final, o: options.Options, model, basis) -> tuple[int, ...] | None:
    """Bands per spin of lower energy at T = 0 with a free magnetization; None where the present ones are the lowest."""
    if o.temperature > 0 or model.nspin == 1 or o.magnetization is not None:
        return None
    better = aufbau(final.eigenvalues, basis.kpoints.weights, round(model.n_electrons))
    top, bottom = edges(final.eigenvalues, o.filled)
    return better if better != o.filled and bottom < top - 1e-6 else None


# ---------------------------------------------------------------------------------------------------- start


def _starting_point(model, basis, prepared: Prepared, o: options.Options, start, moments, inputs):
    """A point, bands beyond it that later become the empty ones (T = 0), and the work done."""
    if isinstance(start, Result):
        point, beyond = _from_result(start, basis, o.problem, model), _beyond(start, basis)
        return starting.compact(point, prepared), starting.compact(beyond, prepared), np.zeros(2)
    if not isinstance(start, str) or start not in ("atomic", "random"):
        raise InputError(f"start = {start!r} must be 'atomic', 'random' or a Result of the same shape.")
    key = jax.random.key(o.seed)
    filled, most = max(o.filled), int(basis.counts.min())
    nb = filled if o.temperature == 0 else min(o.nbands or filled + max(4, int(np.ceil(0.2 * filled))), most)
    potential = starting.potential_of(starting.atomic_density(model, basis, moments), prepared)
    counted = np.zeros(2)
    while True:
        wanted = wanted_bands(o, filled, nb, most)
        total = min(max(wanted, nb) + BUFFER, most)
        if start == "atomic":
            psi = starting.atomic_orbitals_and_noise(key, model, basis, prepared, inputs, total)
        else:
            psi = starting.random_orbitals(key, (model.nspin, basis.nk, total, basis.npw), prepared.orbitals)
        steps = RITZ_STEPS[start]
        psi, e, _, _ = starting.lowest_orbitals(
            psi, potential, prepared.orbitals, steps, 1e-3, prepared.band_block, wanted, 0
        )
        counted += starting.work(psi, np.prod(psi.shape[:3]) * (steps + 1), 2)
        psi, empty, e = psi[:, :, :nb], psi[:, :, nb:total], e[..., :nb]
        if o.temperature == 0:
            present = o.problem.fixed_occupations(psi.shape[:3])[..., None]
            return {"psi": psi * present, "occ": ()}, empty, counted
        f, _, _ = occ.from_levels(e, weights(prepared), prepared.filling, o.temperature, SMEARINGS["fermi-dirac"])
        if o.nbands is not None or float(np.asarray(f)[..., -1].max()) < SMALL_OCCUPATION or nb >= most:
            return {"psi": psi, "occ": occupation_parameters(o.problem, e, f, model, basis)}, empty, counted
        nb = min(nb + max(2, nb // 4), most)


def _beyond(earlier: Result, basis):
    """The empty bands of an earlier result at the same plane waves, to start ours from."""
    n = earlier.point["psi"].shape[2]
    if starting.same_waves(earlier.basis, basis):
        return earlier.psi[:, :, n:]
    return jnp.zeros((*earlier.psi.shape[:2], 0, basis.npw), complex)


def _from_result(earlier: Result, basis, problem: Problem, model):
    if earlier.options.parametrization != problem.parametrization:
        raise InputError(
            f"start: the earlier result was parametrized by {earlier.options.parametrization!r}, this run by {problem.parametrization!r}. "
            "Use the same temperature and parametrization."
        )
    return starting.carry(earlier, basis)


def _teller(progress, natoms: int):
    if callable(progress):
        return progress
    if progress is not None and not isinstance(progress, bool):
        raise InputError(
            f"progress = {progress!r} has to be true or false, or a function that is called with each step."
        )
    if progress is False or (progress is None and not sys.stderr.isatty()):
        return lambda step: None

    def tell(step: Step) -> None:
        text = f"iteration {step.iterations:4d}   A = {step.free_energy:.10f} Ha   error {step.error / natoms:8.1e} Ha/atom"
        print(text, file=sys.stderr)

    return tell


# ---------------------------------------------------------------------------------------------------- after


def _assemble(model, basis, o: options.Options, run: Run, final: Final, counted, clock: Clock, inputs) -> Result:
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
        **clock.read(),
    )
    energies = jax.tree.map(float, run.info["energies"])
    return Result(
        model=model, basis=basis, options=o, energies=energies, converged=converged, verdict=verdict, stats=stats,
        eigenvalues=final.eigenvalues, occupations=final.occupations, fermi_levels=final.fermi_levels, history=run.history,
        errors=run.errors, psi=final.psi, potential=final.potential, point=run.x, inputs=inputs,
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
