"""Polymer: forces, equilibrium moments without flow, Rouse relaxation, and stretching by the flow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from dftopt import macro
from dftopt.errors import InputError
from dftopt.macro import random

step = jax.jit(jax.vmap(lambda sim, s, key, dt: sim.step(s, key, dt), (None, 0, 0, None)))
initial = jax.jit(jax.vmap(lambda sim, key: sim.initial(key), (None, 0)), static_argnums=())


def test_force_is_the_derivative_of_the_energy_plus_the_drag():
    force, energy = jax.jit(lambda sim, x: sim.force(x)), jax.jit(lambda sim, x: sim.energy(x))
    gradient = jax.jit(jax.grad(lambda x, sim: sim.energy(x)))
    sim, free = macro.Polymer(8, rate=0.3), macro.Polymer(8, rate=0.3, attraction=0.0, repulsion=0.0)
    x = initial(sim, random.split(jax.random.key(0), 1))[0]
    drag = 0.3 * np.asarray(x) * [1, -1, 0]
    np.testing.assert_allclose(force(sim, x), drag - gradient(x, sim), atol=2e-6)  # pair forces: single precision
    np.testing.assert_allclose(force(free, x), drag - gradient(x, free), atol=1e-12)
    e, h = np.zeros(x.shape), 1e-5
    e[3, 1] = h
    slope = (energy(sim, x + e) - energy(sim, x - e)) / (2 * h)
    np.testing.assert_allclose(force(sim, x)[3, 1] - drag[3, 1], -slope, rtol=1e-5)
    assert abs((force(sim, x) - drag).sum(0)).max() < 1e-5


def ideal(rate=0.0, **options):
    return macro.Polymer(6, rate=rate, attraction=0.0, repulsion=0.0, **options)


def test_springs_have_their_exact_moments_without_flow():
    """FENE in three dimensions: <r^2> = 3 Q^2 / (5 + H Q^2); bonds are independent, so <R^2> = (N - 1) <r^2>."""
    sim = ideal()
    exact = 3 * sim.bond**2 / (5 + sim.spring * sim.bond**2)
    weight = lambda r: r**2 * (1 - r**2 / sim.bond**2) ** (sim.spring * sim.bond**2 / 2)
    integral = integrate.quad(lambda r: r**2 * weight(r), 0, sim.bond)[0] / integrate.quad(weight, 0, sim.bond)[0]
    assert abs(exact - integral) < 1e-10
    count = 1500
    x = initial(sim, random.split(jax.random.key(0), count))
    start = np.square(np.diff(x, axis=1)).sum(-1)
    assert abs(start.mean() - exact) < 4 * start.std() / np.sqrt(start.size)
    x = np.asarray(step(sim, 0.5 * x, random.split(jax.random.key(1), count), 6.0))
    bonds = np.square(np.diff(x, axis=1)).sum(-1)
    assert abs(bonds.mean() - exact) < 4 * bonds.std() / np.sqrt(bonds.size) + 1e-3
    ends = np.square(x[:, -1] - x[:, 0]).sum(-1)
    assert abs(ends.mean() - 5 * exact) < 4 * ends.std() / np.sqrt(count)
    np.testing.assert_allclose(x.mean(1), 0, atol=1e-12)


def test_modes_relax_as_rouse_says():
    """Nearly harmonic springs: <X_p(t) X_p(0)> decays at 4 H sin^2(p pi / 2N), with variance 1 / that rate."""
    sim = ideal(spring=1.0, bond=30.0, micro_dt=0.02)
    count, N = 3000, 6
    x0 = initial(sim, random.split(jax.random.key(0), count))
    x1 = step(sim, x0, random.split(jax.random.key(1), count), 1.5)
    for p in (1, 2, 5):
        mode = np.cos(p * np.pi * (np.arange(N) + 0.5) / N) * np.sqrt(2 / N)
        a, b = (np.einsum("k,ckd->cd", mode, np.asarray(x)) for x in (x0, x1))
        rate = 4 * np.sin(p * np.pi / (2 * N)) ** 2
        tolerance = 4 / np.sqrt(3 * count) + 0.01  # 1 / (H Q^2) of anharmonicity
        assert abs((b * b).mean() * rate - 1) < tolerance * 1.5
        assert abs((a * b).mean() * rate - np.exp(-1.5 * rate)) < tolerance


def test_a_weak_flow_stretches_a_harmonic_chain_as_linear_theory_says():
    """Mode p along the flow has the variance 1 / (rate_p - strain rate), across it 1 / (rate_p + strain rate)."""
    sim = ideal(rate=0.1, spring=1.0, bond=100.0, micro_dt=0.02)
    count, N = 1200, 6
    x = initial(sim, random.split(jax.random.key(0), count))
    x = np.asarray(step(sim, x, random.split(jax.random.key(1), count), 20.0))
    for p in (1, 2):
        mode = np.cos(p * np.pi * (np.arange(N) + 0.5) / N) * np.sqrt(2 / N)
        variance = (np.einsum("k,ckd->cd", mode, x) ** 2).mean(0)
        rate = 4 * np.sin(p * np.pi / (2 * N)) ** 2 + np.array([-0.1, 0.1, 0.0])
        assert (abs(variance * rate - 1) < 4 * np.sqrt(2 / count) + 0.01).all()


def test_defaults_hold_a_folded_and_a_stretched_state():
    """Both survive 20 time units from most starts (their lifetimes are measured in benchmarks/macro/polymer.py)."""
    sim = macro.Polymer()
    folded = initial(macro.Polymer(), random.split(jax.random.key(0), 48)) * 0.6
    straight = jnp.zeros((48, 16, 3)).at[:, :, 0].set(1.3 * (jnp.arange(16) - 7.5))
    x = step(sim, jnp.concatenate([folded, straight]), random.split(jax.random.key(1), 96), 20.0)
    extension = np.ptp(np.asarray(x)[:, :, 0], axis=1)
    assert (extension[:48] < 8).mean() > 0.7 and (extension[48:] > 8).mean() > 0.9


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"beads": 1}, "beads = 1"),
        ({"rate": -0.1}, "rate = -0.1"),
        ({"micro_dt": 0.1}, "micro_dt = 0.1 must be larger than 0 and at most 0.02|micro_dt = 0.1"),
        ({"bond": 0.0}, "bond = 0.0"),
    ],
)
def test_unphysical_parameters_are_refused(arguments, match):
    with pytest.raises(InputError, match=match):
        macro.Polymer(**arguments)
