"""`response`: second derivatives of the minimum as the properties that they are."""

from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.bases.gaussians import Gaussians
from dftopt.bases.planewaves import PlaneWaves
from dftopt.errors import InputError
from dftopt.properties.differentiable import unfolded
from dftopt.properties.implicit.minimum import Solve, ground, look_outside, parameters
from dftopt.properties.linear_response import band_motion, vibrations
from dftopt.properties.linear_response.deformation import DeformationPotential, deformation_potentials
from dftopt.properties.linear_response.field import field_response
from dftopt.properties.linear_response.molecules import MolecularResponse
from dftopt.properties.linear_response.second import VOIGT, second_derivatives, voigt_strains


class Response:
    """Linear response of a converged result, at the equilibrium of its electrons; hartree and bohr.

    k points that symmetry reduced are unfolded (time reversal kept) and the minimum is found again there, to roundoff.
    Each kind of quantity is computed when it is first asked for: 3N + 6 linear solves for all that has to do with
    displacements and strains, 6 for electric fields.

    Attributes:
        result: as given.
        solves: relative residual and products with the Hessian of each linear solve.
    """

    def __init__(self, result, progress=None):
        result.require_converged("The response")
        if not isinstance(result.basis, PlaneWaves):
            raise InputError(f"response needs a plane-wave basis, not {type(result.basis).__name__}.")
        if not result.options.problem.is_minimum:
            raise InputError(
                f"smearing = {result.options.smearing!r}: the response needs a minimum, and the free energy has none with it. "
                "Use 'fermi-dirac' or 'gaussian'."
            )
        self.result, self._progress = result, progress
        o = result.options
        options = {
            "temperature": o.temperature, "smearing": o.smearing, "magnetization": o.magnetization,
            "orthonormalization": o.orthonormalization, "seed": o.seed, "maxiter": max(o.maxiter, 300), "progress": False,
            "tol": min(o.tol, 1e-12),
        }  # fmt: skip
        if o.temperature > 0:
            options["nbands"] = result.point["psi"].shape[2]
        self._ground = ground(result.model, unfolded(result.basis), options)
        self._inputs = parameters(result.model, options)
        if result.inputs is not None:
            self._inputs = {**self._inputs, **{k: result.inputs[k] for k in result.inputs}}

    @property
    def solves(self) -> list[Solve]:
        """Records of the linear solves so far."""
        return self._ground.solves

    def _step(self) -> None:
        look_outside(self._progress, self.solves)

    @cached_property
    def _state(self):
        return self._ground.find(self._inputs)[1]

    @cached_property
    def _second(self) -> np.ndarray:
        return second_derivatives(self._ground, self._inputs, self._state, self._step)

    @cached_property
    def _field(self):
        if self.result.options.temperature > 0:
            raise InputError(
                "A metal screens every electric field: there are no dielectric tensor and Born charges at temperature > 0. Use "
                "temperature = 0 if this is an insulator."
            )
        if self._ground.basis.vacuum.coulomb == "2d":
            raise InputError("coulomb = '2d': the response of a slab to electric fields is not available.")
        return field_response(self._ground, self._inputs, self._state, self._step)

    # ------------------------------------------------------------------------------------------------ displacements

    def force_constants(self, asr: bool = False) -> np.ndarray:
        """d^2A/dR dR (3N, 3N), hartree/bohr^2.

        Args:
            asr: set each self term to minus the sum of the others (acoustic sum rule); the grid breaks it a little, and
                leaves these self terms as little unsymmetric.
        """
        n = 3 * len(self.result.model.structure)
        phi = self._second[:n, :n]
        phi = 0.5 * (phi + phi.T)
        return vibrations.acoustic(phi) if asr else phi

    def _symmetric(self, asr: bool) -> np.ndarray:
        phi = self.force_constants(asr)
        return 0.5 * (phi + phi.T)

    @property
    def _masses(self) -> np.ndarray:
        return self.result.model.atoms.get_masses()

    def modes(self, asr: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Frequencies at Gamma (3N, ascending, cm^-1, imaginary ones negative) and displacements (3N, N, 3) of unit norm."""
        return vibrations.modes(self._symmetric(asr), self._masses)

    def phonons(self, asr: bool = True) -> np.ndarray:
        """Frequencies at Gamma (3N), ascending, cm^-1, imaginary ones negative; without the field of longitudinal modes."""
        return self.modes(asr)[0]

    def phonons_towards(self, direction, asr: bool = True) -> np.ndarray:
        r"""Frequencies of an insulator for q -> 0 along a Cartesian direction, with the field of longitudinal modes (LO-TO).

        $\Phi_{ia,jb} + \frac{4\pi}{V} \frac{(q Z^*_i)_a (q Z^*_j)_b}{q \epsilon q}$.

        References:
            Gonze, Lee, Phys. Rev. B 55, 10355 (1997), equation 60.
        """
        q = np.asarray(direction, float)
        if q.shape != (3,) or not np.linalg.norm(q) > 0:
            raise InputError(f"direction = {direction!r} must be three Cartesian numbers, not all zero.")
        charges = self.born_charges(asr=True)
        toward = np.einsum("a,iab->ib", q, np.swapaxes(charges, 1, 2)).ravel()
        phi = self._symmetric(asr) + 4 * np.pi / self._volume * np.outer(toward, toward) / (q @ self.dielectric() @ q)
        return vibrations.modes(phi, self._masses)[0]

    def infrared(self, asr: bool = True) -> np.ndarray:
        """Integrated infrared absorption of each of the modes (3N,), km/mol; see `vibrations.infrared`.

        Of a molecule in a box that is large enough; of a crystal per cell, a measure of the oscillators' strengths.
        """
        return vibrations.infrared(self.born_charges(asr), self.modes(asr)[1], self._masses)

    # ------------------------------------------------------------------------------------------------ strain

    def _refuse_vacuum(self) -> None:
        vacuum = self.result.basis.vacuum
        if any(vacuum.isolated):
            raise InputError(
                f"coulomb = {vacuum.coulomb!r}: a cell with vacuum that the interaction is cut in has no elastic constants. Ask for "
                "phonons() and force_constants()."
            )

    @property
    def _volume(self) -> float:
        return self.result.model.structure.volume

    def internal_strain(self) -> np.ndarray:
        """dF/dstrain at fixed scaled positions (N, 3, 6), Voigt (xx, yy, zz, 2yz, 2xz, 2xy), hartree/bohr.

        F is the force -dA/dR of positions that are scaled with the cell; times 1 + strain it is that of Cartesian ones.
        """
        self._refuse_vacuum()
        n = 3 * len(self.result.model.structure)
        coupling = 0.5 * (self._second[:n, n:] + self._second[n:, :n].T)
        return -coupling.reshape(-1, 3, 6)

    def internal_displacements(self) -> np.ndarray:
        """How atoms follow a strain (N, 3, 6), bohr, beside being scaled with the cell; Voigt, centre at rest."""
        n = 3 * len(self.result.model.structure)
        e, u = np.linalg.eigh(self._symmetric(asr=True))
        keep = np.argsort(np.abs(e))[3:]
        follow = u[:, keep] @ ((u[:, keep].T @ self.internal_strain().reshape(n, 6)) / e[keep][:, None])
        return follow.reshape(-1, 3, 6)

    def elastic(self, relaxed: bool = True, convention: str = "abinit") -> np.ndarray:
        """Elastic constants (6, 6), Voigt, hartree/bohr^3.

        Args:
            relaxed: let the atoms follow the strain (else they keep their scaled positions).
            convention: "energy" is d^2A/dstrain^2 per volume, r -> (1 + strain) r with symmetric strains; "abinit" adds the
                residual stress to it as ABINIT does: s to C11, s / 2 to C44, nothing to C12 where it is a pressure -s. They
                agree where the stress vanishes.
        """
        if convention not in ("abinit", "energy"):
            raise InputError(f"convention = {convention!r} must be 'abinit' or 'energy'.")
        self._refuse_vacuum()
        n = 3 * len(self.result.model.structure)
        c = 0.5 * (self._second[n:, n:] + self._second[n:, n:].T)
        if relaxed:
            c = c - self.internal_strain().reshape(n, 6).T @ self.internal_displacements().reshape(n, 6)
        c = c / self._volume
        return c if convention == "energy" else c + self._residual_stress

    @property
    def _residual_stress(self) -> np.ndarray:
        """(6, 6): (d_ik s_jl + d_il s_jk + d_jk s_il + d_jl s_ik) / 4, as ABINIT adds it (compared for silicon)."""
        s, d = self.result.stress(), np.eye(3)
        terms = np.einsum("ik,jl->ijkl", d, s) + np.einsum("il,jk->ijkl", d, s)
        terms = 0.25 * (terms + np.einsum("jk,il->ijkl", d, s) + np.einsum("jl,ik->ijkl", d, s))
        return np.array([[terms[i, j, k, l] for k, l in VOIGT] for i, j in VOIGT])

    # ------------------------------------------------------------------------------------------------ levels

    def deformation_potentials(
        self, kpts=None, nbands: int | None = None, relaxed: bool = True, zero: str = "potential"
    ) -> list[DeformationPotential]:
        """How levels move with strain: matrices among the states of each level, see `DeformationPotential`.

        Args:
            kpts: fractional points (k, 3), of the strained crystal, too; default those of the result.
            nbands: bands at each; default one above the filled ones. A level that reaches beyond is left out.
            relaxed: let the atoms follow the strain (else they keep their scaled positions).
            zero: "potential", the average of the electrostatic potential, or "fermi", the Fermi level of a metal. Absolute
                deformation potentials are undefined in a periodic crystal; differences of levels need no zero.

        Raises:
            InputError: another `zero`, or the Fermi level of an insulator.
        """
        if zero not in ("potential", "fermi"):
            raise InputError(f"zero = {zero!r} must be 'potential' or 'fermi'.")
        if zero == "fermi" and self.result.options.temperature == 0:
            raise InputError(
                "zero = 'fermi': at temperature = 0 the Fermi level is anywhere in the gap. Take 'potential' and differences of levels."
            )
        self._refuse_vacuum()
        follow = self.internal_displacements() if relaxed else np.zeros((len(self._masses), 3, 6))
        nothing = jax.tree.map(jnp.zeros_like, self._inputs)
        directions = [
            {**nothing, "strain": jnp.asarray(s), "positions": jnp.asarray(follow[..., a])}
            for a, s in enumerate(voigt_strains())
        ]
        kpts = self.result.kpoints if kpts is None else np.asarray(kpts, float)
        nbands = max(self.result.options.filled) + 1 if nbands is None else int(nbands)
        return deformation_potentials(
            self._ground, self._inputs, self._state, directions, kpts, nbands, zero == "fermi", self._step
        )

    def band_velocities(self, kpts, nbands: int) -> np.ndarray:
        """See `band_motion.band_velocities`: (spin, k, band, 3), hartree bohr."""
        return band_motion.band_velocities(self.result, kpts, nbands)

    def inverse_masses(self, k, band: int, spin: int = 0) -> np.ndarray:
        """See `band_motion.inverse_masses`: (3, 3), 1 / m_e."""
        return band_motion.inverse_masses(self.result, k, band, spin)

    # ------------------------------------------------------------------------------------------------ electric field

    def dielectric(self) -> np.ndarray:
        """High-frequency dielectric tensor (3, 3): ions held fixed."""
        alpha = 0.5 * (self._field[0] + self._field[0].T)
        return np.eye(3) + 4 * np.pi / self._volume * alpha

    def polarizability(self) -> np.ndarray:
        """Electronic polarizability of the cell (3, 3), bohr^3, in its periodic surroundings."""
        return 0.5 * (self._field[0] + self._field[0].T)

    def born_charges(self, asr: bool = False) -> np.ndarray:
        """Dynamical charges (N, 3, 3), units of e: dF[i, a] / dE[b] at fixed ions; `asr` removes their mean."""
        z = self._field[1]
        return z - z.mean(axis=0) if asr else z


def response(result, progress=None) -> Response | MolecularResponse:
    """Linear response of a converged result: phonons at Gamma, elastic constants, Born charges, dielectric tensor.

    Of a molecule in Gaussians: frequencies, infrared intensities and polarizability, see `MolecularResponse`.

    Args:
        result: a converged result.
        progress: None, or a function called before each linear solve; where it returns True the response ends.

    Raises:
        NotConverged: the result did not converge, or a linear solve failed.
        InputError: a smearing without a minimum.
    """
    if isinstance(result.basis, Gaussians):
        return MolecularResponse(result, progress)
    return Response(result, progress)
