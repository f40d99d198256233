"""Epidemic: the law of a step against the master equation, conservation, and the well-mixed limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact import agree
from scipy import sparse
from scipy.sparse.linalg import expm_multiply

from dftopt import macro
from dftopt.errors import InputError
from dftopt.macro import random
from dftopt.macro.sir import EMPTY, INFECTED, RECOVERED, SUSCEPTIBLE

step = jax.jit(jax.vmap(lambda sim, s, key, dt: sim.step(s, key, dt), (None, 0, 0, None)))
patch = jax.jit(jax.vmap(lambda sim, s, key, dt: sim.step_patch(s, key, dt, (2, 2)), (None, 0, 0, None)))
COUNT = 30000


class FullTorus:
    """All 3^9 states of a 3 x 3 torus with a person on every site."""

    def __init__(self, beta, gamma, movement):
        self.power = 3 ** np.arange(9)
        states = (np.arange(3**9)[:, None] // self.power) % 3 + 1
        self.counts = np.stack([(states == k).sum(1) for k in (SUSCEPTIBLE, INFECTED)], -1)
        grid = np.arange(9).reshape(3, 3)
        self.events = []  # (rate of each state, state after it, site that it belongs to)
        for a in range(3):
            for b in range(3):
                i = grid[a, b]
                neighbours = [grid[(a + 1) % 3, b], grid[a - 1, b], grid[a, (b + 1) % 3], grid[a, b - 1]]
                ill = (states[:, neighbours] == INFECTED).sum(1)
                for kind, rate in ((SUSCEPTIBLE, beta / 4 * ill), (INFECTED, gamma)):
                    self.events.append((rate * (states[:, i] == kind), np.arange(3**9) + self.power[i], i))
                for j in neighbours[::2]:
                    swapped = np.arange(3**9) + (states[:, j] - states[:, i]) * (self.power[i] - self.power[j])
                    self.events.append((np.full(3**9, float(movement)), swapped, i))

    def generator(self, sites):
        G = sparse.csr_matrix((3**9, 3**9))
        index = np.arange(3**9)
        for rate, after, site in self.events:
            if site in sites:
                keep = rate > 0
                G += sparse.csr_matrix((rate[keep], (after[keep], index[keep])), G.shape)
                G -= sparse.diags(rate)
        return G.tocsr()

    def number(self, states):
        return (np.asarray(states).reshape(len(states), 9).astype(int) - 1) @ self.power


START = np.array([[1, 1, 2], [1, 2, 1], [3, 1, 1]], np.int8)


@pytest.mark.parametrize("what", ["step", "patch"])
def test_law_of_a_step_is_that_of_the_master_equation(what):
    """A patch owns the exchanges across its right and lower border, so it may change one site beyond it."""
    sim = macro.SIRLattice(3, 3.0, 0.7, 0.5, density=1.0)
    torus = FullTorus(3.0, 0.7, 0.5)
    sites = range(9) if what == "step" else (0, 1, 3, 4)
    p = np.zeros(3**9)
    p[torus.number(START[None])[0]] = 1
    p = expm_multiply(torus.generator(sites) * 0.6, p)
    start = jnp.tile(jnp.asarray(START), (COUNT, 1, 1))
    after = (step if what == "step" else patch)(sim, start, random.split(jax.random.key(0), COUNT), 0.6)
    if what == "patch":
        assert (np.asarray(after)[:, 2, 2] == START[2, 2]).all()
    number = torus.number(after)
    s, i = torus.counts.T
    corner = (np.arange(3**9) // torus.power[2]) % 3  # the site right of the patch
    for value in (s, i, 3 * s + corner, 10 * s + i):
        levels, inverse = np.unique(value, return_inverse=True)
        assert agree(value[number], levels, np.bincount(inverse, weights=p))


def test_people_are_conserved_and_a_lone_walker_diffuses():
    sim = macro.SIRLattice(3, 4.0, 1.0, 2.0, density=1.0)
    start = np.zeros((COUNT, 3, 3), np.int8)
    start[:, 1, 1] = SUSCEPTIBLE
    after = np.asarray(step(sim, jnp.asarray(start), random.split(jax.random.key(1), COUNT), 0.6))
    assert ((after != EMPTY).sum((1, 2)) == 1).all()
    # each axis is a walk on a ring of three with rate 2 either way: P(back) = 1/3 + 2/3 exp(-3 rate t)
    stay = 1 / 3 + 2 / 3 * np.exp(-3 * 2.0 * 0.6)
    move = (1 - stay) / 2
    p = np.outer([move, stay, move], [move, stay, move]).ravel()
    assert agree((after != EMPTY).reshape(COUNT, 9).argmax(1), np.arange(9), p)


def test_fast_movement_is_the_well_mixed_epidemic():
    """Final size against the exact chain of (susceptible, infected): infection at beta s i / (n - 1)."""
    N, n, beta = 24, 36, 3.0
    sim = macro.SIRLattice(6, beta, 1.0, 30.0, density=N / n)
    assert sim.people == N
    start = jax.jit(jax.vmap(lambda k: sim.initial(k, infected=3)))(random.split(jax.random.key(0), 900))
    assert (np.asarray(start == INFECTED).sum((1, 2)) == 3).all() and (
        np.asarray(start != EMPTY).sum((1, 2)) == N
    ).all()
    end = np.asarray(step(sim, start, random.split(jax.random.key(2), 900), 16.0))
    assert (end == INFECTED).mean() < 1e-4 and ((end != EMPTY).sum((1, 2)) == N).all()
    p = np.zeros((N + 1, N + 2))
    p[N - 3, 3] = 1
    final = np.zeros(N + 1)
    for s in range(N, -1, -1):
        for i in range(N - s, -1, -1):
            if i == 0:
                final[s] += p[s, 0]
                continue
            infection = beta * s * i / (n - 1)
            p[s, i - 1] += p[s, i] * i / (infection + i)
            if s:
                p[s - 1, i + 1] += p[s, i] * infection / (infection + i)
    assert agree((end == SUSCEPTIBLE).sum((1, 2)), np.arange(N + 1), final)


def test_rates_and_changes_of_the_events():
    sim = macro.SIRLattice(8, 3.0, 0.7, 0.5, density=0.6)
    state = np.asarray(sim.initial(jax.random.key(3), infected=12)).copy()
    state[state == INFECTED] = np.resize([INFECTED, RECOVERED], (state == INFECTED).sum())
    rates, change = (np.asarray(x) for x in sim.events(jnp.asarray(state)))
    z = np.asarray(sim.observe(jnp.asarray(state)))
    N = (state != EMPTY).sum()
    infection, recovery, exchange = 0.0, 0.0, 0
    for a in range(8):
        for b in range(8):
            around = [state[(a + 1) % 8, b], state[a - 1, b], state[a, (b + 1) % 8], state[a, b - 1]]
            infection += 3.0 / 4 * around.count(INFECTED) * (state[a, b] == SUSCEPTIBLE)
            recovery += 0.7 * (state[a, b] == INFECTED)
            exchange += 2
    np.testing.assert_allclose(rates.sum((0, 1)), [infection, recovery, exchange / 4, exchange / 4])
    b = (rates[..., None] * change).sum((0, 1, 2))
    np.testing.assert_allclose(b, np.array([-infection, infection - recovery]) / N, rtol=1e-12)
    np.testing.assert_allclose(z, [(state == SUSCEPTIBLE).sum() / N, (state == INFECTED).sum() / N])
    np.testing.assert_allclose(sim.mean_field(z), [-1.8 * z[0] * z[1], 1.8 * z[0] * z[1] - 0.7 * z[1]], rtol=1e-12)


def test_mean_field_misses_the_final_size():
    """Defaults, 2 % infected at the start: mean field is more than 10 % too high."""
    sim = macro.SIRLattice(48)
    count = round(0.02 * sim.people)
    start = jax.jit(jax.vmap(lambda k: sim.initial(k, infected=count)))(random.split(jax.random.key(0), 16))
    paths = macro.trajectories(sim, start=start, times=[0.0, 25.0])
    assert paths.z[:, 1, 1].mean() < 0.002
    size = 1 - paths.z[:, 1, 0]
    s, s0 = 0.05, 1 - count / sim.people
    for _ in range(200):
        s = s0 * np.exp(-sim.beta * sim.density * (1 - s))  # final size equation
    assert (1 - s) / (size.mean() + 3 * size.std() / 4) > 1.1


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"L": 2}, "L = 2"),
        ({"beta": -1.0}, "beta = -1.0"),
        ({"movement": float("inf")}, "movement = inf"),
        ({"density": 0.0}, "density = 0.0 must be larger than 0 and at most 1"),
        ({"density": 1.5}, "density = 1.5"),
        ({"L": 3, "observables": ("shared contacts",)}, "needs L >= 4"),
    ],
)
def test_unphysical_parameters_are_refused(arguments, match):
    with pytest.raises(InputError, match=match):
        macro.SIRLattice(**arguments)


@pytest.mark.parametrize("L", [3, 4])
def test_contacts_change_as_each_event_changes_them(L):
    """Every event is done, and the contacts counted again."""
    more = ("shared contacts",) if L > 3 else ()
    sim = macro.SIRLattice(
        L, density=0.8, observables=("contacts", "infected", "second contacts", "third contacts", *more)
    )
    state = np.random.default_rng(0).integers(0, 4, (L, L)).astype(np.int8)
    after, expected = [], []
    rates, change = (np.asarray(x) for x in sim.events(jnp.asarray(state)))
    for a, b, e in np.ndindex(L, L, 4):
        new = state.copy()
        c, d = [(a, b), (a, b), ((a + 1) % L, b), (a, (b + 1) % L)][e]
        if e < 2 and state[a, b] != (SUSCEPTIBLE, INFECTED)[e]:
            assert rates[a, b, e] == 0
            continue
        if e < 2:
            new[a, b] += 1
        new[a, b], new[c, d] = new[c, d], new[a, b]
        after.append(new)
        expected.append(change[a, b, e])
    count = jax.jit(jax.vmap(sim.observe))
    z = np.asarray(count(jnp.asarray(np.stack([state, *after]))))
    np.testing.assert_allclose(z[1:] - z[0], expected, atol=1e-14)
    z = np.asarray(count(jnp.asarray(state[None])))[0]
    moved = (rates[..., 2:, None] * change[..., 2:, :]).sum((0, 1, 2))[0]
    if L > 3:  # movement brings second contacts together and contacts apart
        assert moved == pytest.approx(sim.movement * (2 * z[2] - 6 * z[0]), rel=1e-12)
    full = macro.SIRLattice(L, density=0.8, observables=("susceptible", "contacts"))
    rates, change = (np.asarray(x) for x in full.events(jnp.asarray(state)))
    s_dot = (rates * change[..., 0]).sum()  # the rate of infection is beta / 4 times the contacts
    assert s_dot == pytest.approx(-full.beta / 4 * np.asarray(full.observe(jnp.asarray(state)))[1], rel=1e-12)
    with pytest.raises(InputError, match="mean-field equation is one of susceptible and infected"):
        full.mean_field(z[:2])
