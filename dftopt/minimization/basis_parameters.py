r"""The energy of a molecule as a function of the exponents and contraction coefficients of its basis set.

At a minimum the derivative in the orbitals vanishes, so that the derivative of the minimal energy in the parameters of the
basis is that at fixed unconstrained orbital coefficients: orthonormality is part of the energy.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jax.flatten_util import ravel_pytree

from dftopt.atoms import checks
from dftopt.bases import primitives
from dftopt.bases.gaussians import Gaussians
from dftopt.bases.quadrature import block_size
from dftopt.energy import quadrature_xc
from dftopt.energy.repulsion import Repulsion, hartree_and_potential
from dftopt.errors import InputError
from dftopt.minimization.ground_state import minimize
from dftopt.minimization.molecular_result import MolecularResult
from dftopt.minimization.orbitals import cholesky_qr


def basis_parameters(basis: Gaussians) -> dict:
    """Exponents and coefficients of a basis, {"exponents": {"O": (array, ...)}, "coefficients": {"O": (array, ...)}}.

    One entry per shell of an element; atoms of an element share theirs. Exponents (n,) are in bohr^-2, coefficients
    (n, functions) are those of normalized primitives; their scale does not matter.

    Raises:
        InputError: the basis comes with core potentials, or has too many primitives.
    """
    _check(basis)
    return primitives.parameters(basis.mol)


def _check(basis: Gaussians) -> None:
    mol = basis.mol
    if mol.has_ecp():
        raise InputError(
            f"basis = {basis.label} comes with effective core potentials, whose integrals have no derivatives in exponents here. "
            "Take an all-electron basis."
        )
    n = int(sum((2 * mol.bas_angular(b) + 1) * mol.bas_nprim(b) for b in range(mol.nbas)))
    need, limit = 3 * 8 * n**3 * (n + 1) / 2 / 2**30, checks.memory_limit_gib()
    if need > limit:
        raise InputError(
            f"basis = {basis.label} has {n} primitives: derivatives of their repulsion integrals need {need:.3g} GiB, this machine "
            f"has {limit:.3g} GiB. Take a smaller molecule or basis."
        )


def basis_energy(params: dict, result: MolecularResult):
    """The free energy (hartree) of a result's orbital coefficients in a basis with these parameters, for `jax.grad`.

    With the parameters of the result's basis it is the result's energy, and its gradient that of the minimal energy.

    Args:
        params: like those of `basis_parameters(result.basis)`.
        result: of a molecule; with a fitted density, the energy here is that of exact integrals all the same.

    Raises:
        InputError: see `basis_parameters`.
    """
    if not isinstance(result, MolecularResult):
        raise InputError(
            "basis_energy needs the result of a molecule in Gaussians: minimize it with dftopt.Gaussians first."
        )
    _check(result.basis)
    grid, degeneracy, kind = result.basis.points, 2.0 / result.model.nspin, result.model.functional.kind
    size = block_size(result.basis.nao, 1 if kind in ("none", "lda") else 4)
    more = -len(grid.weights) % size
    f = np.asarray(result.occupations)[:, 0]
    filled = tuple(int(np.sum(x > 1e-14)) for x in f)
    w = degeneracy * f[:, : max(filled)]
    points = np.concatenate([grid.coords, np.repeat(grid.coords[-1:], more, axis=0)]).reshape(-1, size, 3)
    e = _energy(
        params, np.asarray(result.psi)[:, 0, : max(filled)], w, points, np.pad(grid.weights, (0, more)).reshape(-1, size),
        result.model.functional.parameters(), primitives.pattern(result.basis.mol), filled, result.model.functional,
    )  # fmt: skip
    return e + (result.energies.ewald + result.energies.dispersion + result.energies.entropy)


@partial(jax.jit, static_argnames=("p", "filled", "functional"))
def _energy(params, orbitals, w, points, weights, xc, p: primitives.Pattern, filled: tuple[int, ...], functional):
    """Without the repulsion of the nuclei; orbitals (s, b, nao), w (s, b) electrons, points (blocks, n, 3)."""
    of = primitives.integrals(params["exponents"], p)
    b = primitives.contraction(params, p, of.overlap)
    root = jnp.linalg.cholesky(b.T @ of.overlap @ b)
    rows = []
    for c, n in zip(orbitals, filled, strict=True):
        psi = cholesky_qr(c[:n] @ root) if n else c[:0]
        psi = jax.scipy.linalg.solve_triangular(root.T, psi.T, lower=False).T
        rows.append(jnp.pad(psi, ((0, w.shape[1] - n), (0, 0))))
    psi = jnp.stack(rows)
    density = b @ jnp.einsum("sbi,sb,sbj->ij", psi, w, psi) @ b.T
    i, j = np.tril_indices(len(density))
    e_h, _ = hartree_and_potential(density, Repulsion(of.repulsion, jnp.asarray(i), jnp.asarray(j), None))
    components = 1 if functional.kind in ("none", "lda") else 4

    @jax.checkpoint
    def one(total, block):
        x, weight = block
        g = jnp.einsum("sba,acp->sbcp", psi, primitives.values(params, p, x, b)[:, :components])
        fields = quadrature_xc.fields(g, w, functional.kind)
        return total + jnp.sum(weight * quadrature_xc.energy_density(fields, functional, xc)), None

    e_xc, _ = jax.lax.scan(one, jnp.zeros(()), (points, weights))
    return jnp.sum(density * (of.kinetic + of.attraction)) + e_h + e_xc


@dataclass(frozen=True, eq=False)
class OptimizedBasis:
    """A basis whose parameters minimize the energy of one molecule.

    Attributes:
        basis: the new `dftopt.Gaussians`; `basis.name` holds its shells by element.
        result: the minimum in it.
        history: energies of the minimizations, hartree, the first in the basis given.
        gradient: largest derivative of the energy in ln(exponent) or a coefficient at the end, hartree.
        converged: whether it fell below the tolerance.
    """

    basis: Gaussians
    result: MolecularResult
    history: np.ndarray
    gradient: float
    converged: bool


def optimize_basis(
    model, basis: Gaussians, exponents: bool = True, coefficients: bool = True, tol: float = 1e-5, maxiter: int = 100,
    progress=None, **options,
) -> OptimizedBasis:  # fmt: skip
    """Minimize the energy in the exponents and contraction coefficients of a basis set, by BFGS.

    Every step is a minimization in the orbitals, from those of the step before.

    Args:
        model: the model of a small molecule.
        basis: where to start; exact two-electron integrals are used.
        exponents: whether exponents change (their logarithms are what is varied).
        coefficients: whether contraction coefficients change.
        tol: largest derivative of the energy in a parameter at which to stop, hartree.
        maxiter: steps.
        progress: called with (number of minimizations, energy, largest derivative) after each.
        **options: of `minimize`, such as `magnetization`.

    Raises:
        InputError: nothing to vary, or see `basis_parameters`.
    """
    if not (exponents or coefficients):
        raise InputError(
            "optimize_basis: exponents = False and coefficients = False leave nothing to vary. Set one of them."
        )
    checks.check_positive("tol", tol)
    start = basis_parameters(basis)
    p = primitives.pattern(basis.mol)
    flat, rebuild = ravel_pytree(start)
    reference = np.asarray(flat)
    is_exponent, contracted = _kinds(start)
    varied = np.where(is_exponent, exponents, coefficients & contracted)
    slope = jax.grad(basis_energy)
    state: dict = {"result": None, "history": [], "best": ()}

    def parameters_at(y):
        x = reference.copy()
        x[varied] = np.where(is_exponent[varied], reference[varied] * np.exp(y), reference[varied] + y)
        return x

    def value(y):
        x = parameters_at(y)
        params = rebuild(jnp.asarray(x))
        here = Gaussians(model, basis=primitives.as_basis(params, p), grid=basis.level, density_fit=False)
        warm = {} if state["result"] is None else {"start": state["result"]}
        result = minimize(model, here, **{"tol": 1e-12, "progress": False, **warm, **options})
        g = np.asarray(ravel_pytree(slope(params, result))[0])
        g = (g * np.where(is_exponent, x, 1.0))[varied]
        energy, largest = float(result.energies.free), float(np.abs(g).max(initial=0.0))
        state["history"].append(energy)
        if not state["best"] or energy < state["best"][0]:
            state["best"], state["result"] = (energy, here, result, largest), result
        if progress is not None:
            progress(len(state["history"]), energy, largest)
        return energy, g

    n = int(varied.sum())
    scipy.optimize.minimize(
        value, np.zeros(n), jac=True, method="L-BFGS-B", bounds=[(-3.0, 3.0)] * n,
        options={"gtol": tol, "ftol": 0.0, "maxiter": maxiter, "maxcor": 20},
    )  # fmt: skip
    _, best, result, largest = state["best"]
    return OptimizedBasis(best, result, np.array(state["history"]), largest, largest <= tol)


def _kinds(params: dict) -> tuple[np.ndarray, np.ndarray]:
    """Which parameters are exponents, and which coefficients matter: that of a single primitive is only a scale."""
    kinds = {
        "exponents": jax.tree.map(lambda e: jnp.full(e.shape, 2.0), params["exponents"]),
        "coefficients": jax.tree.map(lambda c: jnp.full(c.shape, float(len(c) > 1)), params["coefficients"]),
    }
    flat = np.asarray(ravel_pytree(kinds)[0])
    return flat == 2, flat == 1
