"""dftopt against Quantum ESPRESSO's pw.x on the same work.

    python benchmarks/vs_qe.py [--only Si2 Al1] [--repeat 3] [--out out/vs_qe]

Same structure, potential, cutoff, FFT grid, k mesh, bands and smearing; each code stops at an error of 1e-8 hartree per
atom by its own estimate. Ours is evaluated once more apart from the minimizer (`independent.py`). A row counts only if
both free energies agree to 1e-7 hartree per atom (LDA; 5e-6 for PBE, whose constants differ between the codes).

cold: from the start of a fresh process with no compiled programs to the first result, another cell of the same shape.
warm: median over structures of the same shape in that process, from atoms to result, all included. pw.x: its own wall
time, median, of the layout that is fastest (processes x threads), and that of the process. ratio: warm / pw.x's own; that
of CPU times (all threads and processes) suffers less from what else runs on the machine.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pwx
from systems import ALL, SYSTEMS

COLD_MARK, RATIO_MARK = 30.0, 3.0


def ours(name: str, folder: Path, repeat: int, tol: float) -> dict:
    """Our numbers, from a fresh process without a compilation cache."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION_CACHE")}
    script = Path(__file__).with_name("ours.py")
    command = [sys.executable, str(script), name, "--folder", str(folder), "--repeat", str(repeat), "--tol", repr(tol)]
    subprocess.run([*command, "--started", repr(time.time())], check=True, env=env)
    return json.loads((folder / "ours.json").read_text())


def compare(name: str, folder: Path, repeat: int, tol: float, layouts) -> dict:
    """One row: ours, pw.x's (None where it is missing), and what follows from both."""
    folder.mkdir(parents=True, exist_ok=True)
    us = ours(name, folder, repeat, tol)
    row = {
        "name": name,
        "ours": us,
        "pwx": None,
        "warm_seconds": statistics.median(r["seconds"] for r in us["warm"]),
        "warm_run_seconds": statistics.median(r["minimize_seconds"] - r["compile_seconds"] for r in us["warm"]),
        "warm_cpu_seconds": statistics.median(r["cpu_seconds"] for r in us["warm"]),
        "warm_compilations": sum(r["compilations"] for r in us["warm"]),
    }
    if not pwx.available():
        return row
    them = pwx.run(folder, layouts=layouts, repeat=repeat)
    difference = (us["free_energy"] - them.free_energy) / us["atoms"]
    problems = [
        text
        for text, wrong in (
            (f"energies differ by {difference:.1e} Ha/atom", not abs(difference) <= ALL[name].agreement),
            (f"k points {us['kpoints']} and {them.kpoints}", us["kpoints"] != them.kpoints),
            (f"FFT grids {us['fft']} and {them.fft}", tuple(us["fft"]) != them.fft),
            (f"ours: {us['verdict']}", not us["converged"]),
            (f"our error, evaluated anew: {us['checked_error']:.1e} Ha/atom", us["checked_error"] > 3 * tol),
            ("pw.x did not converge", not them.converged),
        )
        if wrong
    ]
    return row | {
        "pwx": them.as_dict(),
        "difference_per_atom": difference,
        "ratio": row["warm_seconds"] / them.inside_seconds,
        "cpu_ratio": row["warm_cpu_seconds"] / (them.cpu_seconds * them.layout[0]),
        "counts": not problems,
        "problems": problems,
    }


# ---------------------------------------------------------------------------------------------------- output


def _table(title: str, columns: dict, rows: list[dict]) -> str:
    """Right-aligned columns; a missing number is a dash."""
    cells = [list(columns)]
    for row in rows:
        values = []
        for show in columns.values():
            try:
                values.append(show(row))
            except (KeyError, TypeError):
                values.append("-")
        cells.append(values)
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in cells]
    return "\n".join([title, *(f"  {line}" for line in lines)])


