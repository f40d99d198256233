"""Lee-Yang-Parr correlation."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from dftopt.xc.variables import C_F, Channels, density, total_sigma

PARAMETERS = {"a": 0.04918, "b": 0.132, "c": 0.2533, "d": 0.349}


def _power83(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x^(8/3) for x >= 0, with the derivative zero at zero."""
    root = jnp.cbrt(jnp.where(x > 1e-60, x, 1e-60))
    return x * x * root * root


def gga_c_lyp(rho_s: Channels, sigma: Channels, a, b, c, d) -> Float[Array, "..."]:
    r"""LYP correlation energy density, in the form without Laplacians.

    With the fractions $u, d = \rho_{\uparrow,\downarrow} / \rho$, $x = \rho^{-1/3}$,
    $\delta = c x + d x / (1 + d x)$ and $g_{ss'} = \nabla\rho_s \cdot \nabla\rho_{s'} / \rho^{8/3}$:
    $e_c = -\frac{a \rho}{1 + d x} \{4 u d + b e^{-cx} [2^{11/3} C_F u d (u^{8/3} + d^{8/3})
    + K(u, d) g_{\uparrow\uparrow} + K(d, u) g_{\downarrow\downarrow}
    + (\frac{47 - 7\delta}{9} u d - \frac43) g_{\uparrow\downarrow}]\}$,
    $K(u, d) = u d [1 - 3\delta + (11 - \delta) u] / 9 - d^2$, $C_F = \frac{3}{10} (3\pi^2)^{2/3}$
    (the paper's terms collected: they cancel otherwise). Without polarization the braces are
    $1 + b e^{-cx} [C_F - (3 + 7\delta) g / 72]$.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        a: prefactor, hartree.
        b: weight of the curvature of the hole.
        c: screening of that weight, bohr^-1.
        d: screening of the whole, bohr^-1.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Lee, Yang and Parr, Phys. Rev. B 37, 785 (1988); Miehlich, Savin, Stoll and Preuss, Chem. Phys. Lett. 157, 200
        (1989), eq. (2).
    """
    n = density(rho_s)
    x = 1 / n.cbrt
    screened = 1 / (1 + d * x)
    delta = c * x + d * x * screened
    weight = b * jnp.exp(-c * x)
    per_rho83 = 1 / (n.rho * n.rho * n.cbrt * n.cbrt)
    if n.polarization is None:
        braces = 1 + weight * (C_F - (3 + 7 * delta) / 72 * per_rho83 * total_sigma(sigma))
    else:
        up, down = n.polarization.plus / 2, n.polarization.minus / 2
        both = up * down
        kinetic = 2 ** (11 / 3) * C_F * both * (_power83(up) + _power83(down))
        k_up = both / 9 * (1 - 3 * delta + (11 - delta) * up) - down * down
        k_down = both / 9 * (1 - 3 * delta + (11 - delta) * down) - up * up
        mixed = (47 - 7 * delta) / 9 * both - 4 / 3
        gradients = per_rho83 * (k_up * sigma[0] + k_down * sigma[2] + mixed * sigma[1])
        braces = 4 * both + weight * (kinetic + gradients)
    return jnp.where(n.present, -a * n.rho * screened * braces, 0.0)
