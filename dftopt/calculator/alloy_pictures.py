"""Pictures of alloys: hull, cross-validation, short-range order and heat capacity, diffusion."""

from pathlib import Path

import numpy as np

from dftopt.calculator import style


def cross_validation(path, ce) -> list[Path]:
    """Energies predicted from the other folds against those computed, and the differences.

    Both are drawn relative to the mixture of elements that fits the computed ones best: absolute energies of two elements are
    so far apart that any fit looks perfect.

    Args:
        path: of the picture.
        ce: a fitted ClusterExpansion.
    """
    e, held = np.asarray(ce.training["energy"]), np.asarray(ce.training["cross_validated"])
    c = np.asarray(ce.training["composition"])
    mixture = c @ np.linalg.lstsq(c, e, rcond=None)[0]
    x, y = 1e3 * (e - mixture), 1e3 * (held - mixture)
    with style.drawing():
        figure, (left, right) = style.figure(1, 2)
        left.plot([x.min(), x.max()], [x.min(), x.max()], color=style.GREY, lw=0.8, zorder=0)
        left.plot(x, y, "o", ms=2.5, color=style.BLUE, alpha=0.5, mew=0)
        left.set(xlabel="Computed, above a mixture (meV/atom)", ylabel="Predicted from other folds")
        right.hist(y - x, bins=min(40, max(5, len(x) // 2)), color=style.BLUE)
        right.set(xlabel="Predicted - computed (meV/atom)", ylabel="Structures")
        right.set_title(f"cv rmse {1e3 * ce.cv_rmse:.2f} meV/atom")
        return style.save(figure, path, columns={"computed_eV": e, "predicted_eV": held})


def hull(path, ce, found) -> list[Path]:
    """Formation energies over composition with the ground states; for three species and more, one panel for each pair.

    Args:
        path: of the picture.
        ce: a fitted ClusterExpansion.
        found: `alloy.hull` of its structures.
    """
    c, f = np.asarray(ce.training["composition"]), 1e3 * found.formation
    pairs = [
        (i, j) for i in range(len(ce.species)) for j in range(i + 1, len(ce.species))
        if ((c[:, i] + c[:, j] > 1 - 1e-9) & (c[:, i] > 0) & (c[:, j] > 0)).any()
    ]  # fmt: skip
    columns = min(len(pairs), 3)
    with style.drawing():
        rows = -(-len(pairs) // columns)
        figure, axes = style.figure(rows, columns, sharey=True, squeeze=False)
        for axis in axes.flat[len(pairs) :]:
            axis.set_visible(False)
        for axis, (i, j) in zip(axes.flat, pairs, strict=False):
            own = c[:, i] + c[:, j] > 1 - 1e-9
            line = np.linspace(0, 1, 201)
            between = np.zeros((201, c.shape[1]))
            between[:, i], between[:, j] = 1 - line, line
            axis.plot(line, 1e3 * found.height(between), color=style.BLACK, lw=1)
            axis.plot(c[own, j], f[own], "o", ms=2.5, color=style.SKY, mew=0, label="structures")
            stable = own & (found.above < 1e-9)
            axis.plot(c[stable, j], f[stable], style.MARKERS[1], color=style.VERMILION, label="ground states")
            axis.set(xlabel=f"Fraction of {ce.species[j]} in {ce.species[i]}", xlim=(-0.02, 1.02))
        axes[0, 0].set_ylabel("Formation energy (meV/atom)")
        axes[0, 0].set_title("Ground states")  # its height makes room for the legend
        style.legend_above(figure, axes[0, 0], axes[0, -1])
        numbers = {f"c_{s}": c[:, k] for k, s in enumerate(ce.species)}
        return style.save(figure, path, columns={**numbers, "formation_meV": f, "above_hull_meV": 1e3 * found.above})


def order(path, symbols, temperature, sro, error, heat, heat_error) -> list[Path]:
    """Short-range order of the first shell and heat capacity against temperature.

    Args:
        path: of the picture.
        symbols: of the species.
        temperature: (T,) K.
        sro: (T, K, K) Warren-Cowley parameters of the first shell.
        error: (T, K, K).
        heat: (T,) k_B per site.
        heat_error: (T,).
    """
    pairs = [(i, j) for i in range(len(symbols)) for j in range(i + 1, len(symbols))]
    columns = {"T_K": temperature, "C_kB": heat, "C_error_kB": heat_error}
    with style.drawing():
        figure, (top, bottom) = style.figure(2, 1, sharex=True, height=5.0)
        for k, (i, j) in enumerate(pairs):
            name = f"{symbols[i]}-{symbols[j]}"
            top.errorbar(
                temperature, sro[:, i, j], error[:, i, j], fmt=style.MARKERS[k % 7], ls=style.LINES[k % 7],
                color=style.COLOURS[k % 7], label=name,
            )  # fmt: skip
            columns[f"alpha_{name}"], columns[f"alpha_{name}_error"] = sro[:, i, j], error[:, i, j]
        style.mark_zero(top)
        top.set(ylabel="Warren-Cowley α, first shell", title="Order")
        style.legend_above(figure, top)
        bottom.errorbar(temperature, heat, heat_error, fmt="o-", color=style.BLACK)
        bottom.set(xlabel="Temperature (K)", ylabel="Heat capacity (k$_B$/site)", ylim=(0, None))
        return style.save(figure, path, columns=columns)


def relaxation(path, temperatures, times) -> list[Path]:
    """Slowest relaxation time of short-range order against temperature.

    Args:
        path: of the picture.
        temperatures: (T,) K.
        times: (T,) jumps per site.
    """
    with style.drawing():
        figure, axis = style.figure()
        axis.plot(temperatures, times, "o-", color=style.BLUE)
        axis.set(xlabel="Temperature (K)", ylabel="Relaxation time (jumps per site)", ylim=(0, None))
        return style.save(figure, path, columns={"T_K": np.array(temperatures), "relaxation": np.array(times)})


def diffusion(path, symbols, temperature, coefficients, errors) -> list[Path]:
    """Tracer diffusion coefficients against the inverse temperature.

    Args:
        path: of the picture.
        symbols: of the species.
        temperature: (T,) K.
        coefficients: (T, K) m^2/s.
        errors: (T, K).
    """
    columns = {"T_K": temperature}
    with style.drawing():
        figure, axis = style.figure()
        for k, symbol in enumerate(symbols):
            axis.errorbar(
                1e3 / temperature, coefficients[:, k], errors[:, k], fmt=style.MARKERS[k], ls=style.LINES[k],
                color=style.COLOURS[k], label=symbol,
            )  # fmt: skip
            columns[f"D_{symbol}_m2_per_s"], columns[f"D_{symbol}_error"] = coefficients[:, k], errors[:, k]
        axis.set(xlabel="1000 K / T", ylabel="D (m²/s)", yscale="log", title="Tracer diffusion")
        style.legend_above(figure, axis)
        return style.save(figure, path, columns=columns)
