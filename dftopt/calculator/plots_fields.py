"""Pictures of densities and potentials: planes, and averages along the normal of a slab."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dftopt.calculator import style
from dftopt.properties.planar import PlanarAverage, WorkFunction
from dftopt.properties.slices import Slice
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV

LEVELS = 14
FINER = 6  # points drawn per point of the grid


@dataclass(frozen=True)
class Quantity:
    """What a picture shows: name with unit, factor from atomic units, and colours.

    Attributes:
        name: of the colour bar.
        factor: by which values are multiplied.
        signed: whether zero is in the middle of the colours.
        column: its name in the file of numbers.
    """

    name: str
    factor: float
    signed: bool
    column: str


DENSITY = Quantity("Electrons / Å$^3$", BOHR_IN_ANGSTROM**-3, False, "electrons_per_A3")
SPIN_DENSITY = Quantity("Spin density (µ$_\\mathrm{B}$ / Å$^3$)", BOHR_IN_ANGSTROM**-3, True, "spin_per_A3")
ORBITAL = Quantity("Orbital (Å$^{-3/2}$)", BOHR_IN_ANGSTROM**-1.5, True, "orbital_per_A3/2")
POTENTIAL = Quantity("Potential energy (eV)", HARTREE_IN_EV, False, "potential_eV")


def plane(path, section: Slice, quantity: Quantity = DENSITY, title: str = "", limits=None) -> list[Path]:
    """A field on a plane as filled contours with the atoms that lie in it; "density.png" also writes "density.csv".

    Args:
        path: of the picture.
        section: from `dftopt.properties.slices.cut`.
        quantity: `DENSITY`, `SPIN_DENSITY`, `ORBITAL`, `POTENTIAL` or another one.
        title: above the picture.
        limits: lowest and highest value of the colours, in the unit of the picture; default all.

    Returns:
        The files written.
    """
    from matplotlib.ticker import MaxNLocator

    x, y, values = section.x * BOHR_IN_ANGSTROM, section.y * BOHR_IN_ANGSTROM, section.values * quantity.factor
    low, high = limits or (float(values.min()), float(values.max()))
    if quantity.signed and limits is None:
        high = max(-low, high)
        low = -high
    levels = MaxNLocator(LEVELS, symmetric=quantity.signed).tick_values(low, high)
    colours = style.DIVERGING if quantity.signed else style.SEQUENTIAL + ("_r" if low < 0 else "")  # deep is dark
    with style.drawing():
        figure, panel = style.figure(width=style.COLUMN, height=3.5)
        areas = panel.contourf(x, y, values.T, levels, cmap=colours, extend="both" if limits else "neither")
        areas.set_rasterized(True)  # of vector formats: no seams between the areas
        panel.contour(x, y, values.T, levels, colors=style.GREY, linestyles="-", linewidths=0.35, alpha=0.7)
        for symbol, at_x, at_y in section.atoms:
            spot = np.array([at_x, at_y]) * BOHR_IN_ANGSTROM
            panel.plot(*spot, "o", ms=11, mfc="white", mec=style.BLACK, mew=0.8)
            if np.abs(spot).max() < 0.97 * x[-1]:
                panel.annotate(symbol, spot, ha="center", va="center_baseline", fontsize=6.5)
        panel.set(aspect="equal", xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), xlabel="x (Å)", ylabel="y (Å)", title=title)
        for side in ("top", "right"):
            panel.spines[side].set_visible(True)
        bar = figure.colorbar(areas, ax=panel, shrink=0.92, pad=0.02)
        bar.set_label(quantity.name)
        bar.outline.set_linewidth(0.6)
        grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
        columns = {"x_A": grid[:, 0], "y_A": grid[:, 1], quantity.column: np.round(values.reshape(-1), 10)}
        return style.save(figure, path, columns=columns)


def potential_of_slab(
    path,
    average: PlanarAverage,
    structure,
    levels: WorkFunction | None = None,
    window: float | None = None,
    title: str = "",
) -> list[Path]:
    """Planar and macroscopic average of a potential along the normal, with Fermi and vacuum level.

    "potential.png" also writes "potential.csv" (the curves) and, with levels, "potential.json".

    Args:
        path: of the picture.
        average: of the electrostatic potential.
        structure: whose atoms are marked.
        levels: from `work_function`, or None.
        window: of the macroscopic average, bohr; None: not drawn.
        title: above the picture.
    """
    height = average.height * BOHR_IN_ANGSTROM
    shift = _middle_of_slab(structure, average)
    columns = {"z_A": average.z * BOHR_IN_ANGSTROM, "planar_average_eV": average.values * HARTREE_IN_EV}
    with style.drawing():
        figure, panel = style.figure(width=style.PAGE * 0.75, height=3.2)
        panel.plot(*_curve(average, shift), color=style.BLUE, lw=1.2, label="planar average")
        if window is not None:
            smooth = average.macroscopic(window)
            columns["macroscopic_average_eV"] = smooth * HARTREE_IN_EV
            panel.plot(
                *_curve(replace(average, values=smooth), shift),
                color=style.VERMILION,
                ls="--",
                lw=1.4,
                label="macroscopic average",
            )
        places = np.sort((structure.frac[:, average.axis] * height - shift) % height)
        bottom = float(average.values.min()) * HARTREE_IN_EV
        panel.plot(
            places, np.full(len(places), bottom - 0.6), "o", ms=4, color=style.GREY, label="atoms", clip_on=False
        )
        if levels is not None:
            _draw_levels(panel, levels, height)
        panel.set(xlim=(0, height), xlabel="Distance along the normal (Å)", ylabel="Potential energy (eV)", title=title)
        style.legend_above(figure, panel)
        data = None if levels is None else numbers(levels)
        return style.save(figure, path, columns=columns, data=data)


def _curve(average: PlanarAverage, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """One period that starts at `shift`, angstrom and eV, just inside it, as a dipole correction jumps there."""
    along = np.linspace(1e-7, 1 - 1e-7, FINER * len(average.values) + 1) * average.height
    values = average.at(along + shift / BOHR_IN_ANGSTROM)
    return along * BOHR_IN_ANGSTROM, values * HARTREE_IN_EV


def _middle_of_slab(structure, average: PlanarAverage) -> float:
    """Where the picture starts, angstrom: half a vacuum below the slab, so that the slab is in the middle."""
    from dftopt.atoms.vacuum import largest_gaps

    gap, end = (x[average.axis] for x in largest_gaps(structure.frac))
    return float((end - 0.5 * gap) * average.height * BOHR_IN_ANGSTROM)


def _draw_levels(panel, levels: WorkFunction, height: float) -> None:
    fermi = levels.fermi_level * HARTREE_IN_EV
    panel.axhline(fermi, color=style.BLACK, lw=0.8, ls=style.DASHES, zorder=0.8)
    panel.annotate(
        "$E_\\mathrm{F}$", (0.5 * height, fermi), (0, 3), textcoords="offset points", ha="center", fontsize=9
    )
    for side, start, stop, arrow in ((levels.below, 0.0, 0.22, 0.06), (levels.above, 0.78, 1.0, 0.94)):
        vacuum = side.level * HARTREE_IN_EV
        panel.plot([start * height, stop * height], [vacuum, vacuum], color=style.GREY, lw=1.0, ls=":", zorder=2.5)
        look = {"arrowstyle": "<->", "color": style.BLACK, "lw": 0.8, "shrinkA": 0, "shrinkB": 0}
        panel.annotate("", (arrow * height, vacuum), (arrow * height, fermi), arrowprops=look)
        text = f"{side.work_function * HARTREE_IN_EV:.2f} eV"
        align = {"ha": "left" if arrow < 0.5 else "right", "va": "center", "fontsize": 8.5}
        offset = (5 if arrow < 0.5 else -5, 0)
        panel.annotate(text, (arrow * height, 0.5 * (vacuum + fermi)), offset, textcoords="offset points", **align)


def numbers(levels: WorkFunction) -> dict:
    """A work function for JSON, eV and angstrom."""
    ev, angstrom = HARTREE_IN_EV, BOHR_IN_ANGSTROM
    sides = {
        name: {
            "vacuum_level_eV": side.level * ev,
            "work_function_eV": side.work_function * ev,
            "slope_eV_per_A": side.slope * ev / angstrom,
            "variation_eV": side.variation * ev,
            "region_A": [x * angstrom for x in side.region],
        }
        for name, side in (("above", levels.above), ("below", levels.below))
    }
    top = None if levels.valence_top is None else levels.valence_top * ev
    own = {"work_function_eV": levels.value * ev, "fermi_level_eV": levels.fermi_level * ev, "valence_top_eV": top}
    return {**own, "flat": levels.flat, **sides}
