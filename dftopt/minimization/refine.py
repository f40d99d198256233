"""What the minimum leaves free, settled after it: rotations among equally occupied bands, and empty bands."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.bases.devices import fill_up
from dftopt.energy.fields import fields
from dftopt.energy.free_energy import orbital_terms, potential_energy, weights
from dftopt.energy.prepared import Prepared
from dftopt.minimization import occupations as occ
from dftopt.minimization import options
from dftopt.minimization import start as starting
from dftopt.minimization.moments import edges
from dftopt.minimization.problem import Problem

FINEST_RESIDUAL = 3e-6  # hartree; the error of an eigenvalue is about its square over the distance to the next
BUFFER = 2  # bands beyond those asked for that only help the last ones to converge


def wanted_bands(o: options.Options, filled: int, nb: int, most: int) -> int:
    """Bands of the result: those asked for; else those of the minimization, and two empty ones at T = 0."""
    return o.nbands or (nb if o.temperature > 0 else min(filled + 2, most))


def occupation_parameters(problem: Problem, e, f, model, basis):
    """Occupation parameters of given levels and occupations."""
    if problem.parametrization == "fixed":
        return ()
    if problem.parametrization == "row-norm":
        return occ.initial_rows(f, round(model.n_electrons * model.nspin / 2 * basis.nk))
    return e


@dataclass(frozen=True)
class Final:
    """Settled orbitals and levels; `restart` is a better point where the minimization ended in an excited state."""

    psi: Any
    potential: Any
    eigenvalues: np.ndarray
    residuals: np.ndarray
    occupations: np.ndarray
    fermi_levels: tuple[float, ...]
    excited: bool
    restart: Any
    hamiltonians: np.ndarray
    diagonality: float
    charge: float
    absolute_magnetization: float


def residual_limit(o: options.Options) -> float:
    """Residual of the eigenvalues' states, so that their error is about that of the free energy; hartree."""
    return max(FINEST_RESIDUAL, 3 * float(np.sqrt(o.tol)))


def _middle(top: float, bottom: float) -> float:
    """The middle of a gap; the edge that exists where the other does not."""
    return 0.5 * (top + bottom) if np.isfinite(top + bottom) else (top if np.isfinite(top) else bottom)


@jax.jit
def _potential(psi, f, prepared: Prepared):
    summed, _, _ = orbital_terms(psi, f * weights(prepared), prepared.orbitals, prepared.band_block)
    seen = fields(summed, prepared)
    charge = jnp.sum(seen.rho_G[:, 0, 0, 0].real) * prepared.volume
    absolute = jnp.mean(jnp.abs(seen.rho[0] - seen.rho[-1])) * prepared.volume
    return jax.grad(lambda n: potential_energy(n, prepared)[0])(summed), charge, absolute


def refine(x, info, error, empty, prepared: Prepared, problem: Problem, o: options.Options, model, basis) -> Final:
    """Settle what the minimum leaves free: rotations among equally occupied bands, and empty bands (trace minimization)."""
    psi, f = x["psi"], info["f"]
    ns, _, nb, npw = psi.shape
    nk = basis.nk  # devices may share a few more, see `bases.devices`
    filled, most = np.array(o.filled), int(basis.counts.min())
    wanted = wanted_bands(o, max(o.filled), nb, most)
    total = min(max(wanted, nb) + BUFFER, most)
    potential, charge, absolute = _potential(psi, f, prepared)
    empty = empty[:, :, : total - nb]
    extra = starting.random_orbitals(
        jax.random.key(o.seed + 1), (ns, nk, total - nb - empty.shape[2], npw), prepared.orbitals
    )
    if problem.filled is not None:  # the absent bands of a spin start from noise
        noise = starting.random_orbitals(jax.random.key(o.seed + 3), (ns, nk, nb, npw), prepared.orbitals)
        psi = jnp.where(problem.fixed_occupations(psi.shape[:3])[..., None] > 0, psi, noise)
    limit, block = residual_limit(o), prepared.band_block
    full, count = jnp.concatenate([psi, empty, extra], axis=2), np.zeros(2)
    # at T = 0 the filled bands have converged, unless an empty one lies below them or the run ended early
    for settled in (min(o.filled), 0) if o.temperature == 0 else (0,):
        full, e, norms, steps = starting.lowest_orbitals(
            full, potential, prepared.orbitals, 80, limit, block, wanted, settled
        )
        count += starting.work(full, np.sum(np.asarray(steps) * (total - settled) + total), 2)
        if np.all(np.asarray(norms)[:, :nk, :settled] <= limit):
            break
    e, norms = np.asarray(e)[:, :nk, :wanted], np.asarray(norms)[:, :nk, :wanted]
    h, f = np.asarray(info["h"])[:, :nk], np.asarray(f)[:, :nk]
    w = np.asarray(weights(prepared))[:, :nk]
    if o.temperature > 0:
        fe, mu, minus_ts = occ.from_levels(e, w, prepared.filling, o.temperature, problem.kind)
        occupations, fermi = np.asarray(fe), tuple(np.asarray(mu).tolist())
    else:
        occupations = (np.arange(wanted) < filled[:, None])[:, None].astype(float) * np.ones((ns, nk, 1))
        reservoirs = (
            [(e, o.filled)] if o.magnetization is None else [(e[s : s + 1], o.filled[s : s + 1]) for s in (0, 1)]
        )
        fermi = tuple(_middle(*edges(*r)) for r in reservoirs)
    # Free energy that filling the lowest levels would save: second order in the residual where they are those of the
    # minimization, first order where one is missing or mixed among bands that are too empty for their gradient to show.
    n = min(wanted, nb)
    h_diag = np.real(np.diagonal(h, axis1=-2, axis2=-1))
    excess = float(np.sum(w * h_diag * f) - np.sum(w * e[..., :n] * occupations[..., :n]))
    if o.temperature > 0:
        excess += float(info["energies"].entropy) - float(minus_ts)
    excited = problem.is_minimum and n == nb and excess > max(2e-9, 30 * error)
    diagonality = float(np.abs((f[..., :, None] - f[..., None, :]) * h).max())
    restart = None
    if excited:
        levels, filling = jnp.asarray(e[..., :nb]), jnp.asarray(occupations)[..., :nb]
        parameters = occupation_parameters(problem, levels, filling, model, basis)
        restart = {"psi": full[:, :, :nb], "occ": fill_up(parameters, prepared.devices)}
    settled = starting.expanded(full[:, :, :wanted], nk, prepared)
    potential = jnp.asarray(np.asarray(potential))
    return Final(
        settled,
        potential,
        e,
        norms,
        occupations,
        fermi,
        excited,
        restart,
        count,
        diagonality,
        float(charge),
        float(absolute),
    )
