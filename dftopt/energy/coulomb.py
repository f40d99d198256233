"""The Coulomb interaction v(G) of a box: periodic, or cut where the atoms are not repeated.

One kernel serves the Hartree energy, the long-ranged part of the local potential and the ions, so that a cut leaves the
total energy of an isolated molecule or slab exact as long as its charges fit into half the box.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

static = partial(field, metadata={"static": True})


def coulomb_kernel(G2: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""$v(G) = 4\pi/G^2$, hartree bohr^3 / e^2, and 0 at G = 0 (neutralizing background)."""
    return jnp.where(G2 > 0, 4 * jnp.pi / jnp.where(G2 > 0, G2, 1.0), 0.0)  # double where: finite gradient at G = 0


def sphere_kernel(G2: Float[Array, "..."], radius: Float[Array, ""]) -> Float[Array, "..."]:
    r"""1/r cut at r = R, $v(G) = \frac{4\pi}{G^2}(1 - \cos GR)$, and $2\pi R^2$ at G = 0.

    Two charge densities whose points are all nearer than R, in boxes whose copies are all farther, interact exactly.

    References:
        Jarvis, White, Godby, Payne, Phys. Rev. B 56, 14972 (1997); Rozzi et al., Phys. Rev. B 73, 205119 (2006), equation 2.
    """
    half = 0.5 * radius * jnp.sqrt(jnp.where(G2 > 0, G2, 1.0))
    sinc = jnp.where(G2 > 0, jnp.sin(half) / half, 1.0)
    return 2 * jnp.pi * radius**2 * sinc**2  # 1 - cos = 2 sin^2 (of the half): no cancellation at small G


def slab_kernel(G: Float[Array, "... 3"], normal: Float[Array, " 3"], radius) -> Float[Array, "..."]:
    r"""1/r cut at |z| = R, z along the normal, unlimited in the plane.

    $v(G) = \frac{4\pi}{G^2}\left[1 + e^{-G_\parallel R}\left(\frac{G_z}{G_\parallel} \sin G_z R - \cos G_z R\right)\right]$
    with the limits $\frac{4\pi}{G_z^2}(1 - \cos G_z R - G_z R \sin G_z R)$ for $G_\parallel = 0$ and $-2\pi R^2$ for
    G = 0: a charged plane has the potential $-2\pi\sigma|z|$, so that the average of the vacuum levels on the two
    sides of a neutral slab is zero.

    Args:
        G: Cartesian reciprocal vectors, bohr^-1.
        normal: unit vector.
        radius: R, bohr; half the height of the cell.

    References:
        Ismail-Beigi, Phys. Rev. B 73, 233103 (2006); Rozzi et al., Phys. Rev. B 73, 205119 (2006), equations 7 and 21;
        Sohier, Calandra, Mauri, Phys. Rev. B 96, 075448 (2017).
    """
    z = G @ normal
    along2 = jnp.sum((G - z[..., None] * normal) ** 2, axis=-1)
    G2 = jnp.sum(G**2, axis=-1)
    in_plane = along2 > 1e-16 * (1 + G2)
    along = jnp.sqrt(jnp.where(in_plane, along2, 1.0))
    sin, cos = jnp.sin(z * radius), jnp.cos(z * radius)
    cut = jnp.where(in_plane, 1 + jnp.exp(-along * radius) * (z / along * sin - cos), 1 - cos - z * radius * sin)
    return jnp.where(G2 > 0, 4 * jnp.pi / jnp.where(G2 > 0, G2, 1.0) * cut, -2 * jnp.pi * radius**2)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Coulomb:
    """Which interaction: "periodic", "0d" (cut at a sphere) or "2d" (cut between slabs).

    Attributes:
        radius: R of the cut, bohr; unused when periodic.
        kind: as above.
        axis: cell vector that leaves the plane of a slab.
    """

    radius: Any
    kind: str = static(default="periodic")
    axis: int = static(default=2)

    def kernel(self, G: Float[Array, "... 3"], cell: Float[Array, "3 3"]) -> Float[Array, "..."]:
        """v(G) for Cartesian reciprocal vectors (bohr^-1) of a cell (rows, bohr); hartree bohr^3 / e^2."""
        if self.kind == "2d":
            return slab_kernel(G, normal(cell, self.axis), self.radius)
        G2 = jnp.sum(G**2, axis=-1)
        return sphere_kernel(G2, self.radius) if self.kind == "0d" else coulomb_kernel(G2)


