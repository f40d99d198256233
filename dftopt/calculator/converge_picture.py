"""Picture of a convergence: errors against cutoff and k mesh."""

from pathlib import Path

import numpy as np

from dftopt.calculator import style
from dftopt.calculator.converge import UNITS, Axis
from dftopt.units import HARTREE_IN_EV

LABELS = {"ecut": "Cutoff (Ha)", "kpts": "k mesh"}
NAMES = {"energy": "energy difference", "forces": "forces", "stress": "stress"}
IN_WORDS = {"energy": "Energy (eV/atom)", "forces": "Forces (eV/Å)", "stress": "Stress (GPa)"}


def draw(path, axes: list[Axis], quantity: str, title: str = "") -> list[Path]:
    """Errors on a logarithmic axis, one panel per setting, with the accuracy and what is recommended.

    Args:
        path: of the PNG; "converge.png" also writes "converge-ecut.csv" and "converge-kpts.csv".
        axes: what was raised.
        quantity: what was watched.
        title: above the picture.
    """
    path = Path(path)
    with style.drawing():
        figure, panels = style.figure(columns=len(axes), squeeze=False)
        for panel, axis in zip(panels[0], axes, strict=True):
            _panel(panel, axis, quantity)
        panels[0][0].set_ylabel(f"Error of {IN_WORDS[quantity][0].lower()}{IN_WORDS[quantity][1:]}")
        if title:
            panels[0][0].set_title(title, loc="left")
        handles = panels[0][0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper center", ncols=2 * len(axes))  # four do not fit above one panel
        written = style.save(figure, path)
    for axis in axes:
        total = np.array([p.total for p in axis.points])
        columns: dict = (
            {"mesh": np.array(["x".join(map(str, p.setting)) for p in axis.points])} if axis.name == "kpts" else {}
        )
        if axis.name == "ecut":
            columns = {"ecut_eV": np.array([p.setting for p in axis.points])}
        columns |= {f"error_{UNITS[quantity].replace('/', '_per_')}": axis.errors, "total_eV_per_atom": total}
        columns |= {
            "iterations": np.array([p.iterations for p in axis.points]),
            "seconds": np.array([p.seconds for p in axis.points]),
        }
        written.append(_csv(path.with_name(f"{path.stem}-{axis.name}.csv"), columns))
    return written


def _panel(panel, axis: Axis, quantity: str) -> None:
    if axis.name == "ecut":
        x = np.array([p.setting for p in axis.points], float) / HARTREE_IN_EV
    else:
        x = np.arange(len(axis.points), dtype=float)
        panel.set_xticks(x, ["×".join(map(str, p.setting)) for p in axis.points], rotation=45, ha="right")
    shown = axis.errors[:-1] > 0
    panel.semilogy(
        x[:-1][shown], axis.errors[:-1][shown], style.MARKERS[0] + "-", color=style.COLOURS[0], label=NAMES[quantity]
    )
    if quantity == "energy":
        total = np.array([p.total for p in axis.points])
        away = np.array([np.abs(total[i + 1 :] - t).max() for i, t in enumerate(total[:-1])])
        panel.semilogy(
            x[:-1][away > 0], away[away > 0], style.MARKERS[1] + "--", color=style.COLOURS[1], label="total energy"
        )
    panel.axhline(axis.accuracy, color=style.GREY, lw=0.8, ls=style.DASHES, zorder=0, label="wanted")
    if axis.recommended is not None:
        panel.axvline(x[axis.recommended], color=style.GREY, lw=4, alpha=0.25, zorder=0, label="recommended")
    panel.set_xlabel(LABELS[axis.name])
    low, high = panel.get_ylim()
    panel.set_ylim(10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(high)))  # whole decades
    panel.yaxis.set_minor_formatter("")
    if axis.name == "ecut":
        panel.set_xticks(x)
        panel.set_xlim(x[0] - 0.3, x[-1] + 0.3)
    else:
        panel.set_xlim(-0.3, len(x) - 0.7)


def _csv(path: Path, columns: dict) -> Path:
    rows = [",".join(columns)]
    for row in zip(*columns.values(), strict=True):
        rows.append(",".join(str(x) if isinstance(x, (str, np.integer)) else f"{x:.10g}" for x in row))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path
