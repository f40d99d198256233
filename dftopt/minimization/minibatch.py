"""Stochastic warm-up of a molecule: energy and gradient from a few random quadrature points per step.

The exchange-correlation energy is a sum over points of a function of the density there, and the density at a point is
exact: a batch of points drawn with probabilities p estimates it without bias, as sum over the batch of w e / (p n). Steps
are Adam's on unconstrained coefficients, which a QR makes orthonormal. What counts comes after: `minimize(start=...)` goes on
deterministically, and the energy that it reports is of the full grid.

References:
    Li et al., D4FT, ICLR 2023 (arXiv 2303.00399).
"""

from dataclasses import dataclass, replace
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.linalg

from dftopt.atoms import checks
from dftopt.bases import quadrature
from dftopt.energy import quadrature_xc
from dftopt.energy.molecule import Molecule, prepare
from dftopt.energy.repulsion import hartree_and_potential
from dftopt.errors import InputError
from dftopt.minimization.molecular_options import filled
from dftopt.minimization.molecule import natural_orbitals
from dftopt.minimization.orbitals import qr
from dftopt.minimization.warm_up import WarmUp
from dftopt.precision import one_blas_thread

SAMPLINGS = ("uniform", "importance")
HARTREES = ("integrals", "pairs")
UNIFORM_PART = 0.1  # of the probability in importance sampling: no point is left out
KEPT = 20_000  # points whose density is computed at once


