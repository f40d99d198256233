"""Guarded density variables that all functionals share.

Plane-wave densities have exact zeros, tiny negative values and empty spin channels. Every function here is finite
there, and so are its first and second derivatives: each division, root or logarithm sees a safe argument, and `where`
selects the result afterwards (a single `where` would still leak NaN through the derivative of the branch not taken).
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from dftopt.errors import InputError

Channels = tuple[Float[Array, "..."], ...]
"""One array per spin (total, or up and down) or per pair of spins (total, or up-up, up-down, down-down)."""

DENSITY_THRESHOLD = 1e-15
"""Density (bohr^-3) at or below which the energy density is zero; the threshold of libxc's LDA terms."""

POLARIZATION_THRESHOLD = float(np.finfo(np.float64).eps)
"""Smallest 1 +- zeta: the derivative of phi(zeta) diverges at |zeta| = 1. The same number as in libxc."""

S2 = 1 / (4 * (3 * np.pi**2) ** (2 / 3))
"""s^2 = S2 sigma / rho^(8/3), the squared reduced gradient."""

C_F = 0.3 * (3 * np.pi**2) ** (2 / 3)
"""tau_unif = C_F rho^(5/3), the kinetic energy density of the uniform gas (hartree/bohr^3)."""

RS = (3 / (4 * np.pi)) ** (1 / 3)
"""r_s = RS / rho^(1/3), the Wigner-Seitz radius (bohr)."""

_F_ZETA = 1 / (2 ** (4 / 3) - 2)


class Polarization(NamedTuple):
    r"""Functions of the relative spin polarization $\zeta = (\rho_\uparrow - \rho_\downarrow) / \rho$.

    Attributes:
        f: $f(\zeta) = [(1+\zeta)^{4/3} + (1-\zeta)^{4/3} - 2] / (2^{4/3} - 2)$.
        phi: $\phi(\zeta) = [(1+\zeta)^{2/3} + (1-\zeta)^{2/3}] / 2$.
        ds: $[(1+\zeta)^{5/3} + (1-\zeta)^{5/3}] / 2$.
        zeta2: $\zeta^2$.
        zeta4: $\zeta^4$.
        plus: $1 + \zeta$; the powers above see it, and 1 - zeta, above `POLARIZATION_THRESHOLD`, this one is exact.
        minus: $1 - \zeta$, likewise.
    """

    f: Float[Array, "..."]
    phi: Float[Array, "..."]
    ds: Float[Array, "..."]
    zeta2: Float[Array, "..."]
    zeta4: Float[Array, "..."]
    plus: Float[Array, "..."]
    minus: Float[Array, "..."]


class Density(NamedTuple):
    """Total density and what correlation functionals need of it.

    Attributes:
        present: true where the density is above the threshold.
        rho: total density, bohr^-3; 1 where not present.
        cbrt: its cube root, bohr^-1.
        rs: Wigner-Seitz radius, bohr.
        polarization: functions of zeta; `None` for an unpolarized density (zeta = 0).
    """

    present: Bool[Array, "..."]
    rho: Float[Array, "..."]
    cbrt: Float[Array, "..."]
    rs: Float[Array, "..."]
    polarization: Polarization | None


def split(x: Float[Array, "channel ..."]) -> Channels:
    """Entries along the leading axis. Done once: each index would pad and add in reverse mode, which is slow."""
    return tuple(jnp.squeeze(part, 0) for part in jnp.split(x, x.shape[0]))


def guarded(rho: Float[Array, "..."]) -> tuple[Bool[Array, "..."], Float[Array, "..."]]:
    """Mask of points with density, and the density with 1 elsewhere (bohr^-3)."""
    present = rho > DENSITY_THRESHOLD
    return present, jnp.where(present, rho, 1.0)


def polarization(rho_up: Float[Array, "..."], rho_down: Float[Array, "..."], rho: Float[Array, "..."]) -> Polarization:
    """Functions of zeta from nonnegative spin densities and a positive total density (bohr^-3)."""
    exact = 2 * rho_up / rho, 2 * rho_down / rho  # not 1 +- zeta: that cancels in a nearly empty channel
    zeta2 = ((rho_up - rho_down) / rho) ** 2
    plus, minus = (jnp.where(x > POLARIZATION_THRESHOLD, x, POLARIZATION_THRESHOLD) for x in exact)
    cbrt_plus, cbrt_minus = jnp.cbrt(plus), jnp.cbrt(minus)
    plus23, minus23 = cbrt_plus * cbrt_plus, cbrt_minus * cbrt_minus
    f = _F_ZETA * (plus * cbrt_plus + minus * cbrt_minus - 2)
    ds = (plus * plus23 + minus * minus23) / 2
    return Polarization(f, (plus23 + minus23) / 2, ds, zeta2, zeta2 * zeta2, *exact)


def density(rho_s: Channels) -> Density:
    r"""Guarded variables of a density; $r_s = (3 / 4 \pi \rho)^{1/3}$.

    Args:
        rho_s: total density, or up and down densities, bohr^-3; negative values count as zero.

    Returns:
        The variables, safe everywhere.
    """
    if len(rho_s) == 1:
        present, rho = guarded(rho_s[0])
        spin = None
    else:
        up, down = (jnp.where(x >= 0, x, 0.0) for x in rho_s)  # ">=": an empty channel keeps its one-sided potential
        present, rho = guarded(up + down)
        spin = polarization(jnp.where(present, up, 0.5), jnp.where(present, down, 0.5), rho)  # rho is 1 elsewhere
    cbrt = jnp.cbrt(rho)
    return Density(present, rho, cbrt, RS / cbrt, spin)


