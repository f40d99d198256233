"""Picture of phonons: bands beside the density of states."""

from pathlib import Path

import numpy as np
from ase.dft.kpoints import BandPath

from dftopt.calculator import style
from dftopt.calculator.phonons import THZ_IN_PER_CM, Phonons
from dftopt.calculator.report import write_json


def draw(path, phonons: Phonons, along: BandPath, title: str = "") -> list[Path]:
    """Phonon bands and density of states in cm^-1; imaginary modes below zero.

    Args:
        path: of the PNG; "phonons.png" also writes "phonons-bands.json" and "phonons-dos.csv".
        phonons: what is drawn.
        along: the path of the bands.
        title: above the picture.

    Returns:
        The files written.
    """
    path = Path(path)
    x, places, names = along.get_linear_kpoint_axis()
    ticks: list[float] = []
    labels: list[str] = []
    for place, name in zip(places, names, strict=True):
        if ticks and abs(place - ticks[-1]) < 1e-6:  # a jump: both names on one tick
            labels[-1] += "|" + style.special_point(name)
        else:
            ticks.append(float(place))
            labels.append(style.special_point(name))
    bands, energies = phonons.bands * THZ_IN_PER_CM, phonons.dos_frequencies * THZ_IN_PER_CM
    dos = phonons.dos / THZ_IN_PER_CM
    low = min(0.0, 1.08 * float(energies[dos > 0].min(initial=0.0)), 1.08 * float(bands.min()))
    low = low if phonons.lowest[0] * THZ_IN_PER_CM < -1.0 else 0.0
    high = 1.06 * max(float(bands.max()), float(energies[dos > 0].max(initial=0.0)))
    with style.drawing():
        figure, (left, right) = style.figure(columns=2, sharey=True, width_ratios=(3, 1), width=5.6, height=3.6)
        for start, stop in _pieces(x):
            left.plot(x[start:stop], bands[start:stop], color=style.COLOURS[0])
        for place in ticks[1:-1]:
            left.axvline(place, color=style.GREY, lw=0.6, alpha=0.6, zorder=0)
        left.set(xlim=(x[0], x[-1]), ylim=(low, high), ylabel="Frequency (cm$^{-1}$)", title=title)
        left.set_xticks(ticks, labels)
        left.tick_params(axis="x", length=0, labelsize=10)
        right.fill_betweenx(energies, dos, color=style.COLOURS[1], alpha=0.25, lw=0)
        right.plot(dos, energies, color=style.COLOURS[1], lw=1.0)
        right.set(xlim=(0, 1.1 * dos.max()), xlabel="States / cm$^{-1}$")
        right.tick_params(axis="y", length=0)
        for panel in (left, right):
            if low < 0:
                style.mark_zero(panel)
        written = style.save(figure, path)
    special = [{"label": label, "x": place} for label, place in zip(labels, ticks, strict=True)]
    data = {"qpoints": phonons.q, "x": x, "special_points": special, "frequencies_cm1": bands}
    written.append(path.with_name(f"{path.stem}-bands.json"))
    write_json(written[-1], data)
    columns = {"frequency_cm1": energies, "states_per_cm1_cell": dos}
    written.append(style.write_csv(path.with_name(f"{path.stem}-dos.csv"), columns))
    return written


def _pieces(x: np.ndarray) -> list[tuple[int, int]]:
    """Ranges without a jump: two points of the path at one place on the axis begin a new piece."""
    cuts = [0, *(int(i) + 1 for i in np.flatnonzero(np.diff(x) < 1e-9)), len(x)]
    return list(zip(cuts, cuts[1:], strict=False))
