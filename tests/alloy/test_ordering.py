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
    _, _, expected, _ = rates(ternary, SIZE, codes, 1200.0, BARRIERS, prefactor=1 / float(sim.rate))
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
    start = jax.vmap(sim.initial)(jax.random.split(jax.random.key(0), 24))
    state, values = sim.host.step(np.asarray(start), [0], 15.0), []
    for i in range(40):
        state = sim.host.step(state, [1, i], 1.5)
        values.append(sim.host.observe(state))
    counts = np.stack([np.bincount(s.reshape(-1), minlength=4) for s in np.asarray(state)])
    assert np.all(counts == np.array(sim.counts))
    values = np.mean(values, 0)
    exact = monte_carlo(ternary, SIZE, THIRD, 1200.0, vacancies=2, replicas=8, samples=400).sro[
        :, 0, [0, 0, 1], [1, 2, 2]
    ]
    error = values.std(0, ddof=1) / np.sqrt(24)
    assert np.all(abs(values.mean(0) - exact.mean(0)) < 4 * error + 0.003) and error.max() < 0.01


def test_patches_move_their_own_vacancies_and_seams_keep_theirs(sim):
    state = np.asarray(sim.initial(jax.random.key(5)))
    cell = np.argwhere(state == 3)[0, :3]
    state = np.roll(state, tuple(-cell), (0, 1, 2))
    after = np.asarray(sim.step_patch(state, jax.random.key(6), 5.0, (1, 1, 1)))
    others = np.argwhere(state == 3)[1:]
    assert (after == 3).sum() == 2 and not np.array_equal(after, state)
    assert all(after[tuple(x)] == 3 for x in others if tuple(x[:3]) != (0, 0, 0))
    assert np.array_equal(sim.step_where(state, jax.random.key(6), 5.0, np.zeros(SIZE, bool)), state)
    band = np.zeros(SIZE, bool)
    band[:2] = True
    for walked in (
        np.asarray(sim.step_where(state, jax.random.key(7), 5.0, band)),
        sim.host.step_where(state[None], [7], 5.0, band)[0],
    ):
        assert np.array_equal(walked[2], state[2]) and not np.array_equal(walked[:2], state[:2])


def test_both_compilers_walk_alike(sim):
    """Means of the parameters after a quench, in JAX and in numba; and patches of both."""
    keys = jax.random.split(jax.random.key(1), 100)
    start = jax.vmap(sim.initial)(keys)
    ours = np.asarray(jax.vmap(sim.observe)(jax.jit(jax.vmap(lambda s, k: sim.step(s, k, 1.0)))(start, keys)))
    theirs = sim.host.observe(sim.host.step(np.asarray(start), [2], 1.0))
    assert sim.host.observe(np.asarray(start)) == pytest.approx(np.asarray(jax.vmap(sim.observe)(start)), abs=1e-12)
    error = np.sqrt((ours.var(0) + theirs.var(0)) / 100)
    assert np.all(abs(ours.mean(0) - theirs.mean(0)) < 4 * error)
    after, z = sim.host.step_patches(np.asarray(start[0]), np.array([[0, 0, 0], [1, 1, 1]]), [3], 5.0, (2, 2, 2), 3)
    assert after.shape == (2, 3, *start.shape[1:]) and z.shape == (2, 3, 3)
    assert z.reshape(6, 3) == pytest.approx(sim.host.observe(after.reshape(6, *start.shape[1:])), abs=1e-12)


def test_more_shells_and_all_pairs(ternary):
    sim = macro.AlloyOrdering(ternary, (4, 4, 4), THIRD, 1200.0, BARRIERS, vacancies=1, shells=3)
    state = np.asarray(sim.initial(jax.random.key(0)))
    assert sim.names[::3] == ("alpha Nb-Mo", "alpha2 Nb-Mo", "alpha3 Nb-Mo")
    z = np.asarray(sim.observe(state))
    assert sim.host.observe(state[None])[0] == pytest.approx(z, abs=1e-12)
    flat = state.reshape(-1)
    first = sim.walks.lattice((4, 4, 4)).shells[0]
    counts = np.zeros((4, 4))
    np.add.at(counts, (np.repeat(flat, 8), flat[first].reshape(-1)), 1)
    counts = counts[:3, :3]
    c = counts.sum(1) / counts.sum()
    assert sim.all_pairs(z) == pytest.approx(1 - counts / counts.sum() / np.outer(c, c), abs=0.03)  # one vacancy in 128
    # events of further shells: changes add up to what a jump does
    rates, changes = map(np.asarray, jax.jit(sim.events)(state))
    assert changes.shape[-1] == 9 and (rates > 0).sum() == 8
    assert sim.seconds(2.9) == pytest.approx(
        1 / (1e13 * np.exp(-2.9 / (8.617330337e-5 * 1200)) * 8 * np.exp(-0.5 / (8.617330337e-5 * 1200))), rel=2e-2
    )


