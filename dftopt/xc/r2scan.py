"""r2SCAN: SCAN with a smooth switching function and without its numerical sensitivity."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dftopt.xc import pw92, scan
from dftopt.xc.enhancement import enhanced
from dftopt.xc.variables import Channels, density, iso_orbital

C1_X, C1_C = scan.EXCHANGE["c1"], scan.CORRELATION["c1"]
EXCHANGE = {key: scan.EXCHANGE[key] for key in ("c2", "d", "k1", "h0", "a1")} | {"eta": 0.001, "dp2": 0.361}
CORRELATION = {key: scan.CORRELATION[key] for key in ("c2", "d", "b1", "b2", "b3")} | {"eta": 0.001, "dp2": 0.361}

POLYNOMIAL_X = (
    1,
    -0.667,
    -0.4445555,
    -0.663086601049,
    1.451297044490,
    -0.887998041597,
    0.234528941479,
    -0.023185843322,
)
POLYNOMIAL_C = (1, -0.64, -0.4352, -1.535685604549, 3.061560252175, -1.915710236206, 0.516884468372, -0.051848879792)
"""Coefficients of the switching functions between 0 and 2.5, from alpha^0 up (they fit c1, c2 and d of SCAN)."""

_SLOPE_X, _SLOPE_C = (float(np.polynomial.Polynomial(c).deriv()(1.0)) for c in (POLYNOMIAL_X, POLYNOMIAL_C))


def switch(alpha: Float[Array, "..."], polynomial: tuple[float, ...], c1, c2, d) -> Float[Array, "..."]:
    r"""SCAN's switching function with a polynomial in place of the essential singularity: between 0 and 2.5."""
    middle = (alpha >= 0) & (alpha <= 2.5)
    inside, outside = jnp.where(middle, alpha, 1.0), jnp.where(middle, 3.0, alpha)
    f: Float[Array, ...] | float = polynomial[-1]
    for c in reversed(polynomial[:-1]):
        f = f * inside + c
    below = outside < 0
    tail = jnp.where(below, 1.0, -d) * jnp.exp(jnp.where(below, -c1 * outside, c2) / (1 - outside))
    return jnp.where(middle, f, tail)


def mgga_x_r2scan(
    rho_s: Channels,
    sigma: Channels,
    tau_s: Channels,
    c2,
    d,
    k1,
    h0,
    a1,
    eta,
    dp2,
) -> Float[Array, "..."]:
    r"""r2SCAN exchange energy density, spin-scaled.

    As SCAN's with $\bar\alpha = (\tau - \tau_W) / (\tau_{unif} + \eta \tau_W)$, the polynomial `switch` and
    $x = [C_\eta C_2 e^{-s^4 / d_{p2}^4} + \mu] s^2$, $C_\eta = \frac{20}{27} + \frac53 \eta$,
    $C_2 = -f'(1) (1 - h_0)$.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        tau_s: kinetic energy densities (total, or up and down), hartree/bohr^3.
        c2: decay of the switch above alpha = 2.5.
        d: limit of -f at large alpha.
        k1: bound of h1 - 1.
        h0: enhancement of a single orbital.
        a1: decay with s that non-uniform scaling demands.
        eta: regularization of alpha.
        dp2: s up to which the gradient expansion is kept.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Furness, Kaplan, Ning, Perdew and Sun, J. Phys. Chem. Lett. 11, 8208 (2020), and its correction 11, 9248.
    """
    expansion = (20 / 27 + 5 / 3 * eta) * -_SLOPE_X * (1 - h0)

    def factor(s2, alpha):
        x = (expansion * jnp.exp(-s2 * s2 / (dp2 * dp2 * dp2 * dp2)) + scan.MU) * s2
        f = switch(alpha / (1 + 5 / 3 * eta * s2), POLYNOMIAL_X, C1_X, c2, d)
        return scan.join_exchange(x, f, s2, k1, h0, a1)

    return enhanced(factor, rho_s, sigma, tau_s)


def mgga_c_r2scan(
    rho_s: Channels,
    sigma: Channels,
    tau_s: Channels,
    c2,
    d,
    b1,
    b2,
    b3,
    eta,
    dp2,
) -> Float[Array, "..."]:
    r"""r2SCAN correlation energy density, $\rho [\epsilon_1 + f(\bar\alpha) (\epsilon_0 - \epsilon_1)]$.

    As SCAN's with $\bar\alpha = (\tau - \tau_W) / (\tau_{unif} + \eta \tau_W)$, the polynomial `switch` and in
    $\epsilon_1$ the argument $y - \Delta y$ for y,
    $\Delta y = \frac{f'(1)}{27 \gamma d_s \phi^3 w_1} \{20 r_s \partial_{r_s} [\epsilon_{u0} - \epsilon_c]
    - 45 \eta [\epsilon_{u0} - \epsilon_c]\} s^2 e^{-s^4 / d_{p2}^4}$, $\epsilon_{u0}$ the uniform part of $\epsilon_0$.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        tau_s: kinetic energy densities (total, or up and down), hartree/bohr^3.
        c2: decay of the switch above alpha = 2.5.
        d: limit of -f at large alpha.
        b1: high-density limit of the single orbital's energy, hartree.
        b2: see `scan.uniform_at_zero`.
        b3: see `scan.uniform_at_zero`.
        eta: regularization of alpha.
        dp2: s up to which the gradient expansion is kept.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Furness, Kaplan, Ning, Perdew and Sun, J. Phys. Chem. Lett. 11, 8208 (2020), and its correction 11, 9248.
    """
    n = density(rho_s)
    v = iso_orbital(n, rho_s, sigma, tau_s)
    ds = 1.0 if n.polarization is None else n.polarization.ds
    g_c = scan.g_c(n.polarization)

    def uniform(rs):
        return pw92.epsilon_c(rs, n.polarization, pw92.PRECISE), scan.uniform_at_zero(rs, b1, b2, b3) * g_c

    (e_c, e_u0), (e_c_slope, e_u0_slope) = jax.jvp(uniform, (n.rs,), (jnp.ones_like(n.rs),))
    shift = 20 * n.rs * (e_u0_slope - e_c_slope) - 45 * eta * (e_u0 - e_c)
    shift = _SLOPE_C / 27 / ds * shift * v.s2 * jnp.exp(-v.s2 * v.s2 / (dp2 * dp2 * dp2 * dp2))
    e0 = scan.single_orbital(n, v.s2, b1, b2, b3)
    e1 = scan.slowly_varying(n, v.sigma, e_c, shift)
    f = switch(v.alpha / (1 + 5 / 3 * eta * v.s2 / ds), POLYNOMIAL_C, C1_C, c2, d)
    return jnp.where(n.present, n.rho * (e1 + f * (e0 - e1)), 0.0)