@dataclass(frozen=True)
class Sampler:
    """Points to draw from.

    Attributes:
        coords: (n, 3) bohr.
        weights: (n,) of the quadrature.
        probability: (n,) sum 1.
    """

    coords: np.ndarray
    weights: np.ndarray
    probability: np.ndarray

    def draw(self, random: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates (size, 3) of random points, and w / (p size): sums with these are unbiased."""
        picked = random.choice(len(self.weights), size, p=self.probability)
        return self.coords[picked], self.weights[picked] / (size * self.probability[picked])


def sampler(basis, kind: str, density: np.ndarray) -> Sampler:
    """Uniform probabilities, or those that follow w n of a density matrix (nao, nao) of both spins.

    Raises:
        InputError: another kind.
    """
    if kind not in SAMPLINGS:
        raise InputError(f"sampling = {kind!r} is unknown; {checks.nearest(str(kind), SAMPLINGS)}")
    p = basis.points
    n = len(p.weights)
    probability = np.full(n, 1 / n)
    if kind == "importance":
        rho = np.empty(n)
        for i in range(0, n, KEPT):
            phi = quadrature.values(basis.mol, p.coords[i : i + KEPT], 0)[:, 0]
            rho[i : i + KEPT] = np.einsum("ip,ip->p", phi, density @ phi)
        share = np.abs(p.weights * rho)
        probability = UNIFORM_PART * probability + (1 - UNIFORM_PART) * share / share.sum()
    return Sampler(p.coords, p.weights, probability)


def estimate(psi, w, batches, m: Molecule, pairs: bool):
    """Unbiased estimate of the energy of orbitals psi (s, b, nao) with w (s, b) electrons each, hartree.

    Args:
        psi: orthonormal orbitals.
        w: electrons in each.
        batches: two of (values (nao, c, n), weights (n,), coords (n, 3)); the second is used for `pairs` alone.
        m: integrals.
        pairs: the Hartree energy as a double sum over two independent batches, without coinciding points: unbiased for the
            sum over the grid, which is itself a poor quadrature of 1/r. Else it comes from the integrals.
    """
    values, weights, coords = batches[0]
    g = jnp.einsum("sbi,icp->sbcp", psi, values)
    x = quadrature_xc.fields(g, w, m.functional.kind)
    e_xc = jnp.sum(weights * quadrature_xc.energy_density(x, m.functional, m.xc))
    density = jnp.einsum("sbi,sb,sbj->ij", psi, w, psi)
    one = jnp.sum(density * (m.kinetic + m.attraction + m.ecp)) + m.nuclear + m.dispersion
    if not pairs:
        return one + e_xc + hartree_and_potential(density, m.repulsion)[0]
    other, other_weights, other_coords = batches[1]
    n = weights * jnp.sum(x[:, 0], axis=0)
    n_other = other_weights * jnp.einsum("sb,sbp->p", w, jnp.einsum("sbi,ip->sbp", psi, other[:, 0]) ** 2)
    r2 = jnp.sum((coords[:, None] - other_coords) ** 2, axis=-1)
    apart = r2 > 1e-20
    inverse = jnp.where(apart, 1 / jnp.sqrt(jnp.where(apart, r2, 1.0)), 0.0)
    return one + e_xc + 0.5 * n @ inverse @ n_other


def _batch(basis, drawn, derivatives: int):
    coords, weights = drawn
    return jnp.asarray(np.ascontiguousarray(quadrature.values(basis.mol, coords, derivatives))), weights, coords


@partial(jax.jit, static_argnames=("pairs", "optimizer"))
def _step(x, state, frame, w, batches, m: Molecule, pairs: bool, optimizer):
    def loss(y):
        return estimate(jnp.einsum("sbn,ni->sbi", qr(y) * (w > 0)[..., None], frame), w, batches, m, pairs)

    value, gradient = jax.value_and_grad(loss)(x)
    update, state = optimizer.update(gradient, state, x)
    return value, optax.apply_updates(x, update), state


@one_blas_thread
def warm_up(
    model, basis, steps: int = 200, batch: int = 512, growth: float = 1.0, sampling: str = "importance", hartree: str = "integrals",
    learning_rate: float = 0.02, magnetization: float | None = None, seed: int = 0,
) -> WarmUp:  # fmt: skip
    """Descend the energy of a molecule at T = 0 by random batches of quadrature points, from superposed atoms.

    Args:
        model: the `dftopt.Model`.
        basis: the `dftopt.Gaussians` of this model.
        steps: of Adam; its rate falls to a tenth.
        batch: points of the first batch.
        growth: factor by which batches have grown at the end, in four stages.
        sampling: "uniform", or "importance": by weight times the density of superposed atoms.
        hartree: "integrals", or "pairs" of points (a poor quadrature: 0.1 hartree for water).
        learning_rate: of the first step, in units of orbital coefficients.
        magnetization: N_up - N_down.
        seed: of the batches.

    Raises:
        InputError: wrong options.
    """
    if basis.model is not model:
        raise InputError("The basis was made for another model: pass dftopt.Gaussians(model, ...) of this model.")
    for name, value in (("steps", steps), ("batch", batch)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise InputError(f"{name} = {value!r} must be a whole number of at least 1.")
    checks.check_positive("growth", growth)
    checks.check_positive("learning_rate", learning_rate)
    if hartree not in HARTREES:
        raise InputError(f"hartree = {hartree!r} is unknown; {checks.nearest(str(hartree), HARTREES)}")
    need = filled(basis.n_electrons, model.nspin, 0.0, magnetization, model.atoms.get_initial_magnetic_moments())
    parts = natural_orbitals(model, basis)
    density = sum(np.einsum("bi,b,bj->ij", c, n, c) for n, c in parts) * (2 / model.nspin)
    chosen = sampler(basis, sampling, density)
    molecule = prepare(model, basis, on_grid=False)
    if hartree == "pairs":
        molecule = _without_repulsion(molecule)
    derivatives = 0 if model.functional.kind in ("none", "lda") else 1
    nb = max(need)
    w = jnp.asarray((2.0 / model.nspin) * (np.arange(nb) < np.array(need)[:, None]))
    frame = np.linalg.inv(scipy.linalg.cholesky(basis.overlap, lower=True))  # rows: orthonormal functions
    to_frame = basis.overlap @ frame.T
    x = jnp.asarray(np.stack([c[:nb] @ to_frame for _, c in parts]))
    optimizer = _adam(float(learning_rate), int(steps))
    state = optimizer.init(x)
    random = np.random.default_rng(seed)
    sizes = np.array([round(batch * growth ** (min(3, 4 * i // steps) / 3)) for i in range(steps)])
    energies = []
    for size in sizes:
        batches = tuple(
            _batch(basis, chosen.draw(random, int(size)), derivatives) for _ in range(1 + (hartree == "pairs"))
        )
        value, x, state = _step(x, state, jnp.asarray(frame), w, batches, molecule, hartree == "pairs", optimizer)
        energies.append(float(value))
    psi = jnp.einsum("sbn,ni->sbi", qr(x), frame)
    draw = lambda: _batch(basis, chosen.draw(random, int(sizes[-1])), derivatives)
    last = [float(_value(psi, w, (draw(), draw()), molecule, hartree == "pairs")) for _ in range(8)]
    return WarmUp(np.asarray(psi)[:, None], np.array(energies), sizes, float(np.std(last, ddof=1)))


_value = jax.jit(estimate, static_argnames="pairs")


@lru_cache
def _adam(rate: float, steps: int):
    """One object per setting: the compiled step is found again."""
    return optax.adam(optax.exponential_decay(rate, steps, 0.1), b2=0.99)


def _without_repulsion(m: Molecule) -> Molecule:
    none = replace(m.repulsion, integrals=jnp.zeros((0, 0)), i=jnp.zeros(0, int), j=jnp.zeros(0, int), metric=None)
    return replace(m, repulsion=none)
