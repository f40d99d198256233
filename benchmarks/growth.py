"""How time grows with the number of atoms and of k points, ours and pw.x's in the same run.

    python benchmarks/growth.py [--repeat 3] [--layouts 1x1 1x2] [--out out/growth]

Silicon at Gamma with 16, 32 and 64 rattled atoms, and two atoms with finer meshes. Each point is a row of `vs_qe.py`; the
exponents are those of straight lines through logarithms of warm times and of pw.x's own.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import vs_qe
from systems import MESHES

SERIES = {
    "atoms": (("Si16", "Si32", "Si64"), lambda row: row["ours"]["atoms"]),
    "k points": (tuple(MESHES), lambda row: row["ours"]["kpoints"]),
}


def exponent(x, seconds) -> float:
    """Slope of log time over log size."""
    return float(np.polyfit(np.log(x), np.log(seconds), 1)[0])


def draw(path: Path, series: dict) -> None:
    """Seconds over atoms, and over k points."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    from dftopt.calculator.style import BLUE, VERMILION, drawing

    with drawing():
        figure = Figure(figsize=(6.4, 2.9), layout="constrained")
        FigureCanvasAgg(figure)
        for axis, (what, (x, ours, theirs)) in zip(figure.subplots(1, len(series)), series.items(), strict=True):
            for label, colour, marker, seconds in (("dftopt, warm", BLUE, "o", ours), ("pw.x", VERMILION, "s", theirs)):
                if seconds:
                    axis.plot(
                        x, seconds, marker + "-", color=colour, label=f"{label}: power {exponent(x, seconds):.2f}"
                    )
            axis.set(xscale="log", yscale="log", xlabel=f"Number of {what}", ylabel="Wall time (s)")
            axis.set_xticks(x, [str(v) for v in x])
            axis.minorticks_off()
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.legend()
        figure.savefig(path)


def main() -> int:
    """See the module."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given, layouts = vs_qe.parsed(arguments, "out/growth")
    drawn, rows = {}, []
    for what, (names, size) in SERIES.items():
        found = [vs_qe.compare(name, given.out / name, given.repeat, given.tol, layouts) for name in names]
        ours = [row["warm_seconds"] for row in found]
        theirs = [row["pwx"]["inside_seconds"] for row in found if row["pwx"]]
        x = [size(row) for row in found]
        drawn[what] = (x, ours, theirs)
        print(f"{what:9s} " + "  ".join(f"{n}: {a:.2f} s" + (f" (pw.x {b:.2f})" if theirs else "")
              for n, a, b in zip(x, ours, theirs or ours, strict=True)))  # fmt: skip
        print(f"{'':9s} time grows with the power {exponent(x, ours):.2f}"
              + (f", pw.x's with {exponent(x, theirs):.2f}" if theirs else ""), flush=True)  # fmt: skip
        for row in found:
            if row.get("problems"):
                print(f"{row['name']} does not count: " + "; ".join(row["problems"]))
        rows += found
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "growth.json").write_text(json.dumps(rows, indent=1))
    draw(given.out / "growth.png", drawn)
    print(f"written: {given.out / 'growth.json'}, {given.out / 'growth.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
