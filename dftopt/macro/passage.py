"""First passages of learned trajectories: how long from here, which start is slow, and how a parameter changes it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from dftopt.errors import InputError
from dftopt.macro import checks


@dataclass(frozen=True)
class Passages:
    """First passages from several starts.

    Args:
        times: (starts, n) when each trajectory first arrives; infinite where it does not within the time simulated.
        longest: that time.
    """

    times: np.ndarray
    longest: float

    @property
    def median(self) -> np.ndarray:
        """(starts,) medians; infinite where fewer than half arrive."""
        return np.quantile(self.times, 0.5, axis=1, method="higher")

    @property
    def score(self) -> np.ndarray:
        """(starts,) mean of the times cut at `longest`: sorts slow starts from fast ones."""
        return np.minimum(self.times, self.longest).mean(1)


def passages(fit, Z0, reached: Callable, times, n: int = 100, seed: int = 0, parameters=None, step=None) -> Passages:
    """First times at which `reached(z)` holds, linear between the recorded times.

    Args:
        fit: a fit.
        Z0: starts (k, d).
        reached: `reached(z (..., d)) -> (...)`: positive once arrived, negative before (or True and False).
        times: (T,) when to look, from 0.
        n: trajectories from each start.
        seed: whole number.
        parameters: external parameters.
        step: as `fit.simulate`.

    Returns:
        Passages.

    Raises:
        InputError: as `fit.simulate`.
    """
    Z0 = np.atleast_2d(np.asarray(Z0, float))
    paths = fit.simulate(np.repeat(Z0, n, 0), times, len(Z0) * n, seed, parameters=parameters, step=step)
    return Passages(first_passage(np.asarray(reached(paths)), np.asarray(times)).reshape(len(Z0), n), float(times[-1]))


def first_passage(level: np.ndarray, times: np.ndarray) -> np.ndarray:
    """When (N, T) levels first become positive (or True), linear between records; infinite where they do not."""
    beyond = level > 0
    i = beyond.argmax(-1)
    rows = np.arange(len(level))
    if level.dtype == bool:
        at = times[i]
    else:
        before, after = level[rows, np.maximum(i - 1, 0)], level[rows, i]
        part = np.where(i > 0, after / np.where(after > before, after - before, 1.0), 0.0)
        at = times[i] - np.clip(part, 0, 1) * (times[i] - times[np.maximum(i - 1, 0)])
    return np.where(beyond.any(-1), at, np.inf)


def auc(score, late) -> float:
    """Probability that a late one has a higher score than an early one (area under the ROC curve); ties count half.

    Args:
        score: (k,).
        late: (k,) True or False.

    Raises:
        InputError: all are late, or none.
    """
    score, late = np.asarray(score, float), np.asarray(late, bool)
    if late.all() or not late.any():
        raise InputError("auc needs some late and some early ones.")
    above = score[late][:, None] - score[~late][None]
    return float(np.mean((above > 0) + 0.5 * (above == 0)))


def response(
    fit, Z0, times, name: str, parameters, n: int = 1000, seed: int = 0, change: float | None = None
) -> np.ndarray:
    """Derivative of the mean trajectory with respect to an external parameter, (times, d).

    Central difference of simulations with the same random numbers, which cancel.

    Args:
        fit: of data with several values of the parameter.
        Z0: start (d,) or (n, d).
        times: as `fit.simulate`.
        name: of the parameter.
        parameters: where, a mapping by name.
        n: trajectories.
        seed: whole number.
        change: of the parameter; default 5 % of its spread in the data.

    Raises:
        InputError: the parameter did not vary in the data.
    """
    at = _varied(fit, name)
    change = 0.05 * float(fit.scales.q_spread[at]) if change is None else change
    checks.number("change", change, above=0)
    both = [
        fit.simulate(Z0, times, n, seed, parameters={**parameters, name: parameters[name] + s * change}).mean(0)
        for s in (1, -1)
    ]
    return (both[0] - both[1]) / (2 * change)


def control(
    measure: Callable[[float], float], target: float, low: float, high: float, tolerance: float = 1e-3
) -> float:
    """Value of a parameter between `low` and `high` at which `measure(value)`, such as a median passage time, is `target`.

    Args:
        measure: computed with the same seed at each value, so that it is smooth.
        target: wanted.
        low: one end, on one side of the target.
        high: the other.
        tolerance: of the value, relative to `high - low`.

    Raises:
        InputError: the target is not between the values at the ends.
    """
    ends = measure(low), measure(high)
    if not np.isfinite(ends).all() or (ends[0] - target) * (ends[1] - target) > 0:
        raise InputError(f"The target {target:g} is not between {ends[0]:g} at {low:g} and {ends[1]:g} at {high:g}.")
    return float(brentq(lambda x: measure(x) - target, low, high, xtol=tolerance * abs(high - low)))


def _varied(fit, name):
    if name not in fit.parameter_names:
        raise InputError(
            f"The data of this fit has one value of {name!r}: join samples at several, macro.join([...]). It depends on "
            f"{', '.join(fit.parameter_names) or 'no parameter'}."
        )
    return fit.parameter_names.index(name)
