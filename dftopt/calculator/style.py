"""How pictures look, and how they are saved: light, colour-blind safe, readable in grey, with their numbers beside them.

A picture is drawn like this, and "eos.png" then has "eos.csv" (columns) or "eos.json" (anything else) beside it:

    with style.drawing():
        figure, axis = style.figure()
        axis.plot(volume, energy, style.MARKERS[0], color=style.COLOURS[0])
        axis.set(xlabel="Volume (Å³)", ylabel="Energy (eV)")
        return style.save(figure, path, columns={"volume_A3": volume, "energy_eV": energy})

The name's suffix chooses the format: .png, or .pdf and .svg with their text as text.

References:
    Okabe and Ito, Color Universal Design (2008): the eight colours.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dftopt.calculator.report import write_json
from dftopt.errors import InputError

BLACK, ORANGE, SKY, GREEN = "#000000", "#e69f00", "#56b4e9", "#009e73"
YELLOW, BLUE, VERMILION, PURPLE = "#f0e442", "#0072b2", "#d55e00", "#cc79a7"
GREY = "#6e6e6e"  # axes of reference, guides to the eye
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK)  # in the order in which series take them
AREAS = (BLUE, ORANGE, BLACK, GREEN, SKY, PURPLE, VERMILION)  # for neighbouring areas: the first four differ in grey
LINES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (1, 1)), (0, (8, 2)))  # the same series in grey
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SEQUENTIAL, DIVERGING = "YlGnBu", "PuOr_r"  # colour maps: light is low; zero is white
COLUMN, PAGE = 4.2, 6.8  # inch: widths of a picture in one column and across a page
HEIGHT = 3.0  # inch: of one panel
DASHES = (0, (4, 3))  # of lines that mark a level
RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.0,
    "lines.solid_capstyle": "round",
    "xtick.direction": "out",
    "ytick.direction": "out",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "savefig.dpi": 200,
    "figure.facecolor": "white",
    "pdf.fonttype": 42,  # fonts that an editor can change
    "svg.fonttype": "none",
}


@contextmanager
def drawing() -> Iterator[None]:
    """Context in which matplotlib has our settings; the user's own come back after it."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a picture is the same whatever the user's matplotlibrc says
        matplotlib.rcParams.update(RC)
        yield


def figure(rows: int = 1, columns: int = 1, width: float | None = None, height: float | None = None, **subplots):
    """A figure without display or global state, and its axes as `Figure.subplots` gives them.

    Args:
        rows: of panels.
        columns: of panels.
        width: inch; default `COLUMN` for one column of panels, else `PAGE`.
        height: inch; default `HEIGHT` per row.
        **subplots: arguments of `matplotlib.figure.Figure.subplots`, such as `sharey` and `width_ratios`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = (width or (COLUMN if columns == 1 else PAGE), height or HEIGHT * rows)
    drawn = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(drawn)
    return drawn, drawn.subplots(rows, columns, **subplots)


def save(figure, path, columns: Mapping[str, Any] | None = None, data: Mapping[str, Any] | None = None) -> list[Path]:
    """Write a picture and its numbers.

    Args:
        figure: from `figure`.
        path: of the picture; the suffix chooses the format (.png, .pdf, .svg).
        columns: series of equal length by name and unit, to a CSV file of the same name.
        data: anything that JSON can hold, to a JSON file of the same name.

    Returns:
        The files written, the picture first.

    Raises:
        InputError: a suffix that names no format.
    """
    path = Path(path)
    known = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise InputError(f"{path}: the suffix must name a format of pictures, such as .png, .pdf or .svg.")
    figure.savefig(path)
    written = [path]
    if columns is not None:
        written.append(write_csv(path.with_suffix(".csv"), columns))
    if data is not None:
        write_json(path.with_suffix(".json"), data)
        written.append(path.with_suffix(".json"))
    return written


def write_csv(path, columns: Mapping[str, Any]) -> Path:
    """Columns of equal length with their names in the first line; whole numbers stay whole."""
    arrays = [np.asarray(c) for c in columns.values()]
    formats = ["%d" if a.dtype.kind in "iub" else "%.12g" for a in arrays]
    table = np.empty((len(arrays[0]), len(arrays)), object)
    for i, a in enumerate(arrays):
        table[:, i] = a
    np.savetxt(path, table, delimiter=",", fmt=formats, header=",".join(columns), comments="", encoding="utf-8")
    return Path(path)


def mark_zero(axis, along: str = "x") -> None:
    """A dashed grey line at zero across an axis: "x" horizontal (y = 0), "y" vertical (x = 0)."""
    (axis.axhline if along == "x" else axis.axvline)(0.0, color=GREY, lw=0.8, ls=DASHES, zorder=0.8)


def legend_above(figure, panel, last=None) -> None:
    """What is labelled in a panel, in a row above the panels where it hides nothing; titles of panels go to their left.

    Args:
        figure: the figure.
        panel: axes whose lines have labels.
        last: the rightmost axes, above which the row ends; default `panel`.
    """
    handles, labels = panel.get_legend_handles_labels()
    look: dict[str, Any] = {"handlelength": 1.7, "columnspacing": 1.3, "handletextpad": 0.5}
    inches = sum(0.42 + 0.075 * len(label) for label in labels) + 0.1 * len(panel.get_title("left"))
    if inches > 0.85 * figure.get_figwidth():
        figure.legend(handles, labels, loc="outside upper right", ncols=6, **look)
        return
    row = {"ncols": len(labels), "loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.2}
    (last or panel).legend(handles, labels, **row, **look).set_in_layout(False)


def whole_numbers(axis, which: str = "y") -> None:
    """Ticks at whole numbers only, along "x" or "y"."""
    from matplotlib.ticker import MaxNLocator

    getattr(axis, f"{which}axis").set_major_locator(MaxNLocator(integer=True))


def special_point(name: str) -> str:
    """A point of the Brillouin zone as it is printed: G is Gamma, digits are subscripts."""
    if name in ("G", "Gamma", "GAMMA"):
        return "Γ"
    letters = name.rstrip("0123456789")
    return f"{letters}$_{{{name[len(letters) :]}}}$" if letters != name else name
