"""Smearing functions: occupations and entropies of levels x = (eps - mu) / T.

Each obeys s'(x) = x f'(x), so that the free energy is stationary where the levels are eigenvalues. It is a minimum for
Fermi-Dirac and Gaussian smearing only: the others have occupations outside [0, 1] and are solved by their residual.
"""

from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
from jax.scipy.special import erfc, xlog1py, xlogy

from dftopt.atoms.checks import nearest
from dftopt.errors import InputError

SQRT_PI = 1.7724538509055159


class Smearing(Protocol):
    """What a smearing offers; `extrapolation` is c in E(T -> 0) = A + c T S, `is_minimum` as said above."""

    extrapolation: float
    is_minimum: bool

    def occupation(self, x):
        """f(x)."""

    def entropy(self, x):
        """s(x), per orbital and spin."""


@dataclass(frozen=True)
class FermiDirac:
    """f = 1 / (1 + exp(x)), s = -f ln f - (1 - f) ln(1 - f)."""

    extrapolation = 0.5
    is_minimum = True

    def occupation(self, x):
        """f(x)."""
        return jax.nn.sigmoid(-x)

    def entropy(self, x):
        """s(x), written with |x|: both tails are exact."""
        f = jax.nn.sigmoid(-jnp.abs(x))
        return -xlogy(f, f) - xlog1py(1 - f, -f)


@dataclass(frozen=True)
class Gaussian:
    """f = erfc(x) / 2, s = exp(-x^2) / (2 sqrt(pi))."""

    extrapolation = 0.5
    is_minimum = True

    def occupation(self, x):
        """f(x)."""
        return erfc(x) / 2

    def entropy(self, x):
        """s(x)."""
        return jnp.exp(-(x**2)) / (2 * SQRT_PI)


@dataclass(frozen=True)
class MethfesselPaxton:
    """Order 1: f = erfc(x) / 2 - x exp(-x^2) / (2 sqrt(pi)), s = (1 - 2 x^2) exp(-x^2) / (4 sqrt(pi)).

    References:
        Methfessel and Paxton, Phys. Rev. B 40, 3616 (1989).
    """

    extrapolation = 1 / 3
    is_minimum = False

    def occupation(self, x):
        """f(x), between -0.036 and 1.036."""
        return erfc(x) / 2 - x * jnp.exp(-(x**2)) / (2 * SQRT_PI)

    def entropy(self, x):
        """s(x)."""
        return (1 - 2 * x**2) * jnp.exp(-(x**2)) / (4 * SQRT_PI)


@dataclass(frozen=True)
class MarzariVanderbilt:
    """Cold smearing: f = (1 + erf y) / 2 + exp(-y^2) / sqrt(2 pi), s = -y exp(-y^2) / sqrt(2 pi), y = -x - 1/sqrt(2).

    References:
        Marzari, Vanderbilt, De Vita, Payne, Phys. Rev. Lett. 82, 3296 (1999).
    """

    extrapolation = 0.0
    is_minimum = False

    def occupation(self, x):
        """f(x), between 0 and 1.083."""
        y = -x - 2**-0.5
        return erfc(-y) / 2 + jnp.exp(-(y**2)) / (2**0.5 * SQRT_PI)

    def entropy(self, x):
        """s(x)."""
        y = -x - 2**-0.5
        return -y * jnp.exp(-(y**2)) / (2**0.5 * SQRT_PI)


SMEARINGS: dict[str, Smearing] = {
    "fermi-dirac": FermiDirac(),
    "gaussian": Gaussian(),
    "methfessel-paxton": MethfesselPaxton(),
    "marzari-vanderbilt": MarzariVanderbilt(),
}


def smearing(name: str) -> Smearing:
    """Look up a smearing by name.

    Raises:
        InputError: unknown name; lists the known ones.
    """
    if str(name).lower() not in SMEARINGS:
        raise InputError(f"smearing = {name!r} is unknown; {nearest(str(name), SMEARINGS)}")
    return SMEARINGS[str(name).lower()]


def against(mu, levels):
    """The chemical potentials (reservoirs,), shaped to be subtracted from arrays that lead with spin."""
    return mu.reshape(-1, *(1,) * (levels.ndim - 1))


def per_reservoir(x, reservoirs: int):
    """Sums (reservoirs,) of an array (s, k, b): over everything, or for each spin where the magnetization is fixed."""
    return jnp.sum(x, axis=(1, 2)) if reservoirs > 1 else jnp.sum(x)[None]


def count(e, mu, w, temperature, kind: Smearing):
    """Electrons per reservoir of levels e (s, k, b) at chemical potentials mu; w (1, k, 1) electrons per full level."""
    return per_reservoir(w * kind.occupation((e - against(mu, e)) / temperature), len(mu))


_ROUNDOFF = 2e-16  # of a chemical potential, relative


def chemical_potential(e, w, filling, temperature, kind: Smearing):
    """Root of `count` = filling (reservoirs,), by Newton steps inside a shrinking bracket; a constant to derivatives.

    For smearings whose occupation is not monotonic several roots can exist: the one reached from the chemical
    potential of Gaussian smearing, within 5 T of it, is taken.
    """
    e, w, filling, temperature = jax.lax.stop_gradient((e, w, filling, jnp.asarray(temperature)))
    if kind.is_minimum:
        lower = jnp.full_like(filling, jnp.min(e) - 50 * temperature)
        upper = jnp.full_like(filling, jnp.max(e) + 50 * temperature)
        start = 0.5 * (lower + upper)
    else:
        start = chemical_potential(e, w, filling, temperature, SMEARINGS["gaussian"])
        lower, upper = start - 5 * temperature, start + 5 * temperature

    def step(state):
        lower, upper, mu, _, i = state
        n, dn = jax.jvp(lambda m: count(e, m, w, temperature, kind), (mu,), (jnp.ones_like(mu),))
        lower, upper = jnp.where(n < filling, mu, lower), jnp.where(n < filling, upper, mu)
        newton = mu - (n - filling) / jnp.where(dn == 0, 1.0, dn)
        inside = (dn != 0) & (newton >= lower) & (newton <= upper)
        new = jnp.where(inside, newton, 0.5 * (lower + upper))
        return lower, upper, new, jnp.max(jnp.abs(new - mu)), i + 1

    def moves(state):
        return (state[3] > _ROUNDOFF * (1 + jnp.max(jnp.abs(state[2])))) & (state[4] < 60)

    begin = (lower, upper, start, jnp.asarray(jnp.inf), 0)
    return jax.lax.while_loop(moves, step, begin)[2]
