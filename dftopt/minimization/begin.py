"""The point that a minimization begins from: bands, orbitals and occupations."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.bases.devices import host
from dftopt.bases.real_waves import opposite, plane_waves, real_waves
from dftopt.energy.free_energy import weights
from dftopt.energy.prepared import Prepared
from dftopt.errors import InputError
from dftopt.minimization import occupations as occ
from dftopt.minimization import options
from dftopt.minimization import start as starting
from dftopt.minimization.problem import Problem
from dftopt.minimization.refine import BUFFER, occupation_parameters, wanted_bands
from dftopt.minimization.result import Result
from dftopt.minimization.smearing import SMEARINGS

RITZ_STEPS = {"atomic": 2, "random": 0}
RITZ_TOL = 1e-3  # hartree
SMALL_OCCUPATION = 1e-6


class Begin(NamedTuple):
    """A point, bands beyond it that later become the empty ones, and products H psi and FFTs so far."""

    x: Any
    empty: Any
    counted: np.ndarray


class Guess(NamedTuple):
    """Orbitals (s, k, b, npw) to be relaxed a little: `nb` for the minimization, `wanted` for the result, a few more."""

    psi: Any
    nb: int
    wanted: int


def starting_point(model, basis, prepared: Prepared, o: options.Options, start, moments, inputs) -> Begin:
    """Where a minimization begins, from `start` as `minimize` takes it.

    Raises:
        InputError: no such start, or a result of another shape.
    """
    if isinstance(start, Result):
        return from_result(start, model, basis, prepared, o)
    check_start(start)
    potential = starting.potential_of(starting.atomic_density(model, basis, moments), prepared)
    counted, nb = np.zeros(2), first_bands(o, basis)
    while True:
        g = guess(model, basis, prepared, o, start, inputs, nb)
        psi, e, _, _ = starting.lowest_orbitals(
            g.psi, potential, prepared.orbitals, RITZ_STEPS[start], RITZ_TOL, prepared.band_block, g.wanted, 0
        )
        counted = counted + work(psi, start)
        found = point(g, psi, e, model, basis, prepared, o)
        if found is not None:
            x, empty = found
            return Begin(x, empty, counted)
        nb = more_bands(nb, basis)


def check_start(start) -> None:
    """Refuse what is neither a name nor a result."""
    if not isinstance(start, Result) and (not isinstance(start, str) or start not in RITZ_STEPS):
        raise InputError(f"start = {start!r} must be 'atomic', 'random' or a Result of the same shape.")


def are_real(basis, o: options.Options, start) -> bool:
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


def first_bands(o: options.Options, basis) -> int:
    """Bands to begin with: the filled ones, at a temperature some more."""
    filled = max(o.filled)
    if o.temperature == 0:
        return filled
    return min(o.nbands or filled + max(4, int(np.ceil(0.2 * filled))), basis.fewest)


def more_bands(nb: int, basis) -> int:
    """A quarter more."""
    return min(nb + max(2, nb // 4), basis.fewest)


def guess(model, basis, prepared: Prepared, o: options.Options, start: str, inputs, nb: int) -> Guess:
    """Atomic or random orbitals."""
    key, most = jax.random.key(o.seed), basis.fewest
    wanted = wanted_bands(o, max(o.filled), nb, most)
    total = min(max(wanted, nb) + BUFFER, most)
    if start == "atomic":
        psi = starting.atomic_orbitals_and_noise(key, model, basis, prepared, inputs, total)
    else:
        psi = starting.random_orbitals(key, (model.nspin, basis.nk, total, basis.npw), prepared.orbitals)
    return Guess(psi, nb, wanted)


def work(psi, start: str) -> np.ndarray:
    """Products and FFTs of relaxing a guess."""
    return starting.work(psi, np.prod(psi.shape[:3]) * (RITZ_STEPS[start] + 1), 2)


def point(g: Guess, psi, e, model, basis, prepared: Prepared, o: options.Options):
    """The point made of relaxed orbitals and their levels, and the bands beyond it; None where more bands are needed."""
    nb, most = g.nb, basis.fewest
    total = min(max(g.wanted, nb) + BUFFER, most)
    psi, empty, e = psi[:, :, :nb], psi[:, :, nb:total], e[..., :nb]
    if o.temperature == 0:
        return {"psi": psi, "occ": ()}, empty  # the first step takes the absent bands of a spin out
    f, _, _ = occ.from_levels(e, weights(prepared), prepared.filling, o.temperature, SMEARINGS["fermi-dirac"])
    if o.nbands is not None or float(host(f)[..., -1].max()) < SMALL_OCCUPATION or nb >= most:
        return {"psi": psi, "occ": occupation_parameters(o.problem, e, f, model, basis)}, empty
    return None


def from_result(earlier: Result, model, basis, prepared: Prepared, o: options.Options) -> Begin:
    """The final point of an earlier result.

    Raises:
        InputError: it has another parametrization, other k points or another number of electrons.
    """
    problem: Problem = o.problem
    if earlier.options.parametrization != problem.parametrization:
        raise InputError(
            f"start: the earlier result was parametrized by {earlier.options.parametrization!r}, this run by {problem.parametrization!r}. "
            "Use the same temperature and parametrization."
        )
    carried, empty = starting.carry(earlier, basis), _beyond(earlier, basis)
    return Begin(starting.compact(carried, prepared), starting.compact(empty, prepared), np.zeros(2))


def as_found(o: options.Options, start) -> options.Options:
    """Options with the filling that an earlier result found to be lowest, where it is free."""
    if isinstance(start, Result) and o.temperature == start.options.temperature == 0 and o.magnetization is None:
        return replace(o, filled=start.options.filled)
    return o


def _beyond(earlier: Result, basis):
    """The empty bands of an earlier result at the same plane waves, and its buffer, to start ours from."""
    if not starting.same_waves(earlier.basis, basis):
        return jnp.zeros((*earlier.psi.shape[:2], 0, basis.npw), complex)
    empty = earlier.psi[:, :, earlier.point["psi"].shape[2] :]
    return empty if earlier.buffer is None else jnp.concatenate([empty, earlier.buffer], axis=2)
