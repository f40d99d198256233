"""Pictures, each with its numbers in a file beside it."""

from pathlib import Path
from typing import Any

import numpy as np
from ase.spectrum.band_structure import BandStructure

from dftopt.calculator.report import write_json
from dftopt.units import HARTREE_IN_EV

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#6e6e6e"  # Okabe and Ito: distinct for colour-blind readers
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.linewidth": 0.8,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.direction": "out",
    "ytick.direction": "out",
    "legend.frameon": False,
    "savefig.dpi": 200,
    "figure.facecolor": "white",
}


def _figure(*args, **kwargs):
    """A figure on the Agg canvas: no display, no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(*args, **kwargs)
    FigureCanvasAgg(figure)
    return figure


def _label(name: str) -> str:
    """Special points as they are printed: G is Gamma, digits are subscripts."""
    if name in ("G", "Gamma"):
        return "Γ"
    letters = name.rstrip("0123456789")
    return f"{letters}$_{{{name[len(letters) :]}}}$" if letters != name else name


def _special_points(bands: BandStructure) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Distances along the path, and places and labels of its special points; those at a jump share a tick."""
    x, places, names = bands.get_labels()
    ticks: list[float] = []
    labels: list[str] = []
    for place, name in zip(places, names, strict=True):
        if ticks and abs(place - ticks[-1]) < 1e-6:
            labels[-1] += "|" + _label(name)
        else:
            ticks.append(float(place))
            labels.append(_label(name))
    return np.asarray(x), np.array(ticks), labels


def bands_and_dos(
    path, bands: BandStructure, dos=None, title: str = "", reference: str = "$E_\\mathrm{F}$", window=None
) -> list[Path]:
    """Band structure with the density of states beside it, on one energy axis.

    Args:
        path: of the PNG; "bands.png" also writes "bands.json", and "dos.csv" where there is a density of states.
        bands: energies and reference in eV.
        dos: a `dftopt.properties.dos.DOS`, or None.
        title: above the bands.
        reference: name of the zero of energy on the axis.
        window: lowest and highest energy (eV, from the reference); default all filled bands and 8 eV above.

    Returns:
        The files written.
    """
    import matplotlib

    path = Path(path)
    x, ticks, labels = _special_points(bands)
    e = bands.energies - bands.reference
    low, high = window or (e.min() - 1.0, min(8.0, e.max() + 0.5))
    with matplotlib.rc_context(STYLE):
        figure = _figure(figsize=(5.6 if dos is not None else 4.2, 3.6), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1)) if dos is not None else [figure.subplots()]
        for levels in e:
            axes[0].plot(x, levels, color=BLUE, lw=1.3, solid_capstyle="round")
        for place in ticks[1:-1]:
            axes[0].axvline(place, color=GREY, lw=0.6, alpha=0.6, zorder=0)
        axes[0].set(xlim=(x[0], x[-1]), ylim=(low, high), ylabel=f"Energy − {reference} (eV)", title=title)
        axes[0].set_xticks(ticks, labels)
        axes[0].tick_params(axis="x", length=0, labelsize=10)
        axes[0].yaxis.get_major_locator().set_params(integer=True)
        if dos is not None:
            _draw_dos(axes[1], dos, low, high)
        for axis in axes:
            axis.axhline(0.0, color=GREY, lw=0.8, ls=(0, (4, 3)), zorder=0)
        figure.savefig(path)
    written = [path, path.with_suffix(".json")]
    special = [{"label": label, "x": place} for label, place in zip(labels, ticks, strict=True)]
    write_json(
        written[1],
        {
            "kpoints": bands.path.kpts,
            "x": x,
            "special_points": special,
            "energies_eV": bands.energies,
            "reference_eV": bands.reference,
        },
    )
    if dos is not None:
        written.append(write_dos(path.with_name("dos.csv"), dos))
    return written


