"""Perdew-Wang correlation of the uniform electron gas."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from dftopt.xc.variables import Channels, Polarization, density


class Fit(NamedTuple):
    """One row of table I of the paper, with p = 1."""

    a: float
    alpha1: float
    beta1: float
    beta2: float
    beta3: float
    beta4: float


class Constants(NamedTuple):
    """Fits of the unpolarized and polarized gas and of minus the spin stiffness, and f''(0)."""

    unpolarized: Fit
    polarized: Fit
    stiffness: Fit
    f2: float


PUBLISHED = Constants(
    Fit(0.031091, 0.21370, 7.5957, 3.5876, 1.6382, 0.49294),
    Fit(0.015545, 0.20548, 14.1189, 6.1977, 3.3662, 0.62517),
    Fit(0.016887, 0.11125, 10.357, 3.6231, 0.88026, 0.49671),
    1.709921,
)
"""The rounded constants of the 1992 paper."""

PRECISE = Constants(
    PUBLISHED.unpolarized._replace(a=0.0310907),
    PUBLISHED.polarized._replace(a=0.01554535),
    PUBLISHED.stiffness._replace(a=0.0168869),
    1.709920934161365617563962776245,
)
"""The same with more digits, as in the PBE authors' own code."""


def _fit(rs: Float[Array, "..."], sqrt_rs: Float[Array, "..."], c: Fit) -> Float[Array, "..."]:
    """G of eq. (10) (hartree); log1p keeps its digits in the dilute gas."""
    q = 2 * c.a * sqrt_rs * (c.beta1 + sqrt_rs * (c.beta2 + sqrt_rs * (c.beta3 + sqrt_rs * c.beta4)))
    return -2 * c.a * (1 + c.alpha1 * rs) * jnp.log1p(1 / q)


def epsilon_c(rs: Float[Array, "..."], spin: Polarization | None, c: Constants) -> Float[Array, "..."]:
    r"""Correlation energy per electron of the uniform gas.

    $\epsilon_c = \epsilon_0 + \alpha_c f(\zeta) (1 - \zeta^4) / f''(0) + (\epsilon_1 - \epsilon_0) f(\zeta) \zeta^4$
    with $\epsilon_0, \epsilon_1, -\alpha_c$ each of the form
    $G = -2A (1 + \alpha_1 r_s) \ln[1 + 1 / 2A(\beta_1 r_s^{1/2} + \beta_2 r_s + \beta_3 r_s^{3/2} + \beta_4 r_s^2)]$.

    Args:
        rs: Wigner-Seitz radius, bohr.
        spin: functions of the polarization; `None` for zeta = 0.
        c: constants of the fits.

    Returns:
        Energy per electron, hartree.

    References:
        Perdew and Wang, Phys. Rev. B 45, 13244 (1992), eqs. (8)-(10) and table I.
    """
    sqrt_rs = jnp.sqrt(rs)
    unpolarized = _fit(rs, sqrt_rs, c.unpolarized)
    if spin is None:
        return unpolarized
    polarized = _fit(rs, sqrt_rs, c.polarized)
    stiffness = -_fit(rs, sqrt_rs, c.stiffness)
    return unpolarized + spin.f * (stiffness / c.f2 * (1 - spin.zeta4) + (polarized - unpolarized) * spin.zeta4)


def epsilon_polarized(rs: Float[Array, "..."], c: Constants) -> Float[Array, "..."]:
    """Correlation energy per electron (hartree) of the fully polarized gas: `epsilon_c` at zeta = 1."""
    return _fit(rs, jnp.sqrt(rs), c.polarized)


def _correlation(rho_s: Channels, c: Constants) -> Float[Array, "..."]:
    n = density(rho_s)
    return jnp.where(n.present, n.rho * epsilon_c(n.rs, n.polarization, c), 0.0)


def lda_c_pw(rho_s: Channels) -> Float[Array, "..."]:
    """Perdew-Wang correlation energy density with the constants as published.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Perdew and Wang, Phys. Rev. B 45, 13244 (1992), eqs. (8)-(10) and table I.
    """
    return _correlation(rho_s, PUBLISHED)


def lda_c_pw_mod(rho_s: Channels) -> Float[Array, "..."]:
    """Perdew-Wang correlation energy density with more digits in A and f''(0); the uniform limit of PBE.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Perdew and Wang, Phys. Rev. B 45, 13244 (1992); digits as in libxc's lda_c_pw_mod.
    """
    return _correlation(rho_s, PRECISE)
