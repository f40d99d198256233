"""Teter's rational fit of the exchange and correlation of the uniform electron gas."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from dftopt.xc.variables import Channels, density

NUMERATOR = (0.4581652932831429, 2.217058676663745, 0.7405551735357053, 0.01968227878617998)
NUMERATOR_SPIN = (0.119086804055547, 0.6157402568883345, 0.1574201515892867, 0.003532336663397157)
DENOMINATOR = (1.0, 4.504130959426697, 1.110667363742916, 0.02359291751427506)
DENOMINATOR_SPIN = (0.0, 0.2673612973836267, 0.2052004607777787, 0.004200005045691381)


def _polynomial(x, coefficients):
    result = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        result = result * x + c
    return result


def lda_xc_teter93(rho_s: Channels) -> Float[Array, "..."]:
    r"""Exchange-correlation energy density ("Pade" LDA, the functional of the GTH-PADE pseudopotentials).

    $\epsilon_{xc} = -\sum_{i=0}^3 a_i r_s^i / \sum_{i=1}^4 b_i r_s^i$, where
    $a_i = a_i^0 + a_i^1 f(\zeta)$ and likewise $b_i$.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Goedecker, Teter and Hutter, Phys. Rev. B 54, 1703 (1996), appendix.
    """
    n = density(rho_s)
    numerator, denominator = _polynomial(n.rs, NUMERATOR), _polynomial(n.rs, DENOMINATOR)
    if n.polarization is not None:
        numerator = numerator + n.polarization.f * _polynomial(n.rs, NUMERATOR_SPIN)
        denominator = denominator + n.polarization.f * _polynomial(n.rs, DENOMINATOR_SPIN)
    return jnp.where(n.present, -n.rho * numerator / (n.rs * denominator), 0.0)
