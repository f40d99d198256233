"""Deformation potentials against differences of levels in self-consistent potentials of strained crystals."""

import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk
from test_differentiable import insulator, metal
from test_response import of, words

import dftopt
from dftopt.properties.implicit.stationary import potential_of
from dftopt.properties.linear_response.band_motion import states
from dftopt.properties.linear_response.second import voigt_strains

K = [[0.0, 0.0, 0.0], [0.1, 0.2, 0.3]]
ETA = np.random.default_rng(2).normal(size=6)
BANDS = 5


def levels(r, strain, follow, t):
    """At K, of the crystal strained by t; and its Fermi level."""
    ground = r._ground
    inputs = {**r._inputs, "strain": jnp.asarray(t * strain), "positions": r._inputs["positions"] + t * follow}
    result, x = ground.find(inputs)
    potential = potential_of(ground.at(inputs), x, ground.rest, problem=ground.problem)
    return states(result, K, BANDS, potential)[0][:, :, :BANDS]


def slopes(r, relaxed: bool, h: float):
    strain = np.einsum("a,aij->ij", ETA, voigt_strains())
    follow = r.internal_displacements() @ ETA if relaxed else np.zeros_like(r._inputs["positions"])
    e = [levels(r, strain, follow, m * h) for m in (1, -1, 2, -2)]
    return (8 * (e[0] - e[1]) - (e[2] - e[3])) / (12 * h)


@pytest.mark.parametrize(
    ("system", "relaxed", "h"),
    [(insulator, True, 3e-4), pytest.param(metal, False, 7e-5, marks=pytest.mark.slow)],  # close levels bend each other
)
def test_deformation_potentials_are_slopes_of_levels(system, relaxed, h):
    r = of(system)
    found = r.deformation_potentials(K, BANDS, relaxed=relaxed)
    assert [(d.kpoint, d.bands) for d in found] == [(tuple(k), (b, b + 1)) for k in K for b in range(BANDS)]
    exact = np.array([d.shifts(ETA)[0] for d in found]).reshape(2, BANDS)
    numeric = slopes(r, relaxed, h)[0]
    assert np.abs(exact - numeric).max() < 1e-6 * np.abs(numeric).max()
    assert found[0].volume == pytest.approx(found[0].mean[:3].sum() / 3)


@pytest.mark.slow
def test_levels_of_a_metal_are_counted_from_its_fermi_level():
    f, r = metal(), of(metal)
    strain = np.einsum("a,aij->ij", ETA, voigt_strains())
    at = lambda t: f({**f.parameters, "strain": jnp.asarray(t * strain)})["fermi_level"]
    h = 3e-4
    numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    own, absolute = (r.deformation_potentials(K[:1], 1, zero=zero)[0] for zero in ("fermi", "potential"))
    assert (absolute.mean - own.mean) @ ETA == pytest.approx(float(numeric), rel=1e-6)
    assert absolute.energy - own.energy == pytest.approx(r.result.fermi_level, abs=1e-6)


@pytest.mark.slow
def test_a_degenerate_level_splits_as_its_matrix_says():
    model = dftopt.Model(bulk("Si", a=5.43), xc="LDA")
    result = dftopt.minimize(model, dftopt.PlaneWaves(model, ecut=3.0, kpts=(2, 2, 2)), tol=1e-10, progress=False)
    r = dftopt.response(result)
    top = r.deformation_potentials(K[:1], 4)[-1]
    assert top.bands == (1, 4)
    strain, follow = voigt_strains()[3] + voigt_strains()[0], r.internal_displacements() @ [1, 0, 0, 1, 0, 0]
    e = [levels(r, strain, follow, m * 1e-3)[0, 0, 1:4] for m in (0, 1, 2, 3)]
    numeric = (-11 * e[0] + 18 * e[1] - 9 * e[2] + 2 * e[3]) / 6e-3
    assert np.abs(top.shifts([1, 0, 0, 1, 0, 0]) - numeric).max() < 1e-4 * np.abs(numeric).max()
    assert np.ptp(top.mean[:3]) < 1e-6 and np.abs(top.mean[3:]).max() < 1e-6  # the mean of a cubic level is cubic


def test_zeros_of_energy_that_do_not_exist_are_refused():
    for zero, what in (("vacuum", "must be 'potential' or 'fermi'"), ("fermi", "anywhere in the gap")):
        with pytest.raises(dftopt.InputError) as error:
            of(insulator).deformation_potentials(zero=zero)
        assert what in words(error)
