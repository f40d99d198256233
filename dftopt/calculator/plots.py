"""Pictures of levels and of convergence, each with its numbers in a file beside it."""

from pathlib import Path

import numpy as np
from ase.spectrum.band_structure import BandStructure

from dftopt.calculator import style
from dftopt.calculator.band_axis import BandAxis
from dftopt.calculator.report import write_json
from dftopt.units import HARTREE_IN_EV

FERMI = "$E_\\mathrm{F}$"
TOP = 8.0  # eV; levels above it are seldom of interest
SPINS = (
    {"color": style.BLUE, "ls": "-", "label": "spin up"},
    {"color": style.VERMILION, "ls": (0, (3, 1.2)), "label": "spin down"},
)
SHADE = "#d9d9d9"  # of the total density of states behind its parts


def bands_and_dos(
    path, bands: BandStructure, dos=None, title: str = "", reference: str = FERMI, window=None
) -> list[Path]:
    """Band structure with the density of states beside it, on one energy axis; two spins where there are two.

    Args:
        path: of the picture; "bands.png" also writes "bands.json", and "dos.csv" where there is a density of states.
        bands: energies and reference in eV.
        dos: a `dftopt.properties.dos.DOS`, or None.
        title: above the bands.
        reference: name of the zero of energy on the axis.
        window: lowest and highest energy (eV, from the reference); default all filled bands and 8 eV above.

    Returns:
        The files written.
    """
    path, axis = Path(path), BandAxis.of(bands.path)
    e = bands.energies - bands.reference
    low, high = window or default_window(e)
    with style.drawing():
        figure, panels = style.figure(
            columns=1 if dos is None else 2, squeeze=False, sharey=True, width=4.2 if dos is None else 5.6, height=3.6,
            width_ratios=(1,) if dos is None else (3, 1),
        )  # fmt: skip
        left, *right = panels[0]
        for spin, levels in enumerate(e):
            for i, band in enumerate(levels.T):
                line = SPINS[spin] if len(e) == 2 else {"color": style.BLUE}
                axis.draw(left, band, **(line if i == 0 else {**line, "label": None}))
        axis.prepare(left, low, high)
        left.set(ylabel=f"Energy − {reference} (eV)", title=title)
        if len(e) == 2:
            style.legend_above(figure, left, panels[0, -1])
        for panel in right:
            draw_dos(panel, dos, low, high, upright=True)
        written = style.save(figure, path)
    written.append(path.with_suffix(".json"))
    write_json(written[-1], {**axis.data(bands.path), "energies_eV": bands.energies, "reference_eV": bands.reference})
    if dos is not None:
        written.append(write_dos(path.with_name("dos.csv"), dos))
    return written


def default_window(energies) -> tuple[float, float]:
    """All levels from below the lowest up to `TOP`; eV from the reference."""
    return float(energies.min() - 1.0), float(min(TOP, energies.max() + 0.5))


def dos_alone(path, dos, title: str = "", reference: str = FERMI, window=None) -> list[Path]:
    """Density of states against energy, with its parts if it has any; "dos.png" also writes "dos.csv".

    Args:
        path: of the picture.
        dos: a `dftopt.properties.dos.DOS`.
        title: above the picture.
        reference: name of the zero of energy.
        window: lowest and highest energy (eV, from the reference); default all filled levels and 8 eV above.
    """
    path = Path(path)
    energies = (dos.energies - dos.reference) * HARTREE_IN_EV
    low, high = window or (float(energies[0]), float(min(TOP, energies[-1])))
    with style.drawing():
        figure, panel = style.figure()
        draw_dos(panel, dos, low, high, upright=False)
        panel.set(xlabel=f"Energy − {reference} (eV)", title=title)
        style.whole_numbers(panel, "x")
        if dos.parts:
            style.legend_above(figure, panel)
        written = style.save(figure, path)
    return [*written, write_dos(path.with_suffix(".csv"), dos)]


