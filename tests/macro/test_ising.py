"""Ising model: every dynamics against the exact master equation of a 4 x 4 torus, equilibrium against exact solutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import TorusIsing, agree, onsager, torus_free_energy
from scipy.sparse.linalg import expm_multiply

from dftopt import macro
from dftopt.errors import InputError
from dftopt.macro import checkerboard, random

T, FIELD, DT = 2.0, 0.3, 0.8
COUNT = 40000
step = jax.jit(jax.vmap(lambda sim, s, key, dt: sim.step(s, key, dt), (None, 0, 0, None)))
sweeps = jax.jit(jax.vmap(checkerboard.sweeps, (0, 0, None, 0, None)))
START = np.ones((4, 4), np.int8)
START[1, 1:] = START[3, 0] = -1


@pytest.fixture(scope="module")
def torus():
    return TorusIsing(4, T, FIELD)


@pytest.fixture(scope="module")
def after(torus):
    """Exact probabilities of all states DT after START."""
    start = np.zeros(len(torus.states))
    start[torus.index(START[None])[0]] = 1
    return start, expm_multiply(torus.generator(range(16)) * DT, start)


def run(method, seed, **options):
    sim = macro.Ising(4, T, FIELD, method=method, **options)
    start = jnp.tile(jnp.asarray(START), (COUNT, 1, 1))
    return np.asarray(step(sim, start, random.split(jax.random.key(seed), COUNT), DT))


def compare(torus, spins, probabilities):
    """Chi-square tests of magnetization, energy and of a single site against exact probabilities."""
    index = torus.index(spins)
    for value in (torus.m, np.round(torus.energy, 6), torus.spins[:, 2, 1], torus.spins[:, 0, 0] + 2 * torus.m):
        levels, inverse = np.unique(value, return_inverse=True)
        assert agree(value[index], levels, np.bincount(inverse, weights=probabilities))


@pytest.mark.parametrize("method", ["clocks", "rejection-free"])
def test_law_of_a_step_is_that_of_the_master_equation(torus, after, method):
    compare(torus, run(method, 1), after[1])


def strang(torus, p, h, count):
    even = [i for i in range(16) if (i // 4 + i % 4) % 2 == 0]
    A, B = torus.generator(even) * h, torus.generator(sorted(set(range(16)) - set(even))) * h
    for _ in range(count):
        p = expm_multiply(A / 2, expm_multiply(B, expm_multiply(A / 2, p)))
    return p


def test_checkerboard_is_the_splitting_that_it_claims_to_be(torus, after):
    compare(torus, run("checkerboard", 2, splitting=0.4), strang(torus, after[0], 0.4, 2))


def test_checkerboard_errs_in_second_order_and_keeps_the_equilibrium(torus, after):
    errors = [abs(strang(torus, after[0], DT / k, k) - after[1]).sum() for k in (2, 4, 8)]
    assert 3.5 < errors[0] / errors[1] < 4.5 and 3.5 < errors[1] / errors[2] < 4.5
    np.testing.assert_allclose(strang(torus, torus.gibbs, 0.7, 1), torus.gibbs, atol=1e-13)


def test_detailed_balance_of_the_rates(torus):
    sim = macro.Ising(4, T, FIELD)
    rates = np.asarray(jax.jit(jax.vmap(lambda s: sim.events(s)[0]))(jnp.asarray(torus.spins))).reshape(-1, 16)
    np.testing.assert_allclose(rates, torus.rates, rtol=1e-12)
    for i in range(16):
        flow = torus.gibbs * rates[:, i]
        np.testing.assert_allclose(flow, flow[torus.states ^ (1 << i)], rtol=1e-9)


def test_events_change_the_observables_as_flips_do():
    sim = macro.Ising(6, 2.2, 0.4, observables=("energy", "magnetization"))
    state = sim.initial(jax.random.key(0), 0.2)
    _, change = sim.events(state)
    for a, b in [(0, 0), (5, 5), (2, 3)]:
        flipped = state.at[a, b].multiply(-1)
        np.testing.assert_allclose(sim.observe(flipped) - sim.observe(state), change[a, b, 0], atol=1e-14)


def test_patch_beside_frozen_spins(torus, after):
    sim = macro.Ising(4, T, FIELD)
    start = jnp.tile(jnp.asarray(START), (COUNT, 1, 1))
    keys = random.split(jax.random.key(3), COUNT)
    inside = [0, 1, 4, 5]
    exact = expm_multiply(torus.generator(inside) * DT, after[0])
    compare(torus, jax.jit(jax.vmap(lambda s, k: sim.step_patch(s, k, DT, (2, 2))))(start, keys), exact)
    mask = np.zeros((4, 4), bool)
    mask[:2, :2] = True
    compare(torus, jax.jit(jax.vmap(lambda s, k: sim.step_where(s, k, DT, mask)))(start, keys), exact)


# ---- equilibrium ----
# exact free energies per site on a 6 x 6 torus (transfer matrix)
FREE = {2.0: -2.090118, 2.269185: -2.150150, 3.2: -2.564227, 4.0: -3.037553}


def test_free_energies_of_the_6x6_torus():
    """beta f = -ln 2 + the integral of the sampled energy over beta, by Gauss-Legendre quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(14)
    temperatures = np.array(sorted(FREE))
    beta = 1 / temperatures
    nodes, weights = (nodes + 1) / 2 * beta[:, None], weights / 2 * beta[:, None]
    exact_energy = np.vectorize(lambda T: torus_free_energy(6, T)[1])(1 / nodes)
    free = np.array([torus_free_energy(6, T)[0] for T in temperatures])
    np.testing.assert_allclose(free, [FREE[T] for T in temperatures], atol=6e-7)
    np.testing.assert_allclose((-np.log(2) + (weights * exact_energy).sum(1)) / beta, free, atol=1e-6)

    copies = 128
    T = jnp.asarray(np.repeat(1 / nodes.ravel(), copies))
    state, energies = jnp.ones((T.size, 6, 6), jnp.int8), []
    observe = jax.jit(jax.vmap(macro.Ising(6, 1.0, observables=("energy",)).observe))
    for i in range(26):
        state = sweeps(state, random.split(jax.random.key(i), T.size), 30, T, 0.0)
        energies.append(np.asarray(observe(state))[:, 0])
    mean = np.mean(energies[1:], 0).reshape(*nodes.shape, copies)
    error = np.sqrt(((weights[..., None] * mean).sum(1) / beta[:, None]).var(-1, ddof=1) / copies)
    sampled = (-np.log(2) + (weights * mean.mean(-1)).sum(1)) / beta
    assert (abs(sampled - free) < 3 * error).all() and (error < 2e-3).all()


