"""What the minimum leaves free, settled after it: rotations among equally occupied bands, and empty bands."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.bases.devices import fill_up, host
from dftopt.energy.fields import fields
from dftopt.energy.free_energy import orbital_terms, potential_energy, weights
from dftopt.energy.prepared import Prepared
from dftopt.minimization import occupations as occ
from dftopt.minimization import options
from dftopt.minimization import start as starting
from dftopt.minimization.moments import edges
from dftopt.minimization.problem import Problem

FINEST_RESIDUAL = 3e-6  # hartree; the error of an eigenvalue is about its square over the distance to the next
STEPS = 80  # of the trace minimization, at most
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
    """Settled orbitals and levels.

    `buffer` holds the bands above them, settled loosely; `restart` is a better point where the minimization ended in an
    excited state.
    """

    psi: Any
    buffer: Any
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


class Seen(NamedTuple):
    """The Kohn-Sham potential of orbitals, their charge and their absolute magnetization."""

    potential: Any
    charge: Any
    absolute: Any


class Settled(NamedTuple):
    """Bands settled in the potential: orbitals (s, k, b, npw), levels and residual norms (s, k, b), steps (s, k)."""

    psi: Any
    eigenvalues: Any
    norms: Any
    steps: Any


@jax.jit
def potential_seen(psi, f, prepared: Prepared) -> Seen:
    """See `Seen`; f (s, k, b)."""
    return seen_of(orbital_terms(psi, f * weights(prepared), prepared.orbitals, prepared.band_block)[0], prepared)


@jax.jit
def seen_of(summed, prepared: Prepared) -> Seen:
    """The same of sums over orbitals, see `orbital_terms`."""
    seen = fields(summed, prepared)
    charge = jnp.sum(seen.rho_G[:, 0, 0, 0].real) * prepared.volume
    absolute = jnp.mean(jnp.abs(seen.rho[0] - seen.rho[-1])) * prepared.volume
    return Seen(jax.grad(lambda n: potential_energy(n, prepared)[0])(summed), charge, absolute)


def refine(x, info, error, empty, prepared: Prepared, problem: Problem, o: options.Options, model, basis) -> Final:
    """Settle what the minimum leaves free: rotations among equally occupied bands, and empty bands (trace minimization)."""
    full, wanted = to_settle(x, empty, prepared, problem, o, basis)
    seen, count = potential_seen(x["psi"], info["f"], prepared), np.zeros(2)
    for first in settled_before(o):
        found = Settled(
            *starting.lowest_orbitals(
                full, seen.potential, prepared.orbitals, STEPS, residual_limit(o), prepared.band_block, wanted, first
            )
        )
        count, full = count + settling(found, first), found.psi
        if is_settled(found, first, o, basis.nk):
            break
    return finish(x, info, error, seen, found, count, prepared, problem, o, model, basis)


def to_settle(x, empty, prepared: Prepared, problem: Problem, o: options.Options, basis):
    """All bands that will be settled, (s, k, b, npw), and the number of those that have to converge."""
    psi = x["psi"]
    ns, _, nb, npw = psi.shape
    nk = basis.nk  # devices may share a few more, see `bases.devices`
    most = basis.fewest
    wanted = wanted_bands(o, max(o.filled), nb, most)
    total = min(max(wanted, nb) + BUFFER, most)
    empty = empty[:, :, : total - nb]
    extra = starting.random_orbitals(
        jax.random.key(o.seed + 1), (ns, nk, total - nb - empty.shape[2], npw), prepared.orbitals
    )
    if problem.filled is not None:  # the absent bands of a spin start from noise
        noise = starting.random_orbitals(jax.random.key(o.seed + 3), (ns, nk, nb, npw), prepared.orbitals)
        psi = jnp.where(problem.fixed_occupations(psi.shape[:3])[..., None] > 0, psi, noise)
    return jnp.concatenate([psi, empty, extra], axis=2), wanted


def settled_before(o: options.Options) -> tuple[int, ...]:
    """Bands to be taken as converged, tried in turn.

    At T = 0 these are the filled ones, unless an empty one lies below them or the run ended early.
    """
    return (min(o.filled), 0) if o.temperature == 0 else (0,)


def settling(found: Settled, first: int) -> np.ndarray:
    """Products H psi and FFTs."""
    total = found.psi.shape[2]
    return starting.work(found.psi, np.sum(host(found.steps) * (total - first) + total), 2)


def is_settled(found: Settled, first: int, o: options.Options, nk: int) -> bool:
    """Whether the bands that were taken as converged are."""
    return bool(np.all(host(found.norms)[:, :nk, :first] <= residual_limit(o)))


def finish(
    x, info, error, seen: Seen, found: Settled, count, prepared: Prepared, problem: Problem, o: options.Options, model, basis
) -> Final:  # fmt: skip
    """Occupations, Fermi levels and the verdict on the state, from settled bands."""
    full, e, norms, f = found.psi, found.eigenvalues, found.norms, info["f"]
    ns, nb, nk = full.shape[0], x["psi"].shape[2], basis.nk
    filled = np.array(o.filled)
    wanted = wanted_bands(o, max(o.filled), nb, basis.fewest)
    e, norms = host(e)[:, :nk, :wanted], host(norms)[:, :nk, :wanted]
    h, f = host(info["h"])[:, :nk], host(f)[:, :nk]
    w = host(weights(prepared))[:, :nk]
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
    settled, buffer = (starting.expanded(part, nk, prepared) for part in (full[:, :, :wanted], full[:, :, wanted:]))
    potential = jnp.asarray(host(seen.potential))
    return Final(
        settled,
        buffer,
        potential,
        e,
        norms,
        occupations,
        fermi,
        excited,
        restart,
        count,
        diagonality,
        float(seen.charge),
        float(seen.absolute),
    )
