"""Perdew-Wang 1991 generalized gradient approximation."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dftopt.xc import pbe, pw92
from dftopt.xc.enhancement import enhanced, x_arcsinh_x
from dftopt.xc.variables import Channels, density, total_sigma

EXCHANGE = {"a": 0.19645, "b": 7.7956, "c": 0.2743, "d": -0.1508, "f": 0.004, "alpha": 100.0}
CORRELATION = {"alpha": 0.09, "cubic": 0.0}

_C_X = -0.001667
_C_C0 = 0.004235
_NU = 16 / np.pi * (3 * np.pi**2) ** (1 / 3)
_SCREENING = 4 / np.pi * (4 / (9 * np.pi)) ** (1 / 3)  # k_s^2 / k_F^2 = this rs


def gga_x_pw91(rho_s: Channels, sigma: Channels, a, b, c, d, f, alpha) -> Float[Array, "..."]:
    r"""PW91 exchange energy density.

    $F_x = [1 + a s \sinh^{-1}(b s) + (c + d e^{-\alpha s^2}) s^2] / [1 + a s \sinh^{-1}(b s) + f s^4]$.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        a: coefficient of the Becke form.
        b: its scale of s.
        c: coefficient of s^2 at large s.
        d: c + d is its coefficient at small s.
        f: coefficient of s^4, which brings F to zero at large s.
        alpha: how fast the small-s coefficient dies.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Perdew et al., Phys. Rev. B 46, 6671 (1992), eq. (8).
    """

    def factor(s2):
        becke = 1 + a * x_arcsinh_x(s2, b)
        return (becke + s2 * (c + d * jnp.exp(-alpha * s2))) / (becke + f * s2 * s2)

    return enhanced(factor, rho_s, sigma)


def gga_c_pw91(rho_s: Channels, sigma: Channels, alpha, cubic) -> Float[Array, "..."]:
    r"""PW91 correlation energy density, $\rho (\epsilon_c + H_0 + H_1)$.

    $H_0$ has the form of PBE with $\beta = \nu C_c(0)$ and $\gamma = \beta^2 / 2\alpha$;
    $H_1 = \nu [C_{xc}(r_s) - C_{xc}(0) - \frac37 C_x] \phi^3 t^2 e^{-100 \phi^4 (k_s^2/k_F^2) t^2}$ and
    $10^3 C_{xc} = (2.568 + 23.266 r_s + 0.007389 r_s^2) / (1 + 8.723 r_s + 0.472 r_s^2 + c r_s^3)$ of Rasolt and
    Geldart. libxc omits the cubic term, and so does the default here; it is 0.07389 in the authors' own code.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        alpha: sets gamma, above.
        cubic: the c of the gradient coefficient, bohr^-3; see above.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Perdew et al., Phys. Rev. B 46, 6671 (1992), eqs. (11) to (16).
    """
    n = density(rho_s)
    beta = _NU * _C_C0
    epsilon = pw92.epsilon_c(n.rs, n.polarization, pw92.PUBLISHED)
    c_xc = 2.568 + n.rs * (23.266 + n.rs * 0.007389)
    c_xc = 1e-3 * c_xc / (1 + n.rs * (8.723 + n.rs * (0.472 + n.rs * cubic)))
    h1 = _NU * (c_xc - (_C_C0 + _C_X) - 3 / 7 * _C_X) * pbe.t2_times_phi(n, total_sigma(sigma), 3)
    h1 = h1 * jnp.exp(-100 * _SCREENING * n.rs * pbe.t2_times_phi(n, total_sigma(sigma), 4))
    uniform_and_h0 = pbe.epsilon_c(n, total_sigma(sigma), epsilon, beta, beta * beta / (2 * alpha))
    return jnp.where(n.present, n.rho * (uniform_and_h0 + h1), 0.0)
