r"""Deformation potentials: how levels move when the crystal is strained.

A level (spin, k) with m degenerate states moves by the eigenvalues of $\sum_a \eta_a D_a$ under a strain $\eta$ (Voigt), where
$(D_a)_{ij} = \langle u_i|\mathrm{d}H_k/\mathrm{d}\eta_a|u_j\rangle$ is a matrix among its states: kinetic energy, projectors and
volume at fixed coefficients and fixed fractional k, and the change of the self-consistent potential from linear response.

The zero of energy moves, too, and in a periodic crystal nobody can say how far: absolute deformation potentials are undefined
there (Van de Walle, Martin, Phys. Rev. Lett. 62, 2028 (1989)). Here the average of the Hartree and of the Coulomb part of
the local potential stays zero, as for all levels; in a metal the Fermi level is another choice. Differences of levels are
free of it.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.energy.free_energy import apply_hamiltonian
from dftopt.energy.prepared import Key, prepare_orbitals
from dftopt.minimization.orbitals import overlap
from dftopt.precision import one_blas_thread
from dftopt.properties.implicit.minimum import Ground
from dftopt.properties.implicit.stationary import INPUTS, potential_of, statistics
from dftopt.properties.linear_response.band_motion import level_sets, states


@dataclass(frozen=True)
class DeformationPotential:
    """Of one level.

    Attributes:
        spin, kpoint: where it is; kpoint fractional.
        bands: first and last + 1 of its states.
        energy: hartree.
        matrix: (6, m, m) Hermitian, among its m states, per Voigt strain (xx, yy, zz, 2yz, 2xz, 2xy), hartree.
    """

    spin: int
    kpoint: tuple[float, ...]
    bands: tuple[int, int]
    energy: float
    matrix: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Of the states of the level (6,), hartree per strain: the level's own one where it is not degenerate."""
        return np.einsum("aii->a", self.matrix).real / self.matrix.shape[1]

    @property
    def volume(self) -> float:
        """Slope of the level's mean in ln V, hartree."""
        return float(self.mean[:3].sum() / 3)

    def shifts(self, strain) -> np.ndarray:
        """Derivatives (m,) of the states' energies under a Voigt strain (6,), ascending: where to the level splits."""
        return np.linalg.eigvalsh(np.einsum("a,aij->ij", np.asarray(strain, float), self.matrix))


@one_blas_thread
def deformation_potentials(ground: Ground, inputs: dict, x: dict, directions, kpts, nbands: int, fermi: bool, step):
    """`DeformationPotential` of each level of the lowest `nbands` bands at fractional points (k, 3).

    `directions` are changes of the inputs, one per Voigt strain. With `fermi` levels count from the Fermi level where there is one.
    `step` is called before each linear solve.
    """
    metal = ground.problem.parametrization != "fixed"

    def seen(i, y):
        at = ground.at(i)
        mu = jnp.mean(ground.apart(statistics, at, y)["mu"]) if fermi and metal else jnp.zeros(())
        return ground.apart(potential_of, at, y), mu

    _, push_residual = jax.linearize(lambda i: ground.residual(i, x), inputs)
    (potential, mu), push = jax.linearize(seen, inputs, x)
    e, psi, (_, arrays, _, key) = states(ground.find(inputs)[0], kpts, nbands, potential)
    own = {name: inputs[name] for name in INPUTS}
    rows = []
    for change in directions:
        step()
        d_potential, d_mu = push(change, ground.change(inputs, x, *push_residual(change)))
        d = {name: change[name] for name in INPUTS}
        m = np.asarray(_among(psi, d, d_potential, own, arrays, potential, key=key))
        rows.append(0.5 * (m + m.conj().swapaxes(-1, -2)) - float(d_mu) * np.eye(m.shape[-1]))
    matrices = np.array(rows)
    return [
        DeformationPotential(s, tuple(map(float, np.asarray(kpts)[k])), (a, b), float(e[s, k, a:b].mean() - mu), block)
        for s, k in np.ndindex(*e.shape[:2])
        for a, b in level_sets(e[s, k])
        if b <= nbands
        for block in [matrices[:, s, k, a:b, a:b]]
    ]


@partial(jax.jit, static_argnames="key")
def _among(psi, change, d_potential, inputs, arrays, potential, key: Key):
    """<u_i|dH|u_j>."""

    def h_psi(i, v):
        return apply_hamiltonian(psi, v, prepare_orbitals(i, arrays, key), key.band_block)

    return overlap(psi, jax.jvp(h_psi, (inputs, potential), (change, d_potential))[1])
