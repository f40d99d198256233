r"""Second derivative of the free energy at its minimum, scaled so that it is well conditioned, and its inverse.

Around the minimum, with changes c_i of the orbitals orthogonal to all of them and d eta of the auxiliary Hamiltonian,

    2 d^2A = <y|(H - eps)|y> + <z|z> + <d rho|K|d rho>,   y_i = sqrt(2 w f_i) c_i,
    z_ij = sqrt(-w (f_i - f_j) / (eps_i - eps_j)) d eta_ij,
    d rho = 2 Re sum_i psi_i^* [sqrt(w f_i / 2) y_i - 1/2 sum_j sqrt(-w f_ij) z_ji psi_j]

with K the second derivative of the energy of the density (Hartree and exchange-correlation) and z without the shift of
all levels, which the number of electrons forbids. Insulators have y alone. The operator is symmetric and, at a stable
minimum, positive: preconditioned conjugate gradients.

Where the highest computed band of a metal is degenerate with the first that is not, H - eps is singular. Bands that hold
next to nothing are therefore lifted against the rest by up to `LIFT`: what they carry changes by at most `NOTHING` electrons.

References:
    Baroni, de Gironcoli, Dal Corso, Giannozzi, Rev. Mod. Phys. 73, 515 (2001); de Gironcoli, Phys. Rev. B 51, 6773 (1995).
"""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dftopt.energy.free_energy import apply_hamiltonian, orbital_terms, potential_energy, weights
from dftopt.energy.prepared import Prepared
from dftopt.minimization import occupations as occ
from dftopt.minimization.orbitals import overlap, teter, to_complex, to_real
from dftopt.minimization.problem import Problem
from dftopt.minimization.smearing import chemical_potential, per_reservoir
from dftopt.properties.implicit.conjugate_gradients import solve_positive
from dftopt.properties.implicit.stationary import prepared_of, rotate, summed_of

TINY = 1e-250  # occupations below count as this: scaled and scaled back they cancel
LIFT = 0.05  # hartree
NOTHING = 1e-9  # occupation


class Point(NamedTuple):
    """What the operator needs, computed once per solve."""

    prepared: Prepared
    psi: Any
    eta: Any
    scale_y: Any
    scale_z: Any
    shift: Any
    lift: Any
    potential: Any
    kernel: Any
    preconditioner: Any


def point_at(at: dict, x: dict, rest: Prepared, problem: Problem) -> Point:
    """Scales, potential and kernel of a state."""
    prepared = prepared_of(at, rest)
    psi, eta, w = x["psi"], x["eta"], weights(prepared)
    if problem.parametrization == "fixed":
        scale_y, scale_z, shift, lift = jnp.sqrt(2 * w * problem.fixed_occupations(psi.shape[:3])), None, None, 0.0
    else:
        t, kind = at["temperature"], problem.kind
        e = jnp.real(jnp.diagonal(eta, axis1=-2, axis2=-1))
        mu = chemical_potential(e, w, prepared.filling, t, kind)
        scaled = (e - mu.reshape(-1, 1, 1)) / t
        f = kind.occupation(scaled)
        scale_y = jnp.sqrt(2 * w * jnp.maximum(f, TINY))
        lift = (LIFT * NOTHING / (NOTHING + f))[..., None]
        ratio = occ.divided_difference(f, e, mu, t, kind)
        scale_z = jnp.sqrt(jnp.maximum(-w[..., None] * ratio, 0.0))
        shift = jnp.diagonal(scale_z, axis1=-2, axis2=-1)
        total = per_reservoir(shift**2, len(mu)).reshape(-1, 1, 1)
        shift = shift / jnp.sqrt(jnp.where(total > 1e-200, total, 1.0))
    summed = summed_of(x, at["temperature"], prepared, problem)
    potential, kernel = jax.linearize(jax.grad(lambda n: potential_energy(n, prepared)[0]), summed)
    half_q2 = prepared.orbitals.half_q2[:, None]
    kinetic = jnp.sum((psi.real**2 + psi.imag**2) * half_q2, axis=-1)
    return Point(prepared, psi, eta, scale_y, scale_z, shift, lift, potential, kernel, teter(half_q2, kinetic))


