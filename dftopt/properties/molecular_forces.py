"""Forces on the atoms of a molecule: partial derivatives of the free energy at fixed unconstrained parameters.

Basis functions, quadrature points and their weights move with the atoms. Integrals bring their own derivatives from
PySCF; exchange and correlation is differentiated as written: the energy of the displaced grid and functions, to first
order in the displacements.
"""

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.bases import integral_derivatives as derivatives
from dftopt.bases import quadrature
from dftopt.bases.integrals import auxiliary
from dftopt.energy import quadrature_xc
from dftopt.energy.dispersion import dispersion, dispersion_of
from dftopt.energy.molecule import electron_weights, hamiltonian, prepare
from dftopt.precision import one_blas_thread

AT_ONCE = 2**25  # numbers of second derivatives of functions at once
SECOND = ((4, 5, 6), (5, 7, 8), (6, 8, 9))  # where PySCF puts xx, xy, xz, yy, yz, zz


@one_blas_thread
def forces(result) -> np.ndarray:
    """-dA/dR (atoms, 3), hartree/bohr."""
    model, basis = result.model, result.basis
    mol = basis.mol
    molecule = prepare(model, basis, result.options.magnetization)
    c = jnp.asarray(result.psi)
    f = jnp.asarray(result.occupations)
    n = max(1, int(np.sum(np.any(np.asarray(f) != 0, axis=(0, 1)))))
    c, f = c[:, :, :n], f[:, :, :n]
    h = np.asarray(hamiltonian(c, f, molecule))
    w = np.asarray(electron_weights(f, molecule))
    rows = np.asarray(c)[:, 0]
    density = np.einsum("sbi,sb,sbj->ij", rows, w, rows, optimize=True)
    # what keeps orbitals orthonormal: W = sum_ab c_a (w_a + w_b)/2 H_ab c_b
    inside = np.einsum("sai,sij,sbj->sab", rows, h, rows, optimize=True)
    mixed = 0.5 * (w[:, :, None] + w[:, None, :]) * inside
    energy_weighted = np.einsum("sai,sab,sbj->ij", rows, mixed, rows, optimize=True)
    gradient = derivatives.one_electron(mol, density, energy_weighted) + derivatives.nuclear_repulsion(mol)
    if basis.density_fit:
        gradient += derivatives.fitted_repulsion(mol, auxiliary(mol, model.functional.kind), density)
    else:
        gradient += derivatives.exact_repulsion(mol, density)
    gradient += _exchange_correlation(model, basis, rows, w)
    d3 = dispersion_of(model, (False, False, False))
    if d3 is not None:
        gradient += np.asarray(jax.grad(lambda x: dispersion(x, jnp.eye(3), d3))(jnp.asarray(mol.atom_coords())))
    return -gradient


def _exchange_correlation(model, basis, rows, w) -> np.ndarray:
    """Derivative of E_xc (atoms, 3) at fixed coefficients of the functions."""
    functional = model.functional
    if functional.kind == "none":
        return np.zeros((len(model.atoms), 3))
    mol, grid = basis.mol, basis.points
    order = 1 if functional.kind == "lda" else 2
    size = max(256, AT_ONCE // (basis.nao * (4 if order == 1 else 10)) // 256 * 256)
    size = min(size, -(-len(grid.weights) // 256) * 256)
    atom_of = jnp.asarray(basis.atom_of)
    positions = jnp.asarray(mol.atom_coords())
    adjustment = jnp.asarray(quadrature.radii_adjustment(np.asarray(model.atoms.numbers)))
    out = np.zeros((mol.natm, 3))
    for first in range(0, len(grid.weights), size):
        part = slice(first, first + size)
        missing = size - len(grid.weights[part])
        repeated = np.minimum(np.arange(first, first + size), len(grid.weights) - 1)  # one size, compiled once
        coords, atom = grid.coords[repeated], grid.atom[repeated]
        volume = np.append(grid.volume[part], np.zeros(missing))
        values = quadrature.values(mol, coords, order)
        data = (values, coords, atom, volume, positions, adjustment, atom_of, jnp.asarray(rows), jnp.asarray(w))
        out += np.asarray(_slope(*data, functional, jax.tree.map(jnp.asarray, functional.parameters())))
    return out


def _energy(shift, values, coords, atom, volume, positions, adjustment, atom_of, rows, w, functional, parameters):
    """E_xc of a batch of points with the atoms displaced by `shift` (atoms, 3), correct to first order."""
    relative = (
        shift[atom][None] - shift[atom_of][:, None]
    )  # (functions, points, 3): how far a point moves within a function
    moved = [values[:, 0] + jnp.einsum("apx,axp->ap", relative, values[:, 1:4])]
    if values.shape[1] == 10:
        for i in range(3):
            moved.append(values[:, 1 + i] + sum(relative[:, :, j] * values[:, SECOND[i][j]] for j in range(3)))
    g = jnp.einsum("sba,acp->sbcp", rows, jnp.stack(moved, axis=1))
    x = quadrature_xc.fields(g, w, functional.kind)
    weights = quadrature.becke_weights(positions + shift, coords + shift[atom], atom, volume, adjustment)
    return jnp.sum(weights * quadrature_xc.energy_density(x, functional, parameters))


_slope = jax.jit(lambda *a: jax.grad(_energy)(jnp.zeros_like(a[4]), *a), static_argnums=(9,))
