"""Learned equations against the ones that made the data."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import eigh_tridiagonal
from synthetic import double_well, increments

from dftopt import macro
from dftopt.errors import DFTOptWarning, InputError
from dftopt.macro import onsager
from dftopt.macro.likelihood import batch, loss
from dftopt.macro.networks import cholesky, lower, solve_lower
from dftopt.macro.onsager import Model
from dftopt.macro.scales import Scales, scales_of
from dftopt.macro.statistics import statistics
from dftopt.macro.training import Training, train

X = np.linspace(-1.6, 1.6, 41)[:, None]
QUICK = {"members": 2, "epochs": 120, "batch_size": 400, "rate": 1e-2}


@pytest.fixture(scope="module")
def well():
    x, b, D, T = double_well()
    return macro.fit(increments(b, D, x, names=("x",)), form="fdr", temperature=T, **QUICK)


def test_factors_of_small_matrices():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(4, 4))
    A = A @ A.T + np.eye(4)
    L = cholesky(jnp.asarray(A))
    np.testing.assert_allclose(L, np.linalg.cholesky(A), atol=1e-12)
    B = rng.normal(size=(4, 3))
    np.testing.assert_allclose(solve_lower(L, jnp.asarray(B)), np.linalg.solve(np.linalg.cholesky(A), B), atol=1e-12)
    np.testing.assert_array_equal(lower(jnp.arange(1.0, 7.0), 3), [[1, 0, 0], [2, 3, 0], [4, 5, 6]])


def shifted(model, by, noise, temperature):
    """Parameters away from the simple ones that training starts from."""
    start = onsager.initial(jax.random.key(0), model, noise, temperature)
    return jax.tree.map(lambda x: x + by, start) | {"units": start["units"]}


@pytest.mark.parametrize("form", ["onsager", "fdr"])
def test_structure_of_the_forms(form):
    model = Model(3, 1, form, 8)
    params = shifted(model, 0.3, jnp.array([0.5, 0.6, 0.7]), 0.2)
    y, q = jnp.array([0.3, -0.5, 0.8]), jnp.array([0.4])
    M, W = onsager.mobility(params, model, y, q)
    np.testing.assert_allclose(M, M.T, atol=1e-14)
    np.testing.assert_allclose(W, -W.T, atol=1e-14)
    assert np.linalg.eigvalsh(M).min() > 0
    V = lambda y: float(onsager.potential(params, model, jnp.asarray(y), q))
    slope = np.array([(V(y + h) - V(y - h)) / 2e-5 for h in 1e-5 * np.eye(3)])
    expected = -np.asarray(M + W) @ slope
    if form == "fdr":
        A = lambda y: np.asarray(sum(onsager.mobility(params, model, jnp.asarray(y), q)))
        steps = 1e-5 * np.eye(3)
        expected += 0.2 * sum((A(y + steps[j]) - A(y - steps[j]))[:, j] / 2e-5 for j in range(3))
        L = onsager.sigma(params, model, y, q)
        np.testing.assert_allclose(L @ L.T, 0.4 * M, atol=1e-12)
    np.testing.assert_allclose(onsager.drift(params, model, y, q), expected, atol=1e-8)
    far = 1e3 * y / jnp.linalg.norm(y)
    assert onsager.potential(params, model, far, q) > 1e4  # bounded below


def test_the_fluctuation_dissipation_form_leaves_its_density_stationary():
    """Fokker-Planck: div(b p) = div div(D p) / 2 with p = exp(-V/T), in three dimensions."""
    model = Model(3, 0, "fdr", 8)
    params = shifted(model, 0.2, jnp.array([0.7, 0.9, 1.1]), 0.3)
    none = jnp.zeros(0)
    p = lambda y: jnp.exp(-onsager.potential(params, model, y, none) / 0.3)
    D = lambda y: (lambda L: L @ L.T)(onsager.sigma(params, model, y, none))
    current = lambda y: (
        onsager.drift(params, model, y, none) * p(y) - 0.5 * jnp.einsum("ijj->i", jax.jacfwd(lambda x: D(x) * p(x))(y))
    )
    for y in (jnp.array([0.2, -0.4, 0.1]), jnp.array([-0.3, 0.2, 0.5])):
        size = jnp.abs(jax.jacfwd(current)(y)).max()
        assert abs(jnp.trace(jax.jacfwd(current)(y))) < 1e-10 * size
        np.testing.assert_allclose(current(y), -onsager.flux(params, model, y, none) * -p(y), atol=1e-10 * float(p(y)))


def test_the_likelihood_of_a_snapshot_is_that_of_its_rows():
    """Without replicas: the sum of Gaussian log-likelihoods of the rows, up to a constant."""
    rng = np.random.default_rng(0)
    states = rng.normal(size=(500, 2))
    b, D = -states, np.tile(np.array([[0.3, 0.1], [0.1, 0.2]]), (500, 1, 1))
    data = increments(b, D, states, estimator="steps", replicas=1)
    s = statistics(data)
    unit = Scales(np.zeros(2), np.ones(2), 1.0, np.zeros(0), np.ones(0))
    model = Model(2, 0, "linear", 4)
    rows, C0 = batch(s, unit)
    values = []
    for seed in (0, 1):
        params = jax.tree.map(
            lambda x, seed=seed: x + 0.1 * jax.random.normal(jax.random.key(seed), x.shape),
            onsager.initial(jax.random.key(0), model, jnp.ones(2), 1.0),
        )
        part = jax.tree.map(lambda x: x[:5], rows)
        ours = float(sum(jax.vmap(loss, (None, None, 0, None, None))(params, model, part, C0, True)).sum())
        direct = 0.0
        for i in range(5):
            mean = data.z0[i] + data.dt[i] * np.asarray(
                onsager.drift(params, model, jnp.asarray(states[i]), jnp.zeros(0))
            )
            L = np.asarray(onsager.sigma(params, model, jnp.asarray(states[i]), jnp.zeros(0)))
            C = data.factor[i] * data.dt[i] * L @ L.T
            r = data.z1[i, 0] - mean
            direct += 0.5 * r @ np.linalg.solve(C, r) + 0.5 * np.linalg.slogdet(C)[1]
        values.append(ours - direct)
    assert values[0] == pytest.approx(values[1], abs=1e-9)


def test_drift_diffusion_and_potential(well):
    _, b, D, T = double_well()
    M = 1 + X**2 / 4
    b, D = -M * (X**3 - X) + T * X / 2, 2 * T * M[:, :, None]
    V = X[:, 0] ** 4 / 4 - X[:, 0] ** 2 / 2
    assert np.sqrt(np.mean((well.drift(X) - b) ** 2)) < 0.02 * abs(b).max()
    assert abs(well.diffusion(X) / D - 1).max() < 0.05
    learned = well.potential(X)
    assert abs(learned - learned.mean() - V + V.mean()).max() < 0.05 * np.ptp(V)
    np.testing.assert_allclose(2 * T * well.mobility(X), well.diffusion(X), rtol=1e-5)
    np.testing.assert_allclose(well.flux(X), 0, atol=1e-12)  # one coordinate has no antisymmetric matrix
    mean, spread = well.drift(X, spread=True)
    assert mean.shape == spread.shape == (41, 1) and (spread < 0.1).all()
    assert (
        well.drift(X[3]).shape == (1,) and well.diffusion(X[3]).shape == (1, 1) and np.ndim(well.potential(X[3])) == 0
    )


def test_landscape(well):
    points = well.stationary_points()
    assert [p.index for p in points] == [0, 0, 1]
    assert sorted(float(p.z[0]) for p in points) == pytest.approx([-1, 0, 1], abs=0.04)
    assert all(p.found_by == 1 and p.z_spread[0] < 0.05 for p in points)
    (barrier,) = well.barriers()
    assert barrier.height == pytest.approx(0.25, rel=0.06)
    assert barrier.height_spread < 0.03 and barrier.values.max() == pytest.approx(barrier.saddle.value, abs=2e-3)


def test_simulation_samples_the_density(well):
    from dftopt.macro.stationary import relaxation_times, stationary_density

    x = np.linspace(-2.5, 2.5, 1001)
    p = np.exp(-(x**4 / 4 - x**2 / 2) / 0.1)
    p /= p.sum() * (x[1] - x[0])
    inside = abs(x) < 1.6
    assert abs(stationary_density(well, x[:, None])[inside] - p[inside]).max() < 0.08 * p.max()
    paths = well.simulate([0.0], np.arange(0, 61.0, 2.0), n=500, seed=3)
    assert paths.shape == (500, 31, 1)
    moment = (p @ x**2) / p.sum()
    assert np.mean(paths[:, 10:, 0] ** 2) == pytest.approx(moment, rel=0.03)
    slowest = relaxation_times(well, count=1)[0]
    assert slowest == pytest.approx(slowest_time(x, p), rel=0.2)  # exp(barrier / T): 6 % of the barrier are 16 %


def slowest_time(x, p):
    """1 / second eigenvalue of the generator (1/p) d/dx (T M p d/dx)."""
    h = x[1] - x[0]
    middle = 0.1 * (1 + ((x[1:] + x[:-1]) / 2) ** 2 / 4) / h**2
    up, down = middle * np.sqrt(p[1:] / p[:-1]), middle * np.sqrt(p[:-1] / p[1:])
    diagonal = np.append(up, 0) + np.append(0, down)
    return 1 / eigh_tridiagonal(diagonal, -middle, True, select="i", select_range=(1, 1))[0]


def test_saved_fits_are_equal(well, tmp_path):
    well.save(tmp_path / "well.fit")
    again = macro.load(tmp_path / "well.fit")
    np.testing.assert_array_equal(again.drift(X), well.drift(X))
    np.testing.assert_array_equal(again.potential(X), well.potential(X))
    assert (again.names, again.status, again.model) == (well.names, well.status, well.model)
    with np.load(tmp_path / "well.fit") as file:
        assert json.loads(str(file["header"]))["version"] == 1
    (tmp_path / "other").write_text("not a fit")
    with pytest.raises(InputError, match="is not a fit"):
        macro.load(tmp_path / "other")
    with pytest.raises(InputError, match="There is no file"):
        macro.load(tmp_path / "missing")


def test_interrupted_training_goes_on(tmp_path, well):
    x, b, D, T = double_well()
    data = increments(b, D, x, names=("x",))
    settings = {"form": "fdr", "temperature": T, **QUICK, "checkpoint": tmp_path / "state"}
    seen = []
    first = macro.fit(data, **settings, stop=lambda: len(seen) >= 3, progress=lambda *now: seen.append(now))
    assert first.status == "interrupted" and (tmp_path / "state").exists() and seen[-1][:2] == (30, 120)
    second = macro.fit(data, **settings)
    np.testing.assert_array_equal(second.drift(X), well.drift(X))
    assert not (tmp_path / "state").exists() and len(second.history) == len(well.history)


@pytest.mark.filterwarnings("ignore:Training used up")
def test_noise_of_patches_is_not_noise_of_the_system():
    """From steps with K = 16 and two replicas, the diffusion comes out as that of the system, without a factor."""
    x, b, D, T = double_well(S=2000)
    data = increments(b, D, x, estimator="steps", replicas=8, factor=16.0, dt=0.02)
    fit = macro.fit(data, **QUICK)
    assert np.mean(fit.diffusion(X)[:, 0, 0] / (0.2 * (1 + X[:, 0] ** 2 / 4))) == pytest.approx(1, abs=0.05)


def test_what_is_refused(well):
    x, b, D, _ = double_well()
    data = increments(b, D, x)
    with pytest.raises(InputError, match="macro.fit needs Increments, not ndarray"):
        macro.fit(x)
    with pytest.raises(InputError, match="form = 'onsagr' is unknown; valid: onsager, fdr"):
        macro.fit(data, form="onsagr")
    with pytest.raises(InputError, match="10 snapshots are too few .* at least 60 are needed"):
        macro.fit(data.rows(np.arange(10)))
    with pytest.raises(InputError, match="Z has the shape .* must be .batch, 1.: x"):
        well.drift(X[:, 0])
    with pytest.raises(InputError, match="NaN"):
        well.drift([[np.nan]])
    with pytest.raises(InputError, match="0 finite values are needed|this fit depends on none"):
        well.drift(X, parameters={"field": 1.0})
    twice = increments(
        np.repeat(b, 2, 1), np.ones((len(b), 2, 2)) * D + 1e-14 * np.eye(2), np.repeat(x, 2, 1), names=("a", "b")
    )
    with pytest.raises(InputError, match="The diffusion is singular: nothing is random along .*a.*b"):
        macro.fit(twice)


def test_divergence_is_said_and_the_last_good_state_kept():
    x, b, D, _ = double_well()
    s = statistics(increments(b, D, x))
    rows, C0 = batch(s, scales_of(s))
    counts = np.ones((2, 1600))
    part, held = jax.tree.map(lambda a: a[:1600], rows), jax.tree.map(lambda a: a[1600:], rows)
    model = Model(1, 0, "fdr", 32)
    nothing = train(model, np.ones(1), part, held, 0 * C0, False, counts, Training(members=2, batch=400))  # 0 / 0
    assert nothing.status == "diverged" and all(np.isfinite(x).all() for x in jax.tree.leaves(nothing.params))
    with pytest.warns(DFTOptWarning, match="Training used up its 20 epochs while the held-out likelihood still grew"):
        fit = macro.fit(increments(b, D, x), form="fdr", **{**QUICK, "epochs": 20})
    assert fit.status == "epochs used up" and np.isfinite(fit.drift(X)).all()


def test_every_member_finds_both_wells():
    """Below the transition most data lies in the wells: no member may be left with a V that is flat beyond one of them."""
    sim = macro.CurieWeiss(1024, 1.2)
    rng = np.random.default_rng(0)
    m = np.clip(rng.choice([-0.65, 0.65, 0.0], 1500, p=[0.45, 0.35, 0.2]) + 0.1 * rng.normal(size=1500), -0.95, 0.95)
    m = np.concatenate([m, rng.uniform(-0.7, 0.7, 100)])[:, None]
    data = increments(np.asarray(sim.drift(m)), np.asarray(sim.diffusion(m))[:, :, None], m)
    fit = macro.fit(data, members=5)
    at = np.linspace(-0.75, 0.75, 61)[:, None]
    b, spread = fit.drift(at, spread=True)
    exact = np.asarray(sim.drift(at))
    assert np.abs(b - exact).max() < 0.02 * np.abs(exact).max()
    assert spread.max() < 0.03 * np.abs(exact).max()


def test_a_saved_baseline_is_equal(tmp_path):
    """The polynomial that an unstructured drift starts from is saved with it."""
    z, b, D, _ = double_well(400)
    with pytest.warns(DFTOptWarning, match="used up"):
        fit = macro.fit(increments(b, D, z), form="network", members=2, epochs=10, patience=11)
    fit.save(tmp_path / "fit.npz")
    np.testing.assert_allclose(macro.load(tmp_path / "fit.npz").drift(z[:9]), fit.drift(z[:9]), rtol=1e-12)


def test_every_member_learns_what_turns_around():
    """A strong rotation is W's: V, which trains before M, must not be left to explain it."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(1500, 2))
    b = z @ np.array([[-0.2, -2.0], [2.0, -0.2]]).T
    fit = macro.fit(increments(b, np.tile(0.02 * np.eye(2), (len(z), 1, 1)), z), members=3)
    found, spread = fit.drift(z[:300], spread=True)
    assert np.abs(found - b[:300]).max() < 0.02 * np.abs(b).max()
    assert spread.max() < 0.02 * np.abs(b).max()
