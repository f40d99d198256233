"""Random spin densities with gradients, and what the functionals make of them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.xc.functional import TERMS

UNIFORM_GAS = {
    "gga_c_pbe": "lda_c_pw_mod",
    "gga_c_pbe_sol": "lda_c_pw_mod",
    "gga_c_pw91": "lda_c_pw",
    "gga_c_p86": "lda_c_pz",
    "gga_c_lyp": "lda_c_pz",  # its order of magnitude: LYP has no such limit
    **{name: "lda_x" if "_x_" in name else "lda_c_pw_mod" for name in TERMS if name.startswith("mgga")},
}
"""The functional of the uniform gas under a correlation or a meta-GGA."""


def random_density(spin, points=2000, fully_polarized=False, seed=0):
    """Densities of 1e-8 to 1e4 bohr^-3 with reduced gradients s of 0 to 5 in each channel.

    |zeta| stays below 0.999 (or is 1): libxc forms 1 - |zeta|, whose digits cancel in nearly empty channels.
    """
    rng = np.random.default_rng(seed)
    rho = 10 ** rng.uniform(-8, 4, points)
    zeta = rng.choice([-1.0, 1.0], points) if fully_polarized else rng.uniform(-0.999, 0.999, points)
    rho_s = rho[None] if spin == 1 else np.stack([rho * (1 + zeta) / 2, rho * (1 - zeta) / 2])
    direction = rng.normal(size=(spin, 3, points))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    k = 2 * (3 * np.pi**2 * spin) ** (1 / 3)  # |grad rho| = s k rho^(4/3)
    return rho_s, direction * (rng.uniform(0, 5, (spin, points)) * k * rho_s ** (4 / 3))[:, None]


def kinetic(rho_s, gradients, seed=0, lowest=0.0, highest=5.0):
    """Kinetic energy densities tau_W + alpha tau_unif per channel, alpha of `lowest` to `highest`."""
    alpha = np.random.default_rng(seed).uniform(lowest, highest, rho_s.shape)
    uniform = 0.3 * (3 * np.pi**2 * len(rho_s)) ** (2 / 3) * rho_s ** (5 / 3)
    own = np.sum(gradients**2, axis=1)
    return np.divide(own, 8 * rho_s, out=np.zeros_like(own), where=rho_s > 0) + alpha * uniform


def squared(gradients):
    """Contractions of gradients (spin, 3, points): |grad rho|^2, or uu, ud, dd."""
    pairs = [(0, 0)] if len(gradients) == 1 else [(0, 0), (0, 1), (1, 1)]
    return np.stack([np.sum(gradients[i] * gradients[j], axis=0) for i, j in pairs])


@partial(jax.jit, static_argnums=0)
def energy_density(xc, rho_s, sigma=None, tau_s=None, parameters=None):
    """Compiled energy density."""
    return xc.energy_density(rho_s, sigma, tau_s, parameters=parameters)


@partial(jax.jit, static_argnums=0)
def _evaluated(xc, *variables):
    energy, pull = jax.vjp(xc.energy_density, *variables)
    return energy, *pull(jnp.ones_like(energy))


def evaluated(xc, rho_s, sigma, tau_s=None):
    """Energy densities and their derivatives in rho_s, sigma and, where given, tau_s, by jax.vjp."""
    return [np.asarray(x) for x in _evaluated(xc, *(x for x in (rho_s, sigma, tau_s) if x is not None))]
