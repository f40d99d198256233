"""Fat bands: bands whose width shows how much of an atom's orbital a state is."""

from pathlib import Path

import numpy as np

from dftopt.calculator import style
from dftopt.calculator.band_axis import BandAxis
from dftopt.calculator.plots import FERMI, SHADE, default_window, draw_dos, write_dos
from dftopt.calculator.report import write_json
from dftopt.properties.pdos import FatBands

WIDEST = 6.5  # points; width of a state that is atomic orbitals alone
BETWEEN = 6  # segments drawn between two points of the path
GROUPS = 6  # at most drawn; the smallest ones are left out of the picture, not of the numbers


def fat_bands_and_dos(
    path, fat: FatBands, dos=None, title: str = "", reference: str = FERMI, window=None
) -> list[Path]:
    """Fat bands with the projected density of states beside them; one panel for each spin.

    A band is drawn like a cable: the width of its core is the weight of the first group of orbitals, that of the sheath
    around it the weight of the second, and so on, so that the whole width is what is not spilled.

    Args:
        path: of the picture; "bands.png" also writes "bands.json" (with all weights), and "dos.csv" with the parts.
        fat: bands and weights.
        dos: density of states with the same parts, or None.
        title: above the bands.
        reference: name of the zero of energy on the axis.
        window: lowest and highest energy (eV, from the reference); default all filled bands and 8 eV above.

    Returns:
        The files written.
    """
    path, axis = Path(path), BandAxis.of(fat.bands.path)
    e = fat.bands.energies - fat.bands.reference
    low, high = window or default_window(e)
    nspin = len(e)
    drawn = _largest(fat, e, low, high)
    with style.drawing():
        ratios = (3,) * nspin + (() if dos is None else (1.2,))
        width = (4.2 if dos is None else 5.8) if nspin == 1 else 1.25 * style.PAGE
        figure, panels = style.figure(
            columns=len(ratios), squeeze=False, sharey=True, width=width, height=3.9, width_ratios=ratios
        )
        for spin in range(nspin):
            panel = panels[0, spin]
            for band in range(e.shape[2]):
                weights = np.stack([fat.weights[name][spin, :, band] for name in drawn.values()])
                _draw_cable(panel, axis, e[spin, :, band], weights, list(drawn))
            axis.prepare(panel, low, high)
            panel.set(title=title if nspin == 1 else f"{title} {'↑↓'[spin]}".strip())
        for number, name in drawn.items():
            panels[0, 0].plot([], [], lw=WIDEST / 2, color=style.AREAS[number], label=name)
        panels[0, 0].set(ylabel=f"Energy − {reference} (eV)")
        if dos is not None:
            draw_dos(panels[0, -1], dos, low, high, upright=True)
            panels[0, 0].plot([], [], lw=WIDEST / 2, color=SHADE, label="total")
        style.legend_above(figure, panels[0, 0], panels[0, -1])
        written = style.save(figure, path)
    written.append(path.with_suffix(".json"))
    data = {"energies_eV": fat.bands.energies, "reference_eV": fat.bands.reference}
    write_json(written[-1], {**axis.data(fat.bands.path), **data, "weights": dict(fat.weights), "spilled": fat.spilled})
    if dos is not None:
        written.append(write_dos(path.with_name("dos.csv"), dos))
    return written


def _largest(fat: FatBands, e, low: float, high: float) -> dict[int, str]:
    """Groups that are drawn, by their number among all."""
    shown = (e > low) & (e < high)
    sums = [float(w[shown].sum()) for w in fat.weights.values()]
    kept = sorted(np.argsort(sums)[::-1][:GROUPS].tolist())
    names = list(fat.weights)
    return {i % len(style.AREAS): names[i] for i in kept}


def _draw_cable(panel, axis: BandAxis, levels, weights, numbers: list[int]) -> None:
    """One band (k,) with weights (groups, k): the sum of all groups at the bottom, the first group on top."""
    from matplotlib.collections import LineCollection

    for start, stop in axis.pieces:
        at = np.arange(start, stop)
        fine = np.linspace(start, stop - 1, BETWEEN * (len(at) - 1) + 1)
        points = np.stack([np.interp(fine, at, axis.x[at]), np.interp(fine, at, levels[at])], axis=1)
        segments = np.stack([points[:-1], points[1:]], axis=1)
        middle = 0.5 * (fine[1:] + fine[:-1])
        panel.plot(points[:, 0], points[:, 1], color=style.GREY, lw=0.5, zorder=1)
        for rank in range(len(numbers))[::-1]:
            width = WIDEST * np.interp(middle, at, weights[: rank + 1, at].sum(axis=0))
            cable = LineCollection(list(segments), linewidths=np.maximum(width, 1e-3).tolist(), zorder=3 - rank / 10)
            cable.set(color=style.AREAS[numbers[rank]], capstyle="round")
            panel.add_collection(cable, autolim=False)
