"""Memory and time of a minimization from its sizes, before anything large is allocated."""

import numpy as np

from dftopt.atoms import checks
from dftopt.errors import InputError
from dftopt.minimization.lbfgs import LBFGS
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV

PROCESS_GIB = 0.5  # Python, JAX and its compiler before any array
EVALUATIONS = 15  # of energy and gradient in a usual run
COPIES = (
    1.5 * (LBFGS().history + 1) + 14
)  # of the orbitals: L-BFGS keeps pairs of three in single precision; XLA reports four more in the state and ten in use
SPHERES = 24.0  # bytes per plane wave: their integers at all k points
SECONDS = 6e-9  # per band, point of the grid and transform, with all that goes with them; measured on two cores


def check_at_once(kpoints_at_once) -> int | None:
    """A whole number, or None for all.

    Raises:
        InputError: it is none.
    """
    if kpoints_at_once is None:
        return None
    remedy = "It counts the k points that are on the device together."
    return checks.check_whole("kpoints_at_once", kpoints_at_once, remedy=remedy)


def forecast(model, basis, nbands: int | None = None, kpoints_at_once: int | None = None) -> dict[str, float]:
    """Rough memory and time of a minimization, from its sizes; allocates nothing large.

    Args:
        model: the model.
        basis: its basis.
        nbands: bands; default what a small temperature needs.
        kpoints_at_once: k points on the device together; default all.

    Returns:
        `memory_gib` (23 copies of the orbitals, projectors, grids, plane waves, and the process itself) and `seconds` (15 evaluations
        of three transforms per band on two cores, without compilation).
    """
    filled = int(np.ceil(model.n_electrons / 2))
    bands = nbands or filled + max(4, int(np.ceil(0.2 * filled)))
    waves = model.structure.volume * (2 * basis.ecut) ** 1.5 / (6 * np.pi**2)
    if waves * basis.nk < 1e7:
        waves = basis.npw
    per_element = {e: sum((2 * l + 1) * n for l, n in v.layout) for e, v in model.potentials.items()}
    projectors = sum(per_element[e] for e in model.structure.symbols)
    points = float(np.prod(np.array(basis.fft, float)))
    held = min(basis.nk, kpoints_at_once or basis.nk)
    orbitals = COPIES * model.nspin * held * bands * waves
    number = 16 if np.any(basis.kpoints.k) else 8  # bytes: complex, or real at Gamma
    memory = (
        number * (orbitals + held * projectors * waves) + SPHERES * basis.nk * waves + 320 * points
    ) / 2**30 + PROCESS_GIB
    seconds = EVALUATIONS * 3 * model.nspin * basis.nk * bands * SECONDS * points
    return {"memory_gib": float(memory), "seconds": float(seconds)}


def refuse_too_large(model, basis, nbands, kpoints_at_once: int | None = None) -> None:
    """Refuse what does not fit this machine.

    Raises:
        InputError: says how much is needed, and how much there is.
    """
    if nbands is not None and (isinstance(nbands, bool) or not isinstance(nbands, (int, np.integer))):
        raise InputError(f"nbands = {nbands!r} must be a whole number.")
    kpoints_at_once = check_at_once(kpoints_at_once)
    need = lambda held: forecast(model, basis, None if nbands is None else int(nbands), held)["memory_gib"]
    limit = checks.memory_limit_gib()
    if need(kpoints_at_once) > limit:
        fewer = "" if basis.nk == 1 or need(1) > limit else " Or give kpoints_at_once: the others then wait on disk."
        raise InputError(
            f"the calculation needs about {need(kpoints_at_once):.3g} GiB "
            f"({basis.nk} k points, ecut = {basis.ecut * HARTREE_IN_EV:.0f} eV, cell of "
            f"{model.structure.volume * BOHR_IN_ANGSTROM**3:.0f} angstrom^3); this machine has {limit:.3g} GiB. "
            f"Lower ecut, kpts or nbands, or take a smaller cell.{fewer}"
        )
