"""Systems that can die out: drift and noise vanish together, relative accuracy where little is alive, death is final."""

import numpy as np
import pytest
from scipy.integrate import quad

from dftopt import macro
from dftopt.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:Training used up")
NOISE = 0.05


def logistic(S=1500, seed=0):
    """States, drift and diffusion of dx = x (1 - x) dt + sqrt(NOISE x (1 + x)) dB, a quarter of the states small, 50 dead."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.uniform(0, 1.5, S), 10 ** rng.uniform(-3, -0.5, S // 3), np.zeros(50)])[:, None]
    return x, x * (1 - x), (NOISE * x * (1 + x))[:, :, None]


def increments(x, b, D):
    order = np.random.default_rng(1).permutation(len(x))
    x, b, D = x[order], b[order], D[order]
    m = len(x)
    rows = {"snapshot": np.arange(m), "z1": np.repeat(x[:, None], 2, 1), "dt": np.full(m, 0.01), "factor": np.ones(m)}
    groups = {"states": x, "trajectory": np.arange(m) // 50, "time": np.zeros(m)}
    return macro.Increments(
        **rows, **groups, n=1, b_hat=b, D_hat=D, estimator="rates", names=("alive",), absorbing=(0,)
    )


@pytest.fixture(scope="module")
def fit():
    return macro.fit(increments(*logistic()), members=2, epochs=250, width=16, patience=300)


def test_rates_per_member_are_right_down_to_few_members(fit):
    x = np.geomspace(0.002, 1.4, 40)[:, None]
    assert abs(fit.drift(x) / x - (1 - x)).max() < 0.03
    assert abs(fit.diffusion(x)[:, :, 0] / (NOISE * x * (1 + x)) - 1).max() < 0.05


def test_the_dead_stay_dead_and_the_chance_of_it_is_right(fit):
    """Probability to die out before reaching 0.8, from the scale function of the exact equation."""
    assert (fit.drift([[0.0], [-0.1]]) == 0).all() and (fit.diffusion([[0.0]]) == 0).all()
    paths = fit.simulate([0.02], np.arange(0, 14.1, 0.1), n=2000, seed=0, step=0.02)[..., 0]
    dead = paths == 0
    assert (paths >= 0).all() and (dead[:, 1:] | ~dead[:, :-1]).all()
    density = lambda y: np.exp(-2 / NOISE * (2 * np.log(1 + y) - y))  # exp of minus the integral of 2 b / D
    scale = lambda a, b: quad(density, a, b)[0]
    exact = scale(0.02, 0.8) / scale(0, 0.8)
    reached = (paths > 0.8).any(1)
    assert (dead[:, -1] | reached).mean() > 0.97
    assert (dead[:, -1] & ~reached).mean() == pytest.approx(exact, abs=0.04)


def test_a_system_that_dies_out_has_no_stationary_density():
    with pytest.raises(InputError, match=r'form = "fdr" needs a stationary density; this system dies out \(alive = 0'):
        macro.fit(increments(*logistic()), form="fdr")


def test_saved_fits_know_their_absorbing_coordinates(fit, tmp_path):
    fit.save(tmp_path / "fit")
    again = macro.load(tmp_path / "fit")
    assert again.model == fit.model and again.model.absorbing == (0,)
    np.testing.assert_array_equal(again.drift([[0.01]]), fit.drift([[0.01]]))


def test_an_epidemic_says_what_dies_out():
    sim = macro.SIRLattice(8, observables=("second contacts", "susceptible", "infected", "contacts"))
    assert sim.absorbing == ("infected", "contacts", "second contacts")
    assert macro.SIRLattice(8, observables=("susceptible", "contacts")).absorbing == ()
    data = macro.sample(sim, 2, 4, times=[0.0, 1.0], check=False)
    assert data.absorbing == (2, 3, 0) and macro.join([data, data]).absorbing == (2, 3, 0)


def test_trajectories_of_the_mean_equation_and_of_every_member_from_every_start(fit):
    """Without noise (few steps, the mean of many) both follow the drift; neighbours in a batch follow different members."""
    times = np.array([0.0, 0.1])
    start = np.repeat([[0.2], [0.9]], 2000, 0)
    mean = fit.simulate(start, times, 4000, 1, equation="mean")[:, 1, 0].reshape(2, -1)
    each = fit.simulate(start, times, 4000, 1)[:, 1, 0].reshape(2, -1)
    exact = np.array(
        [0.2 * np.exp(0.1) / (1 + 0.2 * (np.exp(0.1) - 1)), 0.9 * np.exp(0.1) / (1 + 0.9 * (np.exp(0.1) - 1))]
    )
    np.testing.assert_allclose(mean.mean(1), exact, atol=0.005)
    np.testing.assert_allclose(each.mean(1), exact, atol=0.005)
    with pytest.raises(InputError, match="equation = 'median' is unknown; valid: members, mean"):
        fit.simulate([0.2], times, equation="median")
