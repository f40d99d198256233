"""Continuous inputs turned into the arrays that a minimization needs, once, outside the loop; gradients pass through."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int

from dftopt.bases.devices import fill_up, place
from dftopt.bases.real_waves import opposite, real_waves
from dftopt.bases.sizes import padded
from dftopt.energy import ewald, local, nonlocal_
from dftopt.energy.coulomb import Coulomb, DipoleCorrection, prepare_dipole
from dftopt.energy.dispersion import Dispersion, dispersion, dispersion_of
from dftopt.energy.tabulated import interpolate
from dftopt.precision import check_jax
from dftopt.xc import Functional

FAR = 1e4  # lattice steps: vectors this long add nothing to the sums of Ewald
static = partial(field, metadata={"static": True})
BY_K = ("to_box", "from_box", "half_q2", "mask", "projectors", "q", "minus")  # of `Orbitals`


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Orbitals:
    """What acts on the orbitals, per k point.

    Attributes:
        to_box: index into the sphere for each point of the box that holds all spheres.
        from_box: index into the box for each plane wave, 0 on padding.
        waves: cosines and sines of the three axes, see `bases.transforms`.
        half_q2: |k + G|^2 / 2, hartree, zero on padding.
        mask: 1 on plane waves, 0 on padding.
        projectors: nonlocal projectors with structure factor and V^(-1/2).
        coupling: their coupling matrix, hartree.
        q: Cartesian k + G, bohr^-1, zero on padding; None unless the functional needs the kinetic energy density.
        minus: index of -G where orbitals and projectors are real functions, see `bases.real_waves`; None where complex.
        devices: that share the k points.
    """

    to_box: Int[Array, "k box"]
    from_box: Int[Array, "k npw"]
    waves: tuple[Array, ...]
    half_q2: Float[Array, "k npw"]
    mask: Float[Array, "k npw"]
    projectors: Array  # (k, projectors, npw), complex, or real with `minus`
    coupling: Float[Array, "projectors projectors"]
    q: Float[Array, "k npw 3"] | None = None
    minus: Int[Array, "k npw"] | None = None
    devices: int = static(default=1)

    def split(self) -> tuple[dict, "Orbitals"]:
        """What depends on k, and the rest."""
        by_k: dict[str, Any] = {name: getattr(self, name) for name in BY_K if getattr(self, name) is not None}
        nothing: dict[str, Any] = dict.fromkeys(by_k)
        return by_k, replace(self, **nothing)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Symmetrizer:
    """Average of a density's Fourier coefficients over the space group, on the half grid, by gathers alone.

    Attributes:
        members: flat half-grid index of each member of each star.
        sign: +1, or -1 where the half grid holds -G instead (complex conjugate).
        phases: conjugate of the star's vector, zero on padding.
        star_of: star of each half-grid point.
        v_of: its phase; zero outside the sphere of the density.
    """

    members: Int[Array, "stars size"]
    sign: Float[Array, "stars size"]
    phases: Complex[Array, "stars size"]
    star_of: Int[Array, " half"]
    v_of: Complex[Array, " half"]

    def __call__(self, rho_G: Complex[Array, "n1 n2 h"]) -> Complex[Array, "n1 n2 h"]:
        """The averaged coefficients."""
        m = rho_G.reshape(-1)[self.members]
        star = jnp.sum(self.phases * jax.lax.complex(m.real, self.sign * m.imag), axis=1)
        return (self.v_of * star[self.star_of]).reshape(rho_G.shape)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Prepared:
    """Everything the free energy needs but orbitals and occupations.

    Attributes:
        orbitals: see `Orbitals`.
        weights: k-point weights, sum 1.
        volume: bohr^3.
        v_local: Fourier coefficients of the local potential on the half grid, hartree.
        coulomb: interaction v(G) on the half grid, 4 pi / G^2 or cut, see `energy.coulomb`.
        multiplicity: 2 for planes that stand for G and -G, else 1.
        G: Cartesian reciprocal vectors of the half grid, bohr^-1; None for LDA.
        symmetrizer: average over the space group; None without symmetry.
        ewald: ion-ion energy, hartree.
        alpha_z: N_el sum_a alpha_a / V, hartree; zero where the interaction is cut, `v_local` then holds it.
        dispersion: D3 energy, hartree; zero without.
        dipole: of the slab, to be corrected; None without.
        core: Fourier coefficients of the density of the core correction, bohr^-3; None without.
        xc: parameters of the functional.
        n_electrons: electrons per cell.
        filling: electrons per reservoir: the total, or those of each spin channel where the magnetization is fixed.
        functional, fft, nspin, band_block: static choices.
    """

    orbitals: Orbitals
    weights: Float[Array, " k"]
    volume: Float[Array, ""]
    v_local: Complex[Array, "n1 n2 h"]
    coulomb: Float[Array, "n1 n2 h"]
    multiplicity: Float[Array, " h"]
    G: Float[Array, "3 n1 n2 h"] | None
    symmetrizer: Symmetrizer | None
    ewald: Float[Array, ""]
    alpha_z: Float[Array, ""]
    dispersion: Float[Array, ""]
    dipole: DipoleCorrection | None
    core: Complex[Array, "n1 n2 h"] | None
    xc: dict
    n_electrons: Float[Array, ""]
    filling: Float[Array, " reservoirs"]
    functional: Functional = static()
    fft: tuple[int, int, int] = static()
    nspin: int = static()
    band_block: int = static()

    @property
    def devices(self) -> int:
        """That share the k points."""
        return self.orbitals.devices

    @property
    def degeneracy(self) -> int:
        """Electrons per orbital: 2 without spin polarization, 1 with it."""
        return 2 // self.nspin


def strained_cell(cell, strain):
    """Lattice vectors (rows) after r -> (1 + strain) r."""
    return cell @ (jnp.eye(3) + strain).T


def prepare(
    model,
    basis,
    inputs: dict | None = None,
    band_block: int | None = None,
    magnetization: float | None = None,
    devices: int = 1,
    real: bool = False,
) -> Prepared:
    """Build a `Prepared` from a model and a basis.

    Args:
        model: the model.
        basis: the plane-wave basis.
        inputs: continuous inputs as `model.inputs()` gives them; may be traced. The G spheres stay those of the
            undeformed cell, so energies are smooth in the strain.
        band_block: bands transformed at once; default as many as fit a CPU's cache, all on an accelerator.
        magnetization: N_up - N_down to hold fixed, bohr magnetons.
        real: the orbitals will be real functions, which saves half the transforms; only at Gamma alone.
        devices: over which the k points are spread, see `bases.devices`; inputs must not be traced where there are several.

    Raises:
        InputError: double precision was switched off, or JAX has no device.
    """
    check_jax()
    inputs = model.inputs() if inputs is None else inputs
    prepared = prepare_arrays(inputs, static_arrays(basis), key_of(model, basis, band_block))
    if real:
        minus = jnp.asarray(opposite(basis.spheres[0], basis.npw))
        projectors = _real_waves(prepared.orbitals.projectors, minus)
        prepared = replace(prepared, orbitals=replace(prepared.orbitals, minus=minus[None], projectors=projectors))
    if devices > 1:
        by_k, shared = prepared.orbitals.split()
        by_k = place(fill_up(by_k, devices, axis=0), devices)
        weights = jnp.pad(prepared.weights, (0, -len(prepared.weights) % devices))
        prepared = replace(prepared, orbitals=replace(shared, **by_k, devices=devices), weights=weights)
    if magnetization is None:
        return prepared
    return replace(prepared, filling=0.5 * (prepared.n_electrons + magnetization * jnp.array([1.0, -1.0])))


_real_waves = jax.jit(real_waves)


@dataclass(frozen=True)
class Key:
    """Static choices of a preparation, hashable."""

    functional: Functional
    fft: tuple[int, int, int]
    nspin: int
    layouts: tuple
    species: tuple[str, ...]
    species_of: tuple[int, ...]
    band_block: int
    dispersion: Dispersion | None = None


def key_of(model, basis, band_block: int | None = None) -> Key:
    """The hashable part of what `prepare` needs."""
    s = model.structure
    layouts = tuple(model.potentials[e].layout for e in s.species)
    if band_block is None:
        n = basis.fft[0] * basis.fft[1] * basis.fft[2]
        band_block = max(1, int(2.5e5 / (16 * n))) if jax.default_backend() == "cpu" else 64
    d = dispersion_of(model, basis.vacuum.repeated)
    return Key(model.functional, basis.fft, model.nspin, layouts, s.species, s.species_of, band_block, d)


def static_arrays(basis) -> dict:
    """Arrays that depend on the basis alone."""
    s = basis.model.structure
    vacuum = basis.vacuum
    sums = ewald.ewald_sums(s.cell, vacuum)
    return arrays_of_orbitals(basis) | {
        "weights": basis.kpoints.weights,
        "axes": tuple(a.astype(float) for a in basis.half_axes),
        "multiplicity": basis.multiplicity,
        "symmetrizer": _symmetrizer(basis),
        "ewald": {name: np.asarray(value, float) for name, value in vars(sums).items()}
        | {name: padded(x.astype(float), basis.rows(name, len(x)), FAR) for name, x in (("R", sums.R), ("G", sums.G))},
        "shifts": vacuum.shifts.astype(float),
        "coulomb": Coulomb(np.asarray(vacuum.radius), vacuum.coulomb, vacuum.axis),
        "middle": vacuum.middle if vacuum.dipole else None,
        "sphere": _sphere(basis) if has_core(basis.model) else None,
        "n_electrons": np.asarray(basis.model.n_electrons, float),
    }


def arrays_of_orbitals(basis) -> dict:
    """Those that `prepare_orbitals` needs."""
    to_box, waves, _ = basis.maps
    return {
        "cell": basis.model.structure.cell,
        "kG": fractional_kG(basis.kpoints.k, basis.spheres, basis.npw),
        "mask": sphere_mask(basis.spheres, basis.npw),
        "to_box": to_box,
        "waves": waves,
    }


def fractional_kG(k, spheres, npw: int) -> np.ndarray:
    """Fractional k + G (k, npw, 3), zero on padding."""
    out = np.zeros((len(spheres), npw, 3))
    for i, s in enumerate(spheres):
        out[i, : len(s)] = s + k[i]
    return out


def sphere_mask(spheres, npw: int) -> np.ndarray:
    """1 on plane waves, 0 on padding, (k, npw)."""
    return (np.arange(npw) < np.array([len(s) for s in spheres])[:, None]).astype(float)


def has_core(model) -> bool:
    """Whether a potential of the model has a core correction."""
    return any("core" in p.parameters() for p in model.potentials.values())


def _sphere(basis) -> np.ndarray:
    """1 inside the sphere of the density, |G| <= 2 sqrt(2 ecut) of the undeformed cell, else 0, on the half grid."""
    out = np.zeros((*basis.fft[:2], basis.fft[2] // 2 + 1))
    G = basis.density_sphere[basis.density_sphere[:, 2] >= 0]
    out[G[:, 0] % basis.fft[0], G[:, 1] % basis.fft[1], G[:, 2]] = 1.0
    return out


def _symmetrizer(basis) -> Symmetrizer | None:
    stars = basis.stars
    if stars is None:
        return None
    n1, n2, n3 = basis.fft
    h = n3 // 2 + 1
    G = basis.density_sphere
    sign = np.where(G[:, 2] >= 0, 1, -1)
    flat = np.ravel_multi_index(((sign * G[:, 0]) % n1, (sign * G[:, 1]) % n2, sign * G[:, 2]), (n1, n2, h))
    star_of, v_of = np.zeros(n1 * n2 * h, np.int32), np.zeros(n1 * n2 * h, complex)
    upper = sign > 0
    star_of[flat[upper]], v_of[flat[upper]] = stars.star_of[upper], stars.v_of[upper]
    padded = np.append(flat, 0)[stars.members]
    signs = np.append(sign, 1).astype(float)[stars.members]
    arrays = (padded.astype(np.int32), signs, stars.phases.conj(), star_of, v_of)
    return Symmetrizer(*(jnp.asarray(a) for a in arrays))


@partial(jax.jit, static_argnames="key")
def prepare_arrays(inputs, a, key: Key) -> Prepared:
    """`prepare` for given arrays of the basis and static choices; compiled once per shape."""
    cell = strained_cell(a["cell"], inputs["strain"])
    b = 2 * jnp.pi * jnp.linalg.inv(cell).T
    volume = jnp.abs(jnp.linalg.det(cell))
    frac = inputs["positions"] @ jnp.linalg.inv(a["cell"])
    ps = [inputs["pseudopotentials"][e] for e in key.species]

    x, y, z = a["axes"]
    G = (
        x[:, None, None, None] * b[0] + y[None, :, None, None] * b[1] + z[None, None, :, None] * b[2]
    )  # (n1, n2, h, 3), Cartesian
    G2 = jnp.sum(G**2, axis=-1)
    atoms_of = [np.flatnonzero(np.array(key.species_of) == i) for i in range(len(ps))]
    coulomb = a["coulomb"]
    kernel = coulomb.kernel(G, cell)
    v_local = sum(
        local.form_factor(G2, p, kernel) * local.structure_factors(frac[i], a["axes"])
        for p, i in zip(ps, atoms_of, strict=True)
    )
    alpha_z = jnp.zeros(())
    if coulomb.kind == "periodic":  # the zero of potentials: see `alpha`
        v_local = jnp.where(G2 > 0, v_local, 0.0)
        alpha_z = a["n_electrons"] * sum(local.alpha(ps[i]) for i in key.species_of) / volume
    charges = jnp.stack([ps[i]["charge"] for i in key.species_of])
    dipole = None
    if a["middle"] is not None:
        z, m = coulomb.axis, a["axes"][coulomb.axis]
        stand_for = a["multiplicity"] if z == 2 else jnp.ones(len(m))
        dipole = prepare_dipole(frac + a["shifts"], charges, cell, a["middle"], m, stand_for, z)
    return Prepared(
        orbitals=prepare_orbitals(inputs, a, key),
        weights=a["weights"],
        volume=volume,
        v_local=v_local / volume,
        coulomb=kernel,
        multiplicity=a["multiplicity"],
        G=jnp.moveaxis(G, -1, 0) if key.functional.kind not in ("none", "lda") else None,
        symmetrizer=a["symmetrizer"],
        ewald=ewald.ewald(frac, charges, cell, ewald.EwaldSums(**a["ewald"]), coulomb),
        alpha_z=alpha_z,
        dispersion=_dispersion(frac, cell, a, key),
        dipole=dipole,
        core=_core(G2, frac, volume, ps, atoms_of, a, key),
        xc=inputs["xc"],
        n_electrons=a["n_electrons"],
        filling=jnp.asarray(a["n_electrons"])[None],
        functional=key.functional,
        fft=key.fft,
        nspin=key.nspin,
        band_block=key.band_block,
    )


def _core(G2, frac, volume, ps, atoms_of, a, key: Key):
    """Cut to the sphere of the valence density: what the grid does not hold would alias."""
    if a["sphere"] is None:
        return None
    core_G = sum(
        interpolate(p["core"], G2) * local.structure_factors(frac[i], a["axes"])
        for p, i in zip(ps, atoms_of, strict=True)
        if "core" in p
    )
    return core_G * a["sphere"] / volume


def _dispersion(frac, cell, a, key: Key):
    if key.dispersion is None:
        return jnp.zeros(())
    return dispersion((frac + a["shifts"]) @ cell, cell, key.dispersion)


@partial(jax.jit, static_argnames="key")
def prepare_orbitals(inputs, a, key: Key) -> Orbitals:
    """`Orbitals` of any list of k points: `a` holds `cell`, `kG`, `mask`, `to_box` and `waves`."""
    cell = strained_cell(a["cell"], inputs["strain"])
    q = a["kG"] @ (2 * jnp.pi * jnp.linalg.inv(cell).T)
    frac = inputs["positions"] @ jnp.linalg.inv(a["cell"])
    scale = a["mask"] / jnp.sqrt(jnp.abs(jnp.linalg.det(cell)))
    ps = [inputs["pseudopotentials"][e] for e in key.species]
    at_origin = [nonlocal_.species_projectors(layout, p, q) * scale for layout, p in zip(key.layouts, ps, strict=True)]
    couplings = [nonlocal_.species_coupling(layout, p) for layout, p in zip(key.layouts, ps, strict=True)]
    rows = []
    for i, s in enumerate(key.species_of):
        phase = jnp.exp(-2j * jnp.pi * (a["kG"] @ frac[i]))
        rows.append(at_origin[s] * phase)
    npw = a["mask"].shape[1]
    places = jnp.arange(a["to_box"].shape[1], dtype=a["to_box"].dtype)
    return Orbitals(
        to_box=a["to_box"],
        from_box=jax.vmap(lambda t: jnp.zeros(npw, t.dtype).at[t].set(places, mode="drop"))(a["to_box"]),
        waves=a["waves"],
        half_q2=0.5 * jnp.sum(q**2, axis=-1) * a["mask"],
        mask=a["mask"],
        projectors=jnp.moveaxis(jnp.concatenate(rows), 0, 1),
        coupling=jax.scipy.linalg.block_diag(*[couplings[s] for s in key.species_of]),
        q=q * a["mask"][..., None] if key.functional.kind == "mgga" else None,
    )
