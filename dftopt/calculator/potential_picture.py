"""What a pseudopotential file holds: in words, as numbers, and as a picture."""

from pathlib import Path
from typing import Any

import numpy as np

from dftopt.atoms import radial
from dftopt.atoms.cutoff import estimated_cutoff
from dftopt.atoms.tabulated import RADIUS, Tabulated
from dftopt.calculator import style
from dftopt.units import HARTREE_IN_EV

LETTERS = "spdfghi"
POINTS = 400  # of a curve in the JSON
FAR = 6.0  # bohr: where the picture of densities ends


def electrons(p: Tabulated, density) -> float:
    """Integral of a radial density (mesh,), bohr^-1, as far as the integrals of a potential go."""
    return float(radial.simpson(p.dr[: p.points]) @ density[: p.points])


def describe(p: Tabulated) -> str:
    """Lines for a person."""
    shells = ", ".join(f"{c.n} of {LETTERS[c.l]}" for c in p.channels) or "none: the potential is local"
    core = f"yes, {electrons(p, 4 * np.pi * p.r**2 * p.core):.3f} electrons" if p.core is not None else "no"
    i = p.points - 1
    cutoff = estimated_cutoff(p)
    lines = [
        ("file", f"{p.given}"),
        ("format", f"{p.format}, sha256 {p.sha256}"),
        ("element", f"{p.element}, {p.charge:g} valence {_electrons(p.charge)}"),
        ("functional", f"{p.xc or 'not known here'}, in the file: {p.named or 'none'}"),
        ("projectors", shells),
        ("core correction", core),
        ("mesh", f"{len(p.r)} points from {p.r[0]:.3g} to {p.r[-1]:.4g} bohr; integrals end at {p.r[i]:.4g} bohr"),
        ("tail", f"V_loc = -{p.charge:g}/r {p.r[i] * p.v_local[i] + p.charge:+.1e}/r hartree there"),
        ("cutoff", f"about {cutoff:g} Ha = {2 * cutoff:g} Ry = {cutoff * HARTREE_IN_EV:.0f} eV: check its convergence"),
    ]
    if p.suggested_cutoff:
        lines.append(("", f"the file suggests {p.suggested_cutoff:g} Ha"))
    if p.orbitals:
        found = ", ".join(f"{o.label or LETTERS[o.l]} {o.occupation:g}" for o in p.orbitals)
        lines.append(("pseudo-orbitals", found))
    if p.density is not None:
        lines.append(("atomic density", f"{electrons(p, p.density):.4f} electrons"))
    return "\n".join(f"{name:16s}{text}" for name, text in lines)


def numbers(p: Tabulated) -> dict[str, Any]:
    """The same for JSON, hartree and bohr, with the curves of the picture."""
    r = np.linspace(0.0, _end(p), POINTS)
    curve = lambda y: np.interp(r, p.r, y)
    out: dict[str, Any] = {
        "file": p.given, "sha256": p.sha256, "format": p.format, "element": p.element, "valence_electrons": p.charge,
        "functional": p.xc, "functional_in_file": p.named,
        "projectors": [{"l": c.l, "number": c.n, "coupling_hartree": c.h} for c in p.channels],
        "core_electrons": None if p.core is None else electrons(p, 4 * np.pi * p.r**2 * p.core),
        "mesh": {"points": len(p.r), "first_bohr": p.r[0], "last_bohr": p.r[-1], "integrals_end_bohr": p.r[p.points - 1]},
        "cutoff_hartree": estimated_cutoff(p), "cutoff_in_file_hartree": p.suggested_cutoff or None,
        "orbitals": [{"label": o.label, "l": o.l, "occupation": o.occupation} for o in p.orbitals],
        "r_bohr": r, "v_local_hartree": curve(p.v_local),
        "r_times_projectors": [[curve(v) for v in c.values] for c in p.channels],
    }  # fmt: skip
    if p.core is not None:
        out["core_density_per_bohr"] = curve(4 * np.pi * p.r**2 * p.core)
    if p.density is not None:
        out["valence_density_per_bohr"] = curve(p.density)
    return out


def draw(path, p: Tabulated) -> list[Path]:
    """Local potential, projectors and densities against the radius.

    Args:
        path: of the PNG; "potential.png" also writes "potential.json".
        p: the potential.

    Returns:
        The files written.
    """
    shown = (p.r > 1e-3) & (p.r <= _end(p))
    r = p.r[shown]
    with style.drawing():
        figure, axes = style.figure(columns=3, width=1.25 * style.PAGE, height=2.7)
        deepest = float(p.v_local[shown].min())
        axes[0].plot(r, -p.charge / r, color=style.GREY, lw=0.9, ls=style.DASHES, label=f"−{p.charge:g}/r")
        axes[0].plot(r, p.v_local[shown], color=style.COLOURS[0], label="$V_\\mathrm{loc}$")
        axes[0].set(ylim=(1.15 * deepest, max(0.08 * abs(deepest), 1.1 * float(p.v_local[shown].max()))))
        axes[0].set(ylabel="Hartree", title="local potential")
        for c in p.channels:
            for i, values in enumerate(c.values):
                beta = values[shown] / np.abs(values[shown]).max()
                name = f"{LETTERS[c.l]}{i + 1 if c.n > 1 else ''}"
                axes[1].plot(r, beta, color=style.COLOURS[c.l], ls=style.LINES[i % len(style.LINES)], label=name)
        axes[1].set(ylabel="$r\\beta(r)$, largest value 1", title="projectors", ylim=(-1.1, 1.1))
        style.mark_zero(axes[1])
        if not p.channels:
            axes[1].text(
                0.5, 0.55, "none: the potential is local", transform=axes[1].transAxes, ha="center", color=style.GREY
            )
        far = (p.r > 1e-3) & (p.r <= FAR)
        if p.density is not None:
            axes[2].plot(p.r[far], p.density[far], color=style.COLOURS[0], label="valence")
        if p.core is not None:
            core = 4 * np.pi * p.r[far] ** 2 * p.core[far]
            axes[2].fill_between(p.r[far], core, color=style.COLOURS[1], alpha=0.25, lw=0)
            axes[2].plot(p.r[far], core, color=style.COLOURS[1], ls="--", label="core correction")
        axes[2].set(ylabel="$4\\pi r^2\\rho(r)$ (electrons / bohr)", title="densities", ylim=(0, None))
        for axis, end, place in zip(axes, (_end(p), _end(p), FAR), ("best", "upper right", "upper right"), strict=True):
            axis.set(xlabel="r (bohr)", xlim=(0, min(end, p.r[-1])))
            if axis.get_legend_handles_labels()[0]:
                many = len(axis.get_legend_handles_labels()[0]) > 4
                axis.legend(loc=place, labelspacing=0.25, ncols=1 + many, columnspacing=0.8, handlelength=1.4)
        figure.suptitle(
            f"{p.name}: {p.element}, {p.charge:g} {_electrons(p.charge)}, {p.xc or p.named or 'functional not named'}"
        )
        return style.save(figure, path, data=numbers(p))


def _electrons(count: float) -> str:
    return "electron" if count == 1 else "electrons"


def _end(p: Tabulated) -> float:
    """A little beyond the projectors, or 5 bohr."""
    peaks = [np.abs(v) for c in p.channels for v in c.values]
    reach = max((p.r[np.flatnonzero(v > 0.01 * v.max())[-1]] for v in peaks if v.max() > 0), default=4.0)
    return float(min(max(1.4 * reach, 3.0), p.r[-1], RADIUS))
