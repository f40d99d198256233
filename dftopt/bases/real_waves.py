r"""Real functions at Gamma: cosines and sines instead of plane waves, half the numbers and a quarter of the products.

A real function has $c_{-G} = c_G^*$. With one real coefficient for each of G and -G,
$$x_G = \sqrt2\,\mathrm{Re}\,c_G, \qquad x_{-G} = \sqrt2\,\mathrm{Im}\,c_G, \qquad x_0 = c_0,$$
G the one of the two that comes first in its sphere, inner products, norms and kinetic energies keep their form, so that
whatever is written for complex coefficients serves the real ones as well.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int

_ROOT2 = float(np.sqrt(2))


def opposite(sphere: np.ndarray, npw: int) -> np.ndarray:
    """Index of -G for each G of a sphere around Gamma (npw,); padding stands for itself."""
    m = np.abs(sphere).max(axis=0)
    place = lambda G: np.ravel_multi_index(tuple((G + m).T), tuple(2 * m + 1))
    order = np.argsort(place(sphere))
    out = np.arange(npw, dtype=np.int32)
    out[: len(sphere)] = order[np.searchsorted(place(sphere)[order], place(-sphere))]
    return out


def _later(minus):
    """+1 where -G comes later in the sphere, -1 where it comes earlier, 0 at G = 0 and on padding."""
    return jnp.sign(minus - jnp.arange(minus.shape[-1], dtype=minus.dtype))


def real_waves(psi: Complex[Array, "*batch npw"], minus: Int[Array, " npw"]) -> Float[Array, "*batch npw"]:
    """Real coefficients of the real part of functions."""
    later, c = _later(minus), 0.5 * (psi + jnp.take(psi, minus, axis=-1).conj())
    return jnp.where(later == 0, c.real, _ROOT2 * jnp.where(later > 0, c.real, -c.imag))


def plane_waves(x: Float[Array, "*batch npw"], minus: Int[Array, " npw"]) -> Complex[Array, "*batch npw"]:
    """Complex coefficients of real functions."""
    later, other = _later(minus), jnp.take(x, minus, axis=-1)
    c = jax.lax.complex(jnp.where(later > 0, x, other), jnp.where(later > 0, other, -x)) / _ROOT2
    return jnp.where(later == 0, x + 0j, c)


def derivative(psi: Array, q: Float[Array, " npw"], minus: Int[Array, " npw"] | None) -> Array:
    """Coefficients of the derivative of functions: times i q for plane waves (`minus` is None)."""
    return 1j * q * psi if minus is None else -q * jnp.take(psi, minus, axis=-1)


def paired(x: Float[Array, "bands npw"], minus: Int[Array, " npw"]) -> Complex[Array, "pairs npw"]:
    """Plane-wave coefficients of real functions two by two, as real and imaginary parts; an odd last one stays alone."""
    c = plane_waves(jnp.pad(x, ((0, x.shape[0] % 2), (0, 0))), minus)
    return c[0::2] + 1j * c[1::2]


def unpaired(both: Complex[Array, "pairs npw"], bands: int, minus: Int[Array, " npw"]) -> Float[Array, "bands npw"]:
    """The inverse of `paired`."""
    return jnp.stack([real_waves(both, minus), real_waves(-1j * both, minus)], axis=1).reshape(-1, both.shape[1])[
        :bands
    ]
