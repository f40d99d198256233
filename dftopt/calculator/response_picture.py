"""Picture of a linear response: modes at Gamma beside the elastic constants."""

from pathlib import Path

import numpy as np

from dftopt.calculator import style

NAMES = ("xx", "yy", "zz", "yz", "xz", "xy")


def draw(path, data: dict, title: str = "") -> list[Path]:
    """Modes at Gamma as levels (transverse, and along each q the longitudinal ones) beside the elastic constants.

    Args:
        path: of the PNG; a CSV with the modes is written beside it.
        data: `gamma_cm1`; `longitudinal_cm1` and `elastic_GPa` where there are any.
        title: above the picture.

    Returns:
        The files written.
    """
    columns = {"Γ": np.asarray(data["gamma_cm1"])}
    for name, found in data.get("longitudinal_cm1", {}).items():
        columns[f"q ∥ {name}"] = np.asarray(found["frequencies"])
    elastic = data.get("elastic_GPa")
    with style.drawing():
        panels = 1 if elastic is None else 2
        figure, axes = style.figure(columns=panels, width=5.6 if panels == 2 else None)
        left = axes[0] if panels == 2 else axes
        for i, values in enumerate(columns.values()):
            left.hlines(values, i - 0.35, i + 0.35, color=style.COLOURS[0 if i == 0 else 1])
        left.set_xticks(range(len(columns)), list(columns))
        left.set(ylabel="Frequency (cm$^{-1}$)", title=title, xlim=(-0.6, len(columns) - 0.4))
        if min(v.min() for v in columns.values()) < -1:
            style.mark_zero(left)
        if panels == 2:
            c = np.asarray(elastic)
            limit = float(np.abs(c).max())
            image = axes[1].imshow(c, cmap=style.DIVERGING, vmin=-limit, vmax=limit)
            axes[1].set_xticks(range(6), NAMES)
            axes[1].set_yticks(range(6), NAMES)
            axes[1].tick_params(length=0)
            axes[1].spines[:].set_visible(False)
            figure.colorbar(image, ax=axes[1], label="Elastic constant (GPa)", shrink=0.85)
        modes = {"mode": np.arange(1, len(columns["Γ"]) + 1)}
        modes |= {f"{name.replace('Γ', 'gamma').replace('q ∥ ', 'q_')}_cm1": values for name, values in columns.items()}
        return style.save(figure, path, columns=modes)
