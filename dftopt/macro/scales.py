"""Units in which a model is learned: coordinates of spread 1, times in which they change by about that."""

from dataclasses import dataclass

import numpy as np

from dftopt.macro.statistics import Statistics


@dataclass(frozen=True)
class Scales:
    """y = (z - centre) / spread, time in units of `time`, parameters (q - q_centre) / q_spread.

    Args:
        centre: (d,).
        spread: (d,).
        time: in the simulator's unit.
        q_centre: (p,).
        q_spread: (p,).
    """

    centre: np.ndarray
    spread: np.ndarray
    time: float
    q_centre: np.ndarray
    q_spread: np.ndarray

    def y(self, z):
        """Scaled coordinates of z (..., d)."""
        return (z - self.centre) / self.spread

    def z(self, y):
        """Coordinates of scaled y (..., d)."""
        return self.centre + self.spread * y

    def q(self, parameters):
        """Scaled parameters (..., p)."""
        return (parameters - self.q_centre) / self.q_spread

    def drift(self, b):
        """Scaled drift in the user's units."""
        return b * self.spread / self.time

    def matrix(self, D):
        """Scaled diffusion or mobility (..., d, d) in the user's units."""
        return D * np.multiply.outer(self.spread, self.spread) / self.time


def scales_of(s: Statistics) -> Scales:
    """Scales from data: centre and spread of the states, and the time in which the drift, or else the noise, moves by that."""
    spread = s.z.std(0)
    relative = s.b / spread
    signal = np.mean(relative**2) - np.mean([s.a * s.D[:, i, i] / spread[i] ** 2 for i in range(s.z.shape[1])])
    noise = np.mean([np.average(s.D[:, i, i], weights=np.maximum(s.w, 1e-12)) for i in range(s.z.shape[1])] / spread**2)
    rate = max(np.sqrt(max(signal, 0.0)), 0.5 * noise)
    q_spread = s.q.std(0)
    centre = s.z.mean(0)
    centre[list(s.absorbing)] = 0  # what vanishes there is measured from there
    return Scales(
        centre,
        spread,
        1 / rate if rate > 0 else 1.0,
        s.q.mean(0) if len(s.q) else s.q,
        np.where(q_spread > 0, q_spread, 1.0),
    )
