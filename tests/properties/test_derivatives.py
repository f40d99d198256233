"""Every derivative of the free energy at its minimum against central differences of minima."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import ECUT, low_symmetry_silicon, rattled_aluminium, silicon_result

import dftopt
from dftopt.energy.free_energy import energies
from dftopt.energy.prepared import key_of, prepare_arrays, static_arrays
from dftopt.properties.derivatives import _orbitals, derivative


@lru_cache
def silicon_without_symmetry():
    """Not even the inversion that any two equal atoms have: one atom moves without the other."""
    model = low_symmetry_silicon()[0]
    return model, dftopt.PlaneWaves(model, ecut=ECUT, kpts=(2, 1, 1), symmetry=False)


SYSTEMS = {"silicon": (silicon_without_symmetry, {}), "aluminium": (rattled_aluminium, {"temperature": 0.01})}
STEP = {"positions": 2e-3, "strain": 5e-4, "rloc": 5e-4, "r": 5e-4, "cloc": 3e-3, "h": 3e-3, "xc": 3e-4}
NAMES = ("positions", "strain", "pseudopotentials", "xc")


@lru_cache
def converged(name):
    system, options = SYSTEMS[name]
    # derivatives are first order in the distance to the minimum, its energy second
    return dftopt.minimize(*system(), tol=1e-16, maxiter=1000, progress=False, **options)


@lru_cache
def gradient(name):
    return jax.tree.map(np.asarray, derivative(converged(name), NAMES))


def minimum(name, inputs):
    system, options = SYSTEMS[name]
    r = dftopt.minimize(
        *system(), tol=1e-15, maxiter=500, inputs=inputs, start=converged(name), progress=False, **options
    )
    assert r.converged, r.verdict
    return r.energies.free


def inputs_of(name):
    return jax.tree.map(np.array, converged(name).model.inputs())


def moved(name, where, entries, t):
    """Inputs with t added to `entries` of the leaf that the keys `where` lead to."""

    def change(path, leaf):
        keys = tuple(getattr(p, "key", getattr(p, "idx", None)) for p in path)
        if keys == where:
            leaf = leaf.copy()
            for e in entries:
                leaf[e] += t
        return leaf

    return jax.tree_util.tree_map_with_path(change, inputs_of(name))


def numeric(name, where, entries):
    h = STEP[where[2] if where[0] == "pseudopotentials" else where[0]]
    a = [minimum(name, moved(name, where, entries, m * h)) for m in (1, -1, 2, -2)]
    return (8 * (a[0] - a[1]) - (a[2] - a[3])) / (12 * h)


def leaf_at(tree, where):
    for key in where:
        tree = tree[key]
    return tree


def compare(name, where, entries, scale):
    leaf = leaf_at(gradient(name), where)
    exact, difference = sum(float(leaf[e]) for e in entries), numeric(name, where, entries)
    print(f"{name} {where} {entries}: {exact:.10f} {difference:.10f} {(exact - difference) / scale:.1e}")  # pytest -s
    assert abs(exact - difference) <= 1e-6 * scale


def potential_entries(name):
    """(keys, entries changed together) of every GTH parameter but the charge, which fixes the electrons."""
    out = []
    element = "Si" if name == "silicon" else "Al"
    p = inputs_of(name)["pseudopotentials"][element]
    path = ("pseudopotentials", element)
    out.append(((*path, "rloc"), [()]))
    out += [((*path, "cloc"), [(i,)]) for i in range(len(p["cloc"]))]
    out += [((*path, "r", l), [()]) for l in range(len(p["r"]))]
    for l, h in enumerate(p["h"]):
        upper = [(i, j) for i in range(len(h)) for j in range(i, len(h))]
        out += [((*path, "h", l), sorted({(i, j), (j, i)})) for i, j in upper]  # h is symmetric
    return out


def xc_entries(name):
    return [(("xc", term, p), [()]) for term, ps in sorted(inputs_of(name)["xc"].items()) for p in sorted(ps)]


STRAINS = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("everything", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "all"])
def test_positions(name, everything):
    natoms = len(converged(name).model.atoms)
    scale = np.abs(gradient(name)["positions"]).max()
    chosen = np.ndindex(natoms, 3) if everything else [(0, 0), (natoms - 1, 2)]
    for entry in chosen:
        compare(name, ("positions",), [tuple(entry)], scale)


@pytest.mark.parametrize("name", SYSTEMS)
def test_all_six_strains(name):
    scale = np.abs(gradient(name)["strain"]).max()
    for i, j in STRAINS:
        compare(name, ("strain",), sorted({(i, j), (j, i)}), scale)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("everything", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "all"])
def test_pseudopotential_parameters(name, everything):
    entries = potential_entries(name)
    for where, together in entries if everything else [entries[0], entries[2], *entries[5:7], entries[8]]:
        compare(name, where, together, abs(sum(leaf_at(gradient(name), where)[e] for e in together)))


def test_functional_parameters():
    for where, together in xc_entries("silicon"):
        compare("silicon", where, together, abs(leaf_at(gradient("silicon"), where)))


def test_forces_and_stress_are_these_derivatives():
    r, g = converged("aluminium"), gradient("aluminium")
    f = r.forces()
    np.testing.assert_allclose(f, -(g["positions"] - g["positions"].mean(axis=0)), atol=1e-12)
    assert np.abs(f.sum(axis=0)).max() < 1e-14
    s = r.stress()
    np.testing.assert_array_equal(s, s.T)
    np.testing.assert_allclose(s, g["strain"] / r.model.structure.volume, atol=1e-13)


def test_a_rotation_is_no_strain():
    # the antisymmetric part of dA/d(strain) turns the crystal together with its plane waves
    for name in SYSTEMS:
        s = gradient(name)["strain"]
        np.testing.assert_allclose(s, s.T, atol=1e-12 * np.abs(s).max())


def test_forward_and_reverse_mode_agree():
    r = converged("aluminium")
    psi, f, _ = _orbitals(r)
    inputs = jax.tree.map(jnp.asarray, r.model.inputs())
    rng = np.random.default_rng(1)
    along = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), inputs)
    key = key_of(r.model, r.basis)
    value = lambda x, arrays: energies(psi, f, prepare_arrays(x, arrays, key)).total
    forward = jax.jit(lambda x, t, arrays: jax.jvp(lambda y: value(y, arrays), (x,), (t,))[1])
    product = sum(jax.tree.leaves(jax.tree.map(lambda a, b: float(np.sum(a * b)), gradient("aluminium"), along)))
    assert float(forward(inputs, along, static_arrays(r.basis))) == pytest.approx(product, rel=1e-12)


def test_a_symmetric_crystal_has_no_forces_and_isotropic_stress():
    r = silicon_result()
    assert np.abs(r.forces()).max() < 1e-14
    s = r.stress()
    np.testing.assert_allclose(s, s[0, 0] * np.eye(3), atol=1e-14)
    assert abs(s[0, 0]) > 1e-6


def test_density_counts_the_electrons():
    r = converged("aluminium")
    rho = r.density()
    assert rho.shape == (1, *r.basis.fft)
    assert rho.mean() * r.model.structure.volume == pytest.approx(12, rel=1e-12)
