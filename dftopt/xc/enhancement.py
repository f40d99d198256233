"""Exchange as that of the uniform gas times an enhancement factor of the reduced gradient."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from dftopt.xc.slater import EXCHANGE_CONSTANT
from dftopt.xc.variables import C_F, S2, Channels, guarded, spin_scaled


def enhanced(
    factor: Callable[..., Float[Array, "..."]],
    rho_s: Channels,
    sigma: Channels,
    tau_s: Channels | None = None,
) -> Float[Array, "..."]:
    r"""Spin-scaled exchange energy density of a GGA or meta-GGA.

    $e_x = e_x^{LDA}(\rho) F$ with F a function of $s^2 = \sigma / [4 (3\pi^2)^{2/3} \rho^{8/3}]$ and, given tau, of
    $\alpha = (\tau - \tau_W) / \tau_{unif}$, $\tau_W = \sigma / 8\rho$,
    $\tau_{unif} = \frac{3}{10} (3\pi^2)^{2/3} \rho^{5/3}$. As in libxc, sigma counts as at most $8 \rho \tau$ there,
    so that alpha is not negative.

    Args:
        factor: F of s^2, or of s^2 and alpha.
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        tau_s: kinetic energy densities (total, or up and down), hartree/bohr^3.

    Returns:
        Energy density, hartree/bohr^3; zero where there is no density.
    """

    def unpolarized(rho, sigma, *tau):
        present, rho = guarded(rho)
        cbrt = jnp.cbrt(rho)
        rho43 = rho * cbrt
        s2 = S2 * sigma / (rho43 * rho43)
        if tau:
            t = jnp.where(tau[0] >= 0, tau[0], 0.0) / (C_F * rho * cbrt * cbrt)
            s2 = jnp.where(s2 <= 0.6 * t, s2, 0.6 * t)
            enhancement = factor(s2, t - 5 / 3 * s2)
        else:
            enhancement = factor(s2)
        return jnp.where(present, EXCHANGE_CONSTANT * rho43 * enhancement, 0.0)

    return spin_scaled(unpolarized, rho_s, sigma, tau_s)


def x_arcsinh_x(x2: Float[Array, "..."], scale: float | Float[Array, ""] = 1.0) -> Float[Array, "..."]:
    """The product x arcsinh(scale x) as a function of x^2 >= 0; smooth at zero, where the derivative of the root diverges."""
    y2 = scale * scale * x2
    small = y2 < 1e-4
    y = jnp.sqrt(jnp.where(small, 1.0, y2))
    series = 1 + y2 * (-1 / 6 + y2 * (3 / 40 + y2 * (-15 / 336 + y2 * (105 / 3456))))
    return scale * x2 * jnp.where(small, series, jnp.arcsinh(y) / y)