def project(p: Point, y):
    """The part of orbitals' changes that is orthogonal to all of them."""
    return y - rotate(overlap(p.psi, y), p.psi)


def without_shift(p: Point, z):
    """Hermitian, and without the common shift of the levels of a reservoir."""
    z = 0.5 * (z + z.conj().swapaxes(-1, -2))
    reservoirs = p.prepared.filling.shape[0]
    along = per_reservoir(p.shift * jnp.real(jnp.diagonal(z, axis1=-2, axis2=-1)), reservoirs).reshape(-1, 1, 1)
    return z - (p.shift * along)[..., None] * jnp.eye(z.shape[-1])


def density_change(p: Point, y, z):
    """Change of the sums over orbitals on the grid."""
    w = weights(p.prepared)
    t = p.scale_y[..., None] * y / (2 * w[..., None])
    if z is not None:
        t = t - 0.5 * rotate(p.scale_z * without_shift(p, z), p.psi) / w[..., None]
    ones = jnp.ones(p.psi.shape[:3]) * w
    sums = lambda psi: orbital_terms(psi, ones, p.prepared.orbitals, p.prepared.band_block)[0]
    return jax.jvp(sums, (p.psi,), (t,))[1]


def in_potential(p: Point, potential):
    """V psi of a change of the potential alone."""
    o = p.prepared.orbitals
    alone = replace(o, half_q2=0 * o.half_q2, projectors=o.projectors[:, :0], coupling=o.coupling[:0, :0])
    return apply_hamiltonian(p.psi, potential, alone, p.prepared.band_block)


def product(p: Point, y, z):
    """The operator applied to a change."""
    change = p.kernel(density_change(p, y, z))
    hy = apply_hamiltonian(y, p.potential, p.prepared.orbitals, p.prepared.band_block) - rotate(p.eta, y) + p.lift * y
    vpsi = in_potential(p, change)
    out = project(p, hy + p.scale_y[..., None] * vpsi)
    if z is None:
        return out, None
    return out, without_shift(p, z - p.scale_z * overlap(p.psi, vpsi))


def as_real(v):
    """Complex changes as real arrays, in which the operator is symmetric."""
    return tuple(None if part is None else to_real(part) for part in v)


def as_complex(v):
    """Inverse of `as_real`."""
    return tuple(None if part is None else to_complex(part) for part in v)


@partial(jax.jit, static_argnames="problem")
def right_hand_side(d_residual, d_h, at, x, rest, problem: Problem):
    """Scaled change of the gradient that inputs cause at a fixed state, negative; real arrays."""
    p = point_at(at, x, rest, problem)
    y = -p.scale_y[..., None] * project(p, d_residual)
    return as_real((y, None if p.scale_z is None else without_shift(p, p.scale_z * d_h)))


@partial(jax.jit, static_argnames="problem")
def state_change(v, d_h, at, x, rest, problem: Problem):
    """Change of the state from the scaled solution and the change of h at a fixed state."""
    p = point_at(at, x, rest, problem)
    y, z = as_complex(v)
    vpsi = in_potential(p, p.kernel(density_change(p, y, z)))
    d_eta = overlap(p.psi, vpsi)
    scale = jnp.where(p.scale_y > 0, p.scale_y, 1.0)[..., None]
    return {"psi": project(p, y) / scale, "eta": d_h + 0.5 * (d_eta + d_eta.conj().swapaxes(-1, -2))}


@partial(jax.jit, static_argnames="problem")
def conjugate_gradients(at, x, b, tol, limit, rest, problem: Problem):
    """Solution of operator v = b; see `solve_positive`."""
    p = point_at(at, x, rest, problem)

    def precondition(v):
        y, z = v
        return project(p, p.preconditioner * project(p, y)), z

    b = as_complex(b)
    b = project(p, b[0]), None if b[1] is None else without_shift(p, b[1])
    v, residual, n = solve_positive(lambda v: product(p, *v), precondition, b, tol, limit)
    return as_real(v), residual, n
