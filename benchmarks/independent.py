"""How far a result is from the minimum, computed apart from the minimizer that found it.

From the final orbitals and occupations alone: a new density, its potential, and H psi on the whole FFT grid with NumPy
(none of the pruned transforms, k loops or gradients that the minimizer uses). To second order, what the free energy can
still fall is

    out = sum_k w_k g sum_i f_i sum_G |r_iG|^2 / (|k + G|^2 / 2 - eps_i)     r = H psi - (its part among the bands)
    in  = F[f, diag H] - min_f' F[f', eig H]                                 at fixed H, rotations and occupations

The first denominator is replaced by the distance to the highest band where that is larger. The response of the density,
left out, makes the energy stiffer, so that both err on the safe side. To these comes the difference between the free
energy of the result and that of its final orbitals, which are diagonalized once after the minimization.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.energy.free_energy import energies, potential_energy, weights
from dftopt.energy.prepared import prepare
from dftopt.minimization.occupations import from_levels
from dftopt.minimization.smearing import SMEARINGS

CLOSEST = 0.02  # hartree; smallest denominator, should bands be missing at the top


@dataclass(frozen=True)
class Check:
    """Hartree; errors per atom.

    Attributes:
        free_energy: of the final orbitals and occupations, evaluated anew.
        error: estimate of how far it is above the minimum.
        residual: largest |H psi - eps psi| of bands occupied by more than 1e-6.
    """

    free_energy: float
    error: float
    residual: float


def check(result) -> Check:
    """Evaluate a result anew."""
    model, basis, options = result.model, result.basis, result.options
    prepared = prepare(model, basis, result.inputs)
    psi, f = np.asarray(result.psi), np.asarray(result.occupations)
    w = np.asarray(weights(prepared))
    kind, temperature = SMEARINGS[options.smearing], options.temperature
    n = int(np.prod(basis.fft))
    spheres = [tuple((s % basis.fft).T) for s in basis.spheres]

    summed = np.zeros((psi.shape[0], *basis.fft))
    for s, k in np.ndindex(psi.shape[:2]):
        for c, occupation in zip(psi[s, k], f[s, k], strict=True):
            summed[s] += w[0, k, 0] * occupation * np.abs(_to_grid(c, spheres[k], basis.fft)) ** 2
    potential = n * np.asarray(jax.grad(lambda x: potential_energy(x, prepared)[0])(jnp.asarray(summed)))

    half_q2 = np.asarray(prepared.orbitals.half_q2)
    projectors, coupling = np.asarray(prepared.orbitals.projectors), np.asarray(prepared.orbitals.coupling)
    h = np.zeros((*psi.shape[:3], psi.shape[2]), complex)
    outside, residual = 0.0, 0.0
    for s, k in np.ndindex(psi.shape[:2]):
        c = psi[s, k]
        hc = half_q2[k] * c + (c @ projectors[k].conj().T) @ coupling.T @ projectors[k]
        for i, band in enumerate(c):
            in_space = np.fft.fftn(potential[s] * _to_grid(band, spheres[k], basis.fft)) / n
            hc[i, : len(basis.spheres[k])] += in_space[spheres[k]]
        h[s, k] = c.conj() @ hc.T
        levels = np.diag(h[s, k]).real
        r = hc - h[s, k].T @ c
        far = half_q2[k][None, :] - levels[:, None]
        denominator = np.maximum(np.maximum(far, levels.max() - levels[:, None]), CLOSEST)
        outside += np.sum(w[0, k, 0] * np.abs(f[s, k])[:, None] * np.abs(r) ** 2 / denominator)
        norms = np.linalg.norm(hc - levels[:, None] * c, axis=1)
        residual = max(residual, norms[f[s, k] > 1e-6].max(initial=0.0))

    levels = np.linalg.eigvalsh(h)
    trial = np.sum(w * f * np.einsum("skbb->skb", h).real)
    if temperature > 0:
        _, _, entropy = from_levels(result.eigenvalues, w, prepared.filling, temperature, kind)
        best_f, _, best_entropy = from_levels(levels, w, prepared.filling, temperature, kind)
        inside = trial + float(entropy) - float(np.sum(w * np.asarray(best_f) * levels)) - float(best_entropy)
    else:
        entropy, inside = 0.0, trial - np.sum(w * f * levels)
    free = float(energies(jnp.asarray(psi), jnp.asarray(f), prepared, entropy).free)
    error = outside + abs(inside) + abs(float(result.energies.free) - free)
    return Check(free, float(error) / len(model.structure), float(residual))


def _to_grid(c, where, fft) -> np.ndarray:
    """One orbital in real space; its mean square is 1."""
    box = np.zeros(fft, complex)
    box[where] = c[: len(where[0])]
    return np.fft.ifftn(box) * box.size
