"""Pictures of macroscopic dynamics: landscape, drift, trajectories against data, calibration; each with its numbers."""

from pathlib import Path

import numpy as np

from dftopt.calculator import style
from dftopt.macro.fitted import Fit

POINTS = {0: ("o", "minimum"), 1: ("X", "saddle"), 2: ("^", "maximum")}
GRID = 121


def landscape(path, fit: Fit, parameters=None, points=(), barriers=(), title: str = "") -> list[Path]:
    """Potential with stationary points and minimum-energy paths.

    One coordinate: V with twice its standard deviation over the ensemble. More: V in the plane of the first two, the others
    at their mean given these (a line through the data), shifted so that the lowest minimum of `points` lies in the plane;
    where no data is, nothing is drawn.

    Args:
        path: of the picture; the numbers go to a JSON file of the same name.
        fit: with a potential.
        parameters: external parameters.
        points: from `fit.stationary_points()`.
        barriers: from `fit.barriers()`.
        title: above the picture.
    """
    from matplotlib.ticker import MaxNLocator

    with style.drawing():
        figure, axis = style.figure()
        if fit.dimension == 1:
            z = _range(fit.states[:, 0])
            V, spread = fit.potential(z[:, None], parameters, spread=True)
            axis.fill_between(z, V - 2 * spread, V + 2 * spread, color=style.SKY, alpha=0.4, lw=0)
            axis.plot(z, V, color=style.BLUE)
            axis.set(xlabel=_label(fit, 0), ylabel=_height(fit))
            data = {"z": z, "V": V, "spread": spread}
        else:
            minima = [p for p in points if p.index == 0]
            through = min(minima, key=lambda p: p.value).z if minima else None
            x, y, V, inside = _plane(fit, parameters, through)
            shown = np.where(inside, V - V[inside].min(), np.nan)
            top = np.nanquantile(shown, 0.98)
            drawn = axis.contourf(x, y, shown.T, np.linspace(0, top, 25), cmap=style.SEQUENTIAL + "_r", extend="max")
            drawn.set_edgecolor("face")
            figure.colorbar(drawn, ax=axis, label=_height(fit), ticks=MaxNLocator(6))
            axis.set(xlabel=_label(fit, 0), ylabel=_label(fit, 1))
            data = {"x": x, "y": y, "V": np.where(inside, V, -1.0), "inside": inside}
        for barrier in barriers:
            along = barrier.path[:, 1] if fit.dimension > 1 else barrier.values
            if fit.dimension > 1:
                axis.plot(barrier.path[:, 0], along, color=style.VERMILION, lw=1.6)
        named: set[int] = set()
        for p in points:
            kind = 2 if p.index == fit.dimension else min(p.index, 2)
            marker, name = POINTS[kind]
            at = (p.z[0], p.z[1] if fit.dimension > 1 else p.value)
            axis.plot(
                *at,
                marker,
                color=style.VERMILION,
                mec="white",
                ms=7,
                ls="",
                label=None if kind in named else name,
                zorder=5,
            )
            named.add(kind)
        axis.set_title(title, loc="left")
        if named:
            style.legend_above(figure, axis)
        data |= {"points": [{"z": p.z, "V": p.value, "index": p.index} for p in points]}
        data |= {"paths": [{"z": b.path, "V": b.values, "height": b.height} for b in barriers]}
        return style.save(figure, path, data=data)


