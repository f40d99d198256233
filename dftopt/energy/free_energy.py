"""The free energy of orbitals and occupations: the one scalar from which everything else is derived.

    A[psi, f] = sum_k g w_k sum_i f_ki <psi_ki| -nabla^2/2 + V_nl |psi_ki> + E_pot[rho] + E_Ewald - T S

with all that depends on the density alone in `E_pot` (local, Hartree, exchange-correlation), so that the potential is
its gradient, and the Hamiltonian applied to orbitals the gradient of their band energy in that potential.
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from dftopt.bases.devices import over_k
from dftopt.bases.real_waves import derivative
from dftopt.bases.transforms import density_of_bands, local_product
from dftopt.energy.coulomb import dipole_energy
from dftopt.energy.exchange_correlation import exchange_correlation
from dftopt.energy.fields import fields
from dftopt.energy.hartree import hartree
from dftopt.energy.kinetic import kinetic
from dftopt.energy.local import local
from dftopt.energy.nonlocal_ import nonlocal_
from dftopt.energy.prepared import Orbitals, Prepared


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Energies:
    """Free energy by component, hartree.

    Attributes:
        kinetic, local, nonlocal_, hartree, xc, ewald: the terms; `local` holds the constant G = 0 part.
        dispersion, dipole: D3 correction, and that of a slab's dipole; zero unless asked for.
        entropy: -T S.
        extrapolation: c in zero = A + c T S, see `zero`.
    """

    kinetic: Array
    local: Array
    nonlocal_: Array
    hartree: Array
    xc: Array
    ewald: Array
    entropy: Array
    extrapolation: Array
    dispersion: Array | float = 0.0
    dipole: Array | float = 0.0

    @property
    def total(self):
        """Internal energy E."""
        ions = self.ewald + self.dispersion
        return self.kinetic + self.local + self.nonlocal_ + self.hartree + self.xc + self.dipole + ions

    @property
    def free(self):
        """Free energy A = E - T S."""
        return self.total + self.entropy

    @property
    def zero(self):
        """Estimate of the energy at T -> 0: (A + E) / 2 for Fermi-Dirac and Gaussian smearing, (2 A + E) / 3 for
        Methfessel-Paxton of order 1, A for cold smearing.
        """  # noqa: D205
        return self.free - self.extrapolation * self.entropy


def orbital_terms(psi: Complex[Array, "s k b npw"], f: Float[Array, "s k b"], orbitals: Orbitals, block: int):
    r"""Sums over orbitals, one k point at a time so that real-space orbitals stay in the cache.

    Args:
        psi: orthonormal orbitals.
        f: weight of each orbital in the density (occupation times k weight times spin degeneracy).
        orbitals: k-dependent arrays.
        block: bands transformed at once.

    Returns:
        $\sum f |\psi(r)|^2$ (s, n1, n2, n3), not yet divided by the volume; for meta-GGAs stacked with
        $\frac12 \sum f |\nabla\psi(r)|^2$ (s, 2, n1, n2, n3); kinetic and nonlocal expectation values (s, k, b), hartree.
    """
    by_k, shared = orbitals.split()
    terms = lambda k, x, _: _orbital_terms(x[0], x[1], replace(shared, **k), block)
    summed, (e_kin, e_nl) = over_k(terms, orbitals.devices, by_k, (psi, f), (), sums=True)
    return summed, e_kin, e_nl


def _orbital_terms(psi, f, orbitals: Orbitals, block: int):
    """`orbital_terms` of the k points of one device."""
    _, nk, nb, _ = psi.shape

    def one_k(p, w, i):
        minus = None if orbitals.minus is None else orbitals.minus[i]
        squares = lambda x: density_of_bands(x, w, orbitals.to_box[i], orbitals.waves, block, minus)
        fields = squares(p)
        if orbitals.q is not None:
            tau = 0.5 * sum(squares(derivative(p, orbitals.q[i, :, a], minus)) for a in range(3))
            fields = jnp.stack([fields, tau])
        return fields, kinetic(p, orbitals.half_q2[i]), nonlocal_(p, orbitals.projectors[i], orbitals.coupling)

    @jax.checkpoint
    def one_block(rho, x):
        parts, e_kin, e_nl = jax.vmap(one_k)(*x)
        return rho + jnp.sum(parts, axis=0), (e_kin, e_nl)

    grid = jnp.zeros((() if orbitals.q is None else (2,)) + tuple(w.shape[1] for w in orbitals.waves))

    def at_spin(x):  # one spin after the other: two loops at once would only compete for the cache
        summed, (e_kin, e_nl) = jax.lax.scan(one_block, grid, k_blocks((*x, jnp.arange(nk)), nb, block))
        return summed, (e_kin.reshape(-1, nb)[:nk], e_nl.reshape(-1, nb)[:nk])

    return jax.lax.map(at_spin, (psi, f))


def k_blocks(arrays, nb: int, block: int):
    """Split arrays that lead with k into blocks of k points, (blocks, k per block, ...), so that about `block` orbitals
    are transformed at once; the last block is filled up with zeros (zero weights, k index 0).
    """  # noqa: D205
    nk = arrays[-1].shape[0]
    size = min(nk, max(1, block // nb))
    size = -(-nk // -(-nk // size))  # equal blocks
    pad = -nk % size
    fill = lambda x: jnp.pad(x, ((0, pad),) + ((0, 0),) * (x.ndim - 1)).reshape(-1, size, *x.shape[1:])
    return jax.tree.map(fill, arrays)


def apply_hamiltonian(
    psi: Complex[Array, "s k b npw"], potential: Float[Array, "s *fields"], orbitals: Orbitals, block: int
):
    r"""$H\psi$, half the gradient of $\sum_i \langle\psi_i|H|\psi_i\rangle$ at fixed potential (no physics of its own).

    Args:
        psi: orbitals.
        potential: derivative of the energy in $\sum |\psi(r)|^2$ of the grid points (for meta-GGAs also in the kinetic
            energy density), see `potential_energy`.
        orbitals: k-dependent arrays.
        block: bands transformed at once.
    """
    by_k, shared = orbitals.split()
    apply = lambda k, p, v: _apply_hamiltonian(p, v, replace(shared, **k), block)
    return over_k(apply, orbitals.devices, by_k, psi, potential)


def _apply_hamiltonian(psi, potential, orbitals: Orbitals, block: int):
    """`apply_hamiltonian` at the k points of one device."""
    _, nk, nb, _ = psi.shape

    def at_spin(x):
        p, v = x
        one = lambda _, x: (None, jax.vmap(lambda y, i: h_psi(y, v, orbitals, i, block))(*x))
        return jax.lax.scan(one, None, k_blocks((p, jnp.arange(nk)), nb, block))[1].reshape(-1, *p.shape[1:])[:nk]

    return jax.lax.map(at_spin, (psi, potential))


def h_psi(psi: Complex[Array, "b npw"], potential: Float[Array, "*fields"], orbitals: Orbitals, i, block: int):
    """`apply_hamiltonian` at one k point (index i) and one spin."""

    def orbital_energy(p):
        return jnp.sum(kinetic(p, orbitals.half_q2[i])) + jnp.sum(
            nonlocal_(p, orbitals.projectors[i], orbitals.coupling)
        )

    minus = None if orbitals.minus is None else orbitals.minus[i]

    def local_part(v, p):
        return local_product(p, v, orbitals.to_box[i], orbitals.from_box[i], orbitals.waves, block, minus)

    # JAX's gradient of a real function of z = x + iy is d/dx - i d/dy = 2 conj(H z)
    out = 0.5 * jax.grad(orbital_energy)(psi).conj()
    if orbitals.q is None:
        return out + local_part(potential, psi) * orbitals.mask[i]
    out += local_part(potential[0], psi) * orbitals.mask[i]
    for a in range(3):
        q = orbitals.q[i, :, a]  # zero on padding
        out -= derivative(local_part(0.5 * potential[1], derivative(psi, q, minus)), q, minus)
    return out


def potential_energy(summed: Float[Array, "s *fields"], prepared: Prepared):
    """Energy of the density (and kinetic energy density) alone, E_loc + E_H + E_xc (+ E_dip), and its four parts, hartree.

    Its gradient is the Kohn-Sham potential: zero on average but for exchange-correlation, so that eigenvalues have
    the zero of ABINIT and DFTK; where the interaction is cut, it is whole and the zero the vacuum.
    """
    seen = fields(summed, prepared)
    total_G = jnp.sum(seen.rho_G, axis=0)
    parts = (
        local(total_G, prepared.v_local, prepared.multiplicity, prepared.volume),
        hartree(total_G, prepared.coulomb, prepared.multiplicity, prepared.volume),
        exchange_correlation(seen.rho, seen.gradient, seen.tau, prepared.volume, prepared.functional, prepared.xc),
        jnp.zeros(()) if prepared.dipole is None else dipole_energy(total_G, prepared.dipole, prepared.volume),
    )
    return sum(parts), parts


def weights(prepared: Prepared) -> Float[Array, "1 k 1"]:
    """Electrons per fully occupied orbital of each k point, g w_k: all sums over k use these."""
    return (prepared.degeneracy * prepared.weights)[None, :, None]


def assemble(e_kin, e_nl, parts, f, entropy, prepared: Prepared, extrapolation=0.5) -> Energies:
    """Put the components together; e_kin, e_nl, f (s, k, b), `entropy` = -T S."""
    w = f * weights(prepared)
    return Energies(
        kinetic=jnp.sum(w * e_kin),
        local=parts[0] + prepared.alpha_z,
        nonlocal_=jnp.sum(w * e_nl),
        hartree=parts[1],
        xc=parts[2],
        ewald=prepared.ewald,
        entropy=jnp.asarray(entropy, float),
        extrapolation=jnp.asarray(extrapolation, float),
        dispersion=prepared.dispersion,
        dipole=parts[3],
    )


def energies(
    psi: Complex[Array, "s k b npw"], f: Float[Array, "s k b"], prepared: Prepared, entropy=0.0, extrapolation=0.5
) -> Energies:
    """Free energy by component of orthonormal orbitals with occupations f in [0, 1]; differentiable in everything."""
    summed, e_kin, e_nl = orbital_terms(psi, f * weights(prepared), prepared.orbitals, prepared.band_block)
    _, parts = potential_energy(summed, prepared)
    return assemble(e_kin, e_nl, parts, f, entropy, prepared, extrapolation)


def energies_and_hpsi(psi, f, prepared: Prepared, entropy=0.0, extrapolation=0.5):
    """`energies` and H psi for all bands, occupied or not: three transforms per band."""
    summed, e_kin, e_nl = orbital_terms(psi, f * weights(prepared), prepared.orbitals, prepared.band_block)
    (_, parts), potential = jax.value_and_grad(potential_energy, has_aux=True)(summed, prepared)
    hpsi = apply_hamiltonian(psi, potential, prepared.orbitals, prepared.band_block)
    return assemble(e_kin, e_nl, parts, f, entropy, prepared, extrapolation), hpsi
