"""Vosko-Wilk-Nusair correlation of the uniform electron gas: fits to Monte Carlo (V) and to RPA energies."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dftopt.xc.variables import Channels, Polarization, density


class Fit(NamedTuple):
    """Constants of eq. (4.4): A in hartree, x0, b and c for x = sqrt(rs)."""

    a: float
    x0: float
    b: float
    c: float


UNPOLARIZED = Fit(0.0310907, -0.10498, 3.72744, 12.9352)
POLARIZED = Fit(0.01554535, -0.32500, 7.06042, 18.0578)
STIFFNESS = Fit(-1 / (6 * np.pi**2), -0.0047584, 1.13107, 13.0045)
UNPOLARIZED_RPA = Fit(0.0310907, -0.409286, 13.0720, 42.7198)
POLARIZED_RPA = Fit(0.01554535, -0.743294, 20.1231, 101.578)
F2 = 4 / (9 * (2 ** (1 / 3) - 1))
"""f''(0)."""


def _fit(rs: Float[Array, "..."], x: Float[Array, "..."], p: Fit) -> Float[Array, "..."]:
    """Eq. (4.4), hartree; all three terms vanish in the dilute gas, where log1p keeps their digits."""
    q = np.sqrt(4 * p.c - p.b**2)
    X = rs + p.b * x + p.c
    k = p.b * p.x0 / (p.x0**2 + p.b * p.x0 + p.c)
    arctan = (2 * p.b - 2 * k * (2 * p.x0 + p.b)) / q * jnp.arctan(q / (2 * x + p.b))
    # rs / X = 1 / (1 + (b x + c) / rs) and (x - x0)^2 / X = 1 - ((2 x0 + b) x + c - x0^2) / X
    log_rs = -jnp.log1p((p.b * x + p.c) / rs)
    log_x0 = jnp.log1p(-((2 * p.x0 + p.b) * x + p.c - p.x0**2) / X)
    return p.a * (log_rs + arctan - k * log_x0)


def epsilon_c(rs: Float[Array, "..."], spin: Polarization | None) -> Float[Array, "..."]:
    r"""Correlation energy per electron of the uniform gas.

    Each of $\epsilon_0, \epsilon_1, \alpha_c$ is, with $x = r_s^{1/2}$, $X(x) = x^2 + bx + c$, $Q = (4c - b^2)^{1/2}$,
    $A \{ \ln(x^2/X) + (2b/Q) \arctan[Q/(2x+b)]
    - (b x_0/X(x_0)) [\ln((x-x_0)^2/X) + (2(b+2x_0)/Q) \arctan(Q/(2x+b))] \}$; they are joined by
    $\epsilon_c = \epsilon_0 + \alpha_c f(\zeta) (1-\zeta^4)/f''(0) + (\epsilon_1 - \epsilon_0) f(\zeta) \zeta^4$.

    Args:
        rs: Wigner-Seitz radius, bohr.
        spin: functions of the polarization; `None` for zeta = 0.

    Returns:
        Energy per electron, hartree.

    References:
        Vosko, Wilk and Nusair, Can. J. Phys. 58, 1200 (1980), eq. (4.4) and table 5.
    """
    x = jnp.sqrt(rs)
    unpolarized = _fit(rs, x, UNPOLARIZED)
    if spin is None:
        return unpolarized
    stiffness = _fit(rs, x, STIFFNESS)
    difference = _fit(rs, x, POLARIZED) - unpolarized
    return unpolarized + spin.f * (stiffness / F2 * (1 - spin.zeta4) + difference * spin.zeta4)


def lda_c_vwn(rho_s: Channels) -> Float[Array, "..."]:
    """VWN5 correlation energy density.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Vosko, Wilk and Nusair, Can. J. Phys. 58, 1200 (1980), eq. (4.4) and table 5.
    """
    n = density(rho_s)
    return jnp.where(n.present, n.rho * epsilon_c(n.rs, n.polarization), 0.0)


def lda_c_vwn_rpa(rho_s: Channels) -> Float[Array, "..."]:
    r"""Correlation energy density of the random phase approximation, as fitted by VWN (the one in B3LYP).

    The unpolarized and polarized gas of eq. (4.4), joined by $f(\zeta)$ alone.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Vosko, Wilk and Nusair, Can. J. Phys. 58, 1200 (1980), eq. (4.4) and the RPA constants given there.
    """
    n = density(rho_s)
    x = jnp.sqrt(n.rs)
    epsilon = _fit(n.rs, x, UNPOLARIZED_RPA)
    if n.polarization is not None:
        epsilon = epsilon + n.polarization.f * (_fit(n.rs, x, POLARIZED_RPA) - epsilon)
    return jnp.where(n.present, n.rho * epsilon, 0.0)