def drift_field(path, fit: Fit, parameters=None, mean_field=None, title: str = "") -> list[Path]:
    """Drift and diffusion: curves with twice their standard deviation for one coordinate, arrows in the plane of two.

    Args:
        path: of the picture.
        fit: any fit.
        parameters: external parameters.
        mean_field: drift (batch, d) of points for comparison, such as `sim.mean_field`.
        title: above the picture.
    """
    with style.drawing():
        if fit.dimension == 1:
            z = _range(fit.states[:, 0])
            b, wide = (v[:, 0] for v in fit.drift(z[:, None], parameters, spread=True))
            D, D_wide = (v[:, 0, 0] for v in fit.diffusion(z[:, None], parameters, spread=True))
            figure, (left, right) = style.figure(columns=2)
            for axis, value, spread, name in ((left, b, wide, "Drift"), (right, D, D_wide, "Diffusion")):
                axis.fill_between(z, value - 2 * spread, value + 2 * spread, color=style.SKY, alpha=0.4, lw=0)
                axis.plot(z, value, color=style.BLUE, label="learned")
                axis.set(xlabel=_label(fit, 0), ylabel=f"{name} per unit time")
            right.set_ylim(0, 1.2 * D.max())
            style.mark_zero(left)
            columns = {"z": z, "drift": b, "drift_spread": wide, "diffusion": D, "diffusion_spread": D_wide}
            if mean_field is not None:
                columns["mean_field"] = np.asarray(mean_field(z[:, None]))[:, 0]
                left.plot(z, columns["mean_field"], "--", color=style.VERMILION, label="mean field")
                style.legend_above(figure, left)
            left.set_title(title, loc="left")
            return style.save(figure, path, columns=columns)
        figure, axis = style.figure()
        points, inside, _ = _points(fit, 17)
        b = fit.drift(points, parameters)
        speed = np.linalg.norm(b[:, :2] / fit.scales.spread[:2], axis=1)
        axis.plot(*fit.states[:: max(1, len(fit.states) // 1500), :2].T, ".", color="#d0d0d0", ms=1.5, zorder=0)
        top = speed[inside].max()
        arrows = axis.quiver(
            *points[inside, :2].T,
            *b[inside, :2].T,
            speed[inside],
            angles="xy",
            cmap=style.SEQUENTIAL,
            width=0.005,
            clim=(-0.3 * top, top),  # the lightest colours would not be seen
        )
        figure.colorbar(arrows, ax=axis, label="Speed (spreads per unit time)").ax.set_ylim(0, None)
        axis.set(xlabel=_label(fit, 0), ylabel=_label(fit, 1))
        axis.set_title(title, loc="left")
        columns = {f"z{i}": points[inside, i] for i in range(fit.dimension)}
        return style.save(figure, path, columns=columns | {f"b{i}": b[inside, i] for i in range(fit.dimension)})


def against_data(path, times, data, learned, names, time_unit: str = "", title: str = "") -> list[Path]:
    """Mean and 10 to 90 % range of trajectories from the same starts, true and learned; one panel per coordinate.

    Args:
        path: of the picture.
        times: (T,).
        data: (N, T, d).
        learned: (n, T, d).
        names: of the d coordinates.
        time_unit: in words.
        title: above the picture.
    """
    d, unit = data.shape[2], time_unit.split(" (")[0]
    columns: dict = {"time": times}
    with style.drawing():
        figure, panels = style.figure(columns=d, squeeze=False, width=min(6.8, 1.2 + 3.0 * d))
        for i, axis in enumerate(panels[0]):
            for z, name, colour, line in ((data, "data", style.VERMILION, "--"), (learned, "learned", style.BLUE, "-")):
                low, high = np.quantile(z[..., i], (0.1, 0.9), axis=0)
                axis.fill_between(times, low, high, color=colour, alpha=0.18, lw=0)
                axis.plot(times, z[..., i].mean(0), line, color=colour, label=name)
                columns |= {f"{name}_{i}_mean": z[..., i].mean(0), f"{name}_{i}_10": low, f"{name}_{i}_90": high}
            axis.set(
                xlabel=f"Time ({unit})" if unit and len(unit) < 30 else "Time",
                ylabel=names[i][:1].upper() + names[i][1:],
            )
        panels[0][0].set_title(title, loc="left")
        style.legend_above(figure, panels[0][0], panels[0][-1])
        return style.save(figure, path, columns=columns)


def calibration(path, residuals, title: str = "") -> list[Path]:
    """Observed against expected shares of standardized residuals below each normal quantile: a diagonal if noise is right.

    Args:
        path: of the picture.
        residuals: (m, d) increments in units of their predicted standard deviation (`dftopt.macro.likelihood.standardized`).
        title: above the picture.
    """
    from scipy.stats import norm

    expected = np.linspace(0, 1, 101)
    with style.drawing():
        figure, axis = style.figure(width=3.4, height=3.2)
        axis.plot([0, 1], [0, 1], color=style.GREY, lw=0.8, ls=style.DASHES)
        columns = {"expected": expected}
        for i, r in enumerate(np.asarray(residuals).T):
            columns[f"observed_{i}"] = np.searchsorted(np.sort(norm.cdf(r)), expected) / len(r)
            axis.plot(expected, columns[f"observed_{i}"], color=style.COLOURS[i % 7], ls=style.LINES[i % 7])
        axis.set(xlabel="Expected share", ylabel="Observed share", xlim=(0, 1), ylim=(0, 1))
        axis.set_title(title, loc="left")
        return style.save(figure, path, columns=columns)


def _range(z):
    low, high = np.quantile(z, (0.002, 0.998))
    return np.linspace(low, high, 301)


def _label(fit, i):
    return fit.names[i][:1].upper() + fit.names[i][1:]


def _height(fit):
    return "V / T" if fit.temperature == 1 and fit.model.form == "fdr" else "V"


def _points(fit, count, through=None):
    """Points (count^2, d) over the first two coordinates, the others by a line; which are near data; the two axes.

    The line is shifted to go through the point `through`, if there is one.
    """
    z = fit.states
    axes = [np.linspace(np.quantile(z[:, i], 0.002), np.quantile(z[:, i], 0.998), count) for i in (0, 1)]
    plane = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    lift = np.linalg.lstsq(np.c_[np.ones(len(z)), z[:, :2]], z[:, 2:], rcond=None)[0]
    others = lambda p: np.c_[np.ones(len(p)), p] @ lift
    moved = 0.0 if through is None else through[2:] - others(np.asarray(through)[None, :2])[0]
    points = np.c_[plane, others(plane) + moved]
    some = z[:: max(1, len(z) // 4000), :2] / fit.scales.spread[:2]
    away = [((some - p) ** 2).sum(1).min() for p in plane / fit.scales.spread[:2]]
    return points, np.array(away) < 0.2**2, axes


def _plane(fit, parameters, through):
    points, inside, axes = _points(fit, GRID, through)
    return *axes, fit.potential(points, parameters).reshape(GRID, GRID), inside.reshape(GRID, GRID)
