"""Perdew-Zunger correlation of the uniform electron gas (fit to the Monte Carlo energies of Ceperley and Alder)."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from dftopt.xc.variables import Channels, Polarization, density


class Fit(NamedTuple):
    """Constants of eqs. (C3) and (C5) of the paper, hartree."""

    gamma: float
    beta1: float
    beta2: float
    a: float
    b: float
    c: float
    d: float


UNPOLARIZED = Fit(-0.1423, 1.0529, 0.3334, 0.0311, -0.048, 0.0020, -0.0116)
POLARIZED = Fit(-0.0843, 1.3981, 0.2611, 0.01555, -0.0269, 0.0007, -0.0048)


def _fit(rs: Float[Array, "..."], sqrt_rs: Float[Array, "..."], log_rs: Float[Array, "..."], p: Fit):
    """Energy per electron, hartree; the two pieces meet at rs = 1 up to the rounding of the constants."""
    dilute = p.gamma / (1 + p.beta1 * sqrt_rs + p.beta2 * rs)
    dense = p.b + p.d * rs + log_rs * (p.a + p.c * rs)
    return jnp.where(rs >= 1, dilute, dense)


def epsilon_c(rs: Float[Array, "..."], spin: Polarization | None) -> Float[Array, "..."]:
    r"""Correlation energy per electron of the uniform gas.

    $\gamma / (1 + \beta_1 r_s^{1/2} + \beta_2 r_s)$ for $r_s \ge 1$, else
    $A \ln r_s + B + C r_s \ln r_s + D r_s$; $\epsilon_c = \epsilon_0 + f(\zeta) (\epsilon_1 - \epsilon_0)$.

    Args:
        rs: Wigner-Seitz radius, bohr.
        spin: functions of the polarization; `None` for zeta = 0.

    Returns:
        Energy per electron, hartree.

    References:
        Perdew and Zunger, Phys. Rev. B 23, 5048 (1981), appendix C.
    """
    sqrt_rs, log_rs = jnp.sqrt(rs), jnp.log(rs)
    unpolarized = _fit(rs, sqrt_rs, log_rs, UNPOLARIZED)
    if spin is None:
        return unpolarized
    return unpolarized + spin.f * (_fit(rs, sqrt_rs, log_rs, POLARIZED) - unpolarized)


def lda_c_pz(rho_s: Channels) -> Float[Array, "..."]:
    """Perdew-Zunger correlation energy density.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Perdew and Zunger, Phys. Rev. B 23, 5048 (1981), appendix C.
    """
    n = density(rho_s)
    return jnp.where(n.present, n.rho * epsilon_c(n.rs, n.polarization), 0.0)
