r"""Response of an insulator to a uniform electric field.

The position operator between filled and empty states is a derivative in k, taken analytically through $H_k$:
$P_c r_a|u\rangle = i P_c |\partial_a u\rangle$ with $(H_k - \epsilon) P_c|\partial_a u\rangle = -P_c (\partial_a H_k)|u\rangle$.
A field E adds r . E to the Hamiltonian of an electron; its own density response, without the macroscopic field, is what the
kernel at G = 0 leaves out.

References:
    Giannozzi, de Gironcoli, Pavone, Baroni, Phys. Rev. B 43, 7231 (1991); Gonze, Lee, Phys. Rev. B 55, 10355 (1997).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.energy.free_energy import apply_hamiltonian, weights
from dftopt.energy.prepared import Key, prepare_orbitals
from dftopt.errors import NotConverged
from dftopt.minimization.problem import Problem
from dftopt.minimization.trees import dot
from dftopt.precision import one_blas_thread
from dftopt.properties.implicit import hessian
from dftopt.properties.implicit.conjugate_gradients import solve_positive
from dftopt.properties.implicit.minimum import ENOUGH, PRODUCTS, Ground
from dftopt.properties.implicit.stationary import INPUTS, prepared_of

CARTESIAN = np.eye(3)


@partial(jax.jit, static_argnames=("key", "problem"))
def velocity(inputs, at, x, direction, arrays, rest, key: Key, problem: Problem):
    """(dH_k / dk) psi along a Cartesian direction (bohr^-1), orthogonal to the filled orbitals."""
    p = hessian.point_at(at, x, rest, problem)
    cell = arrays["cell"] @ (jnp.eye(3) + inputs["strain"]).T
    shift = direction @ cell.T / (2 * jnp.pi)
    own = {name: x for name, x in arrays.items() if name != "magnetization"}
    those = {name: inputs[name] for name in INPUTS}

    def h_psi(t):
        moved = own["kG"] + t * shift * own["mask"][..., None]
        orbitals = prepare_orbitals(those, {**own, "kG": moved}, key)
        return apply_hamiltonian(x["psi"], p.potential, orbitals, p.prepared.band_block)

    return hessian.project(p, jax.jvp(h_psi, (0.0,), (1.0,))[1])


@partial(jax.jit, static_argnames="problem")
def sternheimer(at, x, b, tol, limit, rest, problem: Problem):
    """Solution of (H - eps) c = b among the empty states; c, relative residual, products."""
    p = hessian.point_at(at, x, rest, problem)
    h = lambda c: hessian.project(
        p, apply_hamiltonian(c, p.potential, p.prepared.orbitals, p.prepared.band_block) - hessian.rotate(p.eta, c)
    )
    precondition = lambda r: hessian.project(p, p.preconditioner * r)
    return solve_positive(h, precondition, b, tol, limit)


@one_blas_thread
def field_response(ground: Ground, inputs: dict, x: dict, step=lambda: None) -> tuple[np.ndarray, np.ndarray]:
    """Polarizability of the cell's electrons (3, 3; bohr^3) and dynamical charges (N, 3, 3): dF_a / dE_b of atom i.

    `step` is called before each pair of linear solves.
    """
    at, rest, problem = ground.at(inputs), ground.rest, ground.problem
    _, push = jax.linearize(lambda y: ground.energy_and_slopes(inputs, y)[1]["positions"], x)
    nothing = jnp.zeros_like(x["eta"])
    perturbations, changes = [], []
    for direction in CARTESIAN:
        step()
        v = velocity(inputs, at, x, jnp.asarray(direction), ground.arrays, rest, key=ground.key, problem=problem)
        dk, residual, n = sternheimer(at, x, -v, 1e-13, PRODUCTS, rest, problem=problem)
        if not float(residual) < ENOUGH:
            raise NotConverged(
                f"The derivative in k stopped at a relative residual of {float(residual):.1e} after {int(n)} steps."
            )
        r_psi = 1j * dk
        perturbations.append(r_psi)
        changes.append(ground.change(inputs, x, r_psi, nothing))
    w = weights(prepared_of(at, rest))[..., None]
    # P = -2 sum w <psi|r|d psi> per cell
    alpha = np.array([[float(-2 * dot(w * a, c["psi"])) for c in changes] for a in perturbations])
    charges = [
        float(np.asarray(inputs["pseudopotentials"][e]["charge"])) for e in ground.model.atoms.get_chemical_symbols()
    ]
    electrons = -np.stack([np.asarray(push({"psi": c["psi"], "eta": nothing})) for c in changes], axis=-1)
    born = electrons + np.array(charges)[:, None, None] * np.eye(3)
    return alpha, born
