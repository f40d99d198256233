"""`minimize`: from a model and a basis to the minimum of its free energy."""

from dataclasses import replace
from typing import Any

from dftopt.bases.devices import shares
from dftopt.bases.gaussians import Gaussians
from dftopt.energy.prepared import Prepared, prepare
from dftopt.errors import InputError
from dftopt.minimization import by_blocks, molecule, options, several
from dftopt.minimization import start as starting
from dftopt.minimization.attempts import IN_MEMORY, arrive
from dftopt.minimization.begin import Begin, are_real, as_found, starting_point
from dftopt.minimization.checkpoint import Checkpoint, identity
from dftopt.minimization.clock import Clock, make_room
from dftopt.minimization.forecast import refuse_too_large
from dftopt.minimization.loop import Run
from dftopt.minimization.moments import patterns, starting_moments
from dftopt.minimization.result import Result, Start
from dftopt.minimization.tell import teller
from dftopt.minimization.zone import Zone
from dftopt.precision import one_blas_thread


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
    kpoints_at_once: int | None = None,
) -> Any:
    """Minimize the free energy of a model in a basis.

    Args:
        model: the `dftopt.Model`, or a list of them.
        basis: the `dftopt.PlaneWaves` of this model, or a list of as many. Small structures of one shape (`PlaneWaves.alike`)
            are then minimized together, the others one after another.
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
            exists, the minimization goes on from it. It stays when the minimum is reached. Lists have one file for each
            structure, and with it run one after another.
        progress: None (a line on the terminal if there is one), False, or a function of a `Step`; a function that
            returns True ends the run, which then says "interrupted" (of lists that of its `structure`).
        orthonormalization: "cholesky", "qr" or "loewdin".
        inputs: continuous inputs in place of `model.inputs()`: positions, strain (at the same plane waves), parameters
            of potentials and functional.
        kpoints_at_once: hold so many k points on the device and the others on disk (in TMPDIR), for meshes beyond memory;
            the same minimum, by conjugate gradients. Default all.

    Returns:
        The `Result`; look at its `verdict`. Of lists a list of results, each as its own run would give it.

    Raises:
        InputError: wrong options, more memory than the machine has, a checkpoint of another calculation; before anything
            is allocated.
    """
    if isinstance(basis, Gaussians):
        if kpoints_at_once is not None:
            raise InputError(f"kpoints_at_once = {kpoints_at_once!r}: a molecule has no k points. Leave it out.")
        return molecule.minimize(
            model, basis, temperature=temperature, smearing=smearing, nbands=nbands, magnetization=magnetization,
            parametrization=parametrization, minimizer=minimizer, tol=tol, maxiter=maxiter, seed=seed, start=start, starts=starts,
            checkpoint=checkpoint, orthonormalization=orthonormalization, tell=teller(progress, len(model.atoms)), inputs=inputs,
        )  # fmt: skip
    if isinstance(model, (list, tuple)) or isinstance(basis, (list, tuple)):
        shared = {k: v for k, v in locals().items() if k not in ("model", "basis", "start", "checkpoint", "inputs")}
        return several.minimize_several(model, basis, start, checkpoint, inputs, shared, alone=minimize)
    clock = Clock()
    make_room()
    o = options.check(
        model, basis, temperature=temperature, smearing=smearing, nbands=nbands, magnetization=magnetization,
        parametrization=parametrization, minimizer=minimizer, orthonormalization=orthonormalization, tol=tol,
        maxiter=maxiter, seed=seed, starts=starts, kpoints_at_once=kpoints_at_once,
    )  # fmt: skip
    refuse_too_large(model, basis, o.nbands, o.kpoints_at_once)
    options.check_processes(checkpoint)
    kept = lambda name: None if checkpoint is None else Checkpoint(name, identity(model, basis, o))
    if inputs is not None:
        options.check_inputs(inputs, model, basis)
    prepared: Prepared | Zone
    if o.kpoints_at_once is not None and o.kpoints_at_once < basis.nk:
        prepared = Zone.of_device(model, basis, inputs, o.kpoints_at_once, o.magnetization)
    else:
        devices = 1 if o.parametrization == "row-norm" else shares(basis.nk)  # its matrix mixes all k points
        real = are_real(basis, o, start)
        prepared = prepare(model, basis, inputs, magnetization=o.magnetization, devices=devices, real=real)
    tell = teller(progress, len(model.structure))
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


def _from_start(
    model,
    basis,
    held: Prepared | Zone,
    o: options.Options,
    start,
    moments,
    tell,
    clock,
    inputs,
    kept: Checkpoint | None,
) -> Result:
    prepared = held.shared if isinstance(held, Zone) else held
    how = by_blocks.how(held) if isinstance(held, Zone) else IN_MEMORY
    saved = kept.read() if kept else None
    if saved is not None:
        x = starting.compact(saved.x, prepared)
        begin, before = Begin(x, x["psi"][:, :, :0], saved.hamiltonians), Run.of(saved)
        return arrive(
            model, basis, prepared, replace(o, filled=saved.filled), begin, tell, clock, inputs, kept, before, how=how
        )
    o = as_found(o, start)
    if isinstance(held, Zone):
        begin = by_blocks.starting_point(held, o, start, moments)
    else:
        begin = starting_point(model, basis, prepared, o, start, moments, inputs)
    return arrive(model, basis, prepared, o, begin, tell, clock, inputs, kept, how=how)
