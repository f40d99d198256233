"""One system of the benchmarks with dftopt, in a process of its own: cold, warm, memory, and a check of the result.

Started by `vs_qe.py`; also writes the input with which pw.x does the same.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import pwx
from systems import ALL, System

SCALES = tuple(1 + sign * n * 1e-4 for n in range(1, 30) for sign in (1, -1))


def similar(system: System, how_many: int) -> list[float]:
    """Scales of the cell at which it holds the same plane waves, so the same shapes; the first is 1."""
    from dftopt.minimization.start import same_waves

    base = system.basis(system.model())
    scales = [1.0]
    for scale in SCALES:
        if len(scales) == how_many:
            break
        if same_waves(system.basis(system.model(scale)), base):
            scales.append(scale)
    return (scales * how_many)[:how_many]


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("name", choices=ALL)
    arguments.add_argument("--folder", type=Path, required=True)
    arguments.add_argument("--started", type=float, required=True, help="time.time() when this process was started")
    arguments.add_argument("--repeat", type=int, default=3)
    arguments.add_argument("--tol", type=float, default=1e-8)
    given = arguments.parse_args()

    import dftopt

    dftopt.use_cores()

    system = ALL[given.name]
    options = system.options(given.tol)
    model = system.model(scale=1 + 1e-4)
    sizes = system.basis(model)
    first = dftopt.minimize(model, sizes, progress=False, **options)
    cold = time.time() - given.started

    runs, base = [], None
    for scale in similar(system, given.repeat):  # the first of them is the system itself, which pw.x computes too
        start, cpu = time.perf_counter(), time.process_time()
        model = system.model(scale)
        result = dftopt.minimize(model, system.basis(model, like=sizes), progress=False, **options)
        base = base or result
        runs.append(
            {
                "scale": scale,
                "seconds": time.perf_counter() - start,
                "cpu_seconds": time.process_time() - cpu,
                "minimize_seconds": result.stats.wall_seconds,
                "compile_seconds": result.stats.compile_seconds,
                "compilations": result.stats.compilations,
                "iterations": result.stats.iterations,
                "evaluations": result.stats.evaluations,
            }
        )
    peak = result.stats.peak_memory_MiB

    import independent

    with warnings.catch_warnings(record=True) as caught:
        checked = independent.check(base)
    pwx.write(
        given.folder, base.model, base.basis, nbands=system.nbands, temperature=system.temperature,
        smearing=system.smearing, tol=given.tol,
    )  # fmt: skip
    out = {
        "atoms": len(base.model.structure),
        "kpoints": base.basis.nk,
        "fft": base.basis.fft,
        "plane_waves": int(base.basis.counts.max()),
        "free_energy": float(base.energies.free),
        "converged": base.converged,
        "verdict": base.verdict,
        "error": base.stats.error,
        "checked_error": checked.error,
        "checked_residual": checked.residual,
        "checked_free_energy": checked.free_energy,
        "iterations": base.stats.iterations,
        "evaluations": base.stats.evaluations,
        "hamiltonian_applications": base.stats.hamiltonian_applications,
        "ffts": base.stats.ffts,
        "cold_seconds": cold,
        "cold_compile_seconds": first.stats.compile_seconds,
        "cold_compilations": first.stats.compilations,
        "warm": runs,
        "peak_memory_MiB": peak,
        "warnings": [str(w.message) for w in caught],
    }
    (given.folder / "ours.json").write_text(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