@pytest.mark.parametrize("T", [2.0, 3.2])
def test_onsager_energy_and_spontaneous_magnetization(T):
    sim = macro.Ising(64, T, observables=("energy", "magnetization"))
    copies = 32
    state, out = jnp.ones((copies, 64, 64), jnp.int8), []
    for i in range(11):
        state = sweeps(state, random.split(jax.random.key(i), copies), 100, jnp.full(copies, T), 0.0)
        out.append(np.asarray(jax.jit(jax.vmap(sim.observe))(state)))
    out = np.array(out[1:]).mean(0)
    error = out.std(0, ddof=1) / np.sqrt(copies)
    exact = np.array(onsager(T))
    assert (abs(out.mean(0) - exact) < 3 * error).all() and (error < [2e-3, 1e-2]).all()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"temperature": 0.0}, "temperature = 0.0 must be larger than 0"),
        ({"n": 50}, "n = 50 is no square"),
        ({"L": 8, "n": 49}, "contradict"),
        ({"L": 2}, "L = 2"),
        ({"L": 5, "method": "checkerboard"}, "L = 5 is odd"),
        ({"method": "wolff"}, "method = 'wolff' is unknown; valid: clocks"),
        ({"observables": ("m",)}, "observables = 'm' is unknown"),
        ({"splitting": 0.0}, "splitting = 0.0"),
    ],
)
def test_unphysical_parameters_are_refused(arguments, match):
    with pytest.raises(InputError, match=match):
        macro.Ising(**arguments)


def test_size_by_edge_or_by_number_of_sites():
    assert macro.Ising(n=4096) == macro.Ising(64) and macro.Ising(8).sites == (8, 8) and macro.Ising().n == 4096
