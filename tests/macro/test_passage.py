"""First passages, response and control against diffusions that are known exactly."""

import numpy as np
import pytest
from synthetic import increments

from dftopt import macro
from dftopt.errors import InputError
from dftopt.macro.passage import first_passage


@pytest.fixture(scope="module")
def pulled():
    """Overdamped x in a spring, pulled by a force q: dx = (q - x) dt + sqrt(0.5) dB."""
    rng = np.random.default_rng(0)
    q = rng.uniform(-0.6, 0.6, (2000, 1))
    x = q + rng.uniform(-1.8, 1.8, (2000, 1))
    data = increments(q - x, np.full((2000, 1, 1), 0.5), x, parameters=np.c_[q, np.ones(2000)], names=("x",))
    return macro.fit(data, members=2, epochs=120, batch_size=400, rate=1e-2)


def test_parameters_that_do_not_vary_are_left_out(pulled):
    assert pulled.parameter_names == ("q0",)
    x = np.linspace(-1.5, 1.5, 7)[:, None]
    for q in (-0.5, 0.3):
        np.testing.assert_allclose(pulled.drift(x + q, {"q0": q}), -x, atol=0.04)
    with pytest.raises(InputError, match="depends on q0: say at which values"):
        pulled.drift(x)
    with pytest.raises(InputError, match="this fit depends on q0"):
        pulled.drift(x, {"field": 0.3})


def test_response_and_control(pulled):
    times = np.arange(0, 3.1, 0.5)
    found = macro.response(pulled, [0.0], times, "q0", {"q0": 0.1}, n=200)
    np.testing.assert_allclose(found[:, 0], 1 - np.exp(-times), atol=0.06)
    mean = lambda q: pulled.simulate([0.0], [5.0], 400, 1, parameters={"q0": q})[:, 0, 0].mean()
    at = macro.control(mean, 0.2, -0.4, 0.4, tolerance=1e-2)
    assert at == pytest.approx(0.2, abs=0.08)  # 0.2 and the noise of the mean of 400
    assert mean(at) == pytest.approx(0.2, abs=0.02)
    with pytest.raises(InputError, match="The target 5 is not between"):
        macro.control(mean, 5.0, -0.4, 0.4)
    with pytest.raises(InputError, match="one value of 'field'"):
        macro.response(pulled, [0.0], times, "field", {"q0": 0.0})


def test_passages_sort_starts(pulled):
    starts = np.array([[-1.0], [0.0], [0.4]])
    times = np.arange(0, 4, 0.04)
    found = macro.passages(pulled, starts, lambda z: z[..., 0] > 0.5, times, n=1000, parameters={"q0": 0.5})
    assert found.times.shape == (3, 1000) and (np.diff(found.median) < 0).all() and (np.diff(found.score) < 0).all()
    # The exact law of looking every 0.04: x - 0.5 goes to (x - 0.5) e^-0.04 and a normal number, and is lost above 0.
    x, width = np.linspace(-2.5, 0, 501), 0.5 * np.sqrt(1 - np.exp(-0.08))
    move = np.exp(-0.5 * ((x[:, None] - x * np.exp(-0.04)) / width) ** 2) / (width * np.sqrt(2 * np.pi)) * (x[1] - x[0])
    p, left = move[:, np.argmin(abs(x + 0.5))] / (x[1] - x[0]), []
    for _ in times[1:]:
        left.append(np.trapezoid(p, x))
        p = move @ p
    arrived = (found.times[1][:, None] <= times[1:] + 1e-9).mean(0)
    np.testing.assert_allclose(arrived, 1 - np.array(left), atol=0.05)


def test_first_passage_between_records():
    level = np.array([[-1.0, -0.5, 0.5], [-1.0, -1.0, -0.1], [0.2, 1.0, 1.0]])
    np.testing.assert_allclose(first_passage(level, np.array([0.0, 1.0, 2.0])), [1.5, np.inf, 0.0])
    np.testing.assert_allclose(first_passage(level > 0, np.array([0.0, 1.0, 2.0])), [2.0, np.inf, 0.0])


def test_auc():
    assert macro.auc([1, 2, 3, 4], [False, False, True, True]) == 1
    assert macro.auc([1, 1, 1, 1], [False, True, False, True]) == 0.5
    assert macro.auc([4, 3, 2, 1], [False, False, True, True]) == 0
    with pytest.raises(InputError, match="some late and some early"):
        macro.auc([1, 2], [True, True])
