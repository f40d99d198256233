"""Velocities and effective masses against differences of exact levels at a fixed set of plane waves."""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk

import dftopt
from dftopt.properties.linear_response.band_motion import _h, band_velocities, inverse_masses, states

K = np.array([0.11, 0.05, 0.23])
BANDS = 5


@lru_cache
def silicon():
    model = dftopt.Model(bulk("Si", a=5.43), xc="LDA")
    return dftopt.minimize(model, dftopt.PlaneWaves(model, ecut=3.0, kpts=(2, 2, 2)), tol=1e-10, progress=False)


@lru_cache
def setting():
    return states(silicon(), [K], BANDS)[2]


def levels(shift):
    """By dense diagonalization at K moved by a Cartesian vector, with the plane waves of K."""
    inputs, arrays, potential, key = setting()
    n = int(arrays["mask"].sum())
    identity = jnp.eye(arrays["mask"].shape[1], dtype=complex)[None, None, :n]
    h = np.asarray(_h(identity, jnp.asarray(shift), inputs, arrays, potential, key))[0, 0, :, :n].T
    return np.linalg.eigvalsh(h)[:BANDS]


def test_velocities_are_slopes_of_the_levels():
    v, h = band_velocities(silicon(), [K], BANDS)[0, 0], 2e-3
    for axis, unit in enumerate(np.eye(3)):
        e = [levels(m * h * unit) for m in (1, -1, 2, -2)]
        numeric = (8 * (e[0] - e[1]) - (e[2] - e[3])) / (12 * h)
        assert np.abs(v[:, axis] - numeric).max() < 1e-6 * np.abs(v).max()


def test_inverse_masses_are_curvatures_of_the_levels():
    m, h, band = inverse_masses(silicon(), K, 2), 1e-3, 2
    assert np.abs(m - m.T).max() < 1e-6 * np.abs(m).max()
    direction = np.array([0.6, -0.3, 0.7])
    e = [levels(n * h * direction)[band] for n in (-2, -1, 0, 1, 2)]
    numeric = np.dot([-1, 16, -30, 16, -1], e) / (12 * h**2)
    assert abs(direction @ m @ direction - numeric) < 1e-5 * abs(numeric)


def test_degenerate_bands_have_no_mass():
    with pytest.raises(dftopt.InputError) as error:
        inverse_masses(silicon(), [0.0, 0.0, 0.0], 2)
    assert "is degenerate" in " ".join(str(error.value).split())
    assert np.abs(band_velocities(silicon(), [[0.0, 0.0, 0.0]], 4)).max() < 1e-5
