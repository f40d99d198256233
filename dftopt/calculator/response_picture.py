"""Picture of a linear response: modes at Gamma beside the elastic constants, or the infrared spectrum of a molecule."""

from pathlib import Path

import numpy as np

from dftopt.calculator import style

NAMES = ("xx", "yy", "zz", "yz", "xz", "xy")
WIDTH = 10.0  # cm^-1, half of the lines' width at half their height
NO_VIBRATION = 1.0  # cm^-1


def draw(path, data: dict, title: str = "") -> list[Path]:
    """Modes at Gamma as levels (transverse, and along each q the longitudinal ones) beside the elastic constants.

    Of a molecule: the infrared spectrum.

    Args:
        path: of the PNG; a CSV with the modes is written beside it.
        data: `gamma_cm1`; `longitudinal_cm1` and `elastic_GPa` where there are any. Of a molecule `infrared_km_per_mol` and
            its frequencies, `gamma_cm1` or `modes_cm1`.
        title: above the picture.

    Returns:
        The files written.
    """
    if "infrared_km_per_mol" in data:
        return spectrum(path, data.get("modes_cm1", data.get("gamma_cm1")), data["infrared_km_per_mol"], title)
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


def spectrum(path, frequencies, strengths, title: str = "") -> list[Path]:
    """Infrared spectrum: a stick for each vibration, and Lorentzians of a fixed width under the same area.

    Args:
        path: of the PNG; a CSV with the modes is written beside it.
        frequencies: cm^-1.
        strengths: km/mol.
        title: above the picture.

    Returns:
        The files written.
    """
    v, strength = np.asarray(frequencies), np.asarray(strengths)
    seen = v > NO_VIBRATION
    x = np.linspace(0, 1.1 * max(v.max(), 100.0), 2000)
    lines = strength[seen] / np.pi * WIDTH / ((x[:, None] - v[seen]) ** 2 + WIDTH**2)
    with style.drawing():
        figure, axes = style.figure(width=4.5)
        axes.plot(x, lines.sum(axis=1), color=style.COLOURS[0])
        axes.set(xlabel="Wave number (cm$^{-1}$)", ylabel="Absorption (km mol$^{-1}$ cm)", title=title, xlim=(0, x[-1]))
        axes.set_ylim(bottom=0)
        sticks = axes.twinx()
        sticks.vlines(v[seen], 0, strength[seen], color=style.COLOURS[1])
        sticks.set_ylabel("Of each mode (km mol$^{-1}$)", color=style.COLOURS[1])
        sticks.set_ylim(0, 1.15 * max(strength[seen].max(initial=0.0), 1e-9))
        columns = {"mode": np.arange(1, len(v) + 1), "frequency_cm1": v, "infrared_km_per_mol": strength}
        return style.save(figure, path, columns=columns)