def test_upsampled_mixtures_keep_their_order(ternary):
    """128 sites to 1,024 in equilibrium: parameters of three shells as directly simulated."""
    small, large = (
        macro.AlloyOrdering(ternary, (edge,) * 3, THIRD, 1200.0, BARRIERS, vacancies=v, shells=3)
        for edge, v in ((4, 2), (8, 16))
    )
    start = np.asarray(jax.vmap(small.initial)(jax.random.split(jax.random.key(0), 32)))
    states = small.host.step(start, [1], 10.0)
    joined = macro.upsample(states, 8, large, seed=2, interval=1.0)
    direct = np.asarray(jax.vmap(large.initial)(jax.random.split(jax.random.key(3), 32)))
    direct = large.host.step(direct, [4], 10.0)
    a, b = (large.host.observe(x) for x in (joined, direct))
    assert np.array_equal((joined == 3).sum((1, 2, 3, 4)), np.full(32, 16))
    assert np.all(abs(a.mean(0) - b.mean(0)) < 4 * np.sqrt((a.var(0) + b.var(0)) / 32) + 0.005)


def test_seams_have_the_bonds_and_the_energy_of_the_halves(ternary):
    """Random and ordered halves: numbers of bonds of three shells, across seams and inside, and the energy."""
    small, large = (
        macro.AlloyOrdering(ternary, size, THIRD, 1200.0, BARRIERS, vacancies=v, shells=3)
        for size, v in (((4, 4, 4), 2), ((4, 8, 4), 4))
    )
    start = np.asarray(jax.vmap(small.initial)(jax.random.split(jax.random.key(0), 8)))
    start = np.concatenate([start, small.host.step(start, [1], 10.0)])
    parts = small.walks.bonds((4, 4, 4), start.reshape(16, -1).view(np.uint8))
    joined = np.concatenate([start, np.roll(start, 1, 0)], 2)
    rows = np.ascontiguousarray(joined).reshape(16, -1).view(np.uint8)
    broken = large.walks.bonds((4, 8, 4), rows) - parts - np.roll(parts, 1, 0)
    seeds = np.arange(16).astype(np.uint64)
    states, left, energy = large.walks.mended((4, 8, 4), rows, seeds, 1)
    change = large.walks.bonds((4, 8, 4), states) - parts - np.roll(parts, 1, 0)
    assert np.array_equal(left.sum(1), change)  # inside and across
    assert abs(left).mean() < 0.4 * abs(broken[8:]).mean() and abs(energy).max() < 0.05
    assert np.array_equal((states == 3).reshape(joined.shape), joined == 3)  # vacancies stay
    assert np.array_equal(np.sort(states, 1), np.sort(rows, 1))


def test_large_snapshots_that_share_no_part(ternary):
    small, large = (macro.AlloyOrdering(ternary, (4, 4, n), THIRD, 1200.0, BARRIERS, vacancies=n // 4) for n in (4, 8))
    start = np.asarray(jax.vmap(small.initial)(jax.random.split(jax.random.key(0), 9)))
    assert macro.upsample(start, 2, large, apart=True).shape == (4, 4, 4, 8, 2)
    with pytest.raises(InputError, match="2 snapshots make one large one, and a group has 1"):
        macro.upsample(start[:3], 2, large, apart=True, groups=[0, 0, 1])


@pytest.mark.slow
def test_partial_evolution_has_the_drift_of_the_whole(ternary):
    sim = macro.AlloyOrdering(ternary, (4, 4, 4), THIRD, 1200.0, BARRIERS, vacancies=4)
    data = macro.sample(sim, trajectories=8, patch=2, seed=0, times=[0.0], check=False, patches=8, estimator="rates")
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
