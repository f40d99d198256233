"""Increments: pairs within trajectories, rows, tiles, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest

from dftopt import macro
from dftopt.errors import InputError


def small(**changes):
    rng = np.random.default_rng(0)
    values = {
        "states": rng.normal(size=(6, 2)),
        "trajectory": np.repeat([0, 1, 2], 2),
        "time": np.tile([0.0, 1.0], 3),
        "snapshot": np.arange(6).repeat(2),
        "z1": rng.normal(size=(12, 3, 2)),
        "dt": np.full(12, 0.1),
        "factor": np.full(12, 4.0),
        "n": 16,
        "snapshots": np.arange(6 * 16, dtype=np.int8).reshape(6, 4, 4),
        "evolved": rng.integers(100, 120, (12, 3, 2, 2)).astype(np.int8),
        "corner": rng.integers(0, 4, (12, 2)),
        "sites": (4, 4),
        "block": (2, 2),
    }
    return macro.Increments(**(values | changes))


def test_macro_imports_none_of_the_density_functional_floors():
    code = "import sys; from dftopt import macro; macro.Simulator, macro.Increments; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {".".join(m.split(".")[:2]) for m in modules if m.startswith("dftopt.")}
    assert ours == {"dftopt.macro", "dftopt.errors", "dftopt.precision"}


def test_pairs_never_cross_the_border_of_a_trajectory():
    z = np.array([[0.0, 1, 2, 3], [100, 101, 102, 103], [200, 201, 202, 203]])[..., None]
    data = macro.from_trajectories(z, np.arange(4) * 0.5, lag=2)
    assert len(data) == 6 and np.all(data.z1[:, 0] - data.z0 == 2) and np.all(data.dt == 1.0)
    assert np.all(data.b_hat == 2) and np.all(data.factor == 1)
    unequal = macro.from_trajectories([z[0], z[1, :3]], 0.5)
    assert len(unequal) == 5 and np.all(unequal.z1[:, 0] - unequal.z0 == 1)


def test_microscopic_states_are_shifted_to_the_patch():
    data = small()
    before, after = data.microscopic([5, 7])
    for k, row in enumerate((5, 7)):
        expected = np.roll(data.snapshots[data.snapshot[row]], -data.corner[row], axis=(0, 1))
        np.testing.assert_array_equal(before[k], expected)
        np.testing.assert_array_equal(after[k, :, :2, :2], data.evolved[row])
        np.testing.assert_array_equal(after[k, 1, 2:], expected[2:])
    tiles = data.tiles(before)
    np.testing.assert_array_equal(tiles[:, 0], before[:, :2, :2])
    np.testing.assert_array_equal(tiles[:, 1], before[:, :2, 2:])
    np.testing.assert_array_equal(data.tiles(after, lead=2)[:, :, 0], data.evolved[[5, 7]])


def test_whole_trajectories_are_held_out():
    train, held = small().split(0.3, seed=1)
    assert len(train) + len(held) == 12 and len(held) == 4
    assert not set(train.trajectory[train.snapshot]) & set(held.trajectory[held.snapshot])


def test_joined_parts_keep_their_rows_and_trajectories_apart():
    data = small(parameters=np.ones((6, 1)), parameter_names=("beta",))
    both = macro.join([data, small(parameters=np.full((6, 1), 2.0), parameter_names=("beta",))])
    np.testing.assert_array_equal(both.z0[12:], data.z0)
    assert list(np.unique(both.trajectory)) == [0, 1, 2, 3, 4, 5] and both.parameters[6] == 2
    with pytest.raises(InputError, match="different n"):
        macro.join([data, small(n=9)])


@pytest.mark.parametrize(
    ("z", "times", "match"),
    [
        (np.full((2, 3, 1), np.nan), np.arange(3), "Trajectory 0 holds NaN"),
        (np.zeros((2, 3)), np.arange(3), "must be \\(trajectories, T, d\\)"),
        (np.zeros((2, 3, 1)), [0, 1, 3], "must grow uniformly"),
        (np.zeros((2, 3, 1)), np.arange(4), "have 3 records"),
        (np.zeros((2, 1, 1)), [0], "at least 2"),
        ([], [0], "must be \\(trajectories"),
    ],
)
def test_wrong_trajectories_are_refused(z, times, match):
    with pytest.raises(InputError, match=match):
        macro.from_trajectories(z, times)


def test_wrong_increments_are_refused():
    with pytest.raises(InputError, match="still needs its axis"):
        small(states=np.zeros(6))
    with pytest.raises(InputError, match="z1 holds NaN or infinity, first in row 0"):
        small(z1=np.full((12, 3, 2), np.nan))
    with pytest.raises(InputError, match="factor at least 1"):
        small(factor=np.zeros(12))
    with pytest.raises(InputError, match="lag = 3 needs"):
        macro.from_trajectories(np.zeros((1, 3, 1)), 0.1, lag=3)
    with pytest.raises(InputError, match="does not tile"):
        small(block=(3, 3)).tiles(np.zeros((1, 4, 4)))
    with pytest.raises(InputError, match="lacks observe"):
        from dftopt.macro.simulator import as_simulator

        as_simulator(type("Half", (), {"step": lambda s, k, t: s})())
