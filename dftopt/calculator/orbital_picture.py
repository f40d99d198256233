"""Picture of the orbital energies of a molecule."""

from pathlib import Path

import numpy as np

from dftopt.calculator import style
from dftopt.units import HARTREE_IN_EV

DEEPEST, HIGHEST = -35.0, 12.0  # eV: core levels and high empty ones are in the numbers only


def draw(path, result, title: str = "") -> list[Path]:
    """Orbital energies as short lines, one column per spin, filled ones in colour; levels within 0.05 eV stand side by side.

    Args:
        path: of the PNG; a CSV file of the same name holds all energies and occupations.
        result: of a molecule.
        title: above the picture.

    Returns:
        The files written.
    """
    e, f = result.eigenvalues[:, 0] * HARTREE_IN_EV, result.occupations[:, 0]
    spins = len(e)
    with style.drawing():
        figure, panel = style.figure(width=1.6 + 1.2 * spins, height=3.6)
        for s in range(spins):
            shown = np.flatnonzero((e[s] > DEEPEST) & (e[s] < HIGHEST))
            groups = np.split(shown, np.flatnonzero(np.diff(e[s][shown]) > 0.05) + 1) if len(shown) else []
            for group in groups:
                width = 0.7 / max(len(group), 1)
                for k, i in enumerate(group):
                    left = s - 0.35 + k * width
                    colour = style.COLOURS[0] if f[s, i] > 0.5 else style.GREY
                    panel.plot([left, left + 0.85 * width], [e[s, i]] * 2, color=colour, lw=1.8, solid_capstyle="butt")
        panel.set(xlim=(-0.6, spins - 0.4), ylim=(DEEPEST, HIGHEST), ylabel="Energy (eV)", title=title)
        panel.set_xticks(range(spins), ["up", "down"] if spins == 2 else ["filled and empty"])
        panel.tick_params(axis="x", length=0)
        spin, number = np.indices(e.shape)
        columns = {"spin": spin.ravel(), "orbital": number.ravel(), "energy_eV": e.ravel(), "occupation": f.ravel()}
        return style.save(figure, path, columns=columns)
