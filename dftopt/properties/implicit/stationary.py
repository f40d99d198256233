"""What vanishes at the minimum, as a function of the inputs and of the state; and what follows from a state.

A state is {"psi": orthonormal orbitals (s, k, b, npw), "eta": the Hamiltonian among them (s, k, b, b)}: at T > 0 the
auxiliary Hamiltonian, whose Fermi function is the occupation matrix F; at T = 0 the filled bands alone, F = 1. The frame
is that of the levels: eta is diagonal.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from dftopt.energy.fields import density as density_on_grid
from dftopt.energy.free_energy import apply_hamiltonian, energies, orbital_terms, potential_energy, weights
from dftopt.energy.prepared import Key, Prepared, prepare_arrays
from dftopt.minimization.orbitals import one_by_one, overlap
from dftopt.minimization.problem import Problem
from dftopt.minimization.smearing import Smearing, against, chemical_potential, count
from dftopt.minimization.unconstrained import root_occupation

INPUTS = ("positions", "strain", "pseudopotentials", "xc")


def prepared_at(inputs: dict, arrays: dict, key: Key) -> Prepared:
    """`prepare` with a traced number of electrons; `arrays` also holds `magnetization` where it is fixed."""
    a = {name: x for name, x in arrays.items() if name != "magnetization"}
    a["n_electrons"] = inputs["electrons"]
    prepared = prepare_arrays({name: inputs[name] for name in INPUTS}, a, key)
    if "magnetization" not in arrays:
        return prepared
    moment = arrays["magnetization"] * jnp.array([1.0, -1.0])
    return replace(prepared, filling=0.5 * (prepared.n_electrons + moment))


CHANGING = (
    "volume",
    "v_local",
    "coulomb",
    "G",
    "ewald",
    "alpha_z",
    "dispersion",
    "dipole",
    "core",
    "xc",
    "n_electrons",
    "filling",
)
OF_ORBITALS = ("half_q2", "projectors", "coupling", "q")


def setting(inputs: dict, arrays: dict, key: Key) -> dict:
    """All that the inputs change of `Prepared`, and the temperature: what a minimum sees of them."""
    p = prepared_at(inputs, arrays, key)
    of_orbitals = {name: getattr(p.orbitals, name) for name in OF_ORBITALS}
    return {name: getattr(p, name) for name in CHANGING} | of_orbitals | {"temperature": inputs["temperature"]}


def rest_of(prepared: Prepared) -> Prepared:
    """All that the inputs do not change, None in place of what they do."""
    nothing: dict[str, Any] = dict.fromkeys(CHANGING)
    of_orbitals: dict[str, Any] = dict.fromkeys(OF_ORBITALS)
    return replace(prepared, orbitals=replace(prepared.orbitals, **of_orbitals), **nothing)


def prepared_of(at: dict, rest: Prepared) -> Prepared:
    """`Prepared` from its two parts."""
    o = replace(rest.orbitals, **{name: at[name] for name in OF_ORBITALS})
    return replace(rest, orbitals=o, **{name: at[name] for name in CHANGING})


def rotate(m, rows):
    """Rows x_i -> sum_j x_j m_ji."""
    return jnp.einsum("...ji,...jg->...ig", m, rows)


@jax.custom_jvp
def spectrum(eta):
    """Eigenvalues of Hermitian matrices, for symmetric functions of them.

    Within a degenerate level only sums of the derivatives mean anything.
    """
    return jnp.linalg.eigvalsh(eta)


@spectrum.defjvp
def _spectrum_jvp(primals, tangents):
    e, u = jnp.linalg.eigh(primals[0])
    return e, jnp.einsum("...ji,...jk,...ki->...i", u.conj(), tangents[0], u).real


def fermi_levels(e, w, filling, temperature, kind: Smearing):
    """Chemical potentials (reservoirs,) with their derivative, also in the number of electrons of each reservoir."""
    mu = chemical_potential(e, w, filling, temperature, kind)
    n, dn = jax.jvp(lambda m: count(e, m, w, temperature, kind), (mu,), (jnp.ones_like(mu),))
    missing = n - filling
    return mu - (missing - jax.lax.stop_gradient(missing)) / jax.lax.stop_gradient(dn)


def filling_of(x: dict, temperature, prepared: Prepared, problem: Problem) -> tuple[Any, Any, Any, Any]:
    """Orbitals times the root of F (rows), occupations of the levels, chemical potentials (reservoirs,), entropy S.

    The density of the rows with unit occupations is that of the state, whatever the frame.
    """
    psi, w = x["psi"], weights(prepared)
    if problem.parametrization == "fixed":
        return psi, problem.fixed_occupations(psi.shape[:3]), jnp.full(prepared.filling.shape, jnp.nan), jnp.zeros(())
    e, t, kind = spectrum(x["eta"]), temperature, problem.kind
    mu = fermi_levels(e, w, prepared.filling, t, kind)
    scaled = (e - against(mu, e)) / t
    per_k = jnp.broadcast_to(mu[:, None], psi.shape[:2])
    root = one_by_one(lambda y: root_occupation(y[0], (y[1], t), kind), (x["eta"], per_k))
    return rotate(root, psi), kind.occupation(scaled), mu, jnp.sum(w * kind.entropy(scaled))


def summed_of(x, temperature, prepared: Prepared, problem: Problem):
    """Sums over orbitals on the grid, see `orbital_terms`."""
    rows = filling_of(x, temperature, prepared, problem)[0]
    ones = jnp.ones(rows.shape[:3])
    return orbital_terms(rows, ones * weights(prepared), prepared.orbitals, prepared.band_block)[0]


# Programs: of what the minimum sees (`setting`), the state, and what does not change (`rest_of`).


@partial(jax.jit, static_argnames="problem")
def potential_of(at: dict, x: dict, rest: Prepared, problem: Problem):
    """Kohn-Sham potential of a state in the form of `h_psi`."""
    prepared = prepared_of(at, rest)
    summed = summed_of(x, at["temperature"], prepared, problem)
    return jax.grad(lambda n: potential_energy(n, prepared)[0])(summed)


@partial(jax.jit, static_argnames="problem")
def residual(at: dict, x: dict, rest: Prepared, problem: Problem):
    """H psi - psi h with h = <psi|H|psi>, and h - eta: both vanish at the minimum."""
    potential, prepared, psi = potential_of(at, x, rest, problem), prepared_of(at, rest), x["psi"]
    hpsi = apply_hamiltonian(psi, potential, prepared.orbitals, prepared.band_block)
    h = overlap(psi, hpsi)
    h = 0.5 * (h + h.conj().swapaxes(-1, -2))
    return hpsi - rotate(h, psi), h - x["eta"]


@partial(jax.jit, static_argnames="problem")
def statistics(at: dict, x: dict, rest: Prepared, problem: Problem) -> dict:
    """Chemical potentials, entropy and magnetization of a state."""
    prepared = prepared_of(at, rest)
    _, f, mu, entropy = filling_of(x, at["temperature"], prepared, problem)
    n = jnp.sum(weights(prepared) * f, axis=(1, 2))
    return {"mu": mu, "entropy": entropy, "magnetization": n[0] - n[-1]}


@partial(jax.jit, static_argnames="problem")
def density_of(at: dict, x: dict, rest: Prepared, problem: Problem):
    """Density (spin, n1, n2, n3) of a state, bohr^-3."""
    prepared = prepared_of(at, rest)
    return density_on_grid(summed_of(x, at["temperature"], prepared, problem), prepared)


@partial(jax.jit, static_argnames="problem")
def energy_and_slopes(at: dict, x: dict, rest: Prepared, problem: Problem) -> tuple[Any, dict]:
    """E of a state, hartree, and its derivatives in `at` at fixed orbitals and occupations."""
    rows = filling_of(x, at["temperature"], prepared_of(at, rest), problem)[0]
    return jax.value_and_grad(lambda a: energies(rows, jnp.ones(rows.shape[:3]), prepared_of(a, rest)).total)(at)


@partial(jax.jit, static_argnames="key")
def slopes_of(inputs: dict, weights: dict, arrays: dict, key: Key) -> dict:
    """The derivatives in `setting` as derivatives in the inputs."""
    return jax.vjp(lambda i: setting(i, arrays, key), inputs)[1](weights)[0]
