"""`minimize` for a molecule in Gaussians: no self-consistent field, one descent of the free energy."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from pyscf.scf.hf import init_guess_by_minao

from dftopt.energy import molecule as energy
from dftopt.errors import InputError
from dftopt.minimization import descent
from dftopt.minimization import molecular_newton as newton
from dftopt.minimization import occupations as occ
from dftopt.minimization.cg import ConjugateGradients
from dftopt.minimization.clock import Clock, make_room
from dftopt.minimization.lbfgs import LBFGS
from dftopt.minimization.loop import INTERRUPTED, Step, rows_of
from dftopt.minimization.molecular_options import check
from dftopt.minimization.molecular_problem import Frame, MolecularProblem
from dftopt.minimization.molecular_result import MolecularResult
from dftopt.minimization.moments import aufbau, edges
from dftopt.minimization.options import Options
from dftopt.minimization.result import Stats
from dftopt.minimization.smearing import SMEARINGS
from dftopt.minimization.warm_up import WarmUp
from dftopt.precision import one_blas_thread

CHUNK = 12  # evaluations per compiled call; between calls the frame is renewed
FIRST_CHUNK = 4  # the first frame is that of superposed atoms: renew it soon
ATTEMPTS = 4
METHODS: dict[str, descent.Method] = {
    "auto": LBFGS(history=8, curvature=0.7, first_step=1.0),
    "lbfgs": LBFGS(history=8, curvature=0.7, first_step=1.0),
    "cg": ConjugateGradients(first_step=1.0),
    "gradient-descent": ConjugateGradients(conjugate=False, first_step=1.0),
}


@one_blas_thread
def minimize(model, basis, *, tell, start: Any = "atomic", inputs=None, **options) -> MolecularResult:
    """Minimize the free energy of a molecule, see `ground_state.minimize`.

    Starts from the orbitals of superposed atomic densities (minimal basis, no self-consistent field of atoms or
    molecule), or from an earlier result, also at another geometry.

    Raises:
        InputError: wrong options, before integrals are computed.
    """
    clock = Clock()
    make_room()
    if inputs is not None and set(inputs) != {"xc"}:
        raise InputError(
            "inputs= of a molecule in Gaussians may hold xc alone: give a model of the changed atoms instead of their positions."
        )
    o = check(model, basis, **options)
    if not isinstance(start, (MolecularResult, WarmUp)) and start != "atomic":
        raise InputError(f"start = {start!r} must be 'atomic', an earlier result of a molecule, or a `WarmUp`.")
    molecule = energy.prepare(model, basis, o.magnetization)
    if inputs is not None:
        molecule = replace(molecule, xc=jax.tree.map(jnp.asarray, inputs["xc"]))
    guess = _guess(model, basis, o, start)
    frame = _first_frame(guess, basis, molecule)
    if isinstance(start, MolecularResult) and o.temperature == 0 and o.magnetization is None:
        o = replace(o, filled=start.options.filled)
    results: list[MolecularResult] = []
    run: _Run | None = None
    nb = 0
    for _ in range(ATTEMPTS):
        nb = max(nb, _number_of_bands(o, frame, molecule))
        x = _lowest(model, basis, o, frame, molecule, nb)
        run = _descend(o, x, molecule, frame, len(model.atoms), guess.padding, tell, run)
        final = _settle(run, o, molecule, basis, guess.padding)
        results.append(_assemble(model, basis, o, run, final, clock))
        lower = _other_filling(final, o, model, basis)
        if run.status != descent.CONVERGED or (lower is None and not final.excited):
            break
        o, frame = (o if lower is None else replace(o, filled=lower)), final.frame  # go on from the lowest orbitals
    best = min(results, key=lambda r: (not r.converged, float(r.energies.free)))
    work = {name: results[-1].stats[name] for name in ("iterations", "evaluations")}
    return replace(best, stats=Stats({**best.stats, **work, **clock.read()}))


# ---------------------------------------------------------------------------------------------------- start


@dataclass(frozen=True)
class _Guess:
    """Orbitals (s, 1, b, nao) and their occupations that make up the first density; `padding` orbitals in all."""

    psi: Any
    f: Any

    @property
    def padding(self) -> int:
        return self.psi.shape[2]


def _guess(model, basis, o: Options, start) -> _Guess:
    """Natural orbitals of superposed atoms, or the orbitals of an earlier result, orthonormal here."""
    s = basis.overlap
    if isinstance(start, MolecularResult):
        if start.psi.shape[-1] != basis.nao or start.model.nspin != model.nspin:
            raise InputError(
                f"start: the earlier result has {start.psi.shape[-1]} basis functions and {start.model.nspin} spin channels, this "
                f"calculation {basis.nao} and {model.nspin}. Start from the same atoms and basis."
            )
        n = max(int(np.sum(np.any(start.occupations > 1e-8, axis=(0, 1)))), max(start.options.filled))
        c = np.asarray(start.psi)[:, 0, :n]
        c = np.stack([np.linalg.solve(np.linalg.cholesky(p @ s @ p.T), p) for p in c])
        return _Guess(jnp.asarray(c)[:, None], jnp.asarray(start.occupations[:, :, :n]))
    if isinstance(start, WarmUp):
        wanted = (model.nspin, 1, max(o.filled), basis.nao)
        if start.coefficients.shape != wanted:
            raise InputError(
                f"start: the orbitals have the shape {start.coefficients.shape} (spin, 1, orbital, function), here {wanted} is needed. "
                "Give the warm-up the same model, basis and magnetization."
            )
        f = np.zeros(start.coefficients.shape[:3])
        for spin, n in enumerate(o.filled):
            f[spin, :, :n] = 1.0
        return _Guess(jnp.asarray(start.coefficients), jnp.asarray(f))
    parts = natural_orbitals(model, basis)
    keep = int(max(np.sum(n > 1e-6) for n, _ in parts))
    electrons = sum(float(n[:keep].sum()) for n, _ in parts) * 2 / model.nspin
    f = np.stack([n[:keep] for n, _ in parts])[:, None] * (basis.n_electrons / electrons)
    return _Guess(jnp.asarray(np.stack([c[:keep] for _, c in parts])[:, None]), jnp.asarray(f))


def natural_orbitals(model, basis) -> list[tuple[np.ndarray, np.ndarray]]:
    """Occupations in [0, 1] and orbitals (nao, nao; rows) of superposed atoms for each spin, most occupied first.

    The density is that of a minimal basis of atomic orbitals with the occupations of atoms, projected onto the basis;
    starting moments shift it between the spins.
    """
    d, squares_of = init_guess_by_minao(basis.mol), np.linalg.eigh(basis.overlap)
    root = (squares_of[1] * np.sqrt(squares_of[0])) @ squares_of[1].T
    moments = np.asarray(model.atoms.get_initial_magnetic_moments(), float)
    valence = np.clip(basis.mol.atom_charges(), 1, 8)
    parts = []
    for sign in (1.0, -1.0)[: model.nspin]:
        shift = np.clip(moments / valence, -1, 1) if model.nspin == 2 else np.zeros(len(moments))
        share = np.sqrt(1 + sign * shift)[basis.atom_of]
        n, v = np.linalg.eigh(root @ (share[:, None] * d * share) @ root)
        parts.append((n[::-1] / 2, np.linalg.solve(root, v[:, ::-1]).T))
    return parts


def _padded(psi, f, n: int):
    """With zero orbitals up to n: one compiled program makes all Hamiltonians."""
    more = max(0, n - psi.shape[2])
    return np.pad(psi, ((0, 0), (0, 0), (0, more), (0, 0))), np.pad(np.asarray(f), ((0, 0), (0, 0), (0, more)))


def _eigen(h, overlap) -> Frame:
    """Eigenvectors of Hamiltonians (s, nao, nao)."""
    pairs = [scipy.linalg.eigh(x, overlap) for x in np.asarray(h)]
    return Frame(jnp.asarray(np.stack([v.T for _, v in pairs])), jnp.asarray(np.stack([e for e, _ in pairs])))


def _first_frame(guess: _Guess, basis, molecule) -> Frame:
    return _eigen(energy.hamiltonian(guess.psi, guess.f, molecule), basis.overlap)


def _number_of_bands(o: Options, frame: Frame, molecule) -> int:
    """Filled ones at T = 0; else all that are noticeably occupied, and some more."""
    filled, most = max(o.filled), frame.levels.shape[1]
    if o.temperature == 0:
        return filled
    if o.nbands is not None:
        return o.nbands
    f, _, _ = _occupations(o, frame.levels, molecule)
    noticed = int(np.sum(np.any(f > 1e-9, axis=(0, 1))))
    return min(max(noticed + 2, filled + 2), most)


def _occupations(o: Options, levels, molecule):
    w = (molecule.degeneracy * molecule.weights)[None, :, None]
    f, mu, entropy = occ.from_levels(levels[:, None], w, molecule.filling, o.temperature, SMEARINGS[o.smearing])
    return np.asarray(f), np.asarray(mu), float(entropy)


def _lowest(model, basis, o: Options, frame: Frame, molecule, nb: int):
    """The lowest orbitals of a frame, occupied by their levels."""
    n = frame.levels.shape[1]
    psi = np.broadcast_to(np.eye(nb, n), (model.nspin, 1, nb, n))
    if o.temperature == 0:
        present = np.arange(nb) < np.array(o.filled)[:, None]
        return {"psi": psi * present[:, None, :, None], "occ": ()}
    e = frame.levels[:, None, :nb]
    f, _, _ = _occupations(o, frame.levels[:, :nb], molecule)
    if o.parametrization == "row-norm":
        return {"psi": psi, "occ": occ.initial_rows(jnp.asarray(f), round(basis.n_electrons * model.nspin / 2))}
    return {"psi": psi, "occ": e}


# ---------------------------------------------------------------------------------------------------- loop


@dataclass(frozen=True)
class _Run:
    state: Any
    frame: Frame
    status: int
    iterations: int
    evaluations: int
    history: tuple[tuple[float, float], ...]
    filling: tuple[int, ...]


def _descend(o: Options, x, molecule, frame: Frame, natoms: int, padding: int, tell, before: _Run | None) -> _Run:
    """Descend in chunks; between them the frame becomes that of the present Hamiltonian."""
    problem, tol, temperature = MolecularProblem(o.problem), o.tol * natoms, jnp.asarray(o.temperature)
    if o.minimizer == "newton":
        begin: Any = newton.start
        advance = lambda state, data, n: newton.run(problem, state, data, tol, int(n))
    else:
        method = METHODS[o.minimizer]
        begin = partial(descent.start, method=method)
        advance = lambda state, data, n: descent.run(problem, state, data, tol, method, CHUNK, n)
    done = (before.iterations, before.evaluations, before.history) if before else (0, 0, ())
    state = begin(problem, x, (molecule, temperature, frame))
    accepted: list = list(done[2])
    status, limit = descent.RUNNING, FIRST_CHUNK
    while status == descent.RUNNING and int(state.evaluations) < o.maxiter:
        n = jnp.minimum(limit, o.maxiter - state.evaluations)
        state, record = advance(state, (molecule, temperature, frame), n)
        rows = rows_of(record)
        accepted += rows
        iterations, evaluations = done[0] + int(state.iterations), done[1] + int(state.evaluations)
        step = Step(iterations, evaluations, float(state.at.value), float(state.error), rows)
        if tell(step) is True:
            status = INTERRUPTED
            break
        status, limit = int(state.status), CHUNK
        if status == descent.RUNNING:
            state, frame = _renewed(state, frame, molecule, padding)
    return _Run(state, frame, status, iterations, evaluations, tuple(accepted), o.filled)


def _present(state, frame: Frame, padding: int):
    return _padded(_in_basis(state.x["psi"], frame), state.at.info["f"], padding)


def _renewed(state, frame: Frame, molecule, padding: int):
    """The same state in the eigenvectors of its Hamiltonian."""
    h = energy.hamiltonian(*_present(state, frame, padding), molecule)
    old = np.asarray(frame.orbitals)
    levels, turn = np.linalg.eigh(old @ np.asarray(h) @ old.swapaxes(1, 2))
    new = Frame(jnp.asarray(turn.swapaxes(1, 2) @ old), jnp.asarray(levels))

    def turned(path, leaf):
        coefficients = {getattr(p, "key", None) for p in path} & {"psi", "perp"}
        return (
            jnp.asarray((np.asarray(leaf) @ turn[:, None]).astype(leaf.dtype)) if coefficients else leaf
        )  # (..., s, 1, b, n)

    return jax.tree_util.tree_map_with_path(turned, state), new


def _in_basis(psi, frame: Frame) -> np.ndarray:
    """Coefficients of the Gaussians, on the host: nothing to compile."""
    return np.asarray(psi) @ np.asarray(frame.orbitals)[:, None]


# ---------------------------------------------------------------------------------------------------- after


@dataclass(frozen=True)
class _Final:
    frame: Frame
    occupations: np.ndarray
    fermi: tuple[float, ...]
    excited: bool
    residual: float


def _settle(run: _Run, o: Options, molecule, basis, padding: int) -> _Final:
    """All levels of the final Hamiltonian, and whether filling the lowest of them would lower the energy."""
    h = energy.hamiltonian(*_present(run.state, run.frame, padding), molecule)
    frame = _eigen(h, basis.overlap)
    info, levels = run.state.at.info, np.asarray(frame.levels)
    f_run, h_run = np.asarray(info["f"]), np.asarray(info["h"])
    own = np.diagonal(h_run, axis1=-2, axis2=-1)
    w = float(molecule.degeneracy)
    ns, n = levels.shape
    if o.temperature > 0:
        w3 = (molecule.degeneracy * molecule.weights)[None, :, None]
        f, mu, entropy = occ.from_levels(frame.levels[:, None], w3, molecule.filling, o.temperature, o.problem.kind)
        occupations, fermi = np.asarray(f), tuple(np.asarray(mu).tolist())
        change = float(info["energies"].entropy) - float(entropy)
    else:
        occupations = (np.arange(n) < np.array(o.filled)[:, None])[:, None].astype(float)
        e3 = levels[:, None]
        reservoirs = (
            [(e3, o.filled)] if o.magnetization is None else [(e3[s : s + 1], o.filled[s : s + 1]) for s in (0, 1)]
        )
        fermi, change = tuple(_middle(*edges(*r)) for r in reservoirs), 0.0
    excess = w * float(np.sum(own * f_run) - np.sum(levels[:, None] * occupations)) + change
    error = float(run.state.error)
    excited = o.problem.is_minimum and excess > max(1e-7, 30 * error)
    psi, frame_run = np.asarray(run.state.x["psi"]), np.asarray(run.frame.orbitals)[:, None]
    hpsi = _in_basis(psi, run.frame) @ np.asarray(h)[:, None] @ frame_run.swapaxes(-1, -2)
    r = (hpsi - h_run @ psi) * (f_run > 1e-6)[..., None]
    return _Final(frame, occupations, fermi, bool(excited), float(np.sqrt(np.sum(r**2, -1)).max()))


def _middle(top: float, bottom: float) -> float:
    return 0.5 * (top + bottom) if np.isfinite(top + bottom) else (top if np.isfinite(top) else bottom)


def _other_filling(final: _Final, o: Options, model, basis) -> tuple[int, ...] | None:
    """Orbitals per spin of lower energy at T = 0 with a free magnetization; None where the present ones are the lowest."""
    if o.temperature > 0 or model.nspin == 1 or o.magnetization is not None:
        return None
    levels = np.asarray(final.frame.levels)[:, None]
    better = aufbau(levels, np.ones(1), round(basis.n_electrons))
    top, bottom = edges(levels, o.filled)
    return better if better != o.filled and bottom < top - 1e-6 else None


def _verdict(run: _Run, final: _Final, error: float, o: Options) -> tuple[bool, str]:
    if run.status == descent.CONVERGED and final.excited:
        return (
            False,
            "not converged: an excited state, an empty level lies below a filled one (try a temperature, or start moments)",
        )
    if run.status == descent.CONVERGED:
        return True, f"converged to {error:.1e} Ha per atom"
    if run.status == descent.STUCK:
        if error <= max(1e-9, o.tol):
            return True, f"stopped at roundoff, converged to {error:.1e} Ha per atom"
        return False, f"not converged: no descent at {error:.1e} Ha per atom (try a temperature, or start moments)"
    if run.status == INTERRUPTED:
        return False, f"not converged: interrupted after {run.evaluations} evaluations at {error:.1e} Ha per atom"
    if run.status == descent.DIVERGED:
        return False, "not converged: the energy is not finite (check the structure)"
    return False, f"not converged: {run.evaluations} evaluations reached {error:.1e} Ha per atom (try a larger maxiter)"


def _assemble(model, basis, o: Options, run: _Run, final: _Final, clock: Clock) -> MolecularResult:
    info, error = run.state.at.info, float(run.state.error) / len(model.atoms)
    converged, verdict = _verdict(run, final, error, o)
    values, errors = np.array(run.history).T
    f, h = np.asarray(info["f"]), np.asarray(info["h"])
    stats = Stats(
        iterations=run.iterations, evaluations=run.evaluations, hamiltonian_applications=run.evaluations * int(np.prod(f.shape)),
        ffts=0, residual=final.residual, error=error, **clock.read(),
    )  # fmt: skip
    electrons = np.asarray(info["electrons"])
    return MolecularResult(
        model=model, basis=basis, options=o, energies=jax.tree.map(float, info["energies"]), converged=converged, verdict=verdict,
        stats=stats, eigenvalues=np.asarray(final.frame.levels)[:, None], occupations=final.occupations, fermi_levels=final.fermi,
        history=values, errors=errors, psi=final.frame.orbitals[:, None], potential=None,
        point={"psi": _in_basis(run.state.x["psi"], run.frame), "occ": run.state.x["occ"]},
        charge_integral=float(electrons[:-1].sum()), absolute_magnetization=float(electrons[-1]),
        diagonality=float(np.abs((f[..., :, None] - f[..., None, :]) * h).max()),
    )  # fmt: skip
