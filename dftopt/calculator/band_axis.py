"""The axis of a band structure: distances along a path of k points, its special points and its jumps."""

from dataclasses import dataclass

import numpy as np
from ase.dft.kpoints import BandPath

from dftopt.calculator import style


@dataclass(frozen=True, eq=False)
class BandAxis:
    """Where the points of a path are drawn.

    Attributes:
        x: (k,) distances along the path.
        ticks: places of the special points; the two ends of a jump share one.
        labels: their names as they are printed.
        pieces: ranges (first, beyond the last) of points between jumps.
    """

    x: np.ndarray
    ticks: np.ndarray
    labels: list[str]
    pieces: list[tuple[int, int]]

    @classmethod
    def of(cls, path: BandPath) -> "BandAxis":
        """Of an ASE path."""
        x, places, names = path.get_linear_kpoint_axis()
        ticks: list[float] = []
        labels: list[str] = []
        for place, name in zip(places, names, strict=True):
            if ticks and abs(place - ticks[-1]) < 1e-6:
                labels[-1] += "|" + style.special_point(name)
            else:
                ticks.append(float(place))
                labels.append(style.special_point(name))
        cuts = [0, *(int(i) + 1 for i in np.flatnonzero(np.diff(x) < 1e-9)), len(x)]
        return cls(np.asarray(x), np.array(ticks), labels, list(zip(cuts, cuts[1:], strict=False)))

    def prepare(self, panel, low: float, high: float) -> None:
        """Limits, special points and the line at zero of a panel."""
        for place in self.ticks[1:-1]:
            panel.axvline(place, color=style.GREY, lw=0.6, alpha=0.6, zorder=0)
        panel.set(xlim=(self.x[0], self.x[-1]), ylim=(low, high))
        panel.set_xticks(self.ticks, self.labels)
        panel.tick_params(axis="x", length=0, labelsize=10)
        style.whole_numbers(panel, "y")
        style.mark_zero(panel)

    def draw(self, panel, levels, **line) -> None:
        """One band (k,), without lines across jumps; a label goes to the first piece alone."""
        for i, (start, stop) in enumerate(self.pieces):
            panel.plot(self.x[start:stop], levels[start:stop], **(line if i == 0 else {**line, "label": None}))

    def data(self, path: BandPath) -> dict:
        """For the JSON beside a picture."""
        special = [{"label": label, "x": place} for label, place in zip(self.labels, self.ticks, strict=True)]
        return {"kpoints": path.kpts, "x": self.x, "special_points": special}
