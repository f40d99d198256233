import jax
import numpy as np
import pytest

from dftopt import macro
from dftopt.alloy import Supercell, monte_carlo
from dftopt.alloy.kinetics import rates
from dftopt.alloy.order_parameters import sro
from dftopt.errors import InputError

BARRIERS = {"Nb": 0.5, "Mo": 0.6, "Ta": 0.4}
THIRD = {"Nb": 1 / 3, "Mo": 1 / 3, "Ta": 1 / 3}
SIZE = (3, 3, 3)


@pytest.fixture(scope="module")
def sim(ternary):
    return macro.AlloyOrdering(ternary, SIZE, THIRD, 1200.0, BARRIERS, vacancies=2)


def numbers(ternary):
    """Site of the supercell for each site of a state."""
    parent = ternary.parent
    unit = Supercell(parent, parent.conventional)
    grid = np.stack(np.meshgrid(*map(np.arange, SIZE), indexing="ij"), -1).reshape(-1, 3)
    sites = np.concatenate([np.tile(unit.sites, (len(grid), 1))])
    sites[:, 1:] += np.repeat(grid @ parent.conventional, len(unit), 0)
    return Supercell.of(parent, SIZE).index(sites)


def test_coordinates_and_rates_are_those_of_the_alloy(ternary, sim):
    state = sim.initial(jax.random.key(3))
    codes = np.empty(54, np.int8)
    codes[numbers(ternary)] = np.asarray(state).reshape(-1)
    alpha = sro(Supercell.of(ternary.parent, SIZE), codes, 1, 3)[0, 0]
    assert np.asarray(sim.observe(state)) == pytest.approx(alpha[[0, 0, 1], [1, 2, 2]], abs=1e-12)
    _, _, expected, _ = rates(ternary, SIZE, codes, 1200.0, BARRIERS, prefactor=1.0)
    found, changes = map(np.asarray, jax.jit(sim.events)(state))
    assert np.sort(found[found > 0]) == pytest.approx(np.sort(expected[expected > 0]), rel=1e-10)
    # drift of the coordinates by finite jumps, one by one
    flat, shape = np.asarray(state).reshape(-1), state.shape
    near = np.array(sim.hops)
    drift = np.zeros(3)
    for v in np.flatnonzero(flat == 3):
        x = np.array(np.unravel_index(v, shape))
        for h in near[x[3]]:
            target = tuple((x[:3] + h[:3]) % SIZE) + (h[3],)
            j = np.ravel_multi_index(target, shape)
            if flat[j] != 3:
                after = flat.copy()
                after[v], after[j] = flat[j], 3
                k = list(map(tuple, near[x[3]])).index(tuple(h))
                rate = found[tuple(x[:3])].reshape(2, -1)[x[3], k]
                step = np.asarray(sim.observe(after.reshape(shape))) - np.asarray(sim.observe(state))
                assert changes[tuple(x[:3])].reshape(2, -1, 3)[x[3], k] == pytest.approx(step, abs=1e-12)
                drift += rate * step
    assert np.einsum("xyze,xyzed->d", found, changes) == pytest.approx(drift, abs=1e-14)


def test_steps_keep_composition_and_reach_equilibrium(ternary, sim):
    keys = jax.random.split(jax.random.key(0), 24)
    start = jax.vmap(sim.initial)(keys)
    run = jax.jit(jax.vmap(lambda s, k, t: sim.step(s, k, t), (0, 0, None)))
    state, values = run(start, keys, 200 * sim.times[1]), []
    for i in range(8):
        state = run(state, jax.random.split(jax.random.key(i + 1), 24), 20 * sim.times[1])
        values.append(np.asarray(jax.vmap(sim.observe)(state)))
    counts = np.stack([np.bincount(s.reshape(-1), minlength=4) for s in np.asarray(state)])
    assert np.all(counts == np.array(sim.counts))
    values = np.mean(values, 0)
    exact = monte_carlo(ternary, SIZE, THIRD, 1200.0, vacancies=2, replicas=8, samples=400).sro[
        :, 0, [0, 0, 1], [1, 2, 2]
    ]
    error = values.std(0, ddof=1) / np.sqrt(24)
    assert np.all(abs(values.mean(0) - exact.mean(0)) < 4 * error + 0.01) and error.max() < 0.05


def test_patches_move_their_own_vacancies_only(sim):
    state = sim.initial(jax.random.key(5))
    after = np.asarray(sim.step_patch(state, jax.random.key(6), 100 * sim.dt, (1, 1, 1)))
    inside = (np.asarray(state)[:1, :1, :1] == 3).any()
    assert inside or np.array_equal(after, state)
    every = np.asarray(sim.step_where(state, jax.random.key(6), 100 * sim.dt, np.zeros(SIZE, bool)))
    assert np.array_equal(every, state)


@pytest.mark.slow
def test_partial_evolution_has_the_drift_of_the_whole(ternary):
    sim = macro.AlloyOrdering(ternary, (4, 4, 4), THIRD, 1200.0, BARRIERS, vacancies=4)
    data = macro.sample(sim, trajectories=8, patch=2, seed=0, times=[0.0], check=False, patches=8)
    whole = [np.einsum("xyze,xyzed->d", *map(np.asarray, sim.events(s))) for s in np.asarray(
        macro.trajectories(sim, times=[0.0], count=8, seed=0, snapshots=True).states
    )[:, 0]]  # fmt: skip
    mean = np.stack([data.b_hat[data.snapshot == i].mean(0) for i in range(8)])
    assert mean == pytest.approx(np.array(whole), rel=1e-9, abs=1e-12)  # eight patches tile the lattice


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"temperature": -1.0}, "larger than 0"),
        ({"size": (2, 2, 2)}, "smaller than the interaction"),
        ({"barriers": {"Nb": 0.5}}, "barriers lack"),
        ({"composition": {"Nb": 0.5, "Mo": 0.5}}, "every species"),
    ],
)
def test_bad_input(ternary, keywords, words):
    given = {"size": SIZE, "composition": THIRD, "temperature": 1200.0, "barriers": BARRIERS, **keywords}
    with pytest.raises(InputError, match=words):
        macro.AlloyOrdering(ternary, **given)