def draw_dos(panel, dos, low: float, high: float, upright: bool) -> None:
    """Total and parts of a density of states; the second spin to the other side of zero.

    Args:
        panel: axes of matplotlib.
        dos: a `DOS`.
        low: lowest energy shown, eV from the reference.
        high: highest one.
        upright: energy along y (beside bands) rather than along x.
    """
    energies = (dos.energies - dos.reference) * HARTREE_IN_EV
    shown = (energies >= low) & (energies <= high)
    curve = lambda y, **line: panel.plot(*((y, energies) if upright else (energies, y)), **line)
    fill = panel.fill_betweenx if upright else panel.fill_between
    largest = 0.0
    for spin, total in enumerate(dos.values / HARTREE_IN_EV):
        sign = 1 - 2 * spin
        colour = (style.BLUE, style.VERMILION)[spin] if len(dos.values) == 2 else style.VERMILION
        largest = max(largest, total[shown].max(initial=0.0))
        if dos.parts:
            fill(energies, sign * total, color=SHADE, lw=0, label="total" if spin == 0 else None, zorder=0.5)
        else:
            fill(energies, sign * total, where=energies <= 0, color=colour, alpha=0.25, lw=0)
            curve(sign * total, color=colour, lw=1.1)
        for i, (name, part) in enumerate(dos.parts.items()):
            line = {"color": style.AREAS[i % 7], "ls": style.LINES[i % 7], "lw": 1.1}
            curve(sign * part[spin] / HARTREE_IN_EV, label=name if spin == 0 else None, **line)
    largest = 1.1 * largest or 1.0
    limits = (-largest if len(dos.values) == 2 else 0.0, largest)
    unit = "States / eV / cell"
    if upright:
        panel.set(xlim=limits, xlabel=unit)
        panel.tick_params(axis="y", length=0)
        style.mark_zero(panel)
    else:
        panel.set(xlim=(low, high), ylim=limits, ylabel=unit)
        style.mark_zero(panel, "y")
    if len(dos.values) == 2:
        _mark_spins(panel, upright)


def _mark_spins(panel, upright: bool) -> None:
    """Which side of zero is which spin; sizes are written without signs."""
    (panel.axvline if upright else panel.axhline)(0.0, color=style.BLACK, lw=0.6)
    places = ((0.97, 0.02, "right"), (0.03, 0.02, "left")) if upright else ((0.01, 0.93, "left"), (0.01, 0.03, "left"))
    for (x, y, align), arrow in zip(places, "↑↓", strict=True):
        panel.text(x, y, arrow, transform=panel.transAxes, ha=align)
    (panel.xaxis if upright else panel.yaxis).set_major_formatter(lambda value, _: f"{abs(value):g}")


def write_dos(path, dos) -> Path:
    """Energies from the reference (eV), states per eV and cell, and their parts."""
    spins = ["states"] if len(dos.values) == 1 else ["up", "down"]
    columns = {"energy_eV": (dos.energies - dos.reference) * HARTREE_IN_EV}
    for name, values in (("", dos.values), *dos.parts.items()):
        prefix = name.replace(" ", "_").replace(",", "") + "_" if name else ""
        for spin, row in zip(spins, values, strict=True):
            columns[f"{prefix}{spin}_per_eV_cell"] = row / HARTREE_IN_EV
    return style.write_csv(path, columns)


def convergence(path, history, errors, natoms: int, title: str = "") -> list[Path]:
    """How far A is above its final value, and the error that the minimizer predicted, against iterations.

    Args:
        path: of the picture; "convergence.png" also writes "convergence.csv".
        history: A after each accepted iteration, hartree.
        errors: predicted errors of A, hartree.
        natoms: atoms in the cell.
        title: above the picture.
    """
    a, predicted = np.asarray(history, float), np.asarray(errors, float) / natoms
    above = (a - a[-1]) / natoms if len(a) else a
    n = np.arange(1, len(a) + 1)
    floor = 1e-15
    with style.drawing():
        figure, panel = style.figure()
        series = ((above, "$A - A_\\mathrm{final}$", "-"), (predicted, "predicted error", "--"))
        for i, (values, label, line) in enumerate(series):
            shown = values > floor
            look = {"marker": style.MARKERS[i], "ls": line, "color": style.COLOURS[i], "label": label}
            panel.semilogy(n[shown], values[shown], **look)
        panel.set(xlabel="Iteration", ylabel="Ha / atom", title=title)
        style.whole_numbers(panel, "x")
        panel.grid(axis="y", color=style.GREY, alpha=0.2, lw=0.6)
        panel.legend()
        names = ("free_energy_hartree", "above_final_hartree_per_atom", "predicted_error_hartree_per_atom")
        columns = {"iteration": n, **dict(zip(names, (a, above, predicted), strict=True))}
        return style.save(figure, path, columns=columns)
