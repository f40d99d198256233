"""Where a minimization starts: the potential of superposed atomic densities, and orbitals relaxed a little in it."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import covalent_radii

from dftopt.atoms.atomic_orbitals import free_atom
from dftopt.atoms.tabulated import Tabulated
from dftopt.bases.devices import fill_up, gather, over_k
from dftopt.bases.real_waves import plane_waves, real_waves
from dftopt.energy import local
from dftopt.energy.atomic_waves import atomic_waves, shells_of
from dftopt.energy.free_energy import h_psi, potential_energy
from dftopt.energy.prepared import Prepared, fractional_kG, sphere_mask, strained_cell
from dftopt.energy.tabulated import interpolate
from dftopt.errors import InputError
from dftopt.minimization.trace import minimize_trace
from dftopt.units import BOHR_IN_ANGSTROM

NOISE = 0.02  # of the starting orbitals, so that no symmetry of the atomic ones keeps a state out

_structure_factors = jax.jit(local.structure_factors)


def atomic_density(model, basis, moments=None) -> jnp.ndarray:
    """Superposed valence densities of atoms on the grid (nspin, n1, n2, n3), electrons per bohr^3, sum N_el.

    Each atom carries its ionic charge, spread as its potential's file says, else as in the free pseudo-atom; (1 +- m/Z)/2
    of it is spin up and down for a starting moment m (at most Z).
    """
    if moments is not None and model.nspin == 2:
        total = atomic_density(model, basis).sum(axis=0)
        charges = np.array([model.potentials[e].charge for e in model.atoms.get_chemical_symbols()])
        spins = _superposed(model, basis, np.clip(moments, -charges, charges))
        part = jnp.clip(spins * (model.n_electrons / charges.sum()), -total, total)
        return jnp.stack([0.5 * (total + part), 0.5 * (total - part)])
    charges = np.array([model.potentials[e].charge for e in model.atoms.get_chemical_symbols()])
    positive = np.maximum(_superposed(model, basis, charges), 1e-8)
    positive *= model.n_electrons / (positive.mean() * model.structure.volume)
    return jnp.asarray(np.stack([positive / model.nspin] * model.nspin))


def _superposed(model, basis, amounts) -> np.ndarray:
    """Atomic densities of given amounts (atoms,) on the grid (n1, n2, n3), bohr^-3."""
    s = model.structure
    b = 2 * np.pi * np.linalg.inv(s.cell).T
    x, y, z = (a.astype(float) for a in basis.half_axes)
    G = x[:, None, None, None] * b[0] + y[None, :, None, None] * b[1] + z[None, None, :, None] * b[2]
    G2 = np.sum(G**2, axis=-1)
    rho_G = np.zeros(G2.shape, complex)
    for i in range(len(s.species)):
        atoms = np.flatnonzero(np.array(s.species_of) == i)
        form = _per_electron(model.potentials[s.species[i]], s.numbers[atoms[0]], G2)
        for amount in np.unique(amounts[atoms]):
            alike = s.frac[atoms[amounts[atoms] == amount]]
            rho_G += amount * form * np.asarray(_structure_factors(alike, (x, y, z)))
    n = np.prod(basis.fft)
    return np.fft.irfftn(rho_G / s.volume, s=basis.fft, axes=(0, 1, 2)) * n


def _per_electron(potential, number: int, G2) -> np.ndarray:
    """Fourier transform of an atom's density, 1 at G = 0: from the potential's file, else of the free atom, else a Gaussian."""
    if isinstance(potential, Tabulated) and "density" in potential.tables:
        values = np.asarray(interpolate(potential.tables["density"], G2))
        if abs(values.flat[0] - potential.charge) < 0.2 * potential.charge:  # it may be missing, or cut off
            return values / values.flat[0]
    try:
        values = free_atom(potential).density_fourier(G2)
        return values / values.flat[0]
    except InputError:  # no atom found
        pass
    width = 0.5 * covalent_radii[number] / BOHR_IN_ANGSTROM
    return np.exp(-G2 * width**2 / 2)


def atomic_orbitals_and_noise(key, model, basis, prepared: Prepared, inputs, least: int) -> jnp.ndarray:
    """Orbitals (s, k, b, npw) to start from: those of the free atoms, mixed with a little noise and at least `least`."""
    s = model.structure
    try:
        atoms = {e: free_atom(model.potentials[e]).orbitals for e in s.species}
    except InputError:  # no atom found
        atoms = dict.fromkeys(s.species, ())
    radial, layout = shells_of(atoms, s.species)
    count = sum(2 * l + 1 for i in s.species_of for l in layout[i])
    most = basis.fewest
    noise = random_orbitals(key, (model.nspin, basis.nk, min(max(count, least), most), basis.npw), prepared.orbitals)
    if not 0 < count <= most:
        return noise
    inputs = model.inputs() if inputs is None else inputs
    cell = strained_cell(s.cell, inputs["strain"])
    frac = inputs["positions"] @ np.linalg.inv(s.cell)
    kG, mask = fractional_kG(basis.kpoints.k, basis.spheres, basis.npw), sphere_mask(basis.spheres, basis.npw)
    waves = _bloch_sums(kG, mask, cell, frac, radial, layout, s.species_of)
    return (NOISE * noise).at[:, :, :count].add(compact(waves[None], prepared)[0])


@partial(jax.jit, static_argnames=("layout", "species_of"))
def _bloch_sums(kG, mask, cell, frac, radial, layout, species_of):
    one = lambda x: atomic_waves(x[0], x[1], cell, frac, radial, layout, species_of)
    return jax.lax.map(one, (kG, mask))


@jax.jit
def potential_of(density, prepared: Prepared):
    """Kohn-Sham potential of a density on the grid, in the form that `apply_hamiltonian` wants.

    A meta-GGA sees the kinetic energy density of a uniform gas of this density.
    """
    if prepared.orbitals.q is not None:
        g = prepared.degeneracy / 2  # 1 for the total density, 1/2 for that of one spin
        tau = 0.3 * (3 * jnp.pi**2) ** (2 / 3) * g * (density / g) ** (5 / 3)
        density = jnp.stack([density, tau], axis=1)
    return jax.grad(lambda n: potential_energy(n, prepared)[0])(density * prepared.volume)


@partial(jax.jit, static_argnames=("shape",))
def random_orbitals(key, shape, orbitals):
    """Random coefficients (s, k, b, npw) that fall off with kinetic energy, zero on padding; the same on any devices."""
    c = fill_up(jax.random.normal(key, (*shape, 2)), orbitals.devices)
    falloff = orbitals.mask / (1 + orbitals.half_q2**2)
    psi = jax.lax.complex(c[..., 0], c[..., 1]) * falloff[:, None]
    return psi if orbitals.minus is None else real_waves(psi, orbitals.minus[0])


@partial(jax.jit, static_argnames=("block", "n_converge", "settled"))
def lowest_orbitals(psi, potential, orbitals, steps, tol, block: int, n_converge: int | None = None, settled: int = 0):
    """Relax orbitals (s, k, b, npw) in a fixed potential, see `trace.minimize_trace`.

    Returns:
        psi, eigenvalues (s, k, b), residual norms (s, k, b), steps per k point.
    """
    by_k, shared = orbitals.split()
    relax = lambda k, p, x: _lowest_orbitals(p, x[0], replace(shared, **k), x[1], x[2], block, n_converge, settled)
    return over_k(relax, orbitals.devices, by_k, psi, (potential, steps, tol))


def _lowest_orbitals(psi, potential, orbitals, steps, tol, block: int, n_converge: int | None, settled: int):
    """`lowest_orbitals` at the k points of one device."""

    def at_spin(x):
        psi_s, v = x

        def one(total, x):
            p, i = x
            apply_h = lambda q: h_psi(q, v, orbitals, i, block)
            p, _, e, norms, n = minimize_trace(
                apply_h,
                p,
                orbitals.half_q2[i],
                orbitals.mask[i],
                steps,
                tol,
                n_converge,
                settled,
            )
            return None, (p, e, norms, n)

        return jax.lax.scan(one, None, (psi_s, jnp.arange(psi_s.shape[0])))[1]

    return jax.lax.map(at_spin, (psi, potential))


def work(psi, bands, transforms: int) -> np.ndarray:
    """Products H psi of a number of bands, and FFTs at so many for each; two real orbitals share one."""
    return bands * np.array([1, transforms if jnp.iscomplexobj(psi) else transforms / 2])


def compact(x, prepared: Prepared):
    """Arrays (s, k, ...) as a minimization holds them: even shares of k points, real functions in real numbers."""
    x, minus = fill_up(x, prepared.devices), prepared.orbitals.minus
    if minus is None:
        return x
    return jax.tree.map(lambda a: _real_waves(a, minus[0]) if jnp.iscomplexobj(a) else a, x)


def expanded(psi, nk: int, prepared: Prepared):
    """The inverse of `compact` for orbitals."""
    psi, minus = gather(psi, nk, prepared.devices), prepared.orbitals.minus
    return psi if minus is None else _plane_waves(psi, minus[0])


_real_waves, _plane_waves = jax.jit(real_waves), jax.jit(plane_waves)


def same_waves(a, b) -> bool:
    """Whether two bases have the same plane waves at the same k points."""
    if a.nk != b.nk or a.npw != b.npw or not np.allclose(a.kpoints.k, b.kpoints.k, atol=1e-9):
        return False
    return all(np.array_equal(x, y) for x, y in zip(a.spheres, b.spheres, strict=True))


def carry(earlier, basis) -> dict:
    """Final point of an earlier result, written in the plane waves of another basis and orthonormalized there.

    Plane waves are matched by their integer G, so that the cell may change.

    Raises:
        InputError: other k points, or another number of electrons.
    """
    point = earlier.point
    if earlier.basis.nk != basis.nk or not np.allclose(earlier.basis.kpoints.k, basis.kpoints.k, atol=1e-9):
        raise InputError(
            f"start: the earlier result has {earlier.basis.nk} k points, this calculation {basis.nk} or others. "
            "Start from results with the same k points and symmetry."
        )
    if earlier.model.n_electrons != basis.model.n_electrons:
        raise InputError(
            f"start: the earlier result has {earlier.model.n_electrons:g} electrons, this calculation {basis.model.n_electrons:g}. "
            "Start from the same atoms."
        )
    if same_waves(earlier.basis, basis):
        return point
    return {
        "psi": earlier.options.problem.orthonormalize(rewritten(point["psi"], earlier.basis, basis)),
        "occ": point["occ"],
    }


def rewritten(psi, old, new):
    """Orbitals (s, k, b, npw) of one basis in the plane waves of another, matched by their integer G."""
    known = np.asarray(psi)
    matched = np.zeros((*known.shape[:3], new.npw), complex)
    label = lambda sphere: (sphere.astype(np.int64) + 2**19) @ np.array([2**40, 2**20, 1])
    for i, (a, b) in enumerate(zip(old.spheres, new.spheres, strict=True)):
        _, at, to = np.intersect1d(label(a), label(b), assume_unique=True, return_indices=True)
        matched[:, i, :, to] = np.moveaxis(known[:, i][..., at], -1, 0)
    return jnp.asarray(matched)