PERIODIC = Coulomb(np.zeros(()))


def normal(cell: Float[Array, "3 3"], axis: int) -> Float[Array, " 3"]:
    """Unit vector normal to the two cell vectors other than `axis`."""
    n = jnp.linalg.inv(cell)[:, axis]
    return n / jnp.sqrt(jnp.sum(n**2))


def ion(kernel: Float[Array, "..."], G2: Float[Array, "..."], width) -> Float[Array, "..."]:
    r"""Potential of one unit of ionic charge spread over a Gaussian, $-v(G) e^{-G^2 w^2/2}$, times the volume.

    Without a cut it is $-\mathrm{erf}(r/\sqrt2 w)/r$: the long-ranged part of every pseudopotential, w = r_loc for
    GTH and $1/\sqrt2$ bohr for tables from which $-Z\,\mathrm{erf}(r)/r$ was subtracted. The rest is short-ranged and knows
    no cut. Hartree bohr^3 per unit charge.
    """
    return -kernel * jnp.exp(-0.5 * G2 * width**2)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DipoleCorrection:
    """What the dipole of a slab is computed from.

    Attributes:
        ions: moment of the ions along the normal, from the middle of the slab, e bohr.
        line: Fourier coefficients of the distance from the middle, on the grid points of the line G = (0, 0, m) (each
            with the number of grid points it stands for), bohr.
        axis: cell vector that leaves the plane of the slab.
    """

    ions: Float[Array, ""]
    line: Complex[Array, " n"]
    axis: int = static()


def sawtooth(m, middle):
    r"""Fourier coefficients of s - c for |s - c| < 1/2, $e^{-2\pi i m c}\, i (-1)^m / 2\pi m$, and 0 for m = 0.

    Args:
        m: integers.
        middle: c.
    """
    some = jnp.where(m == 0, 1.0, m)
    line = jnp.where(m == 0, 0.0, 1j * jnp.cos(jnp.pi * m) / (2 * jnp.pi * some))
    return line * jnp.exp(-2j * jnp.pi * m * middle)


def prepare_dipole(frac, charges, cell, middle, m, multiplicity, axis: int) -> DipoleCorrection:
    r"""Build a `DipoleCorrection` from $z = h (s - c)$, the distance from the middle c in a cell of height h.

    Args:
        frac: fractional positions of a slab that is whole: |s - c| < 1/2.
        charges: of the ions.
        cell: rows, bohr.
        middle: c.
        m: integers along the line.
        multiplicity: of its points.
        axis: cell vector that leaves the plane.
    """
    height = 1 / jnp.linalg.norm(jnp.linalg.inv(cell)[:, axis])
    ions = height * jnp.sum(charges * (frac[:, axis] - middle))
    return DipoleCorrection(ions, height * sawtooth(m, middle) * multiplicity, axis)


def slab_dipole(rho_G: Complex[Array, "n1 n2 h"], d: DipoleCorrection, volume) -> Float[Array, ""]:
    """Dipole moment of the cell along the normal, ions minus electrons, e bohr."""
    line = (rho_G[:, 0, 0], rho_G[0, :, 0], rho_G[0, 0, :])[d.axis]
    return d.ions - volume * jnp.sum(d.line.real * line.real + d.line.imag * line.imag)


def dipole_energy(rho_G: Complex[Array, "n1 n2 h"], d: DipoleCorrection, volume) -> Float[Array, ""]:
    r"""What the energy of a periodic row of slabs lacks to that of one slab, $2\pi P^2/V$, hartree.

    Between slabs of dipole P per cell, periodicity forces a field $4\pi P/V$ that a single slab does not have. The
    potential that takes it away, a sawtooth that jumps in the vacuum, is the derivative of this energy.

    References:
        Bengtsson, Phys. Rev. B 59, 12301 (1999), equations 9 and 11; Yeh, Berkowitz, J. Chem. Phys. 111, 3155 (1999).
    """
    return 2 * jnp.pi * slab_dipole(rho_G, d, volume) ** 2 / volume
