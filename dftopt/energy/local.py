"""Local part of pseudopotentials: GTH in closed form here, those from files in `tabulated`."""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from dftopt.energy import tabulated
from dftopt.energy.coulomb import ion


def form_factor(G2: Float[Array, "..."], p: dict, kernel: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""Local potential of one ion in reciprocal space, times the volume.

    $v(G) = [-Z v_C(G) + \sqrt{8\pi^3} r^3 (C_1 + C_2(3-x^2) + C_3(15-10x^2+x^4) + C_4(105-105x^2+21x^4-x^6))]
    e^{-x^2/2}$ with $x = G r_{loc}$. At G = 0 it is whole where v_C is cut; where v_C is periodic (and zero there) it lacks
    the finite part that $-Z v_C$ leaves when it diverges, see `alpha`.

    Args:
        G2: squared reciprocal vectors, bohr^-2.
        p: `charge`, `rloc` (bohr), `cloc` (4,) (hartree) of a GTH potential; or those of a tabulated one, see
            `tabulated.form_factor`; or `mixed`, pairs of a weight and the parameters of a potential.
        kernel: $v_C(G)$, see `energy.coulomb`.

    Returns:
        Hartree bohr^3.

    References:
        Goedecker, Teter, Hutter, Phys. Rev. B 54, 1703 (1996), equation 6.
    """
    if "mixed" in p:
        return sum(weight * form_factor(G2, part, kernel) for weight, part in p["mixed"])
    if "cloc" not in p:
        return tabulated.form_factor(G2, p, kernel)
    c = p["cloc"]
    x2 = G2 * p["rloc"] ** 2
    polynomial = c[0] + c[1] * (3 - x2) + c[2] * (15 - 10 * x2 + x2**2) + c[3] * (105 - 105 * x2 + 21 * x2**2 - x2**3)
    short = jnp.sqrt(8 * jnp.pi**3) * p["rloc"] ** 3 * polynomial * jnp.exp(-x2 / 2)
    return p["charge"] * ion(kernel, G2, p["rloc"]) + short


def alpha(p: dict) -> Float[Array, ""]:
    r"""Non-Coulomb part of the local potential at G = 0, $\int (v(r) + Z/r) dr$, hartree bohr^3.

    $\alpha = 2\pi Z r_{loc}^2 + \sqrt{8\pi^3} r_{loc}^3 (C_1 + 3C_2 + 15C_3 + 105C_4)$; the energy holds
    $N_{el} \sum_a \alpha_a / V$, the eigenvalues do not.
    """
    if "mixed" in p:
        return sum(weight * alpha(part) for weight, part in p["mixed"])
    if "cloc" not in p:
        return tabulated.alpha(p)
    c = p["cloc"]
    return 2 * jnp.pi * p["charge"] * p["rloc"] ** 2 + jnp.sqrt(8 * jnp.pi**3) * p["rloc"] ** 3 * (
        c[0] + 3 * c[1] + 15 * c[2] + 105 * c[3]
    )


def structure_factors(frac: Float[Array, "atoms 3"], axes) -> Complex[Array, "n1 n2 h"]:
    r"""$\sum_a e^{-iG \cdot R_a}$ on the half grid, as a sum of outer products of one-dimensional phases.

    Args:
        frac: fractional positions of the atoms of one species.
        axes: integer indices along the three axes.
    """
    px, py, pz = (jnp.exp(-2j * jnp.pi * frac[:, i, None] * axes[i]) for i in range(3))
    return jnp.einsum("ax,ay,az->xyz", px, py, pz, optimize=[(0, 1), (0, 1)])


def local(
    rho_G: Complex[Array, "n1 n2 h"],
    v_G: Complex[Array, "n1 n2 h"],
    multiplicity: Float[Array, " h"],
    volume: Float[Array, ""],
) -> Float[Array, ""]:
    r"""$\int V_{loc} \rho = V \sum_G \mathrm{Re}\, V_G^* \rho_G$ in hartree; of a periodic potential without G = 0."""
    return volume * jnp.sum(multiplicity * (v_G.real * rho_G.real + v_G.imag * rho_G.imag))
