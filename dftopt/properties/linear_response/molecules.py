"""Linear response of a molecule in Gaussians: force constants, infrared intensities, polarizability."""

from functools import cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.errors import InputError
from dftopt.precision import one_blas_thread
from dftopt.properties.implicit.apart import apart
from dftopt.properties.implicit.minimum import Solve, look_outside
from dftopt.properties.implicit.molecule import (
    MolecularKey,
    density_of,
    dipole_of,
    energy_of,
    molecular_ground,
    molecular_parameters,
)
from dftopt.properties.implicit.molecule_curvature import curvature
from dftopt.properties.linear_response import vibrations


class MolecularResponse:
    """Linear response of a converged molecule in Gaussians; hartree and bohr.

    The minimum is found again, to roundoff, with exact two-electron integrals. One linear solve per displacement (3N) and per
    axis of the electric field (3). The quadrature grid moves with the atoms: force constants are the derivatives of the
    forces, exactly.

    Attributes:
        result: as given.
        solves: relative residual and products with the Hessian of each linear solve.
    """

    def __init__(self, result, progress=None):
        result.require_converged("The response")
        self.result, self._progress = result, progress
        o = result.options
        options = {
            "temperature": o.temperature, "smearing": o.smearing, "magnetization": o.magnetization, "seed": o.seed,
            "maxiter": max(o.maxiter, 300), "progress": False, "tol": min(o.tol, 1e-12), "start": result,
        }  # fmt: skip
        self._ground = molecular_ground(result.model, result.basis, options)
        self._inputs = molecular_parameters(result.model, result.basis, options)
        if result.inputs is not None:
            self._inputs = {**self._inputs, **{k: v for k, v in result.inputs.items() if k in self._inputs}}

    @property
    def solves(self) -> list[Solve]:
        """Records of the linear solves so far."""
        return self._ground.solves

    def _step(self) -> None:
        look_outside(self._progress, self.solves)

    @cached_property
    def _state(self):
        return {k: jnp.asarray(v) for k, v in self._ground.find(self._inputs)[1].items()}

    @cached_property
    @one_blas_thread
    def _displaced(self) -> tuple[np.ndarray, np.ndarray]:
        """Force constants (3N, 3N) and derivatives of the dipole (3N, 3)."""
        ground, inputs, x = self._ground, self._inputs, self._state
        arrays, key = ground.arrays(inputs), ground.key
        phi = curvature(ground, inputs, x)
        _, push_residual = jax.linearize(lambda i: ground.residual(i, x), inputs)
        seen = lambda i, y: apart(_slopes_and_dipole, (i, y), (arrays,), key=key)
        _, push = jax.linearize(seen, inputs, x)
        nothing = jax.tree.map(jnp.zeros_like, inputs)
        still = jax.tree.map(jnp.zeros_like, x)
        dipole = np.zeros((len(phi), 3))
        for i, direction in enumerate(np.eye(len(phi))):
            self._step()
            change = {**nothing, "positions": jnp.asarray(direction.reshape(-1, 3))}
            dx = ground.change(inputs, x, *push_residual(change))
            phi[i] += np.asarray(push(nothing, dx)[0]).ravel()
            dipole[i] = push(nothing, dx)[1] + push(change, still)[1]
        return phi, dipole

    @cached_property
    @one_blas_thread
    def _alpha(self) -> np.ndarray:
        ground, inputs, x = self._ground, self._inputs, self._state
        arrays = ground.arrays(inputs)
        _, push = jax.linearize(lambda y: apart(_slopes_and_dipole, (inputs, y), (arrays,), key=ground.key)[1], x)
        rows = []
        for position in arrays["position"]:
            self._step()
            field = jnp.einsum("smi,ij,snj->smn", x["psi"], position, x["psi"])
            rows.append(np.asarray(push(ground.change(inputs, x, field))))
        return np.array(rows)

    def force_constants(self, asr: bool = False) -> np.ndarray:
        """d^2A/dR dR (3N, 3N), hartree/bohr^2; `asr` as for crystals."""
        phi = 0.5 * (self._displaced[0] + self._displaced[0].T)
        return vibrations.acoustic(phi) if asr else phi

    def modes(self, asr: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Frequencies (3N, ascending, cm^-1, imaginary ones negative) and displacements (3N, N, 3) of unit norm.

        `asr` makes translations and rotations cost nothing.
        """
        rigid = vibrations.rigid_motions(self._inputs["positions"]) if asr else None
        return vibrations.modes(self.force_constants(), self._masses, rigid)

    def phonons(self, asr: bool = True) -> np.ndarray:
        """Frequencies of the vibrations (3N), ascending, cm^-1, imaginary ones negative; see `modes`."""
        return self.modes(asr)[0]

    def infrared(self, asr: bool = True) -> np.ndarray:
        """Integrated infrared absorption of each of the modes (3N,), km/mol; see `vibrations.infrared`.

        That of translations and rotations, which are no vibrations, is 0 with `asr`.
        """
        frequencies, u = self.modes(asr)
        strength = vibrations.infrared(self.born_charges(), u, self._masses)
        if asr:
            n = np.linalg.matrix_rank(vibrations.rigid_motions(self._inputs["positions"]), tol=1e-6)
            strength[np.argsort(np.abs(frequencies))[:n]] = 0.0
        return strength

    def born_charges(self, asr: bool = False) -> np.ndarray:
        """Derivatives of the dipole about a fixed point (N, 3, 3): d mu_b / dR_a of atom i at [i, a, b], units of e.

        `asr` makes their sum the charge of the molecule, which it is but for roundoff.
        """
        charges, n = self.result.basis.mol.atom_charges(), self.result.basis.n_electrons
        net = float(charges.sum() - n)  # `dipole` is about the centre of nuclear charge, which moves with the atoms
        z = self._displaced[1].reshape(-1, 3, 3) + net * (charges / charges.sum())[:, None, None] * np.eye(3)
        return z - z.mean(axis=0) + net / len(z) * np.eye(3) if asr else z

    def polarizability(self) -> np.ndarray:
        """Static polarizability of the electrons (3, 3), d mu / dE at fixed atoms, bohr^3."""
        return 0.5 * (self._alpha + self._alpha.T)

    @property
    def _masses(self) -> np.ndarray:
        return self.result.model.atoms.get_masses()

    def __getattr__(self, name: str):
        if name in OF_CRYSTALS:
            raise InputError(
                f"{name}: a molecule in Gaussians has no cell, no strain and no k. There are {', '.join(OF_MOLECULES)}."
            )
        raise AttributeError(name)


OF_MOLECULES = ("force_constants", "modes", "phonons", "infrared", "born_charges", "polarizability")
OF_CRYSTALS = (
    "elastic", "internal_strain", "internal_displacements", "dielectric", "phonons_towards", "deformation_potentials",
    "band_velocities", "inverse_masses",
)  # fmt: skip


@partial(jax.jit, static_argnames="key")
def _slopes_and_dipole(inputs, x, a, key: MolecularKey):
    """Derivatives of the energy in the positions at a fixed state, and the dipole moment."""
    energy = lambda r: _energy({**inputs, "positions": r}, x, a, key)
    return jax.grad(energy)(inputs["positions"]), dipole_of(inputs, density_of(inputs, x, a, key), a)


def _energy(inputs, x, a, key: MolecularKey):
    return energy_of(inputs, density_of(inputs, x, a, key), a, key.functional)
