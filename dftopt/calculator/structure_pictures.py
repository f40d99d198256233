"""Pictures of relaxations and equations of state, with their numbers beside them."""

from pathlib import Path

import numpy as np

from dftopt.calculator import style
from dftopt.calculator.eos import EquationOfState
from dftopt.calculator.relax import Relaxation


def draw_relaxation(path, found: Relaxation, fmax: float, smax: float, title: str = "") -> list[Path]:
    """Energy above that of the last step, and forces and stress with the limits they had to reach, against steps.

    Args:
        path: of the picture; "relax.png" also writes "relax.csv".
        found: the relaxation.
        fmax: limit of the forces, eV/angstrom.
        smax: limit of the stress, GPa.
        title: above the picture.
    """
    steps, natoms = found.steps, len(found.atoms)
    n = np.array([s.number for s in steps])
    energy, forces = np.array([s.energy for s in steps]), np.array([s.fmax for s in steps])
    columns = {"step": n, "energy_eV": energy, "fmax_eV_per_angstrom": forces}
    above = (energy - energy[-1]) / natoms * 1000
    with style.drawing():
        figure, axes = style.figure(2, 1, height=4.2, sharex=True)
        axes[0].plot(n, above, style.MARKERS[0] + style.LINES[0], color=style.COLOURS[0])
        style.mark_zero(axes[0])
        axes[0].set(ylabel="Energy (meV/atom)", title=title)
        series = [(forces, fmax, "largest force (eV/Å)")]
        if steps[-1].smax is not None:
            stress = np.array([s.smax for s in steps], float)
            series.append((stress, smax, "largest stress (GPa)"))
            columns |= {"smax_GPa": stress, "volume_A3": np.array([s.volume for s in steps])}
        for i, (values, limit, name) in enumerate(series):
            shown = values > 1e-6 * limit  # forces that symmetry makes vanish have no place on a logarithmic axis
            if not shown.any():
                continue
            axes[1].semilogy(
                n[shown], values[shown], marker=style.MARKERS[i], ls=style.LINES[i], color=style.COLOURS[i], label=name
            )
            axes[1].axhline(limit, color=style.COLOURS[i], lw=0.8, ls=style.DASHES, zorder=0)
        axes[1].set(xlabel="Step")
        axes[1].legend()
        style.whole_numbers(axes[1], "x")
        return style.save(figure, path, columns=columns)


def draw_equation_of_state(path, found: EquationOfState, title: str = "") -> list[Path]:
    """Energies per atom above the minimum of the curve, the curve, and what it says.

    Args:
        path: of the picture; "eos.png" also writes "eos.csv".
        found: points and curve.
        title: above the picture.
    """
    n = found.natoms
    volume, free = np.array([p.volume for p in found.points]), np.array([p.free_energy for p in found.points])
    columns = {
        "factor": [p.factor for p in found.points],
        "volume_A3": volume,
        "energy_eV": [p.energy for p in found.points],
        "free_energy_eV": free,
    }
    curve = found.curve
    zero = free.min() if curve is None else curve.e0
    with style.drawing():
        figure, axis = style.figure()
        if curve is not None:
            columns["curve_eV"] = curve.energy(volume)
            fine = np.linspace(volume.min(), volume.max(), 200)
            axis.plot(fine / n, (curve.energy(fine) - zero) / n * 1000, color=style.GREY, zorder=1)
            text = f"$V_0$ = {curve.v0 / n:.3f} Å³/atom\n$B_0$ = {curve.b0:.1f} GPa\n$B_0'$ = {curve.b1:.2f}"
            axis.text(0.5, 0.95, text, transform=axis.transAxes, ha="center", va="top", linespacing=1.5)
        axis.plot(volume / n, (free - zero) / n * 1000, style.MARKERS[0], color=style.COLOURS[0], zorder=2)
        axis.set(xlabel="Volume (Å³/atom)", ylabel="Energy (meV/atom)", title=title)
        return style.save(figure, path, columns=columns)