def total_sigma(sigma: Channels) -> Float[Array, "..."]:
    r"""Squared gradient of the total density, $\sigma = \sigma_{uu} + 2 \sigma_{ud} + \sigma_{dd}$ (bohr^-8)."""
    total = sigma[0] if len(sigma) == 1 else sigma[0] + 2 * sigma[1] + sigma[2]
    return jnp.where(total >= 0, total, 0.0)  # rounding of opposite gradients; not maximum(), its slope at 0 is 1/2


class IsoOrbital(NamedTuple):
    r"""How a density compares with a single orbital's.

    Attributes:
        sigma_s: squared gradients (total, or uu, ud, dd) within the bound, bohr^-8.
        sigma: that of the total density, bohr^-8.
        s2: squared reduced gradient of the total density.
        tau: kinetic energy density in units of the unpolarized uniform gas's.
        alpha: $(\tau - \tau_W) / \tau_{unif}$.
    """

    sigma_s: Channels
    sigma: Float[Array, "..."]
    s2: Float[Array, "..."]
    tau: Float[Array, "..."]
    alpha: Float[Array, "..."]


def iso_orbital(n: Density, rho_s: Channels, sigma: Channels, tau_s: Channels) -> IsoOrbital:
    r"""Iso-orbital indicator of the total density.

    $\tau_{unif} = \frac{3}{10} (3\pi^2)^{2/3} \rho^{5/3} [(1+\zeta)^{5/3} + (1-\zeta)^{5/3}] / 2$ and
    $\tau_W = \sigma / 8\rho$. Orbitals have $\sigma \le 8 \rho \tau$ in each channel; where the arguments do not (rounding,
    a core density without its tau), sigma counts as that bound, and the mixed sigma as at most the mean of the two.
    libxc does the same, but returns the derivatives at the changed point; ours are those of the energy itself.
    With polarized arguments that no orbitals have, alpha may still be negative.

    Args:
        n: the guarded density of rho_s.
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        tau_s: kinetic energy densities (total, or up and down), hartree/bohr^3.

    Returns:
        Finite variables with finite derivatives.
    """
    taus = tuple(jnp.where(x >= 0, x, 0.0) for x in tau_s)  # ">=": as for the density
    bounds = tuple(8 * jnp.where(rho > 0, rho, 0.0) * tau for rho, tau in zip(rho_s, taus, strict=True))
    own = tuple(jnp.where(x <= bound, x, bound) for x, bound in zip(sigma[::2], bounds, strict=True))
    if n.polarization is None:
        tau, parts = taus[0], own
    else:
        tau, mean = taus[0] + taus[1], (own[0] + own[1]) / 2
        mixed = jnp.where(sigma[1] <= mean, jnp.where(sigma[1] >= -mean, sigma[1], -mean), mean)
        parts = (own[0], mixed, own[1])
    total = total_sigma(parts)
    rho53 = n.rho * n.cbrt * n.cbrt
    s2 = S2 * total / (rho53 * n.rho)
    tau = tau / (C_F * rho53)
    alpha = tau - 5 / 3 * s2
    return IsoOrbital(parts, total, s2, tau, alpha if n.polarization is None else alpha / n.polarization.ds)


def spin_scaled(exchange, rho_s: Channels, sigma: Channels | None = None, tau_s: Channels | None = None):
    r"""Exchange of a spin density from that of the unpolarized gas.

    $E_x[\rho_\uparrow, \rho_\downarrow] = (E_x[2 \rho_\uparrow] + E_x[2 \rho_\downarrow]) / 2$.

    Args:
        exchange: energy density (hartree/bohr^3) as a function of the total density and, where given, its squared
            gradient and its kinetic energy density.
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        tau_s: kinetic energy densities (total, or up and down), hartree/bohr^3.

    Returns:
        Exchange energy density, hartree/bohr^3.

    References:
        Oliver and Perdew, Phys. Rev. A 20, 397 (1979), eq. (2.11).
    """
    given = [x for x in (rho_s, None if sigma is None else sigma[::2], tau_s) if x is not None]
    if len(rho_s) == 1:
        return exchange(*(x[0] for x in given))
    scaled = (factor * jnp.stack(x) for factor, x in zip((2, 4, 2), given, strict=False))
    return jnp.sum(exchange(*scaled), axis=0) / 2


def check_shapes(rho_s, sigma=None, tau_s=None, kind: str = "lda") -> None:
    """Raise `InputError` unless the leading axes of the variables that the rung `kind` needs fit together."""
    if rho_s.ndim == 0 or rho_s.shape[0] not in (1, 2):
        raise InputError(
            f"xc: rho_s has shape {rho_s.shape}; its leading axis must hold 1 (total) or 2 (up, down) densities."
        )
    expected = (2 * rho_s.shape[0] - 1, *rho_s.shape[1:])
    if kind in ("gga", "mgga") and (sigma is None or sigma.shape != expected):
        given = "missing" if sigma is None else f"of shape {sigma.shape}"
        raise InputError(
            f"xc: a GGA or meta-GGA needs the squared density gradient; sigma is {given} but must have shape {expected} "
            "((|grad rho|^2) without spin; up-up, up-down, down-down with spin)."
        )
    if kind == "mgga" and (tau_s is None or tau_s.shape != rho_s.shape):
        given = "missing" if tau_s is None else f"of shape {tau_s.shape}"
        raise InputError(
            f"xc: a meta-GGA needs the kinetic energy density; tau_s is {given} but must have the shape {rho_s.shape} "
            "of the density (the total without spin; up, down with spin)."
        )
