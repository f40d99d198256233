r"""Below the energy of a basis set: its orbitals deformed together by a smooth invertible map of space.

$\psi(r) \to |\det dT/dr|^{1/2}\, \psi(T(r))$ keeps orthonormality for any map, so that maps and orbitals are minimized together
without constraints; the identity gives the plain energy, and every step lowers it.

References:
    Petkov, Stoitsov, Kryachko, Int. J. Quantum Chem. 29, 149 (1986); Li et al., D4FT, ICLR 2023 (arXiv 2303.00399).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.atoms import checks
from dftopt.bases import deformation, quadrature
from dftopt.energy import deformed as energy
from dftopt.energy.free_energy import Energies, weights
from dftopt.errors import InputError
from dftopt.minimization import descent
from dftopt.minimization.descent import Evaluation
from dftopt.minimization.lbfgs import LBFGS
from dftopt.minimization.molecular_problem import SMALLEST, Frame, in_basis
from dftopt.minimization.molecular_result import MolecularResult
from dftopt.minimization.problem import Problem
from dftopt.precision import one_blas_thread

METHOD = LBFGS(history=10, curvature=0.7, first_step=0.3)
CHUNK = 10
SOFTEST = 0.05  # hartree; lower bound of the curvature that preconditions the map
AT_ONCE = 4096  # points


@dataclass(frozen=True)
class DeformedProblem:
    """What `descent` minimizes: orbitals in a frame and parameters of a map; `data` is (`Deformable`, frame, curvatures).

    Attributes:
        occupied: occupations and moves of the orbitals.
    """

    occupied: Problem
    is_minimum = True

    def evaluate(self, x, data) -> Evaluation:
        """Energy, gradient and preconditioned gradient; see `descent.Evaluation`."""
        d, frame, curvature = data
        f = self.occupied.fixed_occupations(x["psi"].shape[:3])
        w = weights(d.molecule) * f

        def total(psi, theta):
            e = energy.energies(in_basis(psi, frame)[:, 0], w[:, 0], theta, d)
            return e.total, e

        (value, e), (slope, theta) = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(x["psi"], x["theta"])
        perp = lambda v: self.occupied.project({"perp": v}, x)["perp"] * f[..., None]
        hpsi = slope / jnp.where(w > 0, 2 * w, 1.0)[..., None]
        own = jnp.sum(x["psi"] * hpsi, axis=-1)
        z = perp(hpsi) / jnp.sqrt((frame.levels[:, None, None] - own[..., None]) ** 2 + SMALLEST**2)
        scaled = {k: v / curvature.reshape(1, *curvature.shape, *[1] * (v.ndim - 3)) for k, v in theta.items()}
        gradient, direction = {"perp": perp(slope), "theta": theta}, {"perp": perp(z), "theta": scaled}
        return Evaluation(value, gradient, direction, e)

    def retract(self, x, d, t):
        """See `Problem`; the map moves along a straight line."""
        moved, q = self.occupied.retract({"psi": x["psi"], "occ": ()}, d, t)
        theta = jax.tree.map(lambda a, b: a + t * b, x["theta"], d["theta"])
        return {"psi": moved["psi"], "theta": theta}, q

    def transport(self, v, x, q):
        """See `Problem`."""
        return self.project(v, x)

    def turn(self, v, q):
        """Orbitals of fixed occupations do not turn."""
        return v

    def project(self, v, x):
        """See `Problem`."""
        return self.occupied.project(v, x)


@dataclass(frozen=True, eq=False)
class LocalScaling:
    """Deformed orbitals of lower energy.

    Attributes:
        result: the plain minimum.
        energies: with the deformed orbitals, on the grid of the minimization; hartree.
        parameters: of the map, see `bases.deformation`.
        widths: of its displacements, bohr^-2.
        psi: coefficients (spin, 1, orbital, function) of the filled orbitals before they are deformed.
        converged: whether the predicted error fell below the tolerance.
        history: energies of the steps, hartree, the plain one first.
        error: predicted error of the last one, hartree per atom.
    """

    result: MolecularResult
    energies: Energies
    parameters: dict
    widths: tuple[float, ...]
    psi: Any
    converged: bool
    history: np.ndarray
    error: float

    @property
    def gain(self) -> float:
        """By how much the map lowers the energy, hartree."""
        return float(self.history[0] - self.energies.total)

    @cached_property
    def _positions(self):
        return jnp.asarray(self.result.basis.mol.atom_coords())

    def places(self, points) -> deformation.Places:
        """Where the map takes points (n, 3), bohr, with its derivatives."""
        return _mapped(jnp.asarray(points, dtype=float), self.parameters, self._positions, jnp.asarray(self.widths))

    def preimages(self, points) -> np.ndarray:
        """The points (n, 3) that the map takes to these, T(r), bohr."""
        return np.asarray(
            _inverse(jnp.asarray(points, dtype=float), self.parameters, self._positions, jnp.asarray(self.widths))
        )

    def orbitals(self, points) -> np.ndarray:
        """Deformed orbitals (spin, orbital, 4, n) and their gradients at Cartesian points (n, 3), bohr^-3/2 and bohr^-5/2."""
        s = self.preimages(points)
        plain = np.einsum("sbi,icp->sbcp", np.asarray(self.psi)[:, 0], quadrature.values(self.result.basis.mol, s, 1))
        return np.asarray(energy.deformed(jnp.asarray(plain), self.places(s)))

    def overlap(self, level: int = 4) -> np.ndarray:
        """Overlaps (spin, orbital, orbital) of the deformed orbitals on a grid of points r, through the inverse map."""
        grid = quadrature.points(self.result.basis.mol, level)
        total = 0.0
        for i in range(0, len(grid.weights), AT_ONCE):
            part = slice(i, i + AT_ONCE)
            values = self.orbitals(grid.coords[part])[:, :, 0]
            total = total + np.einsum("sip,sjp,p->sij", values, values, grid.weights[part])
        return np.asarray(total)

    def energies_on(self, level: int, highest: int = 4, ratio: float = 2.0) -> Energies:
        """The energies of these orbitals on another quadrature grid and with other fitting functions, hartree."""
        r = self.result
        d = energy.deformable(r.model, r.basis, level, highest, ratio, self.widths)
        f = r.options.problem.fixed_occupations(self.psi.shape[:3])
        return jax.tree.map(
            float, _energies(jnp.asarray(self.psi)[:, 0], (weights(d.molecule) * f)[:, 0], self.parameters, d)
        )


_mapped, _inverse = jax.jit(deformation.mapped), jax.jit(deformation.inverse)
_energies = jax.jit(energy.energies)


@jax.jit
def _curvatures(psi, w, d: energy.Deformable):
    """Second derivatives (atoms, widths) of the kinetic energy in displacements, about."""

    def one(total, block):
        values, s, weight = block
        g = jnp.einsum("sba,acp->sbcp", psi, values[:, 1:])
        tau = 0.5 * jnp.einsum("sb,sbcp,p->p", w, g**2, weight)
        r2 = jnp.sum((s[:, None] - d.positions) ** 2, axis=-1)
        return total + jnp.einsum("pam,p->am", jnp.exp(-2 * d.widths * r2[..., None]), tau), None

    zero = jnp.zeros((len(d.positions), len(d.widths)))
    return 4 * jax.lax.scan(one, zero, (d.values, d.coords, d.weights))[0] + SOFTEST


@one_blas_thread
def local_scaling(
    result: MolecularResult, layers: int = 1, widths=deformation.WIDTHS, tol: float = 1e-6, maxiter: int = 200, progress=None
) -> LocalScaling:  # fmt: skip
    """Lower the energy of a molecule by a local-scaling transformation, from the identity.

    Quadrature is of the basis set's grid level for the change of the energy alone; `LocalScaling.energies_on` tells what a
    finer one says.

    Args:
        result: a converged result of a molecule at temperature = 0 without core potentials.
        layers: of the map; one is enough for displacements of a few tenths of a bohr.
        widths: exponents of the displacements, bohr^-2.
        tol: predicted error of the energy, hartree per atom.
        maxiter: evaluations of energy and gradient.
        progress: called with (evaluations, energy, error) now and then.

    Raises:
        InputError: another kind of result, or wrong options.
        NotConverged: the result did not converge.
    """
    if not isinstance(result, MolecularResult) or result.options.parametrization != "fixed":
        raise InputError(
            "local_scaling needs the result of a molecule in Gaussians at temperature = 0: minimize it with dftopt.Gaussians first."
        )
    result.require_converged("A local scaling")
    if result.basis.mol.has_ecp():
        raise InputError(
            f"local_scaling: basis = {result.basis.name!r} comes with effective core potentials, which are not local. Take an "
            "all-electron basis, such as def2-svp up to krypton."
        )
    for name, value in (("layers", layers), ("maxiter", maxiter)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise InputError(f"{name} = {value!r} must be a whole number of at least 1.")
    checks.check_positive("tol", tol)
    for value in widths:
        checks.check_positive("widths", value)
    data, problem, x = _prepared(result, tuple(float(v) for v in widths), int(layers))
    natoms, state, history = len(result.model.atoms), descent.start(problem, x, data, METHOD), []
    while int(state.status) == descent.RUNNING and int(state.evaluations) < maxiter:
        n = min(CHUNK, maxiter - int(state.evaluations))
        state, record = descent.run(problem, state, data, tol * natoms, METHOD, CHUNK, jnp.asarray(n))
        history += np.asarray(record.value)[np.asarray(record.accepted)].tolist()
        if progress is not None:
            progress(int(state.evaluations), history[-1], float(state.error))
    return LocalScaling(
        result=result, energies=jax.tree.map(float, state.at.info), parameters=state.x["theta"], widths=tuple(widths),
        psi=np.asarray(in_basis(state.x["psi"], data[1])), converged=int(state.status) == descent.CONVERGED,
        history=np.array(history), error=float(state.error) / natoms,
    )  # fmt: skip


def _prepared(result: MolecularResult, widths, layers: int):
    """Data, problem and the identity as the first point."""
    d = energy.deformable(result.model, result.basis, widths=widths)
    frame = Frame(jnp.asarray(np.asarray(result.psi)[:, 0]), jnp.asarray(result.eigenvalues[:, 0]))
    problem = DeformedProblem(result.options.problem)
    nb, n = max(result.options.filled), frame.levels.shape[1]
    shape = (len(frame.levels), 1, nb)
    f = problem.occupied.fixed_occupations(shape)
    psi = jnp.broadcast_to(jnp.eye(nb, n), (*shape, n)) * f[..., None]
    w = weights(d.molecule) * f
    curvature = _curvatures(in_basis(psi, frame)[:, 0], w[:, 0], d)
    theta = deformation.identity(len(result.model.atoms), layers, len(widths))
    return (d, frame, curvature), problem, {"psi": psi, "theta": theta}