def report(rows: list[dict]) -> str:
    """All tables."""
    name = {"": lambda r: r["name"]}
    energies = name | {
        "A (Ha)": lambda r: f"{r['ours']['free_energy']:.9f}",
        "pw.x (Ha)": lambda r: f"{r['pwx']['free_energy']:.9f}",
        "difference/atom": lambda r: f"{r['difference_per_atom']:.1e}",
        "our error": lambda r: f"{r['ours']['error']:.1e}",
        "evaluated anew": lambda r: f"{r['ours']['checked_error']:.1e}",
        "|H psi - eps psi|": lambda r: f"{r['ours']['checked_residual']:.1e}",
        "pw.x's error": lambda r: f"{r['pwx']['scf_error'] / r['ours']['atoms']:.1e}",
        "counts": lambda r: "yes" if r["counts"] else "no",
    }
    times = name | {
        "cold": lambda r: f"{r['ours']['cold_seconds']:.1f}",
        "of it compiling": lambda r: f"{r['ours']['cold_compile_seconds']:.1f}",
        "warm": lambda r: f"{r['warm_seconds']:.2f}",
        "running alone": lambda r: f"{r['warm_run_seconds']:.2f}",
        "spread": lambda r: "{:.2f}-{:.2f}".format(*_range([x["seconds"] for x in r["ours"]["warm"]])),
        "CPU": lambda r: f"{r['warm_cpu_seconds']:.2f}",
        "compilations": lambda r: str(r["warm_compilations"]),
        "pw.x": lambda r: f"{r['pwx']['inside_seconds']:.2f}",
        "its CPU": lambda r: f"{r['pwx']['cpu_seconds']:.2f}",
        "its process": lambda r: f"{r['pwx']['process_seconds']:.2f}",
        "layout": lambda r: "{}x{}".format(*r["pwx"]["layout"]),
        "ratio": lambda r: f"{r['ratio']:.2f}",
        "of CPU": lambda r: f"{r['cpu_ratio']:.2f}",
    }
    work = name | {
        "k": lambda r: str(r["ours"]["kpoints"]),
        "plane waves": lambda r: str(r["ours"]["plane_waves"]),
        "grid": lambda r: "x".join(map(str, r["ours"]["fft"])),
        "iterations": lambda r: str(r["ours"]["iterations"]),
        "evaluations": lambda r: str(r["ours"]["evaluations"]),
        "pw.x iterations": lambda r: str(r["pwx"]["iterations"]),
        "FFTs": lambda r: str(r["ours"]["ffts"]),
        "pw.x FFTs": lambda r: str(r["pwx"]["ffts"]),
        "MiB": lambda r: f"{r['ours']['peak_memory_MiB']:.0f}",
        "pw.x MiB": lambda r: f"{r['pwx']['peak_memory_MiB']:.0f}",
    }
    parts = [
        _table("free energy; errors in hartree per atom", energies, rows),
        _table("seconds", times, rows),
        _table("work and memory", work, rows),
    ]
    for row in rows:
        if row.get("problems"):
            parts.append(f"{row['name']} does not count: " + "; ".join(row["problems"]))
    counted = [r for r in rows if r.get("counts")]
    if counted:
        ratios = [r["ratio"] for r in counted]
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        coldest = max(r["ours"]["cold_seconds"] for r in counted)
        parts.append(
            f"warm / pw.x: geometric mean {mean:.2f}, largest {max(ratios):.2f} (mark {RATIO_MARK:g}: "
            f"{'met' if max(ratios) <= RATIO_MARK else 'missed'}); cold: at most {coldest:.1f} s (mark {COLD_MARK:g} s: "
            f"{'met' if coldest < COLD_MARK else 'missed'})"
        )
    return "\n\n".join(parts)


def _range(values):
    return min(values), max(values)


def draw(path: Path, rows: list[dict]) -> None:
    """Seconds of each system: cold, warm, pw.x."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from dftopt.calculator.style import BLUE, GREY, VERMILION, drawing

    series = (
        ("dftopt, first process", GREY, "^", lambda r: r["ours"]["cold_seconds"]),
        ("dftopt, warm", BLUE, "o", lambda r: r["warm_seconds"]),
        ("pw.x", VERMILION, "s", lambda r: r["pwx"]["inside_seconds"] if r["pwx"] else math.nan),
    )
    with drawing():
        figure = Figure(figsize=(4.8, 1.2 + 0.4 * len(rows)), layout="constrained")
        FigureCanvasAgg(figure)
        axis = figure.subplots()
        for label, colour, marker, value in series:
            axis.plot([value(r) for r in rows], range(len(rows)), marker, color=colour, label=label)
        axis.set(xscale="log", xlabel="Wall time (s)", ylim=(len(rows) - 0.5, -0.5))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_yticks(range(len(rows)), [r["name"] for r in rows])
        axis.grid(axis="x", color=GREY, alpha=0.2, lw=0.6)
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        figure.savefig(path)


def parsed(arguments: argparse.ArgumentParser, out: str) -> tuple[argparse.Namespace, list[tuple[int, int]]]:
    """Flags that comparisons with pw.x share, and its layouts; says so where it is missing."""
    add = arguments.add_argument
    add("--repeat", type=int, default=3, help="warm runs, and runs of pw.x, of which the median counts")
    add("--tol", type=float, default=1e-8, help="hartree per atom")
    add("--layouts", nargs="+", default=["1x1", "1x2", "2x1"], help="of pw.x: processes x threads; the fastest counts")
    add("--out", type=Path, default=Path(out))
    given = arguments.parse_args()
    if not pwx.available():
        print(pwx.MISSING + "\n")
    return given, [tuple(map(int, text.split("x"))) for text in given.layouts]  # type: ignore[misc]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--only", nargs="+", choices=ALL, default=list(SYSTEMS), metavar="NAME")
    given, layouts = parsed(arguments, "out/vs_qe")
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start\n", flush=True)
    rows, failed = [], []
    for name in given.only:
        try:
            rows.append(compare(name, given.out / name, given.repeat, given.tol, layouts))
        except (subprocess.CalledProcessError, pwx.PWFailed) as error:
            failed.append(f"{name} failed: {error}")
        print(f"{name} done, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    print("\n\n".join(([report(rows)] if rows else []) + failed))
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "vs_qe.json").write_text(json.dumps(rows, indent=1))
    draw(given.out / "vs_qe.png", rows)
    print(f"\nwritten: {given.out / 'vs_qe.json'}, {given.out / 'vs_qe.png'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