def _draw_dos(axis, dos, low: float, high: float) -> None:
    energies = (dos.energies - dos.reference) * HARTREE_IN_EV
    values = dos.values.sum(axis=0) / HARTREE_IN_EV
    axis.fill_betweenx(energies, values, where=energies <= 0, color=ORANGE, alpha=0.25, lw=0)
    axis.plot(values, energies, color=ORANGE, lw=1.2)
    shown = values[(energies >= low) & (energies <= high)]
    axis.set(xlim=(0, 1.1 * shown.max() if shown.size and shown.max() > 0 else 1), xlabel="States / eV / cell")
    axis.tick_params(axis="y", length=0)


def dos_alone(path, dos, title: str = "", reference: str = "$E_\\mathrm{F}$") -> list[Path]:
    """Density of states against energy; "dos.png" also writes "dos.csv".

    Args:
        path: of the PNG.
        dos: a `dftopt.properties.dos.DOS`.
        title: above the picture.
        reference: name of the zero of energy.
    """
    import matplotlib

    path = Path(path)
    energies = (dos.energies - dos.reference) * HARTREE_IN_EV
    values = dos.values.sum(axis=0) / HARTREE_IN_EV
    with matplotlib.rc_context(STYLE):
        figure = _figure(figsize=(4.2, 3.0), layout="constrained")
        axis = figure.subplots()
        axis.fill_between(energies, values, where=energies <= 0, color=ORANGE, alpha=0.25, lw=0)
        axis.plot(energies, values, color=ORANGE, lw=1.2)
        axis.axvline(0.0, color=GREY, lw=0.8, ls=(0, (4, 3)), zorder=0)
        axis.set(
            xlim=(energies[0], energies[-1]),
            xlabel=f"Energy − {reference} (eV)",
            ylabel="States / eV / cell",
            title=title,
        )
        axis.set_ylim(bottom=0)
        figure.savefig(path)
    return [path, write_dos(path.with_suffix(".csv"), dos)]


def write_dos(path, dos) -> Path:
    """Energies from the reference (eV) and states per eV and cell."""
    columns = np.column_stack([(dos.energies - dos.reference) * HARTREE_IN_EV, dos.values.T / HARTREE_IN_EV])
    names = ["states_per_eV_cell"] if len(dos.values) == 1 else ["up_per_eV_cell", "down_per_eV_cell"]
    np.savetxt(path, columns, delimiter=",", fmt="%.8g", header=",".join(["energy_eV", *names]), comments="")
    return Path(path)


def convergence(path, history, errors, natoms: int, title: str = "") -> list[Path]:
    """How far A is above its final value, and the error that the minimizer predicted, against iterations.

    Args:
        path: of the PNG; "convergence.png" also writes "convergence.csv".
        history: A after each accepted iteration, hartree.
        errors: predicted errors of A, hartree.
        natoms: atoms in the cell.
        title: above the picture.
    """
    import matplotlib

    path = Path(path)
    a, predicted = np.asarray(history, float), np.asarray(errors, float) / natoms
    above = (a - a[-1]) / natoms if len(a) else a
    n = np.arange(1, len(a) + 1)
    floor = 1e-15
    with matplotlib.rc_context(STYLE):
        figure = _figure(figsize=(4.2, 3.0), layout="constrained")
        axis = figure.subplots()
        shown = above > floor
        axis.semilogy(n[shown], above[shown], "o-", color=BLUE, ms=3.5, lw=1.2, label="$A - A_\\mathrm{final}$")
        axis.semilogy(
            n[predicted > floor],
            predicted[predicted > floor],
            "s--",
            color=ORANGE,
            ms=3,
            lw=1.0,
            label="predicted error",
        )
        axis.set(xlabel="Iteration", ylabel="Ha / atom", title=title)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(axis="y", color=GREY, alpha=0.2, lw=0.6)
        axis.legend()
        figure.savefig(path)
    csv = path.with_suffix(".csv")
    np.savetxt(
        csv, np.column_stack([n, a, above, predicted]), delimiter=",", fmt=["%d", "%.14g", "%.6e", "%.6e"],
        header="iteration,free_energy_hartree,above_final_hartree_per_atom,predicted_error_hartree_per_atom", comments="",
    )  # fmt: skip
    return [path, csv]
