"""The free energy of a molecule on the manifold of orbitals and occupations.

Orbitals are coefficients in an orthonormal frame, the eigenvectors of an earlier Hamiltonian: overlaps are plain dot
products, points, tangents and retractions are those of crystals, and the levels of the frame precondition.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dftopt.energy.free_energy import weights
from dftopt.energy.molecule import energies_and_hpsi
from dftopt.minimization.descent import Evaluation
from dftopt.minimization.orbitals import overlap
from dftopt.minimization.problem import Problem

SMALLEST = 0.15  # hartree; smoothed lower bound of level differences in the preconditioner


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Frame:
    """An orthonormal basis.

    Attributes:
        orbitals: (s, n, nao) its functions, rows of coefficients of the Gaussians.
        levels: (s, n) their energies, hartree.
    """

    orbitals: Float[Array, "s n nao"]
    levels: Float[Array, "s n"]


def in_basis(psi: Float[Array, "s 1 b n"], frame: Frame) -> Float[Array, "s 1 b nao"]:
    """Coefficients of the Gaussians from coefficients in the frame."""
    return jnp.einsum("skbn,sni->skbi", psi, frame.orbitals)


@dataclass(frozen=True)
class MolecularProblem:
    """What `descent` minimizes; `data` of its methods is (molecule, temperature, frame).

    Attributes:
        occupied: occupations, orthonormalization and moves are those of crystals.
    """

    occupied: Problem

    @property
    def is_minimum(self) -> bool:
        """See `Problem`."""
        return self.occupied.is_minimum

    @property
    def parametrization(self) -> str:
        """Of the occupations."""
        return self.occupied.parametrization

    def fixed_occupations(self, shape):
        """See `Problem`."""
        return self.occupied.fixed_occupations(shape)

    def evaluate(self, x, data) -> Evaluation:
        r"""Free energy, gradient and preconditioned gradient; see `descent.Evaluation`.

        The preconditioner is the inverse of level differences, $z_{ai} = r_{ai} / \sqrt{(e_a - H_{ii})^2 + \delta^2}$: that
        is Newton's step where the response of the potential is left out.
        """
        molecule, temperature, frame = data
        problem, psi, w = self.occupied, x["psi"], weights(molecule)
        f, mu, entropy = problem.occupations(x, (molecule, temperature))
        extrapolation = 0.0 if problem.parametrization == "fixed" else problem.kind.extrapolation
        e, hc, electrons = energies_and_hpsi(in_basis(psi, frame), f, molecule, entropy, extrapolation)
        hpsi = jnp.einsum("skbi,sni->skbn", hc, frame.orbitals)
        h = overlap(psi, hpsi)
        h = 0.5 * (h + h.swapaxes(-1, -2))
        r = hpsi - jnp.einsum("skij,skjn->skin", h, psi)
        own = jnp.diagonal(h, axis1=-2, axis2=-1)
        z = r / jnp.sqrt((frame.levels[:, None, None] - own[..., None]) ** 2 + SMALLEST**2)
        z = z - jnp.einsum("skji,skjn->skin", overlap(psi, z), psi)
        gradient, direction = problem.tangents(x, f, mu, h, r, z, w, temperature)
        info = {"energies": e, "f": f, "mu": jnp.asarray(mu), "h": h, "electrons": electrons}
        return Evaluation(e.free, gradient, direction, info)

    def retract(self, x, d, t):
        """See `Problem`."""
        return self.occupied.retract(x, d, t)

    def transport(self, v, x, q):
        """See `Problem`."""
        return self.occupied.transport(v, x, q)

    def turn(self, v, q):
        """See `Problem`."""
        return self.occupied.turn(v, q)

    def project(self, v, x):
        """See `Problem`."""
        return self.occupied.project(v, x)
